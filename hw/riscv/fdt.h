/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virt board's device tree. */
#ifndef HW_RISCV_FDT_H
#define HW_RISCV_FDT_H

#include "hw/core/board.h"
#include "hw/riscv/memmap.h"

/** The device tree (machine-virt 4.2), or -dtb's file, with /chosen filled in. NULL with errp. */
GBytes *virt_fdt_build(Board *board, const VirtBoot *boot, GError **errp);

#endif
