/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor half of an ACLINT's software interrupts (-M virt,aclint=on). Under the BQL. */
#ifndef HW_INTC_SSWI_H
#define HW_INTC_SSWI_H

#include "softmmu/memory.h"

/** The opaque of these is the CPUList: there is no state, so nothing travels. */
extern const MemoryRegionOps sswi_mmio_ops;

#endif
