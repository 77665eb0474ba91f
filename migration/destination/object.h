/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object of one incoming migration, which its story (incoming.c) and its handles (handles.c) share.
 * What any thread may ask of it, or cut, is in object.c, on the ground.
 */
#ifndef MIGRATION_DESTINATION_OBJECT_H
#define MIGRATION_DESTINATION_OBJECT_H

#include "migration/channel-set.h"
#include "migration/destination/load.h"
#include "migration/migration-private.h"
#include "migration/multifd/recv.h"
#include "migration/destination/wait-stats.h"
#include "migration/stream/return-path.h"
#include "softmmu/present-engine.h"

/*
 * How far it is; only ever forward. What holds in each (check in incoming.c):
 *
 *   (1) listening: there is a listener, or accepting has failed; nothing was read or allocated.
 *   (2) loading:   the peer is there: channel, reader, answers, loader. No vCPU has run.
 *   (3) running:   postcopy, lazy: the guest may run, and nowhere else; pages are missing. Loader and
 *                  answers are there, channel and reader while there is a connection.
 *   (4) answered:  as loading, and the source has our verdict: nothing more is said to it.
 *   (5) done:      none of these is left; the state is completed or failed. After a postcopy that is
 *                  completed migrate-recover makes a listener again (afterwards.c).
 */
typedef enum IncomingPhase {
    INCOMING_LISTENING, INCOMING_LOADING, INCOMING_RUNNING, INCOMING_ANSWERED, INCOMING_DONE,
} IncomingPhase;

typedef struct Postcopy Postcopy;
typedef struct Lazy Lazy;
typedef struct Afterwards Afterwards;

struct Incoming {
    /* set once */
    Migration *m;
    Machine *machine;
    bool exit_on_error;
    char *image;                /* the path of a file that it comes from, from its start on; else NULL */
    GThread *thread;
    ChannelSet *channels;       /* the incoming thread fills and closes it, anybody may shut it */

    GMutex lock;
    GCond wake;                 /* postcopy: a reader has stopped, a listener is there; a start; quit */
    /* protected by lock */
    IncomingPhase phase;        /* written by the incoming thread, which reads it without */
    ChannelListener *listener;  /* NULL once all channels are there that may come */
    ChannelListener *next_listener; /* the newest recovery's, while listener is being given up */
    bool quit;                  /* incoming_free wants the thread to end */
    unsigned starts;            /* how often the guest was started */
    bool paused_by_user;        /* migrate-pause; until the pause is there */
    bool source_talks;          /* it asks for a word each second, over this connection */
    GError *error;
    int tid;
    SwitchoverTimes times;
    RamLoadStats received;      /* when there is no loader any more */
    int64_t came_us, loaded_us; /* monotonic; 0: not yet */
    uint64_t file_bytes;        /* 0: it comes from no file */
    bool whole;                 /* all of the guest has come */
    bool switched, blocktime;   /* pages may be missing; and the capability postcopy-blocktime was on */
    WaitStats *waits;           /* made with postcopy and lazy, kept to the end; else NULL */
    uint64_t requests, duplicates; /* atomic: pages asked for, pages that were here when they came */

    /* incoming thread only; load.ram may be looked at under the lock before phase done */
    MigrationSettings *settings; /* as they stood when the peer came; NULL before */
    MultifdRecv *multifd;       /* with the capability, from the peer's coming until all is loaded */
    Channel *channel;           /* the main one of channels: the set's */
    StreamReader *reader;       /* over channel */
    IncomingLoad load;
    ReturnPathWriter *answers;  /* over channel */
    Postcopy *postcopy;         /* with the capability postcopy-ram; else NULL */
    Lazy *lazy;                 /* with the capability x-mapped-ram-lazy; else NULL */
    Afterwards *after;          /* set once, under the lock: postcopy has completed; else NULL */
};

/** How missing pages get into memory, as x-postcopy-engine says. Incoming thread. */
const PresentEngineOps *incoming_engine(const Incoming *in);

/** A fault point (softmmu/faults.h) of this migration. */
static inline bool incoming_point(const Incoming *in, FaultPoint point, GError **errp)
{
    return fault_point(&in->machine->faults, point, errp);
}

#endif
