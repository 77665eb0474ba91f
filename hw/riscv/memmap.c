/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where things are on the virt board (machine-virt 4.1). Used by its other files; does nothing. */
#include "hw/riscv/memmap.h"

const MemMapEntry virt_memmap[] = {
    [VIRT_MROM] = { 0x1000, 0xf000 },
    [VIRT_TEST] = { 0x100000, 0x1000 },
    [VIRT_RTC] = { 0x101000, 0x1000 },
    [VIRT_CLINT] = { 0x2000000, 0x10000 },
    [VIRT_SSWI] = { 0x2f00000, 0x4000 },        /* aclint=on */
    [VIRT_PCIE_PIO] = { 0x3000000, 0x10000 },
    [VIRT_PLATFORM_BUS] = { 0x4000000, 0x2000000 },
    [VIRT_PLIC] = { 0xc000000, 0x600000 },
    [VIRT_UART0] = { 0x10000000, 0x100 },
    [VIRT_VIRTIO] = { 0x10001000, 0x1000 },     /* each of VIRTIO_COUNT */
    [VIRT_FW_CFG] = { 0x10100000, 0x18 },
    [VIRT_FLASH] = { 0x20000000, 0x4000000 },   /* two banks */
    [VIRT_PCIE_ECAM] = { 0x30000000, 0x10000000 },
    [VIRT_PCIE_MMIO] = { 0x40000000, 0x40000000 },
    [VIRT_DRAM] = { 0x80000000, 0 },
};

uint64_t virt_pcie64_base(uint64_t ram_bytes)
{
    uint64_t end = virt_memmap[VIRT_DRAM].base + ram_bytes;

    return (end + VIRT_PCIE64_BYTES - 1) / VIRT_PCIE64_BYTES * VIRT_PCIE64_BYTES;
}
