/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control and status registers: which exist, who may touch them, what a
 * write keeps (machine-virt 3.2; masks measured on QEMU). Called by the
 * interpreter for each CSR instruction, by the dump without checks.
 */
#include "target/riscv/cpu.h"
#include "target/riscv/fpu.h"

#define SIE_BITS MIP_S_ALL
#define MIE_BITS (MIP_S_ALL | MIP_M_ALL)
#define MEDELEG_MASK 0xb3ffULL
#define ENVCFG_MASK (MENVCFG_FIOM | MENVCFG_CBIE | MENVCFG_CBCFE | MENVCFG_CBZE)
#define MSTATUS_WRITE                                                                             \
    (MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_MPP |        \
     MSTATUS_FS | MSTATUS_MPRV | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_TVM | MSTATUS_TW |           \
     MSTATUS_TSR)
#define SSTATUS_WRITE                                                                             \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR)

static bool is_7_2(const RISCVCPU *cpu)
{
    return cpu->model->dialect == DIALECT_QEMU_7_2;
}

static uint64_t read_mstatus(const RISCVCPU *cpu)
{
    bool dirty = (cpu->mstatus & MSTATUS_FS) == MSTATUS_FS;

    return cpu->mstatus | (dirty ? MSTATUS_SD : 0);
}

static void write_mstatus(RISCVCPU *cpu, uint64_t value, uint64_t mask)
{
    uint64_t next = (cpu->mstatus & ~mask) | (value & mask);

    if ((next & MSTATUS_MPP) == (2ULL << MSTATUS_MPP_SHIFT)) {  /* no such privilege: keep */
        next = (next & ~MSTATUS_MPP) | (cpu->mstatus & MSTATUS_MPP);
    }
    cpu->mstatus = next;
    riscv_cpu_mode_changed(cpu);
}

/* ---- counters ---- */

static uint64_t cycle_now(RISCVCPU *cpu)
{
    return (uint64_t)virtual_clock_get_ns(cpu->machine->clock);     /* a 1 GHz core */
}

/* Offsets hold the value itself while a counter is inhibited. */
static uint64_t read_cycle(RISCVCPU *cpu)
{
    return cpu->mcycle_off + (cpu->mcountinhibit & 1 ? 0 : cycle_now(cpu));
}

static uint64_t read_instret(RISCVCPU *cpu)
{
    return cpu->minstret_off + (cpu->mcountinhibit & 4 ? 0 : cpu->instret);
}

static void write_cycle(RISCVCPU *cpu, uint64_t value)
{
    cpu->mcycle_off = value - (cpu->mcountinhibit & 1 ? 0 : cycle_now(cpu));
}

static void write_instret(RISCVCPU *cpu, uint64_t value)
{
    cpu->minstret_off = value - (cpu->mcountinhibit & 4 ? 0 : cpu->instret);
}

static void write_countinhibit(RISCVCPU *cpu, uint64_t value)
{
    uint64_t cycle = read_cycle(cpu), instret = read_instret(cpu);
    uint64_t mask = is_7_2(cpu) ? UINT64_MAX : 5 | cpu->model->pmu_mask;

    cpu->mcountinhibit = value & mask;
    write_cycle(cpu, cycle);
    write_instret(cpu, instret);
}

void riscv_csr_set_counters(RISCVCPU *cpu, uint64_t cycle, uint64_t instret)
{
    write_cycle(cpu, cycle);
    write_instret(cpu, instret);
}

static bool hpm_exists(const RISCVCPU *cpu, unsigned n)
{
    return n < 3 || (cpu->model->pmu_mask >> n) & 1;
}

/* May this privilege read user counter n (0 cycle, 1 time, 2 instret, 3.. hpm)? */
static bool counter_allowed(const RISCVCPU *cpu, unsigned n)
{
    if (cpu->priv < PRV_M && !((cpu->mcounteren >> n) & 1)) {
        return false;
    }
    return cpu->priv != PRV_U || ((cpu->scounteren >> n) & 1);
}

static bool read_user_counter(RISCVCPU *cpu, unsigned n, uint64_t *v)
{
    if (!hpm_exists(cpu, n)) {
        return false;
    }
    switch (n) {
    case 0:
        *v = read_cycle(cpu);
        break;
    case 1:
        *v = riscv_cpu_time(cpu);
        return cpu->has_time;
    case 2:
        *v = read_instret(cpu);
        break;
    default:
        *v = cpu->mhpmcounter[n];
    }
    return true;
}

/* ---- permissions beyond the address bits ---- */

static bool fp_on(const RISCVCPU *cpu)
{
    return cpu->mstatus & MSTATUS_FS;
}

static bool stimecmp_allowed(const RISCVCPU *cpu)
{
    if (!cpu->model->sstc || !cpu->has_time) {
        return false;
    }
    return cpu->priv == PRV_M || ((cpu->mcounteren & 2) && (cpu->menvcfg & MENVCFG_STCE));
}

static bool csr_allowed(const RISCVCPU *cpu, unsigned csr, bool does_write)
{
    if (cpu->priv < ((csr >> 8) & 3) || (does_write && (csr >> 10) == 3)) {
        return false;
    }
    if (csr >= CSR_CYCLE && csr <= CSR_HPMCOUNTER31) {
        return counter_allowed(cpu, csr & 31);
    }
    switch (csr) {
    case CSR_FFLAGS:
    case CSR_FRM:
    case CSR_FCSR:
        return fp_on(cpu);
    case CSR_STIMECMP:
        return stimecmp_allowed(cpu);
    case CSR_SATP:
        return !(cpu->priv == PRV_S && (cpu->mstatus & MSTATUS_TVM));
    }
    return true;
}

/* ---- reading ---- */

static bool read_fp(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    switch (csr) {
    case CSR_FFLAGS:
        *v = cpu->fflags;
        return true;
    case CSR_FRM:
        *v = cpu->frm;
        return true;
    default:
        *v = cpu->fflags | cpu->frm << 5;
        return true;
    }
}

static bool read_supervisor(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    switch (csr) {
    case CSR_SSTATUS:
        *v = read_mstatus(cpu) & SSTATUS_MASK;
        return true;
    case CSR_SIE:
        *v = cpu->mie & cpu->mideleg;
        return true;
    case CSR_SIP:
        *v = riscv_cpu_mip(cpu) & cpu->mideleg;
        return true;
    case CSR_STVEC:
        *v = cpu->stvec;
        return true;
    case CSR_SCOUNTEREN:
        *v = cpu->scounteren;
        return true;
    case CSR_SENVCFG:
        *v = cpu->senvcfg;
        return true;
    case CSR_SSCRATCH:
        *v = cpu->sscratch;
        return true;
    case CSR_SEPC:
        *v = cpu->sepc;
        return true;
    case CSR_SCAUSE:
        *v = cpu->scause;
        return true;
    case CSR_STVAL:
        *v = cpu->stval;
        return true;
    case CSR_STIMECMP:
        *v = cpu->stimecmp;
        return cpu->model->sstc;
    case CSR_SATP:
        *v = cpu->model->mmu ? cpu->satp : 0;
        return true;
    }
    return false;
}

static bool read_machine_info(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    *v = 0;
    switch (csr) {
    case CSR_MVENDORID:
    case CSR_MCONFIGPTR:
        return true;
    case CSR_MARCHID:
    case CSR_MIMPID:
        *v = is_7_2(cpu) ? 0x70216 : 0;
        return true;
    case CSR_MHARTID:
        *v = cpu->index;
        return true;
    }
    return false;
}

static bool read_pmp(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    if (!cpu->model->pmp) {
        return false;
    }
    if (csr >= CSR_PMPADDR0) {
        *v = cpu->pmpaddr[csr - CSR_PMPADDR0];
        return true;
    }
    unsigned reg = csr - CSR_PMPCFG0;

    if (reg > 2 || (reg & 1)) {
        return false;
    }
    *v = 0;
    for (unsigned k = 0; k < 8; k++) {
        *v |= (uint64_t)cpu->pmpcfg[reg * 4 + k] << (8 * k);
    }
    return true;
}

static bool read_machine(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    switch (csr) {
    case CSR_MSTATUS:
        *v = read_mstatus(cpu);
        return true;
    case CSR_MISA:
        *v = 2ULL << 62 | cpu->model->misa_ext;
        return true;
    case CSR_MEDELEG:
        *v = cpu->medeleg;
        return true;
    case CSR_MIDELEG:
        *v = cpu->mideleg;
        return true;
    case CSR_MIE:
        *v = cpu->mie;
        return true;
    case CSR_MTVEC:
        *v = cpu->mtvec;
        return true;
    case CSR_MCOUNTEREN:
        *v = cpu->mcounteren;
        return true;
    case CSR_MENVCFG:
        *v = cpu->menvcfg;
        return true;
    case CSR_MCOUNTINHIBIT:
        *v = cpu->mcountinhibit;
        return true;
    case CSR_MSCRATCH:
        *v = cpu->mscratch;
        return true;
    case CSR_MEPC:
        *v = cpu->mepc;
        return true;
    case CSR_MCAUSE:
        *v = cpu->mcause;
        return true;
    case CSR_MTVAL:
        *v = cpu->mtval;
        return true;
    case CSR_MIP:
        *v = riscv_cpu_mip(cpu);
        return true;
    case CSR_MCYCLE:
        *v = read_cycle(cpu);
        return true;
    case CSR_MINSTRET:
        *v = read_instret(cpu);
        return true;
    }
    return read_machine_info(cpu, csr, v);
}

static bool csr_read(RISCVCPU *cpu, unsigned csr, uint64_t *v)
{
    if (csr <= CSR_FCSR && csr >= CSR_FFLAGS) {
        return read_fp(cpu, csr, v);
    }
    if (csr >= CSR_CYCLE && csr <= CSR_HPMCOUNTER31) {
        return read_user_counter(cpu, csr & 31, v);
    }
    if (csr >= CSR_MHPMCOUNTER3 && csr <= CSR_MHPMCOUNTER31) {
        *v = cpu->mhpmcounter[csr & 31];
        return hpm_exists(cpu, csr & 31);
    }
    if (csr >= CSR_MHPMEVENT3 && csr <= CSR_MHPMEVENT31) {
        *v = cpu->mhpmevent[csr & 31];
        return true;
    }
    if (csr >= CSR_PMPCFG0 && csr <= CSR_PMPADDR15) {
        return read_pmp(cpu, csr, v);
    }
    return csr >> 8 == 1 ? read_supervisor(cpu, csr, v) : read_machine(cpu, csr, v);
}

bool riscv_csr_peek(RISCVCPU *cpu, unsigned csr, uint64_t *value)
{
    return csr_read(cpu, csr, value);
}

/* ---- writing ---- */

static void write_fp(RISCVCPU *cpu, unsigned csr, uint64_t v)
{
    if (csr != CSR_FRM) {
        cpu->fflags = v & 0x1f;
    }
    if (csr != CSR_FFLAGS) {
        cpu->frm = (csr == CSR_FCSR ? v >> 5 : v) & 7;
    }
    cpu->mstatus |= MSTATUS_FS;
    fpu_update_fast(cpu);
}

static void write_satp(RISCVCPU *cpu, uint64_t v)
{
    unsigned mode = v >> SATP_MODE_SHIFT;
    bool ok = mode == SATP_BARE || mode == SATP_SV39 || (mode == SATP_SV48 && cpu->model->sv48) ||
              (mode == SATP_SV57 && cpu->model->sv57);

    if (cpu->model->mmu && ok && v != cpu->satp) {
        cpu->satp = v;
        riscv_tlb_flush(cpu);
    }
}

/* Bit by bit: the SSWI sets SSIP meanwhile, and an instruction that names another bit must not lose it. */
static void write_soft_mip(RISCVCPU *cpu, uint64_t v, uint64_t mask)
{
    atomic_fetch_or(&cpu->mip_soft, v & mask);
    atomic_fetch_and(&cpu->mip_soft, v | ~mask);
}

static void write_tvec(uint64_t *tvec, uint64_t v)
{
    if ((v & 3) < 2) {
        *tvec = v;
    }
}

uint64_t riscv_csr_menvcfg_mask(const RISCVCPU *cpu)
{
    const CPUModel *m = cpu->model;

    return ENVCFG_MASK | (m->sstc ? MENVCFG_STCE : 0) | (m->svadu ? MENVCFG_ADUE : 0) |
           (is_7_2(cpu) ? MENVCFG_PBMTE : 0);
}

static void write_menvcfg(RISCVCPU *cpu, uint64_t v)
{
    uint64_t mask = riscv_csr_menvcfg_mask(cpu);
    uint64_t changed = (cpu->menvcfg ^ v) & mask;

    cpu->menvcfg = (cpu->menvcfg & ~mask) | (v & mask);
    if (changed & MENVCFG_STCE) {
        riscv_cpu_update_stimer(cpu);
    }
    if (changed & MENVCFG_ADUE) {
        riscv_tlb_flush(cpu);
    }
}

static bool write_supervisor(RISCVCPU *cpu, unsigned csr, uint64_t v, uint64_t touched)
{
    switch (csr) {
    case CSR_SSTATUS:
        write_mstatus(cpu, v, SSTATUS_WRITE);
        return true;
    case CSR_SIE:
        cpu->mie = (cpu->mie & ~cpu->mideleg) | (v & cpu->mideleg);
        return true;
    case CSR_SIP:
        write_soft_mip(cpu, v, MIP_SSIP & cpu->mideleg & touched);
        return true;
    case CSR_STVEC:
        write_tvec(&cpu->stvec, v);
        return true;
    case CSR_SCOUNTEREN:
        cpu->scounteren = is_7_2(cpu) ? v : v & (7 | cpu->model->pmu_mask);
        return true;
    case CSR_SENVCFG:
        cpu->senvcfg = v & ENVCFG_MASK;
        return true;
    case CSR_SSCRATCH:
        cpu->sscratch = v;
        return true;
    case CSR_SEPC:
        cpu->sepc = v & ~1ULL;
        return true;
    case CSR_SCAUSE:
        cpu->scause = v;
        return true;
    case CSR_STVAL:
        cpu->stval = v;
        return true;
    case CSR_STIMECMP:
        __atomic_store_n(&cpu->stimecmp, v, __ATOMIC_RELEASE);
        riscv_cpu_update_stimer(cpu);
        return true;
    case CSR_SATP:
        write_satp(cpu, v);
        return true;
    }
    return false;
}

static bool write_machine(RISCVCPU *cpu, unsigned csr, uint64_t v, uint64_t touched)
{
    switch (csr) {
    case CSR_MSTATUS:
        write_mstatus(cpu, v, MSTATUS_WRITE);
        return true;
    case CSR_MISA:
        return true;            /* fixed */
    case CSR_MEDELEG:
        cpu->medeleg = v & MEDELEG_MASK;
        return true;
    case CSR_MIDELEG:
        cpu->mideleg = v & SIE_BITS;
        return true;
    case CSR_MIE:
        cpu->mie = v & MIE_BITS;
        return true;
    case CSR_MTVEC:
        write_tvec(&cpu->mtvec, v);
        return true;
    case CSR_MCOUNTEREN:
        cpu->mcounteren = is_7_2(cpu) ? v : v & (7 | cpu->model->pmu_mask);
        return true;
    case CSR_MENVCFG:
        write_menvcfg(cpu, v);
        return true;
    case CSR_MCOUNTINHIBIT:
        write_countinhibit(cpu, v);
        return true;
    case CSR_MSCRATCH:
        cpu->mscratch = v;
        return true;
    case CSR_MEPC:
        cpu->mepc = v & ~1ULL;
        return true;
    case CSR_MCAUSE:
        cpu->mcause = v;
        return true;
    case CSR_MTVAL:
        cpu->mtval = v;
        return true;
    case CSR_MIP:
        write_soft_mip(cpu, v, touched &
                       (cpu->menvcfg & MENVCFG_STCE ? MIP_SSIP | MIP_SEIP : MIP_S_ALL));
        return true;
    case CSR_MCYCLE:
        write_cycle(cpu, v);
        return true;
    case CSR_MINSTRET:
        write_instret(cpu, v);
        return true;
    }
    return false;
}

/* touched: the bits that the instruction names; all for csrrw. */
static bool csr_write(RISCVCPU *cpu, unsigned csr, uint64_t v, uint64_t touched)
{
    if (csr <= CSR_FCSR && csr >= CSR_FFLAGS) {
        write_fp(cpu, csr, v);
        return true;
    }
    if (csr >= CSR_MHPMCOUNTER3 && csr <= CSR_MHPMCOUNTER31) {
        cpu->mhpmcounter[csr & 31] = v;
        return true;
    }
    if (csr >= CSR_MHPMEVENT3 && csr <= CSR_MHPMEVENT31) {
        cpu->mhpmevent[csr & 31] = v;     /* kept even where there is no counter, as QEMU does */
        return true;
    }
    if (csr >= CSR_PMPADDR0 && csr <= CSR_PMPADDR15) {
        riscv_pmp_write_addr(cpu, csr - CSR_PMPADDR0, v);
        return true;
    }
    if (csr >= CSR_PMPCFG0 && csr <= CSR_PMPCFG15) {
        riscv_pmp_write_cfg(cpu, csr - CSR_PMPCFG0, v);
        return true;
    }
    return csr >> 8 == 1 ? write_supervisor(cpu, csr, v, touched)
                         : write_machine(cpu, csr, v, touched);
}

bool riscv_csr_access(RISCVCPU *cpu, unsigned csr, int op, bool does_read, bool does_write,
                      uint64_t operand, uint64_t *old)
{
    if (!csr_allowed(cpu, csr, does_write)) {
        return false;
    }
    if (!csr_read(cpu, csr, old)) {
        return false;
    }
    if (!does_write) {
        return true;
    }
    /* SEIP set by the controller must not stick through a read-modify-write (privileged manual) */
    uint64_t base = csr == CSR_MIP ? atomic_load(&cpu->mip_soft) : *old;

    return csr_write(cpu, csr,
                     op == 1 ? operand : op == 2 ? base | operand : base & ~operand,
                     op == 1 ? UINT64_MAX : operand);
}
