/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CLINT of the virt board: software interrupts, mtime, mtimecmp. Under the BQL. */
#ifndef HW_INTC_CLINT_H
#define HW_INTC_CLINT_H

#include "migration/vmstate.h"
#include "softmmu/clock.h"
#include "softmmu/cpus.h"
#include "softmmu/memory.h"

#define CLINT_HARTS_MAX 8

typedef struct CLINTTimer {
    struct CLINT *clint;
    unsigned hart;
    ClockTimer *timer;
} CLINTTimer;

typedef struct CLINT {
    VirtualClock *clock;
    CPUList *cpus;
    uint32_t harts;
    uint64_t *timecmp;              /* travels */
    uint32_t msip[CLINT_HARTS_MAX]; /* what was written; mip itself travels with the hart */
    CLINTTimer timers[CLINT_HARTS_MAX];
} CLINT;

extern const MemoryRegionOps clint_mmio_ops;
extern const VMStateDescription clint_vmstate;

CLINT *clint_new(VirtualClock *clock, CPUList *cpus, unsigned harts);
void clint_free(CLINT *clint);
void clint_reset(CLINT *clint);
/** Recomputes MTIP of every hart from time and timecmp and arms what is in the future. */
void clint_update(CLINT *clint);

#endif
