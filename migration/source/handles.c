/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the main thread does with an outgoing migration: start, cancel,
 * continue, look at, free. Called by migration.c and the monitor commands
 * under the BQL; waits for nothing but, when freeing, the thread's end.
 */
#include <sys/eventfd.h>
#include <unistd.h>
#include <json-c/json.h>
#include "migration/source/outgoing.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* The descriptors that were handed in are the monitor's: taken here, where it is safe. */
static bool take_descriptor(Outgoing *o, GError **errp)
{
    FdResolver fds = migration_fd_resolver(o->m);

    if (!channel_address_take_fd(o->addr, &fds, true, errp)) {
        return false;
    }
    if (o->addr->kind == CHANNEL_FD) {
        o->channel = channel_connect(o->addr, -1, errp);
        return o->channel && channel_set_add(o->channels, CHANNEL_ROLE_MAIN, 0, o->channel, errp);
    }
    return true;
}

/* For the command yank: an error like any of the network's. */
static void cut_channels(void *opaque)
{
    outgoing_yank(opaque);
}

bool outgoing_start(Migration *m, ChannelAddress *addr, MigrationSettings *settings,
                    GError **errp)
{
    Outgoing *o = g_new0(Outgoing, 1);

    o->m = m;
    o->machine = m->machine;
    o->addr = addr;
    o->settings = settings;
    o->dialect = migration_dialect(m);
    o->ram_id = o->dialect == DIALECT_QEMU_7_2 ? SECTION_ID_RAM_7_2 : SECTION_ID_RAM_10_0;
    o->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    o->channels = channel_set_new();
    o->start_us = g_get_monotonic_time();
    o->guest_ran = runstate_is_running(m->machine->runstate);
    o->expected_downtime_ms = migration_settings_params(settings).downtime_limit;
    g_mutex_init(&o->lock);
    g_cond_init(&o->wake);
    m->outgoing = o;
    yank_add(&m->machine->yank, YANK_INSTANCE_TYPE_MIGRATION, NULL, cut_channels, o);
    if (!take_descriptor(o, errp)) {
        o->end_us = o->start_us;
        o->error = errp && *errp ? g_error_copy(*errp) : NULL;
        migration_state_move(&m->out_state, MIGRATION_EVENT_FAIL, NULL);
        return false;
    }
    o->thread = thread_start("live_migration", outgoing_thread, o, errp);
    if (!o->thread) {
        o->end_us = o->start_us;
        o->error = errp && *errp ? g_error_copy(*errp) : NULL;
        migration_state_move(&m->out_state, MIGRATION_EVENT_FAIL, NULL);
    }
    return o->thread != NULL;
}

void outgoing_yank(Outgoing *o)
{
    uint64_t one = 1;

    channel_set_shutdown_all(o->channels);
    fault_end_stalls(&o->machine->faults);
    if (write(o->cancel_fd, &one, sizeof(one)) < 0) {
        /* it is readable already */
    }
}

void outgoing_cancel(Outgoing *o)
{
    if (!migration_state_move(&o->m->out_state, MIGRATION_EVENT_CANCEL, NULL)) {
        return; /* nothing runs, or it is being cancelled already */
    }
    trace_migrate_cancel();
    g_mutex_lock(&o->lock);
    __atomic_store_n(&o->cancelled, true, __ATOMIC_RELAXED);
    if (o->phase == OUTGOING_AWAITS) {
        if (outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH) | MIGRATION_CAP(POSTCOPY_RAM))) {
            channel_end_writing(o->channel);    /* ours while the thread awaits the answer */
        }                                       /* else it sees for itself that it was cancelled */
    } else if (o->phase != OUTGOING_HANDS_OVER || !channel_cut_writing(o->channel)) {
        outgoing_yank(o);
    }
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    fault_end_stalls(&o->machine->faults);
}

bool outgoing_continue(Outgoing *o, MigrationStatus state, GError **errp)
{
    MigrationStatus now = migration_state_get(&o->m->out_state);

    if (now != state) {
        error_setg(errp, "Migration not in expected state: %s", MigrationStatus_str(now));
        return false;
    }
    if (now == MIGRATION_STATUS_PRE_SWITCHOVER) {
        if (!migration_state_move(&o->m->out_state, MIGRATION_EVENT_CONTINUE, errp)) {
            return false;
        }
        g_mutex_lock(&o->lock);
        g_cond_broadcast(&o->wake);
        g_mutex_unlock(&o->lock);
    }
    return true;
}

bool outgoing_set_cache_size(Outgoing *o, uint64_t bytes, GError **errp)
{
    bool ok = true;

    g_mutex_lock(&o->lock);
    if (o->saver && outgoing_has_cap(o, MIGRATION_CAP(XBZRLE))) {
        ok = ram_saver_set_cache_size(o->saver, bytes, errp);
    }
    g_mutex_unlock(&o->lock);
    return ok;
}

void outgoing_kick(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    o->kicked = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
}

char *outgoing_moved_to(const Outgoing *o)
{
    return o->addr->kind == CHANNEL_FILE ? NULL : channel_address_to_string(o->addr);
}

int outgoing_thread_id(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    int tid = o->tid;
    g_mutex_unlock(&o->lock);
    return tid;
}

static double mbps_of(uint64_t bytes, int64_t us)
{
    return us > 0 ? bytes * 8.0 / us : 0;
}

/*
 * From the request to stop until the destination has confirmed or, without a
 * return path, the last byte is sent: what QEMU counts. How long the source
 * takes to let go of its memory afterwards is nobody's downtime.
 */
static int64_t downtime_us(const SwitchoverTimes *t, int64_t now)
{
    int64_t confirmed = t->us[SWITCHOVER_CONFIRMED];

    return t->us[SWITCHOVER_ASKED] ? (confirmed ? confirmed : now) - t->us[SWITCHOVER_ASKED] : 0;
}

void outgoing_view(Outgoing *o, OutgoingView *v)
{
    int64_t now = g_get_monotonic_time();

    *v = (OutgoingView){
        .status = migration_state_get(&o->m->out_state),
        .caps = migration_settings_caps(o->settings),
        .params = migration_settings_params(o->settings),
    };
    g_mutex_lock(&o->lock);
    int64_t end = o->end_us ? o->end_us : now;
    v->total_ms = (end - o->start_us) / 1000;
    v->setup_ms = o->setup_us ? (o->setup_us - o->start_us) / 1000 : 0;
    v->times = o->times;
    v->downtime_ms = downtime_us(&o->times, end) / 1000;
    v->expected_downtime_ms = o->expected_downtime_ms;
    v->has_ram = o->has_ram;
    if (o->saver) {
        ram_saver_get_stats(o->saver, &v->ram);
    } else {
        v->ram = o->last_ram;
    }
    uint64_t bytes = __atomic_load_n(&o->bytes_now, __ATOMIC_RELAXED);
    v->transferred_bytes = o->dialect == DIALECT_QEMU_7_2 ? v->ram.transferred_bytes : bytes;
    v->mbps = v->status == MIGRATION_STATUS_COMPLETED ? mbps_of(bytes, end - o->start_us)
              : o->bandwidth * 8 / 1000;
    v->precopy_bytes = !o->guest_ran ? 0 : o->times.us[SWITCHOVER_ASKED] ? o->bytes_at_stop : bytes;
    uint64_t run = o->postcopy.bytes_at_run;
    v->postcopy_bytes = run ? bytes - run : 0;
    v->switched = run != 0;
    v->recoveries = o->postcopy.recoveries;
    v->downtime_bytes = bytes - v->precopy_bytes - v->postcopy_bytes;
    v->throttle_percent = __atomic_load_n(&o->throttle_percent, __ATOMIC_RELAXED);
    v->accepted_unknown = !outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH));
    v->pending_wire_bytes = o->pending;
    v->reason = g_strdup(o->reason);
    v->error = o->error ? g_strdup(o->error->message) : NULL;
    g_mutex_unlock(&o->lock);
    v->ram_total_bytes = ram_list_total_bytes(o->machine->ram);
}

void outgoing_view_clear(OutgoingView *v)
{
    g_clear_pointer(&v->reason, g_free);
    g_clear_pointer(&v->error, g_free);
}

void outgoing_free(Outgoing *o)
{
    if (!o) {
        return;
    }
    if (o->thread) {
        bool locked = bql_locked(o->machine->loop);
        if (locked) {
            bql_unlock(o->machine->loop);
        }
        g_thread_join(o->thread);
        if (locked) {
            bql_lock(o->machine->loop);
        }
    }
    channel_set_free(o->channels);
    if (o->description) {
        json_object_put(o->description);
    }
    if (o->device_state) {
        g_byte_array_unref(o->device_state);
    }
    if (o->cancel_fd >= 0) {
        close(o->cancel_fd);
    }
    channel_address_free(o->postcopy.resume);
    channel_address_free(o->postcopy.resuming);
    if (o->postcopy.resume_channel) {
        channel_close(o->postcopy.resume_channel, NULL);
    }
    channel_address_free(o->addr);
    migration_settings_unref(o->settings);
    g_clear_error(&o->error);
    g_free(o->reason);
    g_mutex_clear(&o->lock);
    g_cond_clear(&o->wake);
    g_free(o);
}
