/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page-table walk: Sv39, Sv48, Sv57 with hardware A and D updates. Called by mmu.c. */
#include "target/riscv/walk.h"

const MemoryRegion *riscv_find_region(RISCVCPU *cpu, uint64_t pa)
{
    const MemoryRegion *r = cpu->region;

    if (!r || pa - r->base >= r->size) {
        r = address_space_lookup(cpu->machine->as, pa);
        if (r && r->block) {
            cpu->region = r;
        }
    }
    return r;
}

static uint32_t page_fault(MemAccess access)
{
    return access == ACCESS_LOAD    ? EXC_LOAD_PAGE
           : access == ACCESS_STORE ? EXC_STORE_PAGE : EXC_INST_PAGE;
}

static uint32_t walk_missing(Walk *out, const MemoryRegion *region, uint64_t pa)
{
    out->pa = pa;
    out->missing = region;
    return EXC_MISSING;
}

static unsigned walk_levels(const RISCVCPU *cpu)
{
    switch (cpu->satp >> SATP_MODE_SHIFT) {
    case SATP_SV39:
        return 3;
    case SATP_SV48:
        return 4;
    case SATP_SV57:
        return 5;
    }
    return 0;
}

static bool canonical(uint64_t va, unsigned levels)
{
    unsigned bits = 12 + 9 * levels;

    return (uint64_t)((int64_t)(va << (64 - bits)) >> (64 - bits)) == va;
}

static bool leaf_allows(uint64_t pte, MemAccess access, unsigned mode)
{
    bool readable = (pte & PTE_R) || ((mode & MODE_MXR) && (pte & PTE_X));

    switch (access) {
    case ACCESS_LOAD:
        return readable;
    case ACCESS_STORE:
        return pte & PTE_W;
    default:
        return pte & PTE_X;
    }
}

static bool user_bit_allows(uint64_t pte, MemAccess access, unsigned mode)
{
    if (mode_priv(mode) == PRV_U) {
        return pte & PTE_U;
    }
    return !(pte & PTE_U) || (access != ACCESS_FETCH && (mode & ~MODE_MXR) == MODE_SUM);
}

/* 1 done, 0 the PTE changed under us, -1 fault. */
static int update_ad(RISCVCPU *cpu, const MemoryRegion *region, uint64_t pte_pa, uint64_t *pte,
                     MemAccess access, bool side_effects)
{
    uint64_t want = *pte | PTE_A | (access == ACCESS_STORE ? PTE_D : 0);
    const CPUModel *m = cpu->model;

    if (want == *pte || !side_effects) {
        return 1;
    }
    if (m->svade || (m->svadu && !(cpu->menvcfg & MENVCFG_ADUE))) {
        return -1;
    }
    if (region->readonly || !riscv_pmp_check(cpu, pte_pa, 8, PRV_S, PMP_W)) {
        return -1;
    }
    uint64_t *host = (uint64_t *)(region->block->host + (pte_pa - region->base));

    write_guard_before(cpu->machine->guard, region->block, pte_pa - region->base, 8);
    if (!__atomic_compare_exchange_n(host, pte, want, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        return 0;
    }
    dirty_log_mark(cpu->machine->dirty, region->block, pte_pa - region->base, 8);
    *pte = want;
    return 1;
}

static uint64_t leaf_size(unsigned level)
{
    return 1ULL << (12 + 9 * level);
}

static uint64_t leaf_pa(uint64_t va, uint64_t pte, unsigned level)
{
    uint64_t mask = leaf_size(level) - 1;

    return ((pte & PTE_PPN_MASK) >> PTE_PPN_SHIFT << 12 & ~mask) | (va & mask);
}

/* D must not be set for a store that has not happened: the page itself comes first. */
static bool target_missing(RISCVCPU *cpu, uint64_t pa, Walk *out)
{
    if (G_LIKELY(!present_map_active(cpu->machine->present))) {
        return false;
    }
    const MemoryRegion *region = riscv_find_region(cpu, pa);

    return !page_here(cpu, region, pa, true) && walk_missing(out, region, pa);
}

static uint32_t finish_leaf(RISCVCPU *cpu, uint64_t va, uint64_t pte, unsigned level,
                            MemAccess access, unsigned mode, Walk *out)
{
    out->pa = leaf_pa(va, pte, level);
    out->page_size = leaf_size(level);
    out->prot = 0;
    for (MemAccess a = ACCESS_LOAD; a <= ACCESS_FETCH; a++) {
        if (leaf_allows(pte, a, mode) && user_bit_allows(pte, a, mode) &&
            (a != ACCESS_STORE || (pte & PTE_D) || a == access)) {
            out->prot |= access_need(a);
        }
    }
    return 0;
}

uint32_t riscv_walk(RISCVCPU *cpu, uint64_t va, MemAccess access, unsigned mode, bool side_effects,
                    Walk *out)
{
    unsigned levels = mode_priv(mode) == PRV_M ? 0 : walk_levels(cpu);

    if (levels == 0) {
        *out = (Walk){.pa = va, .prot = PMP_R | PMP_W | PMP_X, .page_size = TARGET_PAGE_SIZE};
        return 0;
    }
    if (!canonical(va, levels)) {
        return page_fault(access);
    }
restart:;
    uint64_t table = (cpu->satp & SATP_PPN_MASK) << 12;

    for (int level = (int)levels - 1; level >= 0; level--) {
        uint64_t pte_pa = table + ((va >> (12 + 9 * level)) & 0x1ff) * 8;
        const MemoryRegion *region = riscv_find_region(cpu, pte_pa);

        if (!riscv_pmp_check(cpu, pte_pa, 8, PRV_S, PMP_R) || !region || !region->block) {
            return access_fault(access);
        }
        if (!page_here(cpu, region, pte_pa, side_effects)) {
            return walk_missing(out, region, pte_pa);
        }
        uint64_t pte = __atomic_load_n(
            (uint64_t *)(region->block->host + (pte_pa - region->base)), __ATOMIC_ACQUIRE);

        if (!(pte & PTE_V) || (pte & PTE_RESERVED)) {
            return page_fault(access);
        }
        if (!(pte & (PTE_R | PTE_W | PTE_X))) {
            if (pte & (PTE_D | PTE_A | PTE_U)) {
                return page_fault(access);
            }
            table = (pte & PTE_PPN_MASK) >> PTE_PPN_SHIFT << 12;
            continue;
        }
        if ((pte & (PTE_R | PTE_W)) == PTE_W || !user_bit_allows(pte, access, mode) ||
            !leaf_allows(pte, access, mode) ||
            ((pte & PTE_PPN_MASK) >> PTE_PPN_SHIFT & ((1ULL << (9 * level)) - 1))) {
            return page_fault(access);
        }
        if (side_effects && target_missing(cpu, leaf_pa(va, pte, level), out)) {
            return EXC_MISSING;
        }
        int done = update_ad(cpu, region, pte_pa, &pte, access, side_effects);

        if (done < 0) {
            return page_fault(access);
        }
        if (done == 0) {
            goto restart;
        }
        return finish_leaf(cpu, va, pte, level, access, mode, out);
    }
    return page_fault(access);
}
