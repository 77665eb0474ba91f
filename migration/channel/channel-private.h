/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the leaves of migration/channel share: the base object that every
 * leaf embeds first, and the interruptible I/O that all of them use. Not for
 * use outside this folder and its tests.
 */
#ifndef MIGRATION_CHANNEL_PRIVATE_H
#define MIGRATION_CHANNEL_PRIVATE_H

#include "migration/channel.h"
#include "migration/channel/file-target.h"
#include "util/bounded.h"

struct Channel {
    /* set once by channel_init */
    const ChannelOps *ops;
    char *name;
    int rfd, wfd;           /* may be the same; -1: that direction does not exist */
    int wake_fd;            /* eventfd, readable for ever after a shutdown */
    bool is_socket;         /* both directions are one socket */
    bool seekable;
    bool return_path;
    /* file.c's */
    int direct_fd;          /* incoming, direct: the file again; 0: none */
    FileTarget *target;     /* what is written, until its writer is made and has it; else NULL */
    struct FileWriter *writer;  /* the writing thread makes it, others may shut it down; atomic */
    /* uncopied.c's, its writer's; numbers go round */
    uint32_t uncopied_sent, uncopied_done;  /* calls; of which the kernel has told that it is through */
    uint32_t uncopied_then; /* uncopied_sent when all were done */
    bool uncopied_really;   /* and one of them since then without a copy */
    /* any thread, atomic */
    int silence_ms;         /* channel_set_liveness; 0: as long as the kernel likes */
    /** Where silence_ms is not 0: nothing was heard of the peer for that long. */
    bool (*is_silent)(int fd, unsigned ms);
    int patience_ms;        /* channel_set_patience; 0: endless */
    int64_t heard_us;       /* when something came; monotonic */
    int64_t sign_us;        /* the same, or when something of ours got on its way, or patience began */
    int64_t looked_us;      /* when somebody who waits last looked at that */
    int backlog;            /* bytes that had not got on their way then */
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
ssize_t channel_fd_pwrite(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp);
bool channel_fd_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp);
bool channel_fd_settle(Channel *c, GError **errp);
bool channel_fd_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp);
ChannelEnd channel_fd_complete(Channel *c, int ms, GError **errp);
char *channel_fd_describe_end(Channel *c);
void channel_fd_shutdown(Channel *c);
bool channel_fd_close(Channel *c, GError **errp);

/* Waits for events on fd; false with errp if wake_fd (may be -1) became readable first. */
bool channel_wait(int fd, short events, int wake_fd, GError **errp);
/** The same; true also after ms (-1: never), *ready false. */
bool channel_wait_for(int fd, short events, int wake_fd, int ms, bool *ready, GError **errp);

/** The same for one of c's, which also fails when the peer is gone: channel_set_liveness, _patience. */
bool channel_wait_alive(Channel *c, int fd, short events, GError **errp);
/** False with errp after a shutdown; verb: "write to". */
bool channel_check_open(Channel *c, const char *verb, GError **errp);

/* ---- socket.c ---- */

Channel *channel_socket_connect(const ChannelAddress *a, int cancel_fd, GError **errp);
/** Says why nobody could be reached; returns -1. err: an errno, or -1 when cancelled. */
int channel_connect_failed(const char *peer, bool is_unix, int err, const GError *cancelled,
                           GError **errp);
struct sockaddr_un;
/** A socket connected to the path, or -1 with errp. Ends when cancel_fd becomes readable. */
int channel_connect_path(const ChannelAddress *a, const struct sockaddr_un *sun, int cancel_fd,
                         GError **errp);

#define LISTEN_SOCKETS_MAX 8

/** Where one listens. */
typedef struct ListenResult {
    int fds[LISTEN_SOCKETS_MAX];
    int n;
    char *bound;        /* the address with the real port */
} ListenResult;

/**
 * Binds listening sockets to a. What is known at once is in *result then, and
 * NULL is returned, with errp if it failed; else the call that looks up the
 * name or binds the path, which may take long.
 */
BoundedCall *channel_socket_listen(const ChannelAddress *a, ListenResult *result, GError **errp);
/** The same of a call that is done: false with errp if it failed. */
bool channel_socket_listening(BoundedCall *call, ListenResult *result, GError **errp);
/** Appends the addresses (new ChannelAddress) that a listening TCP socket serves. */
void channel_socket_addresses(int fd, GPtrArray *list);
/** keep-alive=off. */
void channel_socket_never_probe(Channel *c);
/** Wraps a connected socket: TCP_NODELAY, O_CLOEXEC. Takes fd whatever happens. */
Channel *channel_socket_new(int fd, const char *kind_name, GError **errp);

/* ---- file.c ---- */

/** channel_new_fd of a descriptor that, if it is a file, is written so. */
Channel *channel_new_fd_file(int fd, const char *name, const ChannelFileOptions *options,
                             GError **errp);

/* ---- file-writer.c: writing behind its user's back ---- */

typedef struct FileWriter FileWriter;

/** Takes target, on success only. Its user is one thread, but for cancel. name: for messages. */
FileWriter *file_writer_new(FileTarget *target, const char *name, GError **errp);
/**
 * Takes a copy of some bytes (>0), to be written at offset or (-1) where the
 * file stands. -1 with errp: what was taken before could not be written.
 * Waits while too much is waiting.
 */
ssize_t file_writer_writev(FileWriter *w, const struct iovec *iov, int iovcnt, int64_t offset,
                           GError **errp);
/** channel_punch, in turn. */
bool file_writer_punch(FileWriter *w, uint64_t offset, uint64_t len, bool at_end, GError **errp);
/** Starts n threads for runs: channel_set_writers. */
bool file_writer_start_runs(FileWriter *w, unsigned n, GError **errp);
/** channel_pwrite_run. */
bool file_writer_run(FileWriter *w, const ChannelRun *run, GError **errp);
/** Waits until all is written. */
bool file_writer_settle(FileWriter *w, GError **errp);
/** And whether what comes will find room: channel_check_room. */
bool file_writer_room(FileWriter *w, uint64_t end, uint64_t bytes, GError **errp);
/**
 * And until the file is whole, if `complete`, and closed, where late errors come out, ms at most
 * (-1: for ever). Nothing may be written afterwards; after OPEN it may be called again.
 */
ChannelEnd file_writer_close(FileWriter *w, bool complete, int ms, GError **errp);
/** Whether that was called. */
bool file_writer_closing(FileWriter *w);
/** Ends all of these waits, from any thread: what is not written yet is not wanted. */
void file_writer_cancel(FileWriter *w);
/** The same, and no more use of it. Does not wait long: a thread that does not come back is left behind. */
void file_writer_free(FileWriter *w);

/* ---- exec.c, file.c ---- */

/**
 * Opening what may take long, a file or a command: `start` begins it (a
 * descriptor that was handed in is taken) and nobody waits; a call that is done
 * has `failed`, with errp, or not; `finish` makes the channel, once it is open
 * and, for a FIFO, the other side is there. wake_fd ends that wait. *opening
 * may become another call or NULL; the caller lets go of it in any case.
 */
typedef struct ChannelOpener {
    BoundedCall *(*start)(ChannelAddress *a, bool outgoing, GError **errp);
    bool (*failed)(BoundedCall *opening, GError **errp);
    Channel *(*finish)(const ChannelAddress *a, BoundedCall **opening, bool outgoing, int wake_fd,
                       GError **errp);
} ChannelOpener;

extern const ChannelOpener channel_exec_opener, channel_file_opener;

#endif
