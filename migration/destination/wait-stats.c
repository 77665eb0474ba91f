/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See wait-stats.h. For how long all vCPUs stood still at once follows from
 * their waits alone, each told when it has ended: of each vCPU the waits are
 * kept until every other one has told of a later one, then compared.
 */
#include <math.h>
#include <stdbool.h>
#include "migration/destination/wait-stats.h"

/* A vCPU that never waits holds the others up: what it does not come back to is forgotten. */
#define KEPT 256

typedef struct Span {
    int64_t from, to;
} Span;

typedef struct Vcpu {
    WaitTimes times;
    Span kept[KEPT];            /* a ring */
    unsigned first, n;
} Vcpu;

struct WaitStats {
    unsigned vcpus;
    GMutex lock;
    /* protected by lock */
    WaitTimes devices;
    uint64_t all_blocked_us;
    Vcpu vcpu[];
};

WaitStats *wait_stats_new(unsigned vcpus)
{
    WaitStats *w = g_malloc0(sizeof(*w) + vcpus * sizeof(w->vcpu[0]));

    w->vcpus = vcpus;
    g_mutex_init(&w->lock);
    return w;
}

void wait_stats_free(WaitStats *w)
{
    if (w) {
        g_mutex_clear(&w->lock);
        g_free(w);
    }
}

static void count(WaitTimes *t, uint64_t us)
{
    unsigned bucket = us ? 64 - __builtin_clzll(us) : 0;

    t->count++;
    t->total_us += us;
    t->max_us = MAX(t->max_us, us);
    t->buckets[MIN(bucket, WAIT_BUCKETS - 1)]++;
}

static void drop_first(Vcpu *v)
{
    v->first = (v->first + 1) % KEPT;
    v->n--;
}

static void keep(Vcpu *v, int64_t from, int64_t to)
{
    if (v->n == KEPT) {
        drop_first(v);
    }
    v->kept[(v->first + v->n++) % KEPT] = (Span){ from, to };
}

/* What the oldest spans of all have in common counts; the one that ends first is done. lock held. */
static bool compare_oldest(WaitStats *w)
{
    int64_t from = INT64_MIN, to = INT64_MAX;
    Vcpu *done = NULL;

    for (unsigned i = 0; i < w->vcpus; i++) {
        Vcpu *v = &w->vcpu[i];
        if (v->n == 0) {
            return false;
        }
        from = MAX(from, v->kept[v->first].from);
        if (v->kept[v->first].to < to) {
            to = v->kept[v->first].to;
            done = v;
        }
    }
    if (!done) {
        return false;
    }
    w->all_blocked_us += MAX(to - from, 0);
    drop_first(done);
    return true;
}

void wait_stats_add(WaitStats *w, int user, int64_t end_us, int64_t us)
{
    us = MAX(us, 0);
    g_mutex_lock(&w->lock);
    if (user < 0 || (unsigned)user >= w->vcpus) {
        count(&w->devices, us);
    } else {
        count(&w->vcpu[user].times, us);
        keep(&w->vcpu[user], end_us - us, end_us);
        while (compare_oldest(w)) {
            /* until one of them has none left */
        }
    }
    g_mutex_unlock(&w->lock);
}

void wait_stats_get(WaitStats *w, int user, WaitTimes *out)
{
    g_mutex_lock(&w->lock);
    *out = user < 0 ? w->devices : w->vcpu[user].times;
    g_mutex_unlock(&w->lock);
}

unsigned wait_stats_vcpus(const WaitStats *w)
{
    return w->vcpus;
}

uint64_t wait_stats_all_blocked_us(WaitStats *w)
{
    g_mutex_lock(&w->lock);
    uint64_t us = w->all_blocked_us;
    g_mutex_unlock(&w->lock);
    return us;
}

void wait_times_add(WaitTimes *sum, const WaitTimes *other)
{
    sum->count += other->count;
    sum->total_us += other->total_us;
    sum->max_us = MAX(sum->max_us, other->max_us);
    for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
        sum->buckets[i] += other->buckets[i];
    }
}

uint64_t wait_times_percentile(const WaitTimes *t, double percent)
{
    double wanted = t->count * percent / 100, before = 0;

    for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
        double in = t->buckets[i];
        if (in > 0 && before + in >= wanted) {
            double low = i ? (double)(1ULL << (i - 1)) : 0, high = (double)(1ULL << i);
            double us = low + (high - low) * MAX(wanted - before, 0) / in;
            return MIN((uint64_t)ceil(us), t->max_us);
        }
        before += in;
    }
    return t->max_us;
}
