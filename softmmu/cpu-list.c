/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of vCPUs: how many, which one, what the board and the dialect have
 * said of their timers. On the ground: target/riscv, too, asks here; what is
 * done with them is in cpus.c.
 */
#include "softmmu/cpu-list.h"
#include "target/riscv/cpu.h"

unsigned cpus_count(const CPUList *list)
{
    return list->count;
}

RISCVCPU *cpus_get(const CPUList *list, unsigned i)
{
    return i < list->count ? list->cpus[i] : NULL;
}

void cpus_set_mtimecmp_query(CPUList *list, CpuMtimecmpQuery *fn, void *opaque)
{
    list->mtimecmp_query = fn;
    list->mtimecmp_opaque = opaque;
}

bool cpus_query_mtimecmp(const CPUList *list, unsigned i, uint64_t *timecmp)
{
    return list->mtimecmp_query && list->mtimecmp_query(list->mtimecmp_opaque, i, timecmp);
}

void cpus_set_kick_timers(CPUList *list, bool on)
{
    list->no_kick_timers = !on;
}

bool cpus_kick_timers(const CPUList *list)
{
    return !list->no_kick_timers;
}

const char *cpus_isa_string(const CPUList *list)
{
    return list->model->isa;
}

char **cpus_isa_extensions(const CPUList *list)
{
    return g_strdupv(list->model->isa_extensions);
}

const char *cpus_mmu_type(const CPUList *list)
{
    return list->model->mmu_type;
}
