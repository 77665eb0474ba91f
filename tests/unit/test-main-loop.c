/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/main-loop: the lock is held in callbacks and free in the poll; posts and calls arrive. */
#include "softmmu/main-loop.h"

typedef struct Fixture {
    MainLoop *loop;
    int calls;
    bool locked_in_callback;
    GThread *main_thread;
    bool on_main_thread;
    int value;
} Fixture;

static void note_call(void *opaque)
{
    Fixture *f = opaque;

    f->calls++;
    f->locked_in_callback = bql_locked(f->loop);
    f->on_main_thread = g_thread_self() == f->main_thread;
}

static gpointer worker(gpointer opaque)
{
    Fixture *f = opaque;

    g_assert_false(bql_locked(f->loop));
    main_loop_call(f->loop, note_call, f);
    g_assert_cmpint(f->calls, ==, 1);
    for (int i = 0; i < 1000; i++) {
        bql_lock(f->loop); /* only possible while the main thread polls */
        f->value++;
        bql_unlock(f->loop);
    }
    for (int i = 0; i < 100; i++) {
        main_loop_post(f->loop, note_call, f);
    }
    main_loop_call(f->loop, note_call, f);
    g_assert_cmpint(f->calls, ==, 102); /* posts keep their order */
    main_loop_quit(f->loop, 3);
    main_loop_quit(f->loop, 4);
    return NULL;
}

static void test_run(void)
{
    Fixture f = { .loop = main_loop_new(), .main_thread = g_thread_self() };

    bql_lock(f.loop);
    GThread *thread = g_thread_new("worker", worker, &f);
    g_assert_cmpint(main_loop_run(f.loop), ==, 3); /* the first status wins */
    g_assert_true(bql_locked(f.loop));
    bql_unlock(f.loop);
    g_thread_join(thread);
    g_assert_true(f.locked_in_callback);
    g_assert_true(f.on_main_thread);
    g_assert_cmpint(f.value, ==, 1000);
    main_loop_free(f.loop);
}

static void test_call_on_main_thread(void)
{
    Fixture f = { .loop = main_loop_new(), .main_thread = g_thread_self() };

    bql_lock(f.loop);
    main_loop_call(f.loop, note_call, &f);
    g_assert_cmpint(f.calls, ==, 1);
    main_loop_quit(f.loop, 0);
    g_assert_cmpint(main_loop_run(f.loop), ==, 0);
    bql_unlock(f.loop);
    main_loop_free(f.loop);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/main-loop/run", test_run);
    g_test_add_func("/main-loop/call-on-main-thread", test_call_on_main_thread);
    return g_test_run();
}
