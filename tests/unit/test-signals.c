/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/signals: what happens where the main thread does not. (With a machine: test-startup.py.) */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/signals.h"

#define HANGS_S 60

/* One name for a test and its subprocess. */
static char *pidfile_name(void)
{
    return g_strdup_printf("%s/ferry-test-signals-%d", g_get_tmp_dir(),
                           (int)(g_test_subprocess() ? getppid() : getpid()));
}

static void write_pidfile(const char *path)
{
    g_assert_true(g_file_set_contents(path, "1", 1, NULL));
}

/* In a process of its own: two signals after `tell`, and a main thread that never looks. */
static void hang(const char *pidfile, void (*tell)(Signals *s))
{
    MachineConfig config = { .program = "prog" };
    Machine machine = { 0 };
    Signals *s = signals_new(&machine, pidfile, NULL);

    g_assert_nonnull(s);
    machine_core_init(&machine, &config);
    signals_watch(s);
    tell(s);
    g_usleep(HANGS_S * G_USEC_PER_SEC);
    _exit(0);
}

/* Before the main loop runs one is enough: who waits for a FIFO then never looks. */
static void one_while_building(Signals *s)
{
    kill(getpid(), SIGTERM);
}

static void two_signals(Signals *s)
{
    signals_running(s);
    kill(getpid(), SIGTERM);
    g_usleep(100000); /* two at once are one */
    kill(getpid(), SIGTERM);
}

static void two_while_ending(Signals *s)
{
    signals_ending(s);
    kill(getpid(), SIGTERM);
    g_usleep(100000);
    kill(getpid(), SIGTERM);
}

static void ended_soon(void (*tell)(Signals *s))
{
    g_autofree char *path = pidfile_name();
    gint64 start = g_get_monotonic_time();

    if (g_test_subprocess()) {
        write_pidfile(path);
        hang(path, tell);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed(); /* by the signal */
    g_assert_cmpint(g_get_monotonic_time() - start, <, HANGS_S / 2 * G_USEC_PER_SEC);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_main_thread_hangs(void)
{
    ended_soon(two_signals);
}

static void test_building_hangs(void)
{
    ended_soon(one_while_building);
}

static void test_end_hangs(void)
{
    ended_soon(two_while_ending);
}

/* Before there is a run state one is enough, as without us. */
static void test_starting(void)
{
    g_autofree char *path = pidfile_name();

    if (g_test_subprocess()) {
        Machine machine = { 0 };
        write_pidfile(path);
        g_assert_nonnull(signals_new(&machine, path, NULL));
        kill(getpid(), SIGINT);
        g_usleep(HANGS_S * G_USEC_PER_SEC);
        _exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* A signal that comes before there is anybody to take it: the pid file goes along all the same. */
static void test_blocked(void)
{
    g_autofree char *path = pidfile_name();

    if (g_test_subprocess()) {
        Machine machine = { 0 };
        signals_block();
        write_pidfile(path);
        kill(getpid(), SIGTERM);
        g_assert_nonnull(signals_new(&machine, path, NULL));
        g_usleep(HANGS_S * G_USEC_PER_SEC);
        _exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* One signal meets an end that was begun before: it changes nothing. */
static void test_one_while_ending(void)
{
    if (g_test_subprocess()) {
        MachineConfig config = { .program = "prog" };
        Machine machine = { 0 };
        Signals *s = signals_new(&machine, NULL, NULL);
        machine_core_init(&machine, &config);
        signals_watch(s);
        signals_ending(s);
        kill(getpid(), SIGTERM);
        g_usleep(50000);
        machine_core_clear(&machine);
        signals_free(s);
        kill(getpid(), SIGTERM); /* still blocked */
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/signals/main-thread-hangs", test_main_thread_hangs);
    g_test_add_func("/signals/end-hangs", test_end_hangs);
    g_test_add_func("/signals/building-hangs", test_building_hangs);
    g_test_add_func("/signals/starting", test_starting);
    g_test_add_func("/signals/blocked", test_blocked);
    g_test_add_func("/signals/one-while-ending", test_one_while_ending);
    return g_test_run();
}
