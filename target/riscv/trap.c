/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traps in and out: exceptions, interrupts, mret, sret. Hart thread; called by the interpreter. */
#include <inttypes.h>
#include "target/riscv/cpu.h"
#include "target/riscv/fpu.h"
#include "util/log.h"

void riscv_cpu_mode_changed(RISCVCPU *cpu)
{
    cpu->tlb = &cpu->tlbs[riscv_data_mode(cpu)];
    cpu->gen = cpu->gens[cpu->priv];
    fpu_update_fast(cpu);
}

static uint64_t vector(uint64_t tvec, uint64_t cause)
{
    uint64_t base = tvec & ~3ULL;

    return (tvec & 1) && (cause & CAUSE_INTERRUPT) ? base + 4 * (cause & 63) : base;
}

static void trap_to_s(RISCVCPU *cpu, uint64_t cause, uint64_t tval)
{
    uint64_t s = cpu->mstatus;

    s = (s & ~MSTATUS_SPIE) | (s & MSTATUS_SIE ? MSTATUS_SPIE : 0);
    s = (s & ~MSTATUS_SPP) | (cpu->priv == PRV_S ? MSTATUS_SPP : 0);
    cpu->mstatus = s & ~MSTATUS_SIE;
    cpu->scause = cause;
    cpu->sepc = cpu->pc;
    cpu->stval = tval;
    cpu->pc = vector(cpu->stvec, cause);
    cpu->priv = PRV_S;
}

static void trap_to_m(RISCVCPU *cpu, uint64_t cause, uint64_t tval)
{
    uint64_t s = cpu->mstatus;

    s = (s & ~MSTATUS_MPIE) | (s & MSTATUS_MIE ? MSTATUS_MPIE : 0);
    s = (s & ~MSTATUS_MPP) | (uint64_t)cpu->priv << MSTATUS_MPP_SHIFT;
    cpu->mstatus = s & ~MSTATUS_MIE;
    cpu->mcause = cause;
    cpu->mepc = cpu->pc;
    cpu->mtval = tval;
    cpu->pc = vector(cpu->mtvec, cause);
    cpu->priv = PRV_M;
}

static const char *cause_name(uint64_t cause)
{
    static const char *const exceptions[] = {
        "misaligned_fetch", "fault_fetch", "illegal_instruction", "breakpoint", "misaligned_load",
        "fault_load", "misaligned_store", "fault_store", "user_ecall", "supervisor_ecall",
        "hypervisor_ecall", "machine_ecall", "exec_page_fault", "load_page_fault", "reserved",
        "store_page_fault",
    };
    static const char *const interrupts[] = {
        "u_software", "s_software", "vs_software", "m_software", "u_timer", "s_timer", "vs_timer",
        "m_timer", "u_external", "s_external", "vs_external", "m_external",
    };
    uint64_t n = cause & ~CAUSE_INTERRUPT;

    if (cause & CAUSE_INTERRUPT) {
        return n < G_N_ELEMENTS(interrupts) ? interrupts[n] : "(unknown)";
    }
    return n < G_N_ELEMENTS(exceptions) ? exceptions[n] : "(unknown)";
}

static void log_trap(const RISCVCPU *cpu, uint64_t cause, uint64_t tval)
{
    log_mask(LOG_INT, "riscv_cpu_do_interrupt: hart:%u, async:%d, cause:%016" PRIx64
             ", epc:0x%016" PRIx64 ", tval:0x%016" PRIx64 ", desc=%s\n", cpu->index,
             (cause & CAUSE_INTERRUPT) != 0, (uint64_t)(cause & ~CAUSE_INTERRUPT), cpu->pc, tval,
             cause_name(cause));
}

void riscv_cpu_trap(RISCVCPU *cpu, uint64_t cause, uint64_t tval)
{
    uint64_t deleg = cause & CAUSE_INTERRUPT ? cpu->mideleg : cpu->medeleg;

    log_trap(cpu, cause, tval);
    cpu->load_res = UINT64_MAX;     /* an LR before the trap does not pair with an SC after it */
    if (cpu->priv <= PRV_S && ((deleg >> (cause & 63)) & 1)) {
        trap_to_s(cpu, cause, tval);
    } else {
        trap_to_m(cpu, cause, tval);
    }
    riscv_cpu_mode_changed(cpu);
}

/*
 * A line that rose while its interrupt was masked has had its one kick: the
 * return that unmasks it has to look.
 */
static void request_if_pending(RISCVCPU *cpu)
{
    if (riscv_cpu_pending_irq(cpu) >= 0) {
        atomic_store(&cpu->pending, 1);
    }
}

bool riscv_cpu_mret(RISCVCPU *cpu)
{
    uint64_t s = cpu->mstatus;
    unsigned to = (s & MSTATUS_MPP) >> MSTATUS_MPP_SHIFT;

    if (cpu->priv != PRV_M) {
        return false;
    }
    s = (s & ~MSTATUS_MIE) | (s & MSTATUS_MPIE ? MSTATUS_MIE : 0);
    s = (s | MSTATUS_MPIE) & ~MSTATUS_MPP;
    if (to != PRV_M) {
        s &= ~MSTATUS_MPRV;
    }
    cpu->mstatus = s;
    cpu->priv = to;
    cpu->pc = cpu->mepc;
    riscv_cpu_mode_changed(cpu);
    request_if_pending(cpu);
    return true;
}

bool riscv_cpu_sret(RISCVCPU *cpu)
{
    uint64_t s = cpu->mstatus;

    if (cpu->priv < PRV_S || (cpu->priv == PRV_S && (s & MSTATUS_TSR))) {
        return false;
    }
    cpu->priv = s & MSTATUS_SPP ? PRV_S : PRV_U;
    s = (s & ~MSTATUS_SIE) | (s & MSTATUS_SPIE ? MSTATUS_SIE : 0);
    cpu->mstatus = (s | MSTATUS_SPIE) & ~(MSTATUS_SPP | MSTATUS_MPRV);
    cpu->pc = cpu->sepc;
    riscv_cpu_mode_changed(cpu);
    request_if_pending(cpu);
    return true;
}
