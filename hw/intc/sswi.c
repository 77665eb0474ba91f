/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSWI (machine-virt 5.3): a word per hart that reads as zero; a one in bit
 * 0 makes that hart's SSIP pending, which only the hart itself takes back.
 */
#include "hw/intc/sswi.h"

#include "softmmu/cpus.h"

static bool access_ok(uint64_t offset, unsigned size)
{
    return (size == 4 || size == 8) && offset % size == 0;
}

static MemTxResult sswi_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return access_ok(offset, size) ? MEMTX_OK : MEMTX_ERROR;
}

static MemTxResult sswi_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (!access_ok(offset, size)) {
        return MEMTX_ERROR;
    }
    if (value & 1) {
        cpu_raise_ssip(opaque, offset / 4); /* beyond the last hart: nobody */
    }
    return MEMTX_OK;
}

const MemoryRegionOps sswi_mmio_ops = { sswi_read, sswi_write };
