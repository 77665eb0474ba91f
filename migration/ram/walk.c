/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order of pages. Called by ram/save; never clears a bit, never sends. */
#include "migration/ram/walk.h"

bool ram_walk_next(RamWalk *walk, const RamDirty *dirty, size_t *block, uint64_t *page)
{
    if (dirty->count == 0) {
        return false;
    }
    for (;;) {
        uint64_t found = ram_dirty_find(dirty, walk->block, walk->page);

        if (found < ram_block_pages(ram_list_get(dirty->ram, walk->block))) {
            *block = walk->block;
            *page = found;
            walk->page = found + 1;
            return true;
        }
        walk->page = 0;
        if (++walk->block == dirty->blocks) {
            walk->block = 0;
            walk->rounds++;
        }
    }
}
