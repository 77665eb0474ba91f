/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hart's migration state: between RISCVCPU and the wire form, with the time
 * rules of machine-virt 3.4. Called through the tables by the vmstate
 * registry, vCPUs paused, BQL held. fflags, which QEMU does not carry, travel
 * in the description's "ferry" object. What a QEMU guest brings of extensions
 * we lack and it does not use (H, debug triggers) stays in the wire form and
 * goes on with it; a guest that uses H is refused.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include "accel/accel.h"
#include "target/riscv/offered.h"
#include "target/riscv/wire.h"
#include "util/error.h"

#define CPU_V10 10
#define NOT_RUNNING UINT64_MAX
#define MIDELEG_HYPER 0x1444ULL         /* always delegated where there is H */
#define FEATURE_DEBUG 0x10              /* d7 */
#define CLOCK_LAG_MIN_NS 1000000000LL   /* nobody reboots sooner; what is less is QEMU's own delay */
#define CLOCK_LAG_SLACK_NS 1000000LL

/* Interrupt priority defaults (machine-virt 3.5): constant without AIA, both dialects. */
static const uint8_t miprio_low[16] = {0xff, 0x14, 0x18, 0x11, 0xff, 0x15, 0x19, 0x12,
                                       0xff, 0x13, 0x17, 0x00, 0x16, 0xff, 0xff, 0xff};
static const uint8_t siprio_low[16] = {0xff, 0x14, 0x18, 0x11, 0xff, 0x15, 0x19, 0x12,
                                       0xff, 0x00, 0x17, 0x10, 0x16, 0xff, 0xff, 0xff};
static const uint8_t prio_16[8] = {0x24, 0x21, 0x1e, 0x1b, 0x0e, 0x0b, 0x08, 0x05};
static const uint8_t prio_32[16] = {0x25, 0x23, 0x22, 0x20, 0x1f, 0x1d, 0x1c, 0x1a,
                                    0x0f, 0x0d, 0x0c, 0x0a, 0x09, 0x07, 0x06, 0x04};

static void fill_prio(uint8_t prio[64], const uint8_t low[16])
{
    memset(prio, 0xff, 64);
    memcpy(prio, low, 16);
    memcpy(prio + 16, prio_16, 8);
    memcpy(prio + 32, prio_32, 16);
}

/* ---- time ---- */

static bool future_stimecmp(RISCVCPU *cpu)
{
    return (cpu->menvcfg & MENVCFG_STCE) && cpu->stimecmp != UINT64_MAX &&
           cpu->stimecmp > riscv_cpu_time(cpu);
}

static bool future_mtimecmp(RISCVCPU *cpu)
{
    uint64_t cmp;

    return !(cpu->menvcfg & MENVCFG_STCE) && cpus_query_mtimecmp(cpu->list, cpu->index, &cmp) &&
           cmp != UINT64_MAX && cmp > riscv_cpu_time(cpu);
}

/*
 * Timers that are due at this very moment. Their lines are raised by the main loop, which may not
 * have come to it when the clock stopped: such an interrupt would be neither pending nor armed in
 * the stream, and QEMU would lose it.
 */
static uint64_t due_timers(RISCVCPU *cpu)
{
    uint64_t now = riscv_cpu_time(cpu), cmp, due = 0;

    if ((cpu->menvcfg & MENVCFG_STCE) && cpu->stimecmp <= now) {
        due |= MIP_STIP;
    }
    if (cpus_query_mtimecmp(cpu->list, cpu->index, &cmp) && cmp <= now) {
        due |= MIP_MTIP;
    }
    return due;
}

/*
 * mip in the stream. A receiver that arms nothing from the compare values
 * (7.2 always, 10.0 for mtimecmp) would leave an idle guest asleep for ever:
 * an interrupt that is pending already makes it program the next deadline.
 */
static uint64_t wire_mip(RISCVCPU *cpu)
{
    uint64_t mip = riscv_cpu_mip(cpu) | due_timers(cpu);
    bool d7 = vmstate_dialect(cpu->machine->vmstate) == DIALECT_QEMU_7_2;

    if (!cpus_kick_timers(cpu->list)) {
        return mip;
    }
    if (d7 && future_stimecmp(cpu)) {
        mip |= MIP_STIP;
    }
    if (future_mtimecmp(cpu)) {
        mip |= MIP_MTIP;
    }
    return mip;
}

/*
 * QEMU restarts mtime at every reset and sends nowhere how far it lags behind the virtual clock since
 * then: a rebooted guest's time jumps ahead by the age it had. 10.0 sends each armed stimecmp in both
 * times, though. mtime is the virtual clock here, so that is what is put back: a little less than
 * measured, as QEMU looks at its clock twice, and time must not run backwards.
 */
static void heal_clock(RISCVCPU *cpu, const WireEnv *e)
{
    VirtualClock *clock = cpu->machine->clock;
    int64_t *lag = &cpus_get(cpu->list, 0)->wire->clock_lag_ns, ours, now;

    if (!(e->menvcfg & MENVCFG_STCE) || e->stimer > INT64_MAX ||
        e->stimecmp > INT64_MAX / MTIME_NS_PER_TICK) {
        return;
    }
    ours = (int64_t)e->stimer - (int64_t)e->stimecmp * MTIME_NS_PER_TICK - CLOCK_LAG_SLACK_NS;
    now = virtual_clock_get_ns(clock) + *lag;
    if (ours < CLOCK_LAG_MIN_NS || ours > now || (*lag && *lag < ours)) {
        return;
    }
    *lag = ours;
    virtual_clock_set_ns(clock, now - ours);
}

/* ---- saving ---- */

bool riscv_wire_common_pre_save(void *opaque, GError **errp)
{
    CPUWire *w = opaque;

    w->halted = atomic_load(&w->cpu->halted);
    w->interrupt_request = wire_mip(w->cpu) ? 2 : 0;
    return true;
}

static void save_counters(RISCVCPU *cpu, WireEnv *e)
{
    memset(e->pmu_ctrs, 0, sizeof(e->pmu_ctrs));
    for (unsigned i = 0; i < 32; i++) {
        e->pmu_ctrs[i].mhpmcounter_val = cpu->mhpmcounter[i];
        e->pmu_ctrs[i].started = !((cpu->mcountinhibit >> i) & 1);
        e->mhpmevent_val[i] = cpu->mhpmevent[i];
    }
    riscv_csr_peek(cpu, CSR_MCYCLE, &e->pmu_ctrs[0].mhpmcounter_val);
    riscv_csr_peek(cpu, CSR_MINSTRET, &e->pmu_ctrs[2].mhpmcounter_val);
    e->scounteren = cpu->scounteren;
    e->mcounteren = cpu->mcounteren;
    e->mcountinhibit = cpu->mcountinhibit;
    e->scounteren32 = (uint32_t)cpu->scounteren;
    e->mcounteren32 = (uint32_t)cpu->mcounteren;
    e->mcountinhibit32 = (uint32_t)cpu->mcountinhibit;
}

static void save_csrs(RISCVCPU *cpu, WireEnv *e)
{
    e->mstatus = cpu->mstatus;
    e->mip = wire_mip(cpu);
    e->mie = cpu->mie;
    e->mideleg = cpu->mideleg | (cpu->wire->with_hyper ? MIDELEG_HYPER : 0);
    e->medeleg = cpu->medeleg;
    e->satp = cpu->satp;
    e->stval = cpu->stval;
    e->stvec = cpu->stvec;
    e->sepc = cpu->sepc;
    e->scause = cpu->scause;
    e->sscratch = cpu->sscratch;
    e->mtvec = cpu->mtvec;
    e->mepc = cpu->mepc;
    e->mcause = cpu->mcause;
    e->mtval = cpu->mtval;
    e->mscratch = cpu->mscratch;
    e->menvcfg = cpu->menvcfg;
    e->senvcfg = cpu->senvcfg;
    e->stimecmp = cpu->stimecmp;
    e->stimer = future_stimecmp(cpu) && cpu->stimecmp <= INT64_MAX / MTIME_NS_PER_TICK
                    ? cpu->stimecmp * MTIME_NS_PER_TICK : NOT_RUNNING;
    e->vstimer = NOT_RUNNING;
    for (unsigned i = 0; i < PMP_ENTRIES; i++) {
        e->pmp_state.pmp[i].addr_reg = cpu->pmpaddr[i];
        e->pmp_state.pmp[i].cfg_reg = cpu->pmpcfg[i];
    }
}

static void save_identity(RISCVCPU *cpu, WireEnv *e)
{
    bool d7 = vmstate_dialect(cpu->machine->vmstate) == DIALECT_QEMU_7_2;

    e->priv_ver = d7 ? 2 : 3;
    e->vext_ver = d7 ? 0 : 0x10000;
    e->misa_mxl = e->misa_mxl_max = 2;
    e->misa_ext = cpu->model->misa_ext | (cpu->wire->with_hyper ? MISA_LETTER('H') : 0);
    e->misa_ext_mask = e->misa_ext;
    e->features = (cpu->model->mmu ? 1 : 0) | (cpu->model->pmp ? 2 : 0) |
                  (cpu->wire->with_debug ? FEATURE_DEBUG : 0);
    e->resetvec = cpu->model->resetvec;
    e->mhartid = cpu->index;
    e->miclaim = 0x1000;
    fill_prio(e->miprio, miprio_low);
    fill_prio(e->siprio, siprio_low);
}

bool riscv_wire_pre_save(void *opaque, GError **errp)
{
    CPUWire *w = opaque;
    RISCVCPU *cpu = w->cpu;
    WireEnv *e = &w->env;

    memcpy(e->gpr, cpu->x, sizeof(e->gpr));
    memcpy(e->fpr, cpu->f, sizeof(e->fpr));
    e->pc = cpu->pc;
    e->load_res = cpu->load_res;
    e->load_val = cpu->load_val;
    e->frm = cpu->frm;
    e->badaddr = e->guest_phys_fault_addr = 0;
    e->priv = cpu->priv;
    e->virt = 0;
    e->virt_enabled = false;
    save_identity(cpu, e);
    save_csrs(cpu, e);
    save_counters(cpu, e);
    return true;
}

/* ---- loading ---- */

bool riscv_wire_common_post_load(void *opaque, int version_id, GError **errp)
{
    CPUWire *w = opaque;

    atomic_store(&w->cpu->halted, w->halted != 0);
    return true;
}

void riscv_wire_reset(CPUWire *w)
{
    memset(&w->env, 0, sizeof(w->env));
    w->env.stimer = w->env.vstimer = NOT_RUNNING;
    w->env.tdata1[0] = w->env.tdata1[1] = 0x2000000000000000ULL;
    w->with_hyper = w->with_debug = false;
}

/* Absent fields and subsections mean reset values. */
bool riscv_wire_pre_load(void *opaque, GError **errp)
{
    CPUWire *w = opaque;

    riscv_wire_reset(w);
    w->clock_lag_ns = 0;
    return true;
}

/* Always false: what the guest uses and cannot here, as the start of a sentence. */
static bool G_GNUC_PRINTF(2, 3) lacks(GError **errp, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_CPU_LACKS,
                     "%s, which this machine's CPU lacks", what);
    return false;
}

static bool check_satp(const CPUModel *m, uint64_t satp, GError **errp)
{
    unsigned mode = satp >> SATP_MODE_SHIFT;

    if (mode == SATP_BARE || (m->mmu && (mode == SATP_SV39 || (mode == SATP_SV48 && m->sv48) ||
                                         (mode == SATP_SV57 && m->sv57)))) {
        return true;
    }
    return lacks(errp, "satp mode %u: the guest uses %s", mode,
                 mode == SATP_SV57 ? "Sv57"
                 : mode == SATP_SV48 ? "Sv48" : "an unknown page-table format");
}

/*
 * H unused is harmless: its registers are as they were at reset and travel on. A guest that runs
 * others, or has begun to, would die of its first hypervisor instruction here.
 */
static bool check_hyper(const WireEnv *e, GError **errp)
{
    const struct {
        const char *name;
        uint64_t value;
    } used[] = {
        {"hgatp", e->hgatp}, {"vsatp", e->vsatp}, {"hideleg", e->hideleg},
        {"hedeleg", e->hedeleg}, {"hgeie", e->hgeie},
    };

    if (e->virt_enabled || (e->virt & 1)) {
        return lacks(errp, "the guest runs virtualized (extension H)");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(used); i++) {
        if (used[i].value) {
            return lacks(errp, "the guest uses the hypervisor extension H (%s is 0x%" PRIx64 ")",
                         used[i].name, used[i].value);
        }
    }
    return true;
}

/*
 * Enable bits that nobody sets without having found the extension. The firmware sets all of
 * menvcfg's cache bits blindly; 7.2 has nothing behind them.
 */
static bool check_envcfg(const CPUModel *m, const WireEnv *e, bool d10, GError **errp)
{
    const struct {
        const char *ext, *bit;
        bool used;
    } bits[] = {
        {"Sstc", "menvcfg.STCE", (e->menvcfg & MENVCFG_STCE) && !m->sstc},
        {"Zicboz", "senvcfg.CBZE", d10 && (e->senvcfg & MENVCFG_CBZE) && !m->zicboz},
        {"Zicbom", "senvcfg.CBCFE", d10 && (e->senvcfg & MENVCFG_CBCFE) && !m->zicbom},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        if (bits[i].used) {
            return lacks(errp, "the guest uses extension %s (%s is set)", bits[i].ext,
                         bits[i].bit);
        }
    }
    return true;
}

/* What we cannot run is refused here, by name, before anything is taken over. */
static bool check_wire(const RISCVCPU *cpu, const WireEnv *e, bool d10, GError **errp)
{
    const uint32_t tolerated = MISA_LETTER('H');    /* offered, and harmless while unused */
    uint32_t extra = e->misa_ext & ~cpu->model->misa_ext & ~tolerated;

    if (e->misa_mxl != 2) {
        error_setg(errp, "cpu: misa_mxl %u: expected 2 (64 bit)", e->misa_mxl);
        return false;
    }
    if (e->priv > PRV_M || e->priv == 2) {
        error_setg(errp, "cpu: priv %" PRIu64 " is no privilege level", e->priv);
        return false;
    }
    if (!check_hyper(e, errp) || !check_envcfg(cpu->model, e, d10, errp)) {
        return false;
    }
    if (extra) {
        return lacks(errp, "the guest was offered extension %c", 'A' + __builtin_ctz(extra));
    }
    if (e->mhartid != cpu->index) {
        error_setg(errp, "cpu: mhartid %" PRIu64 ": expected %u", e->mhartid, cpu->index);
        return false;
    }
    return check_satp(cpu->model, e->satp, errp);
}

static void load_counters(RISCVCPU *cpu, const WireEnv *e, bool d10)
{
    uint64_t keep = cpu->model->dialect == DIALECT_QEMU_7_2 ? UINT64_MAX
                                                            : 7 | cpu->model->pmu_mask;

    cpu->scounteren = (d10 ? e->scounteren32 : e->scounteren) & keep;
    cpu->mcounteren = (d10 ? e->mcounteren32 : e->mcounteren) & keep;
    cpu->mcountinhibit = (d10 ? e->mcountinhibit32 : e->mcountinhibit) & keep;
    for (unsigned i = 3; i < 32; i++) {
        cpu->mhpmcounter[i] = e->pmu_ctrs[i].mhpmcounter_val;
        cpu->mhpmevent[i] = e->mhpmevent_val[i];
    }
    riscv_csr_set_counters(cpu, e->pmu_ctrs[0].mhpmcounter_val, e->pmu_ctrs[2].mhpmcounter_val);
}

static void load_csrs(RISCVCPU *cpu, const WireEnv *e, bool d10)
{
    cpu->mstatus = (e->mstatus & ~(MSTATUS_SD | MSTATUS_UXL | MSTATUS_SXL)) | MSTATUS_XLENS;
    cpu->mie = e->mie;
    cpu->mideleg = e->mideleg;
    cpu->medeleg = e->medeleg;
    cpu->satp = e->satp;
    cpu->stval = e->stval;
    cpu->stvec = e->stvec;
    cpu->sepc = e->sepc;
    cpu->scause = e->scause;
    cpu->sscratch = e->sscratch;
    cpu->mtvec = e->mtvec;
    cpu->mepc = e->mepc;
    cpu->mcause = e->mcause;
    cpu->mtval = e->mtval;
    cpu->mscratch = e->mscratch;
    cpu->menvcfg = e->menvcfg & riscv_csr_menvcfg_mask(cpu);
    if (!d10 && cpu->model->svadu) {
        cpu->menvcfg |= MENVCFG_ADUE;       /* 7.2 always updates A and D */
    }
    cpu->senvcfg = e->senvcfg;
    cpu->stimecmp = e->stimecmp;
    for (unsigned i = 0; i < PMP_ENTRIES; i++) {
        cpu->pmpaddr[i] = e->pmp_state.pmp[i].addr_reg & PMP_ADDR_MASK;
        cpu->pmpcfg[i] = e->pmp_state.pmp[i].cfg_reg;
    }
}

/* Device lines keep what the stream says until the devices' own sections drive them. */
static void load_interrupts(RISCVCPU *cpu, uint64_t mip)
{
    bool stce = cpu->model->sstc && (cpu->menvcfg & MENVCFG_STCE);
    uint64_t soft = MIP_SSIP | (stce ? 0 : MIP_STIP);

    atomic_store(&cpu->mip_soft, mip & soft);
    riscv_cpu_update_stimer(cpu);
    /* an STIP that came set stays until software reprograms (machine-virt 3.4) */
    atomic_store(&cpu->irq_lines, (mip & (MIP_S_ALL | MIP_M_ALL) & ~soft) |
                                      (atomic_load(&cpu->irq_lines) & MIP_STIP));
}

bool riscv_wire_post_load(void *opaque, int version_id, GError **errp)
{
    CPUWire *w = opaque;
    RISCVCPU *cpu = w->cpu;
    const WireEnv *e = &w->env;
    bool d10 = version_id >= CPU_V10;

    if (!check_wire(cpu, e, d10, errp)) {
        return false;
    }
    vmstate_set_received_dialect(cpu->machine->vmstate,
                                 d10 ? DIALECT_QEMU_10_0 : DIALECT_QEMU_7_2);
    memcpy(cpu->x, e->gpr, sizeof(e->gpr));
    cpu->x[0] = 0;
    memcpy(cpu->f, e->fpr, sizeof(e->fpr));
    cpu->pc = e->pc & ~1ULL;
    cpu->load_res = e->load_res;
    cpu->load_val = e->load_val;
    cpu->frm = e->frm & 7;
    riscv_offered_forget(cpu);
    cpu->fflags = 0;        /* a Ferry source corrects this at the end of the stream */
    cpu->priv = (uint8_t)e->priv;
    load_csrs(cpu, e, d10);
    load_counters(cpu, e, d10);
    if (d10) {
        heal_clock(cpu, e);
    }
    load_interrupts(cpu, e->mip);
    riscv_cpu_forget_page(cpu);
    riscv_pmp_recompute(cpu);
    riscv_cpu_mode_changed(cpu);
    cpu->accel->flush(cpu);
    return true;
}

/* ---- fflags ---- */

static void put_fflags(void *opaque, struct json_object *obj)
{
    const CPUList *list = opaque;

    for (unsigned i = 0; i < cpus_count(list); i++) {
        g_autofree char *key = g_strdup_printf("%u", i);

        json_object_object_add(obj, key, json_object_new_int((int)cpus_get(list, i)->fflags));
    }
}

static bool get_fflags(void *opaque, struct json_object *obj, GError **errp)
{
    const CPUList *list = opaque;

    for (unsigned i = 0; i < cpus_count(list); i++) {
        g_autofree char *key = g_strdup_printf("%u", i);
        struct json_object *value;

        if (!json_object_object_get_ex(obj, key, &value)) {
            continue;
        }
        if (!json_object_is_type(value, json_type_int) ||
            (json_object_get_int64(value) & ~0x1fLL)) {
            error_setg(errp, "description: ferry.fflags.%s: expected a number 0..31",
                       key);
            return false;
        }
        cpus_get(list, i)->fflags = (uint32_t)json_object_get_int64(value);
    }
    return true;
}

/* ---- registration ---- */

void riscv_cpu_vmstate_register(RISCVCPU *cpu)
{
    VMStateRegistry *reg = cpu->machine->vmstate;

    cpu->wire = g_new0(CPUWire, 1);
    cpu->wire->cpu = cpu;
    riscv_wire_reset(cpu->wire);
    vmstate_register_versions(reg, "cpu_common", cpu->index, riscv_cpu_common_vmsds, cpu->wire,
                              VMSTATE_ORDER_DEFAULT, VMSTATE_ORDER_DEFAULT);
    vmstate_register_versions(reg, "cpu", cpu->index, riscv_cpu_vmsds, cpu->wire,
                              VMSTATE_ORDER_DEFAULT, VMSTATE_ORDER_DEFAULT);
    if (cpu->index == 0) {
        vmstate_register_ferry(reg, "fflags", put_fflags, get_fflags, cpu->list);
        vmstate_register_ferry(reg, "cpu", riscv_offered_put, riscv_offered_get, cpu);
        riscv_offered_reset(cpu);
    }
}

void riscv_cpu_vmstate_unregister(RISCVCPU *cpu)
{
    vmstate_unregister(cpu->machine->vmstate, "cpu_common", cpu->index);
    vmstate_unregister(cpu->machine->vmstate, "cpu", cpu->index);
    if (cpu->wire) {
        g_free(cpu->wire->offered);
    }
    g_clear_pointer(&cpu->wire, g_free);
}
