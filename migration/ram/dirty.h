/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration's own dirty bitmaps: what is still to be sent. Filled from
 * the dirty log at each sync, emptied page by page. Migration thread only.
 */
#ifndef MIGRATION_RAM_DIRTY_H
#define MIGRATION_RAM_DIRTY_H

#include "softmmu/dirty-log.h"

typedef struct RamDirty {
    /* set once; block i is ram_list_get(ram, i) */
    RAMList *ram;
    DirtyLog *log;
    size_t blocks;
    uint64_t **bitmaps;
    /* changing */
    uint64_t count;         /* bits set in all bitmaps */
    bool leave_out_shared;  /* memory that the destination maps, too, is never dirty */
    bool logging;
} RamDirty;

/** NULL with errp if the bitmaps cannot be had. */
RamDirty *ram_dirty_new(RAMList *ram, DirtyLog *log, GError **errp);
/** Before the start: pages of shared blocks do not have to be sent (capability x-ignore-shared). */
void ram_dirty_leave_out_shared(RamDirty *d);
/** Stops logging if it runs. */
void ram_dirty_free(RamDirty *d);

/** Starts logging and marks every page: all of them have to be sent once. */
void ram_dirty_start(RamDirty *d);
/** Starts logging, and nothing is dirty. */
void ram_dirty_start_clean(RamDirty *d);
/** Nothing is dirty any more. */
void ram_dirty_forget(RamDirty *d);
/** What is dirty in other is, too; returns how many pages that adds. */
uint64_t ram_dirty_add(RamDirty *d, const RamDirty *other);
/** Takes over what was written since the last sync; returns how many pages that adds. */
uint64_t ram_dirty_sync(RamDirty *d);

/** First dirty page >= from in the block, or its number of pages. */
uint64_t ram_dirty_find(const RamDirty *d, size_t block, uint64_t from);
/** The same in [from, end) of the block, or end; looks at nothing behind it. */
uint64_t ram_dirty_find_in(const RamDirty *d, size_t block, uint64_t from, uint64_t end);
bool ram_dirty_test(const RamDirty *d, size_t block, uint64_t page);
/** The first dirty pages >= from in the block: [*first, *end); false if there are none. Words at a time. */
bool ram_dirty_range(const RamDirty *d, size_t block, uint64_t from, uint64_t *first, uint64_t *end);
/** The first pages >= from that are not dirty: [*first, *end); false if there are none. */
bool ram_dirty_clean_range(const RamDirty *d, size_t block, uint64_t from, uint64_t *first,
                           uint64_t *end);
/** Host pages larger than ours that are dirty in part become dirty as a whole. */
void ram_dirty_whole_host_pages(RamDirty *d);
/** Pages without a bit in received[block] (as ram_list_get, host byte order) become dirty. */
void ram_dirty_add_missing(RamDirty *d, uint64_t *const *received);
/** Before the page is read. It must be set. */
void ram_dirty_clear(RamDirty *d, size_t block, uint64_t page);

#endif
