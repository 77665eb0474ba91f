/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a vCPU runs: one table of functions. softmmu/cpus.c owns the threads
 * and calls these; accel/interp/ is the software RISC-V, KVM would be another.
 * Every member is required.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <glib.h>
#include <stdbool.h>
#include "target/riscv/cpu.h"

typedef struct AccelOps {
    const char *name;           /* "-accel NAME" */
    bool idle;                  /* a hart never runs, and the clock only moves by qtest's word */
    /** Once per hart, before its thread exists. */
    bool (*init)(RISCVCPU *cpu, GError **errp);
    void (*destroy)(RISCVCPU *cpu);
    /**
     * Runs guest code until cpu->pending or cpu->halted. Hart thread, between
     * riscv_cpu_enter_guest and riscv_cpu_leave_guest. Returns with cpu->pc set.
     */
    void (*run)(RISCVCPU *cpu);
    /** Forgets decoded code (RAM changed behind the CPU). Paused. */
    void (*flush)(RISCVCPU *cpu);
} AccelOps;

extern const AccelOps accel_interp_ops, accel_qtest_ops;

/** The accelerator of that name, or NULL. */
const AccelOps *accel_find(const char *name);

#endif
