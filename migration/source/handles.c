/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the main thread does with an outgoing migration: start, cancel,
 * continue, look at, free. Called by migration.c and the monitor commands
 * under the BQL; waits for nothing but, when freeing, the thread's end.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <json-c/json.h>
#include "migration/source/outgoing.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* A file says that it is not whole until it is. */
static void choose_file_options(Outgoing *o)
{
    MigrationParameters p = migration_settings_params(o->settings);
    uint32_t mark = GUINT32_TO_BE(STREAM_MAGIC_PART);

    memcpy(o->addr->file.mark, &mark, sizeof(mark));
    o->addr->file.marked = true;
    o->addr->file.beside = !p.x_file_in_place;
    o->addr->file.sync = p.x_file_sync;
    o->addr->file.direct = p.direct_io && migration_settings_layout(o->settings) != RAM_LAYOUT_STREAM;
}

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
    g_atomic_int_set(&((Outgoing *)opaque)->yanked, 1);
    outgoing_yank(opaque);
}

bool outgoing_start(Migration *m, ChannelAddress *addr, MigrationSettings *settings,
                    GError **errp)
{
    bql_assert_main(m->machine->loop);
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
    choose_file_options(o);
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
    bql_assert_main(o->machine->loop);
    if (!migration_state_move(&o->m->out_state, MIGRATION_EVENT_CANCEL, NULL)) {
        return; /* nothing runs, or it is being cancelled already */
    }
    trace_migrate_cancel();
    g_mutex_lock(&o->lock);
    __atomic_store_n(&o->cancelled, true, __ATOMIC_RELAXED);
    if (o->phase == OUTGOING_AWAITS) {
        if (outgoing_is_answered(o)) {
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
    bql_assert_main(o->machine->loop);
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
    g_free(o->note);
    g_mutex_clear(&o->lock);
    g_cond_clear(&o->wake);
    g_free(o);
}
