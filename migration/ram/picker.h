/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who picks: which page goes next. Owns what is left to send (dirty), the
 * order (walk) and, in postcopy, what was asked for out of turn. One thread,
 * the migration thread, however many encode.
 *
 * In postcopy the pages of a host page go one after the other, then what was
 * asked for comes before its neighbours (prefault), and those before the rest
 * (background).
 */
#ifndef MIGRATION_RAM_PICKER_H
#define MIGRATION_RAM_PICKER_H

#include "migration/ram.h"
#include "migration/ram/dirty.h"
#include "migration/ram/requests.h"

typedef struct RamPicker RamPicker;

typedef enum RamPickReason {
    RAM_PICK_BACKGROUND,    /* its turn */
    RAM_PICK_REQUESTED,     /* the destination waits for it */
    RAM_PICK_PREFAULT,      /* near one that was asked for */
} RamPickReason;

/** A page and what was true when it was picked. */
typedef struct RamPick {
    size_t block;           /* index in the RAM list */
    uint64_t page;          /* in the block */
    bool first_round;       /* the walk has not come round yet: nobody may ever have written to it */
    RamPickReason reason;
} RamPick;

/** NULL with errp if the bitmaps cannot be had. Starts nothing. */
RamPicker *ram_picker_new(RAMList *ram, DirtyLog *log, GError **errp);
/** As ram_dirty_leave_out_shared. */
void ram_picker_leave_out_shared(RamPicker *p);
/** Stops dirty logging if it runs. */
void ram_picker_free(RamPicker *p);

/** Starts dirty logging; every page is to be picked once. */
void ram_picker_start(RamPicker *p);
/** Before the start: what is fetched from the log, baseline learns, too. The caller's. */
void ram_picker_set_baseline(RamPicker *p, struct RamBaseline *baseline);
/** The same, but only what was written since the baseline is to be picked. */
void ram_picker_start_again(RamPicker *p);
/** True while there are pages that were never looked at. */
bool ram_picker_first_round(const RamPicker *p);
/** Fetches the log; returns how many pages that adds. */
uint64_t ram_picker_sync(RamPicker *p);
/**
 * The next page, or false if none is dirty (or, in postcopy, wanted now). Its bit is clear when
 * this returns, so that a write after it, while the page is read, brings it again.
 */
bool ram_picker_next(RamPicker *p, RamPick *pick);
/** All dirty target pages of a host page go together: is there one left of the last one's? */
bool ram_picker_host_page_begun(const RamPicker *p);
/** What is left, to be counted and estimated. */
const RamDirty *ram_picker_dirty(const RamPicker *p);

/* ---- postcopy ---- */

/** From now on host pages that are dirty in part are dirty as a whole, and what is asked for goes first. */
void ram_picker_postcopy(RamPicker *p);
void ram_picker_set_postcopy(RamPicker *p, const RamPostcopyOptions *opt);
/** Where requests are put. */
RamRequests *ram_picker_requests(RamPicker *p);
/** Is anything asked for, or to come with what was? */
bool ram_picker_is_asked(const RamPicker *p);
void ram_picker_count_duplicate(RamPicker *p);
/** How many requests asked for nothing that was still here. */
uint64_t ram_picker_duplicates(const RamPicker *p);
/** After a cut: forgets what was asked for and what was begun; pages without a bit in received are dirty. */
void ram_picker_restart(RamPicker *p, uint64_t *const *received);

#endif
