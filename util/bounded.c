/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what cannot be interrupted (util/bounded.h): a thread that
 * nobody joins does it, and goes on alone when its user has lost patience.
 * Used by migration/channel, chardev/ and the monitors.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "util/bounded.h"
#include "util/error.h"
#include "util/memory-room.h"

#define LOOK_US 5000

struct BoundedCall {
    /* set once */
    void (*work)(void *arg);
    void *arg;              /* the thread's until done, then the waiter's */
    GDestroyNotify drop;
    int done_fd;            /* eventfd, readable for ever once work has returned */
    int refs;               /* atomic: the thread's and the waiter's */
    int state;              /* atomic: CallState */
};

typedef enum CallState {
    CALL_RUNS,
    CALL_DONE,              /* what the thread has written is there to be seen */
    CALL_LOST,              /* nobody waits any more */
} CallState;

/*
 * Threads that were let go and have not come back. The process's and not any migration's, as the
 * threads are: whoever meets the server that does not answer next must not add to them for ever.
 */
static int lost;            /* atomic */

bool bounded_may_start(GError **errp)
{
    if (g_atomic_int_get(&lost) < BOUNDED_LOST_MAX) {
        return true;
    }
    error_setg(errp, "A name server or file server does not answer: %d earlier calls wait for it "
               "still. Try again when it does", BOUNDED_LOST_MAX);
    return false;
}

void bounded_lose(void)
{
    g_atomic_int_inc(&lost);
}

void bounded_regain(void)
{
    g_atomic_int_add(&lost, -1);
}

bool bounded_thread_start(void *(*fn)(void *), void *opaque)
{
    pthread_attr_t attr;
    pthread_t thread;

    if (!memory_has_room_for_thread()) {
        return false;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attr, fn, opaque) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

/* Whoever comes last frees: so what was abandoned is freed by its own thread. */
static void bounded_unref(BoundedCall *b)
{
    if (g_atomic_int_dec_and_test(&b->refs)) {
        b->drop(b->arg);
        close(b->done_fd);
        g_free(b);
    }
}

/*
 * The thread of one call. Owns arg while work runs; waits for whatever the
 * system call waits for, with nobody to end it; ends with it.
 */
static void *bounded_thread(void *opaque)
{
    BoundedCall *b = opaque;
    uint64_t one = 1;

    b->work(b->arg);
    bool let_go = !g_atomic_int_compare_and_exchange(&b->state, CALL_RUNS, CALL_DONE);
    if (write(b->done_fd, &one, sizeof(one)) < 0) {
        /* cannot be: the counter was 0 */
    }
    bounded_unref(b);
    if (let_go) {
        bounded_regain();       /* what it has brought is undone, too */
    }
    return NULL;
}

void bounded_settle(int ms)
{
    int64_t until = g_get_monotonic_time() + ms * 1000LL;

    while (g_atomic_int_get(&lost) > 0 && g_get_monotonic_time() < until) {
        g_usleep(LOOK_US);
    }
}

BoundedCall *bounded_call_start(void (*work)(void *arg), void *arg, GDestroyNotify drop,
                                GError **errp)
{
    BoundedCall *b = g_new0(BoundedCall, 1);

    b->work = work;
    b->arg = arg;
    b->drop = drop;
    b->refs = 2;
    b->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bounded_may_start(errp)) {
        if (b->done_fd >= 0 && bounded_thread_start(bounded_thread, b)) {
            return b;
        }
        error_setg_errno(errp, errno, "Unable to start a thread");
    }
    b->refs = 1;
    bounded_unref(b);
    return NULL;
}

bool bounded_call_done(BoundedCall *b, int wake_fd, int ms)
{
    struct pollfd p[2] = { { .fd = wake_fd, .events = POLLIN }, { .fd = b->done_fd, .events = POLLIN } };

    for (;;) {
        int n = poll(p, 2, ms);
        if (n >= 0 || errno != EINTR) {
            return n > 0 && !p[0].revents && g_atomic_int_get(&b->state) == CALL_DONE;
        }
    }
}

void *bounded_call_arg(BoundedCall *b)
{
    return b->arg;
}

void bounded_call_free(BoundedCall *b)
{
    if (b) {
        bounded_lose();         /* first: the thread may come back at once */
        if (!g_atomic_int_compare_and_exchange(&b->state, CALL_RUNS, CALL_LOST)) {
            bounded_regain();   /* it was not lost */
        }
        bounded_unref(b);
    }
}
