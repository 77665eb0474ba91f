/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The syscon power device of the virt board ("sifive,test1"). Under the BQL; no state. */
#ifndef HW_MISC_SIFIVE_TEST_H
#define HW_MISC_SIFIVE_TEST_H

#include "softmmu/memory.h"

/** opaque: the RunStateCtl that is asked for shutdown and reset. */
extern const MemoryRegionOps sifive_test_mmio_ops;

#endif
