/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XBZRLE page cache (migration-stream 4.4): for some guest pages,
 * what the receiver has. Set-associative, LRU by pass, one arena, any size.
 * Knows addresses and bytes; nothing of the machine. One thread at a time.
 */
#ifndef MIGRATION_RAM_PAGE_CACHE_H
#define MIGRATION_RAM_PAGE_CACHE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_CACHE_PAGE_SIZE 4096

/** Addresses at or above this cannot be cached (inserts are refused). */
#define PAGE_CACHE_MAX_ADDR ((1ULL << 52) - PAGE_CACHE_PAGE_SIZE)

typedef struct PageCache PageCache;

/**
 * A cache that uses at most bytes of memory for pages and index together
 * (but always has room for one page). Memory is taken from the system as
 * pages are inserted. NULL with errp if the address space cannot be had.
 */
PageCache *page_cache_new(uint64_t bytes, GError **errp);
void page_cache_free(PageCache *cache);

/**
 * The cached content of the page at addr (4096 bytes, page aligned address),
 * marked as used in this pass; NULL if it is not cached. The pointer is good
 * until the entry is replaced, which cannot happen in this pass or the next.
 */
uint8_t *page_cache_lookup(PageCache *cache, uint64_t addr, uint64_t pass);

/** True if the page is cached; marks nothing. */
bool page_cache_contains(const PageCache *cache, uint64_t addr);

/**
 * Makes an entry for a page that is not cached and returns its 4096 bytes
 * for the caller to fill, or NULL if every candidate was used in this pass or
 * the one before (refused: the pages that are cached are worth more).
 */
uint8_t *page_cache_insert(PageCache *cache, uint64_t addr, uint64_t pass);

/**
 * Moves the entries of from into the empty cache to, the most recently used
 * first, until they find no place, and frees from. Its memory is given back
 * page by page on the way, so that both together do not grow.
 */
void page_cache_move(PageCache *to, PageCache *from);

/** Calls fn for each cached address. */
void page_cache_foreach(const PageCache *cache, void (*fn)(void *opaque, uint64_t addr),
                        void *opaque);

/** Pages that fit, pages in it, bytes of arena (pages and index). */
uint64_t page_cache_capacity(const PageCache *cache);
uint64_t page_cache_count(const PageCache *cache);
uint64_t page_cache_arena_bytes(const PageCache *cache);

/** Inserts since page_cache_new: refused, and those that replaced an older page. */
uint64_t page_cache_refused(const PageCache *cache);
uint64_t page_cache_evicted(const PageCache *cache);

#endif
