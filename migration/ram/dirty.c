/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration bitmaps over the dirty log. Called by ram/save and ram/walk;
 * never reads guest memory. A page's bit is cleared before its content is
 * read, so a write in between brings it again at the next sync.
 */
#include "migration/ram/dirty.h"

#include <string.h>
#include "util/error.h"

#define SCAN_WORDS 8        /* a cache line */

static size_t bitmap_words(const RamDirty *d, size_t block)
{
    return (ram_block_pages(ram_list_get(d->ram, block)) + 63) / 64;
}

RamDirty *ram_dirty_new(RAMList *ram, DirtyLog *log, GError **errp)
{
    RamDirty *d = g_new0(RamDirty, 1);

    d->ram = ram;
    d->log = log;
    d->blocks = ram_list_count(ram);
    d->bitmaps = g_new0(uint64_t *, d->blocks + 1);
    for (size_t i = 0; i < d->blocks; i++) {
        d->bitmaps[i] = g_try_new0(uint64_t, bitmap_words(d, i));
        if (!d->bitmaps[i]) {
            error_setg(errp, "cannot allocate the dirty bitmap of RAM block \"%s\"",
                       ram_list_get(ram, i)->idstr);
            ram_dirty_free(d);
            return NULL;
        }
    }
    return d;
}

void ram_dirty_free(RamDirty *d)
{
    if (!d) {
        return;
    }
    if (d->logging) {
        dirty_log_stop(d->log);
    }
    for (size_t i = 0; i < d->blocks; i++) {
        g_free(d->bitmaps[i]);
    }
    g_free(d->bitmaps);
    g_free(d);
}

void ram_dirty_leave_out_shared(RamDirty *d)
{
    d->leave_out_shared = true;
}

/* Returns how many pages that were. */
static uint64_t drop_shared(RamDirty *d)
{
    uint64_t dropped = 0;

    for (size_t i = 0; d->leave_out_shared && i < d->blocks; i++) {
        size_t words = ram_list_get(d->ram, i)->shared ? bitmap_words(d, i) : 0;

        for (size_t w = 0; w < words; w++) {
            dropped += (uint64_t)__builtin_popcountll(d->bitmaps[i][w]);
            d->bitmaps[i][w] = 0;
        }
    }
    d->count -= dropped;
    return dropped;
}

static void start_logging(RamDirty *d)
{
    if (!d->logging) {
        dirty_log_start(d->log);
        d->logging = true;
    }
}

void ram_dirty_forget(RamDirty *d)
{
    for (size_t i = 0; i < d->blocks; i++) {
        memset(d->bitmaps[i], 0, bitmap_words(d, i) * sizeof(uint64_t));
    }
    d->count = 0;
}

void ram_dirty_start_clean(RamDirty *d)
{
    start_logging(d);
    ram_dirty_forget(d);
}

uint64_t ram_dirty_add(RamDirty *d, const RamDirty *other)
{
    uint64_t added = 0;

    for (size_t i = 0; i < d->blocks; i++) {
        for (size_t w = 0; w < bitmap_words(d, i); w++) {
            uint64_t fresh = other->bitmaps[i][w] & ~d->bitmaps[i][w];

            d->bitmaps[i][w] |= fresh;
            added += (uint64_t)__builtin_popcountll(fresh);
        }
    }
    d->count += added;
    return added - drop_shared(d);
}

void ram_dirty_start(RamDirty *d)
{
    start_logging(d);
    d->count = 0;
    for (size_t i = 0; i < d->blocks; i++) {
        uint64_t pages = ram_block_pages(ram_list_get(d->ram, i));
        size_t words = bitmap_words(d, i);

        memset(d->bitmaps[i], 0xff, words * sizeof(uint64_t));
        if (pages % 64) {
            d->bitmaps[i][words - 1] = (1ULL << (pages % 64)) - 1;
        }
        d->count += pages;
    }
    drop_shared(d);
}

uint64_t ram_dirty_sync(RamDirty *d)
{
    uint64_t added = dirty_log_sync(d->log, d->bitmaps);

    d->count += added;
    return added - drop_shared(d);
}

/* The first word from w on that is not `same`, or end. Many at once: there may be millions. */
static size_t skip_words(const uint64_t *map, size_t w, size_t end, uint64_t same)
{
    for (; w + SCAN_WORDS <= end; w += SCAN_WORDS) {
        uint64_t differ = 0;

        for (int i = 0; i < SCAN_WORDS; i++) {
            differ |= map[w + i] ^ same;
        }
        if (differ) {
            break;
        }
    }
    while (w < end && map[w] == same) {
        w++;
    }
    return w;
}

/* The first page of [from, end) whose bit is not that of `same`, which is all ones or 0; or end. */
static uint64_t find_other(const uint64_t *map, uint64_t from, uint64_t end, uint64_t same)
{
    if (from >= end) {
        return end;
    }
    size_t w = from / 64, words = (end + 63) / 64;
    uint64_t bits = (map[w] ^ same) & ~0ULL << (from % 64);

    if (bits == 0) {
        w = skip_words(map, w + 1, words, same);
        if (w == words) {
            return end;
        }
        bits = map[w] ^ same;
    }
    return MIN(w * 64 + (uint64_t)__builtin_ctzll(bits), end);
}

uint64_t ram_dirty_find(const RamDirty *d, size_t block, uint64_t from)
{
    return ram_dirty_find_in(d, block, from, ram_block_pages(ram_list_get(d->ram, block)));
}

uint64_t ram_dirty_find_in(const RamDirty *d, size_t block, uint64_t from, uint64_t end)
{
    return find_other(d->bitmaps[block], from, end, 0);
}

/* The first page >= from that is not dirty, or the block's number of pages. */
static uint64_t find_clean(const RamDirty *d, size_t block, uint64_t from)
{
    return find_other(d->bitmaps[block], from, ram_block_pages(ram_list_get(d->ram, block)), ~0ULL);
}

bool ram_dirty_range(const RamDirty *d, size_t block, uint64_t from, uint64_t *first, uint64_t *end)
{
    uint64_t found = ram_dirty_find(d, block, from);

    if (found >= ram_block_pages(ram_list_get(d->ram, block))) {
        return false;
    }
    *first = found;
    *end = find_clean(d, block, found);
    return true;
}

bool ram_dirty_clean_range(const RamDirty *d, size_t block, uint64_t from, uint64_t *first,
                           uint64_t *end)
{
    uint64_t pages = ram_block_pages(ram_list_get(d->ram, block));

    *first = from < pages ? find_clean(d, block, from) : pages;
    *end = *first < pages ? ram_dirty_find(d, block, *first) : pages;
    return *first < pages;
}

static void set_range(RamDirty *d, size_t block, uint64_t first, uint64_t end)
{
    for (uint64_t page = first; page < end; page++) {
        uint64_t bit = 1ULL << (page % 64);
        d->count += !(d->bitmaps[block][page / 64] & bit);
        d->bitmaps[block][page / 64] |= bit;
    }
}

void ram_dirty_whole_host_pages(RamDirty *d)
{
    for (size_t i = 0; i < d->blocks; i++) {
        const RAMBlock *block = ram_list_get(d->ram, i);
        uint64_t n = block->page_size / TARGET_PAGE_SIZE, pages = ram_block_pages(block);

        for (uint64_t page = 0; n > 1 && (page = ram_dirty_find(d, i, page)) < pages;) {
            uint64_t first = page - page % n;
            page = MIN(first + n, pages);
            set_range(d, i, first, page);
        }
    }
}

void ram_dirty_add_missing(RamDirty *d, uint64_t *const *received)
{
    for (size_t i = 0; i < d->blocks; i++) {
        uint64_t pages = ram_block_pages(ram_list_get(d->ram, i));

        for (size_t w = 0; w < bitmap_words(d, i); w++) {
            uint64_t all = pages - w * 64 >= 64 ? ~0ULL : (1ULL << (pages % 64)) - 1;
            uint64_t missing = ~received[i][w] & all & ~d->bitmaps[i][w];

            d->bitmaps[i][w] |= missing;
            d->count += (uint64_t)__builtin_popcountll(missing);
        }
    }
}

bool ram_dirty_test(const RamDirty *d, size_t block, uint64_t page)
{
    return d->bitmaps[block][page / 64] >> (page % 64) & 1;
}

void ram_dirty_clear(RamDirty *d, size_t block, uint64_t page)
{
    g_assert(ram_dirty_test(d, block, page));
    d->bitmaps[block][page / 64] &= ~(1ULL << (page % 64));
    d->count--;
}
