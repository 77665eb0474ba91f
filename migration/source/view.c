/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An outgoing migration as it looks: numbers, verdict, error, copied at one
 * moment; and in words, of a postcopy. Called by the monitors' commands and by whoever decides; changes
 * nothing.
 */
#include "migration/source/object.h"

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

/* Of what is counted before setup is over nothing stands yet. */
static uint64_t done_pages(const Outgoing *o, uint64_t remaining)
{
    uint64_t all = ram_list_total_bytes(o->machine->ram) / TARGET_PAGE_SIZE;

    return o->setup_us ? MAX(o->done_pages, all - remaining) : 0;
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
    v->setup_us = o->setup_us ? o->setup_us - o->start_us : 0;
    v->setup_ms = v->setup_us / 1000;
    v->times = o->times;
    v->downtime_us = downtime_us(&o->times, end);
    v->downtime_ms = v->downtime_us / 1000;
    v->expected_downtime_ms = o->expected_downtime_ms;
    v->has_ram = o->has_ram;
    if (o->saver) {
        ram_saver_get_stats(o->saver, &v->ram);
    } else {
        v->ram = o->last_ram;
    }
    v->to_file = o->to_file;
    v->wants_incremental = outgoing_has_cap(o, MIGRATION_CAP(X_INCREMENTAL));
    v->incremental = o->incremental;
    v->note = g_strdup(o->note);
    v->file_done_pages = done_pages(o, v->ram.remaining_pages);
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
    v->accepted_unknown = !outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH)) &&
                          o->addr->kind != CHANNEL_FILE;
    v->pending_wire_bytes = o->pending;
    v->trend = o->trend;
    v->reason = g_strdup(o->reason);
    v->error = o->error ? g_strdup(o->error->message) : NULL;
    g_mutex_unlock(&o->lock);
    v->ram_total_bytes = ram_list_total_bytes(o->machine->ram);
}

void outgoing_view_clear(OutgoingView *v)
{
    g_clear_pointer(&v->reason, g_free);
    g_clear_pointer(&v->note, g_free);
    g_clear_pointer(&v->error, g_free);
}

char *outgoing_lost_text(Outgoing *o)
{
    OutgoingView v;

    g_mutex_lock(&o->lock);
    g_autofree char *where = channel_address_to_string(o->addr);
    bool all_sent = o->postcopy.all_sent;
    bool in_doubt = !o->postcopy.loaded && !o->postcopy.has_answered;
    g_mutex_unlock(&o->lock);
    if (in_doubt) {
        return g_strdup_printf("the guest was to go to %s (postcopy), which has not said that it has "
                               "it. Look there ('info status'): if it has, give migrate_recover there "
                               "and migrate -r here; if not, migrate_cancel gives the migration up, "
                               "and 'cont' takes the guest back", where);
    }
    if (all_sent) {
        return g_strdup_printf("the guest was switched over to %s (postcopy), and all of its memory was "
                               "sent; the destination has not said that it has it. Give migrate_recover "
                               "there and migrate -r here: the rest follows if it is postcopy-paused "
                               "there, and this is completed, too, if it is completed there. If that "
                               "refuses migrate_recover (QEMU) and query-migrate says completed, nothing is "
                               "missing and 'quit' ends this process", where);
    }

    outgoing_view(o, &v);
    double left = (double)(v.ram.remaining_pages * TARGET_PAGE_SIZE) / (1 << 20);
    outgoing_view_clear(&v);
    return g_strdup_printf("the guest was switched over to %s (postcopy): what it has done since is "
                           "only there, and %.1f MiB of its memory are only here. If the "
                           "connection is gone, give migrate_recover there and migrate -r here; if "
                           "that process is gone, the guest is lost", where, left);
}
