/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What file-writer.c, whose thread writes what comes in a row, and file-runs.c, whose threads write
 * runs of memory by position, have in common: one file, one lock, one first error.
 */
#ifndef MIGRATION_CHANNEL_FILE_WRITER_PRIVATE_H
#define MIGRATION_CHANNEL_FILE_WRITER_PRIVATE_H

#include "migration/channel/channel-private.h"

#define BLOCK_BYTES (1u << 20)
#define BLOCKS 8
#define BLOCK_ALIGN 4096            /* for direct I/O */
#define DIRECT_BLOCKS 4u            /* at the same time: the others are filled meanwhile */

typedef struct FileBlock {
    uint8_t *data;          /* NULL until it is used for the first time */
    size_t len;
    int64_t offset;         /* -1: where the file stands */
    uint64_t hole;          /* no data: so many bytes are to take no room; 0: data */
    bool at_end;            /* of a hole: not before all is complete */
} FileBlock;

struct FileWriter {
    /* set once */
    FileTarget *target;     /* the thread's; those of runs write pieces of it while they are busy */
    char *name;
    int refs;               /* atomic: the user's and the threads' */
    GMutex lock;
    GCond changed;
    /* protected by lock */
    FileBlock blocks[BLOCKS];   /* a ring; the thread reads those being written without the lock */
    unsigned first, count;
    unsigned writing;       /* so many of them, from the first on */
    unsigned run_threads;   /* 0: nobody has asked for any */
    GQueue runs;            /* of ChannelRun: no thread has taken them yet */
    unsigned copying;       /* threads that read what their runs point to, */
    unsigned busy;          /* and those that are not through with them */
    bool closing;           /* nothing more comes, */
    bool complete;          /* and it was all */
    bool cancelled;         /* nothing more is wanted */
    bool ended;             /* the thread, and fd is closed */
    bool lost;              /* nobody waits for the thread */
    bool asked;             /* for room: to this length, */
    uint64_t room_end;
    uint64_t room_free;     /* and the answer, */
    int room_errno;         /* or why there is none */
    int os_errno;           /* the first error, */
    FileStep failed_step;   /* in doing what, */
    uint64_t failed_at;     /* where it was written */
};

/* ---- file-shared.c ---- */

void file_writer_unref(FileWriter *w);
/* Locked. The first one is the cause. */
void file_writer_note_error(FileWriter *w, int err, FileStep step, uint64_t at);
/* Locked. False with errp where nothing more can be written. */
bool file_writer_check(const FileWriter *w, GError **errp);

/* ---- file-runs.c, all of them locked ---- */

/* Is any run not in the file yet? */
bool file_runs_pending(const FileWriter *w);
/* Waits until no thread has any. */
void file_runs_wait(FileWriter *w);
/* Cancelled: what they point to may go afterwards. */
void file_runs_drop(FileWriter *w);

#endif
