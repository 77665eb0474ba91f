/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's RAM: the ram section's START, PART and END payloads. Called by
 * migration/source/outgoing on the migration thread; the story of one page reads
 * from save_next_page downward (that is: upward in this file).
 *
 *   picker (which page next) -> encoder (as what) -> page out (where to); counters (what it cost)
 *
 * A page out may still point into the page cache: who changes that settles
 * it first (cache_prepare). Nothing here takes a lock; another thread hands
 * in a new cache through one atomic pointer and never waits.
 */
#include "migration/ram.h"

#include <unistd.h>

#include "migration/mapped/mapped-save.h"
#include "migration/ram/baseline.h"
#include "migration/ram/save-private.h"
#include "migration/ram/stream-out.h"
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

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static uint64_t pass(const RamSaver *s)
{
    return s->counters.now.dirty_sync_count;
}

static uint64_t pages_left(const RamSaver *s)
{
    return ram_picker_dirty(s->picker)->count;
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
        if (page->kind == RAM_PAGE_UNMODIFIED) {
            ram_counter_add(&stats->xbzrle_unmodified, 1);
        } else if (page->overflow) {
            ram_counter_add(&stats->xbzrle_overflow, 1);
            ram_counter_add(&stats->xbzrle_bytes, STREAM_PAGE_SIZE);
        }
    }
}

static void note_cost(RamSaver *s, const RamPick *pick, const RamPage *page, uint64_t bytes)
{
    if (page->cache == RAM_CACHE_HIT) {
        ram_cost_cached_page(&s->cost, bytes);
    } else if (!pick->first_round) {
        ram_cost_other_page(&s->cost, bytes);
    }
}

/* bytes: what the page out took for it; the address word of a delta is not counted as XBZRLE's. */
static void count_page(RamSaver *s, const RamPageOut *out, const RamPage *page, uint64_t bytes)
{
    RamStats *stats = &s->counters.now;

    if (out->ops->counts_pages && page->kind == RAM_PAGE_NORMAL) {
        return;
    }

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
    ram_counter_add(&s->counters.handled_pages, 1);
}

static void count_pick(RamSaver *s, const RamPick *pick, uint64_t bytes)
{
    uint64_t *const counters[] = {
        [RAM_PICK_BACKGROUND] = &s->counters.now.postcopy_background_pages,
        [RAM_PICK_REQUESTED] = &s->counters.now.postcopy_requested_pages,
        [RAM_PICK_PREFAULT] = &s->counters.now.postcopy_prefault_pages,
    };

    if (s->postcopy) {
        ram_counter_add(counters[pick->reason], 1);
        s->urgent_bytes += pick->reason == RAM_PICK_REQUESTED ? bytes : 0;
    }
}

static bool put_page(RamSaver *s, StreamWriter *w, const RamPick *pick, const RamPage *page,
                     GError **errp)
{
    RamPageOut *out = w == s->urgent ? s->urgent_out : s->out;
    uint64_t bytes = 0;

    if (page->kind != RAM_PAGE_UNMODIFIED &&
        !out->ops->page(out, w, pick->block, pick->page, page, &bytes, errp)) {
        return false;
    }
    count_page(s, out, page, bytes);
    count_cache_use(s, page);
    trace_cache_use(page, ram_list_get(s->ram, pick->block), pick->page << TARGET_PAGE_BITS);
    note_cost(s, pick, page, bytes);
    count_pick(s, pick, bytes);
    return true;
}

/* ---- one page: from the bitmap to the record ---- */

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
    if (wanted) {
        trace_migration_pagecache_resize(page_cache_capacity(wanted));
        ram_encoder_set_cache(s->encoder, wanted);
    }
    return true;
}

/* Before each page. */
static bool prepare(RamSaver *s, StreamWriter *w, GError **errp)
{
    if (!cache_prepare(s, w, errp) ||
        (s->settled_in_pass != pass(s) && !s->out->ops->begin_pass(s->out, w, errp))) {
        return false;
    }
    s->settled_in_pass = pass(s);
    return true;
}

/*
 * In postcopy somebody may wait for this page, or ask for one while it waits
 * here for company; pages of zeros are so short that they may.
 */
static bool send_at_once(RamSaver *s, StreamWriter *w, const RamPick *pick, const RamPage *page,
                         GError **errp)
{
    bool wait = !s->postcopy || ram_picker_host_page_begun(s->picker) ||
                (page->kind == RAM_PAGE_ZERO && pick->reason == RAM_PICK_BACKGROUND);

    return wait || stream_flush(w, errp);
}

/* For ram_save_release; neighbours become one range. True, to be one of a row. */
static bool note_sent(RamSaver *s, const RamPick *pick)
{
    RamRequest *last = s->sent && s->sent->len ? &g_array_index(s->sent, RamRequest,
                                                                s->sent->len - 1) : NULL;

    if (last && last->block == pick->block && last->page + last->count == pick->page) {
        last->count++;
    } else if (s->sent) {
        g_array_append_val(s->sent, ((RamRequest){ pick->block, pick->page, 1 }));
    }
    return true;
}

/* *found = false if nothing is dirty, or in postcopy wanted. */
static bool save_next_page(RamSaver *s, StreamWriter *w, bool *found, GError **errp)
{
    RamPick pick;
    RamPage page;

    if (!prepare(s, w, errp)) {
        return false;
    }
    *found = ram_picker_next(s->picker, &pick);
    if (!*found) {
        return true;
    }
    if (s->urgent && pick.reason == RAM_PICK_REQUESTED) {
        w = s->urgent;
    }
    ram_encoder_encode(s->encoder, &pick, pass(s), s->last_stage, &page);
    ram_counter_set(&s->counters.now.remaining_pages, pages_left(s));
    return put_page(s, w, &pick, &page, errp) && note_sent(s, &pick) &&
           send_at_once(s, w, &pick, &page, errp);
}

/* ---- START ---- */

static uint64_t host_page_size(void)
{
    return MAX((uint64_t)sysconf(_SC_PAGESIZE), TARGET_PAGE_SIZE);
}

static bool put_block(RamSaver *s, StreamWriter *w, size_t index, GError **errp)
{
    const RAMBlock *block = ram_list_get(s->ram, index);

    stream_put_cstr(w, block->idstr);
    stream_put_be64(w, block->used_length);
    if (s->opt.postcopy && block->page_size != host_page_size()) {
        stream_put_be64(w, block->page_size);
    }
    if (s->opt.ignore_shared) {
        stream_put_be64(w, block->guest_addr == UINT64_MAX ? 0 : block->guest_addr);
    }
    return s->out->ops->block(s->out, w, index, errp);
}

bool ram_save_setup(RamSaver *s, StreamWriter *w, GError **errp)
{
    if (!s->out && s->opt.again) {
        s->out = mapped_save_new_again(s->ram, stream_writer_channel(w), ram_baseline_base(s->opt.baseline),
                                       errp);
    } else if (!s->out) {
        s->out = page_out_new[s->opt.layout](s->ram, stream_writer_channel(w), s->opt.layout, errp);
    }
    if (!s->out || (s->opt.checksum && !mapped_save_set_checksum(s->out, errp)) ||
        (s->opt.file_writers && !mapped_save_set_writers(s->out, s->opt.file_writers, errp))) {
        return false;
    }
    s->out->counters = &s->counters;
    ram_counters_init(&s->counters, now_ms());
    ram_picker_set_baseline(s->picker, s->opt.baseline);
    (s->opt.again ? ram_picker_start_again : ram_picker_start)(s->picker);
    ram_save_sync(s);
    stream_put_be64(w, ram_list_total_bytes(s->ram) | RAM_FLAG_MEM_SIZE);
    for (size_t i = 0; i < ram_list_count(s->ram); i++) {
        if (!put_block(s, w, i, errp)) {
            return false;
        }
    }
    s->settled_in_pass = pass(s);
    return s->out->ops->setup_end(s->out, w, errp) && stream_writer_ok(w, errp);
}

void ram_saver_set_out(RamSaver *s, RamPageOut *out)
{
    g_assert(!s->out);
    s->out = out;
}

/* ---- PART ---- */

bool ram_save_iterate(RamSaver *s, StreamWriter *w, RamBudgetExhausted *exhausted, void *opaque,
                      GError **errp)
{
    int64_t deadline = now_ms() + ITERATE_MS;
    uint64_t end_bytes = 0;
    unsigned pages = 0;
    bool found = true, late = false;

    ram_counters_window(&s->counters, now_ms());
    while (ram_picker_host_page_begun(s->picker) || !(late || exhausted(opaque))) {
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
    ram_counter_set(&s->counters.now.postcopy_duplicates, ram_picker_duplicates(s->picker));
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

MappedBase *ram_save_take_base(RamSaver *s, GError **errp)
{
    return mapped_save_take_base(s->out, errp);
}

/* ---- between the passes ---- */

void ram_save_sync(RamSaver *s)
{
    int64_t start = g_get_monotonic_time();
    trace_migration_bitmap_sync_start();
    uint64_t added = ram_picker_sync(s->picker);
    trace_migration_bitmap_sync_end(added, pages_left(s), g_get_monotonic_time() - start);

    ram_encoder_sync(s->encoder);
    ram_counters_sync(&s->counters, added, now_ms());
    ram_counter_set(&s->counters.now.remaining_pages, pages_left(s));
    ram_cost_sync(&s->cost, ram_picker_dirty(s->picker),
                  s->last_stage ? NULL : ram_encoder_cache(s->encoder));
    ram_counter_set(&s->counters.now.sync_pending_bytes,
                    ram_cost_pending(&s->cost, ram_picker_dirty(s->picker)));
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
        *dirty_bytes = pages_left(s) * TARGET_PAGE_SIZE;
    }
    return ram_cost_pending(&s->cost, ram_picker_dirty(s->picker));
}

uint64_t ram_save_unplaced(RamSaver *s)
{
    if (ram_picker_first_round(s->picker) || !s->out) {
        return 0;
    }
    return mapped_save_unplaced(s->out, ram_picker_dirty(s->picker)->bitmaps) * TARGET_PAGE_SIZE;
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
    RamPicker *picker = ram_picker_new(ram, log, errp);
    PageCache *cache = NULL;
    RamSaver *s;

    if (picker && opt->xbzrle) {
        cache = page_cache_new(opt->xbzrle_cache_bytes, errp);
    }
    if (!picker || (opt->xbzrle && !cache)) {
        ram_picker_free(picker);
        return NULL;
    }
    s = g_new0(RamSaver, 1);
    s->ram = ram;
    s->opt = *opt;
    s->picker = picker;
    if (opt->ignore_shared) {
        ram_picker_leave_out_shared(picker);
    }
    s->encoder = ram_encoder_new(ram, cache, opt);
    ram_cost_init(&s->cost);
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
    ram_save_set_urgent(s, NULL);
    ram_encoder_free(s->encoder);
    page_cache_free(s->wanted_cache);
    ram_saver_free_received(s);
    if (s->sent) {
        g_array_free(s->sent, TRUE);
    }
    ram_picker_free(s->picker);
    g_free(s);
}
