/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of the destination's RAM are known to be zero because nothing
 * was ever written to them: zero pages of the stream then cost no memory.
 * Made and freed by the incoming thread; parallel channels touch and zero
 * different pages at once.
 */
#ifndef MIGRATION_RAM_FRESH_H
#define MIGRATION_RAM_FRESH_H

#include "softmmu/ramblock.h"

typedef struct RamFresh RamFresh;

/** Asks the backing files for holes. Bitmaps of one bit per page; NULL with errp. */
RamFresh *ram_fresh_new(RAMList *ram, GError **errp);
void ram_fresh_free(RamFresh *f);

/** The page is about to be written. */
void ram_fresh_touch(RamFresh *f, size_t block, uint64_t page);
/** Makes count pages zero, without touching those that are; true if any was written. */
bool ram_fresh_zero(RamFresh *f, size_t block, uint64_t page, uint64_t count);

#endif
