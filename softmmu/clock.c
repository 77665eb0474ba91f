/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual clock: an offset to the host's monotonic clock while it runs, a
 * frozen value while it does not. Readers use a sequence lock, so a hart that
 * reads `time` never waits. Timers sit in one sorted list behind a mutex and
 * wake the main loop through a timerfd (nanoseconds; poll alone would round
 * every guest timer up to a millisecond). Called by devices, the CPU, the run
 * state and qtest; never by migration/ except through vmstate.
 */
#include "softmmu/clock.h"

#include <glib-unix.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct ClockTimer {
    VirtualClock *clock;
    ClockTimerFunc *fn;
    void *opaque;
    int64_t expire_ns;      /* clock->lock; -1 if not in the list */
    uint64_t serial;        /* clock->lock; which arming this is */
    ClockTimer *next;       /* clock->lock */
};

struct VirtualClock {
    /* sequence lock: odd while base and running change; written under BQL and lock */
    unsigned seq;
    int64_t base_ns;        /* running: virtual - host; stopped: the value */
    bool running;
    bool stepped;           /* set once: never runs by itself */

    GMutex lock;            /* the list and the timerfd */
    ClockTimer *first;      /* sorted by expiry, then by arming order */
    uint64_t serial;        /* of the last arming */
    int64_t armed_ns;       /* virtual time the timerfd is set for, INT64_MAX if not */
    int fd;
    GSource *source;
};

static int64_t host_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- reading ---- */

int64_t virtual_clock_get_ns(VirtualClock *clock)
{
    unsigned before, after;
    int64_t ns;

    /*
     * The host's clock is read inside, too: read after a concurrent stop it
     * would give a time later than the one the clock stopped at.
     */
    do {
        before = __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE);
        ns = __atomic_load_n(&clock->base_ns, __ATOMIC_RELAXED);
        if (__atomic_load_n(&clock->running, __ATOMIC_RELAXED)) {
            ns += host_ns();
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = __atomic_load_n(&clock->seq, __ATOMIC_RELAXED);
    } while (before != after || (before & 1));
    return ns;
}

bool virtual_clock_running(VirtualClock *clock)
{
    return __atomic_load_n(&clock->running, __ATOMIC_ACQUIRE);
}

/* base + sign * host time becomes the new base; writers hold the lock. */
static void clock_publish(VirtualClock *clock, bool running, int64_t base, int host_sign)
{
    __atomic_fetch_add(&clock->seq, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* odd seq is seen before the new values */
    base += host_sign * host_ns();
    __atomic_store_n(&clock->running, running, __ATOMIC_RELAXED);
    __atomic_store_n(&clock->base_ns, base, __ATOMIC_RELAXED);
    __atomic_fetch_add(&clock->seq, 1, __ATOMIC_RELEASE);
}

/* ---- the timerfd; clock->lock held ---- */

static void timerfd_arm(VirtualClock *clock, int64_t expire_ns)
{
    int64_t at = MAX(expire_ns - clock->base_ns, 1); /* 0 would disarm; the past fires at once */
    struct itimerspec spec = {
        .it_value = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 },
    };

    timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &spec, NULL);
    clock->armed_ns = expire_ns;
}

static void timerfd_disarm(VirtualClock *clock)
{
    struct itimerspec off = { 0 };

    timerfd_settime(clock->fd, 0, &off, NULL);
    clock->armed_ns = INT64_MAX;
}

/*
 * A guest that moves its deadline back and forth must not cost a system call
 * each time: the timerfd is only ever moved to an earlier time. One that is
 * too early finds nothing due and is set again then.
 */
static void timerfd_update(VirtualClock *clock)
{
    if (clock->running && clock->first && clock->first->expire_ns < clock->armed_ns) {
        timerfd_arm(clock, clock->first->expire_ns);
    }
}

/* ---- the list; clock->lock held ---- */

static void list_remove(VirtualClock *clock, ClockTimer *timer)
{
    for (ClockTimer **p = &clock->first; *p; p = &(*p)->next) {
        if (*p == timer) {
            *p = timer->next;
            timer->next = NULL;
            timer->expire_ns = -1;
            return;
        }
    }
}

static void list_insert(VirtualClock *clock, ClockTimer *timer, int64_t expire_ns)
{
    ClockTimer **p = &clock->first;

    while (*p && (*p)->expire_ns <= expire_ns) {
        p = &(*p)->next;
    }
    timer->expire_ns = expire_ns;
    timer->serial = ++clock->serial;
    timer->next = *p;
    *p = timer;
}

/* Takes the first timer off the list if it is due at `now` and was armed before `serial`. */
static ClockTimer *list_pop_due(VirtualClock *clock, int64_t now, uint64_t serial,
                                int64_t *expire_ns)
{
    ClockTimer *timer;

    g_mutex_lock(&clock->lock);
    timer = clock->first;
    if (timer && timer->expire_ns <= now && timer->serial <= serial) {
        *expire_ns = timer->expire_ns;
        list_remove(clock, timer);
    } else {
        timer = NULL;
    }
    g_mutex_unlock(&clock->lock);
    return timer;
}

/* ---- firing: main thread, BQL ---- */

static gboolean clock_dispatch(gint fd, GIOCondition condition, gpointer user_data)
{
    VirtualClock *clock = user_data;
    int64_t now, expire_ns;
    uint64_t ticks, serial;
    ClockTimer *timer;

    g_mutex_lock(&clock->lock);
    ssize_t ignored = read(fd, &ticks, sizeof(ticks)); /* only resets the fd */
    (void)ignored;
    clock->armed_ns = INT64_MAX;
    serial = clock->serial;
    g_mutex_unlock(&clock->lock);

    /* A timer that arms itself for the past again waits for the next turn of the loop. */
    now = virtual_clock_get_ns(clock);
    while (virtual_clock_running(clock) && (timer = list_pop_due(clock, now, serial, &expire_ns))) {
        timer->fn(timer->opaque);
    }

    g_mutex_lock(&clock->lock);
    timerfd_update(clock);
    g_mutex_unlock(&clock->lock);
    return G_SOURCE_CONTINUE;
}

static void step_forward(VirtualClock *clock, int64_t ns)
{
    g_mutex_lock(&clock->lock);
    g_assert(!clock->running);
    clock_publish(clock, false, MAX(clock->base_ns, ns), 0);
    g_mutex_unlock(&clock->lock);
}

void virtual_clock_step_to(VirtualClock *clock, int64_t ns)
{
    ClockTimer *timer;
    int64_t expire_ns;

    while ((timer = list_pop_due(clock, ns, UINT64_MAX, &expire_ns))) {
        step_forward(clock, expire_ns);
        timer->fn(timer->opaque);
    }
    step_forward(clock, ns);
}

int64_t virtual_clock_next_ns(VirtualClock *clock)
{
    g_mutex_lock(&clock->lock);
    int64_t next = clock->first ? clock->first->expire_ns : -1;
    g_mutex_unlock(&clock->lock);
    return next;
}

/* ---- the clock ---- */

VirtualClock *virtual_clock_new(MainLoop *loop)
{
    VirtualClock *clock = g_new0(VirtualClock, 1);

    g_mutex_init(&clock->lock);
    clock->armed_ns = INT64_MAX;
    clock->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    g_assert(clock->fd >= 0);
    clock->source = g_unix_fd_source_new(clock->fd, G_IO_IN);
    g_source_set_priority(clock->source, G_PRIORITY_HIGH);
    g_source_set_callback(clock->source, G_SOURCE_FUNC(clock_dispatch), clock, NULL);
    g_source_attach(clock->source, main_loop_context(loop));
    return clock;
}

void virtual_clock_free(VirtualClock *clock)
{
    if (!clock) {
        return;
    }
    g_source_destroy(clock->source);
    g_source_unref(clock->source);
    close(clock->fd);
    g_mutex_clear(&clock->lock);
    g_free(clock);
}

void virtual_clock_start(VirtualClock *clock)
{
    g_mutex_lock(&clock->lock);
    if (!clock->running && !clock->stepped) {
        clock_publish(clock, true, clock->base_ns, -1);
        timerfd_update(clock);
    }
    g_mutex_unlock(&clock->lock);
}

void virtual_clock_set_stepped(VirtualClock *clock)
{
    clock->stepped = true;
}

void virtual_clock_stop(VirtualClock *clock)
{
    g_mutex_lock(&clock->lock);
    if (clock->running) {
        clock_publish(clock, false, clock->base_ns, 1);
        timerfd_disarm(clock);
    }
    g_mutex_unlock(&clock->lock);
}

void virtual_clock_set_ns(VirtualClock *clock, int64_t ns)
{
    g_mutex_lock(&clock->lock);
    g_assert(!clock->running);
    clock_publish(clock, false, ns, 0);
    g_mutex_unlock(&clock->lock);
}

/* ---- timers ---- */

ClockTimer *clock_timer_new(VirtualClock *clock, ClockTimerFunc *fn, void *opaque)
{
    ClockTimer *timer = g_new0(ClockTimer, 1);

    *timer = (ClockTimer){ .clock = clock, .fn = fn, .opaque = opaque, .expire_ns = -1 };
    return timer;
}

void clock_timer_free(ClockTimer *timer)
{
    if (timer) {
        clock_timer_del(timer);
        g_free(timer);
    }
}

void clock_timer_mod(ClockTimer *timer, int64_t expire_ns)
{
    VirtualClock *clock = timer->clock;

    g_mutex_lock(&clock->lock);
    list_remove(clock, timer);
    list_insert(clock, timer, MAX(expire_ns, 0));
    timerfd_update(clock);
    g_mutex_unlock(&clock->lock);
}

void clock_timer_del(ClockTimer *timer)
{
    g_mutex_lock(&timer->clock->lock);
    list_remove(timer->clock, timer);
    g_mutex_unlock(&timer->clock->lock);
}

int64_t clock_timer_expire_ns(ClockTimer *timer)
{
    g_mutex_lock(&timer->clock->lock);
    int64_t expire_ns = timer->expire_ns;
    g_mutex_unlock(&timer->clock->lock);
    return expire_ns;
}
