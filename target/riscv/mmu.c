/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address translation and the slow paths of memory access: PMP, software TLB,
 * MMIO; the page-table walk is in walk.c. Called by the hart's thread from the
 * interpreter when its inline TLB lookup misses.
 *
 * A write entry of the TLB lets stores bypass the dirty log and the write guard.
 * It is installed only for pages that nobody guards, while the log is off or the
 * page's bit is set; riscv_tlb_drop_writes (the barrier of dirty_log_sync) takes
 * them all away again. Slow stores mark the page in the same stretch of guest
 * code as they store, so that no safe point lies between the two.
 */
#include <inttypes.h>
#include "softmmu/guest-ram.h"
#include "target/riscv/walk.h"
#include "util/log.h"

typedef struct Target {
    uint64_t pa;
    uint8_t *host;          /* of the byte at pa; NULL: MMIO */
    const MemoryRegion *region;
    unsigned prot;          /* page table and PMP */
    bool whole_page;        /* prot holds for the whole page, all of it RAM of this region */
} Target;

unsigned riscv_data_mode(const RISCVCPU *cpu)
{
    unsigned priv = cpu->priv, mode;

    if ((cpu->mstatus & MSTATUS_MPRV) && priv == PRV_M) {
        priv = (cpu->mstatus & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT;
    }
    if (priv == PRV_M) {
        return MODE_M;
    }
    mode = priv == PRV_U ? MODE_U : cpu->mstatus & MSTATUS_SUM ? MODE_SUM : MODE_S;
    return mode | (cpu->mstatus & MSTATUS_MXR ? MODE_MXR : 0);
}

/* The hart will wait for the page of pa. */
static bool raise_missing(RISCVCPU *cpu, const MemoryRegion *region, uint64_t pa)
{
    cpu->missing_block = region->block;
    cpu->missing_page = (pa - region->base) >> TARGET_PAGE_BITS;
    return riscv_raise(cpu, EXC_MISSING, 0);
}

/* ---- TLB ---- */

void riscv_fetch_flush(RISCVCPU *cpu)
{
    for (unsigned p = 0; p < 4; p++) {
        cpu->gens[p] = ++cpu->gen_counter;
    }
    cpu->gen = cpu->gens[cpu->priv];
}

void riscv_tlb_flush(RISCVCPU *cpu)
{
    for (unsigned m = 0; m < CACHE_MODES; m++) {
        TLB *tlb = &cpu->tlbs[m];

        if (tlb->gen_r == TLB_GEN_MAX) {
            memset(tlb->e, 0, sizeof(tlb->e));
            tlb->gen_r = 0;
            tlb->gen_w = 0;
        }
        tlb->gen_r++;
    }
    for (unsigned half = 0; half < 2; half++) {
        cpu->super_lo[half] = UINT64_MAX;
        cpu->super_hi[half] = 0;
    }
    cpu->region = NULL;
    riscv_fetch_flush(cpu);
    riscv_tlb_drop_writes(cpu);
}

void riscv_tlb_drop_writes(RISCVCPU *cpu)
{
    for (unsigned m = 0; m < CACHE_MODES; m++) {
        TLB *tlb = &cpu->tlbs[m];

        if (tlb->gen_w == TLB_GEN_MAX) {
            for (unsigned i = 0; i < TLB_ENTRIES; i++) {
                tlb->e[i].tag_w = 0;
            }
            tlb->gen_w = 0;
        }
        tlb->gen_w++;
    }
}

void riscv_tlb_flush_page(RISCVCPU *cpu, uint64_t va)
{
    unsigned half = va >> 63;

    if (va >= cpu->super_lo[half] && va <= cpu->super_hi[half]) {
        riscv_tlb_flush(cpu);
        return;
    }
    for (unsigned m = 0; m < CACHE_MODES; m++) {
        TLBEntry *e = &cpu->tlbs[m].e[(va >> TARGET_PAGE_BITS) & (TLB_ENTRIES - 1)];

        e->tag_r = e->tag_w = e->tag_x = 0;
    }
    riscv_fetch_flush(cpu);
}

static void note_superpage(RISCVCPU *cpu, uint64_t va, uint64_t size)
{
    unsigned half = va >> 63;
    uint64_t lo = va & ~(size - 1);

    cpu->super_lo[half] = MIN(cpu->super_lo[half], lo);
    cpu->super_hi[half] = MAX(cpu->super_hi[half], lo + size - 1);
}

/* Stores may go unseen: nobody guards the page, and the log is off or has had it since the last sync. */
static bool write_path_allowed(RISCVCPU *cpu, const Target *t)
{
    uint64_t page = (t->pa - t->region->base) >> TARGET_PAGE_BITS;

    if (t->region->readonly ||
        (G_UNLIKELY(write_guard_active(cpu->machine->guard)) &&
         !write_guard_open(cpu->machine->guard, t->region->block, page))) {
        return false;
    }
    if (!dirty_log_enabled(cpu->machine->dirty)) {
        return true;
    }
    return t->region->block->dirty &&
           (__atomic_load_n(&t->region->block->dirty[page / 64], __ATOMIC_ACQUIRE) >> (page % 64)) &
               1;
}

static void tlb_install(RISCVCPU *cpu, uint64_t va, unsigned mode, const Target *t)
{
    TLB *tlb = &cpu->tlbs[mode];
    TLBEntry *e = &tlb->e[(va >> TARGET_PAGE_BITS) & (TLB_ENTRIES - 1)];
    uint64_t page = va & ~(TARGET_PAGE_SIZE - 1);

    e->tag_r = t->prot & PMP_R ? page | tlb->gen_r : 0;
    e->tag_x = t->prot & PMP_X ? page | tlb->gen_r : 0;
    e->tag_w = t->prot & PMP_W && write_path_allowed(cpu, t) ? page | tlb->gen_w : 0;
    e->addend = (uint64_t)(uintptr_t)t->host - va;
}

/* Translates [va, va+size) within one page. False: exception raised. */
static bool translate(RISCVCPU *cpu, uint64_t va, unsigned size, MemAccess access, unsigned mode,
                      Target *t)
{
    Walk w;
    uint32_t cause = riscv_walk(cpu, va, access, mode, true, &w);
    bool uniform;
    unsigned pmp;

    if (cause) {
        return cause == EXC_MISSING ? raise_missing(cpu, w.missing, w.pa)
                                    : riscv_raise(cpu, cause, va);
    }
    if (w.page_size > TARGET_PAGE_SIZE) {
        note_superpage(cpu, va, w.page_size);
    }
    pmp = riscv_pmp_page(cpu, w.pa & ~(TARGET_PAGE_SIZE - 1), mode_priv(mode), &uniform);
    if (uniform ? !(pmp & access_need(access))
                : !riscv_pmp_check(cpu, w.pa, size, mode_priv(mode), access_need(access))) {
        return riscv_raise(cpu, access_fault(access), va);
    }
    *t = (Target){.pa = w.pa, .region = riscv_find_region(cpu, w.pa), .prot = w.prot & pmp};
    if (!t->region) {
        memory_log_invalid(NULL, t->pa, size, access == ACCESS_STORE);
        return riscv_raise(cpu, access_fault(access), va);
    }
    if (!page_here(cpu, t->region, t->pa, true)) {
        return raise_missing(cpu, t->region, t->pa);
    }
    if (t->region->block) {
        t->host = t->region->block->host + (t->pa - t->region->base);
        t->whole_page = uniform;
    }
    return true;
}

/* ---- data access ---- */

static bool io_access(RISCVCPU *cpu, const Target *t, unsigned size, bool write, uint64_t *value)
{
    const MemoryRegion *r = t->region;
    uint64_t offset = t->pa - r->base;
    MemTxResult result;

    /* the device may use the host FPU, and waiting for the BQL is outside guest code */
    riscv_cpu_leave_guest(cpu);
    bql_lock(cpu->machine->loop);
    result = write ? r->ops->write(r->opaque, offset, size, *value)
                   : r->ops->read(r->opaque, offset, size, value);
    bql_unlock(cpu->machine->loop);
    riscv_cpu_enter_guest(cpu);
    return result == MEMTX_OK;
}

static bool io_load(RISCVCPU *cpu, uint64_t va, const Target *t, unsigned size, uint64_t *value)
{
    *value = 0;
    if ((t->pa & (size - 1)) || !io_access(cpu, t, size, false, value)) {
        memory_log_invalid(t->region, t->pa, size, false);
        return riscv_raise(cpu, EXC_LOAD_ACCESS, va);
    }
    if (size < 8) {
        *value &= (1ULL << (8 * size)) - 1;
    }
    return true;
}

static bool io_store(RISCVCPU *cpu, uint64_t va, const Target *t, unsigned size, uint64_t value)
{
    if ((t->pa & (size - 1)) || !io_access(cpu, t, size, true, &value)) {
        memory_log_invalid(t->region, t->pa, size, true);
        return riscv_raise(cpu, EXC_STORE_ACCESS, va);
    }
    return true;
}

static uint64_t ram_load(const uint8_t *host, unsigned size)
{
    uint64_t v = 0;

    switch (size) {
    case 1:
        return guest_ram_load(host);
    case 2:
        return guest_ram_load((const uint16_t *)host);
    case 4:
        return guest_ram_load((const uint32_t *)host);
    case 8:
        return guest_ram_load((const uint64_t *)host);
    }
    guest_ram_copy_from(&v, host, size); /* the part of an access that is in one page */
    return v;
}

static void ram_store(uint8_t *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        guest_ram_store(host, (uint8_t)value);
        break;
    case 2:
        guest_ram_store((uint16_t *)host, (uint16_t)value);
        break;
    case 4:
        guest_ram_store((uint32_t *)host, (uint32_t)value);
        break;
    case 8:
        guest_ram_store((uint64_t *)host, value);
        break;
    default:
        guest_ram_copy_to(host, &value, size);
    }
}

static bool load_from(RISCVCPU *cpu, uint64_t va, unsigned size, unsigned mode, const Target *t,
                      uint64_t *value)
{
    if (!t->host) {
        return io_load(cpu, va, t, size, value);
    }
    if (t->whole_page) {
        tlb_install(cpu, va, mode, t);
    }
    *value = ram_load(t->host, size);
    return true;
}

bool riscv_mem_load(RISCVCPU *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    unsigned first = TARGET_PAGE_SIZE - (va & (TARGET_PAGE_SIZE - 1));
    unsigned mode = riscv_data_mode(cpu);
    uint64_t low, high;
    Target t, t2;

    if (first >= size) {
        return translate(cpu, va, size, ACCESS_LOAD, mode, &t) &&
               load_from(cpu, va, size, mode, &t, value);
    }
    /* both pages must be here before a device behind either is read */
    if (!translate(cpu, va, first, ACCESS_LOAD, mode, &t) ||
        !translate(cpu, va + first, size - first, ACCESS_LOAD, mode, &t2) ||
        !load_from(cpu, va, first, mode, &t, &low) ||
        !load_from(cpu, va + first, size - first, mode, &t2, &high)) {
        return false;
    }
    *value = low | high << (8 * first);
    return true;
}

/* The page is open, and in the log. */
static void before_write(RISCVCPU *cpu, const Target *t, unsigned size)
{
    uint64_t offset = t->pa - t->region->base;

    if (G_UNLIKELY(write_guard_active(cpu->machine->guard))) {
        write_guard_before(cpu->machine->guard, t->region->block, offset, size);
    }
    dirty_log_mark(cpu->machine->dirty, t->region->block, offset, size);
}

static bool store_to(RISCVCPU *cpu, uint64_t va, unsigned size, uint64_t value, unsigned mode,
                     Target *t)
{
    if (!t->host) {
        return io_store(cpu, va, t, size, value);
    }
    if (t->region->readonly) {
        log_mask(LOG_UNIMP, "%s: write at offset 0x%" PRIx64 " is ignored: no programming\n",
                 t->region->name, t->pa - t->region->base);
        return true;            /* mask ROM and flash arrays ignore stores */
    }
    before_write(cpu, t, size);
    ram_store(t->host, size, value);
    if (t->whole_page) {
        tlb_install(cpu, va, mode, t);
    }
    return true;
}

bool riscv_mem_store(RISCVCPU *cpu, uint64_t va, unsigned size, uint64_t value)
{
    unsigned first = TARGET_PAGE_SIZE - (va & (TARGET_PAGE_SIZE - 1));
    unsigned mode = riscv_data_mode(cpu);
    Target t, t2;

    if (first >= size) {
        return translate(cpu, va, size, ACCESS_STORE, mode, &t) &&
               store_to(cpu, va, size, value, mode, &t);
    }
    /* both pages must be writable before either is written */
    return translate(cpu, va, first, ACCESS_STORE, mode, &t) &&
           translate(cpu, va + first, size - first, ACCESS_STORE, mode, &t2) &&
           store_to(cpu, va, first, value, mode, &t) &&
           store_to(cpu, va + first, size - first, value >> (8 * first), mode, &t2);
}

void *riscv_mem_rmw(RISCVCPU *cpu, uint64_t va, unsigned size, bool *fault)
{
    unsigned mode = riscv_data_mode(cpu);
    Target t;

    *fault = true;
    if (!translate(cpu, va, size, ACCESS_STORE, mode, &t)) {
        return NULL;
    }
    if (!t.host || t.region->readonly) {
        *fault = false;
        return NULL;
    }
    before_write(cpu, &t, size);
    if (t.whole_page) {
        tlb_install(cpu, va, mode, &t);
    }
    return t.host;
}

bool riscv_mem_fetch_page(RISCVCPU *cpu, uint64_t va, uint64_t *pa, const uint8_t **host,
                          bool *whole_page)
{
    unsigned mode = cpu->priv;      /* MODE_U, MODE_S and MODE_M equal the privileges */
    Target t;

    if (!translate(cpu, va, 2, ACCESS_FETCH, mode, &t)) {
        return false;
    }
    if (!t.host) {
        return riscv_raise(cpu, EXC_INST_ACCESS, va);
    }
    *pa = t.pa;
    *host = t.host;
    *whole_page = t.whole_page;
    return true;
}

bool riscv_mem_translate_debug(RISCVCPU *cpu, uint64_t va, uint64_t *pa, bool *missing)
{
    Walk w;
    unsigned mode = riscv_data_mode(cpu);
    uint32_t cause = 0;

    *missing = false;
    for (MemAccess a = ACCESS_LOAD; a <= ACCESS_FETCH; a++) {
        if (!(cause = riscv_walk(cpu, va, a, mode, false, &w)) ||
            (mode == MODE_S && !(cause = riscv_walk(cpu, va, a, MODE_SUM, false, &w)))) {
            *pa = w.pa;
            return true;
        }
        if (cause == EXC_MISSING) {
            *pa = w.pa;
            *missing = true;
            return false;
        }
    }
    return false;
}
