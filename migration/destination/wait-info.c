/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What monitors hear of waits for pages: wait-stats.h as QAPI. Main thread; may run while they are counted. */
#include "migration/destination/object.h"
#include "qapi/qapi-types.h"

static void add_wait(XPostcopyWaitList ***tail, char *who, const WaitTimes *t)
{
    XPostcopyWaitList *l = g_new0(XPostcopyWaitList, 1);

    l->value = g_new0(XPostcopyWait, 1);
    l->value->who = who;
    l->value->count = t->count;
    l->value->mean = t->count ? t->total_us / t->count : 0;
    l->value->p50 = wait_times_percentile(t, 50);
    l->value->p90 = wait_times_percentile(t, 90);
    l->value->p99 = wait_times_percentile(t, 99);
    l->value->max = t->max_us;
    **tail = l;
    *tail = &l->next;
}

/* All first: the sum is known when the others are. */
static XPostcopyWaitList *waits(WaitStats *w, WaitTimes *all)
{
    XPostcopyWaitList *others = NULL, **tail = &others, *head, **first = &head;
    WaitTimes t;

    for (int user = 0; user < (int)wait_stats_vcpus(w); user++) {
        wait_stats_get(w, user, &t);
        wait_times_add(all, &t);
        if (t.count) {
            add_wait(&tail, g_strdup_printf("vcpu %d", user), &t);
        }
    }
    wait_stats_get(w, -1, &t);
    wait_times_add(all, &t);
    if (t.count) {
        add_wait(&tail, g_strdup("devices"), &t);
    }
    add_wait(&first, g_strdup("all"), all);
    *first = others;
    return head;
}

static XPostcopyBucketList *buckets(const WaitTimes *t)
{
    XPostcopyBucketList *head = NULL, **tail = &head;
    uint64_t seen = 0;

    for (unsigned i = 0; i < WAIT_BUCKETS && seen < t->count; i++) {
        seen += t->buckets[i];
        if (!seen) {
            continue;
        }
        XPostcopyBucketList *l = g_new0(XPostcopyBucketList, 1);
        l->value = g_new0(XPostcopyBucket, 1);
        l->value->below = i == WAIT_BUCKETS - 1 ? UINT64_MAX : 1ULL << i;
        l->value->count = t->buckets[i];
        *tail = l;
        tail = &l->next;
    }
    return head;
}

/* NULL if it has not come to that. Once they are there they stay. */
static WaitStats *stats_of(Incoming *in, bool *blocktime)
{
    g_mutex_lock(&in->lock);
    WaitStats *w = in->switched ? in->waits : NULL;
    *blocktime = in->blocktime;
    g_mutex_unlock(&in->lock);
    return w;
}

XPostcopyWaits *incoming_waits_info(Incoming *in)
{
    bool blocktime;
    WaitStats *w = stats_of(in, &blocktime);
    WaitTimes all = { 0 };

    if (!w) {
        return NULL;
    }
    XPostcopyWaits *info = g_new0(XPostcopyWaits, 1);
    info->requests = __atomic_load_n(&in->requests, __ATOMIC_RELAXED);
    info->duplicates = __atomic_load_n(&in->duplicates, __ATOMIC_RELAXED);
    present_map_unasked(in->machine->present, &info->unasked, &info->useful);
    info->missing = present_map_missing(in->machine->present) << TARGET_PAGE_BITS;
    info->waits = waits(w, &all);
    info->histogram = buckets(&all);
    return info;
}

void incoming_fill_blocktime(Incoming *in, MigrationInfo *info)
{
    bool blocktime;
    WaitStats *w = stats_of(in, &blocktime);
    uint32List **tail = &info->postcopy_vcpu_blocktime;
    WaitTimes t;

    if (!w || !blocktime || info->status != MIGRATION_STATUS_COMPLETED) {
        return;
    }
    info->has_postcopy_blocktime = true;
    info->postcopy_blocktime = wait_stats_all_blocked_us(w) / 1000;
    for (int user = 0; user < (int)wait_stats_vcpus(w); user++) {
        uint32List *l = g_new0(uint32List, 1);
        wait_stats_get(w, user, &t);
        l->value = t.total_us / 1000;
        *tail = l;
        tail = &l->next;
    }
}
