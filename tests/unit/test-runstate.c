/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu/runstate: every pair of states is tried and compared with the list
 * below; start, stop, reset, shutdown do their steps in order and send QEMU's
 * events. vCPUs and the event sink are fakes that write into a log.
 */
#include <json-c/json.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "monitor/monitor.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "softmmu/signals.h"

/* The fakes get at the log through the pointers they are given. */
struct CPUList {
    GString *log;
    int pauses;
    void (*in_pause)(struct Machine *machine); /* what another thread does while we wait */
    struct Machine *machine;
};
struct Monitors {
    GString *log;
};

void cpus_pause_begin(CPUList *cpus)
{
    void (*in_pause)(struct Machine *machine) = cpus->in_pause;

    g_string_append(cpus->log, cpus->pauses++ ? "" : "pause ");
    cpus->in_pause = NULL;
    if (in_pause) {
        in_pause(cpus->machine);
    }
}

void cpus_pause_end(CPUList *cpus)
{
    g_assert_cmpint(cpus->pauses, >, 0);
    g_string_append(cpus->log, --cpus->pauses ? "" : "resume ");
}

void cpus_reset_all(CPUList *cpus)
{
    g_string_append(cpus->log, "cpu-reset ");
}

void cpus_flush_tlb_all(CPUList *cpus)
{
}

void qmp_event_emit(Monitors *monitors, const char *name, struct json_object *data)
{
    g_string_append(monitors->log, name);
    if (data) {
        g_string_append(monitors->log, json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN));
        json_object_put(data);
    }
    g_string_append_c(monitors->log, ' ');
}

typedef struct Fixture {
    Machine machine;
    MachineConfig config;
    CPUList cpus;
    Monitors monitors;
    GString *log;
} Fixture;

static void note_stop(void *opaque, bool running, RunState state)
{
    Fixture *f = opaque;

    g_assert_cmpint(virtual_clock_running(f->machine.clock), ==, false);
    g_string_append_printf(f->log, "notify:%s:%s ", running ? "start" : "stop", RunState_str(state));
}

static void note_reset(void *opaque)
{
    g_string_append(((Fixture *)opaque)->log, "dev-reset ");
}

static RunStateCtl *fixture_init(Fixture *f)
{
    *f = (Fixture){ .log = g_string_new(NULL) };
    f->machine.config = &f->config;
    f->cpus = (CPUList){ .log = f->log, .pauses = 1, .machine = &f->machine };
    f->monitors.log = f->log;
    f->machine.cpus = &f->cpus;
    f->machine.monitors = &f->monitors;
    f->machine.loop = main_loop_new();
    f->machine.clock = virtual_clock_new(f->machine.loop);
    f->machine.runstate = runstate_new(&f->machine);
    bql_lock(f->machine.loop);
    runstate_add_notifier(f->machine.runstate, note_stop, f);
    machine_add_reset_handler(f->machine.runstate, note_reset, f);
    return f->machine.runstate;
}

static void fixture_clear(Fixture *f)
{
    runstate_free(f->machine.runstate);
    virtual_clock_free(f->machine.clock);
    bql_unlock(f->machine.loop);
    main_loop_free(f->machine.loop);
    g_string_free(f->log, TRUE);
}

static void drain(Fixture *f)
{
    while (g_main_context_iteration(main_loop_context(f->machine.loop), FALSE)) {
    }
}

static void expect_log(Fixture *f, const char *want)
{
    drain(f);
    g_assert_cmpstr(g_strchomp(f->log->str), ==, want);
    g_string_truncate(f->log, 0);
}

/* from: to to to. Everything else must be refused. */
static const char *const legal[] = {
    "debug: running finish-migrate prelaunch",
    "inmigrate: running finish-migrate colo debug internal-error io-error paused postmigrate "
    "prelaunch shutdown suspended watchdog guest-panicked",
    "internal-error: paused finish-migrate prelaunch",
    "io-error: running finish-migrate prelaunch",
    "paused: running finish-migrate postmigrate prelaunch restore-vm save-vm colo",
    "postmigrate: running finish-migrate prelaunch",
    "prelaunch: running finish-migrate inmigrate restore-vm save-vm",
    "finish-migrate: running colo debug internal-error io-error paused postmigrate prelaunch "
    "shutdown suspended watchdog guest-panicked",
    "restore-vm: running paused prelaunch",
    "running: debug internal-error io-error paused finish-migrate restore-vm save-vm shutdown "
    "suspended watchdog guest-panicked colo",
    "save-vm: running paused prelaunch",
    "shutdown: paused finish-migrate prelaunch",
    "suspended: running finish-migrate prelaunch paused",
    "watchdog: running finish-migrate prelaunch",
    "guest-panicked: running finish-migrate prelaunch",
    "colo: running shutdown prelaunch",
};

static bool is_legal(const char *from, const char *to)
{
    for (size_t i = 0; i < G_N_ELEMENTS(legal); i++) {
        g_auto(GStrv) words = g_strsplit_set(legal[i], ": ", -1);
        if (strcmp(words[0], from) == 0) {
            return g_strv_contains((const char *const *)words + 1, to);
        }
    }
    return false;
}

/* Brings a fresh machine into a state by legal moves only. */
static void go_to(RunStateCtl *rs, RunState state)
{
    if (state == RUN_STATE_INMIGRATE) {
        g_assert_true(runstate_set(rs, state, NULL));
        return;
    }
    g_assert_true(runstate_set(rs, RUN_STATE_FINISH_MIGRATE, NULL));
    if (!runstate_set(rs, state, NULL)) {
        g_assert_true(runstate_set(rs, RUN_STATE_RUNNING, NULL));
        g_assert_true(runstate_set(rs, state, NULL));
    }
}

static void test_every_move(void)
{
    for (int from = 0; from < RUN_STATE__MAX; from++) {
        for (int to = 0; to < RUN_STATE__MAX; to++) {
            Fixture f;
            RunStateCtl *rs = fixture_init(&f);
            g_autoptr(GError) err = NULL;
            bool want = from == to || is_legal(RunState_str(from), RunState_str(to));
            go_to(rs, from);
            g_assert_cmpint(runstate_get(rs), ==, from);
            g_test_message("%s -> %s", RunState_str(from), RunState_str(to));
            g_assert_cmpint(runstate_set(rs, to, &err), ==, want);
            g_assert_cmpint(runstate_get(rs), ==, want ? to : from);
            if (!want) {
                g_autofree char *text =
                    g_strdup_printf("invalid run state transition: '%s' -> '%s'",
                                    RunState_str(from), RunState_str(to));
                g_assert_cmpstr(err->message, ==, text);
            }
            fixture_clear(&f);
        }
    }
}

static void test_start_stop(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);
    g_autoptr(GError) err = NULL;

    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_PRELAUNCH);
    g_assert_true(vm_stop(rs, RUN_STATE_PAUSED, NULL)); /* not running: nothing to do */
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_PRELAUNCH);
    expect_log(&f, "");
    g_assert_true(vm_start(rs, NULL));
    g_assert_true(vm_start(rs, NULL));
    g_assert_true(virtual_clock_running(f.machine.clock));
    expect_log(&f, "notify:start:running RESUME resume");
    g_assert_true(vm_stop(rs, RUN_STATE_PAUSED, NULL));
    g_assert_false(virtual_clock_running(f.machine.clock));
    expect_log(&f, "pause notify:stop:paused STOP");
    g_assert_true(vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL)); /* only moves */
    expect_log(&f, "");
    g_assert_true(vm_start(rs, NULL));
    expect_log(&f, "notify:start:running RESUME resume");
    g_assert_false(vm_stop(rs, RUN_STATE_INMIGRATE, &err));
    g_assert_nonnull(err);
    expect_log(&f, "");
    g_assert_true(runstate_is_running(rs));
    fixture_clear(&f);
}

static void other_thread_stops(struct Machine *machine)
{
    g_assert_true(vm_stop(machine->runstate, RUN_STATE_PAUSED, NULL));
}

static void test_two_stops_at_once(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    vm_start(rs, NULL);
    g_string_truncate(f.log, 0);
    f.cpus.in_pause = other_thread_stops;
    g_assert_true(vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL));
    expect_log(&f, "pause notify:stop:paused STOP"); /* one STOP */
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_FINISH_MIGRATE);
    g_assert_cmpint(vm_seal(rs), ==, RUN_STATE_PAUSED); /* as found when all stood still */
    fixture_clear(&f);
}

static void other_thread_stops_and_goes_on(struct Machine *machine)
{
    g_assert_true(vm_stop(machine->runstate, RUN_STATE_PAUSED, NULL));
    g_assert_true(vm_start(machine->runstate, NULL));
}

static void other_thread_resets(struct Machine *machine)
{
    system_reset_request(machine->runstate, SHUTDOWN_CAUSE_GUEST_RESET);
    while (g_main_context_iteration(main_loop_context(machine->loop), FALSE)) {
    }
}

/* Whatever others do while a stop waits for a slow vCPU: afterwards none runs. */
static void test_stop_holds(void)
{
    static void (*const others[])(struct Machine *machine) = {
        other_thread_stops_and_goes_on, other_thread_resets,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        Fixture f;
        RunStateCtl *rs = fixture_init(&f);

        vm_start(rs, NULL);
        f.cpus.in_pause = others[i];
        g_assert_true(vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL));
        g_assert_cmpint(f.cpus.pauses, ==, 1);
        g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_FINISH_MIGRATE);
        g_assert_cmpint(vm_seal(rs), ==, RUN_STATE_RUNNING);
        g_assert_true(vm_take_back(rs, true, NULL));
        g_assert_cmpint(f.cpus.pauses, ==, 0);
        fixture_clear(&f);
    }
}

static void other_thread_migrates(struct Machine *machine)
{
    g_assert_true(vm_stop(machine->runstate, RUN_STATE_FINISH_MIGRATE, NULL));
}

/*
 * A migration that stops the guest while a reset waits for its vCPUs does the
 * reset: what travels is a guest that was reset, and it is not done again.
 */
static void test_reset_asks_again(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    f.cpus.in_pause = other_thread_migrates;
    system_reset_request(rs, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    expect_log(&f, "pause dev-reset cpu-reset "
                   "RESET{\"guest\":false,\"reason\":\"host-qmp-system-reset\"} "
                   "notify:stop:finish-migrate STOP");
    g_assert_true(vm_take_back(rs, true, NULL));
    expect_log(&f, "notify:start:running RESUME resume");
    fixture_clear(&f);
}

/* A stop in the last step is carried over, or comes back if the guest does, or is refused. */
static void test_stop_in_last_step(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);
    g_autoptr(GError) err = NULL;

    vm_start(rs, NULL);
    vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL);
    g_assert_true(vm_stop(rs, RUN_STATE_PAUSED, NULL));
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_FINISH_MIGRATE);
    g_assert_cmpint(vm_seal(rs), ==, RUN_STATE_PAUSED);
    g_assert_true(vm_stop(rs, RUN_STATE_PAUSED, NULL)); /* it is */
    g_assert_true(vm_take_back(rs, true, NULL));
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_PAUSED);

    vm_start(rs, NULL);
    vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL);
    g_assert_cmpint(vm_seal(rs), ==, RUN_STATE_RUNNING);
    g_assert_false(vm_stop(rs, RUN_STATE_PAUSED, &err));
    g_assert_nonnull(strstr(err->message, "on its way to the destination"));
    g_assert_true(vm_take_back(rs, true, NULL));
    g_assert_true(runstate_is_running(rs));
    vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL);
    g_assert_true(vm_take_back(rs, false, NULL)); /* nobody knows whose it is */
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_PAUSED);
    g_assert_true(vm_start(rs, NULL));
    fixture_clear(&f);
}

static void test_reset(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    vm_start(rs, NULL);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_cmpstr(f.log->str, ==, ""); /* not at once */
    expect_log(&f, "pause dev-reset cpu-reset RESET{\"guest\":true,\"reason\":\"guest-reset\"} resume");
    vm_stop(rs, RUN_STATE_PAUSED, NULL);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    expect_log(&f, "dev-reset cpu-reset "
                   "RESET{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_PRELAUNCH);
    fixture_clear(&f);
}

static void test_reset_waits_for_migration(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    vm_start(rs, NULL);
    vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    expect_log(&f, "");
    g_assert_true(vm_take_back(rs, true, NULL));
    expect_log(&f, "notify:start:running RESUME resume pause dev-reset cpu-reset "
                   "RESET{\"guest\":false,\"reason\":\"host-qmp-system-reset\"} resume");
    vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    g_assert_true(runstate_set(rs, RUN_STATE_POSTMIGRATE, NULL));
    expect_log(&f, ""); /* the guest has left */
    fixture_clear(&f);
}

static void test_guest_request_before_last_step(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);
    g_autoptr(GError) err = NULL;

    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_true(vm_stop(rs, RUN_STATE_FINISH_MIGRATE, NULL));
    expect_log(&f, "pause dev-reset cpu-reset RESET{\"guest\":true,\"reason\":\"guest-reset\"} "
                   "notify:stop:finish-migrate STOP");
    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    system_shutdown_request(rs, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
    g_assert_false(vm_stop(rs, RUN_STATE_FINISH_MIGRATE, &err));
    g_assert_cmpstr(err->message, ==, "the guest is shutting down");
    expect_log(&f, "pause resume SHUTDOWN{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    fixture_clear(&f);
}

static void test_shutdown(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    system_shutdown_request(rs, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 5);
    system_shutdown_request(rs, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 6);
    g_assert_cmpint(main_loop_run(f.machine.loop), ==, 5);
    expect_log(&f, "SHUTDOWN{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    fixture_clear(&f);
}

static void test_no_shutdown(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);
    g_autoptr(GError) err = NULL;

    runstate_set_actions(rs, false, true);
    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    system_shutdown_request(rs, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
    expect_log(&f, "SHUTDOWN{\"guest\":true,\"reason\":\"guest-shutdown\"} pause "
                   "notify:stop:shutdown STOP");
    g_assert_cmpint(runstate_get(rs), ==, RUN_STATE_SHUTDOWN);
    g_assert_false(vm_start(rs, &err));
    g_assert_cmpstr(err->message, ==, "Resetting the Virtual Machine is required");
    system_reset_request(rs, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    drain(&f);
    g_assert_true(vm_start(rs, NULL));
    system_shutdown_request(rs, SHUTDOWN_CAUSE_HOST_QMP_QUIT, 0); /* ends all the same */
    g_assert_cmpint(main_loop_run(f.machine.loop), ==, 0);
    fixture_clear(&f);
}

static void test_no_reboot(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    runstate_set_actions(rs, true, false);
    vm_start(rs, NULL);
    drain(&f);
    g_string_truncate(f.log, 0);
    system_reset_request(rs, SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_cmpint(main_loop_run(f.machine.loop), ==, 0);
    expect_log(&f, "SHUTDOWN{\"guest\":true,\"reason\":\"guest-reset\"}");
    fixture_clear(&f);
}

static void test_powerdown(void)
{
    Fixture f;
    RunStateCtl *rs = fixture_init(&f);

    system_powerdown_request(rs);
    expect_log(&f, "POWERDOWN");
    fixture_clear(&f);
}

static void test_signal(void)
{
    if (g_test_subprocess()) {
        Fixture f;
        RunStateCtl *rs = fixture_init(&f);
        f.config.program = "prog";
        runstate_set_actions(rs, false, true); /* a signal ends it all the same */
        Signals *signals = signals_new(&f.machine, NULL, NULL);
        g_assert_nonnull(signals);
        signals_watch(signals);
        kill(getpid(), SIGTERM);
        g_assert_cmpint(main_loop_run(f.machine.loop), ==, 0);
        expect_log(&f, "SHUTDOWN{\"guest\":false,\"reason\":\"host-signal\"}");
        signals_free(signals);
        fixture_clear(&f);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("prog: terminating on signal 15 from pid * (test-runstate)\n*");
}

/* Lines that reach nobody else name the program. */
static void test_report(void)
{
    if (g_test_subprocess()) {
        Fixture f;
        fixture_init(&f);
        f.config.program = NULL;
        machine_report(&f.machine, "one");
        f.config.program = "prog";
        machine_report(&f.machine, "two");
        f.machine.config = NULL;
        machine_report(&f.machine, "three");
        fixture_clear(&f);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("ferry: one\nprog: two\nferry: three\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/runstate/every-move", test_every_move);
    g_test_add_func("/runstate/start-stop", test_start_stop);
    g_test_add_func("/runstate/two-stops-at-once", test_two_stops_at_once);
    g_test_add_func("/runstate/stop-holds", test_stop_holds);
    g_test_add_func("/runstate/reset-asks-again", test_reset_asks_again);
    g_test_add_func("/runstate/stop-in-last-step", test_stop_in_last_step);
    g_test_add_func("/runstate/reset", test_reset);
    g_test_add_func("/runstate/reset-waits", test_reset_waits_for_migration);
    g_test_add_func("/runstate/guest-request-before-last-step", test_guest_request_before_last_step);
    g_test_add_func("/runstate/shutdown", test_shutdown);
    g_test_add_func("/runstate/no-shutdown", test_no_shutdown);
    g_test_add_func("/runstate/no-reboot", test_no_reboot);
    g_test_add_func("/runstate/powerdown", test_powerdown);
    g_test_add_func("/runstate/signal", test_signal);
    g_test_add_func("/runstate/report", test_report);
    return g_test_run();
}
