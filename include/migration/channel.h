/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Byte channels for migration: tcp:, unix:, fd:, exec:, file:. A channel is
 * one connected thing; how it was made is a leaf behind ChannelOps. Reads and
 * writes block (any thread); channel_shutdown from another thread ends them.
 */
#ifndef MIGRATION_CHANNEL_H
#define MIGRATION_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct Channel Channel;

/** What a leaf implements; every member is required. */
typedef struct ChannelOps {
    const char *kind;   /* "tcp", "unix", "fd", "exec", "file" */
    /** Writes some bytes (>0), or -1 with errp. Blocks. Interrupted by shutdown (-1). */
    ssize_t (*writev)(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
    /** Reads some bytes (>0), 0 at end, -1 with errp. Blocks. Interrupted by shutdown. */
    ssize_t (*read)(Channel *c, void *buf, size_t len, GError **errp);
    /** channel_complete. */
    bool (*complete)(Channel *c, GError **errp);
    /** channel_describe_end. */
    char *(*describe_end)(Channel *c);
    /** Ends blocked and future reads and writes, from any thread; idempotent. Works for pipes and files too. */
    void (*shutdown)(Channel *c);
    /** Releases everything, without waiting long. For exec: false if the child is known to have failed. */
    bool (*close)(Channel *c, GError **errp);
} ChannelOps;

/** True if positioned I/O works (a regular file). */
bool channel_is_seekable(const Channel *c);
/** True if the peer can answer on the same channel (sockets, exec). */
bool channel_has_return_path(const Channel *c);
/** True if the peer has closed its side of a socket and everything it sent has been read. Does not wait. */
bool channel_peer_gone(const Channel *c);
int channel_fd(const Channel *c);           /* for pread/pwrite of seekable channels; -1 otherwise */
/** Human name for messages: "tcp:host:port", "fd:migrate", ... */
const char *channel_name(const Channel *c);
/** The kind: "tcp", "unix", "fd", "exec", "file". */
const char *channel_type(const Channel *c);

ssize_t channel_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
bool channel_write_all(Channel *c, const void *buf, size_t len, GError **errp);
ssize_t channel_read(Channel *c, void *buf, size_t len, GError **errp);
bool channel_read_all(Channel *c, void *buf, size_t len, GError **errp); /* short = error */
/**
 * Nothing more will be written: the peer sees the end of what it reads, what
 * it says can still be read. No thread may be writing. Sockets and pipes.
 */
void channel_end_writing(Channel *c);
/**
 * Everything was written: ends writing where nothing can come back, and
 * waits until whoever takes it has ended. For exec the command: false if it
 * failed. Other kinds: true at once. channel_shutdown ends the wait (false).
 */
bool channel_complete(Channel *c, GError **errp);
/**
 * What is known of how the other end ended ("Command 'x' exited with status
 * 0 after 0.3 s"), for the message of whoever wanted more; NULL: nothing.
 * Caller frees. May wait half a second for the status.
 */
char *channel_describe_end(Channel *c);
void channel_shutdown(Channel *c);
/**
 * Frees c whatever it returns; no other thread may use it. Waits at most half
 * a second: an exec command that still runs is ended if c was shut down
 * (SIGTERM, then SIGKILL), and left alone otherwise.
 */
bool channel_close(Channel *c, GError **errp);

/**
 * hook(opaque, true) before a read or write of c has to wait for the peer and
 * hook(opaque, false) when it need not any more, both on the waiting thread:
 * to let go of a lock meanwhile. Set before another thread uses c.
 */
void channel_set_wait_hook(Channel *c, void (*hook)(void *opaque, bool waiting), void *opaque);

/* Parsed address: from a URI or from QMP "channels". */
typedef struct ChannelAddress {
    enum { CHANNEL_TCP, CHANNEL_UNIX, CHANNEL_FD, CHANNEL_EXEC, CHANNEL_FILE } kind;
    char *host, *port;      /* tcp */
    char *path;             /* unix, file, fd name or number, exec command */
    uint64_t offset;        /* file */
    bool ipv4, ipv6;        /* tcp: asked explicitly (",ipv4=on", ",ipv6=on") */
} ChannelAddress;

/** NULL with QEMU's message ("unknown migration protocol: foo", ...) in errp. */
ChannelAddress *channel_address_parse(const char *uri, GError **errp);
char *channel_address_to_string(const ChannelAddress *a);
void channel_address_free(ChannelAddress *a);

/** Resolves fd names given with getfd; returns an fd that the caller owns, or -1. Handed in so that channels know no monitor. */
typedef struct FdResolver {
    int (*take_fd)(void *opaque, const char *name, GError **errp);
    void *opaque;
} FdResolver;

/**
 * Opens an outgoing channel. Blocks (connect): call on the migration thread;
 * *cancel_fd (an eventfd, may be -1) readable ends the wait with an error.
 * fd: names are resolved by the caller's resolver on the calling thread.
 * "Failed to connect to '127.0.0.1:1': Connection refused".
 */
Channel *channel_connect(const ChannelAddress *a, const FdResolver *fds, int cancel_fd,
                         GError **errp);

/* Incoming: listening sockets wait for one peer; others are ready at once. */
typedef struct ChannelListener ChannelListener;
/** Binds and listens (tcp, unix) or opens (fd, exec, file); returns only when a peer may connect. */
ChannelListener *channel_listen(const ChannelAddress *a, const FdResolver *fds, GError **errp);
/** Waits for the peer and returns the channel; NULL with errp, also when closed from another thread. */
Channel *channel_listener_accept(ChannelListener *l, GError **errp);
/** Addresses for query-migrate "socket-address": the bound tcp port, unix path; caller frees. */
char *channel_listener_address(const ChannelListener *l);
void channel_listener_shutdown(ChannelListener *l);     /* any thread: ends accept */
void channel_listener_free(ChannelListener *l);

/** An existing fd as a channel (takes it). */
Channel *channel_new_fd(int fd, const char *name, GError **errp);

#endif
