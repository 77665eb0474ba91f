/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of the socket back end (socket-addr.c). */
#ifndef CHARDEV_SOCKET_ADDR_H
#define CHARDEV_SOCKET_ADDR_H

#include "util/socket-address.h"

/** From path=, or host=, port=, ipv4=, ipv6=. May ask the resolver. */
bool socket_addrs_from_opts(SocketAddrs *addrs, Opts *opts, bool server, GError **errp);

#endif
