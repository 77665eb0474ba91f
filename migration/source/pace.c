/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast an outgoing migration goes: sleeps off what the rate limit has
 * against going on, learns the rate, sets auto-converge's share. On the
 * migration thread, for the passes and for what follows a switch to postcopy.
 */
#include "migration/source/pace.h"
#include "util/trace-migration.h"

void outgoing_set_throttle(Outgoing *o, int percent)
{
    if (o->machine->cpus) {
        cpus_throttle_set(o->machine->cpus, percent);
    }
    __atomic_store_n(&o->throttle_percent, percent, __ATOMIC_RELAXED);
}

/* A window of 100 ms has passed: what it tells about the rate. */
static void learn_rate(Outgoing *o, const RateWindow *window)
{
    MigrationParameters p = migration_settings_params(o->settings);
    RamStats ram;

    ram_saver_get_stats(o->saver, &ram);
    g_mutex_lock(&o->lock);
    o->bandwidth = window->bytes * 1000.0 / window->us;
    if (ram.dirty_pages_rate && window->bytes > 10000) {
        o->expected_downtime_ms =
            policy_expected_downtime(ram.sync_pending_bytes, o->bandwidth, p.downtime_limit);
    }
    g_mutex_unlock(&o->lock);
}

/* Sleeps off the rest of a window whose budget is used up; cancel and a new limit end it. */
void outgoing_keep_rate(Outgoing *o, uint64_t limit)
{
    bql_assert_free(o->machine->loop);
    uint64_t sent = outgoing_bytes_limited(o);
    int64_t now = g_get_monotonic_time();
    int64_t wait = rate_wait_us(&o->rate, now, sent, limit);
    RateWindow window;

    if (wait > 0) {
        trace_migration_rate_limit_pre(wait);
        outgoing_point(o, FAULT_SRC_RATE, NULL);
    }
    g_mutex_lock(&o->lock);
    while (wait > 0 && !o->cancelled && !o->kicked && !o->way_back_ended &&
           g_cond_wait_until(&o->wake, &o->lock, now + wait)) {
        /* woken for something else */
    }
    bool kicked = o->kicked;
    o->kicked = false;
    g_mutex_unlock(&o->lock);
    if (wait > 0) {
        trace_migration_rate_limit_post(kicked);
    }
    if (rate_roll(&o->rate, g_get_monotonic_time(), sent, limit, &window)) {
        learn_rate(o, &window);
    }
}
