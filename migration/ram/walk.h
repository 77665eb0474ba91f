/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which page next (migration-stream 3.5): block list order, ascending
 * pages, on from where the last search stopped, round and round. Migration
 * thread only.
 */
#ifndef MIGRATION_RAM_WALK_H
#define MIGRATION_RAM_WALK_H

#include "migration/ram/dirty.h"

typedef struct RamWalk {
    size_t block;
    uint64_t page;      /* the search goes on here */
    uint64_t rounds;    /* wrap-arounds so far: 0 during the bulk stage */
} RamWalk;

/**
 * Finds the next dirty page and moves on past it; false (and no move) if
 * none is dirty. The caller clears its bit.
 */
bool ram_walk_next(RamWalk *walk, const RamDirty *dirty, size_t *block, uint64_t *page);

#endif
