/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The telnet protocol as a server of characters needs it, for char-socket. No I/O. */
#ifndef CHARDEV_TELNET_H
#define CHARDEV_TELNET_H

#include <stddef.h>
#include <stdint.h>

/** Where in a command the client is. Starts all zero. */
typedef struct Telnet {
    enum { TELNET_TEXT, TELNET_IAC, TELNET_OPTION, TELNET_SUB, TELNET_SUB_IAC } state;
} Telnet;

#define TELNET_HELLO_BYTES 12
/** What a server says first. */
extern const uint8_t telnet_hello[TELNET_HELLO_BYTES];

/** Takes the commands out of what a client sent, in place; returns what is left. */
size_t telnet_filter(Telnet *t, uint8_t *buf, size_t len);

#endif
