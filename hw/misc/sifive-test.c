/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sifive_test (machine-virt 4.4): one register through which the guest powers off, fails or resets. */
#include "hw/misc/sifive-test.h"
#include "softmmu/runstate.h"

enum { TEST_FAIL = 0x3333, TEST_PASS = 0x5555, TEST_RESET = 0x7777 };

static MemTxResult sifive_test_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return MEMTX_OK;
}

static MemTxResult sifive_test_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    if (offset != 0 || size < 2) {
        return MEMTX_OK;
    }
    switch (value & 0xffff) {
    case TEST_FAIL:
        system_shutdown_request(opaque, SHUTDOWN_CAUSE_GUEST_PANIC, value >> 16 & 0xffff);
        break;
    case TEST_PASS:
        system_shutdown_request(opaque, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 0);
        break;
    case TEST_RESET:
        system_reset_request(opaque, SHUTDOWN_CAUSE_GUEST_RESET);
        break;
    default:
        break;
    }
    return MEMTX_OK;
}

const MemoryRegionOps sifive_test_mmio_ops = { sifive_test_read, sifive_test_write };
