/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's story: accept, load (destination/load.c), the word to the
 * source, the guest's start. Told by one incoming thread, which
 * destination/handles.c starts. A failure ends the process, if it is to end,
 * through the main loop.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "hw/net-backend.h"
#include "migration/destination/incoming.h"
#include "migration/destination/lazy.h"
#include "migration/destination/postcopy.h"
#include "migration/stream/format.h"
#include "softmmu/config.h"
#include "softmmu/machine-types.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define TURN_AWAY_MS 2000
#define TURN_AWAY_READS 256

/* ---- phases ---- */

/* The invariants of incoming.h. Incoming thread. */
static void check(const Incoming *in)
{
    bool begun = in->phase > INCOMING_LISTENING && in->phase < INCOMING_DONE;

    g_assert(!begun == !in->channel);
    g_assert(!begun == !in->answers);
    g_assert(!begun == !in->load.ram);
    g_assert(in->phase != INCOMING_DONE || !in->listener);
    g_assert(in->phase != INCOMING_RUNNING || in->postcopy || in->lazy);
}

static void set_phase(Incoming *in, IncomingPhase phase)
{
    g_assert(phase > in->phase);
    g_mutex_lock(&in->lock);
    in->phase = phase;
    g_mutex_unlock(&in->lock);
    check(in);
}

/* ---- the end ---- */

static void note_step(Incoming *in, SwitchoverStep step)
{
    g_mutex_lock(&in->lock);
    in->times.us[step] = g_get_monotonic_time();
    g_mutex_unlock(&in->lock);
    switchover_trace(step);
}

/* When the guest runs, bridges learn that its addresses are here now. Any thread, BQL. */
static void announce_guest(Incoming *in)
{
    MigrationParameters p = migration_settings_params(in->settings);
    NetAnnounceTimes times = {
        .rounds = p.announce_rounds,
        .initial_ms = p.announce_initial,
        .step_ms = p.announce_step,
        .max_ms = p.announce_max,
    };

    if (in->machine->board) {
        net_announce(board_nets(in->machine->board), NULL, &times, NULL);
    }
}

/* All has come, and monitors hear what. */
static void tell_received(Incoming *in)
{
    IncomingReceived r;

    g_mutex_lock(&in->lock);
    in->whole = true;
    g_mutex_unlock(&in->lock);
    if (incoming_received(in, &r)) {
        XMigrationReceived *info = migration_received_info(&r);
        migration_emit_received(in->m, info);
        qapi_free_XMigrationReceived(info);
    }
}

/*
 * The guest is ours now: start it or leave it as it was (migration-stream
 * 2.7); go_on false: paused if it would run. Every state that is let in
 * (vmstate/sections.c) can be entered. BQL.
 */
static bool settle_guest(Incoming *in, bool go_on, GError **errp)
{
    RunStateCtl *rs = in->machine->runstate;
    RunState received = migration_sections_received(in->m);

    machine_type_adopt(in->machine);
    migration_options_adopt(in->m->options, migration_dialect(in->m));
    if (in->machine->cpus) {
        cpus_flush_tlb_all(in->machine->cpus);
    }
    if (received != RUN_STATE_RUNNING) {
        return received == RUN_STATE_INMIGRATE || runstate_set(rs, received, errp);
    }
    return in->m->incoming_autostart && go_on ? vm_start(rs, errp)
                                              : runstate_set(rs, RUN_STATE_PAUSED, errp);
}

/*
 * The source is told before the guest starts. False with errp: it has let go
 * of the connection and hears that its guest is not taken. *alone: it can be
 * told nothing any more. Then it may be gone, and this guest the only one
 * there is; or it may run its own.
 */
static bool tell_source(Incoming *in, bool *alone, GError **errp)
{
    static const char gone[] = "the source has ended the connection, so its guest may be running "
                               "there";

    *alone = false;
    if (!in->load.return_path) {
        return true;
    }
    if (!channel_peer_gone(in->channel)) {
        *alone = !return_path_send_shut(in->answers, NULL, NULL);
        set_phase(in, INCOMING_ANSWERED);
        return true;
    }
    *alone = !return_path_send_shut(in->answers, gone, NULL) || !channel_peer_listens(in->channel);
    if (!*alone) {
        set_phase(in, INCOMING_ANSWERED);
        error_setg(errp, "telling the source: %s", gone);
    }
    return *alone;
}

/* The guest has not run yet: what it writes from now on is not in the file that it comes from. */
static void note_baseline(Incoming *in)
{
    g_autoptr(GError) err = NULL;

    if (!in->image || !(migration_settings_caps(in->settings) & MIGRATION_CAP(X_INCREMENTAL))) {
        return;
    }
    MappedBase *base = ram_loader_base(in->load.ram, &err);
    RamBaseline *b = base ? ram_baseline_new(in->machine->ram, in->machine->dirty, base, in->image, &err) : NULL;
    if (!b) {
        machine_report(in->machine, "x-incremental: the next save will be a full one: %s", err->message);
    }
    ram_baseline_free(in->m->baseline);
    in->m->baseline = b;
}

static bool finish(Incoming *in, GError **errp)
{
    bool alone;

    g_assert(in->phase == INCOMING_LOADING);
    if (!fault_point(&in->machine->faults, FAULT_DST_LOADED, errp) ||
        !tell_source(in, &alone, errp)) {
        return false;
    }
    note_step(in, SWITCHOVER_TOLD);
    fault_delay(&in->machine->faults, FAULT_DST_TOLD);  /* nothing after the yes may fail */
    bql_lock(in->machine->loop);
    note_baseline(in);
    bool ok = settle_guest(in, !alone, errp);
    if (ok) {
        note_step(in, SWITCHOVER_STARTED);
        announce_guest(in);
        tell_received(in);
        ok = migration_state_move(&in->m->in_state, MIGRATION_EVENT_DONE, errp);
    }
    bql_unlock(in->machine->loop);
    if (ok && alone) {
        machine_report(in->machine, "The guest has arrived, but its source has gone and could not "
                       "be told: the guest stays paused here; 'cont' starts it if it does not run "
                       "at the source");
    }
    return ok;
}

static void drop_listener(Incoming *in)
{
    g_mutex_lock(&in->lock);
    ChannelListener *l = g_steal_pointer(&in->listener);
    ChannelListener *next = g_steal_pointer(&in->next_listener);
    g_mutex_unlock(&in->lock);
    channel_listener_free(l);
    channel_listener_free(next);
}

/* Frees what was handed on from step to step, and closes the channels. */
static void let_go(Incoming *in, bool ok)
{
    g_mutex_lock(&in->lock);
    if (in->load.ram) {
        ram_loader_get_stats(in->load.ram, &in->received);
    }
    in->phase = INCOMING_DONE;      /* nobody looks at the loader from here on */
    g_mutex_unlock(&in->lock);
    postcopy_free(g_steal_pointer(&in->postcopy));
    multifd_recv_free(g_steal_pointer(&in->multifd));
    lazy_free(g_steal_pointer(&in->lazy));
    drop_listener(in);
    if (ok && in->load.ran) {
        Afterwards *after = afterwards_new(in);
        g_mutex_lock(&in->lock);
        in->after = after;
        g_mutex_unlock(&in->lock);
    }
    incoming_load_clear(&in->load);
    stream_reader_free(g_steal_pointer(&in->reader));
    return_path_writer_free(g_steal_pointer(&in->answers));
    in->channel = NULL;
    channel_set_close_all(in->channels, NULL);
    check(in);
}

/* The guest starts before its memory is here. */
static bool start_early(Incoming *in, GError **errp)
{
    bql_lock(in->machine->loop);
    bool ok = settle_guest(in, true, errp);
    if (ok) {
        note_step(in, SWITCHOVER_STARTED);
        announce_guest(in);
    }
    bql_unlock(in->machine->loop);
    return ok;
}

/* Its memory is. */
static void finish_late(Incoming *in)
{
    g_mutex_lock(&in->lock);
    in->loaded_us = g_get_monotonic_time();
    g_mutex_unlock(&in->lock);
    set_phase(in, INCOMING_ANSWERED);
}

/* Last of all: who reads "completed" may give migrate-recover at once. */
static void say_completed(Incoming *in)
{
    bql_lock(in->machine->loop);
    tell_received(in);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_DONE, NULL);
    bql_unlock(in->machine->loop);
}

/* The source hears when all is here. */
static bool finish_postcopy(Incoming *in, GError **errp)
{
    set_phase(in, INCOMING_RUNNING);
    incoming_point(in, FAULT_DST_POSTCOPY_STARTS, NULL);
    if (!start_early(in, errp) || !postcopy_await(in->postcopy, errp)) {
        return false;
    }
    if (incoming_point(in, FAULT_DST_POSTCOPY_TELLS, NULL)) {
        return_path_send_shut(in->answers, NULL, NULL);
    }
    finish_late(in);
    return true;
}

/* A file is nobody who could be told. */
static bool finish_lazy(Incoming *in, GError **errp)
{
    if (!fault_point(&in->machine->faults, FAULT_DST_LOADED, errp)) {
        return false;
    }
    lazy_give_head_start(in->lazy);
    set_phase(in, INCOMING_RUNNING);
    if (!start_early(in, errp) || !lazy_await(in->lazy, errp)) {
        return false;
    }
    finish_late(in);
    return true;
}

static void quit_failed(void *opaque)
{
    main_loop_quit(opaque, 1);
}

/* Takes err. */
static void fail(Incoming *in, GError *err)
{
    fault_delay(&in->machine->faults, FAULT_DST_FAILED);
    if (in->phase < INCOMING_ANSWERED && in->channel && channel_has_return_path(in->channel)) {
        return_path_send_shut(in->answers, err->message, NULL);
    }
    let_go(in, false);
    g_mutex_lock(&in->lock);
    g_clear_error(&in->error);
    in->error = err;
    bool silent = in->quit;
    g_mutex_unlock(&in->lock);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_FAIL, NULL);
    if (!silent) {
        machine_report(in->machine, "load of migration failed: %s", err->message);
        if (in->exit_on_error) {
            /* Behind the event, which goes to the monitors the same way. */
            main_loop_post(in->machine->loop, quit_failed, in->machine->loop);
        }
    }
}

/* For yank. */
static void cut_channels(void *opaque)
{
    channel_set_shutdown_all(((Incoming *)opaque)->channels);
}

/* In a stream pages have no places where they could be read later. */
static bool is_lazy(const Incoming *in)
{
    return migration_settings_caps(in->settings) & MIGRATION_CAP(X_MAPPED_RAM_LAZY) &&
           migration_settings_layout(in->settings) != RAM_LAYOUT_STREAM;
}

/*
 * From here on capabilities may not change: until the peer has come they may. The BQL makes it one
 * step, so that a change is either seen here or refused.
 */
static bool begin(Incoming *in, GError **errp)
{
    bql_lock(in->machine->loop);
    bool ok = migration_state_move(&in->m->in_state, MIGRATION_EVENT_BEGIN, errp);
    in->settings = migration_settings_take(in->m->options);
    if (ok) {
        yank_add(&in->machine->yank, YANK_INSTANCE_TYPE_MIGRATION, NULL, cut_channels, in);
    }
    bql_unlock(in->machine->loop);
    return ok;
}

static void set_channel(Incoming *in, Channel *c)
{
    struct stat st;

    in->channel = c;
    if (channel_is_seekable(c) && fstat(channel_fd(c), &st) == 0 && S_ISREG(st.st_mode)) {
        g_mutex_lock(&in->lock);
        in->file_bytes = (uint64_t)st.st_size;
        g_mutex_unlock(&in->lock);
    }
    in->answers = return_path_writer_new(c);
    trace_migration_set_incoming_channel(channel_type(c), channel_name(c));
}

static bool accept_one(Incoming *in, GError **errp)
{
    g_assert(in->phase == INCOMING_LISTENING);
    Channel *c = fault_point(&in->machine->faults, FAULT_DST_ACCEPT, errp)
                     ? channel_listener_accept(in->listener, errp) : NULL;

    if (!c || !channel_set_add(in->channels, CHANNEL_ROLE_MAIN, 0, c, errp)) {
        return false;
    }
    set_channel(in, c);
    return true;
}

/* Not a header, but what a source says first that goes on with a paused postcopy: to somebody else. */
static bool wants_to_go_on(Incoming *in)
{
    static const uint8_t recv_bitmap[] = { SECTION_COMMAND, 0, MIG_CMD_RECV_BITMAP };
    uint8_t first[sizeof(recv_bitmap)];
    const char *type = channel_type(in->channel);

    return (g_str_equal(type, "tcp") || g_str_equal(type, "unix")) &&
           channel_peek(in->channel, first, sizeof(first)) &&
           memcmp(first, recv_bitmap, sizeof(first)) == 0;
}

/* What it has still to say is read, so that it reads what it is told. */
static void turn_away(Incoming *in)
{
    char rest[4096];

    return_path_send_shut(in->answers, "this process waits for a new migration and has nothing of the "
                          "guest: give migrate_recover where the guest runs, and migrate -r with the "
                          "address of that", NULL);
    channel_end_writing(in->channel);
    channel_set_patience(in->channel, TURN_AWAY_MS);
    for (int i = 0; i < TURN_AWAY_READS && channel_read(in->channel, rest, sizeof(rest), NULL) > 0; i++) {
        /* the next */
    }
    return_path_writer_free(g_steal_pointer(&in->answers));
    in->channel = NULL;
    channel_set_close_all(in->channels, NULL);
    machine_report(in->machine, "A source has connected that wants to go on with a paused postcopy "
                   "(migrate -r). Nothing of its guest is here; it was turned away, and this process "
                   "goes on waiting for a new migration");
}

static bool has_multifd(const Incoming *in)
{
    return migration_settings_caps(in->settings) & MIGRATION_CAP(MULTIFD) &&
           migration_settings_layout(in->settings) == RAM_LAYOUT_STREAM;
}

static bool check_multi_channel(const Incoming *in, GError **errp)
{
    const char *type = channel_type(in->channel);

    if (!g_str_equal(type, "tcp") && !g_str_equal(type, "unix")) {
        error_setg(errp, "Migration requires multi-channel URIs (e.g. tcp): the capability multifd is "
                   "on, and '%s' is one channel", channel_name(in->channel));
        return false;
    }
    return true;
}

static MultifdRecv *receive_channels(Incoming *in, Channel *first, GError **errp)
{
    MigrationParameters p = migration_settings_params(in->settings);
    MachineConfig *config = in->machine->config;
    MultifdRecvOptions opt = {
        .channels = p.multifd_channels,
        .codec = multifd_codec(p.multifd_compression),
        .faults = &in->machine->faults,
        .listener = in->listener,
        .set = in->channels,
    };

    if (config && config->uuid_set) {
        memcpy(opt.uuid, config->uuid, sizeof(opt.uuid));
    }
    return multifd_recv_new(in->machine->ram, &opt, first, errp);
}

/* Parallel channels: the connection that came first may be any of them. */
static bool find_stream(Incoming *in, GError **errp)
{
    Channel *first = channel_set_take(in->channels, CHANNEL_ROLE_MAIN, 0);

    return_path_writer_free(g_steal_pointer(&in->answers));
    in->channel = NULL;
    in->multifd = receive_channels(in, first, errp);
    in->reader = in->multifd ? multifd_recv_stream(in->multifd, errp) : NULL;
    Channel *c = channel_set_get(in->channels, CHANNEL_ROLE_MAIN, 0);
    if (c) {
        set_channel(in, c);     /* also after an error: the source is told */
    }
    return in->reader != NULL;
}

static bool accept_peer(Incoming *in, GError **errp)
{
    while (accept_one(in, errp)) {
        if (!wants_to_go_on(in)) {
            break;
        }
        turn_away(in);
    }
    return in->channel && fault_point(&in->machine->faults, FAULT_DST_ACCEPTED, errp) &&
           begin(in, errp) &&
           (!has_multifd(in) || (check_multi_channel(in, errp) && find_stream(in, errp)));
}

static void begin_loading(Incoming *in)
{
    if (!in->reader) {
        in->reader = stream_reader_new(in->channel);
    }
    incoming_load_init(&in->load, in->m, in->settings, in->channel);
    in->load.answers = in->answers;
    if (migration_settings_caps(in->settings) & MIGRATION_CAP(POSTCOPY_RAM)) {
        in->postcopy = postcopy_new(in);    /* the listener stays for the channel of urgent pages */
    } else if (in->multifd) {
        multifd_recv_set_loader(in->multifd, in->load.ram);     /* and for the channels to come */
        ram_loader_set_sync_point(in->load.ram, multifd_recv_sync, in->multifd);
    } else {
        drop_listener(in);
    }
    if (is_lazy(in)) {
        in->lazy = lazy_new(in);
    }
    g_mutex_lock(&in->lock);
    in->came_us = g_get_monotonic_time();
    g_mutex_unlock(&in->lock);
    set_phase(in, INCOMING_LOADING);
}

/* From here on no channel places pages; if one has failed, that is why all has. */
static void end_channels(Incoming *in, bool ok, GError **err)
{
    if (in->multifd && !ok) {
        multifd_recv_cause(in->multifd, err);
    }
    multifd_recv_free(g_steal_pointer(&in->multifd));
}

static bool load_from_channel(Incoming *in, GError **errp)
{
    begin_loading(in);
    bool ok = incoming_load_stream(&in->load, in->reader, errp);
    end_channels(in, ok, errp);
    note_step(in, SWITCHOVER_LOADED);
    g_mutex_lock(&in->lock);
    in->loaded_us = in->load.ran || in->lazy ? 0 : g_get_monotonic_time();
    in->times.us[SWITCHOVER_FIRST_DEVICE] = in->load.first_device_us;
    g_mutex_unlock(&in->lock);
    trace_loadvm_state_cleanup();
    return ok;
}

/*
 * The incoming thread. Owns the listener, then the stream and the RAM
 * loader; writes guest RAM without locks (no vCPU runs); takes the BQL for
 * device sections and to start the guest, never while it waits for the peer.
 * Waits on the listener and on the channel, both of which incoming_free
 * ends. Ends with state completed or failed.
 */
gpointer incoming_thread(gpointer opaque)
{
    Incoming *in = opaque;
    GError *err = NULL;

    g_mutex_lock(&in->lock);
    in->tid = syscall(SYS_gettid);
    g_mutex_unlock(&in->lock);
    bool ok = accept_peer(in, &err) && load_from_channel(in, &err) &&
              (in->load.ran ? finish_postcopy(in, &err)
               : in->lazy   ? finish_lazy(in, &err) : finish(in, &err));
    yank_remove(&in->machine->yank, YANK_INSTANCE_TYPE_MIGRATION, in);
    trace_process_incoming_migration_co_end(ok ? 0 : -1);
    if (ok) {
        bool late = in->load.ran || in->lazy;
        fault_delay(&in->machine->faults, FAULT_DST_STARTED);
        let_go(in, true);
        if (late) {
            say_completed(in);
        }
    } else {
        fail(in, err);
    }
    g_mutex_lock(&in->lock);
    in->tid = 0;
    g_mutex_unlock(&in->lock);
    return NULL;
}
