/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The passes of an outgoing migration: parts of a pass within the rate limit
 * (source/pace.c), looks at the dirty log, auto-converge, and the question
 * whether it is time to switch over. On the migration thread; decides nothing
 * that policy/policy can decide, and never stops the guest.
 */
#include "migration/source/outlook.h"
#include "migration/source/pace.h"
#include "migration/source/passes.h"
#include "migration/source/postcopy.h"
#include "migration/stream/format.h"
#include "util/trace-migration.h"

#define THROTTLE_PERIOD_US G_USEC_PER_SEC
#define THROTTLE_SYNC_US (5 * G_USEC_PER_SEC)   /* auto-converge looks at least so often */
#define CATCH_UP_MS 100                         /* how long to wait for the destination */
#define CATCH_UP_PING 2                         /* setup has had 1 */
#define CATCH_UP_POSTCOPY_MS 1000               /* where the switch is decided already */
#define CATCH_UP_POSTCOPY_PING 5                /* the switch has 2 to 4 */
#define ACK_LOOK_US 100000                      /* without an ack: so long until the next look */
#define CATCH_UP_BLIND_US 20000                 /* the most when it cannot tell us */

/* auto-converge: judges whole periods of at least a second. */
static void consider_throttle(Outgoing *o, int64_t now)
{
    MigrationParameters p = migration_settings_params(o->settings);
    ThrottleParams tp = {
        .trigger_threshold = p.throttle_trigger_threshold, .initial = p.cpu_throttle_initial,
        .increment = p.cpu_throttle_increment, .max = p.max_cpu_throttle,
        .tailslow = p.cpu_throttle_tailslow,
    };
    uint64_t sent = outgoing_bytes_sent(o);

    if (!o->throttle_since_us || now - o->throttle_since_us < THROTTLE_PERIOD_US) {
        o->throttle_since_us = o->throttle_since_us ? o->throttle_since_us : now;
        return;
    }
    if (policy_throttle(&o->throttle, &tp, o->throttle_dirtied, sent - o->throttle_sent)) {
        trace_migration_throttle(o->throttle.percent);
        outgoing_set_throttle(o, o->throttle.percent);
    }
    o->throttle_since_us = now;
    o->throttle_dirtied = 0;
    o->throttle_sent = sent;
}

/* Fetches the dirty log: a new pass, by QEMU's count. */
static void sync_dirty(Outgoing *o)
{
    RamStats before, after;

    outgoing_note_done(o);
    ram_saver_get_stats(o->saver, &before);
    ram_save_sync(o->saver);
    ram_saver_get_stats(o->saver, &after);
    int64_t now = g_get_monotonic_time();
    uint64_t pages = after.remaining_pages - before.remaining_pages;    /* a sync only adds */
    o->throttle_dirtied += pages * TARGET_PAGE_SIZE;
    o->dirtied_per_ms = pages * 1000.0 / MAX(now - o->last_sync_us, 1);
    o->pass_us = now - o->last_sync_us;
    o->last_sync_us = now;
    g_mutex_lock(&o->lock);
    policy_trend_note(&o->trend, after.periods, after.sync_pending_bytes, outgoing_bytes_sent(o));
    g_mutex_unlock(&o->lock);
    outgoing_announce_passes(o);
    if (outgoing_has_cap(o, MIGRATION_CAP(AUTO_CONVERGE))) {
        consider_throttle(o, o->last_sync_us);
    }
}

static PolicyInput policy_input(Outgoing *o)
{
    MigrationParameters p = migration_settings_params(o->settings);
    uint64_t dirty_bytes;
    uint64_t wire_bytes = ram_save_pending(o->saver, &dirty_bytes);

    return (PolicyInput){
        .pending_wire_bytes = wire_bytes,
        .bandwidth = o->bandwidth,
        .switchover_bandwidth = p.avail_switchover_bandwidth,
        .downtime_limit_ms = p.downtime_limit,
        .guest_running = runstate_is_running(o->machine->runstate),
        .dirty_pages = dirty_bytes / TARGET_PAGE_SIZE,
        .dirtied_per_ms = o->dirtied_per_ms,
        .sent_bytes = outgoing_bytes_sent(o),
        .extra_passes = o->extra_passes,
        .extra_pass = o->extra_pass,
    };
}

/* agreed: false if only the destination's word is missing. */
static void note_decision(Outgoing *o, const PolicyInput *in, PolicyAction action, bool agreed)
{
    char *reason = agreed ? policy_reason(in, action)
                          : g_strdup("the destination has not agreed to the switchover "
                                     "(capability switchover-ack has to be on there, too)");

    trace_migration_switchover_decision(!agreed ? "go on"
                                        : action == POLICY_SWITCH_OVER ? "switch over"
                                        : action == POLICY_SYNC      ? "look again"
                                                                     : "go on", reason);
    if (agreed && action == POLICY_SWITCH_OVER) {
        trace_migration_thread_low_pending(in->pending_wire_bytes);
    }
    g_mutex_lock(&o->lock);
    g_free(o->reason);
    o->reason = reason;
    o->pending = in->pending_wire_bytes;
    g_mutex_unlock(&o->lock);
}

/* Monitors hear of a verdict when it is a new one. */
static void announce_verdict(Outgoing *o)
{
    PolicyOutlook outlook;
    OutgoingView v;

    outgoing_view(o, &v);
    if (outgoing_outlook(&v, &outlook) && policy_verdict(&outlook) != o->verdict) {
        o->verdict = policy_verdict(&outlook);
        XMigrationOutlook *info = outgoing_outlook_info(&v);
        migration_emit_outlook(o->m, info);
        qapi_free_XMigrationOutlook(info);
    }
    outgoing_view_clear(&v);
}

/* Asks the policy again, with a fresh dirty log. */
static PolicyAction look_again(Outgoing *o, PolicyInput *in)
{
    sync_dirty(o);
    *in = policy_input(o);
    in->synced = true;
    PolicyAction action = policy_decide(in);

    o->extra_pass = action == POLICY_EXTRA_PASS;
    o->extra_passes += o->extra_pass;
    return action;
}

/* Until the destination has taken what was sent so far. */
static void await_destination(Outgoing *o, uint32_t number, int64_t at_most_ms)
{
    uint32_t ping = GUINT32_TO_BE(number);

    trace_savevm_send_ping(number);
    outgoing_put_command(o, MIG_CMD_PING, &ping, sizeof(ping));
    /* An error is found by whoever writes next, and the destination's silence has no meaning here. */
    if (stream_flush(o->w, NULL)) {
        return_path_wait_pong(o->rp, number, at_most_ms * 1000);
    }
}

/*
 * The destination may be far behind, with megabytes in the buffers between
 * us, and would have to work them off while the guest stands still. It can
 * do that while the guest runs. Without a return path we do not hear that it
 * has; it is given as long as we took for the last pass, as unpacking takes
 * about as long as packing. Once only, and only where it costs nothing: with
 * a guest that dirties a lot nobody waits. True if time has passed.
 */
static bool let_destination_catch_up(Outgoing *o, const PolicyInput *in)
{
    if (o->caught_up || !channel_has_return_path(o->channel) ||
        !policy_wait_pays(in, CATCH_UP_MS)) {
        return false;
    }
    o->caught_up = true;
    outgoing_point(o, FAULT_SRC_CATCH_UP, NULL);
    if (!o->rp) {
        g_usleep(MIN(o->pass_us, CATCH_UP_BLIND_US));
        return true;
    }
    await_destination(o, CATCH_UP_PING, CATCH_UP_MS);
    return true;
}

static void trace_pending(Outgoing *o, const PolicyInput *in)
{
    if (trace_migrate_pending_on()) {
        uint64_t dirty;

        ram_save_pending(o->saver, &dirty);
        trace_migrate_pending(in->pending_wire_bytes, in->bandwidth * in->downtime_limit_ms,
                              dirty);
    }
}

/*
 * Capability switchover-ack: a guest that runs is not stopped before the
 * destination has agreed, which it does as soon as it can talk. If it has
 * not, waits a moment for it; memory has to be looked at again afterwards.
 */
static bool switchover_agreed(Outgoing *o, const PolicyInput *in)
{
    if (!outgoing_has_cap(o, MIGRATION_CAP(SWITCHOVER_ACK)) || !in->guest_running) {
        return true;
    }
    outgoing_point(o, FAULT_SRC_ACK, NULL);
    int64_t end = g_get_monotonic_time() + ACK_LOOK_US;
    g_mutex_lock(&o->lock);
    bool acked = o->switchover_acked;
    while (!o->switchover_acked && !o->cancelled && !o->way_back_ended &&
           g_cond_wait_until(&o->wake, &o->lock, end)) {
        /* woken for something else */
    }
    g_mutex_unlock(&o->lock);
    return acked;
}

/* The policy's question; true if it is time to switch over. */
static bool time_to_switch_over(Outgoing *o)
{
    PolicyInput in = policy_input(o);
    trace_pending(o, &in);
    PolicyAction action = policy_decide(&in);

    if (action == POLICY_ITERATE && outgoing_has_cap(o, MIGRATION_CAP(AUTO_CONVERGE)) &&
        o->pass > 1 && g_get_monotonic_time() - o->last_sync_us > THROTTLE_SYNC_US) {
        sync_dirty(o);
    }
    if (action == POLICY_SYNC) {
        action = look_again(o, &in);
    }
    if (action == POLICY_SWITCH_OVER && let_destination_catch_up(o, &in)) {
        action = look_again(o, &in);
    }
    bool agreed = action != POLICY_SWITCH_OVER || switchover_agreed(o, &in);
    note_decision(o, &in, action, agreed);
    announce_verdict(o);
    return action == POLICY_SWITCH_OVER && agreed;
}

/* Asked before each page, so no locks; a part is short enough to look at the limit once. */
static bool part_is_over(void *opaque)
{
    Outgoing *o = opaque;

    return rate_exhausted(&o->rate, outgoing_bytes_sent(o), o->part_limit) ||
           __atomic_load_n(&o->cancelled, __ATOMIC_RELAXED);
}

static bool send_part(Outgoing *o, GError **errp)
{
    trace_savevm_state_iterate(o->pass);
    outgoing_put_section(o, SECTION_PART);
    return outgoing_point(o, FAULT_SRC_PASS, errp) &&
           ram_save_iterate(o->saver, o->w, part_is_over, o, errp) &&
           outgoing_put_footer(o, errp);
}

bool outgoing_passes(Outgoing *o, GError **errp)
{
    outgoing_assert(o, OUTGOING_SENDS, OWNER_SOURCE);
    g_assert(o->saver && o->w);
    o->last_sync_us = g_get_monotonic_time();   /* setup has just done one */
    rate_start(&o->rate, o->last_sync_us, outgoing_bytes_sent(o));
    while (!outgoing_postcopy_due(o) && !time_to_switch_over(o)) {
        o->part_limit = migration_settings_params(o->settings).max_bandwidth;
        if (!outgoing_check_cancelled(o, errp) || (!part_is_over(o) && !send_part(o, errp))) {
            return false;
        }
        outgoing_keep_rate(o, migration_settings_params(o->settings).max_bandwidth);
    }
    if (o->postcopy.follows && o->rp) {
        outgoing_point(o, FAULT_SRC_CATCH_UP, NULL);
        /* what is on the way now would be waited for while the guest stands still */
        await_destination(o, CATCH_UP_POSTCOPY_PING, CATCH_UP_POSTCOPY_MS);
    }
    return outgoing_check_cancelled(o, errp);
}
