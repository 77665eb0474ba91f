/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address of the socket back end, from its options. Called by
 * char-socket.c, which has it looked up.
 */
#include <string.h>
#include "chardev/socket-addr.h"
#include "util/error.h"

bool socket_chardev_spec(SocketSpec *spec, Opts *opts, GError **errp)
{
    const char *path = opts_get(opts, "path");
    const char *host = opts_get(opts, "host");
    const char *port = opts_get(opts, "port");

    *spec = (SocketSpec){ .tight = true };
    spec->has_ipv4 = opts_get(opts, "ipv4");
    spec->has_ipv6 = opts_get(opts, "ipv6");
    if (!opts_get_bool(opts, "ipv4", &spec->ipv4, errp) ||
        !opts_get_bool(opts, "ipv6", &spec->ipv6, errp) ||
        !opts_get_bool(opts, "abstract", &spec->abstract, errp) ||
        !opts_get_bool(opts, "tight", &spec->tight, errp)) {
        return false;
    }
    if (path) {
        if (host || port) {
            error_setg(errp, "chardev: socket: 'path' and 'host'/'port' exclude each other");
            return false;
        }
        spec->kind = SOCKET_UNIX;
        spec->path = g_strdup(path);
        return true;
    }
    if (!port) {
        error_setg(errp, host ? "chardev: socket: no port given"
                              : "chardev: socket: no path, port or fd given");
        return false;
    }
    spec->kind = SOCKET_INET;
    spec->host = g_strdup(host ? host : "");
    spec->port = g_strdup(port);
    return socket_spec_check(spec, errp);
}
