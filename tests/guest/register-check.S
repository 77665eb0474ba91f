/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uint64_t register_check(uint64_t seed, uint64_t loops)
 *
 * Every integer register but zero, sp, gp, tp and every floating-point register holds a value
 * derived from the seed while a loop runs; then all are compared. Returns how many were wrong.
 * Called by checker.c and bare.c.
 */
    .text
    .globl register_check
    .type register_check, @function
register_check:
    addi sp, sp, -256
    sd ra, 0(sp)
    sd s0, 8(sp)
    sd s1, 16(sp)
    sd s2, 24(sp)
    sd s3, 32(sp)
    sd s4, 40(sp)
    sd s5, 48(sp)
    sd s6, 56(sp)
    sd s7, 64(sp)
    sd s8, 72(sp)
    sd s9, 80(sp)
    sd s10, 88(sp)
    sd s11, 96(sp)
    fsd fs0, 104(sp)
    fsd fs1, 112(sp)
    fsd fs2, 120(sp)
    fsd fs3, 128(sp)
    fsd fs4, 136(sp)
    fsd fs5, 144(sp)
    fsd fs6, 152(sp)
    fsd fs7, 160(sp)
    fsd fs8, 168(sp)
    fsd fs9, 176(sp)
    fsd fs10, 184(sp)
    fsd fs11, 192(sp)

    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    addi t0, a0, 33 + \n
    fmv.d.x f\n, t0
    .endr
    .irp n, 1,5,7,8,9,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    addi x\n, a0, \n
    .endr

    /* a1 counts down; t1 (x6) is scratch; a0 is the seed. */
1:  addi a1, a1, -1
    bnez a1, 1b

    li a1, 0
    .irp n, 1,5,7,8,9,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    addi t1, a0, \n
    sub t1, t1, x\n
    snez t1, t1
    add a1, a1, t1
    .endr
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    addi t1, a0, 33 + \n
    fmv.x.d t0, f\n
    sub t1, t1, t0
    snez t1, t1
    add a1, a1, t1
    .endr
    mv a0, a1

    ld ra, 0(sp)
    ld s0, 8(sp)
    ld s1, 16(sp)
    ld s2, 24(sp)
    ld s3, 32(sp)
    ld s4, 40(sp)
    ld s5, 48(sp)
    ld s6, 56(sp)
    ld s7, 64(sp)
    ld s8, 72(sp)
    ld s9, 80(sp)
    ld s10, 88(sp)
    ld s11, 96(sp)
    fld fs0, 104(sp)
    fld fs1, 112(sp)
    fld fs2, 120(sp)
    fld fs3, 128(sp)
    fld fs4, 136(sp)
    fld fs5, 144(sp)
    fld fs6, 152(sp)
    fld fs7, 160(sp)
    fld fs8, 168(sp)
    fld fs9, 176(sp)
    fld fs10, 184(sp)
    fld fs11, 192(sp)
    addi sp, sp, 256
    ret
    .size register_check, . - register_check
    .section .note.GNU-stack, "", @progbits
