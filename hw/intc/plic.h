/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SiFive PLIC of the virt board: 95 sources, two contexts (M, S) per hart. Under the BQL. */
#ifndef HW_INTC_PLIC_H
#define HW_INTC_PLIC_H

#include "hw/irq.h"
#include "migration/vmstate.h"
#include "softmmu/memory.h"

#define PLIC_SOURCES 96         /* including source 0, which does not exist */
#define PLIC_WORDS (PLIC_SOURCES / 32)
#define PLIC_HARTS_MAX 8
#define PLIC_CONTEXTS_MAX (2 * PLIC_HARTS_MAX)

typedef struct PLIC {
    /* wiring, set once; hart outputs: n = 2 * hart + (0 M, 1 S) */
    unsigned contexts;
    void (*output)(void *opaque, unsigned context, bool level);
    void *opaque;
    /* the state that travels */
    uint32_t *target_priority, *enable;
    uint32_t target_count, enable_count;
    uint32_t source_priority[PLIC_SOURCES];
    uint32_t pending[PLIC_WORDS], claimed[PLIC_WORDS];
    /* input levels: the devices tell them again after a load */
    uint32_t level[PLIC_WORDS];
} PLIC;

extern const MemoryRegionOps plic_mmio_ops;
extern const VMStateDescription plic_vmstate;

/** output(opaque, context, level) is called whenever contexts are evaluated. */
PLIC *plic_new(unsigned harts, void (*output)(void *opaque, unsigned context, bool level),
               void *opaque);
void plic_free(PLIC *plic);
void plic_reset(PLIC *plic);
/** Input n (1..95); usable as IRQLine.set with opaque = the PLIC. */
void plic_set_irq(void *plic, unsigned n, bool level);

#endif
