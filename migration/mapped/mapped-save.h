/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing side of the mapped layouts: each page at its own place in the
 * file, so the file is bounded by the guest's RAM however often a page is
 * written. Migration thread only; what it has noted several threads may write.
 */
#ifndef MIGRATION_MAPPED_MAPPED_SAVE_H
#define MIGRATION_MAPPED_MAPPED_SAVE_H

#include "migration/mapped/mapped-base.h"
#include "migration/ram/page-out.h"

/**
 * For RAM_LAYOUT_MAPPED and RAM_LAYOUT_FIXED. A NULL channel (memory stream)
 * is refused, as every target that cannot be written by position is.
 */
RamPageOut *mapped_save_new(RAMList *ram, Channel *channel, RamLayout layout, GError **errp);
/**
 * The same into a file that holds base already (migration-stream 6.10): the caller has put the stream at the
 * place that mapped_base_plan says, pages go to places that base does not use. base is the caller's, and stays
 * as it is.
 */
RamPageOut *mapped_save_new_again(RAMList *ram, Channel *channel, const MappedBase *base, GError **errp);
/** How many of the pages whose bit is in dirty (by block) have no place in the file yet that takes room. */
uint64_t mapped_save_unplaced(RamPageOut *out, uint64_t *const *dirty);
/** What the file holds, once finish has succeeded; takes it from out, which is good for nothing but free then. */
MappedBase *mapped_save_take_base(RamPageOut *out, GError **errp);
/** Before the first block: with checksums (migration-stream 6.8). False: no memory, no libxxhash. */
bool mapped_save_set_checksum(RamPageOut *out, GError **errp);
/** Before the first block: n threads write the pages, 1 to 255. False: they cannot be had. */
bool mapped_save_set_writers(RamPageOut *out, unsigned n, GError **errp);

#endif
