/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What migration.c, the two stories and the monitor commands share. The
 * owner of everything here is the Migration object of migration.c.
 */
#ifndef MIGRATION_PRIVATE_H
#define MIGRATION_PRIVATE_H

#include "migration/channel.h"
#include "migration/policy/policy.h"
#include "migration/settings/settings.h"
#include "migration/state/state.h"
#include "migration/state/switchover.h"
#include "migration/migration.h"
#include "migration/baseline.h"
#include "migration/ram.h"
#include "migration/vmstate.h"
#include "qapi/qapi-types.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"

typedef struct Outgoing Outgoing;
typedef struct Incoming Incoming;

/** Section "timer" (machine-virt 2.3). */
typedef struct TimerSection {
    Machine *machine;
    int64_t cpu_ticks_offset;
    int64_t cpu_clock_offset;   /* virtual clock, ns */
} TimerSection;

/** Section "globalstate" (migration-stream 2.7); both layouts are 104 bytes. */
typedef struct GlobalState {
    bool send;                  /* store-global-state */
    RunState run_state;         /* to send: before the switchover stopped the machine */
    bool received;
    RunState received_state;
    /* on the wire */
    uint32_t size;
    uint8_t text_7_2[100];
    uint8_t text_10_0[32];
    uint8_t has_vm_was_suspended, vm_was_suspended;
    uint8_t unused[66];
} GlobalState;

struct Migration {
    /* set once */
    Machine *machine;
    MigrationOptions *options;
    /* main thread, BQL */
    Outgoing *outgoing;         /* running or last; NULL before the first */
    unsigned outgoing_number;   /* which one it is: 1 for the first */
    Incoming *incoming;         /* running or last; NULL unless -incoming */
    bool incoming_deferred;     /* -incoming defer, and no migrate-incoming yet */
    bool incoming_machine;      /* started with -incoming */
    bool incoming_autostart;
    enum {
        GUEST_HERE,             /* ours, as far as migrations go */
        GUEST_MOVED,            /* the destination has it; left behind here, not started since */
        GUEST_IN_DOUBT,         /* nobody here knows whether the destination has it */
    } guest;                    /* BQL */
    bool memory_given_back;     /* BQL; release-ram, when the guest had moved: only a reset makes a new one */
    RamBaseline *baseline;      /* what a file holds of this guest; BQL, the migration thread's while it runs; NULL: none */
    /* sections: written by the story that runs, under BQL */
    TimerSection timer;
    GlobalState global_state;
    /* own locks; the outgoing one lives on from one migration to the next */
    MigrationState out_state, in_state;
};

/* ---- vmstate/sections.c ---- */

void migration_register_sections(Migration *m);
/** Before a save: the run state that globalstate tells, if it is sent. BQL. */
void migration_sections_prepare_save(Migration *m, RunState before, bool send);
/** Before a load: nothing received yet. BQL. */
void migration_sections_prepare_load(Migration *m);
/** The run state that was received; running if the stream had none. */
RunState migration_sections_received(const Migration *m);

/* ---- source/: handles.c, postcopy-handles.c, view.c ---- */

/** What query-migrate needs; a copy. */
typedef struct OutgoingView {
    MigrationStatus status;
    MigrationCaps caps;
    MigrationParameters params;     /* as they hold for it; strings are the migration's */
    int64_t total_ms, setup_ms, downtime_ms, expected_downtime_ms;
    int64_t setup_us, downtime_us;  /* the same, where less than a millisecond counts */
    bool has_ram;
    RamStats ram;
    uint64_t ram_total_bytes;
    uint64_t transferred_bytes;     /* by the dialect's rule */
    double mbps;
    uint64_t precopy_bytes, downtime_bytes, postcopy_bytes;
    bool switched;                  /* to postcopy */
    unsigned recoveries;
    int throttle_percent;
    uint64_t pending_wire_bytes;    /* what remains, in wire cost, when last decided */
    PolicyTrend trend;              /* whether that gets less */
    bool accepted_unknown;          /* completed without the word of a destination */
    char *reason;                   /* of the last decision; owned by the view */
    char *error;                    /* of a failed one; owned by the view */
    SwitchoverTimes times;
    bool to_file;
    bool wants_incremental, incremental;    /* x-incremental; and that is what it is */
    char *note;                     /* why not; owned by the view */
    uint64_t file_done_pages;       /* of its memory; never less than before */
} OutgoingView;

/**
 * Starts a migration to addr, by settings (both taken). Main thread, BQL; the state is set up
 * already. False if it could not begin: it has failed then, with errp.
 */
bool outgoing_start(Migration *m, ChannelAddress *addr, MigrationSettings *settings,
                    GError **errp);
/** Cancels if it runs. Main thread, BQL. */
void outgoing_cancel(Outgoing *o);
/** Ends its connections, also those to come, as if the network had: it fails. Any thread. */
void outgoing_yank(Outgoing *o);
/** migrate-continue. False if it is not in state. Main thread, BQL. */
bool outgoing_continue(Outgoing *o, MigrationStatus state, GError **errp);
/** migrate-start-postcopy: it switches as soon as it can; nothing if it has. Main thread, BQL. */
void outgoing_start_postcopy(Outgoing *o);
/** migrate-pause in a postcopy state: ends its connections, so that it pauses. Any thread. */
void outgoing_pause(Outgoing *o);
/** The process ends: a postcopy that waits for anything gives up. Main thread, BQL. */
void outgoing_abandon(Outgoing *o);
/**
 * migrate_cancel in postcopy-paused: the migration fails, and people decide whose the guest is. False
 * if the destination is known to have it. Main thread, BQL.
 */
bool outgoing_give_up(Outgoing *o);
/**
 * migrate with resume: a paused postcopy goes on over addr (taken). The state is postcopy-paused.
 * False if it cannot begin: it is paused still. Main thread, BQL.
 */
bool outgoing_resume(Outgoing *o, ChannelAddress *addr, GError **errp);
/**
 * Why the guest must not run here: it runs, or may run, at the destination, and what has not
 * followed it; caller frees. Main thread.
 */
char *outgoing_lost_text(Outgoing *o);
/** xbzrle-cache-size changed. Main thread. */
bool outgoing_set_cache_size(Outgoing *o, uint64_t bytes, GError **errp);
/** A parameter changed that the thread may be sleeping on. */
void outgoing_kick(Outgoing *o);
void outgoing_view(Outgoing *o, OutgoingView *v);
void outgoing_view_clear(OutgoingView *v);
/** The address that it went to, NULL for a file; caller frees. Main thread. */
char *outgoing_moved_to(const Outgoing *o);
/** True if the destination answers: with a return path, so also with postcopy. Any thread. */
bool outgoing_is_answered(const Outgoing *o);
/** Host thread id of the migration thread, 0 if it is gone. */
int outgoing_thread_id(Outgoing *o);
/** Waits for the thread; it must be ending. BQL held, dropped while waiting. */
void outgoing_free(Outgoing *o);

/* ---- destination/: handles.c, object.c, recover.c, wait-info.c ---- */

/**
 * Listens and starts the incoming thread. What a failed attempt has left in
 * the machine is gone then. Main thread, BQL. False if it cannot listen: as if
 * never asked.
 */
bool incoming_start(Migration *m, ChannelAddress *addr, bool exit_on_error, GError **errp);
/** Where it listens, of ChannelAddress *, while it does; else empty. Caller unrefs. */
GPtrArray *incoming_addresses(Incoming *in);
/** Whether a failure ends the process. Any thread. */
bool incoming_exits_on_error(const Incoming *in);
/** Why it failed, or NULL; caller frees. */
char *incoming_error(Incoming *in);
int incoming_thread_id(Incoming *in);
/** Ends its connections, as if the network had: it fails. Any thread. */
void incoming_yank(Incoming *in);
/** What has come, so far or in all. */
typedef struct IncomingReceived {
    RamLoadStats ram;
    int64_t us;                 /* from the peer's coming to the end of the stream, or until now */
    uint64_t file_bytes;        /* of the file that it comes from, as it began; 0: from no file */
    bool whole;                 /* all has come */
} IncomingReceived;
/** False if no peer has come yet. Any thread. */
bool incoming_received(Incoming *in, IncomingReceived *r);
/**
 * migrate-recover: a paused postcopy listens on uri for its source, and nowhere else any more; so does
 * one that has completed, for a source that does not know. False if it is neither or cannot listen:
 * nothing has changed. Main thread, BQL.
 */
bool incoming_recover(Incoming *in, const char *uri, GError **errp);
/** migrate-pause in postcopy-active: ends its connections, so that it pauses. Any thread. */
void incoming_pause(Incoming *in);
/** How it went with pages that were waited for: new; NULL unless it is, or was, a postcopy. Main thread. */
XPostcopyWaits *incoming_waits_info(Incoming *in);
/** Fills the members of query-migrate that the capability postcopy-blocktime brings. Main thread. */
void incoming_fill_blocktime(Incoming *in, MigrationInfo *info);
/** Adds the destination's moments to *t. */
void incoming_times(Incoming *in, SwitchoverTimes *t);
/** The guest is about to run: whoever stopped it for want of its memory tries again. Any thread. */
void incoming_guest_starts(Incoming *in);
/** Asks the thread to end, without a word about a failure. Does not wait. */
void incoming_end(Incoming *in);
/** Ends and joins the thread. BQL held, dropped while waiting. */
void incoming_free(Incoming *in);

/* ---- stream/configuration.c (migration-stream 1.5) ---- */

/** Header and configuration block. */
void migration_put_header(Migration *m, StreamWriter *w, const MigrationSettings *s);
/** What the description says of it (10.0 only): new JSON. */
struct json_object *migration_describe_configuration(Migration *m, const MigrationSettings *s);
/** Reads and checks both; texts of 1.5. */
bool migration_get_header(Migration *m, StreamReader *r, const MigrationSettings *s, GError **errp);

/* ---- migration.c ---- */

/** Starts an outgoing migration as "migrate" does: all checks. Takes addr. Main thread, BQL. */
bool migration_start_address(Migration *m, ChannelAddress *addr, GError **errp);
bool migration_start(Migration *m, const char *uri, GError **errp);
/** False only in postcopy, which has no way back. */
bool migration_cancel(Migration *m, GError **errp);
/** "migrate" with resume. Takes addr. Main thread, BQL. */
bool migration_resume_address(Migration *m, ChannelAddress *addr, GError **errp);
/** migrate-start-postcopy (caps: those set now), migrate-pause, migrate-recover, as QEMU answers them. */
bool migration_start_postcopy(Migration *m, MigrationCaps caps, GError **errp);
bool migration_pause(Migration *m, GError **errp);
bool migration_recover(Migration *m, const char *uri, GError **errp);
/** migrate-incoming. Takes addr. */
bool migration_incoming_address(Migration *m, ChannelAddress *addr, bool exit_on_error,
                                GError **errp);
bool migration_incoming(Migration *m, const char *uri, bool exit_on_error, GError **errp);
/**
 * Parameters were set; before is what they were. Tells the running migration;
 * false if it cannot follow (then the old cache size is back). Main thread.
 */
bool migration_parameters_changed(Migration *m, const MigrationParameters *before, GError **errp);
/** The moments of the last switchover, of either side. Main thread. */
void migration_switchover_times(Migration *m, SwitchoverTimes *t);

/* ---- surroundings.c ---- */

/** The capability events is on, and there are monitors. Any thread. */
bool migration_wants_events(Migration *m);
/** Finds descriptors that were handed in, for channel_address_take_fd. Main thread. */
FdResolver migration_fd_resolver(Migration *m);
/** The dialect we write, from the registry. */
StreamDialect migration_dialect(const Migration *m);
/** Event X_MIGRATION_OUTLOOK if wanted. Any thread. */
void migration_emit_outlook(Migration *m, XMigrationOutlook *outlook);
/** Event X_MIGRATION_OWNER_UNKNOWN. Any thread. */
void migration_emit_owner_unknown(Migration *m, const char *error);
/** Event X_MIGRATION_RECEIVED if wanted. Any thread. */
void migration_emit_received(Migration *m, XMigrationReceived *received);
/** For query-migrate and the event; caller frees with qapi_free_XMigrationReceived. */
XMigrationReceived *migration_received_info(const IncomingReceived *r);
/** Event MIGRATION_PASS if wanted. */
void migration_emit_pass(Migration *m, uint64_t pass);

#endif
