/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's story: listen, accept, load (destination/load.c), the word
 * to the source, the guest's start. Begun by migration.c on the main thread,
 * told by one incoming thread. A failure ends the process, if it is to end,
 * through the main loop.
 */
#include <sys/syscall.h>
#include <unistd.h>
#include "hw/net-backend.h"
#include "migration/channel-set.h"
#include "migration/stream/return-path.h"
#include "migration/destination/load.h"
#include "migration/migration-private.h"
#include "softmmu/machine-types.h"
#include "util/error.h"
#include "util/trace-migration.h"

struct Incoming {
    /* set once */
    Migration *m;
    Machine *machine;
    bool exit_on_error;
    GThread *thread;
    ChannelSet *channels;       /* the incoming thread fills and closes it, anybody may shut it */

    GMutex lock;
    /* protected by lock */
    ChannelListener *listener;  /* NULL once the peer is there */
    bool ended;                 /* incoming_free wants the thread to end */
    GError *error;
    int tid;
    SwitchoverTimes times;
    RamLoader *loader;          /* of load, while it loads */
    RamLoadStats received;      /* when there is no loader any more */
    int64_t came_us, loaded_us; /* monotonic; 0: not yet */

    /* incoming thread only */
    MigrationSettings *settings; /* as they stood when the peer came; NULL before */
    Channel *channel;           /* the main one of channels; NULL before and after */
    IncomingLoad load;
    ReturnPathWriter *answers;  /* over channel; NULL as that is */
    bool told;                  /* a verdict was sent */
};

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

/* Monitors hear what came. */
static void tell_received(Incoming *in)
{
    IncomingReceived r;

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
    if (in->machine->cpus) {
        cpus_flush_tlb_all(in->machine->cpus);
    }
    if (received != RUN_STATE_RUNNING) {
        return received == RUN_STATE_INMIGRATE || runstate_set(rs, received, errp);
    }
    return in->m->incoming_autostart && go_on ? vm_start(rs, errp) : runstate_set(rs, RUN_STATE_PAUSED, errp);
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
        return true;
    }
    *alone = !return_path_send_shut(in->answers, gone, NULL) || !channel_peer_listens(in->channel);
    if (!*alone) {
        in->told = true;
        error_setg(errp, "telling the source: %s", gone);
    }
    return *alone;
}

static bool finish(Incoming *in, GError **errp)
{
    bool alone;

    if (!tell_source(in, &alone, errp)) {
        return false;
    }
    note_step(in, SWITCHOVER_TOLD);
    bql_lock(in->machine->loop);
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

static void let_go_of_channel(Incoming *in)
{
    return_path_writer_free(g_steal_pointer(&in->answers));
    in->channel = NULL;
    channel_set_close_all(in->channels, NULL);
}

static void quit_failed(void *opaque)
{
    main_loop_quit(opaque, 1);
}

/* Takes err. */
static void fail(Incoming *in, GError *err)
{
    if (!in->told && in->channel && channel_has_return_path(in->channel)) {
        return_path_send_shut(in->answers, err->message, NULL);
    }
    let_go_of_channel(in);
    g_mutex_lock(&in->lock);
    in->error = err;
    bool silent = in->ended;
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

static bool accept_peer(Incoming *in, GError **errp)
{
    Channel *c = channel_listener_accept(in->listener, errp);

    g_mutex_lock(&in->lock);
    ChannelListener *l = g_steal_pointer(&in->listener);
    g_mutex_unlock(&in->lock);
    channel_listener_free(l);
    if (c && channel_set_add(in->channels, CHANNEL_ROLE_MAIN, 0, c, errp)) {
        in->channel = c;
        in->answers = return_path_writer_new(c);
        trace_migration_set_incoming_channel(channel_type(c), channel_name(c));
    }
    return in->channel && begin(in, errp);
}

static bool load_from_channel(Incoming *in, GError **errp)
{
    StreamReader *r = stream_reader_new(in->channel);

    incoming_load_init(&in->load, in->m, in->settings, r, in->channel);
    in->load.answers = in->answers;
    g_mutex_lock(&in->lock);
    in->loader = in->load.ram;
    in->came_us = g_get_monotonic_time();
    g_mutex_unlock(&in->lock);
    bool ok = incoming_load_stream(&in->load, errp);
    note_step(in, SWITCHOVER_LOADED);
    g_mutex_lock(&in->lock);
    ram_loader_get_stats(in->loader, &in->received);
    in->loader = NULL;
    in->loaded_us = g_get_monotonic_time();
    in->times.us[SWITCHOVER_FIRST_DEVICE] = in->load.first_device_us;
    g_mutex_unlock(&in->lock);
    incoming_load_clear(&in->load);
    stream_reader_free(r);
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
static gpointer incoming_thread(gpointer opaque)
{
    Incoming *in = opaque;
    GError *err = NULL;

    g_mutex_lock(&in->lock);
    in->tid = syscall(SYS_gettid);
    g_mutex_unlock(&in->lock);
    bool ok = accept_peer(in, &err) && load_from_channel(in, &err) && finish(in, &err);
    yank_remove(&in->machine->yank, YANK_INSTANCE_TYPE_MIGRATION, in);
    trace_process_incoming_migration_co_end(ok ? 0 : -1);
    if (ok) {
        let_go_of_channel(in);
    } else {
        fail(in, err);
    }
    g_mutex_lock(&in->lock);
    in->tid = 0;
    g_mutex_unlock(&in->lock);
    return NULL;
}

/* ---- for the main thread ---- */

bool incoming_start(Migration *m, ChannelAddress *addr, bool exit_on_error, GError **errp)
{
    FdResolver fds = migration_fd_resolver(m);
    ChannelListener *listener = channel_address_take_fd(addr, &fds, false, errp)
                                    ? channel_listen(addr, errp) : NULL;

    if (!listener) {
        return false;
    }
    if (m->incoming) {
        incoming_free(g_steal_pointer(&m->incoming));
        machine_start_over(m->machine->runstate);
    }
    Incoming *in = g_new0(Incoming, 1);
    in->m = m;
    in->machine = m->machine;
    in->exit_on_error = exit_on_error;
    in->listener = listener;
    in->channels = channel_set_new();
    g_mutex_init(&in->lock);
    m->incoming = in;
    migration_state_move(&m->in_state, MIGRATION_EVENT_START, NULL);
    in->thread = thread_start("incoming", incoming_thread, in, errp);
    if (!in->thread) {
        migration_state_move(&m->in_state, MIGRATION_EVENT_FAIL, NULL);
        m->incoming = NULL;
        channel_listener_free(in->listener);
        channel_set_free(in->channels);
        g_mutex_clear(&in->lock);
        g_free(in);
        return false;
    }
    return true;
}

GPtrArray *incoming_addresses(Incoming *in)
{
    g_mutex_lock(&in->lock);
    GPtrArray *list = in->listener ? channel_listener_addresses(in->listener)
                                   : g_ptr_array_new_with_free_func(NULL);
    g_mutex_unlock(&in->lock);
    return list;
}

bool incoming_exits_on_error(const Incoming *in)
{
    return in->exit_on_error;
}

char *incoming_error(Incoming *in)
{
    g_mutex_lock(&in->lock);
    char *text = in->error ? g_strdup(in->error->message) : NULL;
    g_mutex_unlock(&in->lock);
    return text;
}

int incoming_thread_id(Incoming *in)
{
    g_mutex_lock(&in->lock);
    int tid = in->tid;
    g_mutex_unlock(&in->lock);
    return tid;
}

bool incoming_received(Incoming *in, IncomingReceived *r)
{
    g_mutex_lock(&in->lock);
    bool came = in->came_us != 0;
    int64_t end = in->loaded_us ? in->loaded_us : g_get_monotonic_time();
    *r = (IncomingReceived){ .ram = in->received, .us = came ? end - in->came_us : 0 };
    if (in->loader) {
        ram_loader_get_stats(in->loader, &r->ram);
    }
    g_mutex_unlock(&in->lock);
    return came;
}

void incoming_times(Incoming *in, SwitchoverTimes *t)
{
    g_mutex_lock(&in->lock);
    for (SwitchoverStep step = SWITCHOVER_SOURCE__END; step < SWITCHOVER__MAX; step++) {
        t->us[step] = in->times.us[step];
    }
    g_mutex_unlock(&in->lock);
}

void incoming_yank(Incoming *in)
{
    g_mutex_lock(&in->lock);
    if (in->listener) {
        channel_listener_shutdown(in->listener);
    }
    g_mutex_unlock(&in->lock);
    channel_set_shutdown_all(in->channels);
}

void incoming_free(Incoming *in)
{
    if (!in) {
        return;
    }
    g_mutex_lock(&in->lock);
    in->ended = true;
    g_mutex_unlock(&in->lock);
    incoming_yank(in);
    bool locked = bql_locked(in->machine->loop);
    if (locked) {
        bql_unlock(in->machine->loop);
    }
    g_thread_join(in->thread);
    if (locked) {
        bql_lock(in->machine->loop);
    }
    g_clear_error(&in->error);
    migration_settings_unref(in->settings);
    channel_set_free(in->channels);
    g_mutex_clear(&in->lock);
    g_free(in);
}
