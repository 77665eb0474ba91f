/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main loop and the big lock. One turn: prepare and query the GLib
 * context under the lock, poll without it, check and dispatch with it. Used
 * by everything that has a source or needs the lock; never blocks under it.
 */
#include "softmmu/main-loop.h"

#include <pthread.h>
#include <stdint.h>

struct MainLoop {
    GMainContext *context;      /* set once */
    pthread_mutex_t bql;
    uintptr_t owner;            /* atomic: pthread_self() of the lock's holder, 0 if free */
    int running;                /* atomic: main_loop_run has begun */
    uintptr_t runner;           /* atomic: pthread_self() of who runs it, 0 before */
    int quitting;               /* atomic: 0 run on, 1 somebody asked to end */
    int status;                 /* written by whoever set quitting */
    GPollFD *fds;               /* main thread only */
    int fds_size;
};

MainLoop *main_loop_new(void)
{
    MainLoop *loop = g_new0(MainLoop, 1);

    loop->context = g_main_context_new();
    pthread_mutex_init(&loop->bql, NULL);
    loop->fds_size = 16;
    loop->fds = g_new(GPollFD, loop->fds_size);
    return loop;
}

void main_loop_free(MainLoop *loop)
{
    if (!loop) {
        return;
    }
    g_main_context_unref(loop->context);
    pthread_mutex_destroy(&loop->bql);
    g_free(loop->fds);
    g_free(loop);
}

GMainContext *main_loop_context(MainLoop *loop)
{
    return loop->context;
}

void bql_lock(MainLoop *loop)
{
    g_assert(!bql_locked(loop)); /* not recursive: a second lock would hang silently */
    pthread_mutex_lock(&loop->bql);
    __atomic_store_n(&loop->owner, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
}

void bql_unlock(MainLoop *loop)
{
    g_assert(bql_locked(loop));
    __atomic_store_n(&loop->owner, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->bql);
}

bool bql_locked(MainLoop *loop)
{
    /* Only this thread ever stores its own id, so a racing read cannot lie about us. */
    return __atomic_load_n(&loop->owner, __ATOMIC_RELAXED) == (uintptr_t)pthread_self();
}

void bql_assert_held(MainLoop *loop)
{
    g_assert(!main_loop_running(loop) || bql_locked(loop));
}

void bql_assert_main(MainLoop *loop)
{
    bql_assert_held(loop);
    g_assert(!main_loop_running(loop) ||
             __atomic_load_n(&loop->runner, __ATOMIC_RELAXED) == (uintptr_t)pthread_self());
}

void bql_assert_free(MainLoop *loop)
{
    g_assert(!bql_locked(loop));
}

/* One turn of the loop; the lock is held outside of the poll. */
static void loop_turn(MainLoop *loop)
{
    int priority, timeout, n;

    g_main_context_prepare(loop->context, &priority);
    while ((n = g_main_context_query(loop->context, priority, &timeout, loop->fds,
                                     loop->fds_size)) > loop->fds_size) {
        loop->fds_size = n;
        loop->fds = g_renew(GPollFD, loop->fds, n);
    }
    bql_unlock(loop);
    g_poll(loop->fds, n, timeout);
    bql_lock(loop);
    if (g_main_context_check(loop->context, priority, loop->fds, n)) {
        g_main_context_dispatch(loop->context);
    }
}

int main_loop_run(MainLoop *loop)
{
    g_assert(bql_locked(loop));
    bool acquired = g_main_context_acquire(loop->context);
    g_assert(acquired);
    __atomic_store_n(&loop->runner, (uintptr_t)pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&loop->running, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&loop->quitting, __ATOMIC_ACQUIRE) != 2) {
        loop_turn(loop);
    }
    g_main_context_release(loop->context);
    return loop->status;
}

bool main_loop_running(MainLoop *loop)
{
    return __atomic_load_n(&loop->running, __ATOMIC_RELAXED);
}

void main_loop_quit(MainLoop *loop, int status)
{
    int running = 0;

    /* 1 = somebody writes the status, 2 = it may be read. */
    if (__atomic_compare_exchange_n(&loop->quitting, &running, 1, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        loop->status = status;
        __atomic_store_n(&loop->quitting, 2, __ATOMIC_RELEASE);
        g_main_context_wakeup(loop->context);
    }
}

/* ---- work handed to the main thread ---- */

typedef struct PostedCall {
    void (*fn)(void *opaque);
    void *opaque;
    /* main_loop_call only: */
    GMutex *lock;
    GCond *cond;
    bool *done;
} PostedCall;

static gboolean posted_call_run(gpointer user_data)
{
    PostedCall *call = user_data;

    call->fn(call->opaque);
    if (call->done) {
        g_mutex_lock(call->lock);
        *call->done = true;
        g_cond_signal(call->cond);
        g_mutex_unlock(call->lock);
    }
    return G_SOURCE_REMOVE;
}

static void call_attach(MainLoop *loop, const PostedCall *call)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, posted_call_run, g_memdup2(call, sizeof(*call)), g_free);
    g_source_attach(source, loop->context);
    g_source_unref(source);
}

void main_loop_post(MainLoop *loop, void (*fn)(void *opaque), void *opaque)
{
    call_attach(loop, &(PostedCall){ .fn = fn, .opaque = opaque });
}

void main_loop_call(MainLoop *loop, void (*fn)(void *opaque), void *opaque)
{
    GMutex lock;
    GCond cond;
    bool done = false;

    if (bql_locked(loop)) {
        fn(opaque); /* the main thread itself, see the header */
        return;
    }
    g_mutex_init(&lock);
    g_cond_init(&cond);
    call_attach(loop, &(PostedCall){ fn, opaque, &lock, &cond, &done });
    g_mutex_lock(&lock);
    while (!done) {
        g_cond_wait(&cond, &lock);
    }
    g_mutex_unlock(&lock);
    g_mutex_clear(&lock);
    g_cond_clear(&cond);
}
