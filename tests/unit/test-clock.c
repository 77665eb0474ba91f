/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/clock: time stops with the machine; timers fire in order, on the main thread, not early. */
#include <unistd.h>
#include "softmmu/clock.h"

#define MS 1000000LL

typedef struct Fixture {
    MainLoop *loop;
    VirtualClock *clock;
    ClockTimer *timers[3];
    GString *log;
    int64_t fired_at[3];
    int rearm;
} Fixture;

static void fixture_init(Fixture *f)
{
    *f = (Fixture){ .loop = main_loop_new(), .log = g_string_new(NULL) };
    f->clock = virtual_clock_new(f->loop);
    bql_lock(f->loop);
}

static void fixture_clear(Fixture *f)
{
    for (int i = 0; i < 3; i++) {
        clock_timer_free(f->timers[i]);
    }
    virtual_clock_free(f->clock);
    bql_unlock(f->loop);
    main_loop_free(f->loop);
    g_string_free(f->log, TRUE);
}

static void fired(Fixture *f, int i)
{
    g_assert_true(bql_locked(f->loop));
    g_assert_cmpint(clock_timer_expire_ns(f->timers[i]), ==, -1);
    g_string_append_c(f->log, 'a' + i);
    f->fired_at[i] = virtual_clock_get_ns(f->clock);
}

static void fired_a(void *opaque)
{
    Fixture *f = opaque;
    fired(f, 0);
    if (f->rearm > 0) {
        f->rearm--;
        clock_timer_mod(f->timers[0], 0);
    }
}

static void fired_b(void *opaque)
{
    fired(opaque, 1);
}

static void fired_quit(void *opaque)
{
    Fixture *f = opaque;
    fired(f, 2);
    main_loop_quit(f->loop, 0);
}

static void add_timers(Fixture *f)
{
    f->timers[0] = clock_timer_new(f->clock, fired_a, f);
    f->timers[1] = clock_timer_new(f->clock, fired_b, f);
    f->timers[2] = clock_timer_new(f->clock, fired_quit, f);
}

static void test_stops(void)
{
    Fixture f;

    fixture_init(&f);
    g_assert_cmpint(virtual_clock_get_ns(f.clock), ==, 0);
    g_assert_false(virtual_clock_running(f.clock));
    virtual_clock_set_ns(f.clock, 5000 * MS);
    g_usleep(2000);
    g_assert_cmpint(virtual_clock_get_ns(f.clock), ==, 5000 * MS);
    virtual_clock_start(f.clock);
    g_usleep(2000);
    virtual_clock_stop(f.clock);
    int64_t stopped = virtual_clock_get_ns(f.clock);
    g_assert_cmpint(stopped, >=, 5002 * MS);
    g_usleep(2000);
    g_assert_cmpint(virtual_clock_get_ns(f.clock), ==, stopped);
    fixture_clear(&f);
}

static void test_timers(void)
{
    Fixture f;

    fixture_init(&f);
    add_timers(&f);
    clock_timer_mod(f.timers[2], 8 * MS);
    clock_timer_mod(f.timers[1], 1 * MS);
    clock_timer_mod(f.timers[0], 3 * MS);
    clock_timer_mod(f.timers[1], 5 * MS); /* replaces */
    g_assert_cmpint(clock_timer_expire_ns(f.timers[1]), ==, 5 * MS);
    virtual_clock_start(f.clock);
    main_loop_run(f.loop);
    g_assert_cmpstr(f.log->str, ==, "abc");
    g_assert_cmpint(f.fired_at[0], >=, 3 * MS);
    g_assert_cmpint(f.fired_at[1], >=, 5 * MS);
    g_assert_cmpint(f.fired_at[2], >=, 8 * MS);
    fixture_clear(&f);
}

static void test_deleted_and_past(void)
{
    Fixture f;

    fixture_init(&f);
    add_timers(&f);
    clock_timer_mod(f.timers[1], 1 * MS);
    clock_timer_del(f.timers[1]);
    f.rearm = 20; /* each time for the past: others must get their turn */
    clock_timer_mod(f.timers[0], 0);
    clock_timer_mod(f.timers[2], 2 * MS);
    virtual_clock_start(f.clock);
    main_loop_run(f.loop);
    g_assert_null(strchr(f.log->str, 'b'));
    g_assert_cmpint(f.rearm, ==, 0);
    fixture_clear(&f);
}

static gboolean quit_cb(gpointer opaque)
{
    main_loop_quit(opaque, 0);
    return G_SOURCE_REMOVE;
}

static gboolean other_cb(gpointer opaque)
{
    g_string_append_c(((Fixture *)opaque)->log, 'x');
    return G_SOURCE_REMOVE;
}

/* A timer that is due comes before whatever else waits for the main thread. */
static void test_first(void)
{
    Fixture f;

    fixture_init(&f);
    add_timers(&f);
    GMainContext *context = main_loop_context(f.loop);
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, other_cb, &f, NULL);
    clock_timer_mod(f.timers[0], 0);
    virtual_clock_start(f.clock);
    while (!g_main_context_pending(context)) {
        g_usleep(100);
    }
    g_source_attach(source, context);
    g_source_unref(source);
    g_main_context_iteration(context, FALSE);
    g_assert_cmpstr(f.log->str, ==, "a");
    g_main_context_iteration(context, FALSE);
    g_assert_cmpstr(f.log->str, ==, "ax");
    fixture_clear(&f);
}

static void test_stopped_clock_fires_nothing(void)
{
    Fixture f;

    fixture_init(&f);
    add_timers(&f);
    virtual_clock_start(f.clock);
    clock_timer_mod(f.timers[0], virtual_clock_get_ns(f.clock) + 2 * MS);
    virtual_clock_stop(f.clock);
    GSource *source = g_timeout_source_new(10);
    g_source_set_callback(source, quit_cb, f.loop, NULL);
    g_source_attach(source, main_loop_context(f.loop));
    g_source_unref(source);
    main_loop_run(f.loop);
    g_assert_cmpstr(f.log->str, ==, "");
    fixture_clear(&f);
}

static void test_step(void)
{
    Fixture f;

    fixture_init(&f);
    add_timers(&f);
    clock_timer_mod(f.timers[1], 20 * MS);
    clock_timer_mod(f.timers[0], 10 * MS);
    virtual_clock_step_to(f.clock, 15 * MS);
    g_assert_cmpstr(f.log->str, ==, "a");
    g_assert_cmpint(f.fired_at[0], ==, 10 * MS); /* time moves from deadline to deadline */
    g_assert_cmpint(virtual_clock_get_ns(f.clock), ==, 15 * MS);
    virtual_clock_step_to(f.clock, 5 * MS); /* never backwards */
    g_assert_cmpint(virtual_clock_get_ns(f.clock), ==, 15 * MS);
    virtual_clock_step_to(f.clock, 30 * MS);
    g_assert_cmpstr(f.log->str, ==, "ab");
    fixture_clear(&f);
}

static gpointer reader(gpointer opaque)
{
    VirtualClock *clock = opaque;
    int64_t last = 0;

    while (last < 1000000 * MS) { /* the writer's final value */
        int64_t now = virtual_clock_get_ns(clock);
        g_assert_cmpint(now, >=, last); /* a torn read would jump by the host's uptime */
        last = now;
    }
    return NULL;
}

static void test_readers_see_no_jump(void)
{
    Fixture f;

    fixture_init(&f);
    GThread *thread = g_thread_new("reader", reader, f.clock);
    for (int i = 0; i < 20000; i++) {
        virtual_clock_start(f.clock);
        virtual_clock_stop(f.clock);
    }
    virtual_clock_set_ns(f.clock, 1000000 * MS);
    g_thread_join(thread);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/stops", test_stops);
    g_test_add_func("/clock/timers", test_timers);
    g_test_add_func("/clock/deleted-and-past", test_deleted_and_past);
    g_test_add_func("/clock/first", test_first);
    g_test_add_func("/clock/stopped-fires-nothing", test_stopped_clock_fires_nothing);
    g_test_add_func("/clock/step", test_step);
    g_test_add_func("/clock/readers-see-no-jump", test_readers_see_no_jump);
    return g_test_run();
}
