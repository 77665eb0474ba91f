/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start, trap entry and exit of the instruction tests. mscratch points at the state. */
#include "runtime.h"
    .section .text.start, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, .
    la sp, stack_top
    la t0, trap_entry
    csrw mtvec, t0
    la t0, state
    csrw mscratch, t0
    call main
    j .

    .text
    .balign 4
    .globl trap_entry
trap_entry:
    csrrw x31, mscratch, x31
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    sd x\n, STATE_X+8*\n(x31)
    .endr
    csrr t0, mscratch
    sd t0, STATE_X+8*31(x31)
    csrr t0, mstatus
    sd t0, STATE_MSTATUS(x31)
    li t1, 0x6000
    csrs mstatus, t1            /* floating point on, to read it */
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fsd f\n, STATE_F+8*\n(x31)
    .endr
    frcsr t0
    sd t0, STATE_FCSR(x31)
    csrr t0, mepc
    sd t0, STATE_PC(x31)
    ld sp, STATE_STACK(x31)
    csrw mscratch, x31
    csrr a0, mcause
    csrr a1, mtval
    call trap
    /* fall through: go on under test */
    .globl enter
enter:
    csrr x31, mscratch
    li t0, 0x6000
    csrs mstatus, t0
    ld t0, STATE_FCSR(x31)
    fscsr t0
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fld f\n, STATE_F+8*\n(x31)
    .endr
    ld t0, STATE_PC(x31)
    csrw mepc, t0
    ld t0, STATE_MSTATUS(x31)
    csrw mstatus, t0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    ld x\n, STATE_X+8*\n(x31)
    .endr
    ld x31, STATE_X+8*31(x31)
    mret

/* int run(void): enters the state; returns when trap() calls leave(). */
    .globl run
run:
    addi sp, sp, -112
    sd ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    sd s\n, 8+8*\n(sp)
    .endr
    la t0, state
    sd sp, STATE_STACK(t0)
    j enter
    .globl leave
leave:
    la t0, state
    ld sp, STATE_STACK(t0)
    ld ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    ld s\n, 8+8*\n(sp)
    .endr
    addi sp, sp, 112
    ret

/*
 * The supervisor's handler under test: logs cause, value and pc, steps over
 * the instruction; what cannot be stepped over is handed up with ecall.
 * sscratch points at its log: [0] hash, [1] count, [2..4] saved registers.
 */
    .balign 4
    .globl s_trap
s_trap:
    csrrw x31, sscratch, x31
    sd x30, 16(x31)
    sd x29, 24(x31)
    ld x30, 0(x31)
    csrr x29, scause
    ori x29, x29, 2             /* load faults count as stores': see trap() */
    xor x30, x30, x29
    slli x29, x30, 7
    add x30, x30, x29
    csrr x29, stval
    srli x29, x29, 3            /* and the byte of a word does not: see value_of() */
    xor x30, x30, x29
    slli x29, x30, 13
    add x30, x30, x29
    csrr x29, sepc
    xor x30, x30, x29
    slli x29, x30, 9
    add x30, x30, x29
    csrr x29, sstatus
    xor x30, x30, x29
    sd x30, 0(x31)
    ld x30, 8(x31)
    addi x30, x30, 1
    sd x30, 8(x31)
    addi x30, x30, -64
    bgtz x30, 2f
    csrr x29, scause
    bltz x29, 2f
    li x30, 1
    beq x29, x30, 2f
    li x30, 12
    beq x29, x30, 2f
    csrr x29, sepc
    li x30, 0x40000             /* SUM: the code may be the user's */
    csrs sstatus, x30
    lhu x30, 0(x29)
    andi x30, x30, 3
    addi x30, x30, -3
    addi x29, x29, 2
    bnez x30, 1f
    addi x29, x29, 2
1:  csrw sepc, x29
    ld x30, 16(x31)
    ld x29, 24(x31)
    csrrw x31, sscratch, x31
    sret
2:  ecall
    j 2b
