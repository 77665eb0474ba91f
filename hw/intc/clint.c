/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CLINT (machine-virt 2.6, 3.4, 5). mtime is the virtual clock / 100 ns,
 * always: a write to it moves nothing, because a hidden offset would not
 * travel. timecmp travels; MTIP and the timers are derived from it.
 */
#include <glib.h>
#include "hw/intc/clint.h"

#define MSIP_BASE 0x0
#define TIMECMP_BASE 0x4000
#define MTIME_BASE 0xbff8

static uint64_t clint_mtime(const CLINT *clint)
{
    return (uint64_t)virtual_clock_get_ns(clint->clock) / MTIME_NS_PER_TICK;
}

static void clint_update_hart(CLINT *clint, unsigned hart)
{
    uint64_t cmp = clint->timecmp[hart];
    bool due = clint_mtime(clint) >= cmp;

    cpu_set_irq(clint->cpus, hart, IRQ_M_TIMER, due);
    if (due || cmp > INT64_MAX / MTIME_NS_PER_TICK) {
        clock_timer_del(clint->timers[hart].timer); /* beyond the clock's range: never */
    } else {
        clock_timer_mod(clint->timers[hart].timer, (int64_t)cmp * MTIME_NS_PER_TICK);
    }
}

static void clint_timer_fired(void *opaque)
{
    CLINTTimer *t = opaque;

    clint_update_hart(t->clint, t->hart);
}

void clint_update(CLINT *clint)
{
    for (unsigned i = 0; i < clint->harts; i++) {
        clint_update_hart(clint, i);
    }
}

/* Reads part of a 64-bit register; offset and size lie within it. */
static uint64_t part_get(uint64_t reg, unsigned offset, unsigned size)
{
    return size == 8 ? reg : reg >> (8 * offset) & ((1ULL << (8 * size)) - 1);
}

static uint64_t part_set(uint64_t reg, unsigned offset, unsigned size, uint64_t value)
{
    uint64_t mask;

    if (size == 8) {
        return value;
    }
    mask = ((1ULL << (8 * size)) - 1) << (8 * offset);
    return (reg & ~mask) | (value << (8 * offset) & mask);
}

static bool access_ok(uint64_t offset, unsigned size)
{
    return (size == 4 || size == 8) && offset % size == 0;
}

static MemTxResult clint_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    CLINT *clint = opaque;

    *value = 0;
    if (!access_ok(offset, size)) {
        return MEMTX_ERROR;
    }
    if (offset < MSIP_BASE + 4 * clint->harts) {
        *value = clint->msip[offset / 4];
    } else if (offset >= TIMECMP_BASE && offset < TIMECMP_BASE + 8 * clint->harts) {
        *value = part_get(clint->timecmp[(offset - TIMECMP_BASE) / 8], offset % 8, size);
    } else if (offset >= MTIME_BASE && offset < MTIME_BASE + 8) {
        *value = part_get(clint_mtime(clint), offset % 8, size);
    }
    return MEMTX_OK;
}

static MemTxResult clint_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    CLINT *clint = opaque;

    if (!access_ok(offset, size)) {
        return MEMTX_ERROR;
    }
    if (offset < MSIP_BASE + 4 * clint->harts) {
        unsigned hart = offset / 4;

        clint->msip[hart] = value & 1;
        cpu_set_irq(clint->cpus, hart, IRQ_M_SOFT, value & 1);
    } else if (offset >= TIMECMP_BASE && offset < TIMECMP_BASE + 8 * clint->harts) {
        unsigned hart = (offset - TIMECMP_BASE) / 8;

        clint->timecmp[hart] = part_set(clint->timecmp[hart], offset % 8, size, value);
        clint_update_hart(clint, hart);
    }
    return MEMTX_OK;
}

CLINT *clint_new(VirtualClock *clock, CPUList *cpus, unsigned harts)
{
    CLINT *clint = g_new0(CLINT, 1);

    clint->clock = clock;
    clint->cpus = cpus;
    clint->harts = MIN(harts, CLINT_HARTS_MAX);
    clint->timecmp = g_new0(uint64_t, clint->harts);
    for (unsigned i = 0; i < clint->harts; i++) {
        clint->timers[i] = (CLINTTimer){ clint, i, NULL };
        clint->timers[i].timer = clock_timer_new(clock, clint_timer_fired, &clint->timers[i]);
    }
    return clint;
}

void clint_free(CLINT *clint)
{
    for (unsigned i = 0; i < clint->harts; i++) {
        clock_timer_free(clint->timers[i].timer);
    }
    g_free(clint->timecmp);
    g_free(clint);
}

void clint_reset(CLINT *clint)
{
    for (unsigned i = 0; i < clint->harts; i++) {
        clint->timecmp[i] = 0;
        clint->msip[i] = 0;
        cpu_set_irq(clint->cpus, i, IRQ_M_SOFT, false);
    }
    clint_update(clint);
}

static bool clint_post_load(void *opaque, int version_id, GError **errp)
{
    clint_update(opaque); /* QEMU 7.2 does not do this and loses the timer (machine-virt 0.2) */
    return true;
}

const MemoryRegionOps clint_mmio_ops = { clint_read, clint_write };

static const VMStateField clint_fields[] = {
    VMSTATE_VARRAY_PTR(timecmp, CLINT, harts, CLINT_HARTS_MAX, uint64_t, vmstate_info_uint64),
    VMSTATE_END_OF_LIST(),
};

const VMStateDescription clint_vmstate = {
    .name = "riscv_mtimer",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = clint_fields,
    .post_load = clint_post_load,
};
