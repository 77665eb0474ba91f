/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed instructions: each becomes the 32-bit operation it abbreviates. Called by decode.c only. */
#include "target/riscv/decode-c.h"

#define BITS(v, lo, n) (((v) >> (lo)) & ((1u << (n)) - 1))

static void set(Decoded *d, RiscvOp op, unsigned rd, unsigned rs1, unsigned rs2, int32_t imm)
{
    d->op = op;
    d->rd = rd;
    d->rs1 = rs1;
    d->rs2 = rs2;
    d->imm = imm;
}

static int32_t imm6(unsigned b)
{
    return (int32_t)(BITS(b, 12, 1) << 31) >> 26 | BITS(b, 2, 5);
}

static int32_t imm_cj(unsigned b)
{
    return (int32_t)(BITS(b, 12, 1) << 31) >> 20 | BITS(b, 8, 1) << 10 | BITS(b, 9, 2) << 8 |
           BITS(b, 6, 1) << 7 | BITS(b, 7, 1) << 6 | BITS(b, 2, 1) << 5 | BITS(b, 11, 1) << 4 |
           BITS(b, 3, 3) << 1;
}

static int32_t imm_cb(unsigned b)
{
    return (int32_t)(BITS(b, 12, 1) << 31) >> 23 | BITS(b, 5, 2) << 6 | BITS(b, 2, 1) << 5 |
           BITS(b, 10, 2) << 3 | BITS(b, 3, 2) << 1;
}

static void decode_q0(unsigned b, Decoded *d)
{
    unsigned rdp = 8 + BITS(b, 2, 3), rs1p = 8 + BITS(b, 7, 3);
    unsigned w = BITS(b, 10, 3) << 3 | BITS(b, 6, 1) << 2 | BITS(b, 5, 1) << 6;
    unsigned dw = BITS(b, 10, 3) << 3 | BITS(b, 5, 2) << 6;
    unsigned spn = BITS(b, 7, 4) << 6 | BITS(b, 11, 2) << 4 | BITS(b, 5, 1) << 3 |
                   BITS(b, 6, 1) << 2;

    switch (BITS(b, 13, 3)) {
    case 0:
        if (spn) {
            set(d, OP_ADDI, rdp, 2, 0, spn);
        }
        break;
    case 1:
        set(d, OP_FLD, rdp, rs1p, 0, dw);
        break;
    case 2:
        set(d, OP_LW, rdp, rs1p, 0, w);
        break;
    case 3:
        set(d, OP_LD, rdp, rs1p, 0, dw);
        break;
    case 5:
        set(d, OP_FSD, 0, rs1p, rdp, dw);
        break;
    case 6:
        set(d, OP_SW, 0, rs1p, rdp, w);
        break;
    case 7:
        set(d, OP_SD, 0, rs1p, rdp, dw);
        break;
    }
}

static void decode_q1_alu(unsigned b, Decoded *d)
{
    static const uint8_t ops[8] = {OP_SUB,  OP_XOR,  OP_OR,      OP_AND,
                                   OP_SUBW, OP_ADDW, OP_ILLEGAL, OP_ILLEGAL};
    unsigned rdp = 8 + BITS(b, 7, 3);
    int32_t imm = imm6(b);

    switch (BITS(b, 10, 2)) {
    case 0:
        set(d, OP_SRLI, rdp, rdp, 0, imm & 63);
        break;
    case 1:
        set(d, OP_SRAI, rdp, rdp, 0, imm & 63);
        break;
    case 2:
        set(d, OP_ANDI, rdp, rdp, 0, imm);
        break;
    case 3:
        set(d, ops[BITS(b, 12, 1) << 2 | BITS(b, 5, 2)], rdp, rdp, 8 + BITS(b, 2, 3), 0);
        break;
    }
}

static void decode_lui_addi16sp(unsigned b, Decoded *d)
{
    unsigned rd = BITS(b, 7, 5);
    int32_t sp = (int32_t)(BITS(b, 12, 1) << 31) >> 22 | BITS(b, 3, 2) << 7 |
                 BITS(b, 5, 1) << 6 | BITS(b, 2, 1) << 5 | BITS(b, 6, 1) << 4;

    if (rd == 2) {
        if (sp) {
            set(d, OP_ADDI, 2, 2, 0, sp);
        }
    } else if (imm6(b)) {
        set(d, OP_LI, rd, 0, 0, (int32_t)((uint32_t)imm6(b) << 12));
    }
}

static void decode_q1(unsigned b, Decoded *d)
{
    unsigned rd = BITS(b, 7, 5);

    switch (BITS(b, 13, 3)) {
    case 0:
        set(d, OP_ADDI, rd, rd, 0, imm6(b));
        break;
    case 1:
        if (rd) {
            set(d, OP_ADDIW, rd, rd, 0, imm6(b));
        }
        break;
    case 2:
        set(d, OP_LI, rd, 0, 0, imm6(b));
        break;
    case 3:
        decode_lui_addi16sp(b, d);
        break;
    case 4:
        decode_q1_alu(b, d);
        break;
    case 5:
        set(d, OP_JAL, 0, 0, 0, imm_cj(b));
        break;
    case 6:
        set(d, OP_BEQ, 0, 8 + BITS(b, 7, 3), 0, imm_cb(b));
        break;
    case 7:
        set(d, OP_BNE, 0, 8 + BITS(b, 7, 3), 0, imm_cb(b));
        break;
    }
}

static void decode_q2_jump(unsigned b, Decoded *d)
{
    unsigned rd = BITS(b, 7, 5), rs2 = BITS(b, 2, 5);

    if (BITS(b, 12, 1) == 0) {
        if (rs2) {
            set(d, OP_MV, rd, rs2, 0, 0);
        } else if (rd) {
            set(d, OP_JALR, 0, rd, 0, 0);
        }
    } else if (rs2) {
        set(d, OP_ADD, rd, rd, rs2, 0);
    } else if (rd) {
        set(d, OP_JALR, 1, rd, 0, 0);
    } else {
        set(d, OP_EBREAK, 0, 0, 0, 0);
    }
}

static void decode_q2(unsigned b, Decoded *d)
{
    unsigned rd = BITS(b, 7, 5), rs2 = BITS(b, 2, 5);
    unsigned lw = BITS(b, 12, 1) << 5 | BITS(b, 4, 3) << 2 | BITS(b, 2, 2) << 6;
    unsigned ld = BITS(b, 12, 1) << 5 | BITS(b, 5, 2) << 3 | BITS(b, 2, 3) << 6;
    unsigned sw = BITS(b, 9, 4) << 2 | BITS(b, 7, 2) << 6;
    unsigned sd = BITS(b, 10, 3) << 3 | BITS(b, 7, 3) << 6;

    switch (BITS(b, 13, 3)) {
    case 0:
        set(d, OP_SLLI, rd, rd, 0, imm6(b) & 63);
        break;
    case 1:
        set(d, OP_FLD, rd, 2, 0, ld);
        break;
    case 2:
        if (rd) {
            set(d, OP_LW, rd, 2, 0, lw);
        }
        break;
    case 3:
        if (rd) {
            set(d, OP_LD, rd, 2, 0, ld);
        }
        break;
    case 4:
        decode_q2_jump(b, d);
        break;
    case 5:
        set(d, OP_FSD, 0, 2, rs2, sd);
        break;
    case 6:
        set(d, OP_SW, 0, 2, rs2, sw);
        break;
    case 7:
        set(d, OP_SD, 0, 2, rs2, sd);
        break;
    }
}

void riscv_decode_c(uint16_t bits, Decoded *d)
{
    switch (bits & 3) {
    case 0:
        decode_q0(bits, d);
        break;
    case 1:
        decode_q1(bits, d);
        break;
    case 2:
        decode_q2(bits, d);
        break;
    }
}
