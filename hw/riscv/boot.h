/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the virt board begins with: firmware, kernel, initrd, device tree, reset vector. */
#ifndef HW_RISCV_BOOT_H
#define HW_RISCV_BOOT_H

#include "hw/core/board.h"
#include "hw/riscv/memmap.h"

/** Reads bios, kernel and initrd and adds them to the images. */
bool boot_load_images(Board *board, VirtBoot *boot, GError **errp);
/** Adds the device tree and the reset vector; sets boot->fdt_addr. */
bool boot_load_fdt(Board *board, VirtBoot *boot, GBytes *fdt, GError **errp);

#endif
