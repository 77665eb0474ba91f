/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How monitors read guest memory: translated or not, and never waiting for what has not come yet. */
#include "monitor/internal.h"
#include "softmmu/machine.h"

GuestRead monitor_read_guest(struct Machine *machine, int cpu, uint64_t addr, void *buf, size_t len,
                             MemMissing *missing)
{
    uint64_t pa = addr;
    bool no_table = false;

    while (cpu >= 0 && !cpu_translate(machine->cpus, (unsigned)cpu, addr, &pa, &no_table)) {
        if (!no_table) {
            return GUEST_READ_UNMAPPED;
        }
        if (!address_space_need(machine->as, pa, 1, PRESENT_USER_MONITOR, missing)) {
            return GUEST_READ_MISSING;
        }
        /* that part of the page table has come in between */
    }
    if (!address_space_need(machine->as, pa, len, PRESENT_USER_MONITOR, missing)) {
        return GUEST_READ_MISSING;
    }
    return address_space_read(machine->as, pa, buf, len) == MEMTX_OK ? GUEST_READ_OK
                                                                     : GUEST_READ_NOTHING;
}
