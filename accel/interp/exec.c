/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's loop: threaded code over decoded blocks. Each handler
 * ends in a jump to the next one's address. Nothing is counted or checked per
 * instruction: the pc is the block's address plus the instruction's offset,
 * retired instructions are added and requests are looked at when a block is
 * left. Called by the hart's thread (softmmu/cpus.c) through AccelOps.
 */
#if defined(__GNUC__) && !defined(__clang__)
/* keep one indirect jump per handler, so that the host can predict each by itself */
#pragma GCC optimize("no-gcse", "no-crossjumping")
#endif
#include <math.h>
#include <sched.h>
#include "accel/accel.h"
#include "accel/interp/block.h"
#include "softmmu/guest-ram.h"
#include "target/riscv/fpu.h"
#include "util/error.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- Zbb, Zbc helpers ---- */

static uint64_t orc_b(uint64_t a)
{
    const uint64_t low = 0x0101010101010101ULL;

    a |= a >> 4 & 0x0f0f0f0f0f0f0f0fULL;
    a |= a >> 2 & 0x0303030303030303ULL;
    a |= a >> 1;
    return (a & low) * 0xff;
}

static uint64_t clmul(uint64_t a, uint64_t b)
{
    uint64_t r = 0;

    for (unsigned i = 0; i < 64; i++) {
        r ^= (b >> i) & 1 ? a << i : 0;
    }
    return r;
}

static uint64_t clmulr(uint64_t a, uint64_t b)
{
    uint64_t r = 0;

    for (unsigned i = 0; i < 64; i++) {
        r ^= (b >> i) & 1 ? a >> (63 - i) : 0;
    }
    return r;
}

static uint64_t clmulh(uint64_t a, uint64_t b)
{
    return clmulr(a, b) >> 1;
}

/* ---- instructions that need more than a line ---- */

typedef enum { CSR_DONE, CSR_ILLEGAL } CsrResult;

static bool changes_interrupts(unsigned csr)
{
    switch (csr) {
    case CSR_MSTATUS:
    case CSR_SSTATUS:
    case CSR_MIE:
    case CSR_SIE:
    case CSR_MIP:
    case CSR_SIP:
    case CSR_MIDELEG:
    case CSR_STIMECMP:
    case CSR_MENVCFG:
        return true;
    }
    return false;
}

/* After an instruction that may have enabled an interrupt which waits already. */
static void note_pending_irq(RISCVCPU *cpu)
{
    if (riscv_cpu_pending_irq(cpu) >= 0) {
        atomic_store(&cpu->pending, 1);
    }
}

static CsrResult csr_insn(RISCVCPU *cpu, const Insn *insn)
{
    unsigned csr = (unsigned)insn->imm, funct3 = insn->rs2, op = funct3 & 3;
    bool is_fp = csr >= CSR_FFLAGS && csr <= CSR_FCSR, ok;
    uint64_t operand = funct3 & 4 ? insn->rs1 : cpu->x[insn->rs1], old;
    bool does_write = op == 1 || insn->rs1 != 0;

    if (is_fp) {
        fpu_leave(cpu);
    }
    cpu->instret += (uint32_t)insn[1].imm - 1;      /* what minstret must show */
    ok = riscv_csr_access(cpu, csr, op, op != 1 || insn->rd != REG_SINK, does_write, operand,
                          &old);
    cpu->instret -= (uint32_t)insn[1].imm - 1;      /* the exit adds it */
    if (is_fp) {
        fpu_enter(cpu);
    }
    if (!ok) {
        return CSR_ILLEGAL;
    }
    cpu->x[insn->rd] = old;
    if (does_write && changes_interrupts(csr)) {
        note_pending_irq(cpu);
    }
    return CSR_DONE;
}

/* One of the envcfg gates of a cache-block operation. */
static bool envcfg_allows(const RISCVCPU *cpu, uint64_t bit)
{
    if (cpu->priv < PRV_M && !(cpu->menvcfg & bit)) {
        return false;
    }
    return cpu->priv != PRV_U || (cpu->senvcfg & bit);
}

/* Cache-block management needs any access right; there is no cache to manage. */
static bool cbo_access(RISCVCPU *cpu, uint64_t va)
{
    uint64_t v;

    if (riscv_mem_load(cpu, va, 1, &v)) {
        return true;
    }
    if (cpu->exc_cause != EXC_MISSING) {
        cpu->exc_cause = cpu->exc_cause == EXC_LOAD_PAGE ? EXC_STORE_PAGE : EXC_STORE_ACCESS;
    }
    return false;
}

typedef enum { FP_DONE, FP_AGAIN, FP_ILLEGAL } FpResult;

/* Turns the FPU state dirty: FP_ILLEGAL if it is off. */
static FpResult fp_make_dirty(RISCVCPU *cpu)
{
    if (!(cpu->mstatus & MSTATUS_FS)) {
        return FP_ILLEGAL;
    }
    cpu->mstatus |= MSTATUS_FS;
    fpu_update_fast(cpu);
    return FP_AGAIN;
}

static FpResult fp_slow(RISCVCPU *cpu, RiscvOp op, const Insn *insn, uint64_t a, uint64_t b,
                        uint64_t c)
{
    unsigned rm = insn->imm & 7;

    rm = rm == RM_DYN ? cpu->frm : rm;
    if (!(cpu->mstatus & MSTATUS_FS) || rm > RM_RMM) {
        return FP_ILLEGAL;
    }
    if (!cpu->fp_fast[8]) {
        fp_make_dirty(cpu);
    }
    cpu->f[insn->rd] = fpu_slow(cpu, op, rm, a, b, c);
    return FP_DONE;
}

/* ---- the loop ---- */

#define X(r) (cpu->x[r])
#define PC (vbase + 2u * insn->off)
#define DISPATCH goto *insn->h
#define NEXT \
    do { \
        insn++; \
        DISPATCH; \
    } while (0)
#define H(op) L_##op:

/* Enters block nb, known to be at pc `to`, if nothing is pending. */
#define ENTER_IF_VALID(nb, to) \
    if (LIKELY((nb)->vpc == (to) && (nb)->gen == gen && \
               !atomic_load_explicit(&cpu->pending, memory_order_relaxed))) { \
        block = (nb); \
        vbase = (to); \
        insn = block->insns; \
        DISPATCH; \
    }
/* Leaves for a target known from the instruction, through its link slot. */
#define JUMP(target_expr) \
    do { \
        uint64_t to_ = (target_expr); \
        Block *nb_ = (Block *)insn[1].h; \
        cpu->instret += (uint32_t)insn[1].imm; \
        ENTER_IF_VALID(nb_, to_) \
        link = insn + 1; \
        cpu->pc = to_; \
        goto jump_slow; \
    } while (0)
/* Leaves for a computed target, through the jump cache. */
#define JUMP_INDIRECT(target_expr) \
    do { \
        uint64_t to_ = (target_expr); \
        Block *nb_ = jump_cache[block_jump_hash(to_)]; \
        cpu->instret += (uint32_t)insn[1].imm; \
        ENTER_IF_VALID(nb_, to_) \
        cpu->pc = to_; \
        goto changed; \
    } while (0)
/* Goes on behind an instruction after which everything may be different. */
#define LEAVE(next_pc) \
    do { \
        cpu->instret += (uint32_t)insn[1].imm; \
        cpu->pc = (next_pc); \
        link = insn + 1; \
        goto jump_slow; \
    } while (0)
#define FP_WRITES \
    if (UNLIKELY(!cpu->fp_fast[8]) && fp_make_dirty(cpu) == FP_ILLEGAL) { \
        goto illegal; \
    }
#define FP_READS \
    if (UNLIKELY(!(cpu->mstatus & MSTATUS_FS))) { \
        goto illegal; \
    }

/* With cpu NULL only hands out the handler table. */
static const void *const *run_or_table(RISCVCPU *cpu)
{
#define LABEL(name) [OP_##name] = &&L_OP_##name,
    static const void *const handlers[XOP_COUNT] = {
        RISCV_OPS(LABEL)
        [XOP_END] = &&L_XOP_END,
        [XOP_PCREL] = &&L_XOP_PCREL,
        [XOP_CALL] = &&L_XOP_CALL,
        [XOP_ZEXT_W] = &&L_XOP_ZEXT_W,
        [XOP_SLLI_SRLI] = &&L_XOP_SLLI_SRLI,
        [XOP_BEQZ] = &&L_XOP_BEQZ,
        [XOP_BNEZ] = &&L_XOP_BNEZ,
        [XOP_J] = &&L_XOP_J,
        [XOP_RET] = &&L_XOP_RET,
    };
    const Insn *insn;
    const Insn *link;
    Block *block;
    Block *const *jump_cache;
    const TLB *tlb;
    uint64_t vbase, gen, resets;

    if (!cpu) {
        return handlers;
    }
    jump_cache = cpu->interp->jump_cache;

changed:
    link = NULL;
jump_slow:
    if (atomic_load_explicit(&cpu->pending, memory_order_relaxed)) {
        return NULL;
    }
    resets = cpu->interp->resets;
    block = block_find(cpu, cpu->pc);
    if (UNLIKELY(!block)) {
        goto raise_at_pc;
    }
    if (link && resets == cpu->interp->resets && block->vpc == cpu->pc) {
        ((Insn *)link)->h = block;
    }
    gen = cpu->gen;
    tlb = cpu->tlb;
    vbase = cpu->pc;
    insn = block->insns;
    DISPATCH;

#include "accel/interp/ops-int.h"
#include "accel/interp/ops-mem.h"
#include "accel/interp/ops-fp.h"
#include "accel/interp/ops-sys.h"

illegal:
    riscv_raise(cpu, EXC_ILLEGAL, block_raw_insn(block, insn->off));
raise:
    cpu->pc = PC;
    cpu->instret += block_insns_before(block, insn->off);
raise_at_pc:
    if (UNLIKELY(cpu->exc_cause == EXC_MISSING)) {
        return NULL;        /* as if the instruction had not been begun */
    }
    riscv_cpu_trap(cpu, cpu->exc_cause, cpu->exc_tval);
    goto changed;
}

void interp_run(RISCVCPU *cpu)
{
    run_or_table(cpu);
}

static bool interp_init(RISCVCPU *cpu, GError **errp)
{
    cpu->interp = interp_state_new(run_or_table(NULL), errp);
    return cpu->interp != NULL;
}

static void interp_destroy(RISCVCPU *cpu)
{
    interp_state_free(cpu->interp);
    cpu->interp = NULL;
}

const AccelOps accel_interp_ops = {
    .name = "tcg",      /* the name under which QEMU's users know software execution */
    .init = interp_init,
    .destroy = interp_destroy,
    .run = interp_run,
    .flush = block_flush,
};
