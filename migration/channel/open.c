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
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define LISTEN_GRACE_MS 600     /* what is known by then is the answer of whoever asked us to listen */

struct ChannelListener {
    /* set once */
    ChannelAddress *address;
    int wake_fd;
    /* accepting thread, and before there is one */
    BoundedCall *pending;       /* tcp, unix: binding; file, exec: opening; else NULL */
    Channel *ready;             /* fd: the one channel there is */
    GMutex lock;
    /* protected by lock; the accepting thread, which writes, reads without */
    ListenResult at;            /* none: not yet */
    struct stat bound;          /* unix: the socket in the file system; none of its own: zero */
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
        if (a->file.direct && a->direct_fd < 0) {   /* if there is none, the other is opened again */
            a->direct_fd = fds->open_set(fds->opaque, a->path,
                                         (outgoing ? O_WRONLY : O_RDONLY) | O_DIRECT, NULL);
        }
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
    Channel *c = fd < 0 ? NULL : channel_new_fd_file(fd, name, &a->file, errp);
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

/* What opens a channel that is there from the beginning; NULL: somebody has to come. */
static const ChannelOpener *opener_of(const ChannelAddress *a)
{
    return a->kind == CHANNEL_FILE ? &channel_file_opener
           : a->kind == CHANNEL_EXEC ? &channel_exec_opener : NULL;
}

static Channel *connect_opened(ChannelAddress *a, int cancel_fd, GError **errp)
{
    BoundedCall *opening = opener_of(a)->start(a, true, errp);
    Channel *c = opening ? opener_of(a)->finish(a, &opening, true, cancel_fd, errp) : NULL;

    bounded_call_free(opening);
    return c;
}

Channel *channel_connect(ChannelAddress *a, int cancel_fd, GError **errp)
{
    trace_open(a, true);
    if (a->kind == CHANNEL_FD) {
        return channel_fd_open(a, true, errp);
    }
    return opener_of(a) ? connect_opened(a, cancel_fd, errp) : connect_socket(a, cancel_fd, errp);
}

/* ---- listening ---- */

static void listener_at(ChannelListener *l, const ListenResult *result)
{
    g_mutex_lock(&l->lock);
    l->at = *result;
    if (l->address->kind == CHANNEL_UNIX && stat(l->address->path, &l->bound) < 0) {
        l->bound.st_nlink = 0;
    }
    g_mutex_unlock(&l->lock);
}

/* The call that binds is done: what came of it. */
static bool listener_bound(ChannelListener *l, GError **errp)
{
    ListenResult result;
    bool ok = channel_socket_listening(l->pending, &result, errp);

    if (ok) {
        listener_at(l, &result);
    }
    g_clear_pointer(&l->pending, bounded_call_free);
    return ok;
}

static bool listener_bind(ChannelListener *l, GError **errp)
{
    g_autoptr(GError) err = NULL;
    ListenResult result = { .n = 0 };

    l->pending = channel_socket_listen(l->address, &result, &err);
    if (err) {
        g_propagate_error(errp, g_steal_pointer(&err));
        return false;
    }
    if (!l->pending) {
        listener_at(l, &result);
        return true;
    }
    return !bounded_call_done(l->pending, -1, LISTEN_GRACE_MS) || listener_bound(l, errp);
}

/* What can be known of it now: if opening it has failed already, that. */
static bool listener_open(ChannelListener *l, const ChannelOpener *opener, GError **errp)
{
    l->pending = opener->start(l->address, false, errp);
    return l->pending && (!bounded_call_done(l->pending, -1, LISTEN_GRACE_MS) ||
                          !opener->failed(l->pending, errp));
}

static bool listener_begin(ChannelListener *l, GError **errp)
{
    const ChannelOpener *opener = opener_of(l->address);

    trace_open(l->address, false);
    if (l->address->kind == CHANNEL_FD) {
        l->ready = channel_fd_open(l->address, false, errp);
        return l->ready != NULL;
    }
    return opener ? listener_open(l, opener, errp) : listener_bind(l, errp);
}

ChannelListener *channel_listen(ChannelAddress *a, GError **errp)
{
    ChannelListener *l = g_new0(ChannelListener, 1);

    g_mutex_init(&l->lock);
    l->address = channel_address_copy(a);
    l->address->fd = a->fd;
    l->address->direct_fd = a->direct_fd;
    a->fd = a->direct_fd = -1;
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
    struct pollfd p[LISTEN_SOCKETS_MAX + 1];

    for (int i = 0; i < l->at.n; i++) {
        p[i] = (struct pollfd){ .fd = l->at.fds[i], .events = POLLIN };
    }
    p[l->at.n] = (struct pollfd){ .fd = l->wake_fd, .events = POLLIN };
    for (;;) {
        int n = poll(p, l->at.n + 1, -1);
        if (n < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "Unable to wait for a connection on '%s'", l->at.bound);
            return -1;
        }
        if (n > 0 && p[l->at.n].revents) {
            error_setg(errp, "Waiting for a connection on '%s' was cancelled", l->at.bound);
            return -1;
        }
        for (int i = 0; n > 0 && i < l->at.n; i++) {
            if (p[i].revents) {
                return i;
            }
        }
    }
}

/* It could not be bound at once. */
static bool listener_bind_late(ChannelListener *l, GError **errp)
{
    if (!bounded_call_done(l->pending, l->wake_fd, -1)) {
        if (l->address->kind == CHANNEL_TCP) {
            error_setg(errp, "Looking up '%s' to listen there was cancelled", l->address->host);
        } else {
            error_setg(errp, "Listening at '%s' was cancelled", l->address->path);
        }
        return false;
    }
    return listener_bound(l, errp);
}

static Channel *accept_peer(ChannelListener *l, GError **errp)
{
    for (;;) {
        int i = listener_wait(l, errp);
        if (i < 0) {
            return NULL;
        }
        int fd = accept4(l->at.fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            trace_migration_socket_incoming_accepted(l->at.bound);
            return channel_socket_new(fd, l->at.bound, errp);
        }
        if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
            error_setg_errno(errp, errno, "Unable to accept a connection on '%s'", l->at.bound);
            return NULL;
        }
    }
}

static Channel *accept_once(ChannelListener *l, GError **errp)
{
    Channel *c = g_steal_pointer(&l->ready);

    if (c) {
        channel_set_liveness(c, &channel_liveness);
    } else if (l->pending) {
        c = opener_of(l->address)->finish(l->address, &l->pending, false, l->wake_fd, errp);
        g_clear_pointer(&l->pending, bounded_call_free);
    } else {
        error_setg(errp, "'%s' has one channel only, which is in use", l->address->path);
    }
    return c;
}

Channel *channel_listener_accept(ChannelListener *l, GError **errp)
{
    if (l->address->kind != CHANNEL_TCP && l->address->kind != CHANNEL_UNIX) {
        return accept_once(l, errp);
    }
    Channel *c = l->at.n || listener_bind_late(l, errp) ? accept_peer(l, errp) : NULL;
    if (c && l->address->keep_alive == CHANNEL_OFF) {
        channel_socket_never_probe(c);
    } else if (c) {
        channel_set_liveness(c, &channel_liveness);
    }
    return c;
}

char *channel_listener_address(ChannelListener *l)
{
    g_mutex_lock(&l->lock);
    char *text = g_strdup(l->at.bound);
    g_mutex_unlock(&l->lock);
    return text;
}

GPtrArray *channel_listener_addresses(ChannelListener *l)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)channel_address_free);

    g_mutex_lock(&l->lock);
    for (int i = 0; i < l->at.n; i++) {
        if (l->address->kind == CHANNEL_UNIX) {
            g_ptr_array_add(list, channel_address_copy(l->address));
        } else {
            channel_socket_addresses(l->at.fds[i], list);
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

/* Another listener may have taken the place meanwhile. */
static void remove_socket(const ChannelListener *l)
{
    struct stat now;

    if (l->address->kind == CHANNEL_UNIX && l->bound.st_nlink &&
        stat(l->address->path, &now) == 0 && now.st_ino == l->bound.st_ino &&
        now.st_dev == l->bound.st_dev) {
        unlink(l->address->path);
    }
}

void channel_listener_free(ChannelListener *l)
{
    if (!l) {
        return;
    }
    remove_socket(l);
    for (int i = 0; i < l->at.n; i++) {
        close(l->at.fds[i]);
    }
    if (l->ready) {
        channel_close(l->ready, NULL);
    }
    bounded_call_free(l->pending);
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    channel_address_free(l->address);
    g_free(l->at.bound);
    g_mutex_clear(&l->lock);
    g_free(l);
}
