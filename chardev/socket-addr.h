/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of the socket back end (socket-addr.c). */
#ifndef CHARDEV_SOCKET_ADDR_H
#define CHARDEV_SOCKET_ADDR_H

#include "util/socket-address.h"

/** From path=, or host=, port=, ipv4=, ipv6=. Clear spec also after an error. */
bool socket_chardev_spec(SocketSpec *spec, Opts *opts, GError **errp);

#endif
