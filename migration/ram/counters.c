/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM counters and rates. Called by ram/save; never looks at a clock. */
#include "migration/ram/counters.h"

#define PERIOD_MS 1000
#define WINDOW_MS 100
#define PAGE TARGET_PAGE_SIZE

/* ram_counters_read copies it word by word. */
G_STATIC_ASSERT(sizeof(RamStats) % sizeof(uint64_t) == 0);
G_STATIC_ASSERT(sizeof(double) == sizeof(uint64_t));

void ram_counters_init(RamCounters *c, int64_t now_ms)
{
    uint64_t *word = (uint64_t *)&c->now;

    /* Somebody may be reading already: a migration in setup can be queried. */
    for (size_t i = 0; i < sizeof(c->now) / sizeof(uint64_t); i++) {
        ram_counter_set(word + i, 0);
    }
    c->handled_pages = c->period_dirty_pages = c->window_handled = 0;
    c->handled_then = c->miss_then = 0;
    c->xbzrle_pages_then = c->xbzrle_bytes_then = c->transferred_then = 0;
    c->period_start_ms = c->window_start_ms = now_ms;
}

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void store_double(double *to, double v)
{
    __atomic_store(to, &v, __ATOMIC_RELAXED);
}

static void xbzrle_rates(RamCounters *c, uint64_t handled)
{
    uint64_t pages = get(&c->now.xbzrle_pages), bytes = get(&c->now.xbzrle_bytes);
    uint64_t misses = get(&c->now.xbzrle_cache_miss);
    uint64_t new_pages = pages - c->xbzrle_pages_then, new_bytes = bytes - c->xbzrle_bytes_then;

    store_double(&c->now.xbzrle_cache_miss_rate,
                 (double)(misses - c->miss_then) / (double)handled);
    store_double(&c->now.xbzrle_encoding_rate,
                 new_pages && new_bytes ? (double)new_pages * (double)PAGE / (double)new_bytes : 0);
    c->xbzrle_pages_then = pages;
    c->xbzrle_bytes_then = bytes;
    c->miss_then = misses;
}

static void period_end(RamCounters *c, int64_t now_ms)
{
    uint64_t ms = (uint64_t)(now_ms - c->period_start_ms);
    uint64_t handled = get(&c->handled_pages), transferred = get(&c->now.transferred_bytes);

    ram_counter_set(&c->now.dirty_pages_rate, c->period_dirty_pages * 1000 / ms);
    ram_counter_set(&c->now.bytes_dirty_period, c->period_dirty_pages * PAGE);
    ram_counter_set(&c->now.bytes_xfer_period, transferred - c->transferred_then);
    ram_counter_add(&c->now.periods, 1);
    if (handled != c->handled_then) {
        xbzrle_rates(c, handled - c->handled_then);
        c->handled_then = handled;
    }
    c->period_dirty_pages = 0;
    c->transferred_then = transferred;
    c->period_start_ms = now_ms;
}

void ram_counters_sync(RamCounters *c, uint64_t newly_dirty, int64_t now_ms)
{
    ram_counter_add(&c->now.dirty_sync_count, 1);
    c->period_dirty_pages += newly_dirty;
    if (now_ms > c->period_start_ms + PERIOD_MS) {
        period_end(c, now_ms);
    }
}

void ram_counters_window(RamCounters *c, int64_t now_ms)
{
    int64_t ms = now_ms - c->window_start_ms;

    if (ms >= WINDOW_MS) {
        uint64_t handled = get(&c->handled_pages);

        ram_counter_set(&c->now.pages_per_second,
                        (handled - c->window_handled) * 1000 / (uint64_t)ms);
        c->window_handled = handled;
        c->window_start_ms = now_ms;
    }
}

void ram_counters_read(const RamCounters *c, RamStats *out)
{
    const uint64_t *from = (const uint64_t *)&c->now;
    uint64_t *to = (uint64_t *)out;

    for (size_t i = 0; i < sizeof(*out) / sizeof(uint64_t); i++) {
        to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    }
}
