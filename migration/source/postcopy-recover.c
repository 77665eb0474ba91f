/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A postcopy whose connection has ended (migration-stream 8.7): it waits,
 * paused, for migrate with resume, connects again, asks what has come, and
 * goes on. On the migration thread; the guest stays where it is whatever
 * happens here.
 *
 *   paused <-------------------------------------------------+
 *     | migrate with resume                                  | any error, migrate-pause
 *     v                                                      |
 *   connect, RECV_BITMAP for each block, their bits, RESUME, RESUME_ACK --> postcopy-active
 */
#include <string.h>
#include "migration/source/connect.h"
#include "migration/source/postcopy-recover.h"
#include "migration/source/preempt.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define LATE_REFUSAL_US (G_USEC_PER_SEC / 2)    /* after an error: what the destination has to say */

/* ---- what the destination says: return path thread ---- */

static void *bitmap_room(void *opaque, const char *block, uint64_t bytes, GError **errp)
{
    Outgoing *o = opaque;

    g_mutex_lock(&o->lock);
    bool wanted = o->postcopy.bitmaps_left > 0;
    g_mutex_unlock(&o->lock);
    if (!wanted) {
        error_setg(errp, "the destination sends a bitmap that nobody has asked for");
        return NULL;
    }
    return ram_save_bitmap_room(o->saver, block, bytes, errp);
}

static bool bitmap_done(void *opaque, const char *block, GError **errp)
{
    Outgoing *o = opaque;

    if (!ram_save_bitmap_done(o->saver, errp)) {
        return false;
    }
    g_mutex_lock(&o->lock);
    o->postcopy.bitmaps_left--;
    o->postcopy.has_answered = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    return true;
}

static bool resume_acked(void *opaque, uint32_t value, GError **errp)
{
    Outgoing *o = opaque;

    if (value != MIG_RESUME_ACK_VALUE) {
        error_setg(errp, "the destination cannot go on with the migration (it said %u)", value);
        return false;
    }
    g_mutex_lock(&o->lock);
    o->postcopy.resume_acked = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    return true;
}

void outgoing_recovery_ops(ReturnPathOps *ops)
{
    ops->bitmap_room = bitmap_room;
    ops->bitmap_done = bitmap_done;
    ops->resume_ack = resume_acked;
}

/* ---- silence ---- */

void outgoing_set_patience(Outgoing *o)
{
    uint64_t ms = migration_settings_params(o->settings).x_postcopy_silence_limit;

    for (ChannelRole role = 0; role < CHANNEL_ROLE__MAX; role++) {
        Channel *c = channel_set_get(o->channels, role, 0);
        if (c) {
            channel_set_patience(c, ms);
        }
    }
}

/* ---- the pause ---- */

/* The connections are gone and nobody uses them. */
static void let_go_of_connections(Outgoing *o)
{
    channel_set_shutdown_all(o->channels);
    ram_save_close_requests(o->saver);
    return_path_join(o->rp);
    if (o->w) {
        outgoing_bytes_sent(o);
        o->bytes_base += stream_writer_bytes(o->w);
    }
    g_clear_pointer(&o->w, stream_writer_free);
    outgoing_drop_preempt(o);
    o->channel = NULL;
    channel_set_close_all(o->channels, NULL);
}

/* What people are told; takes err. True: it is what the user wanted. */
static bool note_pause(Outgoing *o, GError *err)
{
    g_mutex_lock(&o->lock);
    bool asked = o->postcopy.paused_by_user;
    if (asked) {
        g_clear_error(&err);
        error_setg(&err, "Postcopy migration is paused by the user");
    }
    o->postcopy.paused_by_user = false;
    g_clear_error(&o->error);
    o->error = err;
    g_mutex_unlock(&o->lock);
    return asked;
}

static void report_pause(Outgoing *o, bool asked)
{
    if (asked) {
        machine_report(o->machine, "Postcopy is paused, as asked: the guest runs at the "
                       "destination without what is only here. To go on give migrate_recover there "
                       "and migrate -r here");
        return;
    }
    g_autofree char *lost = outgoing_lost_text(o);
    machine_report(o->machine, "Detected IO failure for postcopy. Migration paused. (%s): %s",
                   o->error->message, lost);
}

static void pause_migration(Outgoing *o, GError *err)
{
    let_go_of_connections(o);
    outgoing_point(o, FAULT_SRC_POSTCOPY_PAUSED, NULL);
    trace_postcopy_pause_outgoing(err ? err->message : "");
    bool asked = note_pause(o, err);
    migration_state_move(&o->m->out_state, MIGRATION_EVENT_BREAK, NULL);
    report_pause(o, asked);
}

/* False with errp if the process ends, or it is given up. */
static bool wait_for_resume(Outgoing *o, GError **errp)
{
    g_mutex_lock(&o->lock);
    while (!o->postcopy.resume && !o->postcopy.abandoned) {
        g_cond_wait(&o->wake, &o->lock);
    }
    bool go_on = !o->postcopy.abandoned, given_up = o->postcopy.given_up;
    if (go_on) {
        channel_address_free(o->postcopy.resuming);
        o->postcopy.resuming = g_steal_pointer(&o->postcopy.resume);
        o->channel = g_steal_pointer(&o->postcopy.resume_channel);
        o->way_back_ended = false;
        o->postcopy.recoveries++;
    }
    g_mutex_unlock(&o->lock);
    if (o->channel) {
        channel_set_add(o->channels, CHANNEL_ROLE_MAIN, 0, o->channel, NULL); /* it is empty */
    }
    if (!go_on) {
        error_setg(errp, given_up ? "the switch to postcopy was given up before the destination had "
                                    "said that it has the guest"
                                  : "the process ends while the guest's memory is only in part there");
    }
    return go_on;
}

/* ---- the way back ---- */

/* Until it is there, the talk ends, or the process does. */
static bool wait_until(Outgoing *o, bool (*there)(const OutgoingPostcopy *p), GError **errp)
{
    g_mutex_lock(&o->lock);
    while (!there(&o->postcopy) && !o->way_back_ended && !o->postcopy.abandoned) {
        g_cond_wait(&o->wake, &o->lock);
    }
    bool ok = there(&o->postcopy);
    g_mutex_unlock(&o->lock);
    return ok || (outgoing_check_cancelled(o, errp) &&
                  (error_setg(errp, "the process ends"), false));
}

static bool have_bitmaps(const OutgoingPostcopy *p)
{
    return p->bitmaps_left == 0;
}

static bool have_ack(const OutgoingPostcopy *p)
{
    return p->resume_acked;
}

static bool ask_what_has_come(Outgoing *o, GError **errp)
{
    size_t blocks = ram_list_count(o->machine->ram);

    for (size_t i = 0; i < blocks; i++) {
        const char *name = ram_list_get(o->machine->ram, i)->idstr;
        uint8_t data[256] = { (uint8_t)strlen(name) };

        memcpy(data + 1, name, data[0]);
        outgoing_put_command(o, MIG_CMD_RECV_BITMAP, data, data[0] + 1);
    }
    return stream_flush(o->w, errp) && wait_until(o, have_bitmaps, errp);
}

static bool agree_to_go_on(Outgoing *o, GError **errp)
{
    ram_save_postcopy_resume(o->saver);
    channel_keep_queue_short(o->channel);
    outgoing_put_command(o, MIG_CMD_POSTCOPY_RESUME, NULL, 0);
    return stream_flush(o->w, errp) && wait_until(o, have_ack, errp);
}

static void expect_answers(Outgoing *o)
{
    ram_save_forget_bitmaps(o->saver);
    g_mutex_lock(&o->lock);
    o->postcopy.bitmaps_left = ram_list_count(o->machine->ram);
    o->postcopy.resume_acked = o->postcopy.all_sent = false;
    g_mutex_unlock(&o->lock);
}

static bool reconnect(Outgoing *o, GError **errp)
{
    o->postcopy.resuming->connect_ms =
        migration_settings_params(o->settings).x_postcopy_silence_limit;
    if (!outgoing_open_channel(o, o->postcopy.resuming, errp)) {
        return false;
    }
    if (!channel_has_return_path(o->channel)) {
        error_setg(errp, "Unable to open return-path: nothing comes back from '%s'; use tcp: or unix:",
                   channel_name(o->channel));
        return false;
    }
    expect_answers(o);
    outgoing_set_patience(o);
    return_path_replace(o->rp, o->channel);
    return migration_state_move(&o->m->out_state, MIGRATION_EVENT_CONNECT, errp) &&
           outgoing_setup_preempt(o, o->postcopy.resuming, errp) &&
           outgoing_point(o, FAULT_SRC_POSTCOPY_RECONNECTED, errp) &&
           ask_what_has_come(o, errp) && outgoing_point(o, FAULT_SRC_POSTCOPY_BITMAPS, errp) &&
           outgoing_switch_preempt(o, o->postcopy.resuming, errp) && agree_to_go_on(o, errp) &&
           outgoing_point(o, FAULT_SRC_POSTCOPY_ACKED, errp) &&
           migration_state_move(&o->m->out_state, MIGRATION_EVENT_RECOVER, errp);
}

/* It said no before it ran the guest: then the guest is ours again. */
static bool was_refused(Outgoing *o, GError **err)
{
    g_mutex_lock(&o->lock);
    bool may = !o->postcopy.loaded && !o->postcopy.recoveries;
    g_mutex_unlock(&o->lock);
    bool refused = may && return_path_wait(o->rp, LATE_REFUSAL_US) == RETURN_PATH_REFUSED;
    g_mutex_lock(&o->lock);
    refused = refused && !o->postcopy.loaded;
    o->postcopy.bytes_at_run = refused ? 0 : o->postcopy.bytes_at_run;
    g_mutex_unlock(&o->lock);
    if (refused) {
        g_clear_error(err);
        return_path_error(o->rp, err);
        o->owner = OWNER_SOURCE;
    }
    return refused;
}

/* A connection that ends is a symptom: if the other end has said why it does not go on, that is the cause. */
static void hear_why(Outgoing *o, GError **err)
{
    if (o->w && return_path_wait(o->rp, LATE_REFUSAL_US) == RETURN_PATH_REFUSED) {
        g_clear_error(err);
        return_path_error(o->rp, err);
    }
}

static bool try_again(Outgoing *o, GError **err)
{
    if (reconnect(o, err)) {
        return true;
    }
    hear_why(o, err);
    return false;
}

bool outgoing_recover(Outgoing *o, GError **err)
{
    outgoing_assert(o, OUTGOING_SENDS, OWNER_UNKNOWN);
    g_assert(*err);
    do {
        if (was_refused(o, err)) {
            return false;
        }
        pause_migration(o, g_steal_pointer(err));
        if (!wait_for_resume(o, err)) {
            return false;
        }
    } while (!try_again(o, err));
    rate_start(&o->rate, g_get_monotonic_time(), outgoing_bytes_limited(o));
    g_mutex_lock(&o->lock);
    channel_address_free(o->addr);
    o->addr = g_steal_pointer(&o->postcopy.resuming);
    g_clear_error(&o->error);
    g_mutex_unlock(&o->lock);
    return true;
}
