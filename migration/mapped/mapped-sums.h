/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checksums of one RAM block in a mapped-ram or fixed-ram file (migration-stream 6.8): one per
 * page, and one over these, the bitmap and whose they are. In memory they are as in the file.
 */
#ifndef MIGRATION_MAPPED_MAPPED_SUMS_H
#define MIGRATION_MAPPED_MAPPED_SUMS_H

#include <stdbool.h>
#include "migration/stream/format.h"
#include "softmmu/ramblock.h"

typedef struct MappedSums MappedSums;

/** Where the table begins behind a bitmap. */
uint64_t mapped_sums_offset(uint64_t bitmap_end);
/** How long it is. */
uint64_t mapped_sums_bytes(uint64_t pages);

/** All 0; NULL with errp: no memory, or no libxxhash. */
MappedSums *mapped_sums_new(const RAMBlock *block, GError **errp);
/** The same; NULL with errp: no memory. */
MappedSums *mapped_sums_copy(const MappedSums *s, GError **errp);
void mapped_sums_free(MappedSums *s);

/* ---- writing ---- */

/** The page's content is this, TARGET_PAGE_SIZE bytes. Threads with different pages at once. */
void mapped_sums_note(MappedSums *s, uint64_t page, const void *content);
/** The page is not in the file. */
void mapped_sums_clear(MappedSums *s, uint64_t page);
/** All are noted: bitmap (as in the file) is covered too. */
void mapped_sums_seal(MappedSums *s, const void *bitmap, uint64_t bitmap_bytes);
/** mapped_sums_bytes of it, from the header on. */
const void *mapped_sums_data(const MappedSums *s);

/* ---- reading ---- */

/** mapped_sums_bytes, to be read into; all zero. */
void *mapped_sums_room(MappedSums *s);
/** What is there is a table at all: anything else is what a writer without checksums has left. */
bool mapped_sums_is_there(const void *header);
/** The table is for this block and bitmap, and whole. */
bool mapped_sums_check(const MappedSums *s, const void *bitmap, uint64_t bitmap_bytes, GError **errp);
/** These are pages first.. as they were saved. Any thread. */
bool mapped_sums_check_pages(const MappedSums *s, uint64_t first, uint64_t count, const void *content,
                             GError **errp);

#endif
