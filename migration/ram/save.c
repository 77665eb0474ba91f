/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's RAM: the ram section's START, PART and END payloads. Called by
 * migration/source/outgoing on the migration thread; the story of one page reads
 * from save_next_page downward (that is: upward in this file).
 *
 *   dirty log -> dirty (what is left) -> walk (which next) -> classify (as what) -> here -> stream
 *                                                                               \-> mapped/
 *
 * Page data is queued without a copy, from guest memory or from the page
 * cache. Guest memory may change before it is written out: then it is dirty
 * again. Cache memory must not: whoever changes it flushes first
 * (flush_cache_references). Nothing here takes a lock; another thread hands
 * in a new cache through one atomic pointer and never waits.
 */
#include "migration/ram.h"

#include "migration/mapped/mapped-save.h"
#include "migration/ram/classify.h"
#include "migration/ram/cost.h"
#include "migration/ram/dirty.h"
#include "migration/ram/holes.h"
#include "migration/ram/counters.h"
#include "migration/ram/walk.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define ITERATE_MS 50
#define CLOCK_EVERY_PAGES 64

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
    MappedSave *mapped;             /* NULL for the stream layout */
    const RAMBlock *sent_block;     /* of the last page record: CONTINUE means this one */
    bool last_stage;
    bool cache_referenced;          /* the writer still points into the page cache */
    uint64_t referenced_in_pass;
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

static void count_record(RamSaver *s, uint64_t bytes)
{
    ram_counter_add(&s->counters.now.transferred_bytes, bytes);
    s->counters.handled_pages++;
}

/* ---- one page: its record ---- */

/* Address word and, unless it is the last record's block, the block id; returns their bytes. */
static uint64_t put_page_header(RamSaver *s, StreamWriter *w, const RAMBlock *block,
                                uint64_t offset, uint64_t flag)
{
    uint64_t before = stream_writer_bytes(w);

    if (block == s->sent_block) {
        stream_put_be64(w, offset | flag | RAM_FLAG_CONTINUE);
    } else {
        stream_put_be64(w, offset | flag);
        stream_put_cstr(w, block->idstr);
        s->sent_block = block;
    }
    return stream_writer_bytes(w) - before;
}

static uint64_t put_zero_page(RamSaver *s, StreamWriter *w, const RAMBlock *block, uint64_t offset)
{
    uint64_t bytes = put_page_header(s, w, block, offset, RAM_FLAG_ZERO) + 1;

    trace_ram_save_zero_page(block->idstr, offset);
    stream_put_u8(w, 0);
    ram_counter_add(&s->counters.now.duplicate_pages, 1);
    return bytes;
}

static uint64_t put_normal_page(RamSaver *s, StreamWriter *w, const RAMBlock *block,
                                uint64_t offset, const RamPage *page)
{
    uint64_t bytes = put_page_header(s, w, block, offset, RAM_FLAG_PAGE) + page->len;

    trace_ram_save_page(block->idstr, offset, (void *)page->data);
    stream_put_buffer_nocopy(w, page->data, page->len);
    if (page->from_cache) {
        s->cache_referenced = true;
        s->referenced_in_pass = pass(s);
    }
    ram_counter_add(&s->counters.now.normal_pages, 1);
    return bytes;
}

static uint64_t put_delta_page(RamSaver *s, StreamWriter *w, const RAMBlock *block,
                               uint64_t offset, const RamPage *page)
{
    uint64_t bytes = put_page_header(s, w, block, offset, RAM_FLAG_XBZRLE) +
                     XBZRLE_FRAMING_BYTES + page->len;

    trace_save_xbzrle_page(block->idstr, offset, page->len);
    stream_put_u8(w, XBZRLE_ENCODING_FLAG);
    stream_put_be16(w, (uint16_t)page->len);
    stream_put_buffer(w, page->data, page->len);
    ram_counter_add(&s->counters.now.xbzrle_bytes, bytes - sizeof(uint64_t));
    return bytes;
}

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

static void put_page(RamSaver *s, StreamWriter *w, const RAMBlock *block, uint64_t offset,
                     const RamPage *page)
{
    uint64_t bytes = 0;

    switch (page->kind) {
    case RAM_PAGE_ZERO:
        bytes = put_zero_page(s, w, block, offset);
        break;
    case RAM_PAGE_NORMAL:
        bytes = put_normal_page(s, w, block, offset, page);
        break;
    case RAM_PAGE_DELTA:
        bytes = put_delta_page(s, w, block, offset, page);
        break;
    case RAM_PAGE_UNMODIFIED:
        break;
    }
    count_cache_use(s, page);
    trace_cache_use(page, block, offset);
    note_cost(s, page, bytes);
    if (bytes) {
        count_record(s, bytes);
    }
}

/* ---- one page: from the bitmap to the record ---- */

static RamStage stage(const RamSaver *s)
{
    if (s->walk.rounds == 0 && s->opt.bulk_rule) {
        return RAM_STAGE_BULK;
    }
    return s->last_stage ? RAM_STAGE_LAST : RAM_STAGE_DELTA;
}

/* Cache memory that is still queued goes out before it may change. */
static bool flush_cache_references(RamSaver *s, StreamWriter *w, GError **errp)
{
    if (s->cache_referenced && !stream_flush(w, errp)) {
        return false;
    }
    s->cache_referenced = false;
    return true;
}

/*
 * Within one pass no page is sent twice and no entry is replaced that was
 * used in it, so queued cache memory stays as it is until the next pass.
 */
static bool cache_prepare(RamSaver *s, StreamWriter *w, GError **errp)
{
    PageCache *wanted = __atomic_exchange_n(&s->wanted_cache, NULL, __ATOMIC_ACQUIRE);

    if ((wanted || s->referenced_in_pass != pass(s)) && !flush_cache_references(s, w, errp)) {
        page_cache_free(wanted);
        return false;
    }
    if (wanted) {
        trace_migration_pagecache_resize(page_cache_capacity(wanted));
        ram_classifier_set_cache(s->classifier, wanted);
    }
    return true;
}

static bool save_mapped_page(RamSaver *s, size_t index, uint64_t number, const RamPage *page,
                             GError **errp)
{
    bool zero = page->kind == RAM_PAGE_ZERO;

    if (!mapped_save_page(s->mapped, index, number, zero, errp)) {
        return false;
    }
    ram_counter_add(zero ? &s->counters.now.duplicate_pages : &s->counters.now.normal_pages, 1);
    note_cost(s, page, zero ? 0 : page->len);
    count_record(s, zero ? 0 : page->len);
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
    uint64_t number, offset;
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
    offset = number << TARGET_PAGE_BITS;
    ram_dirty_clear(s->dirty, index, number); /* before the page is read */
    ram_classify(s->classifier, block->ram_offset + offset, page_memory(s, block, index, number),
                 stage(s), pass(s), &page);
    ram_counter_set(&s->counters.now.remaining_pages, s->dirty->count);
    if (s->mapped) {
        return save_mapped_page(s, index, number, &page, errp);
    }
    put_page(s, w, block, offset, &page);
    return stream_writer_ok(w, errp);
}

/* ---- START ---- */

static bool put_block(RamSaver *s, StreamWriter *w, size_t index, GError **errp)
{
    const RAMBlock *block = ram_list_get(s->ram, index);

    stream_put_cstr(w, block->idstr);
    stream_put_be64(w, block->used_length);
    return !s->mapped || mapped_save_block(s->mapped, w, index, errp);
}

bool ram_save_setup(RamSaver *s, StreamWriter *w, GError **errp)
{
    if (s->opt.layout != RAM_LAYOUT_STREAM) {
        s->mapped = mapped_save_new(s->ram, stream_writer_channel(w),
                                    s->opt.layout == RAM_LAYOUT_FIXED, errp);
        if (!s->mapped) {
            return false;
        }
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

/* The founding document's layout has one EOS, at the end of START. */
static bool parts_have_eos(const RamSaver *s)
{
    return s->opt.layout != RAM_LAYOUT_FIXED;
}

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
                      bool *done, GError **errp)
{
    int64_t deadline = now_ms() + ITERATE_MS;
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
    if (s->mapped && !mapped_save_flush(s->mapped, errp)) {
        return false;
    }
    *done = s->dirty->count == 0;
    if (parts_have_eos(s)) {
        stream_put_be64(w, RAM_FLAG_EOS);
        ram_counter_add(&s->counters.now.transferred_bytes, sizeof(uint64_t));
    }
    return stream_writer_ok(w, errp);
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
    if (s->mapped && !mapped_save_finish(s->mapped, errp)) {
        return false;
    }
    if (parts_have_eos(s)) {
        stream_put_be64(w, RAM_FLAG_EOS);
    }
    /* The cache may be gone before the caller flushes. */
    return flush_cache_references(s, w, errp) && stream_writer_ok(w, errp);
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
    mapped_save_free(s->mapped);
    ram_classifier_free(s->classifier);
    ram_holes_free(s->holes);
    page_cache_free(s->wanted_cache);
    ram_dirty_free(s->dirty);
    g_free(s);
}
