/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's story: connect, setup, passes over guest memory, switchover,
 * device state, the destination's word, the end. Started by
 * source/handles.c on the main thread, told by one migration thread. Calls
 * the files that tell its parts; none of them calls it. Never decides what is
 * legal (state/state) or when to switch over (policy/policy).
 *
 *   main thread            migration thread               return path thread
 *   outgoing_start ------> outgoing_thread:
 *                            connect
 *                            setup    ----- if asked ---> reads until SHUT
 *   outgoing_cancel ~~~>     passes        (wakes waits,
 *   outgoing_continue ~~>    switch over    shuts the channel down)
 *                            complete <------------------ the verdict
 *                            end: channel, RAM saver, run state, final state
 *
 * The guest stays the source's (OWNER_SOURCE) until the destination has said
 * yes or, without a return path, every byte and the end of the channel were
 * accepted. Whatever fails before the last byte was sent, or is a refusal,
 * ends with the guest as it was. In between, if the answer does not come,
 * nobody here can know whose it is (OWNER_UNKNOWN): it stays, paused, and people
 * are told.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <json-c/json.h>
#include "migration/source/connect.h"
#include "migration/source/handover.h"
#include "migration/source/multifd.h"
#include "migration/source/outgoing.h"
#include "migration/source/pace.h"
#include "migration/source/passes.h"
#include "migration/source/postcopy.h"
#include "migration/source/preempt.h"
#include "migration/stream/format.h"
#include "qapi/qapi-visit.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define END_ROOM_BYTES (256 << 10)      /* device state, description and what the file system adds */
#define LATE_VERDICT_US (G_USEC_PER_SEC / 2)    /* after an error: what the destination has to say */

/* ---- small helpers ---- */

/* On the return path thread: whoever sleeps looks again. */
static void way_back_changed(void *opaque)
{
    Outgoing *o = opaque;

    g_mutex_lock(&o->lock);
    o->way_back_ended = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
}

/* On the return path thread, too. It says so once; again is no harm. */
static bool switchover_acked(void *opaque, GError **errp)
{
    Outgoing *o = opaque;

    g_mutex_lock(&o->lock);
    o->switchover_acked = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    return true;
}

/* The same: the verdict is there, and not known yet. */
static bool verdict_came(void *opaque, GError **errp)
{
    return outgoing_point(opaque, FAULT_SRC_VERDICT, errp);
}

/* What was not asked for may not be answered. */
static void fill_return_path_ops(const Outgoing *o, ReturnPathOps *ops)
{
    ops->changed = way_back_changed;
    ops->verdict = verdict_came;
    if (outgoing_has_cap(o, MIGRATION_CAP(SWITCHOVER_ACK))) {
        ops->switchover_ack = switchover_acked;
    }
    if (outgoing_has_cap(o, MIGRATION_CAP(POSTCOPY_RAM))) {
        outgoing_postcopy_ops(ops);
    }
}

/* ---- setup ---- */

/*
 * From here on outgoing_set_cache_size finds the saver. A size that was set
 * since it was made for `bytes` found nobody: it is handed on now.
 */
static bool publish_saver(Outgoing *o, RamSaver *saver, uint64_t bytes, GError **errp)
{
    uint64_t now;
    bool ok;

    g_mutex_lock(&o->lock);
    o->saver = saver;
    o->has_ram = true;
    now = migration_settings_params(o->settings).xbzrle_cache_size;
    ok = now == bytes || ram_saver_set_cache_size(saver, now, errp);
    g_mutex_unlock(&o->lock);
    return ok;
}

static bool make_saver(Outgoing *o, GError **errp)
{
    MigrationParameters p = migration_settings_params(o->settings);
    RamSaveOptions opt = {
        .xbzrle = outgoing_has_cap(o, MIGRATION_CAP(XBZRLE)),
        .xbzrle_cache_bytes = p.xbzrle_cache_size,
        .bulk_rule = migration_settings_props(o->settings)->xbzrle_bulk_rule,
        .detect_zero = p.zero_page_detection != ZERO_PAGE_DETECTION_NONE &&
                       !outgoing_channels_detect_zero(o),
        .layout = migration_settings_layout(o->settings),
        .ignore_shared = outgoing_has_cap(o, MIGRATION_CAP(X_IGNORE_SHARED)),
        .postcopy = outgoing_has_cap(o, MIGRATION_CAP(POSTCOPY_RAM)),
        .checksum = outgoing_has_cap(o, MIGRATION_CAP(X_RAM_CHECKSUM)),
        .file_writers = outgoing_file_writers(o),
        .simd = migration_settings_simd(o->settings),
        .baseline = o->m->baseline,
        .again = o->incremental,
    };
    RamSaver *saver = ram_saver_new(o->machine->ram, o->machine->dirty, &opt, errp);

    return saver && publish_saver(o, saver, opt.xbzrle_cache_bytes, errp);
}

static void open_return_path(Outgoing *o)
{
    uint32_t ping = GUINT32_TO_BE(1);

    trace_open_return_path_on_source();
    fill_return_path_ops(o, &o->rp_ops);
    o->rp = return_path_new(o->channel, &o->rp_ops, o);
    trace_savevm_send_open_return_path();
    outgoing_put_command(o, MIG_CMD_OPEN_RETURN_PATH, NULL, 0);
    trace_savevm_send_ping(1);
    outgoing_put_command(o, MIG_CMD_PING, &ping, sizeof(ping));
}

static bool outgoing_setup(Outgoing *o, GError **errp)
{
    if (!outgoing_point(o, FAULT_SRC_SETUP, errp)) {
        return false;
    }
    trace_savevm_state_header();
    migration_put_header(o->m, o->w, o->settings);
    if (outgoing_is_answered(o)) {
        open_return_path(o);
    }
    if (!make_saver(o, errp)) {
        return false;
    }
    if (outgoing_has_cap(o, MIGRATION_CAP(POSTCOPY_RAM))) {
        outgoing_put_advise(o);
    }
    if (!outgoing_setup_multifd(o, errp) || !outgoing_setup_preempt(o, o->addr, errp)) {
        return false;
    }
    trace_savevm_state_setup();
    outgoing_put_section(o, SECTION_START);
    if (!ram_save_setup(o->saver, o->w, errp)) {
        return false;
    }
    outgoing_announce_passes(o);
    if (!outgoing_put_footer(o, errp)) {
        return false;
    }
    g_mutex_lock(&o->lock);
    o->setup_us = g_get_monotonic_time();
    g_mutex_unlock(&o->lock);
    if (!migration_state_move(&o->m->out_state, MIGRATION_EVENT_BEGIN, errp)) {
        return false;
    }
    trace_migration_thread_setup_complete();
    return true;
}

/* ---- switchover ---- */

/* Stops the guest. From here to the end it is ours to restart. BQL. */
static bool stop_guest(Outgoing *o, GError **errp)
{
    RunStateCtl *rs = o->machine->runstate;

    g_mutex_lock(&o->lock);
    o->times.us[SWITCHOVER_ASKED] = g_get_monotonic_time();
    o->bytes_at_stop = o->bytes_now;
    g_mutex_unlock(&o->lock);
    switchover_trace(SWITCHOVER_ASKED);
    bool ok = vm_stop(rs, RUN_STATE_FINISH_MIGRATE, errp);
    trace_migration_completion_vm_stop(ok ? 0 : -1);
    if (!ok) {
        return false;
    }
    outgoing_note_step(o, SWITCHOVER_STOPPED);
    o->stopped = true;
    return true;
}

/* pause-before-switchover: until migrate-continue has moved the state, or cancel. No lock held. */
static bool wait_for_continue(Outgoing *o, GError **errp)
{
    if (!outgoing_point(o, FAULT_SRC_PRE_SWITCHOVER, errp)) {
        return false;
    }
    g_mutex_lock(&o->lock);
    while (migration_state_get(&o->m->out_state) != MIGRATION_STATUS_DEVICE && !o->cancelled &&
           !o->way_back_ended) {
        g_cond_wait(&o->wake, &o->lock);
    }
    g_mutex_unlock(&o->lock);
    return outgoing_check_cancelled(o, errp);
}

/*
 * Device state is taken in one go into memory, so that the big lock is not
 * held while the channel takes it. It is taken before the last look at the
 * dirty log: what a device writes while it saves itself travels too.
 */
static bool take_device_state(Outgoing *o, GError **errp)
{
    const MigrationProps *props = migration_settings_props(o->settings);
    StreamWriter *mem = stream_writer_new_memory();
    struct json_object *devices = json_object_new_array();
    struct json_object *ferry;
    bool ok;

    migration_sections_prepare_save(o->m, vm_seal(o->machine->runstate),
                                    props->store_global_state);
    o->description = json_object_new_object();
    if (o->dialect == DIALECT_QEMU_10_0 && props->send_configuration) {
        json_object_object_add(o->description, "configuration",
                               migration_describe_configuration(o->m, o->settings));
    }
    json_object_object_add(o->description, "page_size", json_object_new_int(TARGET_PAGE_SIZE));
    json_object_object_add(o->description, "devices", devices);
    ok = vmstate_save_all(o->machine->vmstate, mem, props->send_section_footer, devices, errp);
    ferry = vmstate_save_ferry(o->machine->vmstate);
    if (ferry) {
        json_object_object_add(o->description, "ferry", ferry);
    }
    o->device_state = stream_writer_take(mem);
    stream_writer_free(mem);
    return ok;
}

/* Mode cpr-reboot: the guest stands still from the beginning, and will not go on here. */
static bool stop_for_reboot(Outgoing *o, GError **errp)
{
    if (migration_settings_params(o->settings).mode != MIG_MODE_CPR_REBOOT) {
        return true;
    }
    bql_lock(o->machine->loop);
    bool ok = stop_guest(o, errp);
    bql_unlock(o->machine->loop);
    return ok;
}

/*
 * What is still to come, by all that is known, has to find room before the guest is stopped for it.
 * Pages of a mapped file have their places: those that were written before take no more room. The
 * bitmaps are written now.
 */
static bool check_room(Outgoing *o, GError **errp)
{
    uint64_t dirty, bytes = ram_save_pending(o->saver, &dirty);

    if (outgoing_is_mapped(o)) {
        bytes = ram_list_total_bytes(o->machine->ram) / TARGET_PAGE_SIZE / 8 + ram_save_unplaced(o->saver);
    }
    return channel_check_room(o->channel, 0, bytes + END_ROOM_BYTES, errp);
}

static bool outgoing_switch_over(Outgoing *o, GError **errp)
{
    bool pause = outgoing_has_cap(o, MIGRATION_CAP(PAUSE_BEFORE_SWITCHOVER));
    if (!check_room(o, errp) || !outgoing_point(o, FAULT_SRC_STOP, errp)) {
        return false;
    }
    bql_lock(o->machine->loop);
    bool ok = (o->stopped || stop_guest(o, errp)) &&
              migration_state_move(&o->m->out_state,
                                   pause ? MIGRATION_EVENT_PAUSE : MIGRATION_EVENT_SWITCHOVER, errp);
    if (ok && pause) {
        bql_unlock(o->machine->loop);
        ok = wait_for_continue(o, errp);
        bql_lock(o->machine->loop);
    }
    /* Otherwise in one go: the lock, once let go, may be long in coming back. */
    ok = ok && take_device_state(o, errp);
    bql_unlock(o->machine->loop);
    outgoing_note_step(o, SWITCHOVER_DEVICES_TAKEN);
    return ok && outgoing_point(o, FAULT_SRC_DEVICES_TAKEN, errp);
}

/* ---- the end ---- */

/*
 * A broken pipe is a symptom: if the destination has said why, that is the
 * cause. A QEMU destination just goes; then we say where to look.
 */
static void find_cause(Outgoing *o, GError **err)
{
    g_autoptr(GError) cause = NULL;
    bool broken;

    bool asked = o->owner == OWNER_UNKNOWN && o->rp;

    if (asked || !o->channel || outgoing_cancelled(o) ||
        !channel_has_return_path(o->channel) || !o->w) {
        return;
    }
    broken = !stream_writer_ok(o->w, NULL);
    if (!o->rp && broken) {
        o->rp = return_path_new(o->channel, NULL, NULL);    /* a Ferry says it even if it was not asked */
    }
    switch (o->rp ? return_path_wait(o->rp, LATE_VERDICT_US) : RETURN_PATH_OPEN) {
    case RETURN_PATH_REFUSED:
        o->owner = OWNER_SOURCE;
        /* fall through */
    case RETURN_PATH_INVALID:
        return_path_error(o->rp, &cause);
        g_clear_error(err);
        *err = g_steal_pointer(&cause);
        break;
    case RETURN_PATH_BROKEN:
        if (o->addr->kind == CHANNEL_EXEC) {
            break; /* how the command ended has been said */
        }
        error_setg(&cause, "%s: %s", (*err)->message,
                   g_atomic_int_get(&o->yanked)
                       ? "the connection was ended here, with 'yank'"
                       : "the destination has ended the connection; its own messages say why");
        g_clear_error(err);
        *err = g_steal_pointer(&cause);
        break;
    default:
        break;
    }
}

static void let_go_of_channel(Outgoing *o)
{
    if (o->owner != OWNER_DESTINATION) {
        channel_set_shutdown_all(o->channels);  /* else the return path thread has read its last */
        if (o->saver) {
            ram_save_close_requests(o->saver);
        }
    }
    outgoing_drop_multifd(o);
    return_path_free(g_steal_pointer(&o->rp));
    stream_writer_free(g_steal_pointer(&o->w));
    outgoing_drop_preempt(o);
    o->channel = NULL;
    channel_set_close_all(o->channels, NULL);
}

/* What the file at that path holds from now on, if it is wanted to be known. The log has no gap meanwhile. */
static void note_baseline(Outgoing *o, bool done)
{
    g_autoptr(GError) err = NULL;

    if (!done && o->incremental && o->m->baseline) {
        ram_baseline_failed(o->m->baseline, o->addr->path);
    }
    if (!done || !outgoing_has_cap(o, MIGRATION_CAP(X_INCREMENTAL)) || o->addr->kind != CHANNEL_FILE ||
        o->addr->offset) {
        return;
    }
    MappedBase *base = ram_save_take_base(o->saver, &err);
    o->next = base ? ram_baseline_new(o->machine->ram, o->machine->dirty, base, o->addr->path, &err) : NULL;
    if (!o->next) {
        machine_report(o->machine, "x-incremental: the next save will be a full one: %s", err->message);
    }
}

static void let_go_of_ram(Outgoing *o)
{
    if (o->saver) {
        note_baseline(o, o->owner == OWNER_DESTINATION);
    }
    g_mutex_lock(&o->lock);
    RamSaver *saver = g_steal_pointer(&o->saver);
    if (saver) {
        ram_saver_get_stats(saver, &o->last_ram);
    }
    g_mutex_unlock(&o->lock);
    ram_saver_free(saver);
    outgoing_set_throttle(o, 0);
}

/* The guest as it was when all stood still, unless somebody moved it on meanwhile. BQL. */
static void restore_guest(Outgoing *o)
{
    g_autoptr(GError) err = NULL;

    if (o->stopped && !vm_take_back(o->machine->runstate, o->owner == OWNER_SOURCE, &err)) {
        machine_report(o->machine, "after a failed migration: %s", err->message);
    }
}

static void settle_guest(Outgoing *o)
{
    g_autoptr(GError) err = NULL;

    bql_lock(o->machine->loop);
    if (o->owner != OWNER_DESTINATION) {
        restore_guest(o);
    } else if (!runstate_set(o->machine->runstate, RUN_STATE_POSTMIGRATE, &err)) {
        machine_report(o->machine, "after a migration: %s", err->message);
    }
    if (o->owner == OWNER_DESTINATION && outgoing_has_cap(o, MIGRATION_CAP(X_INCREMENTAL))) {
        ram_baseline_free(o->m->baseline);
        o->m->baseline = g_steal_pointer(&o->next);
    }
    if (o->owner != OWNER_SOURCE) {
        o->m->guest = o->owner == OWNER_DESTINATION ? GUEST_MOVED : GUEST_IN_DOUBT;
    }
    o->m->memory_given_back = o->owner == OWNER_DESTINATION && o->postcopy.loaded &&
                              outgoing_has_cap(o, MIGRATION_CAP(RELEASE_RAM));
    bql_unlock(o->machine->loop);
}

/* No message can decide it any more, so people or their programs must. */
static void tell_doubt(Outgoing *o, GError **err)
{
    const char *taker = o->addr->kind == CHANNEL_EXEC ? "whoever the command has handed it to"
                                                      : "the destination";
    GError *told = NULL;

    error_setg(&told, "The guest was sent%s, and %s may run it: look there ('info "
               "status'). It stays paused here; 'cont' takes it back if it does not run there. What "
               "happened: %s", o->postcopy.given_up ? ", but for memory that was to follow" : " completely",
               taker, (*err)->message);
    g_clear_error(err);
    *err = told;
    machine_report(o->machine, "migration: %s", told->message);
}

/* Takes err. */
static void outgoing_end(Outgoing *o, GError *err)
{
    bool gone = o->owner == OWNER_DESTINATION;

    if (!gone) {
        find_cause(o, &err);
        trace_migration_completion_file_err(err->message);
    }
    outgoing_enter(o, OUTGOING_ENDS);
    outgoing_point(o, FAULT_SRC_END, NULL);
    let_go_of_channel(o);
    let_go_of_ram(o);
    trace_savevm_state_cleanup();
    outgoing_point(o, FAULT_SRC_SETTLE, NULL);
    settle_guest(o);
    if (o->owner == OWNER_UNKNOWN && (!o->postcopy.abandoned || o->postcopy.given_up)) {
        tell_doubt(o, &err);
        migration_emit_owner_unknown(o->m, err->message);
    }
    g_mutex_lock(&o->lock);
    o->end_us = g_get_monotonic_time();
    o->error = err;
    o->tid = 0;
    g_mutex_unlock(&o->lock);
    /* From cancelling, FAIL leads to cancelled: the error is then but the echo of the cancel. */
    if (!migration_state_move(&o->m->out_state, gone ? MIGRATION_EVENT_DONE : MIGRATION_EVENT_FAIL,
                              NULL)) {
        g_assert_not_reached(); /* both are legal in every running state that leads here */
    }
}

/*
 * The migration thread. Owns the stream, the RAM saver and every decision of
 * one outgoing migration; reads guest RAM without locks (the dirty log makes
 * that right); takes the BQL to stop the guest, to take device state and to
 * settle the run state. Waits on the channel, on the rate limit and on
 * migrate-continue, all of which cancel ends. Ends with the final state.
 */
gpointer outgoing_thread(gpointer opaque)
{
    Outgoing *o = opaque;
    GError *err = NULL;

    g_mutex_lock(&o->lock);
    o->tid = syscall(SYS_gettid);
    g_mutex_unlock(&o->lock);
    if (outgoing_connect(o, &err) && stop_for_reboot(o, &err) && outgoing_setup(o, &err) &&
        outgoing_passes(o, &err) &&
        (!o->postcopy.follows || outgoing_switch_preempt(o, o->addr, &err)) &&
        outgoing_switch_over(o, &err)) {
        if (o->postcopy.follows) {
            outgoing_postcopy(o, &err);
        } else {
            outgoing_complete(o, &err);
        }
    }
    trace_migration_thread_after_loop();
    outgoing_end(o, err);
    return NULL;
}
