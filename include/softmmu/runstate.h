/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's run state: one table of legal moves, one place that starts
 * and stops the vCPUs and the virtual clock and emits STOP, RESUME,
 * SHUTDOWN, RESET, POWERDOWN. One of the four headers migration/ uses.
 * The enum RunState is QAPI's (qapi/run-state.json).
 */
#ifndef SOFTMMU_RUNSTATE_H
#define SOFTMMU_RUNSTATE_H

#include <glib.h>
#include <stdbool.h>
#include "qapi/qapi-types.h"

struct Machine;
typedef struct RunStateCtl RunStateCtl;

RunStateCtl *runstate_new(struct Machine *machine); /* in prelaunch */
void runstate_free(RunStateCtl *rs);

RunState runstate_get(const RunStateCtl *rs);        /* any thread */
bool runstate_is_running(const RunStateCtl *rs);     /* any thread */
/** Moves without starting or stopping anything; error names both states if the table has no such move. BQL. */
bool runstate_set(RunStateCtl *rs, RunState to, GError **errp);

/**
 * vm_stop: if running, pauses vCPUs, stops the clock, runs the stop notifiers
 * (devices drain), moves to `to`, emits STOP. If not running only moves, but
 * "paused" means "not running": then the state that is there stays. Fails if
 * a move to finish-migrate meets a guest that has just switched itself off.
 * In finish-migrate the guest stays there: `to` is the state it goes on in,
 * here or at the destination; once that is sealed vm_stop fails.
 * vm_start: the reverse (moves to running, emits RESUME). BQL; main thread or
 * migration thread.
 */
bool vm_stop(RunStateCtl *rs, RunState to, GError **errp);
bool vm_start(RunStateCtl *rs, GError **errp);
/**
 * finish-migrate only: the state that the guest was in when all stood still, for the destination;
 * from now on a stop is refused. BQL.
 */
RunState vm_seal(RunStateCtl *rs);
/**
 * Ends finish-migrate: the guest is here in the state it had; go_on false: but
 * paused if it was running. In any other state: nothing to do. BQL.
 */
bool vm_take_back(RunStateCtl *rs, bool go_on, GError **errp);
/** True in the states that only a reset ends (shutdown, internal-error): vm_start refuses. */
bool runstate_needs_reset(const RunStateCtl *rs);

/** Called under BQL after each stop (running=false) and before each start (running=true). */
typedef void RunStateNotify(void *opaque, bool running, RunState state);
void runstate_add_notifier(RunStateCtl *rs, RunStateNotify *fn, void *opaque);
/** Device reset handlers, run at system reset with vCPUs paused, in registration order. */
void machine_add_reset_handler(RunStateCtl *rs, void (*fn)(void *opaque), void *opaque);
/** Runs them now (power-on). */
void machine_reset_devices(RunStateCtl *rs);

/**
 * All as it was at power-on with -incoming, for another attempt: devices,
 * vCPUs and clock reset, RAM empty (a file that somebody named keeps its
 * content). Emits no RESET: no guest was there. Not running; BQL.
 */
void machine_start_over(RunStateCtl *rs);

/** Requests; any thread (vCPU thread under BQL, signal source, monitor); carried out on the main thread. */
void system_shutdown_request(RunStateCtl *rs, ShutdownCause cause, int exit_code);
void system_reset_request(RunStateCtl *rs, ShutdownCause cause);
void system_powerdown_request(RunStateCtl *rs);

/** -no-reboot (a reset becomes a shutdown) and -no-shutdown (a shutdown only stops), changeable by set-action. BQL. */
void runstate_set_actions(RunStateCtl *rs, bool no_reboot, bool no_shutdown);

#endif
