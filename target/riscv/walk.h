/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page-table walk, for mmu.c: hart thread, or a monitor that only looks. */
#ifndef TARGET_RISCV_WALK_H
#define TARGET_RISCV_WALK_H

#include "target/riscv/cpu.h"

typedef struct Walk {
    uint64_t pa;
    unsigned prot;          /* PMP_R/W/X that the page table grants now (W only if D is set) */
    uint64_t page_size;
    const MemoryRegion *missing;    /* with EXC_MISSING: a page of this one, pa is in it */
} Walk;

static inline uint32_t access_fault(MemAccess access)
{
    return access == ACCESS_LOAD    ? EXC_LOAD_ACCESS
           : access == ACCESS_STORE ? EXC_STORE_ACCESS : EXC_INST_ACCESS;
}

/** The PMP_* right that this access needs. */
static inline unsigned access_need(MemAccess access)
{
    return access == ACCESS_LOAD ? PMP_R : access == ACCESS_STORE ? PMP_W : PMP_X;
}

/** The privilege of a MODE_*. */
static inline int mode_priv(unsigned mode)
{
    mode &= ~MODE_MXR;
    return mode == MODE_U ? PRV_U : mode == MODE_M ? PRV_M : PRV_S;
}

/** The region that holds pa, or NULL; the last one with RAM is remembered. */
const MemoryRegion *riscv_find_region(RISCVCPU *cpu, uint64_t pa);

/**
 * False: the page of pa has not come. What is not RAM is here. use: the guest does, it is not just a
 * monitor's look.
 */
static inline bool page_here(const RISCVCPU *cpu, const MemoryRegion *region, uint64_t pa, bool use)
{
    PresentMap *map = cpu->machine->present;

    if (G_LIKELY(!present_map_active(map)) || !region || !region->block) {
        return true;
    }
    uint64_t page = (pa - region->base) >> TARGET_PAGE_BITS;

    return use ? present_map_use(map, region->block, page)
               : present_map_here(map, region->block, page);
}

/** 0, or the exception cause; EXC_MISSING says in out what has not come. side_effects: sets A and D. */
uint32_t riscv_walk(RISCVCPU *cpu, uint64_t va, MemAccess access, unsigned mode, bool side_effects,
                    Walk *out);

#endif
