/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of fences, CSRs, traps and privilege; included in the middle of
 * interp_run (exec.c). All of them end their block.
 */

H(OP_FENCE)
#if defined(__x86_64__)
if ((insn->imm & 0x10) && (insn->imm & 0x2)) {  /* only store to load can pass on this host */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#else
__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
NEXT;
H(OP_FENCE_I)
riscv_fetch_flush(cpu);
LEAVE(PC + 4);
H(OP_PAUSE)
if (cpus_count(cpu->list) > 1) {
    sched_yield();      /* another hart holds what this one waits for */
}
LEAVE(PC + 4);
H(OP_WRS)
if (cpus_count(cpu->list) > 1) {
    sched_yield();
}
LEAVE(PC + 4);
H(OP_ECALL)
riscv_raise(cpu, EXC_ECALL_U + cpu->priv, 0);
goto raise;
H(OP_EBREAK)
riscv_raise(cpu, EXC_BREAKPOINT, 0);
goto raise;
H(OP_ILLEGAL)
goto illegal;
H(OP_CSR)
switch (csr_insn(cpu, insn)) {
case CSR_ILLEGAL:
    goto illegal;
case CSR_DONE:
    LEAVE(PC + 4);
}
__builtin_unreachable();
H(OP_MRET)
cpu->instret += (uint32_t)insn[1].imm;
if (UNLIKELY(!riscv_cpu_mret(cpu))) {
    cpu->instret -= (uint32_t)insn[1].imm;
    goto illegal;
}
goto changed;
H(OP_SRET)
cpu->instret += (uint32_t)insn[1].imm;
if (UNLIKELY(!riscv_cpu_sret(cpu))) {
    cpu->instret -= (uint32_t)insn[1].imm;
    goto illegal;
}
goto changed;
H(OP_WFI)
if (cpu->priv == PRV_U || (cpu->priv == PRV_S && (cpu->mstatus & MSTATUS_TW))) {
    goto illegal;
}
cpu->instret += (uint32_t)insn[1].imm;
cpu->pc = PC + 4;
if (!riscv_cpu_has_work(cpu)) {
    atomic_store(&cpu->halted, true);
    return NULL;
}
goto changed;
H(OP_SFENCE_VMA)
if (cpu->priv == PRV_U || (cpu->priv == PRV_S && (cpu->mstatus & MSTATUS_TVM))) {
    goto illegal;
}
if (insn->rs1) {
    riscv_tlb_flush_page(cpu, X(insn->rs1));
} else {
    riscv_tlb_flush(cpu);
}
LEAVE(PC + 4);

H(OP_CBO_ZERO)
if (!envcfg_allows(cpu, MENVCFG_CBZE)) {
    goto illegal;
}
for (unsigned k = 0; k < 64; k += 8) {
    if (!riscv_mem_store(cpu, (X(insn->rs1) & ~63ULL) + k, 8, 0)) {
        cpu->exc_tval = X(insn->rs1);
        goto raise;
    }
}
NEXT;
H(OP_CBO_CLEAN)
if (!envcfg_allows(cpu, MENVCFG_CBCFE)) {
    goto illegal;
}
if (!cbo_access(cpu, X(insn->rs1))) {
    goto raise;
}
NEXT;
H(OP_CBO_INVAL)
if (!envcfg_allows(cpu, MENVCFG_CBIE)) {
    goto illegal;
}
if (!cbo_access(cpu, X(insn->rs1))) {
    goto raise;
}
NEXT;
