/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty sync for 64 GiB of guest RAM: fetching the log into the migration's
 * bitmap and finding the pages again. Bitmaps only; the guest's memory is
 * never touched. The reference is a memcpy of a bitmap of that size.
 */
#include <string.h>
#include "bench.h"
#include "migration/ram/walk.h"

#define GIB (1ULL << 30)
#define RAM_BYTES (64 * GIB)
#define BITMAP_BYTES (RAM_BYTES / TARGET_PAGE_SIZE / 8)

typedef struct Dirty {
    RAMList *ram;
    RAMBlock *block;
    DirtyLog *log;
    RamDirty *dirty;
    uint64_t every;         /* one dirty page in so many; 0: none */
    uint8_t *a, *b;
} Dirty;

static void mark(Dirty *d)
{
    for (uint64_t p = 0; d->every && p < ram_block_pages(d->block); p += d->every) {
        dirty_log_mark(d->log, d->block, p << TARGET_PAGE_BITS, 1);
    }
}

static void run_memcpy(void *opaque)
{
    Dirty *d = opaque;

    memcpy(d->a, d->b, BITMAP_BYTES);
    bench_use(d->a[0]);
}

static double best_sync_ms(Dirty *d, double *walk_ms, uint64_t *pages)
{
    double best = 1e30;

    *walk_ms = 1e30;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        RamWalk walk = { 0 };
        uint64_t page;
        size_t block;
        int64_t start, synced;

        mark(d);
        start = bench_now_ns();
        *pages = ram_dirty_sync(d->dirty);
        synced = bench_now_ns();
        best = MIN(best, (double)(synced - start) / 1e6);
        while (ram_walk_next(&walk, d->dirty, &block, &page)) {
            ram_dirty_clear(d->dirty, block, page);
        }
        *walk_ms = MIN(*walk_ms, (double)(bench_now_ns() - synced) / 1e6);
    }
    return best;
}

int main(void)
{
    static const uint64_t every[] = { 0, 100000, 1000, 100, 10, 1 };
    Dirty d = { .ram = ram_list_new() };
    GError *err = NULL;

    d.block = ram_list_add(d.ram, "ram", RAM_BYTES, NULL, &err);
    if (!d.block) {
        printf("64 GiB of address space cannot be had here: %s\n", err->message);
        return 77;
    }
    d.log = dirty_log_new(d.ram, NULL, NULL);
    d.dirty = ram_dirty_new(d.ram, d.log, NULL);
    d.a = g_malloc0(BITMAP_BYTES);
    d.b = g_malloc0(BITMAP_BYTES);
    dirty_log_start(d.log);
    printf("64 GiB of guest RAM, bitmap of %d KiB; memcpy of it %.3f ms\n",
           (int)(BITMAP_BYTES / 1024), bench_ns(run_memcpy, &d) / 1e6);
    printf("%14s %14s %10s %16s\n", "one dirty in", "dirty pages", "sync ms", "walk, clear ms");
    for (size_t i = 0; i < G_N_ELEMENTS(every); i++) {
        double walk_ms, sync_ms;
        uint64_t pages;

        d.every = every[i];
        sync_ms = best_sync_ms(&d, &walk_ms, &pages);
        printf("%14d %14d %10.3f %16.3f\n", (int)every[i], (int)pages, sync_ms, walk_ms);
    }
    dirty_log_stop(d.log);
    ram_dirty_free(d.dirty);
    dirty_log_free(d.log);
    ram_list_free(d.ram);
    g_free(d.a);
    g_free(d.b);
    return 0;
}
