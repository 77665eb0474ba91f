/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of the socket back end: from options to sockaddr, and to text.
 * Resolving happens once, at start-up; later connects use the result.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include "chardev/socket-addr.h"
#include "util/error.h"

static bool unix_address(SocketAddrs *addrs, const char *path, GError **errp)
{
    SocketAddr *addr = &addrs->list[0];
    struct sockaddr_un *un = (struct sockaddr_un *)&addr->storage;

    if (strlen(path) >= sizeof(un->sun_path)) {
        error_setg(errp, "UNIX socket path '%s' is too long\nPath must be less than %zu bytes",
                   path, sizeof(un->sun_path));
        return false;
    }
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    addr->len = sizeof(*un);
    addrs->count = 1;
    return true;
}

static bool inet_addresses(SocketAddrs *addrs, const char *host, const char *port, int family,
                           bool passive, GError **errp)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0,
    };
    struct addrinfo *list;

    int rc = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (rc) {
        error_setg(errp, "address resolution failed for %s:%s: %s", host, port, gai_strerror(rc));
        return false;
    }
    addrs->count = 0;
    for (struct addrinfo *ai = list; ai && addrs->count < SOCKET_ADDRS_MAX; ai = ai->ai_next) {
        SocketAddr *addr = &addrs->list[addrs->count++];
        memcpy(&addr->storage, ai->ai_addr, ai->ai_addrlen);
        addr->len = ai->ai_addrlen;
    }
    freeaddrinfo(list);
    return true;
}

static bool family_from_opts(Opts *opts, int *family, GError **errp)
{
    bool ipv4 = false, ipv6 = false;
    bool given4 = opts_get(opts, "ipv4"), given6 = opts_get(opts, "ipv6");

    if (!opts_get_bool(opts, "ipv4", &ipv4, errp) || !opts_get_bool(opts, "ipv6", &ipv6, errp)) {
        return false;
    }
    if (given4 && given6 && !ipv4 && !ipv6) {
        error_setg(errp, "Cannot disable IPv4 and IPv6 at same time");
        return false;
    }
    bool only4 = (ipv4 && !ipv6) || (given6 && !ipv6);
    bool only6 = (ipv6 && !ipv4) || (given4 && !ipv4);
    *family = only4 ? AF_INET : only6 ? AF_INET6 : AF_UNSPEC;
    return true;
}

bool socket_addrs_from_opts(SocketAddrs *addrs, Opts *opts, bool server, GError **errp)
{
    const char *path = opts_get(opts, "path");
    const char *host = opts_get(opts, "host");
    const char *port = opts_get(opts, "port");
    int family;

    memset(addrs, 0, sizeof(*addrs));
    if (!family_from_opts(opts, &family, errp)) {
        return false;
    }
    if (path) {
        if (host || port) {
            error_setg(errp, "chardev: socket: 'path' and 'host'/'port' exclude each other");
            return false;
        }
        return unix_address(addrs, path, errp);
    }
    if (!port) {
        error_setg(errp, host ? "chardev: socket: no port given"
                              : "chardev: socket: no path, port or fd given");
        return false;
    }
    return inet_addresses(addrs, host ? host : "", port, family, server, errp);
}

char *socket_addr_text(const struct sockaddr_storage *storage, socklen_t len)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (storage->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)storage;
        size_t used = len > offsetof(struct sockaddr_un, sun_path)
                          ? len - offsetof(struct sockaddr_un, sun_path) : 0;
        return g_strndup(un->sun_path, used);
    }
    if (getnameinfo((const struct sockaddr *)storage, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        return g_strdup("unknown");
    }
    return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}
