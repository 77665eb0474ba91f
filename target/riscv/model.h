/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hart offers: the parsed "-cpu" text. Immutable after creation,
 * shared by all harts of a machine.
 */
#ifndef TARGET_RISCV_MODEL_H
#define TARGET_RISCV_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/vmstate.h"

typedef struct CPUModel {
    StreamDialect dialect;      /* which QEMU's defaults and CSR behaviour */
    bool sstc, pmp, mmu, sv48, sv57;
    bool svadu;                 /* menvcfg.ADUE governs hardware A/D update; off: always on */
    bool svade;
    bool zba, zbb, zbc, zbs;
    bool zicbom, zicbop, zicboz, zawrs, zihintntl, svvptc;
    uint32_t pmu_mask;          /* bits 3..31: counters mhpmcounter3.. that exist */
    uint32_t misa_ext;          /* letter bits */
    uint64_t resetvec;
    char *isa;                  /* riscv,isa */
    char **isa_extensions;      /* riscv,isa-extensions */
    const char *mmu_type;       /* "riscv,sv57" ... */
} CPUModel;

/** Parses "rv64,prop=on,..."; NULL with an error naming the model or property. */
CPUModel *cpu_model_parse(const char *text, StreamDialect dialect, GError **errp);
void cpu_model_free(CPUModel *model);

#endif
