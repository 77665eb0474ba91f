/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The write guard: pages of guest RAM that somebody must see before they are
 * written (a snapshot of a running guest). Normally it is off (one relaxed
 * load, in slow paths only). While it is on, every writer of guest RAM - vCPU
 * stores and read-modify-writes, page-table A/D updates, DMA, ring indices, block
 * I/O into guest buffers, loader, monitor, qtest, balloon - calls
 * write_guard_before at the place where it marks the dirty log, but before its
 * first write. The hook then sees the page as it was; after it the page is open
 * and costs nothing more.
 *
 * vCPUs have fast write paths to open pages only. A host pointer to be written
 * through is handed out after the hook; devices keep none while they are
 * stopped. So the guard is switched on while the guest is paused.
 *
 * Not together with the present map: what comes in late is not written by the
 * guest.
 */
#ifndef SOFTMMU_WRITE_GUARD_H
#define SOFTMMU_WRITE_GUARD_H

#include "softmmu/ramblock.h"

typedef struct WriteGuard WriteGuard;   /* one in the Machine, as long as its RAM list */

/**
 * The page (block: index as in ram_list_get) is about to be written for the first time; its content
 * is as it was. Any thread, also under the BQL or inside guest code: copies it, must not wait, do
 * I/O or call the guard. The writer, and others that want the same page, wait until it returns.
 */
typedef void WriteGuardHook(void *opaque, size_t block, uint64_t page);

WriteGuard *write_guard_new(RAMList *ram);
/** Ends it first; nobody may use it any more. */
void write_guard_free(WriteGuard *guard);

/** Makes the bits of all blocks, all pages open. Errors: no memory, in use already. */
bool write_guard_begin(WriteGuard *guard, GError **errp);
/** count pages from first are guarded. Between begin and arm, one thread; the caller checks the range. */
void write_guard_add(WriteGuard *guard, size_t block, uint64_t first, uint64_t count);
/** The vCPUs are paused and have no cached write paths, the devices are stopped. */
void write_guard_arm(WriteGuard *guard, WriteGuardHook *before, void *opaque);
/** All pages are open, on return no hook is running or will be called. Any thread; nothing if not begun. */
void write_guard_end(WriteGuard *guard);

/** What a WriteGuard begins with: all that is looked at while the guard is off. */
typedef struct WriteGuardSwitch {
    bool active;            /* atomic */
} WriteGuardSwitch;

/** Armed. Cheap: one relaxed load. NULL: a machine without one, false. */
static inline bool write_guard_active(const WriteGuard *guard)
{
    return guard && __atomic_load_n(&((const WriteGuardSwitch *)guard)->active, __ATOMIC_RELAXED);
}

/** True if the page may be written without asking (always when off). Any thread. */
bool write_guard_open(const WriteGuard *guard, const RAMBlock *block, uint64_t page);
/** Calls the hook for each guarded page of [offset, offset + len), which is open then. Any thread. */
void write_guard_before(WriteGuard *guard, const RAMBlock *block, uint64_t offset, uint64_t len);
/**
 * Whoever guards the page has read it and needs no hook any more. True: nobody had begun to write it,
 * so what was read before is the page as it was. False: the hook was called. Any thread.
 */
bool write_guard_release(WriteGuard *guard, size_t block, uint64_t page);

#endif
