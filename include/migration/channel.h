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

/**
 * fn(opaque, true) before a read has to wait for the peer and fn(opaque,
 * false) when it need not any more, both on the reading thread: to let go of
 * a lock meanwhile.
 */
typedef struct ChannelWaitHook {
    void (*fn)(void *opaque, bool waiting);
    void *opaque;
} ChannelWaitHook;

/** How it ended for whoever takes what was written. */
typedef enum ChannelEnd {
    CHANNEL_END_OPEN,           /* not yet */
    CHANNEL_END_TAKEN,          /* well, or nothing is known of it */
    CHANNEL_END_FAILED,
} ChannelEnd;

/** What a leaf implements; every member is required. */
typedef struct ChannelOps {
    const char *kind;   /* "tcp", "unix", "fd", "exec", "file" */
    /** Writes some bytes (>0), or -1 with errp. Blocks. Interrupted by shutdown (-1). */
    ssize_t (*writev)(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
    /** channel_pwrite_all, some bytes of it (>0); only ever called where channel_is_seekable. */
    ssize_t (*pwrite)(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp);
    /** channel_punch; only ever called where channel_is_seekable. */
    bool (*punch)(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp);
    /** channel_settle. */
    bool (*settle)(Channel *c, GError **errp);
    /** channel_check_room. */
    bool (*room)(Channel *c, uint64_t end, uint64_t bytes, GError **errp);
    /**
     * Reads some bytes (>0), 0 at end, -1 with errp. Blocks, with hook (may be
     * NULL) around the wait. Interrupted by shutdown.
     */
    ssize_t (*read)(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook, GError **errp);
    /** channel_complete. */
    ChannelEnd (*complete)(Channel *c, int ms, GError **errp);
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
/** The same, whether all it sent has been read or not. */
bool channel_peer_ended(const Channel *c);
/**
 * After something was sent to a peer that has closed its side: false if that
 * was for nobody. Waits a moment for a TCP peer's kernel to say so.
 */
bool channel_peer_listens(const Channel *c);
int channel_fd(const Channel *c);           /* for pread/lseek of seekable channels; -1 otherwise */
/** The same file, opened with O_DIRECT, if that was asked for and it is incoming; -1 otherwise. */
int channel_direct_fd(const Channel *c);
/** Human name for messages: "tcp:host:port", "fd:migrate", ... */
const char *channel_name(const Channel *c);
/** The kind: "tcp", "unix", "fd", "exec", "file". */
const char *channel_type(const Channel *c);

ssize_t channel_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
bool channel_write_all(Channel *c, const void *buf, size_t len, GError **errp);
/**
 * Writes what a socket takes at once and returns how much that was; 0 also where it is none, was shut
 * down or fails (channel_writev says why). Never waits. Any thread that has the writing half.
 */
size_t channel_write_now(Channel *c, const void *buf, size_t len);
/** Writes all of it at offset, not where the file stands; only where channel_is_seekable. */
bool channel_pwrite_all(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp);

#define CHANNEL_RUN_BYTES (1u << 20)

/** Memory that is copied and written later, by whichever thread comes to it first. */
typedef struct ChannelRun {
    const void *data;           /* may change until it is copied: guest RAM */
    size_t len;                 /* 1 to CHANNEL_RUN_BYTES */
    uint64_t offset;
    /** What will be in the file, on the thread that writes it. NULL: nobody wants to know. */
    void (*copied)(const struct ChannelRun *run, const void *copy);
    void *opaque;               /* the two of them are copied's */
    uint64_t tag;
} ChannelRun;

/** channel_pwrite_run has n threads (1 to 255). A seekable channel that is written to; once. False with errp. */
bool channel_set_writers(Channel *c, unsigned n, GError **errp);
/**
 * One more run. Runs may be written in any order, so no two that overlap may be there at the same time:
 * channel_settle is between them. data and opaque stay until then, or until c is closed. Waits while many
 * are waiting; errors are told by a later call. The thread that writes to c.
 */
bool channel_pwrite_run(Channel *c, const ChannelRun *run, GError **errp);
/**
 * What was written there is not wanted any more, and is to take no room; what is read there afterwards
 * may be zeros or what it was. In order with channel_pwrite_all. Where the file system cannot do that,
 * nothing happens. at_end: not now, but when the file is complete. False: something before it has failed.
 */
bool channel_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp);
/**
 * A file that was opened to be saved into again (ChannelFileOptions.again): channel_complete puts head,
 * CHANNEL_FILE_HEAD_BYTES at most, at its beginning when all else is on the disk. Before anything is written.
 */
bool channel_set_head(Channel *c, const void *head, size_t len, GError **errp);
/**
 * Waits until what was written has reached the descriptor: a file takes copies, which are written
 * later (errors are told by a later call). To be called before channel_fd is moved or looked at.
 */
bool channel_settle(Channel *c, GError **errp);
/**
 * Settles, and looks whether a file may become `end` bytes long (it does, of holes) and whether its
 * file system has room for `bytes` more. True where that cannot be known.
 */
bool channel_check_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp);
ssize_t channel_read(Channel *c, void *buf, size_t len, GError **errp);
/** channel_read with a hook around its waits; hook may be NULL. */
ssize_t channel_read_hooked(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                            GError **errp);
bool channel_read_all(Channel *c, void *buf, size_t len, GError **errp); /* short = error */
/**
 * Waits for the first len bytes that come and leaves them to be read. Sockets. False: they will not all
 * come, or the wait was ended; whoever reads learns why.
 */
bool channel_peek(Channel *c, void *buf, size_t len);
/**
 * From now on memory may be sent without a copy in the kernel, which locks it meanwhile. TCP; false with
 * errp elsewhere, and where the kernel cannot.
 */
bool channel_begin_uncopied(Channel *c, GError **errp);
/**
 * Writes all of it so. It is read until channel_settle_uncopied has returned: what is changed before may
 * arrive as it was or as it is. False also where the kernel may lock less memory than one call has. What
 * it cannot lock because others have locked as much as may be, it copies. The thread that writes to c.
 */
bool channel_write_uncopied(Channel *c, const struct iovec *iov, int iovcnt, GError **errp);
/**
 * Waits until the kernel has let go of all of it: the peer's kernel has it. *copied: there was some since
 * the last call, and the kernel has copied all of that after all.
 */
bool channel_settle_uncopied(Channel *c, bool *copied, GError **errp);
/**
 * Nothing more will be written: the peer sees the end of what it reads, what
 * it says can still be read. No thread may be writing. Sockets and pipes.
 */
void channel_end_writing(Channel *c);
/**
 * The same while another thread may be writing: its write fails, reading goes on. False, and nothing
 * was done, where that cannot be (all but sockets). Any thread.
 */
bool channel_cut_writing(Channel *c);
/**
 * What is not here yet will not be read: a blocked read comes to its end. Writing goes on, where there
 * are two directions. Any thread.
 */
void channel_end_reading(Channel *c);
/**
 * Everything was written: ends writing where nothing can come back, and
 * waits, ms at most (-1: for ever), until whoever takes it has ended. For exec
 * the command: FAILED with errp if it did; for a file, until it is whole (ChannelFileOptions)
 * and closed, in which late errors come out. Other kinds: TAKEN at once.
 * channel_shutdown ends the wait (FAILED). After OPEN it may be called again.
 */
ChannelEnd channel_complete(Channel *c, int ms, GError **errp);
/**
 * What is known of how the other end ended ("Command 'x' exited with status
 * 0 after 0.3 s"), for the message of whoever wanted more; NULL: nothing.
 * Caller frees. May wait half a second for the status.
 */
char *channel_describe_end(Channel *c);
/** How long a TCP connection may be silent before it counts as lost. All 0: as the kernel has it. */
typedef struct ChannelLiveness {
    unsigned idle_s, interval_s, probes;    /* nothing is under way: when to probe, how often, how many */
    unsigned silence_ms;    /* something is: no sign of life from the peer's kernel for that long */
} ChannelLiveness;

/**
 * Notices a dead link without waiting for the kernel's quarter of an hour:
 * a blocked read or write fails. A peer that is there but does not read is
 * alive. False: c is no TCP connection. Before other threads use c, or
 * between their calls.
 */
bool channel_set_liveness(Channel *c, const ChannelLiveness *l);
/** What a migration wants: a minute. An outage that one would rather wait out than begin anew is shorter. */
extern const ChannelLiveness channel_liveness;
/**
 * The kernel's own look for a dead link finds one within ms, where channel_set_liveness was done; else
 * nothing. Any thread.
 */
void channel_sharpen_liveness(Channel *c, unsigned ms);
/**
 * For a talk in which the peer always has something to say: from now on a read or write that waits fails
 * when for ms nothing has come, and nothing of what was written before got on its way; also where the
 * kernel at the other end lives. 0: not any more. A time in which this process stood still does not
 * count. Sockets; any thread.
 */
void channel_set_patience(Channel *c, unsigned ms);
/**
 * What is written next, on either side, is not to stand behind much that waits in the kernel: of what has
 * not been sent yet it holds some 32 KiB, which keeps any link busy; of what has come, on a link that is
 * short, what 10 Gbit/s bring in one round trip. For good. TCP; nothing elsewhere. Any thread.
 */
void channel_keep_queue_short(Channel *c);
/** When something last came from the peer (monotonic, microseconds); 0: nothing yet. Any thread. */
int64_t channel_heard_us(const Channel *c);
void channel_shutdown(Channel *c);
/**
 * Frees c whatever it returns; no other thread may use it. Waits at most half
 * a second: an exec command that still runs is ended if c was shut down
 * (SIGTERM, then SIGKILL), and left alone otherwise.
 */
bool channel_close(Channel *c, GError **errp);

/** What was said of a switch. */
typedef enum ChannelSwitch { CHANNEL_UNSAID, CHANNEL_ON, CHANNEL_OFF } ChannelSwitch;

#define CHANNEL_FILE_MARK_BYTES 4

#define CHANNEL_FILE_HEAD_BYTES 64

/** How a regular file is written; nothing else knows of it. All 0: where it is, and that is all. */
typedef struct ChannelFileOptions {
    /** If `marked`, in place of the first bytes until channel_complete: then it is whole. */
    uint8_t mark[CHANNEL_FILE_MARK_BYTES];
    bool marked;
    bool beside;            /* a path's file is a new one, which gets its name in channel_complete */
    bool again;             /* a path's file has to be there, and is added to: nothing is cut off */
    bool direct;            /* what is written or read by position goes around the page cache */
    bool sync;              /* channel_complete waits for the disk before it does either */
} ChannelFileOptions;

/* Parsed address: from a URI or from QMP "channels". */
typedef struct ChannelAddress {
    enum { CHANNEL_TCP, CHANNEL_UNIX, CHANNEL_FD, CHANNEL_EXEC, CHANNEL_FILE } kind;
    char *host, *port;      /* tcp */
    char *path;             /* unix, file, fd name or number, exec command */
    uint64_t offset;        /* file */
    int fd;                 /* fd, file: taken already (channel_address_take_fd), owned; -1: no */
    int direct_fd;          /* file: the same file, O_DIRECT; as fd */
    uint16_t to;            /* tcp: listening, the last port to be tried; 0: only the one */
    ChannelSwitch ipv4, ipv6, keep_alive, mptcp;    /* tcp */
    bool numeric;           /* tcp: host and port are numbers, names are not looked up */
    unsigned connect_ms;    /* tcp: so long each address may take to answer; 0: as the kernel has it */
    ChannelFileOptions file;    /* fd, file: outgoing; incoming: direct only */
} ChannelAddress;

/** An empty one (fd -1, all else 0). */
ChannelAddress *channel_address_new(void);
/** A copy, without the descriptor. */
ChannelAddress *channel_address_copy(const ChannelAddress *a);
/** NULL with QEMU's message ("unknown migration protocol: foo", ...) in errp. */
ChannelAddress *channel_address_parse(const char *uri, GError **errp);
/** What a parser cannot know by itself: that the options agree. False with errp. */
bool channel_address_check(const ChannelAddress *a, GError **errp);
char *channel_address_to_string(const ChannelAddress *a);
void channel_address_free(ChannelAddress *a);

/* Where descriptors that were handed in are found. Given by the owner so that channels know no monitor. */
typedef struct FdResolver {
    /** The one that getfd called so: owned by the caller now; -1 with errp. */
    int (*take_fd)(void *opaque, const char *name, GError **errp);
    /**
     * One of "/dev/fdset/N" for access O_RDONLY or O_WRONLY, with O_DIRECT only one that has it:
     * owned by the caller; -1 with errp.
     */
    int (*open_set)(void *opaque, const char *path, int access, GError **errp);
    void *opaque;
} FdResolver;

/**
 * What only the thread of fds may do before a connects or listens: takes the
 * descriptor of "fd:NAME" and of "file:/dev/fdset/N" into a. True if a names
 * none. Does not wait.
 */
bool channel_address_take_fd(ChannelAddress *a, const FdResolver *fds, bool outgoing,
                             GError **errp);

/**
 * Opens an outgoing channel. Waits (for the name, the peer, the reader of a
 * FIFO, the disk): call on the migration thread; *cancel_fd (an eventfd, may
 * be -1) readable ends every wait with an error. Takes a->fd.
 * "Failed to connect to '127.0.0.1:1': Connection refused".
 */
Channel *channel_connect(ChannelAddress *a, int cancel_fd, GError **errp);

/*
 * Incoming. Sockets wait for peers, as many as accept is called for: one that
 * nobody accepted is closed with the listener. Other kinds have one channel.
 */
typedef struct ChannelListener ChannelListener;
/**
 * Binds and listens (tcp by numbers), or opens (fd). What may take for ever is
 * begun, and waited for half a second at most: the lookup of a name, a path to
 * be bound, the opening of a file, the start of a command. What has failed
 * until then fails here, what fails later fails in accept. Takes a->fd.
 */
ChannelListener *channel_listen(ChannelAddress *a, GError **errp);
/**
 * Waits for the next peer (or the name, the file, the writer of a FIFO) and
 * returns the channel, with channel_liveness unless the address says keep-alive=off; NULL with errp, also after channel_listener_shutdown.
 * One thread at a time.
 */
Channel *channel_listener_accept(ChannelListener *l, GError **errp);
/** The address it was asked for, with the port that it got; NULL: no socket, or not yet. Any thread; caller frees. */
char *channel_listener_address(ChannelListener *l);
/**
 * Every address that is really listened on, hosts and ports as numbers
 * (ipv4 or ipv6 on): of ChannelAddress *, empty if none or not yet. Any
 * thread; caller unrefs, which frees them.
 */
GPtrArray *channel_listener_addresses(ChannelListener *l);
void channel_listener_shutdown(ChannelListener *l);     /* any thread: ends accept, now and later */
void channel_listener_free(ChannelListener *l);

/** An existing fd as a channel (takes it). */
Channel *channel_new_fd(int fd, const char *name, GError **errp);

#endif
