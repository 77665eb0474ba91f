/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages are missing next, for whoever brings them in turn; which were needed. Reads the map's bits only. */
#include "softmmu/present-map.h"

/* First page >= from whose bit is not `set`, or end. */
static uint64_t find(const uint64_t *words, uint64_t from, uint64_t end, bool set)
{
    for (uint64_t w = from / 64; w * 64 < end; w++) {
        uint64_t bits = __atomic_load_n(&words[w], __ATOMIC_ACQUIRE);

        bits = set ? ~bits : bits;
        if (w == from / 64) {
            bits &= ~0ULL << (from % 64);
        }
        if (bits) {
            return MIN(w * 64 + (uint64_t)__builtin_ctzll(bits), end);
        }
    }
    return end;
}

static uint64_t next_run(const uint64_t *words, uint64_t pages, uint64_t from, uint64_t max,
                         uint64_t *first)
{
    *first = words && from < pages ? find(words, from, pages, false) : pages;
    return *first < pages ? find(words, *first, MIN(pages, *first + max), true) - *first : 0;
}

uint64_t present_map_missing_run(const RAMBlock *block, uint64_t from, uint64_t max,
                                 uint64_t *first)
{
    return next_run(__atomic_load_n(&block->missing, __ATOMIC_ACQUIRE), ram_block_pages(block), from, max,
                    first);
}

uint64_t present_map_needed_run(const RAMBlock *block, uint64_t from, uint64_t max, uint64_t *first)
{
    return next_run(__atomic_load_n(&block->asked, __ATOMIC_ACQUIRE), ram_block_pages(block), from, max,
                    first);
}
