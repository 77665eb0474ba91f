/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log: one bit per 4 KiB page and block, set by every writer of
 * guest RAM: vCPU stores (through the software TLB), page-table A/D updates,
 * device DMA, loader, monitor, qtest.
 *
 * Memory ordering. A vCPU's first store to a page after a sync takes the slow
 * path (target/riscv/mmu.c: riscv_mem_store), which marks the page, stores,
 * and leaves a fast write path behind: the stores after it skip the log. So a
 * sync does, in this order:
 *   1. exchange every dirty word with 0 and OR it into the caller's bitmap;
 *   2. raise the write epoch and wait until each vCPU has either passed a
 *      safe point, which is between two instructions (dropping its fast write
 *      path), or is outside guest code;
 * and only after it returned may the caller read page contents.
 *
 * A vCPU marks BEFORE it stores. Whether step 1 fetches its bit or not, the
 * store is finished before its safe point and thus in the content that will be
 * read; a store after the safe point takes the slow path and marks again. (What
 * the page-table walk writes, A and D bits, is marked after the write.)
 * Everybody else - DMA, loader, monitor, qtest - is not waited for in step 2:
 * they write first and mark AFTERWARDS (release), so that a sync between the
 * two finds the bit at the next pass. Marked first, such a write could come
 * after the page was read, and its bit would be gone.
 */
#ifndef SOFTMMU_DIRTY_LOG_H
#define SOFTMMU_DIRTY_LOG_H

#include "softmmu/ramblock.h"

typedef struct DirtyLog DirtyLog;

/** vcpu_barrier(opaque): performs step 2 for all vCPUs; must not need the BQL. */
DirtyLog *dirty_log_new(RAMList *ram, void (*vcpu_barrier)(void *opaque), void *opaque);
void dirty_log_free(DirtyLog *log);

/** Starts logging (counted); all bits clear, every vCPU's write path re-armed on return. */
void dirty_log_start(DirtyLog *log);
void dirty_log_stop(DirtyLog *log);
/** True while logging; vCPUs read it with acquire when they fill a write TLB entry. */
bool dirty_log_enabled(const DirtyLog *log);

/**
 * Step 1 and 2 for all blocks. bitmaps[i] belongs to ram_list_get(ram, i),
 * (pages + 63) / 64 words, bit n = page n. Returns the number of bits newly
 * set in the callers' bitmaps. Any thread; may wait for vCPUs (microseconds);
 * the caller need not and should not hold the BQL.
 */
uint64_t dirty_log_sync(DirtyLog *log, uint64_t *const *bitmaps);

/**
 * Marks [offset, offset+length) of the block as written: by a vCPU's store before it, by everybody
 * else after the write (see above). Any thread, cheap when off.
 */
void dirty_log_mark(DirtyLog *log, RAMBlock *block, uint64_t offset, uint64_t length);

#endif
