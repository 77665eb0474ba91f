/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of the sections "cpu_common" and "cpu" in both dialects: version 5
 * is QEMU 7.2's, version 10 is 10.0's (machine-virt 3.1). Tables only.
 */
#include <limits.h>
#include "target/riscv/wire.h"
#include "util/error.h"

/* A member whose width differs between the dialects keeps one name. */
#define FIELD_AS(_name, _m, _ctype, _info)                                                        \
    { .name = _name, .offset = offsetof(CPUWire, _m), .size = sizeof(_ctype), .info = &(_info) }
#define U64(m) VMSTATE_UINT64(env.m, CPUWire)
#define U32(m) VMSTATE_UINT32(env.m, CPUWire)
#define U64S(m, n) VMSTATE_UINT64_ARRAY(env.m, CPUWire, n)
#define U8S(m, n) VMSTATE_UINT8_ARRAY(env.m, CPUWire, n)

/* ---- cpu_common ---- */

static bool exception_needed(void *opaque)
{
    return false;       /* none is being delivered at a block's boundary */
}

static const VMStateDescription common_exception = {
    .name = "cpu_common/exception_index",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = exception_needed,
    .fields = (const VMStateField[]){ VMSTATE_INT32(exception_index, CPUWire),
                                      VMSTATE_END_OF_LIST() },
};

static bool crash_needed(void *opaque)
{
    return ((CPUWire *)opaque)->crash_occurred;
}

static const VMStateDescription common_crash = {
    .name = "cpu_common/crash_occurred",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = crash_needed,
    .fields = (const VMStateField[]){ VMSTATE_BOOL(crash_occurred, CPUWire),
                                      VMSTATE_END_OF_LIST() },
};

static const VMStateDescription common = {
    .name = "cpu_common",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = riscv_wire_common_pre_save,
    .post_load = riscv_wire_common_post_load,
    .fields = (const VMStateField[]){ VMSTATE_UINT32(halted, CPUWire),
                                      VMSTATE_UINT32(interrupt_request, CPUWire),
                                      VMSTATE_END_OF_LIST() },
    .subsections = (const VMStateDescription *const[]){ &common_exception, &common_crash, NULL },
};

const VMStateDescription *const riscv_cpu_common_vmsds[] = { &common, NULL };

/* ---- parts of cpu ---- */

#define PMU_COUNTER_VALUES                                                                        \
    VMSTATE_UINT64(mhpmcounter_val, WirePmuCounter),                                              \
    VMSTATE_UINT64(mhpmcounterh_val, WirePmuCounter),                                             \
    VMSTATE_UINT64(mhpmcounter_prev, WirePmuCounter),                                             \
    VMSTATE_UINT64(mhpmcounterh_prev, WirePmuCounter)

static const VMStateDescription pmu_counter_v5 = {
    .name = "cpu/pmu",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]){ PMU_COUNTER_VALUES,
                                      VMSTATE_BOOL(started, WirePmuCounter),
                                      VMSTATE_END_OF_LIST() },
};

static const VMStateDescription pmu_counter_v10 = {
    .name = "cpu/pmu",
    .version_id = 2,
    .minimum_version_id = 2,
    .fields = (const VMStateField[]){ PMU_COUNTER_VALUES,
                                      VMSTATE_END_OF_LIST() },
};

static const VMStateDescription pmp_entry = {
    .name = "cpu/pmp/entry",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]){ VMSTATE_UINT64(addr_reg, WirePmpEntry),
                                      VMSTATE_UINT8(cfg_reg, WirePmpEntry),
                                      VMSTATE_END_OF_LIST() },
};

static bool pmp_needed(void *opaque)
{
    return ((CPUWire *)opaque)->cpu->model->pmp;
}

static const VMStateDescription sub_pmp = {
    .name = "cpu/pmp",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = pmp_needed,
    .fields = (const VMStateField[]){ VMSTATE_STRUCT_ARRAY(env.pmp_state.pmp, CPUWire, PMP_ENTRIES,
                                                           pmp_entry, WirePmpEntry),
                                      VMSTATE_END_OF_LIST() },
};

static bool hyper_needed(void *opaque)
{
    return ((CPUWire *)opaque)->with_hyper;
}

static bool hyper_v2_loaded(void *opaque, int version_id, GError **errp)
{
    CPUWire *w = opaque;

    w->with_hyper = true;
    w->env.hcounteren32 = (uint32_t)w->env.hcounteren;
    return true;
}

static bool hyper_v4_loaded(void *opaque, int version_id, GError **errp)
{
    CPUWire *w = opaque;

    w->with_hyper = true;
    w->env.hcounteren = w->env.hcounteren32;
    return true;
}

static const VMStateDescription sub_hyper_v2 = {
    .name = "cpu/hyper",
    .version_id = 2,
    .minimum_version_id = 2,
    .needed = hyper_needed,
    .post_load = hyper_v2_loaded,
    .fields = (const VMStateField[]){
        U64(hstatus), U64(hedeleg), U64(hideleg), U64(hcounteren), U64(htval), U64(htinst),
        U64(hgatp), U64(hgeie), U64(hgeip), U64(htimedelta), U64(vstimecmp), U64(hvictl),
        U8S(hviprio, 64), U64(vsstatus), U64(vstvec), U64(vsscratch), U64(vsepc), U64(vscause),
        U64(vstval), U64(vsatp), U64(vsiselect), U64(mtval2), U64(mtinst), U64(stvec_hs),
        U64(sscratch_hs), U64(sepc_hs), U64(scause_hs), U64(stval_hs), U64(satp_hs),
        U64(mstatus_hs), VMSTATE_END_OF_LIST() },
};

static const VMStateDescription sub_hyper_v4 = {
    .name = "cpu/hyper",
    .version_id = 4,
    .minimum_version_id = 4,
    .needed = hyper_needed,
    .post_load = hyper_v4_loaded,
    .fields = (const VMStateField[]){
        U64(hstatus), U64(hedeleg), U64(hideleg),
        FIELD_AS("env.hcounteren", env.hcounteren32, uint32_t, vmstate_info_uint32),
        U64(htval), U64(htinst), U64(hgatp), U64(hgeie), U64(hgeip), U64(hvien), U64(hvip),
        U64(htimedelta), U64(vstimecmp), U64(hvictl), U8S(hviprio, 64), U64(vsstatus),
        U64(vstvec), U64(vsscratch), U64(vsepc), U64(vscause), U64(vstval), U64(vsatp),
        U64(vsiselect), U64(vsie), U64(mtval2), U64(mtinst), U64(stvec_hs), U64(sscratch_hs),
        U64(sepc_hs), U64(scause_hs), U64(stval_hs), U64(satp_hs), U64(mstatus_hs),
        VMSTATE_END_OF_LIST() },
};

static const VMStateDescription sub_envcfg = {
    .name = "cpu/envcfg",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]){ U64(menvcfg), U64(senvcfg), U64(henvcfg),
                                      VMSTATE_END_OF_LIST() },
};

static bool debug_needed(void *opaque)
{
    return ((CPUWire *)opaque)->with_debug;
}

static bool debug_loaded(void *opaque, int version_id, GError **errp)
{
    ((CPUWire *)opaque)->with_debug = true;
    return true;
}

static const VMStateDescription sub_debug = {
    .name = "cpu/debug",
    .version_id = 2,
    .minimum_version_id = 2,
    .needed = debug_needed,
    .post_load = debug_loaded,
    .fields = (const VMStateField[]){ U64(trigger_cur), U64S(tdata1, 2), U64S(tdata2, 2),
                                      U64S(tdata3, 2), VMSTATE_END_OF_LIST() },
};

static bool timer_needed(void *opaque)
{
    RISCVCPU *cpu = ((CPUWire *)opaque)->cpu;

    return cpu->model->sstc;
}

/* Plain numbers: they are computed from stimecmp (machine-virt 3.4); the JSON still says "timer". */
static bool get_expiry(StreamReader *r, void *pv, size_t size, const VMStateField *f, GError **errp)
{
    *(uint64_t *)pv = stream_get_be64(r);
    return true;
}

static bool put_expiry(StreamWriter *w, const void *pv, size_t size, const VMStateField *f,
                       GError **errp)
{
    stream_put_be64(w, *(const uint64_t *)pv);
    return true;
}

static const VMStateInfo info_expiry = { .name = "timer", .get = get_expiry, .put = put_expiry };

static const VMStateDescription sub_timer = {
    .name = "cpu/timer",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = timer_needed,
    .fields = (const VMStateField[]){ FIELD_AS("env.stimer", env.stimer, uint64_t, info_expiry),
                                      FIELD_AS("env.vstimer", env.vstimer, uint64_t, info_expiry),
                                      VMSTATE_END_OF_LIST() },
};

/* ---- extensions that we lack and whose state we cannot keep either ---- */

static bool never_needed(void *opaque)
{
    return false;
}

/* A part that names its extension when it arrives; it is never sent. */
#define LACKED(_var, _name, _ext)                                                                 \
    static bool _var##_refused(void *opaque, GError **errp)                                       \
    {                                                                                             \
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_CPU_LACKS, "the guest was offered " _ext    \
                         ", which this machine's CPU lacks (" _name ")");                         \
        return false;                                                                             \
    }                                                                                             \
    static const VMStateDescription _var = {                                                      \
        .name = _name,                                                                            \
        .version_id = INT_MAX,                                                                    \
        .needed = never_needed,                                                                   \
        .pre_load = _var##_refused,                                                               \
        .fields = (const VMStateField[]){ VMSTATE_END_OF_LIST() },                                \
    }

LACKED(sub_vector, "cpu/vector", "extension V");
LACKED(sub_pointer_masking, "cpu/pointer_masking", "extension J (pointer masking)");
LACKED(sub_rv128, "cpu/rv128", "128-bit registers");
LACKED(sub_smstateen, "cpu/smtateen", "extension Smstateen");   /* QEMU's spelling */
LACKED(sub_jvt, "cpu/jvt", "extension Zcmt");
LACKED(sub_elp, "cpu/elp", "extension Zicfilp");
LACKED(sub_ssp, "cpu/ssp", "extension Zicfiss");
LACKED(sub_ctr, "cpu/ctr", "extension Smctr or Ssctr");
LACKED(sub_mseccfg, "cpu/mseccfg", "the register mseccfg (Smepmp, Zkr, Smmpm or Zicfilp)");

/* ---- cpu ---- */

static const VMStateDescription cpu_v5 = {
    .name = "cpu",
    .version_id = 5,
    .minimum_version_id = 5,
    .pre_save = riscv_wire_pre_save,
    .pre_load = riscv_wire_pre_load,
    .post_load = riscv_wire_post_load,
    .fields = (const VMStateField[]){
        U64S(gpr, 32), U64S(fpr, 32), U8S(miprio, 64), U8S(siprio, 64), U64(pc), U64(load_res),
        U64(load_val), U64(frm), U64(badaddr), U64(guest_phys_fault_addr), U64(priv_ver),
        U64(vext_ver), U32(misa_mxl), U32(misa_ext), U32(misa_mxl_max), U32(misa_ext_mask),
        U32(features), U64(priv), U64(virt), U64(resetvec), U64(mhartid), U64(mstatus), U64(mip),
        U64(miclaim), U64(mie), U64(mideleg), U64(satp), U64(stval), U64(medeleg), U64(stvec),
        U64(sepc), U64(scause), U64(mtvec), U64(mepc), U64(mcause), U64(mtval), U64(miselect),
        U64(siselect), U64(scounteren), U64(mcounteren), U64(mcountinhibit),
        VMSTATE_STRUCT_ARRAY(env.pmu_ctrs, CPUWire, 32, pmu_counter_v5, WirePmuCounter),
        U64S(mhpmevent_val, 32), U64S(mhpmeventh_val, 32), U64(sscratch), U64(mscratch),
        U64(mfromhost), U64(mtohost), U64(stimecmp), VMSTATE_END_OF_LIST() },
    .subsections = (const VMStateDescription *const[]){ &sub_pmp, &sub_hyper_v2, &sub_envcfg,
                                                        &sub_debug, &sub_vector,
                                                        &sub_pointer_masking, &sub_rv128, NULL },
};

static const VMStateDescription cpu_v10 = {
    .name = "cpu",
    .version_id = 10,
    .minimum_version_id = 10,
    .pre_save = riscv_wire_pre_save,
    .pre_load = riscv_wire_pre_load,
    .post_load = riscv_wire_post_load,
    .fields = (const VMStateField[]){
        U64S(gpr, 32), U64S(fpr, 32), U8S(miprio, 64), U8S(siprio, 64), U64(pc), U64(load_res),
        U64(load_val), U64(frm), U64(badaddr), U64(guest_phys_fault_addr), U64(priv_ver),
        U64(vext_ver), U32(misa_mxl), U32(misa_ext), VMSTATE_UNUSED(4), U32(misa_ext_mask),
        U64(priv), VMSTATE_BOOL(env.virt_enabled, CPUWire), U64(resetvec), U64(mhartid),
        U64(mstatus), U64(mip), U64(miclaim), U64(mie), U64(mvien), U64(mvip), U64(sie),
        U64(mideleg), U64(satp), U64(stval), U64(medeleg), U64(stvec), U64(sepc), U64(scause),
        U64(mtvec), U64(mepc), U64(mcause), U64(mtval), U64(miselect), U64(siselect),
        FIELD_AS("env.scounteren", env.scounteren32, uint32_t, vmstate_info_uint32),
        FIELD_AS("env.mcounteren", env.mcounteren32, uint32_t, vmstate_info_uint32),
        U32(scountinhibit),
        FIELD_AS("env.mcountinhibit", env.mcountinhibit32, uint32_t, vmstate_info_uint32),
        VMSTATE_STRUCT_ARRAY(env.pmu_ctrs, CPUWire, 32, pmu_counter_v10, WirePmuCounter),
        U64S(mhpmevent_val, 32), U64S(mhpmeventh_val, 32), U64(sscratch), U64(mscratch),
        U64(stimecmp), VMSTATE_END_OF_LIST() },
    .subsections = (const VMStateDescription *const[]){ &sub_pmp, &sub_hyper_v4, &sub_envcfg,
                                                        &sub_debug, &sub_timer, &sub_vector,
                                                        &sub_rv128, &sub_smstateen, &sub_jvt,
                                                        &sub_elp, &sub_ssp, &sub_ctr,
                                                        &sub_mseccfg, NULL },
};

const VMStateDescription *const riscv_cpu_vmsds[] = { &cpu_v5, &cpu_v10, NULL };
