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

struct ChannelListener {
    /* set once */
    ChannelAddress address;     /* copies of what naming needs */
    char *bound;
    int fds[LISTENER_SOCKETS];
    int nfds;
    int wake_fd;
    /* accepting thread only */
    Channel *ready;             /* fd, exec, file: the one channel there is */
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

static Channel *channel_fd_open(const ChannelAddress *a, const FdResolver *fds, bool outgoing,
                                GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);
    int fd = fd_resolve(a->path, fds, errp);
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

/* Everything that needs no peer to come. */
static Channel *channel_open(const ChannelAddress *a, const FdResolver *fds, bool outgoing,
                             GError **errp)
{
    trace_open(a, outgoing);
    switch (a->kind) {
    case CHANNEL_FD:
        return channel_fd_open(a, fds, outgoing, errp);
    case CHANNEL_EXEC:
        return channel_exec_open(a, errp);
    case CHANNEL_FILE:
        return channel_file_open(a, outgoing, errp);
    default:
        error_setg(errp, "Not a local channel");
        return NULL;
    }
}

Channel *channel_connect(const ChannelAddress *a, const FdResolver *fds, int cancel_fd,
                         GError **errp)
{
    if (a->kind == CHANNEL_TCP || a->kind == CHANNEL_UNIX) {
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
    return channel_open(a, fds, true, errp);
}

ChannelListener *channel_listen(const ChannelAddress *a, const FdResolver *fds, GError **errp)
{
    ChannelListener *l = g_new0(ChannelListener, 1);

    l->address.kind = a->kind;
    l->address.path = g_strdup(a->path);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0) {
        error_setg_errno(errp, errno, "Unable to create an event descriptor");
    } else if (a->kind == CHANNEL_TCP || a->kind == CHANNEL_UNIX) {
        l->nfds = channel_socket_listen(a, l->fds, LISTENER_SOCKETS, &l->bound, errp);
    } else {
        l->ready = channel_open(a, fds, false, errp);
        l->bound = channel_address_to_string(a);
    }
    if (l->nfds == 0 && !l->ready) {
        channel_listener_free(l);
        return NULL;
    }
    return l;
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

Channel *channel_listener_accept(ChannelListener *l, GError **errp)
{
    if (l->nfds == 0) {
        Channel *c = g_steal_pointer(&l->ready);
        if (!c) {
            error_setg(errp, "'%s' was opened already", l->bound);
        }
        return c;
    }
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

char *channel_listener_address(const ChannelListener *l)
{
    return g_strdup(l->bound);
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
    if (l->nfds && l->address.kind == CHANNEL_UNIX) {
        unlink(l->address.path);
    }
    if (l->ready) {
        channel_close(l->ready, NULL);
    }
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    g_free(l->address.path);
    g_free(l->bound);
    g_free(l);
}
