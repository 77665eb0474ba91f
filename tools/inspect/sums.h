/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checksums in mapped-ram and fixed-ram files (migration-stream 6.8). */
#ifndef INSPECT_SUMS_H
#define INSPECT_SUMS_H

#include "model.h"
#include "source.h"

/** How many bytes a table for so many pages has, and where it begins behind a bitmap. */
uint64_t sums_bytes(uint64_t pages);
uint64_t sums_offset(uint64_t bitmap_end);
/** Does a table begin here? */
bool sums_are_there(const uint8_t *at);
/** This program was built with libxxhash: else nothing below says anything but yes. */
bool sums_can_be_checked(void);
/** Is the table of b whole, and of this bitmap? NULL: yes; else what is wrong. */
const char *sums_check(const RamBlock *b, const uint8_t *table, const uint8_t *bitmap,
                       uint64_t bitmap_bytes);
/** Is the content what the table says of the page? */
bool sums_check_page(const uint8_t *table, uint64_t page, const uint8_t *content);
/** What the table says of a page with this content, as it is in the file. 0 without libxxhash. */
uint64_t sums_entry(const uint8_t *content);

/**
 * Making a table: begun with the block and its bitmap, then all entries in their order, a part at a
 * time. The end frees it and gives the table's head.
 */
#define SUMS_HEAD 32u
typedef struct SumsMaker SumsMaker;
SumsMaker *sums_begin(const RamBlock *b, const uint8_t *bitmap, uint64_t bitmap_bytes);
void sums_add(SumsMaker *s, const void *entries, size_t bytes);
void sums_end(SumsMaker *s, uint8_t head[SUMS_HEAD]);

#endif
