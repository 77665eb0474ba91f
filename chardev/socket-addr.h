/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of the socket back end (socket-addr.c). */
#ifndef CHARDEV_SOCKET_ADDR_H
#define CHARDEV_SOCKET_ADDR_H

#include <glib.h>
#include <stdbool.h>
#include <sys/socket.h>
#include "util/opts.h"

#define SOCKET_ADDRS_MAX 8

typedef struct SocketAddr {
    struct sockaddr_storage storage;
    socklen_t len;
} SocketAddr;

typedef struct SocketAddrs {
    SocketAddr list[SOCKET_ADDRS_MAX];
    unsigned count;
} SocketAddrs;

/** From path=, or host=, port=, ipv4=, ipv6=. May ask the resolver. */
bool socket_addrs_from_opts(SocketAddrs *addrs, Opts *opts, bool server, GError **errp);
/** "127.0.0.1:80", "[::1]:80" or a path; caller frees. */
char *socket_addr_text(const struct sockaddr_storage *storage, socklen_t len);

#endif
