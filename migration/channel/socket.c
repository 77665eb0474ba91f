/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp: and unix: channels: connecting (interruptible), listening, and the
 * leaf around a connected socket. Called by open.c only. Does not accept:
 * the listener there waits on several sockets at once.
 */
#include <arpa/inet.h>
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

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262      /* not in older C libraries; where the kernel has none it says so */
#endif

static const ChannelOps socket_ops = {
    "tcp", channel_fd_writev, channel_fd_pwrite, channel_fd_punch, channel_fd_settle,
    channel_fd_room,
    channel_fd_read, channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown,
    channel_fd_close,
};
static const ChannelOps unix_ops = {
    "unix", channel_fd_writev, channel_fd_pwrite, channel_fd_punch, channel_fd_settle,
    channel_fd_room,
    channel_fd_read, channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown,
    channel_fd_close,
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

/* Saying no to one family says yes to the other. */
static int address_family(const ChannelAddress *a)
{
    bool four = a->ipv4 == CHANNEL_ON || a->ipv6 == CHANNEL_OFF;
    bool six = a->ipv6 == CHANNEL_ON || a->ipv4 == CHANNEL_OFF;

    return four == six ? AF_UNSPEC : four ? AF_INET : AF_INET6;
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
        .ai_family = address_family(a),
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

static int protocol_of(const ChannelAddress *a)
{
    return a->mptcp == CHANNEL_ON ? IPPROTO_MPTCP : 0;
}

/* ---- connect ---- */

/* 0, an errno, or -1 with errp when cancelled. ms as in channel_wait_for. */
static int connect_wait(int fd, const struct sockaddr *sa, socklen_t len, int ms, int cancel_fd,
                        GError **errp)
{
    bool ready;
    int so_error = 0;
    socklen_t so_len = sizeof(so_error);

    if (connect(fd, sa, len) < 0) {
        if (errno != EINPROGRESS && errno != EINTR) {
            return errno == EISCONN ? 0 : errno;
        }
        if (!channel_wait_for(fd, POLLOUT, cancel_fd, ms, &ready, errp)) {
            return -1;
        }
        if (!ready) {
            return ETIMEDOUT;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &so_len) < 0) {
            return errno;
        }
        return so_error;
    }
    return 0;
}

static int connect_one(const struct sockaddr *sa, socklen_t len, const ChannelAddress *a,
                       int cancel_fd, const char *peer, GError **errp)
{
    g_autoptr(GError) cancelled = NULL;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol_of(a));

    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to create socket for '%s'", peer);
        return -1;
    }
    int err = connect_wait(fd, sa, len, a->connect_ms ? (int)a->connect_ms : -1, cancel_fd,
                           &cancelled);
    if (err == 0) {
        return fd;
    }
    close(fd);
    return channel_connect_failed(peer, false, err, cancelled, errp);
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
        fd = connect_one(ai->ai_addr, ai->ai_addrlen, a, cancel_fd, peer, errp);
        if (fd < 0 && is_cancelled(cancel_fd)) {
            break;
        }
    }
    return fd;
}

/* Takes job, whose name has to be looked up. */
static int connect_name(const ChannelAddress *a, ResolveJob *job, int cancel_fd, GError **errp)
{
    BoundedCall *lookup = bounded_call_start(resolve_job_run, job, resolve_job_free, errp);
    int fd = -1;

    if (lookup && !bounded_call_done(lookup, cancel_fd, -1)) {
        error_setg(errp, "Failed to connect to '%s:%s': looking up the name was cancelled", a->host,
                   a->port);
    } else if (lookup && !resolve_error(a, job, errp)) {
        fd = connect_any(a, job->list, cancel_fd, errp);
    }
    bounded_call_free(lookup);
    return fd;
}

static int connect_tcp(const ChannelAddress *a, int cancel_fd, GError **errp)
{
    ResolveJob *job = resolve_job_new(a, false);

    if (!resolve_numbers(job) && !a->numeric) {
        return connect_name(a, job, cancel_fd, errp);
    }
    int fd = resolve_error(a, job, errp) ? -1 : connect_any(a, job->list, cancel_fd, errp);
    resolve_job_free(job);
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
        fd = channel_connect_path(a, &sun, cancel_fd, &err);
    }
    if (fd < 0) {
        g_propagate_error(errp, err);
        return NULL;
    }
    g_clear_error(&err);
    Channel *c = channel_socket_new(fd, name, errp);
    if (c && a->keep_alive == CHANNEL_OFF) {
        channel_socket_never_probe(c);
    }
    return c;
}

void channel_socket_never_probe(Channel *c)
{
    int off = 0;

    setsockopt(c->rfd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof(off));
}

/* ---- listen ---- */

static bool address_is_wildcard(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

/* "::" serves IPv4 as well, unless only IPv6 was asked for. */
static bool is_dual(const ChannelAddress *a, const struct sockaddr *sa)
{
    return address_is_wildcard(sa) && address_family(a) == AF_UNSPEC;
}

/* *cause becomes the errno. */
static int listen_one(const ChannelAddress *a, const struct sockaddr *sa, socklen_t len,
                      int *cause, GError **errp)
{
    int one = 1;
    int v6only = !is_dual(a, sa);
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol_of(a));

    if (fd < 0) {
        *cause = errno;
        error_setg_errno(errp, errno, "Failed to create socket");
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (sa->sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (bind(fd, sa, len) == 0 && listen(fd, SOMAXCONN) == 0) {
        return fd;
    }
    *cause = errno;
    error_setg_errno(errp, errno, "Failed to bind socket to '%s:%s'", a->host, a->port);
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

typedef struct Listening {
    int *fds;
    int max, n;
    bool dual;          /* a wildcard that serves both families is among them */
    int cause;          /* errno of the last that failed */
    GError *err;
} Listening;

/* One more address; the port is the first one's, whatever the kernel has chosen for that. */
static void listen_more(Listening *l, const ChannelAddress *a, const struct addrinfo *ai,
                        uint16_t port)
{
    struct sockaddr_storage ss;
    struct sockaddr *sa = (struct sockaddr *)&ss;

    if (l->n == l->max || l->dual || l->cause == EADDRINUSE) {
        return;
    }
    memcpy(&ss, ai->ai_addr, MIN(ai->ai_addrlen, sizeof(ss)));
    *address_port(sa) = l->n > 0 ? bound_port(l->fds[0]) : htons(port);
    g_clear_error(&l->err);
    l->fds[l->n] = listen_one(a, sa, ai->ai_addrlen, &l->cause, &l->err);
    if (l->fds[l->n] >= 0) {
        l->dual = is_dual(a, sa);
        l->n++;
    }
}

/* All addresses of the name at one port. 0 with l->cause and l->err: none, or somebody else has it. */
static int listen_at(Listening *l, const ChannelAddress *a, const struct addrinfo *list,
                     uint16_t port)
{
    bool any = is_any_host(a, true);

    l->n = 0;
    l->cause = 0;
    l->dual = false;
    /* A wildcard: the dual-stack socket first, IPv4 alone only where there is no IPv6. */
    for (const struct addrinfo *ai = list; ai && any; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET6) {
            listen_more(l, a, ai, port);
        }
    }
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        if (!any || ai->ai_family != AF_INET6) {
            listen_more(l, a, ai, port);
        }
    }
    while (l->cause == EADDRINUSE && l->n > 0) {
        close(l->fds[--l->n]);
    }
    return l->n;
}

/* The first port of the range that is free. */
static int listen_list(const ChannelAddress *a, const struct addrinfo *list, int *fds, int max,
                       GError **errp)
{
    Listening l = { .fds = fds, .max = max };
    unsigned first = ntohs(*address_port(list->ai_addr)), last = MAX(a->to, first);
    int n = 0;

    for (unsigned port = first; n == 0 && port <= last; port++) {
        n = listen_at(&l, a, list, port);
        if (n == 0 && l.cause != EADDRINUSE) {
            break;
        }
    }
    if (n == 0 && last > first && l.cause == EADDRINUSE) {
        error_setg_errno(errp, l.cause, "Failed to find an available port from %u to %u of '%s'",
                         first, last, a->host);
    } else if (n == 0) {
        error_setg(errp, "%s", l.err ? l.err->message : "Failed to bind socket");
    }
    g_clear_error(&l.err);
    return n;
}

/* job has been looked up. */
static bool listen_tcp(const ChannelAddress *a, const ResolveJob *job, ListenResult *r,
                       GError **errp)
{
    r->n = resolve_error(a, job, errp)
               ? 0 : listen_list(a, job->list, r->fds, LISTEN_SOCKETS_MAX, errp);
    if (r->n > 0) {
        g_autofree char *port = g_strdup_printf("%u", ntohs(bound_port(r->fds[0])));
        ChannelAddress real = *a;
        real.port = port;
        real.to = 0;
        r->bound = channel_address_to_string(&real);
    }
    return r->n > 0;
}

static bool listen_unix(const ChannelAddress *a, ListenResult *r, GError **errp)
{
    struct sockaddr_un sun = { 0 };
    struct stat st;

    if (!unix_address(a->path, &sun, errp)) {
        return false;
    }
    if (lstat(a->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(a->path);    /* left by an earlier process; anything else is not ours to remove */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "Failed to create socket");
        return false;
    }
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, SOMAXCONN) < 0) {
        error_setg_errno(errp, errno, "Failed to bind socket to %s", a->path);
        close(fd);
        return false;
    }
    *r = (ListenResult){ .fds = { fd }, .n = 1, .bound = channel_address_to_string(a) };
    return true;
}

/* Binding that may take long: a name is to be looked up, a path may be on a file server. */
typedef struct ListenJob {
    ChannelAddress *address;
    ResolveJob *name;       /* NULL: a path */
    ListenResult result;
    GError *err;
} ListenJob;

static void listen_job_free(void *opaque)
{
    ListenJob *job = opaque;

    for (int i = 0; i < job->result.n; i++) {
        close(job->result.fds[i]);
    }
    if (job->result.n && !job->name) {
        unlink(job->address->path);
    }
    g_free(job->result.bound);
    if (job->name) {
        resolve_job_free(job->name);
    }
    channel_address_free(job->address);
    g_clear_error(&job->err);
    g_free(job);
}

static void listen_job_run(void *opaque)
{
    ListenJob *job = opaque;

    if (job->name) {
        resolve_job_run(job->name);
        listen_tcp(job->address, job->name, &job->result, &job->err);
    } else {
        listen_unix(job->address, &job->result, &job->err);
    }
}

BoundedCall *channel_socket_listen(const ChannelAddress *a, ListenResult *result, GError **errp)
{
    ResolveJob *name = a->kind == CHANNEL_TCP ? resolve_job_new(a, true) : NULL;

    *result = (ListenResult){ .n = 0 };
    if (name && (resolve_numbers(name) || a->numeric)) {
        listen_tcp(a, name, result, errp);
        resolve_job_free(name);
        return NULL;
    }
    ListenJob *job = g_new0(ListenJob, 1);
    job->address = channel_address_copy(a);
    job->name = name;
    return bounded_call_start(listen_job_run, job, listen_job_free, errp);
}

bool channel_socket_listening(BoundedCall *call, ListenResult *result, GError **errp)
{
    ListenJob *job = bounded_call_arg(call);

    if (job->err) {
        error_setg(errp, "%s", job->err->message);
        return false;
    }
    *result = job->result;
    job->result = (ListenResult){ .n = 0 };     /* theirs now */
    return true;
}

static ChannelAddress *tcp_address_of(const struct sockaddr *sa, bool dual)
{
    ChannelAddress *a = channel_address_new();
    char host[INET6_ADDRSTRLEN];
    bool six = sa->sa_family == AF_INET6 && !dual;

    a->kind = CHANNEL_TCP;
    inet_ntop(six ? AF_INET6 : AF_INET,
              six ? (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr
                  : (const void *)&((const struct sockaddr_in *)sa)->sin_addr, host, sizeof(host));
    a->host = g_strdup(dual ? "0.0.0.0" : host);
    a->port = g_strdup_printf("%u", ntohs(*address_port((struct sockaddr *)sa)));
    a->ipv4 = six ? CHANNEL_UNSAID : CHANNEL_ON;
    a->ipv6 = six ? CHANNEL_ON : CHANNEL_UNSAID;
    return a;
}

void channel_socket_addresses(int fd, GPtrArray *list)
{
    struct sockaddr_storage ss = { 0 };
    struct sockaddr *sa = (struct sockaddr *)&ss;
    socklen_t len = sizeof(ss), int_len = sizeof(int);
    int v6only = 1;

    if (getsockname(fd, sa, &len) < 0 || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)) {
        return;
    }
    g_ptr_array_add(list, tcp_address_of(sa, false));
    if (address_is_wildcard(sa) &&
        getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &int_len) == 0 && !v6only) {
        g_ptr_array_add(list, tcp_address_of(sa, true));    /* one socket, two addresses */
    }
}

/* ---- is the peer still there? ---- */

#define SILENT_ANSWER_MS 500    /* that long an answer may take */

/*
 * What is under way is repeated, or a full window asked after, ever more
 * seldom: so that there was no answer for so long says nothing, unless the
 * last try has none either. A peer that only does not read answers.
 */
static bool tcp_is_silent(int fd, unsigned ms)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_last_ack_recv < ms) {
        return false;
    }
    bool repeated = info.tcpi_retransmits && info.tcpi_last_data_sent >= SILENT_ANSWER_MS &&
                    info.tcpi_last_data_sent < info.tcpi_last_ack_recv;
    return repeated || info.tcpi_probes >= 2;
}

const ChannelLiveness channel_liveness = {
    .idle_s = 20, .interval_s = 10, .probes = 4, .silence_ms = 60000,
};

bool channel_set_liveness(Channel *c, const ChannelLiveness *l)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    int one = 1, idle = l->idle_s, interval = l->interval_s, probes = l->probes;

    if (!c->is_socket || getsockopt(c->rfd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0) {
        return false;
    }
    if (idle) {
        setsockopt(c->rfd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
        setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    }
    c->is_silent = tcp_is_silent;
    g_atomic_int_set(&c->silence_ms, (int)MIN(l->silence_ms, (unsigned)G_MAXINT));
    return true;
}

void channel_sharpen_liveness(Channel *c, unsigned ms)
{
    int idle = MAX(ms / 3000, 1), interval = idle, probes = 2;

    if (!g_atomic_int_get(&c->silence_ms)) {
        return;         /* keep-alive=off, or nothing that knows it */
    }
    setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(c->rfd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    g_atomic_int_set(&c->silence_ms, (int)MIN(ms, (unsigned)G_MAXINT));
}
