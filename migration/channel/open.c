/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making channels: outgoing by address, incoming through a listener. Called
 * by the two stories of migration. Chooses the leaf; the leaves do the work.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define LISTENER_SOCKETS 8
#define LISTEN_GRACE_MS 250     /* what is known by then is the answer of whoever asked us to listen */

struct ChannelListener {
    /* set once */
    ChannelAddress *address;
    int wake_fd;
    /* accepting thread, and before there is one */
    BoundedCall *pending;       /* tcp: looking up the name; file: opening; else NULL */
    Channel *ready;             /* fd, exec: the one channel there is */
    GMutex lock;
    /* protected by lock; the accepting thread, which writes, reads without */
    int fds[LISTENER_SOCKETS];
    int nfds;
    char *bound;                /* NULL: not yet */
};

/* "fd:7": a number that was inherited. Names are the resolver's. */
static int fd_from_number(const char *text, GError **errp)
{
    char *end;
    errno = 0;
    long fd = strtol(text, &end, 10);

    if (errno || end == text || *end || fd < 0 || fd > INT_MAX) {
        error_setg(errp, "Invalid file descriptor number '%s'", text);
        return -1;
    }
    if (fcntl(fd, F_GETFD) < 0) {
        error_setg_errno(errp, errno, "File descriptor number '%s' is not open", text);
        return -1;
    }
    return fd;
}

static int fd_resolve(const char *text, const FdResolver *fds, GError **errp)
{
    g_autoptr(GError) by_name = NULL;

    if (fds && fds->take_fd) {
        int fd = fds->take_fd(fds->opaque, text, &by_name);
        if (fd >= 0) {
            return fd;
        }
    }
    if (by_name && !g_ascii_isdigit(*text)) {
        error_setg(errp, "%s", by_name->message);
        return -1;
    }
    return fd_from_number(text, errp);
}

static bool is_fd_set(const ChannelAddress *a)
{
    return a->kind == CHANNEL_FILE && g_str_has_prefix(a->path, "/dev/fdset/");
}

bool channel_address_take_fd(ChannelAddress *a, const FdResolver *fds, bool outgoing,
                             GError **errp)
{
    if (a->kind == CHANNEL_FD && a->fd < 0) {
        a->fd = fd_resolve(a->path, fds, errp);
        return a->fd >= 0;
    }
    if (is_fd_set(a) && a->fd < 0 && fds && fds->open_set) {
        a->fd = fds->open_set(fds->opaque, a->path, outgoing ? O_WRONLY : O_RDONLY, errp);
        return a->fd >= 0;
    }
    return true;
}

static Channel *channel_fd_open(ChannelAddress *a, bool outgoing, GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);
    int fd = a->fd >= 0 ? a->fd : fd_from_number(a->path, errp);

    a->fd = -1;
    Channel *c = fd < 0 ? NULL : channel_new_fd(fd, name, errp);
    if (c && (outgoing ? c->wfd : c->rfd) < 0) {
        error_setg(errp, "File descriptor '%s' is not open for %s", a->path,
                   outgoing ? "writing" : "reading");
        channel_close(c, NULL);
        return NULL;
    }
    return c;
}

static void trace_open(const ChannelAddress *a, bool outgoing)
{
    switch (a->kind) {
    case CHANNEL_FD:
        outgoing ? trace_migration_fd_outgoing(a->path) : trace_migration_fd_incoming(a->path);
        break;
    case CHANNEL_EXEC:
        outgoing ? trace_migration_exec_outgoing(a->path) : trace_migration_exec_incoming(a->path);
        break;
    case CHANNEL_FILE:
        outgoing ? trace_migration_file_outgoing(a->path) : trace_migration_file_incoming(a->path);
        break;
    default:
        break;
    }
}

static Channel *connect_socket(const ChannelAddress *a, int cancel_fd, GError **errp)
{
    g_autoptr(GError) err = NULL;
    Channel *c = channel_socket_connect(a, cancel_fd, &err);

    if (c) {
        trace_migration_socket_outgoing_connected(c->name);
    } else {
        trace_migration_socket_outgoing_error(err->message);
        g_propagate_error(errp, g_steal_pointer(&err));
    }
    return c;
}

static Channel *connect_file(ChannelAddress *a, int cancel_fd, GError **errp)
{
    BoundedCall *opening = channel_file_start(a, true, errp);
    Channel *c = opening ? channel_file_finish(a, &opening, true, cancel_fd, errp) : NULL;

    bounded_call_free(opening);
    return c;
}

Channel *channel_connect(ChannelAddress *a, int cancel_fd, GError **errp)
{
    trace_open(a, true);
    switch (a->kind) {
    case CHANNEL_FD:
        return channel_fd_open(a, true, errp);
    case CHANNEL_EXEC:
        return channel_exec_open(a, errp);
    case CHANNEL_FILE:
        return connect_file(a, cancel_fd, errp);
    default:
        return connect_socket(a, cancel_fd, errp);
    }
}

/* ---- listening ---- */

/* Binds the sockets; what name lookup there was to do is done. */
static bool listener_bind(ChannelListener *l, GError **errp)
{
    int fds[LISTENER_SOCKETS];
    char *bound = NULL;
    int n = channel_socket_listen(l->address, l->pending, fds, LISTENER_SOCKETS, &bound, errp);

    g_mutex_lock(&l->lock);
    memcpy(l->fds, fds, n * sizeof(*fds));
    l->nfds = n;
    l->bound = bound;
    g_mutex_unlock(&l->lock);
    g_clear_pointer(&l->pending, bounded_call_free);
    return n > 0;
}

/* What can be known of the file now: if opening it has failed already, that. */
static bool listener_look_at_file(ChannelListener *l, GError **errp)
{
    return !bounded_call_done(l->pending, -1, LISTEN_GRACE_MS) ||
           !channel_file_failed(l->pending, errp);
}

static bool listener_begin(ChannelListener *l, GError **errp)
{
    GError *err = NULL;

    trace_open(l->address, false);
    switch (l->address->kind) {
    case CHANNEL_FD:
        l->ready = channel_fd_open(l->address, false, errp);
        return l->ready != NULL;
    case CHANNEL_EXEC:
        l->ready = channel_exec_open(l->address, errp);
        return l->ready != NULL;
    case CHANNEL_FILE:
        l->pending = channel_file_start(l->address, false, errp);
        return l->pending && listener_look_at_file(l, errp);
    default:
        l->pending = channel_socket_resolve(l->address, true, &err);
        if (err) {
            g_propagate_error(errp, err);
            return false;
        }
        return (l->pending && !bounded_call_done(l->pending, -1, LISTEN_GRACE_MS)) ||
               listener_bind(l, errp);
    }
}

ChannelListener *channel_listen(ChannelAddress *a, GError **errp)
{
    ChannelListener *l = g_new0(ChannelListener, 1);

    g_mutex_init(&l->lock);
    l->address = channel_address_copy(a);
    l->address->fd = a->fd;
    a->fd = -1;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        error_setg_errno(errp, errno, "Unable to create an event descriptor");
    } else if (listener_begin(l, errp)) {
        return l;
    }
    channel_listener_free(l);
    return NULL;
}

/* The index of a listening socket with a peer, or -1. */
static int listener_wait(ChannelListener *l, GError **errp)
{
    struct pollfd p[LISTENER_SOCKETS + 1];

    for (int i = 0; i < l->nfds; i++) {
        p[i] = (struct pollfd){ .fd = l->fds[i], .events = POLLIN };
    }
    p[l->nfds] = (struct pollfd){ .fd = l->wake_fd, .events = POLLIN };
    for (;;) {
        int n = poll(p, l->nfds + 1, -1);
        if (n < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "Unable to wait for a connection on '%s'", l->bound);
            return -1;
        }
        if (n > 0 && p[l->nfds].revents) {
            error_setg(errp, "Waiting for a connection on '%s' was cancelled", l->bound);
            return -1;
        }
        for (int i = 0; n > 0 && i < l->nfds; i++) {
            if (p[i].revents) {
                return i;
            }
        }
    }
}

/* The name was not known at once: when it is, bind. */
static bool listener_bind_late(ChannelListener *l, GError **errp)
{
    if (!bounded_call_done(l->pending, l->wake_fd, -1)) {
        error_setg(errp, "Looking up '%s' to listen there was cancelled", l->address->host);
        return false;
    }
    return listener_bind(l, errp);
}

static Channel *accept_peer(ChannelListener *l, GError **errp)
{
    for (;;) {
        int i = listener_wait(l, errp);
        if (i < 0) {
            return NULL;
        }
        int fd = accept4(l->fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            trace_migration_socket_incoming_accepted(l->bound);
            return channel_socket_new(fd, l->bound, errp);
        }
        if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
            error_setg_errno(errp, errno, "Unable to accept a connection on '%s'", l->bound);
            return NULL;
        }
    }
}

static Channel *accept_once(ChannelListener *l, GError **errp)
{
    Channel *c = g_steal_pointer(&l->ready);

    if (l->address->kind == CHANNEL_FILE && l->pending) {
        c = channel_file_finish(l->address, &l->pending, false, l->wake_fd, errp);
        g_clear_pointer(&l->pending, bounded_call_free);
    } else if (!c) {
        error_setg(errp, "'%s' has one channel only, which is in use", l->address->path);
    }
    return c;
}

Channel *channel_listener_accept(ChannelListener *l, GError **errp)
{
    if (l->address->kind != CHANNEL_TCP && l->address->kind != CHANNEL_UNIX) {
        return accept_once(l, errp);
    }
    return l->nfds || listener_bind_late(l, errp) ? accept_peer(l, errp) : NULL;
}

char *channel_listener_address(ChannelListener *l)
{
    g_mutex_lock(&l->lock);
    char *text = g_strdup(l->bound);
    g_mutex_unlock(&l->lock);
    return text;
}

GPtrArray *channel_listener_addresses(ChannelListener *l)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)channel_address_free);

    g_mutex_lock(&l->lock);
    for (int i = 0; i < l->nfds; i++) {
        if (l->address->kind == CHANNEL_UNIX) {
            g_ptr_array_add(list, channel_address_copy(l->address));
        } else {
            channel_socket_addresses(l->fds[i], list);
        }
    }
    g_mutex_unlock(&l->lock);
    return list;
}

void channel_listener_shutdown(ChannelListener *l)
{
    uint64_t one = 1;

    if (write(l->wake_fd, &one, sizeof(one)) < 0) {
        /* readable already */
    }
}

void channel_listener_free(ChannelListener *l)
{
    if (!l) {
        return;
    }
    for (int i = 0; i < l->nfds; i++) {
        close(l->fds[i]);
    }
    if (l->nfds && l->address->kind == CHANNEL_UNIX) {
        unlink(l->address->path);
    }
    if (l->ready) {
        channel_close(l->ready, NULL);
    }
    bounded_call_free(l->pending);
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    channel_address_free(l->address);
    g_free(l->bound);
    g_mutex_clear(&l->lock);
    g_free(l);
}
