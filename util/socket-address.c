/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of sockets (util/socket-address.h). Used by chardev/ and hw/net;
 * migration/channel has its own way to wait, which cancel and quit reach.
 */
#include "util/socket-address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "util/bounded.h"
#include "util/error.h"
#include "util/port.h"

#define CONNECT_TIMEOUT_MS 30000
#define UNIX_RETRY_MS 20    /* a full queue of a server that does not accept */
#define UNIX_NEAR_MS 20     /* a path answers at once as a rule: then nothing is put off */

/* ---- from options ---- */

static const char *get(Opts *opts, const char *prefix, const char *name)
{
    g_autofree char *key = g_strconcat(prefix, name, NULL);

    return opts_get(opts, key);
}

static bool get_bool(Opts *opts, const char *prefix, const char *name, bool *out, bool *given,
                     GError **errp)
{
    g_autofree char *key = g_strconcat(prefix, name, NULL);

    if (given) {
        *given = opts_get(opts, key) != NULL;
    }
    return opts_get_bool(opts, key, out, errp);
}

static char *need(Opts *opts, const char *prefix, const char *name, GError **errp)
{
    const char *value = get(opts, prefix, name);

    if (!value) {
        error_setg(errp, "Parameter '%s%s' is missing", prefix, name);
    }
    return g_strdup(value);
}

bool socket_spec_check(const SocketSpec *spec, GError **errp)
{
    g_autofree char *address = spec->kind == SOCKET_INET ? socket_spec_text(spec) : NULL;

    return !address || port_check(spec->port, address, errp);
}

static bool inet_from_opts(SocketSpec *spec, Opts *opts, const char *prefix, GError **errp)
{
    g_autofree char *key = g_strconcat(prefix, "to", NULL);
    const char *to = opts_get(opts, key);
    uint16_t last = 0;

    if (!(spec->host = need(opts, prefix, "host", errp)) ||
        !(spec->port = need(opts, prefix, "port", errp)) || !socket_spec_check(spec, errp) ||
        !get_bool(opts, prefix, "ipv4", &spec->ipv4, &spec->has_ipv4, errp) ||
        !get_bool(opts, prefix, "ipv6", &spec->ipv6, &spec->has_ipv6, errp) ||
        !get_bool(opts, prefix, "keep-alive", &spec->keep_alive, NULL, errp) ||
        !get_bool(opts, prefix, "numeric", &spec->numeric, NULL, errp) ||
        !get_bool(opts, prefix, "mptcp", &spec->mptcp, NULL, errp)) {
        return false;
    }
    if (to && !port_parse(to, &last)) {
        error_setg(errp, "Parameter '%s' expects a port up to 65535", key);
        return false;
    }
    spec->to = last;
    return true;
}

bool socket_spec_from_opts(SocketSpec *spec, SocketKind kind, Opts *opts, const char *prefix,
                           GError **errp)
{
    *spec = (SocketSpec){ .kind = kind, .tight = true };
    switch (kind) {
    case SOCKET_INET:
        return inet_from_opts(spec, opts, prefix, errp);
    case SOCKET_UNIX:
        return (spec->path = need(opts, prefix, "path", errp)) &&
               get_bool(opts, prefix, "abstract", &spec->abstract, NULL, errp) &&
               get_bool(opts, prefix, "tight", &spec->tight, NULL, errp);
    case SOCKET_FD:
        return (spec->fd = need(opts, prefix, "str", errp)) != NULL;
    }
    g_assert_not_reached();
}

void socket_spec_clear(SocketSpec *spec)
{
    g_free(spec->host);
    g_free(spec->port);
    g_free(spec->path);
    g_free(spec->fd);
    *spec = (SocketSpec){ .kind = SOCKET_INET };
}

static void spec_copy(SocketSpec *to, const SocketSpec *from)
{
    *to = *from;
    to->host = g_strdup(from->host);
    to->port = g_strdup(from->port);
    to->path = g_strdup(from->path);
    to->fd = g_strdup(from->fd);
}

char *socket_spec_text(const SocketSpec *spec)
{
    switch (spec->kind) {
    case SOCKET_INET:
        return g_strdup_printf("%s:%s", spec->host, spec->port);
    case SOCKET_UNIX:
        return g_strdup(spec->path);
    case SOCKET_FD:
        return g_strdup(spec->fd);
    }
    g_assert_not_reached();
}

char *socket_addr_text(const struct sockaddr_storage *storage, socklen_t len)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (storage->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)storage;
        size_t used = len > offsetof(struct sockaddr_un, sun_path)
                          ? len - offsetof(struct sockaddr_un, sun_path) : 0;
        bool abstract = used && !un->sun_path[0];
        return g_strndup(un->sun_path + abstract, used - abstract);
    }
    if (getnameinfo((const struct sockaddr *)storage, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        return g_strdup("unknown");
    }
    return g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- to sockaddr ---- */

static bool unix_addrs(const SocketSpec *spec, SocketAddrs *addrs, GError **errp)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&addrs->list[0].storage;
    size_t len = strlen(spec->path), max = sizeof(un->sun_path) - spec->abstract;

    if (len > max || (len == max && !spec->abstract)) {
        error_setg(errp, "UNIX socket path '%s' is too long\nPath must be less than %zu bytes",
                   spec->path, sizeof(un->sun_path));
        return false;
    }
    memset(addrs, 0, sizeof(*addrs));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + spec->abstract, spec->path, len);
    addrs->list[0].len = spec->abstract && spec->tight
                             ? offsetof(struct sockaddr_un, sun_path) + 1 + len : sizeof(*un);
    addrs->count = 1;
    return true;
}

static bool family_of(const SocketSpec *spec, int *family, GError **errp)
{
    if (spec->has_ipv4 && spec->has_ipv6 && !spec->ipv4 && !spec->ipv6) {
        error_setg(errp, "Cannot disable IPv4 and IPv6 at same time");
        return false;
    }
    bool only4 = (spec->ipv4 && !spec->ipv6) || (spec->has_ipv6 && !spec->ipv6);
    bool only6 = (spec->ipv6 && !spec->ipv4) || (spec->has_ipv4 && !spec->ipv4);
    *family = only4 ? AF_INET : only6 ? AF_INET6 : AF_UNSPEC;
    return true;
}

/* May take as long as the resolver likes, unless the host is a number. */
static bool inet_addrs(const SocketSpec *spec, int type, bool passive, SocketAddrs *addrs,
                       GError **errp)
{
    struct addrinfo hints = {
        .ai_socktype = type,
        .ai_flags = (passive ? AI_PASSIVE : 0) |
                    (spec->numeric ? AI_NUMERICHOST | AI_NUMERICSERV : 0),
    };
    struct addrinfo *list;

    if (!family_of(spec, &hints.ai_family, errp)) {
        return false;
    }
    int rc = getaddrinfo(*spec->host ? spec->host : NULL, spec->port, &hints, &list);
    if (rc) {
        error_setg(errp, "address resolution failed for %s:%s: %s", spec->host, spec->port,
                   gai_strerror(rc));
        return false;
    }
    memset(addrs, 0, sizeof(*addrs));
    for (struct addrinfo *ai = list; ai && addrs->count < SOCKET_ADDRS_MAX; ai = ai->ai_next) {
        SocketAddr *addr = &addrs->list[addrs->count++];
        memcpy(&addr->storage, ai->ai_addr, ai->ai_addrlen);
        addr->len = ai->ai_addrlen;
    }
    freeaddrinfo(list);
    return true;
}

bool socket_spec_resolve(const SocketSpec *spec, int type, bool passive, SocketAddrs *addrs,
                         GError **errp)
{
    g_assert(spec->kind != SOCKET_FD);
    return spec->kind == SOCKET_UNIX ? unix_addrs(spec, addrs, errp)
                                     : inet_addrs(spec, type, passive, addrs, errp);
}

/* ---- jobs ---- */

struct SocketJob {
    /* set once */
    SocketSpec spec;
    int type;
    bool connect;
    GMainContext *context;
    SocketJobDone *done;
    void *opaque;
    GSource *source;        /* runs done; attached by the thread when it has ended */
    /* the thread's until ended */
    int fd;
    SocketAddrs addrs;
    GError *err;
    /* protected by lock */
    GMutex lock;
    GCond cond;
    bool ended, dropped;
    int refs;               /* atomic: the thread's and the user's */
};

static void job_unref(SocketJob *job)
{
    if (!g_atomic_int_dec_and_test(&job->refs)) {
        return;
    }
    if (job->fd >= 0) {
        close(job->fd);
    }
    socket_spec_clear(&job->spec);
    g_main_context_unref(job->context);
    g_source_unref(job->source);
    g_clear_error(&job->err);
    g_mutex_clear(&job->lock);
    g_cond_clear(&job->cond);
    g_free(job);
}

static int connect_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return err;
}

static bool job_is_dropped(SocketJob *job)
{
    g_mutex_lock(&job->lock);
    bool dropped = job->dropped;
    g_mutex_unlock(&job->lock);
    return dropped;
}

/* 0 or an errno. A server whose queue is full may only be slow. */
static int connect_wait(SocketJob *job, int fd, const SocketAddr *addr)
{
    gint64 until = g_get_monotonic_time() + CONNECT_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
    struct pollfd p = { fd, POLLOUT, 0 };

    while (connect(fd, (const struct sockaddr *)&addr->storage, addr->len) < 0) {
        if (errno == EINPROGRESS) {
            return poll(&p, 1, CONNECT_TIMEOUT_MS) > 0 ? connect_error(fd) : ETIMEDOUT;
        }
        if (errno != EAGAIN || addr->storage.ss_family != AF_UNIX ||
            g_get_monotonic_time() >= until || job_is_dropped(job)) {
            return errno;
        }
        poll(NULL, 0, UNIX_RETRY_MS);
    }
    return 0;
}

/* A socket connected to addr, or -1 with errno. */
static int connect_one(SocketJob *job, const SocketAddr *addr)
{
    const SocketSpec *spec = &job->spec;
    int one = 1;
    int protocol = spec->mptcp && addr->storage.ss_family != AF_UNIX ? IPPROTO_MPTCP : 0;
    int fd = socket(addr->storage.ss_family, job->type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

    if (fd < 0) {
        return -1;
    }
    int err = connect_wait(job, fd, addr);
    if (err) {
        close(fd);
        errno = err;
        return -1;
    }
    if (spec->keep_alive) {
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    return fd;
}

static void job_run(SocketJob *job)
{
    int err = 0;
    bool found = socket_spec_resolve(&job->spec, job->type, !job->connect, &job->addrs, &job->err);

    for (unsigned i = 0; found && job->connect && i < job->addrs.count; i++) {
        job->fd = connect_one(job, &job->addrs.list[i]);
        err = errno;
        if (job->fd >= 0) {
            return;
        }
    }
    if (found && job->connect) {
        g_autofree char *text = socket_spec_text(&job->spec);
        error_setg_errno(&job->err, err, "Failed to connect to '%s'", text);
    }
}

static void job_end(SocketJob *job)
{
    g_mutex_lock(&job->lock);
    job->ended = true;
    if (job->dropped) {
        bounded_regain();
    } else {
        g_source_attach(job->source, job->context);
    }
    g_cond_broadcast(&job->cond);
    g_mutex_unlock(&job->lock);
}

/*
 * The thread of one lookup or connect. Owns the result until it has ended;
 * waits for the resolver and 30 s for each address; ends with the answer,
 * which it leaves behind or, if nobody wants it any more, throws away.
 */
static void *job_thread(void *opaque)
{
    SocketJob *job = opaque;

    job_run(job);
    job_end(job);
    job_unref(job);
    return NULL;
}

static gboolean job_deliver(gpointer user_data)
{
    SocketJob *job = user_data;
    int fd = job->fd;

    job->fd = -1; /* done's now */
    job->done(job->opaque, fd, &job->addrs, job->err);
    job_unref(job);
    return G_SOURCE_REMOVE;
}

/* What the kernel answers at once needs no thread. */
static bool is_quick(const SocketSpec *spec, bool connect)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *list;

    if (spec->kind == SOCKET_UNIX) {
        return !connect;    /* a path may be on a file server that does not answer */
    }
    if (connect || getaddrinfo(*spec->host ? spec->host : NULL, spec->port, &hints, &list)) {
        return false;
    }
    freeaddrinfo(list);
    return true;
}

/* Until it has ended, or a time (monotonic); true if it has. */
static bool job_wait_until(SocketJob *job, gint64 until)
{
    g_mutex_lock(&job->lock);
    while (!job->ended && g_cond_wait_until(&job->cond, &job->lock, until)) {
    }
    bool ended = job->ended;
    g_mutex_unlock(&job->lock);
    return ended;
}

static SocketJob *job_start(const SocketSpec *spec, int type, bool connect, GMainContext *context,
                            SocketJobDone *done, void *opaque, GError **errp)
{
    SocketJob *job = g_new0(SocketJob, 1);

    g_assert(spec->kind != SOCKET_FD);
    spec_copy(&job->spec, spec);
    job->type = type;
    job->connect = connect;
    job->context = g_main_context_ref(context);
    job->done = done;
    job->opaque = opaque;
    job->fd = -1;
    job->refs = 2;
    g_mutex_init(&job->lock);
    g_cond_init(&job->cond);
    job->source = g_idle_source_new();
    g_source_set_priority(job->source, G_PRIORITY_DEFAULT);
    g_source_set_callback(job->source, job_deliver, job, NULL);
    if (is_quick(spec, connect)) {
        job_thread(job);
        return job;
    }
    GThread *thread = bounded_may_start(errp) ? thread_start("connect", job_thread, job, errp) : NULL;
    if (!thread) {
        job->refs = 1;
        job_unref(job);
        return NULL;
    }
    g_thread_unref(thread); /* nobody waits for it */
    if (spec->kind == SOCKET_UNIX) {
        job_wait_until(job, g_get_monotonic_time() + UNIX_NEAR_MS * G_TIME_SPAN_MILLISECOND);
    }
    return job;
}

SocketJob *socket_connect_start(const SocketSpec *spec, int type, GMainContext *context,
                                SocketJobDone *done, void *opaque, GError **errp)
{
    return job_start(spec, type, true, context, done, opaque, errp);
}

SocketJob *socket_lookup_start(const SocketSpec *spec, int type, GMainContext *context,
                               SocketJobDone *done, void *opaque, GError **errp)
{
    return job_start(spec, type, false, context, done, opaque, errp);
}

bool socket_job_wait(SocketJob *job, int ms, int *fd, SocketAddrs *addrs, GError **errp)
{
    if (!job_wait_until(job, g_get_monotonic_time() + (gint64)ms * 1000)) {
        return false;
    }
    if (addrs) {
        *addrs = job->addrs;
    }
    if (fd) {
        *fd = job->fd;
        job->fd = -1;
    }
    if (job->err) {
        g_propagate_error(errp, g_steal_pointer(&job->err));
    }
    socket_job_cancel(job);
    return true;
}

void socket_job_cancel(SocketJob *job)
{
    if (job) {
        g_mutex_lock(&job->lock);
        job->dropped = true;
        if (!job->ended) {
            bounded_lose();
        }
        g_source_destroy(job->source);
        g_mutex_unlock(&job->lock);
        job_unref(job);
    }
}

/* ---- binding ---- */

static void set_port(struct sockaddr_storage *storage, unsigned port)
{
    if (storage->ss_family == AF_INET) {
        ((struct sockaddr_in *)storage)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)storage)->sin6_port = htons(port);
    }
}

static unsigned get_port(const struct sockaddr_storage *storage)
{
    return ntohs(storage->ss_family == AF_INET ? ((const struct sockaddr_in *)storage)->sin_port
                                               : ((const struct sockaddr_in6 *)storage)->sin6_port);
}

/* A socket file is from a process that is gone. */
static void unlink_stale(const SocketSpec *spec)
{
    struct stat st;

    if (!spec->abstract && stat(spec->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(spec->path);
    }
}

static int bind_one(const SocketSpec *spec, const SocketAddr *addr, int type)
{
    int one = 1;
    int protocol = spec->mptcp && spec->kind == SOCKET_INET ? IPPROTO_MPTCP : 0;
    int fd = socket(addr->storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

    if (fd < 0) {
        return -1;
    }
    if (spec->kind == SOCKET_UNIX) {
        unlink_stale(spec);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    /* Who listens on a port that somebody else has bound learns it from listen only. */
    if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) < 0 ||
        (type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int socket_bind_first(const SocketSpec *spec, const SocketAddrs *addrs, int type, GError **errp)
{
    g_autofree char *text = socket_spec_text(spec);
    int err = 0;

    if (spec->keep_alive) {
        error_setg(errp, "keep-alive option is not supported for passive sockets");
        return -1;
    }
    for (unsigned i = 0; i < addrs->count; i++) {
        SocketAddr addr = addrs->list[i];
        unsigned port = spec->kind == SOCKET_INET ? get_port(&addr.storage) : 0;
        do {
            int fd = bind_one(spec, &addr, type);
            if (fd >= 0) {
                return fd;
            }
            err = errno;
            if (spec->to) {
                set_port(&addr.storage, ++port);
            }
        } while (err == EADDRINUSE && spec->to && port <= spec->to);
    }
    if (err == EADDRINUSE && spec->kind == SOCKET_INET && type == SOCK_STREAM) {
        error_setg_errno(errp, err, "Failed to find an available port");
    } else {
        error_setg_errno(errp, err, "Failed to bind socket to %s", text);
    }
    return -1;
}
