/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters of an outgoing migration's RAM (migration-stream 4.7,
 * 5.4, 5.7) and the rates made of them. Whoever encodes or sends adds; the
 * migration thread alone sets and makes the rates; any thread reads.
 */
#ifndef MIGRATION_RAM_COUNTERS_H
#define MIGRATION_RAM_COUNTERS_H

#include "migration/ram.h"

typedef struct RamCounters {
    RamStats now;               /* each member is written and read atomically */
    uint64_t handled_pages;     /* pages for which something was sent; atomically as well */
    /* at the last recomputation of rates; migration thread only */
    int64_t period_start_ms;
    uint64_t period_dirty_pages;
    uint64_t handled_then, miss_then, xbzrle_pages_then, xbzrle_bytes_then, transferred_then;
    /* at the start of the window of pages_per_second */
    int64_t window_start_ms;
    uint64_t window_handled;
} RamCounters;

void ram_counters_init(RamCounters *c, int64_t now_ms);

/** Any thread. A counter that is added to is never set but by ram_counters_init. */
static inline void ram_counter_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/** Migration thread only. */
static inline void ram_counter_set(uint64_t *counter, uint64_t v)
{
    __atomic_store_n(counter, v, __ATOMIC_RELAXED);
}

/** At a dirty sync that found newly_dirty pages: counts it; rates if the period is over 1000 ms. */
void ram_counters_sync(RamCounters *c, uint64_t newly_dirty, int64_t now_ms);
/** Now and then: pages_per_second, once a window of 100 ms is over. */
void ram_counters_window(RamCounters *c, int64_t now_ms);
/** Any thread. */
void ram_counters_read(const RamCounters *c, RamStats *out);

#endif
