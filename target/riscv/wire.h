/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU as it travels (machine-virt 2.4, 3.1): every field of both
 * dialects under QEMU's names. Filled before a save, taken apart after a
 * load. Used by vmstate.c (conversion) and vmstate-tables.c (layout) only.
 */
#ifndef TARGET_RISCV_WIRE_H
#define TARGET_RISCV_WIRE_H

#include "target/riscv/cpu.h"

typedef struct WirePmuCounter {
    uint64_t mhpmcounter_val, mhpmcounterh_val, mhpmcounter_prev, mhpmcounterh_prev;
    bool started;
} WirePmuCounter;

typedef struct WirePmpEntry {
    uint64_t addr_reg;
    uint8_t cfg_reg;
} WirePmpEntry;

typedef struct WireEnv {
    uint64_t gpr[32], fpr[32];
    uint8_t miprio[64], siprio[64];
    uint64_t pc, load_res, load_val, frm, badaddr, guest_phys_fault_addr, priv_ver, vext_ver;
    uint32_t misa_mxl, misa_ext, misa_mxl_max, misa_ext_mask, features;
    uint64_t priv, virt;
    bool virt_enabled;
    uint64_t resetvec, mhartid, mstatus, mip, miclaim, mie, mvien, mvip, sie, mideleg, satp, stval;
    uint64_t medeleg, stvec, sepc, scause, mtvec, mepc, mcause, mtval, miselect, siselect;
    uint64_t scounteren, mcounteren, mcountinhibit;             /* 7.2 */
    uint32_t scounteren32, mcounteren32, scountinhibit, mcountinhibit32;    /* 10.0 */
    WirePmuCounter pmu_ctrs[32];
    uint64_t mhpmevent_val[32], mhpmeventh_val[32];
    uint64_t sscratch, mscratch, mfromhost, mtohost, stimecmp;
    struct {
        WirePmpEntry pmp[PMP_ENTRIES];
    } pmp_state;
    /* cpu/hyper */
    uint64_t hstatus, hedeleg, hideleg, hcounteren, htval, htinst, hgatp, hgeie, hgeip, hvien, hvip;
    uint32_t hcounteren32;
    uint64_t htimedelta, vstimecmp, hvictl;
    uint8_t hviprio[64];
    uint64_t vsstatus, vstvec, vsscratch, vsepc, vscause, vstval, vsatp, vsiselect, vsie;
    uint64_t mtval2, mtinst, stvec_hs, sscratch_hs, sepc_hs, scause_hs, stval_hs, satp_hs;
    uint64_t mstatus_hs;
    /* cpu/envcfg */
    uint64_t menvcfg, senvcfg, henvcfg;
    /* cpu/debug */
    uint64_t trigger_cur, tdata1[2], tdata2[2], tdata3[2];
    /* cpu/timer: expiry in ns, all ones = not running */
    uint64_t stimer, vstimer;
} WireEnv;

typedef struct CPUWire {
    RISCVCPU *cpu;
    /* The guest came with these parts, which our CPU lacks: they wait in env and go on with it. */
    bool with_hyper, with_debug;
    /* cpu_common */
    uint32_t halted, interrupt_request;
    int32_t exception_index;
    bool crash_occurred;
    WireEnv env;
    int64_t clock_lag_ns;   /* hart 0, during a load: how far mtime was behind the virtual clock */
    char *offered;      /* offered.c: extensions the guest found, by name; NULL: not known */
} CPUWire;

/* vmstate-tables.c: [0] 7.2, [1] 10.0 */
extern const VMStateDescription *const riscv_cpu_common_vmsds[];
extern const VMStateDescription *const riscv_cpu_vmsds[];

/* vmstate.c */
/** The guest boots: nothing of what it brought is left. */
void riscv_wire_reset(CPUWire *w);
/* hooks of the tables */
bool riscv_wire_common_pre_save(void *opaque, GError **errp);
bool riscv_wire_common_post_load(void *opaque, int version_id, GError **errp);
bool riscv_wire_pre_save(void *opaque, GError **errp);
bool riscv_wire_pre_load(void *opaque, GError **errp);
bool riscv_wire_post_load(void *opaque, int version_id, GError **errp);

#endif
