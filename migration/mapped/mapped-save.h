/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing side of the mapped layouts: each page at its own place in the
 * file, so the file is bounded by the guest's RAM however often a page is
 * written. Migration thread only.
 */
#ifndef MIGRATION_MAPPED_MAPPED_SAVE_H
#define MIGRATION_MAPPED_MAPPED_SAVE_H

#include <stdbool.h>
#include "migration/channel.h"
#include "migration/stream.h"
#include "softmmu/ramblock.h"

typedef struct MappedSave MappedSave;

/**
 * channel may be NULL (memory stream): refused, as every target that cannot
 * be written by position is. fixed: the fixed-ram layout.
 */
MappedSave *mapped_save_new(RAMList *ram, Channel *channel, bool fixed, GError **errp);
void mapped_save_free(MappedSave *m);

/** After name and used_length: the header; leaves room for bitmap and pages and goes on behind. */
bool mapped_save_block(MappedSave *m, StreamWriter *w, size_t block, GError **errp);
/** Notes a page. Neighbours are written together: by the time it is, the guest may have changed it. */
bool mapped_save_page(MappedSave *m, size_t block, uint64_t page, bool zero, GError **errp);
/** Writes what is noted. At the end of each PART, so that a page is written in the pass it was sent in. */
bool mapped_save_flush(MappedSave *m, GError **errp);
/** Flush and bitmaps. Guest stopped. */
bool mapped_save_finish(MappedSave *m, GError **errp);

#endif
