/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virt board's map, and where things ended up in it. */
#ifndef HW_RISCV_MEMMAP_H
#define HW_RISCV_MEMMAP_H

#include <stdint.h>

typedef struct MemMapEntry {
    uint64_t base, size;
} MemMapEntry;

enum {
    VIRT_MROM, VIRT_TEST, VIRT_RTC, VIRT_CLINT, VIRT_SSWI, VIRT_PCIE_PIO, VIRT_PLATFORM_BUS, VIRT_PLIC,
    VIRT_UART0, VIRT_VIRTIO, VIRT_FW_CFG, VIRT_FLASH, VIRT_PCIE_ECAM, VIRT_PCIE_MMIO, VIRT_DRAM,
};
extern const MemMapEntry virt_memmap[];

enum { VIRTIO_IRQ = 1, VIRTIO_COUNT = 8, UART0_IRQ = 10, RTC_IRQ = 11, PCIE_IRQ = 32 };

#define VIRT_FLASH_BANK_BYTES 0x2000000ULL
#define VIRT_PCIE64_BYTES 0x400000000ULL

/** Start of the 64-bit PCIe window: the first 16 GiB boundary after RAM. */
uint64_t virt_pcie64_base(uint64_t ram_bytes);

/** Where things ended up in guest memory; 0 = not there. */
typedef struct VirtBoot {
    uint64_t start_addr;        /* first instruction after the reset vector */
    uint64_t kernel_entry;
    uint64_t initrd_start, initrd_end;
    uint64_t fdt_addr;
} VirtBoot;

#endif
