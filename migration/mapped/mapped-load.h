/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading side of the mapped layouts, eager: all pages at once. Incoming thread only. */
#ifndef MIGRATION_MAPPED_MAPPED_LOAD_H
#define MIGRATION_MAPPED_MAPPED_LOAD_H

#include <stdbool.h>
#include "migration/ram/fresh.h"
#include "migration/stream.h"

/**
 * After name and used_length (which the caller has compared with the block):
 * header, bitmap and pages of block `index` into its memory; pages that are
 * not in the file become zero. Leaves the stream behind the page region.
 * *pages: how many were read.
 */
bool mapped_load_block(const RAMBlock *block, StreamReader *r, RamLayout layout, RamFresh *fresh,
                       size_t index, uint64_t *pages, GError **errp);

#endif
