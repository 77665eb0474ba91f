/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Physical memory protection: 16 entries, 4-byte granularity, 54 address
 * bits (addresses 2..55). Called by csr.c on writes and by mmu.c on checks.
 */
#include "target/riscv/cpu.h"

static unsigned mode_of(uint8_t cfg)
{
    return (cfg & PMP_A) >> 3;
}

/* Bounds of entry i, inclusive; lo > hi matches nothing. */
static void entry_range(RISCVCPU *cpu, unsigned i)
{
    uint64_t addr = cpu->pmpaddr[i];

    cpu->pmp_lo[i] = UINT64_MAX;
    cpu->pmp_hi[i] = 0;
    switch (mode_of(cpu->pmpcfg[i])) {
    case PMP_TOR:
        if (addr > (i ? cpu->pmpaddr[i - 1] : 0)) {
            cpu->pmp_lo[i] = i ? cpu->pmpaddr[i - 1] << 2 : 0;
            cpu->pmp_hi[i] = (addr << 2) - 1;
        }
        break;
    case PMP_NA4:
        cpu->pmp_lo[i] = addr << 2;
        cpu->pmp_hi[i] = (addr << 2) + 3;
        break;
    case PMP_NAPOT: {
        /* t trailing ones: 2^(t+3) bytes */
        uint64_t ones = addr ^ (addr + 1);

        cpu->pmp_lo[i] = (addr & ~ones) << 2;
        cpu->pmp_hi[i] = (addr | ones) << 2 | 3;
        break;
    }
    }
}

void riscv_pmp_recompute(RISCVCPU *cpu)
{
    cpu->pmp_active = 0;
    for (unsigned i = 0; i < PMP_ENTRIES; i++) {
        entry_range(cpu, i);
        if (mode_of(cpu->pmpcfg[i]) != PMP_OFF) {
            cpu->pmp_active = i + 1;
        }
    }
    riscv_tlb_flush(cpu);
}

static void write_cfg_byte(RISCVCPU *cpu, unsigned i, uint8_t value)
{
    if (cpu->pmpcfg[i] & PMP_L) {
        return;
    }
    cpu->pmpcfg[i] = value & (PMP_L | PMP_A | PMP_X | PMP_W | PMP_R);
}

void riscv_pmp_write_cfg(RISCVCPU *cpu, unsigned reg, uint64_t value)
{
    for (unsigned k = 0; k < 8; k++) {
        write_cfg_byte(cpu, reg * 4 + k, (uint8_t)(value >> (8 * k)));
    }
    riscv_pmp_recompute(cpu);
}

void riscv_pmp_write_addr(RISCVCPU *cpu, unsigned i, uint64_t value)
{
    bool next_locked_tor = i + 1 < PMP_ENTRIES && (cpu->pmpcfg[i + 1] & PMP_L) &&
                           mode_of(cpu->pmpcfg[i + 1]) == PMP_TOR;

    if ((cpu->pmpcfg[i] & PMP_L) || next_locked_tor) {
        return;
    }
    cpu->pmpaddr[i] = value & PMP_ADDR_MASK;
    riscv_pmp_recompute(cpu);
}

/* What entry i allows at this privilege: M is bound by locked entries only. */
static unsigned entry_perms(const RISCVCPU *cpu, unsigned i, int priv)
{
    if (priv == PRV_M && !(cpu->pmpcfg[i] & PMP_L)) {
        return PMP_R | PMP_W | PMP_X;
    }
    return cpu->pmpcfg[i] & (PMP_R | PMP_W | PMP_X);
}

static unsigned default_perms(const RISCVCPU *cpu, int priv)
{
    return priv == PRV_M || !cpu->model->pmp ? PMP_R | PMP_W | PMP_X : 0;
}

bool riscv_pmp_check(const RISCVCPU *cpu, uint64_t pa, unsigned size, int priv, unsigned need)
{
    uint64_t end = pa + size - 1;

    for (unsigned i = 0; i < cpu->pmp_active; i++) {
        if (cpu->pmp_lo[i] > cpu->pmp_hi[i] || end < cpu->pmp_lo[i] || pa > cpu->pmp_hi[i]) {
            continue;
        }
        if (pa < cpu->pmp_lo[i] || end > cpu->pmp_hi[i]) {
            return false;       /* matches some bytes only: fails whatever the permissions */
        }
        return (entry_perms(cpu, i, priv) & need) == need;
    }
    return (default_perms(cpu, priv) & need) == need;
}

unsigned riscv_pmp_page(const RISCVCPU *cpu, uint64_t page, int priv, bool *uniform)
{
    uint64_t end = page + TARGET_PAGE_SIZE - 1;

    *uniform = true;
    for (unsigned i = 0; i < cpu->pmp_active; i++) {
        if (cpu->pmp_lo[i] > cpu->pmp_hi[i] || end < cpu->pmp_lo[i] || page > cpu->pmp_hi[i]) {
            continue;
        }
        if (page < cpu->pmp_lo[i] || end > cpu->pmp_hi[i]) {
            *uniform = false;
            return 0;
        }
        return entry_perms(cpu, i, priv);
    }
    return default_perms(cpu, priv);
}
