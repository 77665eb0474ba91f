/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry and trap handler of the bare-metal guests. All harts come in at _start in M mode with
 * a0 = hart id, a1 = device tree (0 on -M none); each gets a stack and calls bare_main.
 * The timer interrupt is handled here without touching what the interrupted code uses.
 */
    .section .text.start, "ax"
    .globl _start
_start:
    csrw mie, zero
    li t0, 1 << 13              /* mstatus.FS: floating point on */
    csrs mstatus, t0
    la t0, trap
    csrw mtvec, t0
    li t0, 8
    bgeu a0, t0, park
    bnez a0, wait

    la t0, bss_start            /* hart 0 clears what the loader leaves alone after a reset */
    la t1, bss_end
1:  bgeu t0, t1, 2f
    sd zero, 0(t0)
    addi t0, t0, 8
    j 1b
2:  fence rw, rw
    la t0, started
    li t1, 1
    sw t1, 0(t0)
    j go

wait:
    la t0, started
3:  lw t1, 0(t0)
    beqz t1, 3b
    fence rw, rw
go:
    la sp, stacks
    addi t0, a0, 1
    slli t0, t0, 13             /* 8 KiB each */
    add sp, sp, t0
    la t0, hart_ticks           /* struct hart_tick of this hart: bare.c */
    slli t1, a0, 6
    add t0, t0, t1
    csrw mscratch, t0
    call bare_main
park:
    wfi
    j park

    .balign 4
trap:
    csrrw a0, mscratch, a0
    sd t0, 0(a0)
    sd t1, 8(a0)
    sd t2, 16(a0)
    csrr t0, mcause
    bgez t0, 8f
    ld t1, 24(a0)               /* ticks++ */
    addi t1, t1, 1
    sd t1, 24(a0)
    ld t1, 32(a0)               /* next += period */
    ld t2, 40(a0)
    add t1, t1, t2
    sd t1, 32(a0)
    ld t2, 48(a0)               /* the compare register; 0: stimecmp */
    beqz t2, 6f
    sd t1, 0(t2)
    j 7f
6:  csrw 0x14d, t1
7:  ld t0, 0(a0)
    ld t1, 8(a0)
    ld t2, 16(a0)
    csrrw a0, mscratch, a0
    mret
8:  csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    call bare_exception
    j park

    .section .data
    .balign 8
started:
    .word 0
    .section .bss
    .balign 16
stacks:
    .space 8 * 8192
    .section .note.GNU-stack, "", @progbits
