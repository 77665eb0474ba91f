/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp: and unix: channels: connecting (interruptible), listening, and the
 * leaf around a connected socket. Called by open.c only. Does not accept:
 * the listener there waits on several sockets at once.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

#define UNIX_RETRY_MS 20        /* a full accept queue */
#define UNIX_RETRY_MAX 1500

static const ChannelOps socket_ops = {
    "tcp", channel_fd_writev, channel_fd_read,
    channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown, channel_fd_close,
};
static const ChannelOps unix_ops = {
    "unix", channel_fd_writev, channel_fd_read,
    channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown, channel_fd_close,
};

Channel *channel_socket_new(int fd, const char *kind_name, GError **errp)
{
    Channel *c = g_new0(Channel, 1);
    int one = 1;
    bool tcp = g_str_has_prefix(kind_name, "tcp:");

    if (tcp) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    if (!channel_init(c, tcp ? &socket_ops : &unix_ops, kind_name, fd, fd, errp)) {
        close(fd);
        g_free(c);
        return NULL;
    }
    return c;
}

/* ---- names ---- */

static struct addrinfo *resolve(const ChannelAddress *a, bool passive, GError **errp)
{
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = passive ? AI_PASSIVE : AI_ADDRCONFIG,
        .ai_family = a->ipv4 == a->ipv6 ? AF_UNSPEC : a->ipv4 ? AF_INET : AF_INET6,
    };
    /* "" and "0" are every address when listening */
    bool any = !*a->host || (passive && g_str_equal(a->host, "0"));
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(any ? NULL : a->host, a->port, &hints, &list);

    if (rc == EAI_ADDRFAMILY || (rc == EAI_NONAME && !passive)) {
        hints.ai_flags = 0;     /* a host without any configured network still has a loopback */
        rc = getaddrinfo(any ? NULL : a->host, a->port, &hints, &list);
    }
    if (rc) {
        error_setg(errp, "address resolution failed for %s:%s: %s", a->host, a->port,
                   rc == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(rc));
        return NULL;
    }
    return list;
}

static bool unix_address(const char *path, struct sockaddr_un *sun, GError **errp)
{
    if (strlen(path) >= sizeof(sun->sun_path)) {
        error_setg(errp, "UNIX socket path '%s' is too long: Path must be less than %zu bytes",
                   path, sizeof(sun->sun_path));
        return false;
    }
    sun->sun_family = AF_UNIX;
    strcpy(sun->sun_path, path);
    return true;
}

/* ---- connect ---- */

/* 0, an errno, or -1 with errp when cancelled. */
static int connect_wait(int fd, const struct sockaddr *sa, socklen_t len, int cancel_fd,
                        GError **errp)
{
    int so_error = 0;
    socklen_t so_len = sizeof(so_error);

    for (int tries = 0; connect(fd, sa, len) < 0; tries++) {
        if (errno == EAGAIN && sa->sa_family == AF_UNIX && tries < UNIX_RETRY_MAX) {
            struct pollfd p = { .fd = cancel_fd, .events = POLLIN };
            if (poll(&p, 1, UNIX_RETRY_MS) > 0) {
                error_setg(errp, "Operation was cancelled");
                return -1;
            }
            continue;
        }
        if (errno != EINPROGRESS && errno != EINTR) {
            return errno == EISCONN ? 0 : errno;
        }
        if (!channel_wait(fd, POLLOUT, cancel_fd, errp)) {
            return -1;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &so_len) < 0) {
            return errno;
        }
        return so_error;
    }
    return 0;
}

static int connect_one(const struct sockaddr *sa, socklen_t len, int cancel_fd, const char *peer,
                       GError **errp)
{
    g_autoptr(GError) cancelled = NULL;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to create socket for '%s'", peer);
        return -1;
    }
    int err = connect_wait(fd, sa, len, cancel_fd, &cancelled);
    if (err == 0) {
        return fd;
    }
    close(fd);
    if (err < 0) {
        error_setg(errp, "Failed to connect to '%s': %s", peer, cancelled->message);
    } else {
        error_setg_errno(errp, err, "Failed to connect to '%s'", peer);
    }
    return -1;
}

static bool is_cancelled(int cancel_fd)
{
    struct pollfd p = { .fd = cancel_fd, .events = POLLIN };
    return poll(&p, 1, 0) > 0;
}

static int connect_tcp(const ChannelAddress *a, int cancel_fd, GError **errp)
{
    g_autofree char *peer = g_strdup_printf("%s:%s", *a->host ? a->host : "localhost", a->port);
    struct addrinfo *list = resolve(a, false, errp);
    int fd = -1;

    /* Every address is tried; the last refusal is the one that is told. */
    for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
        g_clear_error(errp);
        fd = connect_one(ai->ai_addr, ai->ai_addrlen, cancel_fd, peer, errp);
        if (fd < 0 && is_cancelled(cancel_fd)) {
            break;
        }
    }
    if (list) {
        freeaddrinfo(list);
    }
    return fd;
}

Channel *channel_socket_connect(const ChannelAddress *a, int cancel_fd, GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);
    struct sockaddr_un sun = { 0 };
    GError *err = NULL;
    int fd = -1;

    if (a->kind == CHANNEL_TCP) {
        fd = connect_tcp(a, cancel_fd, &err);
    } else if (unix_address(a->path, &sun, &err)) {
        fd = connect_one((struct sockaddr *)&sun, sizeof(sun), cancel_fd, a->path, &err);
    }
    if (fd < 0) {
        g_propagate_error(errp, err);
        return NULL;
    }
    g_clear_error(&err);
    return channel_socket_new(fd, name, errp);
}

/* ---- listen ---- */

static bool address_is_wildcard(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static int listen_one(const ChannelAddress *a, const struct addrinfo *ai, GError **errp)
{
    int one = 1;
    /* "::" serves IPv4 as well, unless only IPv6 was asked for. */
    int v6only = !(address_is_wildcard(ai->ai_addr) && a->ipv4 == a->ipv6);
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to create socket");
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ai->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        error_setg_errno(errp, errno, "Failed to bind socket to '%s:%s'", a->host, a->port);
    } else if (listen(fd, 16) < 0) {
        error_setg_errno(errp, errno, "Failed to listen on socket '%s:%s'", a->host, a->port);
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

static uint16_t *address_port(struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)sa)->sin6_port
                                     : &((struct sockaddr_in *)sa)->sin_port;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);

    getsockname(fd, (struct sockaddr *)&ss, &len);
    return *address_port((struct sockaddr *)&ss);
}

/* One socket for each address of the name; all get the port that the first one got. */
static int listen_tcp(const ChannelAddress *a, int *fds, int max, char **bound, GError **errp)
{
    struct addrinfo *list = resolve(a, true, errp);
    g_autoptr(GError) err = NULL;
    bool dual = false, any = !*a->host || g_str_equal(a->host, "0");
    int n = 0;

    /* A wildcard: the dual-stack socket first, IPv4 alone only where there is no IPv6. */
    for (int pass = any ? 0 : 1; pass < 2; pass++) {
        for (struct addrinfo *ai = list; ai && n < max && !dual; ai = ai->ai_next) {
            if (pass == 0 && ai->ai_family != AF_INET6) {
                continue;
            }
            if (n > 0) {
                *address_port(ai->ai_addr) = bound_port(fds[0]);
            }
            g_clear_error(&err);
            fds[n] = listen_one(a, ai, &err);
            if (fds[n] >= 0) {
                dual = address_is_wildcard(ai->ai_addr) && a->ipv4 == a->ipv6;
                n++;
            }
        }
    }
    if (list) {
        freeaddrinfo(list);
    }
    if (n == 0) {
        error_setg(errp, "%s", err ? err->message : "Failed to bind socket");
        return 0;
    }
    g_autofree char *port = g_strdup_printf("%u", ntohs(bound_port(fds[0])));
    ChannelAddress real = *a;
    real.port = port;
    *bound = channel_address_to_string(&real);
    return n;
}

static int listen_unix(const ChannelAddress *a, int *fds, char **bound, GError **errp)
{
    struct sockaddr_un sun = { 0 };
    struct stat st;

    if (!unix_address(a->path, &sun, errp)) {
        return 0;
    }
    if (lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(a->path);    /* left by an earlier process; anything else is not ours to remove */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to create socket");
        return 0;
    }
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 16) < 0) {
        error_setg_errno(errp, errno, "Failed to bind socket to %s", a->path);
        close(fd);
        return 0;
    }
    fds[0] = fd;
    *bound = channel_address_to_string(a);
    return 1;
}

int channel_socket_listen(const ChannelAddress *a, int *fds, int max, char **bound, GError **errp)
{
    return a->kind == CHANNEL_TCP ? listen_tcp(a, fds, max, bound, errp)
                                  : listen_unix(a, fds, bound, errp);
}
