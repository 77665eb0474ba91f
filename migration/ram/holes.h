/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that nobody has ever touched. Reading it through the mapping
 * would allocate it (backing files are shared memory): a zero page costs a
 * page fault and 4 KiB for ever. Asking the file for its holes costs neither.
 * Migration thread only.
 */
#ifndef MIGRATION_RAM_HOLES_H
#define MIGRATION_RAM_HOLES_H

#include "softmmu/ramblock.h"

typedef struct RamHoles RamHoles;

RamHoles *ram_holes_new(RAMList *ram);
void ram_holes_free(RamHoles *h);
/**
 * Forgets what is known: to be called after each fetch of the dirty log. What
 * is learned later stays true for this pass, because a write after the fetch
 * makes its page dirty for the next one.
 */
void ram_holes_forget(RamHoles *h);
/** Where to read the page: the guest's memory, or zero_page if it is in a hole. */
const uint8_t *ram_holes_page(RamHoles *h, size_t block, uint64_t page);

#endif
