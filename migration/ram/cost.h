/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dirty pages will cost on the wire. Two classes: a page that is
 * cached costs what such pages cost lately, and so does any other, which may
 * have turned out zero. Counting every page as a whole one never ends a
 * migration whose deltas fit the downtime many times over, or whose guest does
 * nothing but clear memory. Migration thread only.
 */
#ifndef MIGRATION_RAM_COST_H
#define MIGRATION_RAM_COST_H

#include "migration/ram/dirty.h"
#include "migration/ram/page-cache.h"

/** A PAGE record with CONTINUE. */
#define RAM_COST_WHOLE_PAGE (TARGET_PAGE_SIZE + 8)

/** Pages of one class. */
typedef struct RamCostClass {
    uint64_t page_bytes;        /* mean cost of one; whole until measured */
    uint64_t pass_pages, pass_bytes; /* handled since the last sync */
} RamCostClass;

typedef struct RamCost {
    uint64_t cached_dirty;      /* dirty pages that are cached: counted at a sync, then counted down */
    RamCostClass cached, other;
} RamCost;

void ram_cost_init(RamCost *c);
/** A cached page was handled at a cost of bytes (0: unmodified). */
void ram_cost_cached_page(RamCost *c, uint64_t bytes);
/**
 * A page that is not cached was handled. Not for the first round: what was
 * never written to says nothing about what is.
 */
void ram_cost_other_page(RamCost *c, uint64_t bytes);
/** After a sync: takes over the pass's means, counts the dirty pages that are cached (NULL: none). */
void ram_cost_sync(RamCost *c, const RamDirty *dirty, const PageCache *cache);
/** Bytes for all that is dirty now. */
uint64_t ram_cost_pending(const RamCost *c, const RamDirty *dirty);

#endif
