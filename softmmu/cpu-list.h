/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vCPUs of a machine, as cpu-list.c and cpus.c have them. */
#ifndef SOFTMMU_CPU_LIST_H
#define SOFTMMU_CPU_LIST_H

#include "accel/accel.h"
#include "softmmu/cpus.h"

#define CPUS_MAX 8

struct CPUList {
    /* set once */
    Machine *machine;
    CPUModel *model;
    const AccelOps *accel;
    unsigned count;
    RISCVCPU *cpus[CPUS_MAX];
    CpuMtimecmpQuery *mtimecmp_query;
    void *mtimecmp_opaque;
    bool no_kick_timers;

    GMutex pause_lock;              /* protects pauses; taken before a vCPU's lock */
    unsigned pauses;                /* how many hold one; vCPUs run while it is 0 */
    _Atomic uint64_t write_epoch;   /* see cpus_write_barrier */
    _Atomic int throttle_pct;
    GMutex throttle_lock;           /* protects throttle_source */
    GSource *throttle_source;
};

#endif
