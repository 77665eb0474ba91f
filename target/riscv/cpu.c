/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hart's reset state, interrupt inputs, timer and the marks it sets when it
 * enters and leaves guest code. Called by softmmu/cpus.c and the interpreter.
 */
#include "target/riscv/cpu.h"
#include "target/riscv/offered.h"
#include "target/riscv/fpu.h"
#include "target/riscv/wire.h"

void riscv_cpu_reset(RISCVCPU *cpu)
{
    if (cpu->wire) {
        riscv_offered_reset(cpu);
        riscv_wire_reset(cpu->wire);
    }
    memset(cpu->x, 0, sizeof(cpu->x));
    memset(cpu->f, 0, sizeof(cpu->f));
    cpu->pc = cpu->start_pc;
    cpu->priv = PRV_M;
    cpu->mstatus = MSTATUS_XLENS;
    cpu->frm = cpu->fflags = 0;
    cpu->load_res = UINT64_MAX;
    cpu->load_val = 0;
    cpu->mie = cpu->mideleg = cpu->medeleg = cpu->satp = 0;
    cpu->stval = cpu->stvec = cpu->sepc = cpu->scause = cpu->sscratch = 0;
    cpu->mtvec = cpu->mepc = cpu->mcause = cpu->mtval = cpu->mscratch = 0;
    cpu->menvcfg = cpu->model->svadu ? MENVCFG_ADUE : 0;
    cpu->senvcfg = 0;
    cpu->stimecmp = 0;
    cpu->mcounteren = cpu->scounteren = cpu->mcountinhibit = 0;
    cpu->mcycle_off = cpu->minstret_off = 0;
    memset(cpu->mhpmcounter, 0, sizeof(cpu->mhpmcounter));
    memset(cpu->mhpmevent, 0, sizeof(cpu->mhpmevent));
    memset(cpu->pmpcfg, 0, sizeof(cpu->pmpcfg));
    memset(cpu->pmpaddr, 0, sizeof(cpu->pmpaddr));
    atomic_store(&cpu->mip_soft, 0);
    atomic_fetch_and(&cpu->irq_lines, ~MIP_STIP);   /* the other lines are the devices' */
    atomic_store(&cpu->halted, false);
    clock_timer_del(cpu->stimer);
    riscv_cpu_forget_page(cpu);
    riscv_pmp_recompute(cpu);
    riscv_cpu_mode_changed(cpu);
}

void riscv_cpu_forget_page(RISCVCPU *cpu)
{
    present_map_forget(cpu->machine->present, &cpu->page_waiter);
    g_mutex_lock(&cpu->lock);
    cpu->page_wait = false;
    g_mutex_unlock(&cpu->lock);
}

uint64_t riscv_cpu_time(RISCVCPU *cpu)
{
    return (uint64_t)virtual_clock_get_ns(cpu->machine->clock) / MTIME_NS_PER_TICK;
}

/* ---- interrupts ---- */

bool riscv_cpu_has_work(RISCVCPU *cpu)
{
    return riscv_cpu_mip(cpu) & cpu->mie;
}

int riscv_cpu_pending_irq(RISCVCPU *cpu)
{
    static const uint8_t order[] = {IRQ_M_EXT, IRQ_M_SOFT, IRQ_M_TIMER,
                                    IRQ_S_EXT, IRQ_S_SOFT, IRQ_S_TIMER};
    uint64_t pending = riscv_cpu_mip(cpu) & cpu->mie;
    bool m_on = cpu->priv < PRV_M || (cpu->mstatus & MSTATUS_MIE);
    bool s_on = cpu->priv < PRV_S || (cpu->priv == PRV_S && (cpu->mstatus & MSTATUS_SIE));
    uint64_t take = m_on ? pending & ~cpu->mideleg : 0;

    if (!take && s_on) {
        take = pending & cpu->mideleg;
    }
    if (!take) {
        return -1;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        if ((take >> order[i]) & 1) {
            return order[i];
        }
    }
    return -1;
}

void riscv_cpu_kick(RISCVCPU *cpu)
{
    atomic_store(&cpu->pending, 1);
    g_mutex_lock(&cpu->lock);
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->lock);
}

void riscv_cpu_set_line(RISCVCPU *cpu, int irq, bool level)
{
    uint64_t bit = 1ULL << irq;

    if (!level) {
        atomic_fetch_and(&cpu->irq_lines, ~bit);
        return;
    }
    if (!(atomic_fetch_or(&cpu->irq_lines, bit) & bit)) {
        riscv_cpu_kick(cpu);
    }
}

void riscv_cpu_raise_ssip(RISCVCPU *cpu)
{
    if (!(atomic_fetch_or(&cpu->mip_soft, MIP_SSIP) & MIP_SSIP)) {
        riscv_cpu_kick(cpu);
    }
}

void riscv_cpu_update_stimer(RISCVCPU *cpu)
{
    if (!cpu->model->sstc || !(cpu->menvcfg & MENVCFG_STCE)) {
        clock_timer_del(cpu->stimer);
        atomic_fetch_and(&cpu->irq_lines, ~MIP_STIP);
        return;
    }
    if (riscv_cpu_time(cpu) >= cpu->stimecmp) {
        clock_timer_del(cpu->stimer);
        atomic_fetch_or(&cpu->irq_lines, MIP_STIP);
        return;
    }
    atomic_fetch_and(&cpu->irq_lines, ~MIP_STIP);
    if (cpu->stimecmp > INT64_MAX / MTIME_NS_PER_TICK) {
        clock_timer_del(cpu->stimer);       /* all ones: no timer; centuries away: neither */
    } else {
        clock_timer_mod(cpu->stimer, (int64_t)cpu->stimecmp * MTIME_NS_PER_TICK);
    }
}

void riscv_cpu_stimer_fired(void *opaque)
{
    RISCVCPU *cpu = opaque;
    uint64_t deadline = __atomic_load_n(&cpu->stimecmp, __ATOMIC_ACQUIRE);

    /* the guest may just have set a later one, whose timer is armed or about to be */
    if (riscv_cpu_time(cpu) >= deadline) {
        riscv_cpu_set_line(cpu, IRQ_S_TIMER, true);
    }
}

/* ---- guest code in and out ---- */

void riscv_cpu_enter_guest(RISCVCPU *cpu)
{
    uint64_t epoch;

    atomic_store(&cpu->in_exec, 1);     /* seq_cst: before the epoch is read */
    epoch = atomic_load(cpu->write_epoch);
    if (epoch != atomic_load_explicit(&cpu->seen_epoch, memory_order_relaxed)) {
        riscv_tlb_drop_writes(cpu);
        atomic_store(&cpu->seen_epoch, epoch);
    }
    fpu_enter(cpu);
}

void riscv_cpu_leave_guest(RISCVCPU *cpu)
{
    fpu_leave(cpu);
    atomic_store(&cpu->in_exec, 0);
}
