/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's story: connect, setup, passes over guest memory, switchover,
 * device state, the destination's word, the end. Started by
 * outgoing-handles.c on the main thread, told by one migration thread. Never decides what is legal
 * (control/state) or when to switch over (control/policy).
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
 * The guest stays the source's until `committed`: the destination has said
 * yes or, without a return path, every byte and the end of the channel were
 * accepted. Whatever fails before that ends with the guest as it was.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <json-c/json.h>
#include "migration/outgoing-private.h"
#include "migration/stream/format.h"
#include "qapi/qapi-visit.h"
#include "util/error.h"

#define LATE_VERDICT_US (G_USEC_PER_SEC / 2)    /* after an error: what the destination has to say */
#define THROTTLE_PERIOD_US G_USEC_PER_SEC
#define THROTTLE_SYNC_US (5 * G_USEC_PER_SEC)   /* auto-converge looks at least so often */

/* ---- small helpers ---- */

static bool outgoing_cancelled(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    bool yes = o->cancelled;
    g_mutex_unlock(&o->lock);
    return yes;
}

static bool check_cancelled(Outgoing *o, GError **errp)
{
    if (outgoing_cancelled(o)) {
        error_setg(errp, "Operation was cancelled");
        return false;
    }
    return true;
}

static void note_step(Outgoing *o, SwitchoverStep step)
{
    g_mutex_lock(&o->lock);
    o->times.us[step] = g_get_monotonic_time();
    g_mutex_unlock(&o->lock);
}

static bool layout_is_mapped(const Outgoing *o)
{
    return outgoing_has_cap(o, MIGRATION_CAP(MAPPED_RAM) | MIGRATION_CAP(FIXED_RAM));
}

/* Everything that went over the channel, for the rate: mapped pages do not pass the stream. */
static uint64_t bytes_sent(Outgoing *o)
{
    uint64_t bytes = stream_writer_bytes(o->w);

    if (layout_is_mapped(o) && o->saver) {
        RamStats ram;
        ram_saver_get_stats(o->saver, &ram);
        bytes = MAX(bytes, ram.transferred_bytes);
    }
    __atomic_store_n(&o->bytes_now, bytes, __ATOMIC_RELAXED);
    return bytes;
}

static void put_command(Outgoing *o, uint16_t command, const void *data, uint16_t len)
{
    stream_put_u8(o->w, SECTION_COMMAND);
    stream_put_be16(o->w, command);
    stream_put_be16(o->w, len);
    stream_put_buffer(o->w, data, len);
}

static void put_section(Outgoing *o, uint8_t type)
{
    stream_put_u8(o->w, type);
    stream_put_be32(o->w, o->ram_id);
    if (type == SECTION_START) {
        stream_put_cstr(o->w, RAM_SECTION_IDSTR);
        stream_put_be32(o->w, 0);
        stream_put_be32(o->w, RAM_SECTION_VERSION);
    }
}

static bool put_footer(Outgoing *o, GError **errp)
{
    if (migration_options_props(o->m->options)->send_section_footer) {
        stream_put_u8(o->w, SECTION_FOOTER);
        stream_put_be32(o->w, o->ram_id);
    }
    return stream_flush(o->w, errp);
}

/* Announces the passes that began since the last call: the saver counts, monitors hear of it here. */
static void announce_passes(Outgoing *o)
{
    RamStats ram;

    ram_saver_get_stats(o->saver, &ram);
    while (o->pass < ram.dirty_sync_count) {
        migration_emit_pass(o->m, ++o->pass);
    }
}

/* ---- connect ---- */

static bool check_channel(Outgoing *o, Channel *c, GError **errp)
{
    if (layout_is_mapped(o) && !channel_is_seekable(c)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' is not",
                   channel_name(c));
        return false;
    }
    if (outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH)) && !channel_has_return_path(c)) {
        error_setg(errp, "Unable to open return-path: nothing comes back from '%s'",
                   channel_name(c));
        return false;
    }
    return true;
}

static bool outgoing_connect(Outgoing *o, GError **errp)
{
    Channel *c = NULL;

    if (!o->channel) {
        c = channel_connect(o->addr, NULL, o->cancel_fd, errp);
        if (!c) {
            return false;
        }
        g_mutex_lock(&o->lock);
        o->channel = c;
        g_mutex_unlock(&o->lock);
    }
    o->w = stream_writer_new(o->channel);
    return check_cancelled(o, errp) && check_channel(o, o->channel, errp);
}

/* ---- setup ---- */

static bool make_saver(Outgoing *o, GError **errp)
{
    MigrationParameters p = migration_options_params(o->m->options);
    RamSaveOptions opt = {
        .xbzrle = outgoing_has_cap(o, MIGRATION_CAP(XBZRLE)),
        .xbzrle_cache_bytes = p.xbzrle_cache_size,
        .bulk_rule = migration_options_props(o->m->options)->xbzrle_bulk_rule,
        .detect_zero = p.zero_page_detection != ZERO_PAGE_DETECTION_NONE,
        .zero_blocks = outgoing_has_cap(o, MIGRATION_CAP(ZERO_BLOCKS)),
        .layout = outgoing_has_cap(o, MIGRATION_CAP(MAPPED_RAM)) ? RAM_LAYOUT_MAPPED
                  : outgoing_has_cap(o, MIGRATION_CAP(FIXED_RAM)) ? RAM_LAYOUT_FIXED
                                                                  : RAM_LAYOUT_STREAM,
        .file_offset = o->addr->offset,
    };
    RamSaver *saver = ram_saver_new(o->machine->ram, o->machine->dirty, &opt, errp);

    if (!saver) {
        return false;
    }
    g_mutex_lock(&o->lock);
    o->saver = saver;
    o->has_ram = true;
    g_mutex_unlock(&o->lock);
    return true;
}

static void open_return_path(Outgoing *o)
{
    uint32_t ping = GUINT32_TO_BE(1);

    o->rp = return_path_new(o->channel);
    put_command(o, MIG_CMD_OPEN_RETURN_PATH, NULL, 0);
    put_command(o, MIG_CMD_PING, &ping, sizeof(ping));
}

static bool outgoing_setup(Outgoing *o, GError **errp)
{
    migration_put_header(o->m, o->w, o->caps);
    if (outgoing_has_cap(o, MIGRATION_CAP(RETURN_PATH))) {
        open_return_path(o);
    }
    if (!make_saver(o, errp)) {
        return false;
    }
    put_section(o, SECTION_START);
    if (!ram_save_setup(o->saver, o->w, errp)) {
        return false;
    }
    announce_passes(o);
    if (!put_footer(o, errp)) {
        return false;
    }
    g_mutex_lock(&o->lock);
    o->setup_us = g_get_monotonic_time();
    g_mutex_unlock(&o->lock);
    return migration_state_move(&o->m->out_state, MIGRATION_EVENT_BEGIN, errp);
}

/* ---- passes ---- */

static void set_throttle(Outgoing *o, int percent)
{
    if (o->machine->cpus) {
        cpus_throttle_set(o->machine->cpus, percent);
    }
    __atomic_store_n(&o->throttle_percent, percent, __ATOMIC_RELAXED);
}

/* auto-converge: judges whole periods of at least a second. */
static void consider_throttle(Outgoing *o, int64_t now)
{
    MigrationParameters p = migration_options_params(o->m->options);
    ThrottleParams tp = {
        .trigger_threshold = p.throttle_trigger_threshold, .initial = p.cpu_throttle_initial,
        .increment = p.cpu_throttle_increment, .max = p.max_cpu_throttle,
        .tailslow = p.cpu_throttle_tailslow,
    };
    uint64_t sent = bytes_sent(o);

    if (!o->throttle_since_us || now - o->throttle_since_us < THROTTLE_PERIOD_US) {
        o->throttle_since_us = o->throttle_since_us ? o->throttle_since_us : now;
        return;
    }
    if (policy_throttle(&o->throttle, &tp, o->throttle_dirtied, sent - o->throttle_sent)) {
        set_throttle(o, o->throttle.percent);
    }
    o->throttle_since_us = now;
    o->throttle_dirtied = 0;
    o->throttle_sent = sent;
}

/* Fetches the dirty log: a new pass, by QEMU's count. */
static void sync_dirty(Outgoing *o)
{
    RamStats before, after;

    ram_saver_get_stats(o->saver, &before);
    ram_save_sync(o->saver);
    ram_saver_get_stats(o->saver, &after);
    if (after.remaining_pages > before.remaining_pages) {
        o->throttle_dirtied += (after.remaining_pages - before.remaining_pages) * TARGET_PAGE_SIZE;
    }
    o->last_sync_us = g_get_monotonic_time();
    announce_passes(o);
    if (outgoing_has_cap(o, MIGRATION_CAP(AUTO_CONVERGE))) {
        consider_throttle(o, o->last_sync_us);
    }
}

static PolicyInput policy_input(Outgoing *o)
{
    MigrationParameters p = migration_options_params(o->m->options);

    return (PolicyInput){
        .pending_wire_bytes = ram_save_pending(o->saver, NULL),
        .bandwidth = o->bandwidth,
        .switchover_bandwidth = p.avail_switchover_bandwidth,
        .downtime_limit_ms = p.downtime_limit,
        .guest_running = runstate_is_running(o->machine->runstate),
    };
}

static void note_decision(Outgoing *o, const PolicyInput *in, PolicyAction action)
{
    char *reason = policy_reason(in, action);

    g_mutex_lock(&o->lock);
    g_free(o->reason);
    o->reason = reason;
    o->pending = in->pending_wire_bytes;
    g_mutex_unlock(&o->lock);
}

/* The policy's question; true if it is time to switch over. */
static bool time_to_switch_over(Outgoing *o)
{
    PolicyInput in = policy_input(o);
    PolicyAction action = policy_decide(&in);

    if (action == POLICY_ITERATE && outgoing_has_cap(o, MIGRATION_CAP(AUTO_CONVERGE)) &&
        o->pass > 1 && g_get_monotonic_time() - o->last_sync_us > THROTTLE_SYNC_US) {
        sync_dirty(o);
    }
    if (action == POLICY_SYNC) {
        sync_dirty(o);
        in = policy_input(o);
        in.synced = true;
        action = policy_decide(&in);
    }
    note_decision(o, &in, action);
    return action == POLICY_SWITCH_OVER;
}

/* Asked before each page, so no locks; a part is short enough to look at the limit once. */
static bool part_is_over(void *opaque)
{
    Outgoing *o = opaque;

    return rate_exhausted(&o->rate, bytes_sent(o), o->part_limit) ||
           __atomic_load_n(&o->cancelled, __ATOMIC_RELAXED);
}

static bool send_part(Outgoing *o, GError **errp)
{
    bool done;

    put_section(o, SECTION_PART);
    return ram_save_iterate(o->saver, o->w, part_is_over, o, &done, errp) && put_footer(o, errp);
}

/* A window of 100 ms has passed: what it tells about the rate. */
static void learn_rate(Outgoing *o, const RateWindow *window)
{
    MigrationParameters p = migration_options_params(o->m->options);
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
static void keep_rate(Outgoing *o)
{
    uint64_t limit = migration_options_params(o->m->options).max_bandwidth;
    uint64_t sent = bytes_sent(o);
    int64_t now = g_get_monotonic_time();
    int64_t wait = rate_wait_us(&o->rate, now, sent, limit);
    RateWindow window;

    g_mutex_lock(&o->lock);
    while (wait > 0 && !o->cancelled && !o->kicked &&
           g_cond_wait_until(&o->wake, &o->lock, now + wait)) {
        /* woken for something else */
    }
    o->kicked = false;
    g_mutex_unlock(&o->lock);
    if (rate_roll(&o->rate, g_get_monotonic_time(), sent, limit, &window)) {
        learn_rate(o, &window);
    }
}

static bool outgoing_passes(Outgoing *o, GError **errp)
{
    rate_start(&o->rate, g_get_monotonic_time(), bytes_sent(o));
    while (!time_to_switch_over(o)) {
        o->part_limit = migration_options_params(o->m->options).max_bandwidth;
        if (!check_cancelled(o, errp) || (!part_is_over(o) && !send_part(o, errp))) {
            return false;
        }
        keep_rate(o);
    }
    return check_cancelled(o, errp);
}

/* ---- switchover ---- */

/* Stops the guest. From here to the end it is ours to restart. BQL. */
static bool stop_guest(Outgoing *o, GError **errp)
{
    RunStateCtl *rs = o->machine->runstate;

    o->run_state_before = runstate_get(rs);
    g_mutex_lock(&o->lock);
    o->times.us[SWITCHOVER_ASKED] = g_get_monotonic_time();
    o->bytes_at_stop = o->bytes_now;
    g_mutex_unlock(&o->lock);
    if (!vm_stop(rs, RUN_STATE_FINISH_MIGRATE, errp)) {
        return false;
    }
    note_step(o, SWITCHOVER_STOPPED);
    o->stopped = true;
    return true;
}

/* pause-before-switchover: until migrate-continue has moved the state, or cancel. No lock held. */
static bool wait_for_continue(Outgoing *o, GError **errp)
{
    g_mutex_lock(&o->lock);
    while (!o->continued && !o->cancelled) {
        g_cond_wait(&o->wake, &o->lock);
    }
    g_mutex_unlock(&o->lock);
    return check_cancelled(o, errp);
}

/*
 * Device state is taken in one go into memory, so that the big lock is not
 * held while the channel takes it. It is taken before the last look at the
 * dirty log: what a device writes while it saves itself travels too.
 */
static bool take_device_state(Outgoing *o, GError **errp)
{
    const MigrationProps *props = migration_options_props(o->m->options);
    StreamWriter *mem = stream_writer_new_memory();
    struct json_object *devices = json_object_new_array();
    struct json_object *ferry;
    bool ok;

    migration_sections_prepare_save(o->m, o->run_state_before);
    o->description = json_object_new_object();
    if (o->dialect == DIALECT_QEMU_10_0 && props->send_configuration) {
        json_object_object_add(o->description, "configuration",
                               migration_describe_configuration(o->m, o->caps));
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

static bool outgoing_switch_over(Outgoing *o, GError **errp)
{
    bool pause = outgoing_has_cap(o, MIGRATION_CAP(PAUSE_BEFORE_SWITCHOVER));
    bool ok;

    bql_lock(o->machine->loop);
    ok = stop_guest(o, errp) &&
         migration_state_move(&o->m->out_state,
                              pause ? MIGRATION_EVENT_PAUSE : MIGRATION_EVENT_SWITCHOVER, errp);
    bql_unlock(o->machine->loop);
    if (!ok || (pause && !wait_for_continue(o, errp))) {
        return false;
    }
    bql_lock(o->machine->loop);
    ok = take_device_state(o, errp);
    bql_unlock(o->machine->loop);
    note_step(o, SWITCHOVER_DEVICES_TAKEN);
    return ok;
}

/* ---- completion ---- */

static bool send_rest_of_ram(Outgoing *o, GError **errp)
{
    bool ok;

    if (migration_options_props(o->m->options)->send_switchover_start) {
        put_command(o, MIG_CMD_SWITCHOVER_START, NULL, 0);
    }
    ram_save_last_sync(o->saver);
    note_step(o, SWITCHOVER_SYNCED);
    announce_passes(o);
    put_section(o, SECTION_END);
    ok = ram_save_complete(o->saver, o->w, errp);
    ok = ok && put_footer(o, errp);
    note_step(o, SWITCHOVER_RAM_SENT);
    return ok;
}

static void put_description(Outgoing *o)
{
    g_autofree char *text = vmstate_json_text(o->description);

    stream_put_u8(o->w, SECTION_VMDESCRIPTION);
    stream_put_be32(o->w, strlen(text));
    stream_put_buffer(o->w, text, strlen(text));
}

/* The destination's word, if we can have it; without a return path the end of the channel must do. */
static bool wait_for_verdict(Outgoing *o, GError **errp)
{
    if (o->rp) {
        if (return_path_wait(o->rp, -1) != RETURN_PATH_ACCEPTED) {
            return_path_error(o->rp, errp);
            return false;
        }
        return true;
    }
    g_mutex_lock(&o->lock);
    Channel *c = g_steal_pointer(&o->channel);
    g_mutex_unlock(&o->lock);
    return channel_close(c, errp);
}

static bool outgoing_complete(Outgoing *o, GError **errp)
{
    if (!send_rest_of_ram(o, errp)) {
        return false;
    }
    stream_put_buffer(o->w, o->device_state->data, o->device_state->len);
    stream_put_u8(o->w, SECTION_EOF);
    if (!migration_options_props(o->m->options)->suppress_vmdesc) {
        put_description(o);
    }
    if (!stream_flush(o->w, errp)) {
        return false;
    }
    note_step(o, SWITCHOVER_ALL_SENT);
    if (!wait_for_verdict(o, errp)) {
        return false;
    }
    note_step(o, SWITCHOVER_CONFIRMED);
    bytes_sent(o);
    o->committed = true;
    return true;
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

    if (!o->channel || outgoing_cancelled(o) || !channel_has_return_path(o->channel) || !o->w) {
        return;
    }
    broken = !stream_writer_ok(o->w, NULL);
    if (!o->rp && broken) {
        o->rp = return_path_new(o->channel);    /* a Ferry says it even if it was not asked */
    }
    switch (o->rp ? return_path_wait(o->rp, LATE_VERDICT_US) : RETURN_PATH_OPEN) {
    case RETURN_PATH_REFUSED:
    case RETURN_PATH_INVALID:
        return_path_error(o->rp, &cause);
        g_clear_error(err);
        *err = g_steal_pointer(&cause);
        break;
    case RETURN_PATH_BROKEN:
        if (o->addr->kind == CHANNEL_EXEC) {
            break; /* how the command ended has been said */
        }
        error_setg(&cause, "%s: the destination has ended the connection; its own messages say "
                   "why", (*err)->message);
        g_clear_error(err);
        *err = g_steal_pointer(&cause);
        break;
    default:
        break;
    }
}

static void let_go_of_channel(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    Channel *c = o->channel;
    if (c && !o->committed) {
        channel_shutdown(c);
    }
    o->channel = NULL;
    g_mutex_unlock(&o->lock);
    if (c && o->committed) {
        channel_shutdown(c);    /* the verdict is in; nothing more is to come */
    }
    return_path_free(g_steal_pointer(&o->rp));
    stream_writer_free(g_steal_pointer(&o->w));
    channel_close(c, NULL);
}

static void let_go_of_ram(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    RamSaver *saver = g_steal_pointer(&o->saver);
    if (saver) {
        ram_saver_get_stats(saver, &o->last_ram);
    }
    g_mutex_unlock(&o->lock);
    ram_saver_free(saver);
    set_throttle(o, 0);
}

/* The guest as it was before we stopped it, unless somebody moved it on meanwhile. BQL. */
static void restore_guest(Outgoing *o)
{
    RunStateCtl *rs = o->machine->runstate;
    g_autoptr(GError) err = NULL;

    if (!o->stopped || runstate_get(rs) != RUN_STATE_FINISH_MIGRATE) {
        return;
    }
    bool ok = o->run_state_before == RUN_STATE_RUNNING ? vm_start(rs, &err)
                                                       : runstate_set(rs, o->run_state_before, &err);
    if (!ok) {
        machine_report(o->machine, "after a failed migration: %s", err->message);
    }
}

static void settle_guest(Outgoing *o)
{
    g_autoptr(GError) err = NULL;

    bql_lock(o->machine->loop);
    if (!o->committed) {
        restore_guest(o);
    } else if (!runstate_set(o->machine->runstate, RUN_STATE_POSTMIGRATE, &err)) {
        machine_report(o->machine, "after a migration: %s", err->message);
    }
    bql_unlock(o->machine->loop);
}

/* Takes err. */
static void outgoing_end(Outgoing *o, GError *err)
{
    MigrationEvent event = o->committed ? MIGRATION_EVENT_DONE : MIGRATION_EVENT_FAIL;

    if (!o->committed) {
        find_cause(o, &err);
    }
    let_go_of_channel(o);
    let_go_of_ram(o);
    settle_guest(o);
    g_mutex_lock(&o->lock);
    o->end_us = g_get_monotonic_time();
    o->error = err;
    o->tid = 0;
    g_mutex_unlock(&o->lock);
    /* From cancelling, FAIL leads to cancelled: the error is then but the echo of the cancel. */
    if (!migration_state_move(&o->m->out_state, event, NULL)) {
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
    if (outgoing_connect(o, &err) && outgoing_setup(o, &err) && outgoing_passes(o, &err) &&
        outgoing_switch_over(o, &err)) {
        outgoing_complete(o, &err);
    }
    outgoing_end(o, err);
    return NULL;
}
