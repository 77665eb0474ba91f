/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor's migration commands (migration-stream 9.5, 9.6):
 * arguments to QMP commands and options, results to QEMU's texts. Main
 * thread, BQL. A foreground migrate holds its monitor back and shows a
 * progress line from a timer.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "migration/codec/simd.h"
#include "migration/commands/file-progress.h"
#include "migration/commands/stats.h"
#include "migration/migration-private.h"
#include "migration/source/outlook.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"
#include "util/opts.h"

#define PROGRESS_MS 250

static Migration *migration_of(HMPMonitor *mon)
{
    return hmp_machine(mon)->migration;
}

/* ---- migrate ---- */

/** A foreground migrate; freed by its timer when the migration has ended. */
typedef struct Foreground {
    HMPMonitor *mon;
    Migration *m;
    unsigned number;            /* of the migration that was started here */
    double mbps;                /* smoothed: a window of 100 ms jumps about */
    PolicyVerdict verdict;      /* the last one that was told */
} Foreground;

static void foreground_end(Foreground *f, const OutgoingView *v)
{
    if (v->status == MIGRATION_STATUS_POSTCOPY_PAUSED) {
        monitor_printf(f->mon, "postcopy is paused (%s): migrate_recover at the destination and migrate "
                       "-r here continue it\n", v->error ? v->error : "no connection");
    } else if (migration_status_is_postcopy(v->status)) {
        monitor_puts(f->mon, "the guest runs at the destination, there is no way back: its memory goes "
                     "on following (\"info migrate\")\n");
    } else if (v->status == MIGRATION_STATUS_FAILED) {
        monitor_printf(f->mon, "Error: %s\n", v->error ? v->error : "migration failed");
    } else if (v->status == MIGRATION_STATUS_CANCELLED) {
        monitor_puts(f->mon, "migration cancelled\n");
    } else {
        g_autofree char *downtime = migration_ms_text(v->downtime_us);
        monitor_printf(f->mon, "migration completed in %" PRId64 " ms, downtime %s%s\n", v->total_ms,
                       downtime, v->accepted_unknown
                       ? " (return-path is off: whether the destination accepted it is not known here)"
                       : "");
    }
    hmp_resume(f->mon);
    g_free(f);
}

/* A verdict that is new stands on a line of its own, with what would help. */
static void tell_verdict(Foreground *f, const OutgoingView *v)
{
    PolicyOutlook o;

    if (!outgoing_outlook(v, &o) || policy_verdict(&o) == f->verdict) {
        return;
    }
    f->verdict = policy_verdict(&o);
    if (f->verdict == POLICY_WILL_NOT_FINISH) {
        g_autofree char *text = policy_outlook(&o);
        monitor_printf(f->mon, "%s\n", text);
    }
}

static void show_progress(Foreground *f, OutgoingView *v)
{
    f->mbps = f->mbps > 0 ? f->mbps * 0.8 + v->mbps * 0.2 : v->mbps;
    v->mbps = f->mbps;
    tell_verdict(f, v);
    g_autofree char *text = migration_progress_text(v, f->verdict);
    hmp_progress(f->mon, text);
}

static gboolean foreground_tick(gpointer opaque)
{
    Foreground *f = opaque;
    OutgoingView v;

    if (!f->m->outgoing || f->m->outgoing_number != f->number) {
        monitor_puts(f->mon, "migration ended; another one was begun since (\"info migrate\")\n");
        hmp_resume(f->mon);
        g_free(f);
        return G_SOURCE_REMOVE;
    }
    bool stuck = hmp_interrupted(f->mon) && !migration_cancel(f->m, NULL);
    outgoing_view(f->m->outgoing, &v);
    bool running = migration_status_is_running(v.status) && !stuck &&
                   v.status != MIGRATION_STATUS_POSTCOPY_PAUSED;
    if (running) {
        show_progress(f, &v);
    } else {
        foreground_end(f, &v);
    }
    outgoing_view_clear(&v);
    return running ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void wait_in_foreground(HMPMonitor *mon)
{
    if (!hmp_suspend(mon)) {
        monitor_puts(mon, "terminal does not allow synchronous migration, continuing detached\n");
        return;
    }
    Foreground *f = g_new(Foreground, 1);
    *f = (Foreground){ .mon = mon, .m = migration_of(mon), .verdict = POLICY_NOT_KNOWN,
                       .number = migration_of(mon)->outgoing_number };
    GSource *timer = g_timeout_source_new(PROGRESS_MS);
    g_source_set_callback(timer, foreground_tick, f, NULL);
    g_source_attach(timer, main_loop_context(hmp_machine(mon)->loop));
    g_source_unref(timer);
}

static bool set_capability(HMPMonitor *mon, MigrationCapability cap, bool on, GError **errp)
{
    MigrationCapabilityStatus status = { .capability = cap, .state = on };
    MigrationCapabilityStatusList list = { .value = &status };

    return qmp_migrate_set_capabilities(hmp_machine(mon), &list, errp);
}

/* -p, -n, -m and the numbers are those of the postcopy series of 2012. */
static bool set_postcopy(HMPMonitor *mon, const HMPArgs *args, GError **errp)
{
    bool alone = hmp_arg_flag(args, "alone"), follow = hmp_arg_flag(args, "follow");
    int64_t count = hmp_arg_int(args, "precopy_count", 0);
    int64_t forward = hmp_arg_int(args, "prefault_forward", 0);
    int64_t backward = hmp_arg_int(args, "prefault_backward", 0);

    if (!hmp_arg_flag(args, "postcopy")) {
        if (alone || follow || hmp_arg_int(args, "precopy_count", -1) != -1) {
            error_setg(errp, "-n, -m and the numbers behind the URI are about postcopy: give -p too");
            return false;
        }
        return true;
    }
    if (count < 0 || forward < 0 || backward < 0) {
        error_setg(errp, "precopy_count, prefault_forward and prefault_backward cannot be negative");
        return false;
    }
    MigrationParameters p = {
        .has_x_postcopy_precopy_count = true, .x_postcopy_precopy_count = (uint32_t)count,
        .has_x_postcopy_prefault_forward = true, .x_postcopy_prefault_forward = (uint32_t)forward,
        .has_x_postcopy_prefault_backward = true, .x_postcopy_prefault_backward = (uint32_t)backward,
        .has_x_postcopy_background = true,
        .x_postcopy_background = alone ? X_POSTCOPY_BACKGROUND_NONE
                                 : follow ? X_POSTCOPY_BACKGROUND_FOLLOW_FAULT
                                          : X_POSTCOPY_BACKGROUND_LINEAR,
    };
    return set_capability(mon, MIGRATION_CAPABILITY_POSTCOPY_RAM, true, errp) &&
           qmp_migrate_set_parameters(hmp_machine(mon), &p, errp);
}

/* A migrate that did not begin leaves what its flags set as it was. */
static void take_back_flags(HMPMonitor *mon, const HMPArgs *args, MigrationCaps caps,
                            const MigrationParameters *was)
{
    static const MigrationCapability flags[] = { MIGRATION_CAPABILITY_XBZRLE,
                                                 MIGRATION_CAPABILITY_POSTCOPY_RAM };
    MigrationParameters p = {
        .has_x_postcopy_precopy_count = true, .has_x_postcopy_prefault_forward = true,
        .has_x_postcopy_prefault_backward = true, .has_x_postcopy_background = true,
        .x_postcopy_precopy_count = was->x_postcopy_precopy_count,
        .x_postcopy_prefault_forward = was->x_postcopy_prefault_forward,
        .x_postcopy_prefault_backward = was->x_postcopy_prefault_backward,
        .x_postcopy_background = was->x_postcopy_background,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
        if (!(caps & (UINT64_C(1) << flags[i]))) {
            set_capability(mon, flags[i], false, NULL);
        }
    }
    if (hmp_arg_flag(args, "postcopy")) {
        qmp_migrate_set_parameters(hmp_machine(mon), &p, NULL);
    }
}

void hmp_migrate(HMPMonitor *mon, const HMPArgs *args)
{
    MigrationOptions *options = migration_of(mon)->options;
    MigrationCaps before = migration_options_caps(options);
    MigrationParameters was = migration_options_params(options);
    g_autoptr(GError) err = NULL;

    /* -x is the flag of the XBZRLE series of 2012: it switches the capability on. */
    if ((hmp_arg_flag(args, "xbzrle") &&
         !set_capability(mon, MIGRATION_CAPABILITY_XBZRLE, true, &err)) ||
        !set_postcopy(mon, args, &err) ||
        !qmp_migrate(hmp_machine(mon), hmp_arg_str(args, "uri"), NULL, true,
                     hmp_arg_flag(args, "blk"), true, hmp_arg_flag(args, "inc"), false, false, true,
                     hmp_arg_flag(args, "resume"), &err)) {
        take_back_flags(mon, args, before, &was);
        hmp_handle_error(mon, g_steal_pointer(&err));
        return;
    }
    if (!hmp_arg_flag(args, "detach")) {
        wait_in_foreground(mon);
    }
}

void hmp_migrate_cancel(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_migrate_cancel(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_migrate_continue(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    int state = MigrationStatus_parse(hmp_arg_str(args, "state"), NULL);

    if (state < 0) {
        error_setg(&err, "invalid parameter value: %s: the state in which it waits, pre-switchover, is "
                   "expected", hmp_arg_str(args, "state"));
    } else {
        qmp_migrate_continue(hmp_machine(mon), state, &err);
    }
    hmp_handle_error(mon, err);
}

void hmp_migrate_incoming(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_migrate_incoming(hmp_machine(mon), hmp_arg_str(args, "uri"), NULL, false, false, &err);
    hmp_handle_error(mon, err);
}

void hmp_migrate_recover(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_migrate_recover(hmp_machine(mon), hmp_arg_str(args, "uri"), &err);
    hmp_handle_error(mon, err);
}

void hmp_migrate_pause(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_migrate_pause(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_migrate_start_postcopy(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_migrate_start_postcopy(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

/* ---- options ---- */

void hmp_migrate_set_capability(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    int cap = MigrationCapability_parse(hmp_arg_str(args, "capability"), &err);

    if (cap >= 0) {
        set_capability(mon, cap, hmp_arg_int(args, "state", 0), &err);
    }
    hmp_handle_error(mon, err);
}

static void set_parameter(HMPMonitor *mon, const char *name, const char *value)
{
    Migration *m = migration_of(mon);
    MigrationParameters before = migration_options_params(m->options);
    g_autofree const char **names = migration_parameter_names();
    GError *err = NULL;

    if (migration_options_set_parameter_text(m->options, name, value, &err)) {
        migration_parameters_changed(m, &before, &err);
    }
    hmp_handle_error(mon, err);
    if (!g_strv_contains(names, name)) {
        hmp_did_you_mean(mon, names, name);
    }
}

void hmp_migrate_set_parameter(HMPMonitor *mon, const HMPArgs *args)
{
    set_parameter(mon, hmp_arg_str(args, "parameter"), hmp_arg_str(args, "value"));
}

/* migrate_set_cachesize (2012) and migrate_set_cache_size (1.2 to 5.2): bytes, suffix allowed. */
void hmp_migrate_set_cache_size(HMPMonitor *mon, const HMPArgs *args)
{
    set_parameter(mon, "xbzrle-cache-size", hmp_arg_str(args, "value"));
}

/* Until 5.2: MiB per second without suffix, as max-bandwidth is today. */
void hmp_migrate_set_speed(HMPMonitor *mon, const HMPArgs *args)
{
    set_parameter(mon, "max-bandwidth", hmp_arg_str(args, "value"));
}

/* Until 5.2: seconds, with a fraction; "30ms", "1s" as its parser allowed. */
void hmp_migrate_set_downtime(HMPMonitor *mon, const HMPArgs *args)
{
    const char *text = hmp_arg_str(args, "value");
    GError *err = NULL;
    char *end;
    double seconds = g_ascii_strtod(text, &end);

    if (!strcmp(end, "ms")) {
        seconds /= 1000;
    } else if (end == text || (*end && strcmp(end, "s"))) {
        error_setg(&err, "Invalid time '%s': seconds expected, such as 0.3, 1s or 30ms", text);
        hmp_handle_error(mon, err);
        return;
    }
    qmp_migrate_set_downtime(hmp_machine(mon), seconds, &err);
    hmp_handle_error(mon, err);
}

/* ---- info ---- */

static void print_dialect(HMPMonitor *mon)
{
    Migration *m = migration_of(mon);
    int received = vmstate_received_dialect(m->machine->vmstate);
    bool incoming = m->incoming && !m->outgoing && received >= 0;
    int dialect = incoming ? received : (int)migration_dialect(m);

    if (incoming || m->outgoing) {
        monitor_printf(mon, "%s stream: QEMU %s\n", incoming ? "received" : "sent",
                       dialect == DIALECT_QEMU_7_2 ? "7.2" : "10.0");
    }
}

/* Ours, so only when asked for: where the downtime went. */
static void print_switchover(HMPMonitor *mon)
{
    SwitchoverTimes times;

    migration_switchover_times(migration_of(mon), &times);
    g_autofree char *text = switchover_text(&times);
    monitor_puts(mon, text);
}

/* Ours, too: with which instructions pages are looked at. */
static void print_codec(HMPMonitor *mon)
{
    MigrationParameters p = migration_options_params(migration_of(mon)->options);

    monitor_printf(mon, "page codec: %s (x-simd: %s)\n",
                   ram_simd_find(XSimd_str(p.x_simd), NULL)->name, XSimd_str(p.x_simd));
}

/* What a destination has got, which QEMU's does not tell. */
static void print_received(HMPMonitor *mon, const XMigrationReceived *r)
{
    if (r) {
        monitor_printf(mon, "received ram: %" PRIu64 " kbytes in %" PRIu64 " ms (%.1f mbps): normal "
                       "%" PRIu64 ", zero %" PRIu64 ", xbzrle %" PRIu64 " pages\n",
                       r->transferred >> 10, r->total_time, r->mbps, r->normal, r->duplicate,
                       r->xbzrle_pages);
    }
}

static void print_file(HMPMonitor *mon, const XFileProgress *p)
{
    g_autofree char *text = p ? file_progress_text(p) : NULL;

    if (text) {
        monitor_printf(mon, "file: %s\n", text);
    }
}

static void print_waits(HMPMonitor *mon, const XPostcopyWaits *w)
{
    g_autofree char *text = w ? migration_waits_text(w) : NULL;

    if (text) {
        monitor_puts(mon, text);
    }
}

/* QEMU's lines, with what we add in between: MigrationInfo and view are of one moment. */
static void print_info(HMPMonitor *mon, const MigrationInfo *info, const OutgoingView *v)
{
    Migration *m = migration_of(mon);
    g_autofree char *text = migration_info_text(info, v, migration_dialect(m) == DIALECT_QEMU_7_2);

    monitor_puts(mon, *text ? text : "no migration yet\n");
    print_dialect(mon);
    print_file(mon, info->x_file);
    print_received(mon, info->x_received);
    print_waits(mon, info->x_postcopy_waits);
}

/* Ours, or never wanted twice, so only when asked for. */
static void print_all(HMPMonitor *mon)
{
    g_autofree char *globals = migration_options_globals_text(migration_of(mon)->options);

    print_switchover(mon);
    print_codec(mon);
    monitor_puts(mon, globals);
}

void hmp_info_migrate(HMPMonitor *mon, const HMPArgs *args)
{
    Migration *m = migration_of(mon);
    OutgoingView v = { 0 };

    if (m->outgoing) {
        outgoing_view(m->outgoing, &v);
    }
    MigrationInfo *info = m->outgoing ? migration_info_new(&v) : qmp_query_migrate(m->machine, NULL);
    print_info(mon, info, m->outgoing ? &v : NULL);
    qapi_free_MigrationInfo(info);
    outgoing_view_clear(&v);
    if (hmp_arg_flag(args, "all")) {
        print_all(mon);
    }
}

void hmp_info_migrate_capabilities(HMPMonitor *mon, const HMPArgs *args)
{
    g_autofree char *text = migration_options_capabilities_text(migration_of(mon)->options);
    monitor_puts(mon, text);
}

void hmp_info_migrate_parameters(HMPMonitor *mon, const HMPArgs *args)
{
    g_autofree char *text = migration_options_parameters_text(migration_of(mon)->options);
    monitor_puts(mon, text);
}

void hmp_info_migrate_cache_size(HMPMonitor *mon, const HMPArgs *args)
{
    monitor_printf(mon, "xbzrle cache size: %" PRIu64 " kbytes\n",
                   qmp_query_migrate_cache_size(hmp_machine(mon), NULL) >> 10);
}

/* ---- completion ---- */

static void add_matching(const char *const *names, const char *text, GPtrArray *out)
{
    for (; *names; names++) {
        if (g_str_has_prefix(*names, text)) {
            g_ptr_array_add(out, g_strdup(*names));
        }
    }
}

void hmp_complete_migrate_capability(struct Machine *machine, unsigned nb, const char *text,
                                     GPtrArray *out)
{
    static const char *const on_off[] = { "off", "on", NULL };
    g_autofree const char **names = migration_capability_names();

    add_matching(nb == 1 ? names : on_off, text, out);
}

void hmp_complete_migrate_parameter(struct Machine *machine, unsigned nb, const char *text,
                                    GPtrArray *out)
{
    g_autofree const char **names = migration_parameter_names();

    if (nb == 1) {
        add_matching(names, text, out);
    }
}

void hmp_complete_migrate_state(struct Machine *machine, unsigned nb, const char *text,
                                GPtrArray *out)
{
    static const char *const states[] = { "pre-switchover", NULL };

    add_matching(states, text, out);
}
