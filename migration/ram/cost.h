/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the dirty pages will cost on the wire. Two classes: a page that is
 * cached costs what such pages cost lately, any other a whole page. Counting
 * every page as a whole one never ends a migration whose deltas fit the
 * downtime many times over. Migration thread only.
 */
#ifndef MIGRATION_RAM_COST_H
#define MIGRATION_RAM_COST_H

#include "migration/ram/dirty.h"
#include "migration/ram/page-cache.h"

/** A PAGE record with CONTINUE. */
#define RAM_COST_WHOLE_PAGE (TARGET_PAGE_SIZE + 8)

typedef struct RamCost {
    uint64_t cached_dirty;      /* dirty pages that are cached: counted at a sync, then counted down */
    uint64_t cached_page_bytes; /* mean cost of a cached page; whole until measured */
    uint64_t pass_pages, pass_bytes; /* cached pages handled since the last sync */
} RamCost;

void ram_cost_init(RamCost *c);
/** A cached page was handled at a cost of bytes (0: unmodified). */
void ram_cost_cached_page(RamCost *c, uint64_t bytes);
/** After a sync: takes over the pass's mean, counts the dirty pages that are cached (NULL: none). */
void ram_cost_sync(RamCost *c, const RamDirty *dirty, const PageCache *cache);
/** Bytes for all that is dirty now. */
uint64_t ram_cost_pending(const RamCost *c, const RamDirty *dirty);

#endif
