/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handover: the last pages, device state, the end of the stream, and what
 * is known then of whose the guest is. A part of the source's story
 * (source/outgoing.c), on its thread; the guest stands still.
 */
#include <string.h>
#include "migration/source/handover.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define TAKEN_PING 3        /* setup has had 1, the passes 2 */
#define END_LOOK_MS 50      /* how often somebody who waits for a command looks for a cancel */
#define DESCRIPTION_ROOM (4u << 20)      /* more than it has */
#define END_LATE_US (G_USEC_PER_SEC / 2)    /* so long a command may still take then */

static bool send_rest_of_ram(Outgoing *o, GError **errp)
{
    bool ok;

    if (migration_settings_props(o->settings)->send_switchover_start) {
        outgoing_put_command(o, MIG_CMD_SWITCHOVER_START, NULL, 0);
    }
    outgoing_note_done(o);
    ram_save_last_sync(o->saver);
    outgoing_note_step(o, SWITCHOVER_SYNCED);
    outgoing_announce_passes(o);
    trace_savevm_state_complete_precopy();
    outgoing_put_section(o, SECTION_END);
    ok = ram_save_complete(o->saver, o->w, errp);
    ok = ok && outgoing_put_footer(o, errp);
    outgoing_note_step(o, SWITCHOVER_RAM_SENT);
    return ok && outgoing_point(o, FAULT_SRC_RAM_SENT, errp);
}

static void put_description(Outgoing *o)
{
    g_autofree char *text = vmstate_json_text(o->description);

    stream_put_u8(o->w, SECTION_VMDESCRIPTION);
    stream_put_be32(o->w, strlen(text));
    stream_put_buffer(o->w, text, strlen(text));
}

static void no_answer(Outgoing *o, const char *to, GError **errp)
{
    error_setg(errp, "the destination has not answered %s for %" G_GINT64_FORMAT " ms "
               "(x-verdict-timeout)", to, outgoing_verdict_timeout_us(o) / 1000);
}

/*
 * Has the destination taken all sections? One that refuses a device does it
 * before the end of the stream, without which no destination takes the
 * guest: so a link that breaks until now, or is silent, leaves no doubt.
 */
static bool sections_were_taken(Outgoing *o, GError **errp)
{
    uint32_t ping = GUINT32_TO_BE(TAKEN_PING);

    trace_savevm_send_ping(TAKEN_PING);
    outgoing_put_command(o, MIG_CMD_PING, &ping, sizeof(ping));
    if (!stream_flush(o->w, errp)) {
        return false;
    }
    if (return_path_wait_pong(o->rp, TAKEN_PING, outgoing_verdict_timeout_us(o))) {
        return true;
    }
    if (outgoing_check_cancelled(o, errp)) {
        no_answer(o, "to the guest's device state", errp);
    }
    return false;
}

/* The destination's word. False, and the owner unknown, unless it refused. */
static bool await_verdict(Outgoing *o, GError **errp)
{
    outgoing_enter(o, OUTGOING_AWAITS);
    if (!outgoing_point(o, FAULT_SRC_AWAITS, errp)) {
        o->owner = OWNER_UNKNOWN;
        return false;
    }
    ReturnPathState state = return_path_wait(o->rp, outgoing_verdict_timeout_us(o));
    outgoing_enter(o, OUTGOING_ENDS);
    o->owner = state == RETURN_PATH_ACCEPTED  ? OWNER_DESTINATION
               : state == RETURN_PATH_REFUSED ? OWNER_SOURCE : OWNER_UNKNOWN;
    if (state == RETURN_PATH_OPEN) {
        no_answer(o, "to the end of the stream", errp);
    } else if (state != RETURN_PATH_ACCEPTED) {
        return_path_error(o->rp, errp);
    }
    return state == RETURN_PATH_ACCEPTED;
}

/* The last bytes could not be sent, or not all: has the destination got enough of them? */
static bool accepted_anyway(Outgoing *o, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (await_verdict(o, &err)) {
        g_clear_error(errp);
        return true;
    }
    if (o->owner == OWNER_SOURCE) {
        g_clear_error(errp);
        g_propagate_error(errp, g_steal_pointer(&err));
    }
    return false;
}

/* Nobody runs what lies in a file. Anything else may have taken it to where it runs. */
static OutgoingOwner owner_if_lost(Outgoing *o)
{
    return channel_is_seekable(o->channel) ? OWNER_SOURCE : OWNER_UNKNOWN;
}

/*
 * How the command of exec: ended is the only answer there is. A packing
 * command may take minutes to the end, so only a cancel makes it short: it has
 * then half a second more.
 */
static bool await_taker(Outgoing *o, GError **errp)
{
    int64_t until = 0;
    ChannelEnd end;

    while ((end = channel_complete(o->channel, END_LOOK_MS, errp)) == CHANNEL_END_OPEN) {
        int64_t now = g_get_monotonic_time();
        if (outgoing_cancelled(o) && !until) {
            until = now + END_LATE_US;
        }
        if (until && now >= until) {
            error_setg(errp, "the migration was cancelled when '%s' had taken everything and had "
                       "not ended", channel_name(o->channel));
            return false;
        }
    }
    return end == CHANNEL_END_TAKEN;
}

/* Without a return path the end of the channel must do. What becomes of a file's content is known here. */
static bool await_end(Outgoing *o, GError **errp)
{
    outgoing_enter(o, OUTGOING_AWAITS);
    bool taken = outgoing_point(o, FAULT_SRC_AWAITS, errp) && await_taker(o, errp);
    outgoing_enter(o, OUTGOING_ENDS);
    if (!taken) {
        o->owner = owner_if_lost(o);
        return false;
    }
    o->channel = NULL;
    return channel_set_close_all(o->channels, errp);
}

/*
 * The end of the stream, without which no destination takes the guest. If it
 * cannot be sent, or not all, what the destination says decides; without a
 * return path, whether any of it has left.
 */
static bool send_end(Outgoing *o, GError **errp)
{
    if (o->rp && (!sections_were_taken(o, errp) || !outgoing_point(o, FAULT_SRC_TAKEN, errp))) {
        return false;
    }
    outgoing_enter(o, OUTGOING_HANDS_OVER);
    if (!outgoing_check_cancelled(o, errp) || !outgoing_point(o, FAULT_SRC_HANDS_OVER, errp)) {
        return false;
    }
    uint64_t before = stream_writer_taken(o->w);
    stream_put_u8(o->w, SECTION_EOF);
    if (!migration_settings_props(o->settings)->suppress_vmdesc) {
        put_description(o);
    }
    if (stream_flush(o->w, errp)) {
        return true;
    }
    if (o->rp) {
        return accepted_anyway(o, errp);
    }
    if (stream_writer_taken(o->w) > before) {
        o->owner = owner_if_lost(o);
    }
    return false;
}

/* Saved again: what comes must not reach what the file says now. */
static bool check_stream_room(Outgoing *o, GError **errp)
{
    uint64_t at, left;

    if (!o->incremental) {
        return true;
    }
    if (!stream_writer_tell(o->w, &at, errp)) {
        return false;
    }
    left = at < o->stream_end ? o->stream_end - at : 0;
    if (left < o->device_state->len + DESCRIPTION_ROOM) {
        error_setg(errp, "%u KiB of device state do not find room in '%s', which is saved into again: save to "
                   "another file, or without x-incremental", o->device_state->len >> 10,
                   channel_name(o->channel));
        return false;
    }
    return true;
}

bool outgoing_complete(Outgoing *o, GError **errp)
{
    outgoing_assert(o, OUTGOING_SENDS, OWNER_SOURCE);
    g_assert(o->saver && o->stopped && o->device_state);
    if (!send_rest_of_ram(o, errp)) {
        return false;
    }
    if (!check_stream_room(o, errp)) {
        return false;
    }
    stream_put_buffer(o->w, o->device_state->data, o->device_state->len);
    if (!stream_flush(o->w, errp) || !outgoing_point(o, FAULT_SRC_DEVICES_SENT, errp) ||
        !send_end(o, errp)) {
        return false;
    }
    outgoing_note_step(o, SWITCHOVER_ALL_SENT);
    if (o->phase != OUTGOING_ENDS && !(o->rp ? await_verdict(o, errp) : await_end(o, errp))) {
        return false;
    }
    outgoing_point(o, FAULT_SRC_CONFIRMED, NULL);
    outgoing_note_step(o, SWITCHOVER_CONFIRMED);
    outgoing_bytes_sent(o);
    o->owner = OWNER_DESTINATION;
    return true;
}
