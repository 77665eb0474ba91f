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

typedef struct ResolveJob {
    char *host;         /* NULL: every address */
    char *port;
    struct addrinfo hints, *list;
    int rc, os_errno;
} ResolveJob;

static void resolve_job_free(void *opaque)
{
    ResolveJob *job = opaque;

    if (job->list) {
        freeaddrinfo(job->list);
    }
    g_free(job->host);
    g_free(job->port);
    g_free(job);
}

static void resolve_job_run(void *opaque)
{
    ResolveJob *job = opaque;

    job->rc = getaddrinfo(job->host, job->port, &job->hints, &job->list);
    if (job->rc == EAI_ADDRFAMILY ||
        (job->rc == EAI_NONAME && job->hints.ai_flags == AI_ADDRCONFIG)) {
        job->hints.ai_flags = 0;    /* a host without any configured network still has a loopback */
        job->rc = getaddrinfo(job->host, job->port, &job->hints, &job->list);
    }
    job->os_errno = errno;
}

static bool is_any_host(const ChannelAddress *a, bool passive)
{
    return !*a->host || (passive && g_str_equal(a->host, "0"));
}

static ResolveJob *resolve_job_new(const ChannelAddress *a, bool passive)
{
    ResolveJob *job = g_new0(ResolveJob, 1);

    job->host = is_any_host(a, passive) ? NULL : g_strdup(a->host);
    job->port = g_strdup(a->port);
    job->hints = (struct addrinfo){
        .ai_socktype = SOCK_STREAM,
        .ai_flags = passive ? AI_PASSIVE : AI_ADDRCONFIG,
        .ai_family = a->ipv4 == a->ipv6 ? AF_UNSPEC : a->ipv4 ? AF_INET : AF_INET6,
    };
    return job;
}

/* Only numbers, which asks nobody: true if that was all it takes. */
static bool resolve_numbers(ResolveJob *job)
{
    struct addrinfo hints = job->hints;

    hints.ai_flags = (hints.ai_flags & AI_PASSIVE) | AI_NUMERICHOST | AI_NUMERICSERV;
    job->rc = getaddrinfo(job->host, job->port, &hints, &job->list);
    return job->rc == 0;
}

static bool resolve_error(const ChannelAddress *a, const ResolveJob *job, GError **errp)
{
    if (job->rc) {
        error_setg(errp, "address resolution failed for %s:%s: %s", a->host, a->port,
                   job->rc == EAI_SYSTEM ? g_strerror(job->os_errno) : gai_strerror(job->rc));
    }
    return job->rc != 0;
}

BoundedCall *channel_socket_resolve(const ChannelAddress *a, bool passive, GError **errp)
{
    ResolveJob *job = a->kind == CHANNEL_TCP ? resolve_job_new(a, passive) : NULL;

    if (!job || resolve_numbers(job)) {
        if (job) {
            resolve_job_free(job);
        }
        return NULL;
    }
    return bounded_call_start(resolve_job_run, job, resolve_job_free, errp);
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

/* Every address is tried; the last refusal is the one that is told. */
static int connect_any(const ChannelAddress *a, const struct addrinfo *list, int cancel_fd,
                       GError **errp)
{
    g_autofree char *peer = g_strdup_printf("%s:%s", *a->host ? a->host : "localhost", a->port);
    int fd = -1;

    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
        g_clear_error(errp);
        fd = connect_one(ai->ai_addr, ai->ai_addrlen, cancel_fd, peer, errp);
        if (fd < 0 && is_cancelled(cancel_fd)) {
            break;
        }
    }
    return fd;
}

static int connect_name(const ChannelAddress *a, BoundedCall *lookup, int cancel_fd,
                        GError **errp)
{
    if (!bounded_call_done(lookup, cancel_fd, -1)) {
        error_setg(errp, "Failed to connect to '%s:%s': looking up the name was cancelled", a->host,
                   a->port);
        return -1;
    }
    ResolveJob *job = bounded_call_arg(lookup);
    return resolve_error(a, job, errp) ? -1 : connect_any(a, job->list, cancel_fd, errp);
}

static int connect_tcp(const ChannelAddress *a, int cancel_fd, GError **errp)
{
    GError *err = NULL;
    BoundedCall *lookup = channel_socket_resolve(a, false, &err);
    int fd = -1;

    if (lookup) {
        fd = connect_name(a, lookup, cancel_fd, &err);
        bounded_call_free(lookup);
    } else if (!err) {
        ResolveJob *job = resolve_job_new(a, false);
        fd = resolve_numbers(job) ? connect_any(a, job->list, cancel_fd, &err) : -1;
        resolve_job_free(job);
    }
    if (fd < 0) {
        g_propagate_error(errp, err);
    } else {
        g_clear_error(&err);
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
    } else if (listen(fd, SOMAXCONN) < 0) {
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
static int listen_list(const ChannelAddress *a, struct addrinfo *list, int *fds, int max,
                       GError **errp)
{
    g_autoptr(GError) err = NULL;
    bool dual = false, any = is_any_host(a, true);
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
    if (n == 0) {
        error_setg(errp, "%s", err ? err->message : "Failed to bind socket");
    }
    return n;
}

static int listen_tcp(const ChannelAddress *a, BoundedCall *resolved, int *fds, int max,
                      char **bound, GError **errp)
{
    ResolveJob *numbers = resolved ? NULL : resolve_job_new(a, true);
    ResolveJob *job = resolved ? bounded_call_arg(resolved) : numbers;
    int n = 0;

    if (numbers) {
        resolve_numbers(numbers);
    }
    if (!resolve_error(a, job, errp)) {
        n = listen_list(a, job->list, fds, max, errp);
    }
    if (numbers) {
        resolve_job_free(numbers);
    }
    if (n > 0) {
        g_autofree char *port = g_strdup_printf("%u", ntohs(bound_port(fds[0])));
        ChannelAddress real = *a;
        real.port = port;
        *bound = channel_address_to_string(&real);
    }
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
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, SOMAXCONN) < 0) {
        error_setg_errno(errp, errno, "Failed to bind socket to %s", a->path);
        close(fd);
        return 0;
    }
    fds[0] = fd;
    *bound = channel_address_to_string(a);
    return 1;
}

int channel_socket_listen(const ChannelAddress *a, BoundedCall *resolved, int *fds, int max,
                          char **bound, GError **errp)
{
    return a->kind == CHANNEL_TCP ? listen_tcp(a, resolved, fds, max, bound, errp)
                                  : listen_unix(a, fds, bound, errp);
}
