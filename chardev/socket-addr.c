/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of the socket back end, from its options. Resolving happens
 * once, at start-up; later connects use the result.
 */
#include <string.h>
#include "chardev/socket-addr.h"
#include "util/error.h"

bool socket_addrs_from_opts(SocketAddrs *addrs, Opts *opts, bool server, GError **errp)
{
    const char *path = opts_get(opts, "path");
    const char *host = opts_get(opts, "host");
    const char *port = opts_get(opts, "port");
    SocketSpec spec = { .tight = true };

    spec.has_ipv4 = opts_get(opts, "ipv4");
    spec.has_ipv6 = opts_get(opts, "ipv6");
    if (!opts_get_bool(opts, "ipv4", &spec.ipv4, errp) ||
        !opts_get_bool(opts, "ipv6", &spec.ipv6, errp)) {
        return false;
    }
    if (path) {
        if (host || port) {
            error_setg(errp, "chardev: socket: 'path' and 'host'/'port' exclude each other");
            return false;
        }
        spec.kind = SOCKET_UNIX;
        spec.path = (char *)path;
        return socket_spec_resolve(&spec, SOCK_STREAM, server, addrs, errp);
    }
    if (!port) {
        error_setg(errp, host ? "chardev: socket: no port given"
                              : "chardev: socket: no path, port or fd given");
        return false;
    }
    spec.kind = SOCKET_INET;
    spec.host = (char *)(host ? host : "");
    spec.port = (char *)port;
    return socket_spec_resolve(&spec, SOCK_STREAM, server, addrs, errp);
}
