/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main loop and the big lock. The main thread runs a GMainContext and
 * holds the big lock (BQL) all the time except while it polls. Monitors,
 * chardevs, timers and device models run under it; vCPU threads take it for
 * MMIO only; the migration thread takes it for short run-state changes only.
 */
#ifndef SOFTMMU_MAIN_LOOP_H
#define SOFTMMU_MAIN_LOOP_H

#include <glib.h>
#include <stdbool.h>

typedef struct MainLoop MainLoop;

MainLoop *main_loop_new(void);
void main_loop_free(MainLoop *loop);

/** Runs until main_loop_quit; returns the exit status. Main thread, BQL held on entry and return. */
int main_loop_run(MainLoop *loop);

/** Whether main_loop_run has begun: from then on nothing on the main thread may wait. Any thread. */
bool main_loop_running(MainLoop *loop);

/** Asks the loop to end with this exit status (the first wins). Any thread. */
void main_loop_quit(MainLoop *loop, int status);

/** The GLib context for sources (g_source_attach). */
GMainContext *main_loop_context(MainLoop *loop);

/** The big lock; not recursive. The creating thread does not hold it after main_loop_new. */
void bql_lock(MainLoop *loop);
void bql_unlock(MainLoop *loop);
/** True if the calling thread holds it. */
bool bql_locked(MainLoop *loop);

/*
 * What functions assert that are for who holds the BQL, for the main thread, which holds it, and for who
 * does not, as they wait. Before main_loop_run there is one thread, and no need to hold it. Any thread.
 */
void bql_assert_held(MainLoop *loop);
void bql_assert_main(MainLoop *loop);
void bql_assert_free(MainLoop *loop);

/** Runs fn(opaque) once on the main thread under the BQL, soon. Any thread, with or without BQL. */
void main_loop_post(MainLoop *loop, void (*fn)(void *opaque), void *opaque);

/**
 * As main_loop_post, but waits for it to have run. Not from the main thread
 * unless it holds the BQL (then it runs fn at once); other callers must not
 * hold the BQL.
 */
void main_loop_call(MainLoop *loop, void (*fn)(void *opaque), void *opaque);

#endif
