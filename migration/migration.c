/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Migration object: what the machine and the monitors hold. Owns the
 * options and at most one outgoing and one incoming migration; checks what
 * may begin when. The stories themselves are source/outgoing.c and destination/incoming.c.
 */
#include "migration/migration.h"
#include <string.h>
#include "migration/migration-private.h"
#include "monitor/monitor.h"
#include "qapi/qapi-events.h"
#include "softmmu/config.h"
#include "util/error.h"

#define SHUTDOWN_WAIT_US (700 * 1000)

static const GuestJobKind migration_job = {
    "a migration", "query-migrate tells how far it is, migrate_cancel ends it",
};

static void state_changed(void *opaque, MigrationStatus from, MigrationStatus to)
{
    Migration *m = opaque;

    if (migration_wants_events(m)) {
        qapi_event_send_migration(m->machine->monitors, to);
    }
}

/* The same one from the switch to postcopy on: there is no way back. */
static const GuestJobKind postcopy_job = {
    "a postcopy migration", "query-migrate tells how far it is; the guest runs at its destination",
};

/* In the states that are no running ones the guest is let go of: see state.c (6) and (7). */
static void out_state_changed(void *opaque, MigrationStatus from, MigrationStatus to)
{
    Migration *m = opaque;

    if (!migration_status_is_running(to)) {
        yank_remove(&m->machine->yank, YANK_INSTANCE_TYPE_MIGRATION, m->outgoing);
        guest_job_end(&m->machine->job, &migration_job);
        guest_job_end(&m->machine->job, &postcopy_job);
    } else if (migration_status_is_postcopy(to)) {
        guest_job_becomes(&m->machine->job, &migration_job, &postcopy_job);
    }
    state_changed(m, from, to);
}

/* Whoever starts the guest here has decided that it is this one. */
static void guest_starts(void *opaque, bool running, RunState state)
{
    Migration *m = opaque;

    if (running) {
        m->guest = GUEST_HERE;
    }
    if (running && m->incoming) {
        incoming_guest_starts(m->incoming);
    }
}

Migration *migration_new(struct Machine *machine)
{
    Migration *m = g_new0(Migration, 1);
    StreamDialect dialect = vmstate_dialect(machine->vmstate);

    m->machine = machine;
    m->options = migration_options_new(dialect);
    migration_state_init(&m->out_state, MIGRATION_OUTGOING, dialect, out_state_changed, m);
    migration_state_init(&m->in_state, MIGRATION_INCOMING, dialect, state_changed, m);
    migration_register_sections(m);
    runstate_add_notifier(machine->runstate, guest_starts, m);
    return m;
}

/* A cancel where that is possible; a postcopy cannot be, its thread is told to give up. */
static void end_outgoing(Migration *m)
{
    if (m->outgoing && (migration_status_is_postcopy(migration_state_get(&m->out_state)) ||
                        !migration_cancel(m, NULL))) {
        outgoing_abandon(m->outgoing);
    }
}

void migration_free(Migration *m)
{
    if (!m) {
        return;
    }
    end_outgoing(m);
    outgoing_free(m->outgoing);
    incoming_free(m->incoming);
    ram_baseline_free(m->baseline);
    vmstate_unregister(m->machine->vmstate, "globalstate", 0);
    vmstate_unregister(m->machine->vmstate, "timer", 0);
    migration_state_clear(&m->out_state);
    migration_state_clear(&m->in_state);
    migration_options_unref(m->options);
    g_free(m);
}

bool migration_set_global(Migration *m, const char *name, const char *value, GError **errp)
{
    return migration_options_set_global(m->options, name, value, errp);
}

bool migration_is_active(const Migration *m)
{
    return migration_status_is_running(migration_state_get(&m->out_state));
}

bool migration_is_cancelling(const Migration *m)
{
    return migration_state_get((MigrationState *)&m->out_state) == MIGRATION_STATUS_CANCELLING;
}

bool migration_was_confirmed(const Migration *m)
{
    return m->guest == GUEST_MOVED && outgoing_is_answered(m->outgoing);
}

char *migration_moved_to(const Migration *m)
{
    return m->guest == GUEST_MOVED ? outgoing_moved_to(m->outgoing) : NULL;
}

bool migration_memory_given_back(const Migration *m)
{
    return m->memory_given_back && runstate_get(m->machine->runstate) == RUN_STATE_POSTMIGRATE;
}

/* What the process may not do any more is refused here: trying it would be its end. */
static bool check_allowed(Migration *m, const ChannelAddress *addr, GError **errp)
{
    if (addr->kind == CHANNEL_EXEC && m->machine->config && m->machine->config->spawn_denied) {
        error_setg(errp, "Failed to run '%s': -sandbox spawn=deny forbids new processes "
                   "(spawn=allow does not)",
                   addr->path);
        return false;
    }
    return true;
}

/* ---- outgoing ---- */

static bool incoming_is_active(const Migration *m)
{
    return m->incoming && migration_status_is_running(migration_state_get(&m->in_state));
}

static bool check_may_start(Migration *m, GError **errp)
{
    RunState state = runstate_get(m->machine->runstate);

    if (migration_is_active(m)) {
        error_setg(errp, "There's a migration process in progress");
        return false;
    }
    if (state == RUN_STATE_INMIGRATE) {
        error_setg(errp, "Guest is waiting for an incoming migration");
        return false;
    }
    if (incoming_is_active(m)) {
        error_setg(errp, "There's a migration process in progress: not all of this guest's memory has "
                   "come yet");
        return false;
    }
    if (state == RUN_STATE_POSTMIGRATE) {
        error_setg(errp, "Can't migrate the vm that was paused due to previous migration");
        return false;
    }
    if (m->guest == GUEST_IN_DOUBT) {
        error_setg(errp, "The last destination may run this guest: look there ('info status'); if it "
                   "does not, 'cont' takes the guest back here, and then it can be migrated");
        return false;
    }
    return true;
}

/* What can be known without opening it; fd: is looked at when it is open. */
static bool check_transport(const MigrationSettings *s, const ChannelAddress *addr, GError **errp)
{
    RamLayout layout = migration_settings_layout(s);

    if (layout != RAM_LAYOUT_STREAM && addr->kind != CHANNEL_FILE && addr->kind != CHANNEL_FD) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): the capability %s writes "
                   "pages to their place in one, so use file:PATH or switch it off",
                   MigrationCapability_str(layout == RAM_LAYOUT_FIXED ? MIGRATION_CAPABILITY_FIXED_RAM
                                                              : MIGRATION_CAPABILITY_MAPPED_RAM));
        return false;
    }
    if (layout != RAM_LAYOUT_STREAM && migration_settings_caps(s) & MIGRATION_CAP(MULTIFD) &&
        migration_settings_params(s).multifd_compression != MULTI_FD_COMPRESSION_NONE) {
        error_setg(errp, "Cannot use compression with mapped-ram");
        return false;
    }
    if (layout == RAM_LAYOUT_STREAM && migration_settings_caps(s) & MIGRATION_CAP(MULTIFD) &&
        addr->kind != CHANNEL_TCP && addr->kind != CHANNEL_UNIX) {
        error_setg(errp, "Migration requires multi-channel URIs (e.g. tcp)");
        return false;
    }
    if (layout == RAM_LAYOUT_STREAM && migration_settings_caps(s) & MIGRATION_CAP(X_RAM_CHECKSUM)) {
        error_setg(errp, "x-ram-checksum needs mapped-ram or fixed-ram: a stream has no place for "
                   "checksums");
        return false;
    }
    return true;
}

/* cpr-reboot: what needs a running guest, or another process, is out. */
static bool check_mode(const MigrationSettings *s, GError **errp)
{
    static const struct { MigrationCaps caps; const char *what; } never[] = {
        { MIGRATION_CAP(POSTCOPY_RAM), "postcopy" },
        { MIGRATION_CAP(BACKGROUND_SNAPSHOT), "background snapshot" },
    };
    MigrationCaps caps = migration_settings_caps(s);

    if (migration_settings_params(s).mode == MIG_MODE_NORMAL) {
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(never); i++) {
        if (caps & never[i].caps) {
            error_setg(errp, "Cannot use %s with CPR", never[i].what);
            return false;
        }
    }
    return true;
}

/* Takes both. The guest's job is begun. */
static bool start_outgoing(Migration *m, ChannelAddress *addr, MigrationSettings *settings,
                           GError **errp)
{
    g_autoptr(GError) err = NULL;

    outgoing_free(g_steal_pointer(&m->outgoing));
    if (!migration_state_move(&m->out_state, MIGRATION_EVENT_START, errp)) {
        guest_job_end(&m->machine->job, &migration_job);
        channel_address_free(addr);
        migration_settings_unref(settings);
        return false;
    }
    m->outgoing_number++;
    if (!outgoing_start(m, addr, settings, &err)) {
        g_propagate_error(errp, g_steal_pointer(&err));
        return false;
    }
    return true;
}

bool migration_start_address(Migration *m, ChannelAddress *addr, GError **errp)
{
    MigrationSettings *settings = migration_settings_take(m->options);
    if (!check_may_start(m, errp) || !check_allowed(m, addr, errp) ||
        !check_transport(settings, addr, errp) || !check_mode(settings, errp) ||
        !guest_job_begin(&m->machine->job, &migration_job, errp)) {
        channel_address_free(addr);
        migration_settings_unref(settings);
        return false;
    }
    return start_outgoing(m, addr, settings, errp);
}

bool migration_start(Migration *m, const char *uri, GError **errp)
{
    ChannelAddress *addr = channel_address_parse(uri, errp);

    return addr && migration_start_address(m, addr, errp);
}

void migration_switchover_times(Migration *m, SwitchoverTimes *t)
{
    *t = (SwitchoverTimes){ 0 };
    if (m->outgoing) {
        OutgoingView v;

        outgoing_view(m->outgoing, &v);
        *t = v.times;
        if (!outgoing_is_answered(m->outgoing)) {
            t->us[SWITCHOVER_CONFIRMED] = 0;    /* there the downtime ends, but nobody confirmed */
        }
        outgoing_view_clear(&v);
    }
    if (m->incoming) {
        incoming_times(m->incoming, t);
    }
}

bool migration_cancel(Migration *m, GError **errp)
{
    if (!migration_is_active(m) && m->incoming &&
        migration_status_is_postcopy(migration_state_get(&m->in_state))) {
        error_setg(errp, "Postcopy migration in progress, cannot cancel: the guest runs here, and the rest "
                   "of its memory is at the source. migrate_pause interrupts the migration, quit ends "
                   "the guest");
        return false;
    }
    if (m->outgoing) {
        outgoing_cancel(m->outgoing);
    }
    if (migration_status_is_postcopy(migration_state_get(&m->out_state)) &&
        !outgoing_give_up(m->outgoing)) {
        error_setg(errp, "Postcopy migration in progress, cannot cancel.");
        return false;
    }
    return true;
}

/* ---- postcopy ---- */

bool migration_start_postcopy(Migration *m, MigrationCaps caps, GError **errp)
{
    if (!(caps & MIGRATION_CAP(POSTCOPY_RAM))) {
        error_setg(errp, "Enable postcopy with migrate_set_capability before the start of "
                   "migration");
        return false;
    }
    if (!m->outgoing) {
        error_setg(errp, "Postcopy must be started after migration has been started");
        return false;
    }
    outgoing_start_postcopy(m->outgoing);
    return true;
}

static bool is_pausable(const MigrationState *s)
{
    MigrationStatus now = migration_state_get(s);

    return migration_status_is_postcopy(now) && now != MIGRATION_STATUS_POSTCOPY_PAUSED;
}

bool migration_pause(Migration *m, GError **errp)
{
    if (m->outgoing && is_pausable(&m->out_state)) {
        outgoing_pause(m->outgoing);
        return true;
    }
    if (m->incoming && is_pausable(&m->in_state)) {
        incoming_pause(m->incoming);
        return true;
    }
    error_setg(errp, migration_dialect(m) == DIALECT_QEMU_7_2
               ? "migrate-pause is currently only supported during postcopy-active state"
               : "migrate-pause is currently only supported during postcopy-active or "
                 "postcopy-recover state");
    return false;
}

bool migration_recover(Migration *m, const char *uri, GError **errp)
{
    if (!m->incoming) {
        error_setg(errp, "Migrate recover can only be run when postcopy is paused.");
        return false;
    }
    return incoming_recover(m->incoming, uri, errp);
}

static bool check_may_resume(Migration *m, const ChannelAddress *addr, GError **errp)
{
    if (!m->outgoing ||
        migration_state_get(&m->out_state) != MIGRATION_STATUS_POSTCOPY_PAUSED) {
        error_setg(errp, "Cannot resume if there is no paused migration");
        return false;
    }
    return check_allowed(m, addr, errp);
}

bool migration_resume_address(Migration *m, ChannelAddress *addr, GError **errp)
{
    if (!check_may_resume(m, addr, errp)) {
        channel_address_free(addr);
        return false;
    }
    return outgoing_resume(m->outgoing, addr, errp);
}

char *migration_running_there(const Migration *m)
{
    MigrationStatus now = migration_state_get((MigrationState *)&m->out_state);

    return m->outgoing && migration_status_is_postcopy(now) ? outgoing_lost_text(m->outgoing)
                                                            : NULL;
}

bool migration_guest_is_here(const Migration *m, GError **errp)
{
    g_autofree char *where = NULL;

    if (m->outgoing &&
        migration_status_is_postcopy(migration_state_get((MigrationState *)&m->out_state))) {
        where = outgoing_moved_to(m->outgoing);
        error_setg(errp, "The guest was switched over to %s (postcopy): this has to be said there, here it "
                   "would reach nobody", where);
        return false;
    }
    return true;
}

bool migration_may_yank(const Migration *m)
{
    return migration_is_active(m) || incoming_is_active(m);
}

void migration_yank(Migration *m)
{
    if (migration_is_active(m)) {
        outgoing_yank(m->outgoing);
    }
    if (incoming_is_active(m)) {
        incoming_yank(m->incoming);
    }
}

/* What reads a file cannot be ended from outside. BQL, dropped meanwhile. */
static bool await_incoming(Migration *m)
{
    int64_t until = g_get_monotonic_time() + SHUTDOWN_WAIT_US;
    bool over;

    while (!(over = !m->incoming || (!incoming_is_active(m) && !incoming_thread_id(m->incoming))) &&
           g_get_monotonic_time() < until) {
        bql_unlock(m->machine->loop);
        g_usleep(1000);
        bql_lock(m->machine->loop);
    }
    if (!over) {
        machine_report(m->machine, "what is being loaded does not answer: its thread is left behind");
    }
    return over;
}

bool migration_shutdown(Migration *m)
{
    end_outgoing(m);
    if (migration_is_active(m)) {
        outgoing_yank(m->outgoing);     /* nobody will be there to hear an answer */
    }
    outgoing_free(g_steal_pointer(&m->outgoing));
    if (m->incoming) {
        incoming_end(m->incoming);
    }
    if (!await_incoming(m)) {
        return false;
    }
    incoming_free(g_steal_pointer(&m->incoming));
    return true;
}

/* ---- incoming ---- */

/* Takes addr. */
static bool incoming_start_at(Migration *m, ChannelAddress *addr, bool exit_on_error, GError **errp)
{
    bool ok = addr && check_allowed(m, addr, errp) &&
              incoming_start(m, addr, exit_on_error, errp);

    channel_address_free(addr);
    return ok;
}

bool migration_incoming_start(Migration *m, const char *uri, bool autostart, GError **errp)
{
    m->incoming_machine = true;
    m->incoming_autostart = autostart;
    if (g_str_equal(uri, "defer")) {
        m->incoming_deferred = true;
        return true;
    }
    return incoming_start_at(m, channel_address_parse(uri, errp), true, errp);
}

/* exit-on-error=false: the process has outlived a failed load and may try another. */
static bool may_try_again(Migration *m)
{
    return m->incoming && !incoming_exits_on_error(m->incoming) &&
           migration_state_get(&m->in_state) == MIGRATION_STATUS_FAILED;
}

static bool check_may_listen(Migration *m, GError **errp)
{
    if (!m->incoming_machine) {
        error_setg(errp, "'-incoming' was not specified on the command line");
        return false;
    }
    if (!m->incoming_deferred && !may_try_again(m)) {
        error_setg(errp, "The incoming migration has already been started");
        return false;
    }
    return true;
}

bool migration_incoming_address(Migration *m, ChannelAddress *addr, bool exit_on_error,
                                GError **errp)
{
    if (!check_may_listen(m, errp)) {
        channel_address_free(addr);
        return false;
    }
    if (!incoming_start_at(m, addr, exit_on_error, errp)) {
        return false;
    }
    m->incoming_deferred = false;
    return true;
}

bool migration_incoming(Migration *m, const char *uri, bool exit_on_error, GError **errp)
{
    ChannelAddress *addr = channel_address_parse(uri, errp);

    return addr && migration_incoming_address(m, addr, exit_on_error, errp);
}

bool migration_incoming_set_autostart(Migration *m, bool autostart)
{
    if (runstate_get(m->machine->runstate) != RUN_STATE_INMIGRATE) {
        return false;
    }
    m->incoming_autostart = autostart;
    return true;
}
