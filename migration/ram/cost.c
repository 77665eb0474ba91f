/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire-cost estimate. Called by ram/save; never sends. The number of
 * dirty pages that are cached is counted exactly at each sync, over the
 * dirty pages or over the cache, whichever are fewer; between syncs it only
 * falls. An entry that is evicted in between leaves it a little high, until
 * the fresh sync that comes before every decision to complete.
 */
#include "migration/ram/cost.h"

/* A mean over fewer pages than this is blended with what was known before. */
#define MEAN_PAGES 64

void ram_cost_init(RamCost *c)
{
    *c = (RamCost) { .cached.page_bytes = RAM_COST_WHOLE_PAGE,
                     .other.page_bytes = RAM_COST_WHOLE_PAGE };
}

static void note_page(RamCostClass *class, uint64_t bytes)
{
    class->pass_pages++;
    class->pass_bytes += bytes;
}

void ram_cost_cached_page(RamCost *c, uint64_t bytes)
{
    note_page(&c->cached, bytes);
    if (c->cached_dirty) {
        c->cached_dirty--;
    }
}

void ram_cost_other_page(RamCost *c, uint64_t bytes)
{
    note_page(&c->other, bytes);
}

static void update_mean(RamCostClass *class)
{
    uint64_t weight = MIN(class->pass_pages, MEAN_PAGES), mean;

    if (weight == 0) {
        return;
    }
    mean = (class->pass_bytes + class->pass_pages - 1) / class->pass_pages;
    class->page_bytes = (mean * weight + class->page_bytes * (MEAN_PAGES - weight) +
                         MEAN_PAGES - 1) / MEAN_PAGES;
    class->pass_pages = class->pass_bytes = 0;
}

/*
 * Memory that was cleared is about to be used: a page that was zero in the
 * last pass need not be so in the next. The mean rises at once and falls by
 * half.
 */
static void update_other_mean(RamCostClass *class)
{
    uint64_t before = class->page_bytes;

    update_mean(class);
    class->page_bytes = MAX(class->page_bytes, (before + class->page_bytes + 1) / 2);
}

typedef struct CountCached {
    const RamDirty *dirty;
    uint64_t n;
} CountCached;

static void count_if_dirty(void *opaque, uint64_t addr)
{
    CountCached *count = opaque;

    for (size_t i = 0; i < count->dirty->blocks; i++) {
        const RAMBlock *block = ram_list_get(count->dirty->ram, i);

        if (addr - block->ram_offset < block->used_length) {
            count->n += ram_dirty_test(count->dirty, i,
                                       (addr - block->ram_offset) >> TARGET_PAGE_BITS);
            return;
        }
    }
}

static uint64_t count_dirty_in_cache(const RamDirty *d, const PageCache *cache)
{
    CountCached count = { .dirty = d };

    page_cache_foreach(cache, count_if_dirty, &count);
    return count.n;
}

static uint64_t count_cached_in_dirty(const RamDirty *d, const PageCache *cache)
{
    uint64_t n = 0;

    for (size_t i = 0; i < d->blocks; i++) {
        const RAMBlock *block = ram_list_get(d->ram, i);
        uint64_t pages = ram_block_pages(block);

        for (uint64_t p = ram_dirty_find(d, i, 0); p < pages; p = ram_dirty_find(d, i, p + 1)) {
            n += page_cache_contains(cache, block->ram_offset + (p << TARGET_PAGE_BITS));
        }
    }
    return n;
}

void ram_cost_sync(RamCost *c, const RamDirty *dirty, const PageCache *cache)
{
    update_mean(&c->cached);
    update_other_mean(&c->other);
    if (!cache || page_cache_count(cache) == 0) {
        c->cached_dirty = 0;
    } else if (dirty->count < page_cache_count(cache)) {
        c->cached_dirty = count_cached_in_dirty(dirty, cache);
    } else {
        c->cached_dirty = count_dirty_in_cache(dirty, cache);
    }
}

uint64_t ram_cost_pending(const RamCost *c, const RamDirty *dirty)
{
    uint64_t cached = MIN(c->cached_dirty, dirty->count);

    return cached * c->cached.page_bytes + (dirty->count - cached) * c->other.page_bytes;
}
