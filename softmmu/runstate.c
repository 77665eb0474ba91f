/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run state: which moves are legal, how the machine starts and stops,
 * and what becomes of requests to shut down, reset and power down. Called by
 * monitors, devices (requests) and migration; never touches a migration.
 *
 *   inmigrate --load--> the state that came in, or running
 *   prelaunch --cont--> running <--cont/stop--> paused
 *   running, paused, ... --last step--> finish-migrate --done--> postmigrate
 *                                             '--cancelled--> where it came from
 *   running --guest off, -no-shutdown--> shutdown --system_reset--> prelaunch
 */
#include "softmmu/runstate.h"

#include <string.h>
#include "qapi/qapi-events.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"
#include "util/trace-softmmu.h"

#define TO(name) (1u << RUN_STATE_##name)

/* States a guest can be found in when a migration begins, so also what one can bring along. */
#define STOPPED_STATES                                                                          \
    (TO(DEBUG) | TO(INTERNAL_ERROR) | TO(IO_ERROR) | TO(PAUSED) | TO(POSTMIGRATE) |             \
     TO(PRELAUNCH) | TO(SHUTDOWN) | TO(SUSPENDED) | TO(WATCHDOG) | TO(GUEST_PANICKED))

/* The legal moves. Staying where one is is no move and always allowed. */
static const unsigned legal_moves[RUN_STATE__MAX] = {
    [RUN_STATE_DEBUG] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_INMIGRATE] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(COLO) | STOPPED_STATES,
    [RUN_STATE_INTERNAL_ERROR] = TO(PAUSED) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_IO_ERROR] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_PAUSED] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(POSTMIGRATE) | TO(PRELAUNCH) |
                         TO(RESTORE_VM) | TO(SAVE_VM) | TO(COLO),
    [RUN_STATE_POSTMIGRATE] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_PRELAUNCH] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(INMIGRATE) | TO(RESTORE_VM) |
                            TO(SAVE_VM),
    [RUN_STATE_FINISH_MIGRATE] = TO(RUNNING) | TO(COLO) | STOPPED_STATES,
    [RUN_STATE_RESTORE_VM] = TO(RUNNING) | TO(PAUSED) | TO(PRELAUNCH),
    [RUN_STATE_RUNNING] = TO(DEBUG) | TO(INTERNAL_ERROR) | TO(IO_ERROR) | TO(PAUSED) |
                          TO(FINISH_MIGRATE) | TO(RESTORE_VM) | TO(SAVE_VM) | TO(SHUTDOWN) |
                          TO(SUSPENDED) | TO(WATCHDOG) | TO(GUEST_PANICKED) | TO(COLO),
    [RUN_STATE_SAVE_VM] = TO(RUNNING) | TO(PAUSED) | TO(PRELAUNCH),
    [RUN_STATE_SHUTDOWN] = TO(PAUSED) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_SUSPENDED] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH) | TO(PAUSED),
    [RUN_STATE_WATCHDOG] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_GUEST_PANICKED] = TO(RUNNING) | TO(FINISH_MIGRATE) | TO(PRELAUNCH),
    [RUN_STATE_COLO] = TO(RUNNING) | TO(SHUTDOWN) | TO(PRELAUNCH),
};

typedef struct Notifier {
    RunStateNotify *fn;
    void *opaque;
} Notifier;

typedef struct ResetHandler {
    void (*fn)(void *opaque);
    void *opaque;
} ResetHandler;

/* What was asked for and is not done yet. */
typedef struct Requests {
    ShutdownCause shutdown, reset;  /* NONE: not asked */
    int exit_code;
    bool powerdown;
    /* taken up, and still waiting for the vCPUs: another pause may be there first */
    bool ending;                    /* a shutdown */
    ShutdownCause resetting;
} Requests;

struct RunStateCtl {
    struct Machine *machine;
    RunState state;             /* written under BQL, atomic for readers */
    GArray *notifiers;          /* Notifier; filled while the machine is built */
    GArray *reset_handlers;     /* ResetHandler; the same */
    bool no_reboot, no_shutdown;
    RunState found;             /* in finish-migrate: where the guest was, and returns to or arrives in */
    bool sealed;                /* found is on its way to the destination */
    GMutex lock;                /* requests only */
    Requests requests;
};

/* ---- the state ---- */

RunStateCtl *runstate_new(struct Machine *machine)
{
    RunStateCtl *rs = g_new0(RunStateCtl, 1);

    rs->machine = machine;
    rs->state = RUN_STATE_PRELAUNCH;
    rs->notifiers = g_array_new(FALSE, FALSE, sizeof(Notifier));
    rs->reset_handlers = g_array_new(FALSE, FALSE, sizeof(ResetHandler));
    g_mutex_init(&rs->lock);
    if (machine->config) {
        runstate_set_actions(rs, machine->config->no_reboot, machine->config->no_shutdown);
    }
    return rs;
}

void runstate_free(RunStateCtl *rs)
{
    if (!rs) {
        return;
    }
    g_array_free(rs->notifiers, TRUE);
    g_array_free(rs->reset_handlers, TRUE);
    g_mutex_clear(&rs->lock);
    g_free(rs);
}

void runstate_set_actions(RunStateCtl *rs, bool no_reboot, bool no_shutdown)
{
    bql_assert_held(rs->machine->loop);
    rs->no_reboot = no_reboot;
    rs->no_shutdown = no_shutdown;
}

RunState runstate_get(const RunStateCtl *rs)
{
    return __atomic_load_n(&rs->state, __ATOMIC_ACQUIRE);
}

bool runstate_is_running(const RunStateCtl *rs)
{
    return runstate_get(rs) == RUN_STATE_RUNNING;
}

bool runstate_needs_reset(const RunStateCtl *rs)
{
    RunState state = runstate_get(rs);

    return state == RUN_STATE_SHUTDOWN || state == RUN_STATE_INTERNAL_ERROR;
}

static bool move_is_legal(const RunStateCtl *rs, RunState to, GError **errp)
{
    if (to < RUN_STATE__MAX && (to == rs->state || (legal_moves[rs->state] & (1u << to)))) {
        return true;
    }
    error_setg(errp, "invalid run state transition: '%s' -> '%s'", RunState_str(rs->state),
               to < RUN_STATE__MAX ? RunState_str(to) : "?");
    return false;
}

static void requests_process(void *opaque);

/* It came while the guest was leaving: what is left here is nobody's to reset. */
static void forget_reset(RunStateCtl *rs)
{
    g_mutex_lock(&rs->lock);
    ShutdownCause reset = rs->requests.reset;
    rs->requests.reset = SHUTDOWN_CAUSE_NONE;
    g_mutex_unlock(&rs->lock);
    if (reset) {
        machine_report(rs->machine, "reset: it came too late, the guest has left with its "
                       "migration: reset it at the destination");
    }
}

bool runstate_set(RunStateCtl *rs, RunState to, GError **errp)
{
    bql_assert_held(rs->machine->loop);
    if (!move_is_legal(rs, to, errp)) {
        return false;
    }
    RunState from = runstate_get(rs);
    trace_runstate_set(from, RunState_str(from), to, RunState_str(to));
    if (to == RUN_STATE_FINISH_MIGRATE && from != to) {
        rs->found = from;
        rs->sealed = false;
    }
    if (to == RUN_STATE_POSTMIGRATE && from == RUN_STATE_FINISH_MIGRATE) {
        forget_reset(rs);
    }
    __atomic_store_n(&rs->state, to, __ATOMIC_RELEASE);
    main_loop_post(rs->machine->loop, requests_process, rs); /* what waited for another state */
    return true;
}

/* ---- start and stop ---- */

void runstate_add_notifier(RunStateCtl *rs, RunStateNotify *fn, void *opaque)
{
    g_array_append_val(rs->notifiers, ((Notifier){ fn, opaque }));
}

static void notify_all(RunStateCtl *rs, bool running, RunState state)
{
    trace_vm_state_notify(running, state, RunState_str(state));
    for (guint i = 0; i < rs->notifiers->len; i++) {
        Notifier *n = &g_array_index(rs->notifiers, Notifier, i);
        n->fn(n->opaque, running, state);
    }
}

/* Drops the BQL while it waits: ask again for the run state afterwards. */
static void pause_begin(RunStateCtl *rs)
{
    if (rs->machine->cpus) {
        cpus_pause_begin(rs->machine->cpus);
    }
}

static void pause_end(RunStateCtl *rs)
{
    if (rs->machine->cpus) {
        cpus_pause_end(rs->machine->cpus);
    }
}

static bool settle_guest_requests(RunStateCtl *rs, GError **errp);

/*
 * The guest is already stopped for its migration: what stops it now decides
 * in which state it goes on, here or there, while that can be changed.
 */
static bool stop_while_leaving(RunStateCtl *rs, RunState to, GError **errp)
{
    if (rs->found != RUN_STATE_RUNNING) {
        return true;
    }
    if (rs->sealed) {
        error_setg(errp, "The guest is on its way to the destination and starts there as it was: "
                   "stop it there, or cancel the migration and stop it here");
        return false;
    }
    rs->found = to;
    return true;
}

/* No vCPU runs, none did or the caller holds a pause. */
static bool stop_stopped(RunStateCtl *rs, RunState to, GError **errp)
{
    if (runstate_get(rs) == RUN_STATE_FINISH_MIGRATE && to != RUN_STATE_FINISH_MIGRATE) {
        return stop_while_leaving(rs, to, errp);
    }
    if (to == RUN_STATE_FINISH_MIGRATE && !settle_guest_requests(rs, errp)) {
        return false;
    }
    return to == RUN_STATE_PAUSED || runstate_set(rs, to, errp);
}

bool vm_stop(RunStateCtl *rs, RunState to, GError **errp)
{
    bql_assert_held(rs->machine->loop);
    if (!runstate_is_running(rs)) {
        return stop_stopped(rs, to, errp);
    }
    if (!move_is_legal(rs, to, errp)) {
        return false;
    }
    pause_begin(rs);
    if (!runstate_is_running(rs)) {     /* somebody else has stopped the machine meanwhile */
        bool ok = stop_stopped(rs, to, errp);
        pause_end(rs);
        return ok;
    }
    if (to == RUN_STATE_FINISH_MIGRATE && !settle_guest_requests(rs, errp)) {
        pause_end(rs);
        return false;
    }
    virtual_clock_stop(rs->machine->clock);
    notify_all(rs, false, to);
    runstate_set(rs, to, NULL);         /* the pause is the machine's now */
    qapi_event_send_stop(rs->machine->monitors);
    return true;
}

RunState vm_seal(RunStateCtl *rs)
{
    bql_assert_held(rs->machine->loop);
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_FINISH_MIGRATE);
    rs->sealed = true;
    return rs->found;
}

bool vm_take_back(RunStateCtl *rs, bool go_on, GError **errp)
{
    bql_assert_held(rs->machine->loop);
    if (runstate_get(rs) != RUN_STATE_FINISH_MIGRATE) {
        return true;
    }
    if (rs->found == RUN_STATE_RUNNING && !go_on) {
        return runstate_set(rs, RUN_STATE_PAUSED, errp);
    }
    return rs->found == RUN_STATE_RUNNING ? vm_start(rs, errp) : runstate_set(rs, rs->found, errp);
}

bool vm_start(RunStateCtl *rs, GError **errp)
{
    bql_assert_held(rs->machine->loop);
    if (runstate_is_running(rs)) {
        return true;
    }
    if (runstate_needs_reset(rs)) {
        error_setg(errp, "Resetting the Virtual Machine is required");
        return false;
    }
    if (!move_is_legal(rs, RUN_STATE_RUNNING, errp)) {
        return false;
    }
    notify_all(rs, true, RUN_STATE_RUNNING);
    virtual_clock_start(rs->machine->clock);
    runstate_set(rs, RUN_STATE_RUNNING, NULL);
    qapi_event_send_resume(rs->machine->monitors);
    pause_end(rs);
    return true;
}

/* ---- reset ---- */

void machine_add_reset_handler(RunStateCtl *rs, void (*fn)(void *opaque), void *opaque)
{
    g_array_append_val(rs->reset_handlers, ((ResetHandler){ fn, opaque }));
}

void machine_reset_devices(RunStateCtl *rs)
{
    for (guint i = 0; i < rs->reset_handlers->len; i++) {
        ResetHandler *h = &g_array_index(rs->reset_handlers, ResetHandler, i);
        h->fn(h->opaque);
    }
}

void machine_start_over(RunStateCtl *rs)
{
    bql_assert_held(rs->machine->loop);
    g_assert(!runstate_is_running(rs));
    ram_list_discard(rs->machine->ram);
    virtual_clock_set_ns(rs->machine->clock, 0); /* before the devices, who look at it */
    machine_reset_devices(rs);
    if (rs->machine->cpus) {
        cpus_reset_all(rs->machine->cpus);
    }
}

static bool cause_is_guest(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_GUEST_SHUTDOWN || cause == SHUTDOWN_CAUSE_GUEST_RESET ||
           cause == SHUTDOWN_CAUSE_GUEST_PANIC;
}

/* vCPUs are paused, BQL held. */
static void reset_now(RunStateCtl *rs, ShutdownCause cause)
{
    machine_reset_devices(rs);
    if (rs->machine->cpus) {
        cpus_reset_all(rs->machine->cpus);
        cpus_flush_tlb_all(rs->machine->cpus); /* images were loaded behind the CPU's back */
    }
    qapi_event_send_reset(rs->machine->monitors, cause_is_guest(cause), cause);
    if (!runstate_is_running(rs)) {
        runstate_set(rs, RUN_STATE_PRELAUNCH, NULL); /* a fresh machine that waits for cont */
    }
}

/*
 * A reset while RAM and devices are being received or saved would tear the
 * guest: it waits until that is over.
 */
static bool reset_must_wait(const RunStateCtl *rs)
{
    RunState state = runstate_get(rs);

    return state == RUN_STATE_FINISH_MIGRATE || state == RUN_STATE_INMIGRATE;
}

/* A migration may have stopped the machine meanwhile, and may have done it (settle_guest_requests). */
static void reset_do(RunStateCtl *rs)
{
    pause_begin(rs);
    g_mutex_lock(&rs->lock);
    ShutdownCause cause = rs->requests.resetting;
    rs->requests.resetting = SHUTDOWN_CAUSE_NONE;
    if (reset_must_wait(rs)) {
        rs->requests.reset = rs->requests.reset ? rs->requests.reset : cause;
        cause = SHUTDOWN_CAUSE_NONE;
    }
    g_mutex_unlock(&rs->lock);
    if (cause) {
        reset_now(rs, cause);
    }
    pause_end(rs);
}

/* ---- requests ---- */

static void set_ending(RunStateCtl *rs, bool ending)
{
    g_mutex_lock(&rs->lock);
    rs->requests.ending = ending;
    g_mutex_unlock(&rs->lock);
}

static void shutdown_do(RunStateCtl *rs, ShutdownCause cause, int exit_code)
{
    bool forced = cause == SHUTDOWN_CAUSE_HOST_SIGNAL || cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT;

    qapi_event_send_shutdown(rs->machine->monitors, cause_is_guest(cause), cause);
    if (rs->no_shutdown && !forced) {
        g_autoptr(GError) err = NULL;
        if (!vm_stop(rs, RUN_STATE_SHUTDOWN, &err)) {
            machine_report(rs->machine, "shutdown: %s", err->message);
        }
        set_ending(rs, false);
    } else {
        main_loop_quit(rs->machine->loop, exit_code);
    }
}

/* Takes the requests that can be served now. */
static Requests requests_take(RunStateCtl *rs)
{
    g_mutex_lock(&rs->lock);
    Requests now = rs->requests;
    rs->requests = (Requests){ .ending = now.ending || now.shutdown };
    if (now.reset && reset_must_wait(rs)) {
        rs->requests.reset = now.reset;
        now.reset = SHUTDOWN_CAUSE_NONE;
    }
    rs->requests.resetting = now.reset;
    g_mutex_unlock(&rs->lock);
    return now;
}

/* Main thread, posted by every request and every change of state. */
static void requests_process(void *opaque)
{
    RunStateCtl *rs = opaque;
    Requests now = requests_take(rs);

    if (now.shutdown) {
        shutdown_do(rs, now.shutdown, now.exit_code);
    }
    if (now.reset) {
        reset_do(rs);
    }
    if (now.powerdown) {
        qapi_event_send_powerdown(rs->machine->monitors);
    }
}

/*
 * The vCPUs are paused for the last step of a migration and the guest may
 * have asked for something a moment before. The far side would never hear of
 * it: a reset is done here and now, a shutdown wins over the migration.
 */
static bool settle_guest_requests(RunStateCtl *rs, GError **errp)
{
    g_mutex_lock(&rs->lock);
    bool off = rs->requests.shutdown != SHUTDOWN_CAUSE_NONE || rs->requests.ending;
    ShutdownCause reset = rs->requests.reset ? rs->requests.reset : rs->requests.resetting;
    if (!off) {
        rs->requests.reset = rs->requests.resetting = SHUTDOWN_CAUSE_NONE;
    }
    g_mutex_unlock(&rs->lock);
    if (off) {
        error_setg(errp, "the guest is shutting down");
        return false;
    }
    if (reset) {
        reset_now(rs, reset);
    }
    return true;
}

void system_shutdown_request(RunStateCtl *rs, ShutdownCause cause, int exit_code)
{
    g_mutex_lock(&rs->lock);
    /* The host's word is last; of two from the guest the first counts. */
    if (!rs->requests.shutdown || !cause_is_guest(cause)) {
        rs->requests.shutdown = cause;
        rs->requests.exit_code = exit_code;
    }
    g_mutex_unlock(&rs->lock);
    main_loop_post(rs->machine->loop, requests_process, rs);
}

void system_reset_request(RunStateCtl *rs, ShutdownCause cause)
{
    if (rs->no_reboot && cause != SHUTDOWN_CAUSE_SUBSYSTEM_RESET) {
        system_shutdown_request(rs, cause, 0);
        return;
    }
    g_mutex_lock(&rs->lock);
    rs->requests.reset = cause;
    g_mutex_unlock(&rs->lock);
    main_loop_post(rs->machine->loop, requests_process, rs);
}

void system_powerdown_request(RunStateCtl *rs)
{
    g_mutex_lock(&rs->lock);
    rs->requests.powerdown = true;
    g_mutex_unlock(&rs->lock);
    main_loop_post(rs->machine->loop, requests_process, rs);
}
