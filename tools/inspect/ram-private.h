/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files that read the section "ram" share: records (ram.c), pages with places (ram-places.c). */
#ifndef INSPECT_RAM_PRIVATE_H
#define INSPECT_RAM_PRIVATE_H

#include <string.h>
#include "ram.h"

/** A problem of this section: says which. Always false. */
bool ram_problem(RamReader *r, uint64_t at, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/** The input stops, or cannot be read, in the middle of what. Always false. */
bool ram_ends_early(RamReader *r, const char *what);
/** The page has come, as that. */
void ram_count_page(RamReader *r, RamBlock *b, uint64_t page, enum PageKind kind);
/** Header, bitmap and pages of one block, behind its name and length. */
bool ram_read_placed_block(RamReader *r, RamBlock *b);

static inline uint64_t ram_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return GUINT64_FROM_BE(v);
}

static inline uint32_t ram_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return GUINT32_FROM_BE(v);
}

static inline bool ram_bit_get(const uint64_t *map, uint64_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static inline void ram_bit_set(uint64_t *map, uint64_t i)
{
    map[i / 64] |= 1ULL << (i % 64);
}

#endif
