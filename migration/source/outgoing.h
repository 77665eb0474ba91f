/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object of one outgoing migration, shared by its story (outgoing.c) and its handles (handles.c). */
#ifndef MIGRATION_SOURCE_OUTGOING_H
#define MIGRATION_SOURCE_OUTGOING_H

#include "migration/channel-set.h"
#include "migration/policy/policy.h"
#include "migration/policy/rate.h"
#include "migration/source/postcopy.h"
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
    int throttle_percent;
    int tid;
    OutgoingPostcopy postcopy;  /* of which too */

    /* migration thread only */
    Channel *channel;           /* the main one of channels; NULL before connect and after the end */
    StreamWriter *w;
    ReturnPath *rp;
    ReturnPathOps rp_ops;
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
    uint64_t section_at;        /* stream offset where the section being written began */
    bool stopped;               /* by us: the run state is ours to restore */
    OutgoingOwner owner;
    struct json_object *description;
    GByteArray *device_state;
};

/** The migration thread: tells the story from connect to the final state. */
gpointer outgoing_thread(gpointer opaque);

/** x-verdict-timeout; for ever if it is 0. */
int64_t outgoing_verdict_timeout_us(Outgoing *o);
/** Connects to addr, unless a channel was handed in, and makes the writer. */
bool outgoing_open_channel(Outgoing *o, ChannelAddress *addr, GError **errp);

/* ---- postcopy.c, postcopy-recover.c ---- */

/** The handlers of postcopy's messages. */
void outgoing_postcopy_ops(ReturnPathOps *ops);
void outgoing_recovery_ops(ReturnPathOps *ops);
/** In setup: postcopy may follow. */
void outgoing_put_advise(Outgoing *o);
/** Is it time to switch to postcopy? */
bool outgoing_postcopy_due(Outgoing *o);
/**
 * From the stopped guest, its device state taken, to the destination's word that it has everything.
 * False with errp: not switched, or refused (OWNER_SOURCE), or the process ends (OWNER_UNKNOWN).
 */
bool outgoing_postcopy(Outgoing *o, GError **errp);
/** The destination may be silent for x-postcopy-silence-limit, over any channel, and no longer. */
void outgoing_set_patience(Outgoing *o);
/** After an error, *err, taken: pauses until it goes on (true), is the source's again, or the process ends. */
bool outgoing_recover(Outgoing *o, GError **err);

/* ---- preempt.c: nothing to do without postcopy-preempt ---- */

/**
 * Right behind the main channel, and with the switch, before the guest is stopped; after a cut: before
 * and after the bitmaps. Connects it when its time is in the dialect.
 */
bool outgoing_setup_preempt(Outgoing *o, ChannelAddress *addr, GError **errp);
bool outgoing_switch_preempt(Outgoing *o, ChannelAddress *addr, GError **errp);
/** All pages are sent. */
bool outgoing_end_preempt(Outgoing *o, GError **errp);
/** Its channel is shut and about to be closed. */
void outgoing_drop_preempt(Outgoing *o);

/* ---- passes.c: the migration thread ---- */

/** Sleeps off what the rate limit, bytes per second, has against going on; kicks and cancel end it. */
void outgoing_keep_rate(Outgoing *o, uint64_t limit);

/** Sends and looks at the dirty log until it is time to switch over. False: cancelled, or an error. */
bool outgoing_passes(Outgoing *o, GError **errp);
/** auto-converge's share of a vCPU's time, 0 to 99. */
void outgoing_set_throttle(Outgoing *o, int percent);

/* ---- handover.c: the migration thread ---- */

/** From the last page to whose the guest is then (owner). False with errp: not the destination's, or not known to be. */
bool outgoing_complete(Outgoing *o, GError **errp);

/* ---- records.c: the migration thread ---- */

/** What cancel may do depends on it. Only forward. */
void outgoing_enter(Outgoing *o, OutgoingPhase phase);
/** A step of the switchover is done now. */
void outgoing_note_step(Outgoing *o, SwitchoverStep step);

bool outgoing_cancelled(Outgoing *o);
/** False with errp if the migration was cancelled, or the destination says no more or a yes too early. */
bool outgoing_check_cancelled(Outgoing *o, GError **errp);
/** A file with a place for each page, of either layout. */
bool outgoing_is_mapped(const Outgoing *o);
/** Everything that went over the channel, for the rate: mapped pages do not pass the stream. */
uint64_t outgoing_bytes_sent(Outgoing *o);
/** Of that, what a limit is about: not pages that a destination in postcopy has asked for. */
uint64_t outgoing_bytes_limited(Outgoing *o);
/** Tells the monitors of the passes that began since the last call. */
void outgoing_announce_passes(Outgoing *o);
void outgoing_put_command(Outgoing *o, uint16_t command, const void *data, uint16_t len);
/** Begins a section of RAM: SECTION_START, PART or END. */
void outgoing_put_section(Outgoing *o, uint8_t type);
/** Ends it and sends what is queued. */
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
