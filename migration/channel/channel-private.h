/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the leaves of migration/channel share: the base object that every
 * leaf embeds first, and the interruptible I/O that all of them use. Not for
 * use outside this folder and its tests.
 */
#ifndef MIGRATION_CHANNEL_PRIVATE_H
#define MIGRATION_CHANNEL_PRIVATE_H

#include "migration/channel.h"

struct Channel {
    /* set once by channel_init */
    const ChannelOps *ops;
    char *name;
    int rfd, wfd;           /* may be the same; -1: that direction does not exist */
    int wake_fd;            /* eventfd, readable for ever after a shutdown */
    bool is_socket;         /* both directions are one socket */
    bool seekable;
    bool return_path;
    void (*wait_hook)(void *opaque, bool waiting);     /* NULL: none */
    void *wait_opaque;
    /* any thread, atomic */
    int shut;
};

/**
 * Fills the base of a new leaf; takes the descriptors only on success and
 * makes them non-blocking unless seekable. False if there is no eventfd to be
 * had.
 */
bool channel_init(Channel *c, const ChannelOps *ops, const char *name, int rfd, int wfd,
                  GError **errp);
/** Closes descriptors and frees the base's members, not c. */
void channel_finish(Channel *c);

/* Ops that do for every descriptor. */
ssize_t channel_fd_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
ssize_t channel_fd_read(Channel *c, void *buf, size_t len, GError **errp);
bool channel_fd_complete(Channel *c, GError **errp);
char *channel_fd_describe_end(Channel *c);
void channel_fd_shutdown(Channel *c);
bool channel_fd_close(Channel *c, GError **errp);

/* Waits for events on fd; false with errp if wake_fd (may be -1) became readable first. */
bool channel_wait(int fd, short events, int wake_fd, GError **errp);

/* bounded.c */
/** Runs fn(opaque) on a thread that nobody joins. False if there can be no more threads. */
bool channel_thread_start(void *(*fn)(void *), void *opaque);

/* socket.c */
Channel *channel_socket_connect(const ChannelAddress *a, int cancel_fd, GError **errp);
/** Listening sockets (at most max) bound to a; *bound gets the address with the real port. Returns how many, 0 = error. */
int channel_socket_listen(const ChannelAddress *a, int *fds, int max, char **bound, GError **errp);
/** Wraps a connected socket: TCP_NODELAY, O_CLOEXEC. Takes fd whatever happens. */
Channel *channel_socket_new(int fd, const char *kind_name, GError **errp);

/* exec.c, file.c */
Channel *channel_exec_open(const ChannelAddress *a, GError **errp);
Channel *channel_file_open(const ChannelAddress *a, bool outgoing, GError **errp);

#endif
