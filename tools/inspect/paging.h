/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual memory of a stopped hart, by its page tables in the stream's RAM. */
#ifndef INSPECT_PAGING_H
#define INSPECT_PAGING_H

#include "model.h"

typedef struct Mapping {
    uint64_t virt, phys, length;
} Mapping;

/** Where RAM is in guest-physical space: the block and the offset in it; NULL where there is none. */
const RamBlock *paging_find_ram(const Model *m, uint64_t phys, uint64_t *offset);
/**
 * What satp (Sv39, Sv48, Sv57; anything else gives nothing) maps to RAM of a known address, neighbours
 * joined. Tables that lead nowhere are left out, cyclic ones end after a budget. Needs the RAM's contents.
 */
GArray *paging_mappings(const Model *m, uint64_t satp);

#endif
