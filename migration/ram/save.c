/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's RAM: the ram section's START, PART and END payloads. Called by
 * migration/source/outgoing on the migration thread; the story of one page reads
 * from save_next_page downward (that is: upward in this file).
 *
 *   dirty log -> dirty (what is left) -> walk (which next) -> classify (as what) -> here
 *                                              here -> page out: stream-out or mapped/mapped-save
 *
 * A page out may still point into the page cache: who changes that settles
 * it first (cache_prepare). Nothing here takes a lock; another thread hands
 * in a new cache through one atomic pointer and never waits.
 */
#include "migration/ram.h"

#include "migration/mapped/mapped-save.h"
#include "migration/ram/classify.h"
#include "migration/ram/cost.h"
#include "migration/ram/dirty.h"
#include "migration/ram/holes.h"
#include "migration/ram/counters.h"
#include "migration/ram/stream-out.h"
#include "migration/ram/walk.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define ITERATE_MS 50
#define CLOCK_EVERY_PAGES 64

static RamPageOutNew *const page_out_new[] = {
    [RAM_LAYOUT_STREAM] = stream_out_new,
    [RAM_LAYOUT_MAPPED] = mapped_save_new,
    [RAM_LAYOUT_FIXED] = mapped_save_new,
};

struct RamSaver {
    /* set once */
    RAMList *ram;
    RamSaveOptions opt;
    /* migration thread only */
    RamDirty *dirty;
    RamWalk walk;
    RamClassifier *classifier;
    RamCost cost;
    RamHoles *holes;
    RamPageOut *out;                /* from setup on */
    bool last_stage;
    uint64_t settled_in_pass;
    /* any thread, atomically */
    PageCache *wanted_cache;        /* handed in by ram_saver_set_cache_size */
    RamCounters counters;           /* written by the migration thread only */
};

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static uint64_t pass(const RamSaver *s)
{
    return s->counters.now.dirty_sync_count;
}

/* ---- one page: what it cost ---- */

static void trace_cache_use(const RamPage *page, const RAMBlock *block, uint64_t offset)
{
    if (page->cache == RAM_CACHE_MISS) {
        trace_save_xbzrle_cache_miss(block->idstr, offset);
    } else if (page->overflow) {
        trace_save_xbzrle_page_overflow();
    } else if (page->kind == RAM_PAGE_UNMODIFIED) {
        trace_save_xbzrle_page_skipping();
    }
}

static void count_cache_use(RamSaver *s, const RamPage *page)
{
    RamStats *stats = &s->counters.now;

    if (page->cache == RAM_CACHE_MISS) {
        ram_counter_add(&stats->xbzrle_cache_miss, 1);
    } else if (page->cache == RAM_CACHE_HIT) {
        ram_counter_add(&stats->xbzrle_pages, 1);
        ram_counter_add(&stats->xbzrle_unmodified, page->kind == RAM_PAGE_UNMODIFIED);
        ram_counter_add(&stats->xbzrle_overflow, page->overflow);
        ram_counter_add(&stats->xbzrle_bytes, page->overflow ? STREAM_PAGE_SIZE : 0);
    }
}

static void note_cost(RamSaver *s, const RamPage *page, uint64_t bytes)
{
    if (page->cache == RAM_CACHE_HIT) {
        ram_cost_cached_page(&s->cost, bytes);
    } else if (s->walk.rounds > 0) {
        ram_cost_other_page(&s->cost, bytes);
    }
}

/* bytes: what the page out took for it; the address word of a delta is not counted as XBZRLE's. */
static void count_page(RamSaver *s, const RamPage *page, uint64_t bytes)
{
    RamStats *stats = &s->counters.now;

    switch (page->kind) {
    case RAM_PAGE_ZERO:
        ram_counter_add(&stats->duplicate_pages, 1);
        break;
    case RAM_PAGE_NORMAL:
        ram_counter_add(&stats->normal_pages, 1);
        break;
    case RAM_PAGE_DELTA:
        ram_counter_add(&stats->xbzrle_bytes, bytes - sizeof(uint64_t));
        break;
    case RAM_PAGE_UNMODIFIED:
        return;
    }
    ram_counter_add(&stats->transferred_bytes, bytes);
    s->counters.handled_pages++;
}

static bool put_page(RamSaver *s, StreamWriter *w, size_t index, uint64_t number,
                     const RamPage *page, GError **errp)
{
    uint64_t bytes = 0;

    if (page->kind != RAM_PAGE_UNMODIFIED &&
        !s->out->ops->page(s->out, w, index, number, page, &bytes, errp)) {
        return false;
    }
    count_page(s, page, bytes);
    count_cache_use(s, page);
    trace_cache_use(page, ram_list_get(s->ram, index), number << TARGET_PAGE_BITS);
    note_cost(s, page, bytes);
    return true;
}

/* ---- one page: from the bitmap to the record ---- */

static RamStage stage(const RamSaver *s)
{
    if (s->walk.rounds == 0 && s->opt.bulk_rule) {
        return RAM_STAGE_BULK;
    }
    return s->last_stage ? RAM_STAGE_LAST : RAM_STAGE_DELTA;
}

/*
 * Within one pass no page is sent twice and no entry is replaced that was
 * used in it, so queued cache memory stays as it is until the next pass. In
 * the last stage the guest stands still: moving the cache would be downtime
 * for nothing, a size that comes then is never taken.
 */
static bool cache_prepare(RamSaver *s, StreamWriter *w, GError **errp)
{
    PageCache *wanted = NULL;

    if (!s->last_stage) {
        wanted = __atomic_exchange_n(&s->wanted_cache, NULL, __ATOMIC_ACQUIRE);
    }
    if ((wanted || s->settled_in_pass != pass(s)) && !s->out->ops->settle(s->out, w, errp)) {
        page_cache_free(wanted);
        return false;
    }
    s->settled_in_pass = pass(s);
    if (wanted) {
        trace_migration_pagecache_resize(page_cache_capacity(wanted));
        ram_classifier_set_cache(s->classifier, wanted);
    }
    return true;
}

/*
 * Where to read a page. Past the first round only pages that somebody wrote
 * to are dirty, so there is no hole among them; and the question would cost
 * a walk over all memory in use for each fetch of the log, also while the
 * guest stands still (9 ms for 400 MiB).
 */
static const uint8_t *page_memory(RamSaver *s, const RAMBlock *block, size_t index, uint64_t number)
{
    return s->walk.rounds == 0 ? ram_holes_page(s->holes, index, number)
                               : block->host + (number << TARGET_PAGE_BITS);
}

/* *found = false if nothing is dirty. */
static bool save_next_page(RamSaver *s, StreamWriter *w, bool *found, GError **errp)
{
    size_t index;
    uint64_t number;
    const RAMBlock *block;
    RamPage page;

    if (!cache_prepare(s, w, errp)) {
        return false;
    }
    *found = ram_walk_next(&s->walk, s->dirty, &index, &number);
    if (!*found) {
        return true;
    }
    block = ram_list_get(s->ram, index);
    ram_dirty_clear(s->dirty, index, number); /* before the page is read */
    ram_classify(s->classifier, block->ram_offset + (number << TARGET_PAGE_BITS),
                 page_memory(s, block, index, number), stage(s), pass(s), &page);
    ram_counter_set(&s->counters.now.remaining_pages, s->dirty->count);
    return put_page(s, w, index, number, &page, errp);
}

/* ---- START ---- */

static bool put_block(RamSaver *s, StreamWriter *w, size_t index, GError **errp)
{
    const RAMBlock *block = ram_list_get(s->ram, index);

    stream_put_cstr(w, block->idstr);
    stream_put_be64(w, block->used_length);
    return s->out->ops->block(s->out, w, index, errp);
}

bool ram_save_setup(RamSaver *s, StreamWriter *w, GError **errp)
{
    s->out = page_out_new[s->opt.layout](s->ram, stream_writer_channel(w), s->opt.layout, errp);
    if (!s->out) {
        return false;
    }
    ram_counters_init(&s->counters, now_ms());
    ram_dirty_start(s->dirty);
    ram_save_sync(s);
    stream_put_be64(w, ram_list_total_bytes(s->ram) | RAM_FLAG_MEM_SIZE);
    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        if (!put_block(s, w, i, errp)) {
            return false;
        }
    }
    stream_put_be64(w, RAM_FLAG_EOS);
    return stream_writer_ok(w, errp);
}

/* ---- PART ---- */

/* All dirty target pages of a host page are sent together: is there one left of the last one's? */
static bool host_page_unfinished(const RamSaver *s)
{
    const RAMBlock *block = ram_list_get(s->ram, s->walk.block);
    uint64_t host_pages = block->page_size / TARGET_PAGE_SIZE, page = s->walk.page;

    if (page % host_pages == 0) {
        return false;
    }
    return ram_dirty_find(s->dirty, s->walk.block, page) < page - page % host_pages + host_pages;
}

bool ram_save_iterate(RamSaver *s, StreamWriter *w, RamBudgetExhausted *exhausted, void *opaque,
                      GError **errp)
{
    int64_t deadline = now_ms() + ITERATE_MS;
    uint64_t end_bytes = 0;
    unsigned pages = 0;
    bool found = true, late = false;

    ram_counters_window(&s->counters, now_ms());
    while (host_page_unfinished(s) || !(late || exhausted(opaque))) {
        if (!save_next_page(s, w, &found, errp)) {
            return false;
        }
        if (!found) {
            break;
        }
        if (++pages % CLOCK_EVERY_PAGES == 0) {
            late = now_ms() >= deadline;
        }
    }
    if (!s->out->ops->part_end(s->out, w, &end_bytes, errp)) {
        return false;
    }
    ram_counter_add(&s->counters.now.transferred_bytes, end_bytes);
    return true;
}

/* ---- END ---- */

bool ram_save_complete(RamSaver *s, StreamWriter *w, GError **errp)
{
    bool found = true;

    ram_save_last_sync(s);
    while (found) {
        if (!save_next_page(s, w, &found, errp)) {
            return false;
        }
    }
    /* Settles: the cache may be gone before the caller flushes. */
    return s->out->ops->finish(s->out, w, errp);
}

/* ---- between the passes ---- */

void ram_save_sync(RamSaver *s)
{
    int64_t start = g_get_monotonic_time();
    trace_migration_bitmap_sync_start();
    uint64_t added = ram_dirty_sync(s->dirty);
    trace_migration_bitmap_sync_end(added, s->dirty->count, g_get_monotonic_time() - start);

    ram_holes_forget(s->holes);
    ram_counters_sync(&s->counters, added, now_ms());
    ram_counter_set(&s->counters.now.remaining_pages, s->dirty->count);
    ram_cost_sync(&s->cost, s->dirty,
                  s->last_stage ? NULL : ram_classifier_cache(s->classifier));
    ram_counter_set(&s->counters.now.sync_pending_bytes, ram_cost_pending(&s->cost, s->dirty));
}

/* Nothing is estimated any more: what the cache holds is not counted. */
void ram_save_last_sync(RamSaver *s)
{
    if (!s->last_stage) {
        s->last_stage = true;
        ram_save_sync(s);
    }
}

uint64_t ram_save_pending(RamSaver *s, uint64_t *dirty_bytes)
{
    if (dirty_bytes) {
        *dirty_bytes = s->dirty->count * TARGET_PAGE_SIZE;
    }
    return ram_cost_pending(&s->cost, s->dirty);
}

bool ram_saver_set_cache_size(RamSaver *s, uint64_t bytes, GError **errp)
{
    PageCache *cache;

    if (!s->opt.xbzrle) {
        return true;
    }
    cache = page_cache_new(bytes, errp);
    if (!cache) {
        return false;
    }
    /* A size that nobody has picked up yet is replaced by this one. */
    page_cache_free(__atomic_exchange_n(&s->wanted_cache, cache, __ATOMIC_ACQ_REL));
    return true;
}

void ram_saver_get_stats(RamSaver *s, RamStats *out)
{
    ram_counters_read(&s->counters, out);
}

/* ---- life ---- */

RamSaver *ram_saver_new(RAMList *ram, DirtyLog *log, const RamSaveOptions *opt, GError **errp)
{
    RamDirty *dirty = ram_dirty_new(ram, log, errp);
    PageCache *cache = NULL;
    RamSaver *s;

    if (dirty && opt->xbzrle) {
        cache = page_cache_new(opt->xbzrle_cache_bytes, errp);
    }
    if (!dirty || (opt->xbzrle && !cache)) {
        ram_dirty_free(dirty);
        return NULL;
    }
    s = g_new0(RamSaver, 1);
    s->ram = ram;
    s->opt = *opt;
    s->dirty = dirty;
    s->classifier = ram_classifier_new(cache, opt->detect_zero);
    ram_cost_init(&s->cost);
    s->holes = ram_holes_new(ram);
    return s;
}

void ram_saver_free(RamSaver *s)
{
    if (!s) {
        return;
    }
    if (s->out) {
        s->out->ops->free(s->out);
    }
    ram_classifier_free(s->classifier);
    ram_holes_free(s->holes);
    page_cache_free(s->wanted_cache);
    ram_dirty_free(s->dirty);
    g_free(s);
}
