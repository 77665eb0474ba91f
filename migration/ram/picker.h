/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who picks: which page goes next. Owns what is left to send (dirty) and the
 * order (walk); whoever wants a page out of turn will ask here. One thread,
 * the migration thread, however many encode.
 */
#ifndef MIGRATION_RAM_PICKER_H
#define MIGRATION_RAM_PICKER_H

#include "migration/ram/dirty.h"

typedef struct RamPicker RamPicker;

/** A page and what was true when it was picked. */
typedef struct RamPick {
    size_t block;           /* index in the RAM list */
    uint64_t page;          /* in the block */
    bool first_round;       /* the walk has not come round yet: nobody may ever have written to it */
} RamPick;

/** NULL with errp if the bitmaps cannot be had. Starts nothing. */
RamPicker *ram_picker_new(RAMList *ram, DirtyLog *log, GError **errp);
/** As ram_dirty_leave_out_shared. */
void ram_picker_leave_out_shared(RamPicker *p);
/** Stops dirty logging if it runs. */
void ram_picker_free(RamPicker *p);

/** Starts dirty logging; every page is to be picked once. */
void ram_picker_start(RamPicker *p);
/** Fetches the log; returns how many pages that adds. */
uint64_t ram_picker_sync(RamPicker *p);
/**
 * The next page, or false if none is dirty. Its bit is clear when this
 * returns, so that a write after it, while the page is read, brings it again.
 */
bool ram_picker_next(RamPicker *p, RamPick *pick);
/** All dirty target pages of a host page go together: is there one left of the last one's? */
bool ram_picker_host_page_begun(const RamPicker *p);
/** What is left, to be counted and estimated. */
const RamDirty *ram_picker_dirty(const RamPicker *p);

#endif
