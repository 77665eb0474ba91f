/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's story from the switch to postcopy on (migration-stream 8.4):
 * device state in one package, then memory, what the destination asks for
 * first. Told by source/outgoing.c's migration thread. What comes after a
 * cut is in source/postcopy-recover.c.
 *
 *   migration thread                        return path thread
 *   discard what is dirty
 *   package: LISTEN, devices, PING 3
 *   RUN         <- from here on the guest is not ours
 *   pages asked for, pages in turn  <------ page requests, through a bounded queue
 *   END, EOF    <-------------------------- SHUT 0: the destination has all
 *
 * Whose the guest is. The package is run only when its last byte is there,
 * and that is in a write of its own of five bytes, which is done or not: until
 * then it is OWNER_SOURCE, and a failure lets the guest go on here. Afterwards
 * it is OWNER_UNKNOWN and never runs here again, unless the destination
 * refuses the device state, which it does before it runs. A connection that
 * ends is no refusal: the migration is paused then, for as long as it takes.
 */
#include <string.h>
#include "migration/source/pace.h"
#include "migration/source/postcopy.h"
#include "migration/source/postcopy-recover.h"
#include "migration/source/preempt.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define DISCARDED_PING 2        /* as QEMU numbers them */
#define LOADED_PING 3
#define LISTENS_PING 4
#define ALIVE_EVERY_US G_USEC_PER_SEC
#define COMMAND_BYTES 5         /* of one without data */
#define DISCARD_RANGES 12
#define STAND_BACK_US 100
#define STAND_BACK_MAX_US 20000

/* ---- what the destination says: return path thread ---- */

static void wake(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    o->kicked = true;
    g_mutex_unlock(&o->lock);
    g_cond_broadcast(&o->wake);     /* not before: it would wait for the lock at once */
}

/* The saver lives longer than this thread. */
static RamSaver *saver_of(Outgoing *o, GError **errp)
{
    g_mutex_lock(&o->lock);
    RamSaver *saver = o->saver;
    g_mutex_unlock(&o->lock);
    if (!saver) {
        error_setg(errp, "the destination speaks of memory before there is any");
    }
    return saver;
}

static bool page_asked(void *opaque, const char *block, uint64_t start, uint32_t len,
                       GError **errp)
{
    RamSaver *saver = saver_of(opaque, errp);

    if (!saver || !ram_save_request(saver, block, start, len, errp)) {
        return false;
    }
    wake(opaque);
    return true;
}

static void pong_came(void *opaque, uint32_t value)
{
    Outgoing *o = opaque;

    g_mutex_lock(&o->lock);
    bool first = value == LOADED_PING && o->postcopy.bytes_at_run != 0 && !o->postcopy.loaded;
    o->postcopy.ponged = true;
    o->postcopy.loaded |= first;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    if (first) {
        outgoing_note_step(o, SWITCHOVER_CONFIRMED);
    }
}

void outgoing_postcopy_ops(ReturnPathOps *ops)
{
    ops->page_request = page_asked;
    ops->pong = pong_came;
    outgoing_recovery_ops(ops);
}

/* ---- before the switch ---- */

void outgoing_put_advise(Outgoing *o)
{
    uint64_t data[2] = { GUINT64_TO_BE(ram_save_page_sizes(o->saver)),
                         GUINT64_TO_BE(TARGET_PAGE_SIZE) };

    outgoing_put_command(o, MIG_CMD_POSTCOPY_ADVISE, data, sizeof(data));
}

/* x-postcopy-precopy-count: that many passes are over. */
static bool passes_are_over(Outgoing *o)
{
    uint32_t count = migration_settings_params(o->settings).x_postcopy_precopy_count;
    uint64_t dirty;

    if (count == UINT32_MAX) {
        return false;
    }
    ram_save_pending(o->saver, &dirty);
    return count == 0 || o->pass > count || (o->pass == count && dirty == 0);
}

bool outgoing_postcopy_due(Outgoing *o)
{
    if (!outgoing_has_cap(o, MIGRATION_CAP(POSTCOPY_RAM))) {
        return false;
    }
    g_mutex_lock(&o->lock);
    bool wanted = o->postcopy.wanted;
    bool agreed = o->switchover_acked || !outgoing_has_cap(o, MIGRATION_CAP(SWITCHOVER_ACK));
    g_mutex_unlock(&o->lock);
    o->postcopy.follows = agreed && (wanted || passes_are_over(o));
    return o->postcopy.follows;
}

/* ---- the switch ---- */

/* A discard command that is being put together. */
typedef struct Discard {
    Outgoing *o;
    const RAMBlock *block;
    GByteArray *data;
    unsigned ranges;
} Discard;

static void discard_end(Discard *d)
{
    if (d->ranges > 0) {
        outgoing_put_command(d->o, MIG_CMD_POSTCOPY_RAM_DISCARD, d->data->data,
                             (uint16_t)d->data->len);
    }
    d->ranges = 0;
}

static void discard_begin(Discard *d, const RAMBlock *block)
{
    uint8_t version = 0, len = (uint8_t)strlen(block->idstr);

    discard_end(d);
    d->block = block;
    g_byte_array_set_size(d->data, 0);
    g_byte_array_append(d->data, &version, 1);
    g_byte_array_append(d->data, &len, 1);
    g_byte_array_append(d->data, (const uint8_t *)block->idstr, len + 1);  /* and a NUL */
}

static bool discard_range(void *opaque, const RAMBlock *block, uint64_t start, uint64_t length)
{
    Discard *d = opaque;
    uint64_t range[2] = { GUINT64_TO_BE(start), GUINT64_TO_BE(length) };

    if (block != d->block || d->ranges == DISCARD_RANGES) {
        discard_begin(d, block);
    }
    g_byte_array_append(d->data, (const uint8_t *)range, sizeof(range));
    d->ranges++;
    return stream_writer_ok(d->o->w, NULL);
}

/* 8.3: what is dirty now, sent before or never, must not be taken for there. */
static void put_discards(Outgoing *o)
{
    Discard d = { .o = o, .data = g_byte_array_new() };

    ram_save_each_range(o->saver, discard_range, &d);
    discard_end(&d);
    g_byte_array_unref(d.data);
}

static void put_ping(Outgoing *o, uint32_t value)
{
    uint32_t be = GUINT32_TO_BE(value);

    trace_savevm_send_ping(value);
    outgoing_put_command(o, MIG_CMD_PING, &be, sizeof(be));
}

/* All of the package but its last command. */
static void put_package(Outgoing *o)
{
    uint32_t len = COMMAND_BYTES + o->device_state->len + COMMAND_BYTES + sizeof(len) +
                   COMMAND_BYTES;
    uint32_t be = GUINT32_TO_BE(len);

    trace_qemu_savevm_send_packaged(len);
    outgoing_put_command(o, MIG_CMD_PACKAGED, &be, sizeof(be));
    outgoing_put_command(o, MIG_CMD_POSTCOPY_LISTEN, NULL, 0);
    stream_put_buffer(o->w, o->device_state->data, o->device_state->len);
    put_ping(o, LOADED_PING);
}

static void note_run(Outgoing *o, uint64_t bytes)
{
    g_mutex_lock(&o->lock);
    o->postcopy.bytes_at_run = bytes;
    g_mutex_unlock(&o->lock);
}

/* The one moment at which the guest changes hands. */
static bool let_it_run_there(Outgoing *o, GError **errp)
{
    if (!stream_flush(o->w, errp) || !outgoing_point(o, FAULT_SRC_POSTCOPY_PACKAGE, errp) ||
        !outgoing_check_cancelled(o, errp) ||
        !migration_state_move(&o->m->out_state, MIGRATION_EVENT_POSTCOPY, errp)) {
        return false;
    }
    outgoing_put_command(o, MIG_CMD_POSTCOPY_RUN, NULL, 0);
    note_run(o, outgoing_bytes_sent(o));
    if (!stream_flush(o->w, errp)) {
        note_run(o, 0);         /* so few bytes go or do not go */
        return false;
    }
    o->owner = OWNER_UNKNOWN;
    outgoing_note_step(o, SWITCHOVER_ALL_SENT);
    return true;
}

static bool switch_to_postcopy(Outgoing *o, GError **errp)
{
    trace_postcopy_start();
    if (!outgoing_point(o, FAULT_SRC_POSTCOPY_SWITCH, errp)) {
        return false;
    }
    if (migration_settings_props(o->settings)->send_switchover_start) {
        outgoing_put_command(o, MIG_CMD_SWITCHOVER_START, NULL, 0);
    }
    ram_save_last_sync(o->saver);
    outgoing_note_step(o, SWITCHOVER_SYNCED);
    outgoing_announce_passes(o);
    outgoing_set_throttle(o, 0);
    if (!ram_save_postcopy_begin(o->saver, o->w, errp)) {
        return false;
    }
    put_discards(o);
    put_ping(o, DISCARDED_PING);
    put_package(o);
    if (!let_it_run_there(o, errp)) {
        return false;
    }
    /* Not before: the guest would stand still for a destination that takes its time to read. */
    channel_keep_queue_short(o->channel);
    return true;
}

/* ---- pages ---- */

static void follow_settings(Outgoing *o)
{
    static const RamOrder orders[X_POSTCOPY_BACKGROUND__MAX] = {
        [X_POSTCOPY_BACKGROUND_NONE] = RAM_ORDER_NONE,
        [X_POSTCOPY_BACKGROUND_LINEAR] = RAM_ORDER_LINEAR,
        [X_POSTCOPY_BACKGROUND_FOLLOW_FAULT] = RAM_ORDER_FOLLOW_FAULT,
    };
    MigrationParameters p = migration_settings_params(o->settings);
    RamPostcopyOptions opt = {
        .order = orders[p.x_postcopy_background],
        .prefault_forward = p.x_postcopy_prefault_forward,
        .prefault_backward = p.x_postcopy_prefault_backward,
    };

    o->part_limit = p.max_postcopy_bandwidth;
    o->postcopy.background = opt.order != RAM_ORDER_NONE;
    ram_save_set_postcopy(o->saver, &opt);
}

/*
 * Who has got a page goes on and often needs another at once, which without a channel for it would come
 * behind what is under way by then: so the background stands back for a moment after each answer, but
 * for no more than half of the time.
 */
static void stand_back(Outgoing *o)
{
    uint64_t answered = ram_save_urgent_bytes(o->saver);

    if (answered == o->answered_bytes || ram_save_is_asked(o->saver)) {
        return;
    }
    int64_t now = g_get_monotonic_time();
    o->held_us = MAX(o->held_us - (now - o->answered_us), 0);
    o->answered_bytes = answered;
    o->answered_us = now;
    if (o->held_us >= STAND_BACK_MAX_US) {
        return;
    }
    g_mutex_lock(&o->lock);
    o->kicked = false;      /* that was for what has been answered */
    while (!o->kicked && !ram_save_is_asked(o->saver) && !o->way_back_ended && !o->postcopy.abandoned &&
           g_cond_wait_until(&o->wake, &o->lock, now + STAND_BACK_US)) {
        /* woken for something else */
    }
    g_mutex_unlock(&o->lock);
    o->answered_us = g_get_monotonic_time();
    o->held_us += o->answered_us - now;
}

/* Asked before each page. What was asked for is not limited. */
static bool part_is_over(void *opaque)
{
    Outgoing *o = opaque;

    if (o->postcopy.background && !o->urgent) {
        stand_back(o);
    }
    return !ram_save_is_asked(o->saver) &&
           (!o->postcopy.background ||
            rate_exhausted(&o->rate, outgoing_bytes_limited(o), o->part_limit));
}

/* release-ram: not before the destination has said that it has the guest, which it may refuse. */
static void release_sent(Outgoing *o)
{
    if (outgoing_has_cap(o, MIGRATION_CAP(RELEASE_RAM))) {
        g_mutex_lock(&o->lock);
        bool loaded = o->postcopy.loaded;
        g_mutex_unlock(&o->lock);
        if (loaded) {
            ram_save_release(o->saver);
        }
    }
}

static bool send_part(Outgoing *o, GError **errp)
{
    trace_savevm_state_iterate(o->pass);
    outgoing_put_section(o, SECTION_PART);
    if (!outgoing_point(o, FAULT_SRC_POSTCOPY_PART, errp) ||
        !ram_save_iterate(o->saver, o->w, part_is_over, o, errp)) {
        return false;
    }
    outgoing_end_section(o);
    /* Pages of zeros may wait for company till here; what was asked for has gone, and nobody waits for an end. */
    if (o->postcopy.background && !stream_flush(o->w, errp)) {
        return false;
    }
    release_sent(o);
    return true;
}

/* Until something is asked for, the setting changes, the talk ends, the process does, or a word is due. */
static void wait_to_be_asked(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    while (!o->kicked && !o->way_back_ended && !o->postcopy.abandoned &&
           g_cond_wait_until(&o->wake, &o->lock, o->postcopy.alive_us + ALIVE_EVERY_US)) {
        /* woken for something else */
    }
    o->kicked = false;
    g_mutex_unlock(&o->lock);
}

/*
 * One who is asked each second has something to say, and hears something: so that silence on either
 * side is a link, or a process, that is not there any more.
 */
static bool keep_talking(Outgoing *o, GError **errp)
{
    int64_t now = g_get_monotonic_time();

    outgoing_set_patience(o);
    if (now - o->postcopy.alive_us < ALIVE_EVERY_US) {
        return true;
    }
    o->postcopy.alive_us = now;
    put_ping(o, MIG_PING_ALIVE);
    return stream_flush(o->w, errp);
}

static bool send_pages(Outgoing *o, GError **errp)
{
    uint64_t left = 1;

    for (;;) {
        ram_save_pending(o->saver, &left);
        if (left == 0) {
            return true;
        }
        follow_settings(o);
        if (!outgoing_check_cancelled(o, errp) || !keep_talking(o, errp) ||
            (!part_is_over(o) && !send_part(o, errp))) {
            return false;
        }
        if (!o->postcopy.background) {
            wait_to_be_asked(o);
        } else {
            outgoing_keep_rate(o, o->part_limit);
        }
    }
}

/* ---- the end ---- */

static bool send_end(Outgoing *o, GError **errp)
{
    trace_savevm_state_complete_precopy();
    if (!outgoing_end_preempt(o, errp)) {
        return false;
    }
    outgoing_put_section(o, SECTION_END);
    if (!ram_save_complete(o->saver, o->w, errp) || !outgoing_put_footer(o, errp)) {
        return false;
    }
    stream_put_u8(o->w, SECTION_EOF);
    if (!stream_flush(o->w, errp)) {
        return false;
    }
    g_mutex_lock(&o->lock);
    o->postcopy.all_sent = true;
    g_mutex_unlock(&o->lock);
    return true;
}

/* What it still asks for has been sent; somebody must take it out of the queue all the same. */
static bool await_shut(Outgoing *o, GError **errp)
{
    int64_t until = g_get_monotonic_time() + outgoing_verdict_timeout_us(o);
    bool ended = false;

    while (!ended && g_get_monotonic_time() < until) {
        ram_save_answer_none(o->saver);
        g_mutex_lock(&o->lock);
        if (!o->kicked && !o->way_back_ended) {
            g_cond_wait_until(&o->wake, &o->lock, until);
        }
        o->kicked = false;
        ended = o->way_back_ended;
        g_mutex_unlock(&o->lock);
    }
    ReturnPathState state = return_path_wait(o->rp, 0);
    if (state == RETURN_PATH_OPEN) {
        error_setg(errp, "the destination has not said that all of the guest's memory is there "
                   "(x-verdict-timeout)");
    } else if (state != RETURN_PATH_ACCEPTED) {
        return_path_error(o->rp, errp);
    }
    return state == RETURN_PATH_ACCEPTED;
}

static bool finish(Outgoing *o, GError **errp)
{
    if (!send_pages(o, errp) || !outgoing_point(o, FAULT_SRC_POSTCOPY_END, errp) ||
        !send_end(o, errp)) {
        return false;
    }
    outgoing_note_step(o, SWITCHOVER_RAM_SENT);
    if (!outgoing_point(o, FAULT_SRC_POSTCOPY_AWAITS, errp) || !await_shut(o, errp)) {
        return false;
    }
    release_sent(o);    /* all of it may have gone before the destination said that it has the guest */
    return true;
}

bool outgoing_postcopy(Outgoing *o, GError **errp)
{
    outgoing_assert(o, OUTGOING_SENDS, OWNER_SOURCE);
    g_assert(o->saver && o->rp && o->stopped && o->device_state);
    if (!switch_to_postcopy(o, errp)) {
        return false;
    }
    g_autoptr(GError) err = NULL;
    bool ok = outgoing_point(o, FAULT_SRC_POSTCOPY_RUN, &err);
    if (ok) {
        put_ping(o, LISTENS_PING);
        ok = finish(o, &err);
    }
    while (!ok) {
        if (!outgoing_recover(o, &err)) {
            g_propagate_error(errp, g_steal_pointer(&err));
            return false;
        }
        ok = finish(o, &err);
    }
    outgoing_bytes_sent(o);
    o->owner = OWNER_DESTINATION;
    return true;
}
