/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical address space: RAM blocks and MMIO windows. Built once
 * while the machine is constructed, sealed, then read without locks.
 */
#ifndef SOFTMMU_MEMORY_H
#define SOFTMMU_MEMORY_H

#include "softmmu/dirty-log.h"
#include "softmmu/main-loop.h"
#include "softmmu/present-map.h"
#include "softmmu/ramblock.h"
#include "softmmu/write-guard.h"

/** MISSING: RAM that has not come yet (present-map.h) is needed; it was asked for, nothing was done. */
typedef enum MemTxResult { MEMTX_OK, MEMTX_ERROR, MEMTX_MISSING } MemTxResult;

/** MMIO callbacks. offset is relative to the window; size 1, 2, 4 or 8. Called under the BQL. */
typedef struct MemoryRegionOps {
    MemTxResult (*read)(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
    MemTxResult (*write)(void *opaque, uint64_t offset, unsigned size, uint64_t value);
} MemoryRegionOps;

typedef struct MemoryRegion {
    const char *name;
    uint64_t base, size;            /* guest-physical, bytes */
    RAMBlock *block;                /* RAM, or NULL for MMIO; host address = block->host + (addr - base) */
    bool readonly;                  /* guest stores ignored or faulting (mask ROM) */
    const MemoryRegionOps *ops;     /* MMIO */
    void *opaque;
} MemoryRegion;

typedef struct AddressSpace AddressSpace;

/** For -d guest_errors: nothing is there (region NULL), or the device refuses the access. Any thread. */
void memory_log_invalid(const MemoryRegion *region, uint64_t addr, unsigned size, bool is_write);

/** present, guard may be NULL (tests): all RAM is here, nobody guards it. */
AddressSpace *address_space_new(MainLoop *loop, DirtyLog *log, PresentMap *present,
                                WriteGuard *guard);
void address_space_free(AddressSpace *as);
/** Both: false with errp naming both regions if they overlap. */
bool address_space_add_ram(AddressSpace *as, const char *name, uint64_t base, RAMBlock *block,
                           GError **errp);
bool address_space_add_io(AddressSpace *as, const char *name, uint64_t base, uint64_t size,
                          const MemoryRegionOps *ops, void *opaque, GError **errp);

/** The region that holds addr, or NULL. Lock-free, any thread. */
const MemoryRegion *address_space_lookup(const AddressSpace *as, uint64_t addr);
/** Iteration for "info mtree": region i, or NULL past the end. */
const MemoryRegion *address_space_get(const AddressSpace *as, size_t i);

/** A page of RAM that has not come yet. */
typedef struct MemMissing {
    const RAMBlock *block;
    uint64_t page;          /* of the block: for present_map_wait */
    uint64_t addr;          /* where it begins, guest-physical */
} MemMissing;

/**
 * True if all RAM in [addr, addr + len) is here; what is no RAM does not count. If not, all missing
 * pages of it are asked for on behalf of user (PRESENT_USER_* or a vCPU), and *missing (may be NULL)
 * is the first. Any thread.
 */
bool address_space_need(AddressSpace *as, uint64_t addr, uint64_t len, int user, MemMissing *missing);

/** "Memory at 0x... has not come yet", what is done about it, what to do. */
void mem_missing_error(const MemMissing *missing, GError **errp);

/**
 * Copies len bytes from or to guest-physical memory (DMA, monitor, qtest):
 * RAM is marked dirty after a write; MMIO is split into naturally aligned
 * accesses of at most 8 bytes. Needs the BQL only if MMIO may be touched.
 * MEMTX_ERROR where nothing is mapped (what came before is done), MEMTX_MISSING before
 * anything is done.
 */
MemTxResult address_space_read(AddressSpace *as, uint64_t addr, void *buf, size_t len);
MemTxResult address_space_write(AddressSpace *as, uint64_t addr, const void *buf, size_t len);
/**
 * As write, but also into read-only RAM (loader: mask ROM), and into pages that have not come: what is
 * written is there before anybody sees them. Never MEMTX_MISSING.
 */
MemTxResult address_space_write_rom(AddressSpace *as, uint64_t addr, const void *buf, size_t len);

/**
 * Host pointer to RAM at addr, *len clipped to the block. NULL if it is not RAM, with write if it is
 * read-only, or if a page of it has not come: who can wait asks address_space_need first. A caller
 * that writes through it must call address_space_mark_dirty after; the write guard is asked for all
 * of *len before the pointer is given out.
 */
uint8_t *address_space_map_ram(AddressSpace *as, uint64_t addr, uint64_t *len, bool write);
/** True if [addr, addr + len) is RAM of one region, with write not a read-only one; here or not. */
bool address_space_is_ram(const AddressSpace *as, uint64_t addr, uint64_t len, bool write);
/**
 * Before a write past the address space (a hole is punched): the write guard is asked. The write comes
 * next, then address_space_mark_dirty.
 */
void address_space_before_write(AddressSpace *as, uint64_t addr, uint64_t len);
/**
 * Nobody wants the content of the page at addr any more: if it has not come yet (present-map.h) it need
 * not, it is all zero.
 */
void address_space_give_page_up(AddressSpace *as, uint64_t addr);
void address_space_mark_dirty(AddressSpace *as, uint64_t addr, uint64_t len);
/** Little-endian helpers of 2, 4, 8 bytes for rings. */
MemTxResult address_space_ldx(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value);
MemTxResult address_space_stx(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value);

#endif
