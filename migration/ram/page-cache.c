/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page cache. Called by ram/classify on the migration thread; never
 * copies page contents but when it moves to another size.
 *
 *   arena:  | page 0 | page 1 | ... | page n-1 | entry 0 | entry 1 | ... |
 *   entry:  63             24 23          0
 *           |  page number+1 |   pass     |      0 = empty
 *
 * Every address may live in two sets of 16 entries (12 to 24,
 * whatever leaves the fewest pages unused). The home set is
 * the page number modulo the number of sets, so that a contiguous buffer
 * spreads evenly; the second is a hash of it. An insert takes a free entry in
 * the emptier of the two (the home set if equal), which fills scattered
 * working sets to within a few per cent of the capacity, where a
 * direct-mapped cache of that size holds two thirds.
 *
 * Replacement is LRU by pass. What was used in this pass or the one before is
 * never replaced: guests write their working set round and round, and an LRU
 * that always makes room throws each page away just before it is needed.
 * Refusing keeps a share of capacity / working set of it.
 */
#include "migration/ram/page-cache.h"

#include <string.h>
#include <sys/mman.h>
#include "util/error.h"
#include "util/memory-room.h"

#define PAGE_SHIFT 12
#define WAYS_MIN 12
#define WAYS_USUAL 16
#define WAYS_MAX 24
#define PASS_BITS 24
#define PASS_MASK ((1ULL << PASS_BITS) - 1)
#define FRESH_PASSES 2

struct PageCache {
    uint8_t *pages;         /* the arena starts here */
    uint64_t *entries;
    size_t arena_bytes;
    uint64_t capacity;      /* sets * ways */
    uint64_t sets, ways;
    uint64_t count, refused, evicted;
    uint64_t single;        /* the entry of a cache of one page: its index is no page of its own */
};

static uint64_t round_up_page(uint64_t n)
{
    return (n + PAGE_CACHE_PAGE_SIZE - 1) & ~(uint64_t)(PAGE_CACHE_PAGE_SIZE - 1);
}

static uint64_t arena_size(uint64_t capacity)
{
    uint64_t index = capacity > 1 ? round_up_page(capacity * sizeof(uint64_t)) : 0;

    return capacity * PAGE_CACHE_PAGE_SIZE + index;
}

/* Most pages whose arena fits in bytes; at least one. */
static uint64_t pages_for(uint64_t bytes)
{
    uint64_t n = bytes / (PAGE_CACHE_PAGE_SIZE + sizeof(uint64_t));

    while (n > 1 && arena_size(n) > bytes) {
        n--;
    }
    return MAX(n, 1);
}

/* Equal sets, as many ways as leave the fewest of n pages unused. */
static uint64_t ways_for(uint64_t n)
{
    uint64_t best = MIN(n, WAYS_USUAL);

    for (uint64_t ways = WAYS_MIN; ways <= WAYS_MAX; ways++) {
        if (n % ways < n % best) {
            best = ways;
        }
    }
    return best;
}

PageCache *page_cache_new(uint64_t bytes, GError **errp)
{
    uint64_t pages = pages_for(bytes), ways = ways_for(pages), capacity = pages / ways * ways;
    PageCache *c;
    void *arena;

    if (bytes > PAGE_CACHE_MAX_ADDR) {
        error_setg(errp, "page cache of %" G_GUINT64_FORMAT " MiB is too large", bytes >> 20);
        return NULL;
    }
    arena = !memory_has_room(arena_size(capacity))
                ? MAP_FAILED : mmap(NULL, arena_size(capacity), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED) {
        error_setg_errno(errp, errno, "not enough memory for a page cache of %" G_GUINT64_FORMAT
                         " MiB: choose a smaller xbzrle-cache-size", bytes >> 20);
        return NULL;
    }
    c = g_new0(PageCache, 1);
    c->pages = arena;
    c->arena_bytes = arena_size(capacity);
    c->entries = capacity > 1 ? (uint64_t *)(c->pages + capacity * PAGE_CACHE_PAGE_SIZE)
                              : &c->single;
    c->capacity = capacity;
    c->ways = ways;
    c->sets = capacity / ways;
    return c;
}

void page_cache_free(PageCache *c)
{
    if (c) {
        munmap(c->pages, c->arena_bytes);
        g_free(c);
    }
}

/* A set is named by the index of its first entry. */
static uint64_t home_set(const PageCache *c, uint64_t page)
{
    return page % c->sets * c->ways;
}

static uint64_t second_set(const PageCache *c, uint64_t page)
{
    uint64_t hash = page * 0x9e3779b97f4a7c15ULL;

    return (((hash >> 32) * c->sets) >> 32) * c->ways;
}

static uint64_t entry_make(uint64_t page, uint64_t pass)
{
    return (page + 1) << PASS_BITS | (pass & PASS_MASK);
}

static uint64_t entry_age(uint64_t entry, uint64_t pass)
{
    return (pass - entry) & PASS_MASK;
}

static uint8_t *entry_data(const PageCache *c, uint64_t i)
{
    return c->pages + (i << PAGE_SHIFT);
}

static uint64_t *set_find(const PageCache *c, uint64_t set, uint64_t page)
{
    uint64_t *e = c->entries + set;

    for (uint64_t k = 0; k < c->ways; k++) {
        if (e[k] >> PASS_BITS == page + 1) {
            return e + k;
        }
    }
    return NULL;
}

/* The page's entry in one of its two sets, or NULL. */
static uint64_t *find_entry(const PageCache *c, uint64_t addr)
{
    uint64_t page = addr >> PAGE_SHIFT, *e;

    if (addr >= PAGE_CACHE_MAX_ADDR) {
        return NULL;
    }
    e = set_find(c, home_set(c, page), page);
    return e ? e : set_find(c, second_set(c, page), page);
}

bool page_cache_contains(const PageCache *c, uint64_t addr)
{
    return find_entry(c, addr) != NULL;
}

uint8_t *page_cache_lookup(PageCache *c, uint64_t addr, uint64_t pass)
{
    uint64_t *e = find_entry(c, addr);

    if (!e) {
        return NULL;
    }
    *e = entry_make(addr >> PAGE_SHIFT, pass);
    return entry_data(c, (uint64_t)(e - c->entries));
}

/* Number of free entries of a set; *first_free is one of them. Entries fill from the front. */
static uint64_t set_free(const PageCache *c, uint64_t set, uint64_t *first_free)
{
    for (uint64_t k = 0; k < c->ways; k++) {
        if (c->entries[set + k] == 0) {
            *first_free = set + k;
            return c->ways - k;
        }
    }
    return 0;
}

/* Index of a free entry in the emptier set, or UINT64_MAX. */
static uint64_t find_free(const PageCache *c, uint64_t home, uint64_t second)
{
    uint64_t at_home = 0, at_second = 0;
    uint64_t free_home = set_free(c, home, &at_home);
    uint64_t free_second = set_free(c, second, &at_second);

    if (!free_home && !free_second) {
        return UINT64_MAX;
    }
    return free_home >= free_second ? at_home : at_second;
}

/* The entry of the set that was not used for longest; *age is updated if it beats it. */
static uint64_t find_oldest(const PageCache *c, uint64_t set, uint64_t pass, uint64_t best,
                            uint64_t *age)
{
    for (uint64_t i = set; i < set + c->ways; i++) {
        uint64_t a = entry_age(c->entries[i], pass);

        if (a > *age) {
            *age = a;
            best = i;
        }
    }
    return best;
}

uint8_t *page_cache_insert(PageCache *c, uint64_t addr, uint64_t pass)
{
    uint64_t page = addr >> PAGE_SHIFT, i, age = FRESH_PASSES - 1;
    uint64_t home, second;

    if (addr >= PAGE_CACHE_MAX_ADDR) {
        c->refused++;
        return NULL;
    }
    home = home_set(c, page);
    second = second_set(c, page);
    i = find_free(c, home, second);
    if (i != UINT64_MAX) {
        c->count++;
    } else {
        i = find_oldest(c, home, pass, UINT64_MAX, &age);
        i = find_oldest(c, second, pass, i, &age);
        if (i == UINT64_MAX) {
            c->refused++;
            return NULL;
        }
        c->evicted++;
    }
    c->entries[i] = entry_make(page, pass);
    return entry_data(c, i);
}

/* Newest pass first. Passes are compared within the 24 bits that entries keep. */
static int compare_newest_first(const void *a, const void *b, void *opaque)
{
    const PageCache *c = opaque;
    uint64_t pa = c->entries[*(const uint64_t *)a] & PASS_MASK;
    uint64_t pb = c->entries[*(const uint64_t *)b] & PASS_MASK;

    return pa == pb ? 0 : ((pa - pb) & PASS_MASK) < PASS_MASK / 2 ? -1 : 1;
}

static void move_entry(PageCache *to, const PageCache *from, uint64_t i)
{
    uint64_t entry = from->entries[i], page = (entry >> PASS_BITS) - 1;
    uint64_t slot = find_free(to, home_set(to, page), second_set(to, page));

    if (slot != UINT64_MAX) {
        memcpy(entry_data(to, slot), entry_data(from, i), PAGE_CACHE_PAGE_SIZE);
        to->entries[slot] = entry;
        to->count++;
    }
    madvise(entry_data(from, i), PAGE_CACHE_PAGE_SIZE, MADV_DONTNEED);
}

void page_cache_move(PageCache *to, PageCache *from)
{
    GArray *used = g_array_sized_new(FALSE, FALSE, sizeof(uint64_t), (guint)from->count);

    g_assert(to->count == 0);
    for (uint64_t i = 0; i < from->capacity; i++) {
        if (from->entries[i]) {
            g_array_append_val(used, i);
        }
    }
    g_array_sort_with_data(used, compare_newest_first, from);
    for (guint k = 0; k < used->len; k++) {
        move_entry(to, from, g_array_index(used, uint64_t, k));
    }
    g_array_free(used, TRUE);
    page_cache_free(from);
}

void page_cache_foreach(const PageCache *c, void (*fn)(void *opaque, uint64_t addr), void *opaque)
{
    for (uint64_t i = 0; i < c->capacity; i++) {
        if (c->entries[i]) {
            fn(opaque, ((c->entries[i] >> PASS_BITS) - 1) << PAGE_SHIFT);
        }
    }
}

uint64_t page_cache_capacity(const PageCache *c)
{
    return c->capacity;
}

uint64_t page_cache_count(const PageCache *c)
{
    return c->count;
}

uint64_t page_cache_arena_bytes(const PageCache *c)
{
    return c->arena_bytes;
}

uint64_t page_cache_refused(const PageCache *c)
{
    return c->refused;
}

uint64_t page_cache_evicted(const PageCache *c)
{
    return c->evicted;
}
