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
    /* any thread, atomic */
    int silence_ms;         /* channel_set_liveness; 0: as long as the kernel likes */
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
ssize_t channel_fd_read(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                        GError **errp);
bool channel_fd_complete(Channel *c, GError **errp);
char *channel_fd_describe_end(Channel *c);
void channel_fd_shutdown(Channel *c);
bool channel_fd_close(Channel *c, GError **errp);

/* Waits for events on fd; false with errp if wake_fd (may be -1) became readable first. */
bool channel_wait(int fd, short events, int wake_fd, GError **errp);

/* ---- bounded.c: system calls that cannot be interrupted ---- */

/** Runs fn(opaque) on a thread that nobody joins. False with errno if there can be no more threads. */
bool channel_thread_start(void *(*fn)(void *), void *opaque);

/** A call that runs on a thread of its own; who waits for it may lose patience and let it go. */
typedef struct BoundedCall BoundedCall;

/**
 * Starts work(arg). arg holds copies of everything work needs and its result;
 * drop frees both, on whichever thread is last. Takes arg even if it fails.
 */
BoundedCall *bounded_call_start(void (*work)(void *arg), void *arg, GDestroyNotify drop,
                                GError **errp);
/** Waits at most ms (-1: for ever) or until wake_fd (may be -1) is readable; true once work has returned. */
bool bounded_call_done(BoundedCall *b, int wake_fd, int ms);
/** arg; to be looked at when done only. */
void *bounded_call_arg(BoundedCall *b);
/** Lets go of it, whether done or not. */
void bounded_call_free(BoundedCall *b);

/* ---- socket.c ---- */

/**
 * Starts looking up a's name if that may take long; NULL without errp: there
 * is no need, channel_socket_listen and _connect find it at once.
 */
BoundedCall *channel_socket_resolve(const ChannelAddress *a, bool passive, GError **errp);
Channel *channel_socket_connect(const ChannelAddress *a, int cancel_fd, GError **errp);
/**
 * Listening sockets (at most max) bound to a; *bound gets the address with
 * the real port. resolved (may be NULL) is a lookup that is done. Does not
 * wait. Returns how many, 0 = error.
 */
int channel_socket_listen(const ChannelAddress *a, BoundedCall *resolved, int *fds, int max,
                          char **bound, GError **errp);
/** Appends the addresses (new ChannelAddress) that a listening TCP socket serves. */
void channel_socket_addresses(int fd, GPtrArray *list);
/** True if the kernel has sent something, or asked, and heard nothing of the peer for ms. */
bool channel_socket_is_silent(int fd, unsigned ms);
/** Wraps a connected socket: TCP_NODELAY, O_CLOEXEC. Takes fd whatever happens. */
Channel *channel_socket_new(int fd, const char *kind_name, GError **errp);

/* ---- exec.c, file.c ---- */

Channel *channel_exec_open(const ChannelAddress *a, GError **errp);
/** Starts opening the file that a names, or takes a->fd. Nobody waits here. */
BoundedCall *channel_file_start(ChannelAddress *a, bool outgoing, GError **errp);
/**
 * The channel, once the file is open and, for a FIFO, the other side is there;
 * wake_fd ends the wait. *opening may become another call or NULL; the
 * caller lets go of it in any case.
 */
Channel *channel_file_finish(const ChannelAddress *a, BoundedCall **opening, bool outgoing,
                             int wake_fd, GError **errp);
/** Whether a call that is done has failed: then errp says how. */
bool channel_file_failed(BoundedCall *opening, GError **errp);

#endif
