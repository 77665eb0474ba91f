/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object of one outgoing migration, and what all files of its story share. It lies on the
 * ground: nothing here calls one of the others.
 */
#ifndef MIGRATION_SOURCE_OBJECT_H
#define MIGRATION_SOURCE_OBJECT_H

#include "migration/channel-set.h"
#include "migration/multifd/send.h"
#include "migration/policy/policy.h"
#include "migration/policy/rate.h"
#include "migration/stream/return-path.h"
#include "migration/migration-private.h"

/* How far the guest is on its way; only ever forward. */
typedef enum OutgoingPhase {
    OUTGOING_SENDS,             /* the destination cannot have it: a cancel cuts the connections */
    OUTGOING_HANDS_OVER,        /* the last bytes are being written; a cancel ends our half of a
                                   socket, and an answer is read */
    OUTGOING_AWAITS,            /* all is sent: a cancel only ends our half, the answer is read; a
                                   command that is the answer gets half a second to end */
    OUTGOING_ENDS,              /* it is decided, or cannot be */
} OutgoingPhase;

/* Whose the guest is when the migration ends. */
typedef enum OutgoingOwner {
    OWNER_SOURCE,               /* it was not sent completely, or refused */
    OWNER_UNKNOWN,              /* all was sent, no answer came */
    OWNER_DESTINATION,          /* it has said yes, or nothing where nothing can be said */
} OutgoingOwner;

/* What it has for postcopy. */
typedef struct OutgoingPostcopy {
    /* protected by Outgoing.lock */
    bool wanted;                /* migrate-start-postcopy */
    bool paused_by_user;        /* migrate-pause; until the pause is there */
    bool abandoned;             /* the process ends, or given_up */
    bool given_up;              /* migrate_cancel: nobody knows whether the destination has the guest */
    ChannelAddress *resume;     /* migrate with resume; the migration thread takes it */
    Channel *resume_channel;    /* the same, of an fd: that was handed in */
    bool ponged;                /* the destination has answered at all */
    bool all_sent;              /* to the end of the stream, over this connection */
    bool loaded;                /* the destination has the device state, and the guest runs there */
    bool has_answered;          /* recovery: it knows this guest, so it has it */
    size_t bitmaps_left;        /* recovery: how many it has still to send */
    bool resume_acked;          /* recovery: it goes on */
    uint64_t bytes_at_run;      /* sent until it was told to run; 0: was not told */
    unsigned recoveries;
    /* migration thread only */
    bool follows;               /* the passes ended for postcopy */
    bool background;            /* pages go that nobody asked for */
    ChannelAddress *resuming;   /* where it tries to go on */
    int64_t alive_us;           /* when the destination was last asked whether it lives */
} OutgoingPostcopy;

struct Outgoing {
    /* set once */
    Migration *m;
    Machine *machine;
    ChannelAddress *addr;
    MigrationSettings *settings;
    StreamDialect dialect;
    uint32_t ram_id;
    GThread *thread;
    int cancel_fd;              /* eventfd: ends a connect */
    int yanked;                 /* atomic: somebody said so */
    ChannelSet *channels;       /* the migration thread fills and closes it, anybody may shut it */

    GMutex lock;
    GCond wake;                 /* cancelled, state moved on, rate changed */
    /* protected by lock */
    RamSaver *saver;            /* NULL before setup and after the end */
    OutgoingPhase phase;        /* written by the migration thread */
    bool cancelled;             /* read without lock too */
    bool kicked;                /* max-bandwidth has changed */
    bool way_back_ended;        /* the destination says no more */
    bool switchover_acked;      /* it has agreed to the switchover */
    RamStats last_ram;          /* when there is no saver any more */
    bool guest_ran;             /* when it started: else all is sent in "downtime" */
    bool has_ram;
    char *reason;               /* of the last decision */
    uint64_t pending;           /* wire bytes then */
    GError *error;              /* why it failed: the first cause */
    int64_t start_us, setup_us, end_us; /* monotonic; 0: not yet */
    SwitchoverTimes times;
    double bandwidth;           /* bytes per ms of the last window */
    int64_t expected_downtime_ms;
    uint64_t bytes_at_stop, bytes_now;
    bool to_file;
    bool incremental;           /* set once: only what was written since the baseline, into its file */
    char *note;                 /* set once: why it is not, though that is wanted; else NULL */
    uint64_t done_pages;        /* the most that were, at the end of any pass */
    int throttle_percent;
    int tid;
    OutgoingPostcopy postcopy;  /* of which too */

    /* migration thread only */
    Channel *channel;           /* the main one of channels; NULL before connect and after the end */
    StreamWriter *w;
    ReturnPath *rp;
    ReturnPathOps rp_ops;
    MultifdSend *multifd;       /* NULL: no parallel channels */
    uint64_t answered_bytes;    /* ram_save_urgent_bytes when it last held the background back */
    int64_t answered_us, held_us;   /* when; how much of its due that has cost the background */
    StreamWriter *urgent;       /* postcopy-preempt: pages that were asked for */
    uint64_t bytes_base;        /* over connections that were lost */
    RateLimit rate;
    uint64_t part_limit;        /* max-bandwidth when the part began */
    ThrottleState throttle;
    int64_t throttle_since_us, last_sync_us;
    int64_t pass_us;            /* between the last two syncs */
    double dirtied_per_ms;      /* pages, by the last sync */
    unsigned extra_passes;
    bool extra_pass;            /* one is going on */
    bool caught_up;             /* the destination was waited for */
    PolicyTrend trend;          /* lock */
    PolicyVerdict verdict;      /* the last one that monitors were told */
    uint64_t throttle_dirtied, throttle_sent;
    uint64_t pass;              /* last one announced */
    uint64_t stream_end;        /* incremental: where its room in the file ends; else 0 */
    RamBaseline *next;          /* incremental, all is saved: what the file holds now */
    uint64_t section_at;        /* stream offset where the section being written began */
    bool stopped;               /* by us: the run state is ours to restore */
    OutgoingOwner owner;
    struct json_object *description;
    GByteArray *device_state;
};

/* ---- the migration thread ---- */

/**
 * Asserted at the entry of each part of the story, which may wait: the big lock is not held, and the
 * guest is so far on its way.
 */
void outgoing_assert(const Outgoing *o, OutgoingPhase phase, OutgoingOwner owner);
/** What cancel may do depends on it. Only forward. */
void outgoing_enter(Outgoing *o, OutgoingPhase phase);
/** A step of the switchover is done now. */
void outgoing_note_step(Outgoing *o, SwitchoverStep step);

bool outgoing_cancelled(Outgoing *o);
/** False with errp if the migration was cancelled, or the destination says no more or a yes too early. */
bool outgoing_check_cancelled(Outgoing *o, GError **errp);
/** x-verdict-timeout; for ever if it is 0. */
int64_t outgoing_verdict_timeout_us(Outgoing *o);
/** A file with a place for each page, of either layout. */
bool outgoing_is_mapped(const Outgoing *o);
/** Everything that went over the channel, for the rate: mapped pages do not pass the stream. */
uint64_t outgoing_bytes_sent(Outgoing *o);
/** Of that, what a limit is about: not pages that a destination in postcopy has asked for. */
uint64_t outgoing_bytes_limited(Outgoing *o);
/** A look at the dirty log is next: what is done of memory will be less, but nobody is told so. */
void outgoing_note_done(Outgoing *o);
/** Tells the monitors of the passes that began since the last call. */
void outgoing_announce_passes(Outgoing *o);
void outgoing_put_command(Outgoing *o, uint16_t command, const void *data, uint16_t len);
/** Begins a section of RAM: SECTION_START, PART or END. */
void outgoing_put_section(Outgoing *o, uint8_t type);
/** Ends it; the bytes may stay queued. */
void outgoing_end_section(Outgoing *o);
/** The same, and sends what is queued. */
bool outgoing_put_footer(Outgoing *o, GError **errp);

/** A fault point (softmmu/faults.h) of this migration. */
static inline bool outgoing_point(const Outgoing *o, FaultPoint point, GError **errp)
{
    return fault_point(&o->machine->faults, point, errp);
}

static inline bool outgoing_has_cap(const Outgoing *o, MigrationCaps caps)
{
    return migration_settings_caps(o->settings) & caps;
}

#endif
