/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long whoever needed a page of a guest's memory that had not come waited for it. Numbers only. */
#ifndef MIGRATION_DESTINATION_WAIT_STATS_H
#define MIGRATION_DESTINATION_WAIT_STATS_H

#include <glib.h>
#include <stdint.h>

/**
 * A power of two in us is one bucket: bucket n counts waits below 2^n us that
 * fit in no smaller one, the last one all longer waits.
 */
#define WAIT_BUCKETS 32

/** Of one user, or of all. */
typedef struct WaitTimes {
    uint64_t count, total_us, max_us;
    uint64_t buckets[WAIT_BUCKETS];
} WaitTimes;

typedef struct WaitStats WaitStats;

/** vcpus: how many the guest has. */
WaitStats *wait_stats_new(unsigned vcpus);
void wait_stats_free(WaitStats *w);
/** A wait of us that has ended at end_us. user: a vCPU's index, or negative for any device. Any thread. */
void wait_stats_add(WaitStats *w, int user, int64_t end_us, int64_t us);
/** Those of a vCPU; user -1: of the devices. Any thread. */
void wait_stats_get(WaitStats *w, int user, WaitTimes *out);
unsigned wait_stats_vcpus(const WaitStats *w);
/** For how long all vCPUs waited at the same time, as far as their waits have ended. Any thread. */
uint64_t wait_stats_all_blocked_us(WaitStats *w);

void wait_times_add(WaitTimes *sum, const WaitTimes *other);
/** No less than percent of the waits took at most that long; within a bucket as if they lay evenly. 0: none. */
uint64_t wait_times_percentile(const WaitTimes *t, double percent);

#endif
