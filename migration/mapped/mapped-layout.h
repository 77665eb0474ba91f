/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a RAM block's parts lie in a mapped-ram or fixed-ram file
 * (migration-stream 6.1, 6.2, 6.6). All positions are absolute.
 *
 *   ... name used_length | header | bitmap | [checksums] | hole | page 0 | page 1 | ... | next block
 *                        ^header  ^bitmap_offset                ^pages_offset (1 MiB)   ^end_offset
 */
#ifndef MIGRATION_MAPPED_MAPPED_LAYOUT_H
#define MIGRATION_MAPPED_MAPPED_LAYOUT_H

#include <stdbool.h>
#include "migration/stream.h"
#include "softmmu/ramblock.h"

typedef struct MappedRegion {
    uint64_t bitmap_offset, bitmap_bytes;
    uint64_t pages_offset;
    uint64_t end_offset;            /* where the stream goes on */
    /* of a file that was saved into again (6.10); 0: pages have one place */
    uint64_t second_offset, second_bitmap_offset;
} MappedRegion;

/** The writer's choice for a header that starts at header_offset; sums: with room for checksums (6.8). */
void mapped_region_place(MappedRegion *region, RamLayout layout, uint64_t header_offset,
                         const RAMBlock *block, bool sums);
/** The same where pages have two places already, in a file that is saved into again. */
void mapped_region_place_again(MappedRegion *region, uint64_t header_offset, const RAMBlock *block, bool sums,
                               uint64_t pages_offset, uint64_t second_offset);
void mapped_header_put(StreamWriter *w, RamLayout layout, const MappedRegion *region);

/**
 * Reads a header that starts at header_offset and checks it: version, page
 * size, bitmap size, alignment, and that all of it lies inside file_bytes.
 */
bool mapped_header_get(StreamReader *r, RamLayout layout, uint64_t header_offset,
                       uint64_t file_bytes, const RAMBlock *block, MappedRegion *region,
                       GError **errp);

/** "mapped-ram" or "fixed-ram", for messages. */
const char *mapped_layout_name(RamLayout layout);

#endif
