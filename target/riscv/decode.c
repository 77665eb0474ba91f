/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit instruction decoding (the tables of the ISA manual, opcode by
 * opcode). Called through riscv_decode; compressed ones are in decode-c.c.
 */
#include "target/riscv/decode.h"
#include "target/riscv/decode-c.h"

#define BITS(v, lo, n) (((v) >> (lo)) & ((1u << (n)) - 1))
#define RD(b) BITS(b, 7, 5)
#define RS1(b) BITS(b, 15, 5)
#define RS2(b) BITS(b, 20, 5)
#define FUNCT3(b) BITS(b, 12, 3)
#define FUNCT7(b) BITS(b, 25, 7)

static int32_t imm_i(uint32_t b)
{
    return (int32_t)b >> 20;
}

static int32_t imm_s(uint32_t b)
{
    return ((int32_t)(b & 0xfe000000) >> 20) | BITS(b, 7, 5);
}

static int32_t imm_b(uint32_t b)
{
    return ((int32_t)(b & 0x80000000) >> 19) | BITS(b, 7, 1) << 11 | BITS(b, 25, 6) << 5 |
           BITS(b, 8, 4) << 1;
}

static int32_t imm_j(uint32_t b)
{
    return ((int32_t)(b & 0x80000000) >> 11) | BITS(b, 12, 8) << 12 | BITS(b, 20, 1) << 11 |
           BITS(b, 21, 10) << 1;
}

static RiscvOp pick(const uint8_t *table, unsigned index)
{
    return table[index];
}

static RiscvOp need(bool have, RiscvOp op)
{
    return have ? op : OP_ILLEGAL;
}

static void decode_load(uint32_t b, Decoded *d)
{
    static const uint8_t ops[8] = {OP_LB, OP_LH, OP_LW, OP_LD, OP_LBU, OP_LHU, OP_LWU, OP_ILLEGAL};

    d->op = pick(ops, FUNCT3(b));
    d->imm = imm_i(b);
}

static void decode_store(uint32_t b, Decoded *d)
{
    static const uint8_t ops[8] = {OP_SB, OP_SH, OP_SW, OP_SD};

    d->op = FUNCT3(b) < 4 ? pick(ops, FUNCT3(b)) : OP_ILLEGAL;
    d->imm = imm_s(b);
}

static void decode_branch(uint32_t b, Decoded *d)
{
    static const uint8_t ops[8] = {OP_BEQ, OP_BNE,  OP_ILLEGAL, OP_ILLEGAL,
                                   OP_BLT, OP_BGE, OP_BLTU,    OP_BGEU};

    d->op = pick(ops, FUNCT3(b));
    d->imm = imm_b(b);
}

/* OP-IMM, funct3 1: shifts left and the unary Zbb group. */
static RiscvOp decode_slli_group(uint32_t b, const CPUModel *m)
{
    switch (BITS(b, 26, 6)) {
    case 0x00:
        return OP_SLLI;
    case 0x0a:
        return need(m->zbs, OP_BSETI);
    case 0x12:
        return need(m->zbs, OP_BCLRI);
    case 0x1a:
        return need(m->zbs, OP_BINVI);
    case 0x18:
        switch (BITS(b, 20, 6)) {
        case 0:
            return need(m->zbb, OP_CLZ);
        case 1:
            return need(m->zbb, OP_CTZ);
        case 2:
            return need(m->zbb, OP_CPOP);
        case 4:
            return need(m->zbb, OP_SEXT_B);
        case 5:
            return need(m->zbb, OP_SEXT_H);
        }
    }
    return OP_ILLEGAL;
}

static RiscvOp decode_srli_group(uint32_t b, const CPUModel *m)
{
    switch (BITS(b, 26, 6)) {
    case 0x00:
        return OP_SRLI;
    case 0x10:
        return OP_SRAI;
    case 0x18:
        return need(m->zbb, OP_RORI);
    case 0x12:
        return need(m->zbs, OP_BEXTI);
    case 0x0a:
        return need(m->zbb && BITS(b, 20, 6) == 7, OP_ORC_B);
    case 0x1a:
        return need(m->zbb && BITS(b, 20, 6) == 0x38, OP_REV8);
    }
    return OP_ILLEGAL;
}

static void decode_op_imm(uint32_t b, const CPUModel *m, Decoded *d)
{
    static const uint8_t ops[8] = {OP_ADDI, 0, OP_SLTI, OP_SLTIU, OP_XORI, 0, OP_ORI, OP_ANDI};

    switch (FUNCT3(b)) {
    case 1:
        d->op = decode_slli_group(b, m);
        d->imm = BITS(b, 20, 6);
        break;
    case 5:
        d->op = decode_srli_group(b, m);
        d->imm = BITS(b, 20, 6);
        break;
    default:
        d->op = pick(ops, FUNCT3(b));
        d->imm = imm_i(b);
    }
}

static void decode_op_imm32(uint32_t b, const CPUModel *m, Decoded *d)
{
    d->imm = BITS(b, 20, 5);
    switch (FUNCT3(b)) {
    case 0:
        d->op = OP_ADDIW;
        d->imm = imm_i(b);
        return;
    case 1:
        if (FUNCT7(b) == 0x00) {
            d->op = OP_SLLIW;
        } else if (BITS(b, 26, 6) == 0x02 && m->zba) {
            d->op = OP_SLLI_UW;
            d->imm = BITS(b, 20, 6);
        } else if (FUNCT7(b) == 0x30 && m->zbb && d->imm <= 2) {
            d->op = d->imm == 0 ? OP_CLZW : d->imm == 1 ? OP_CTZW : OP_CPOPW;
        }
        return;
    case 5:
        if (FUNCT7(b) == 0x00) {
            d->op = OP_SRLIW;
        } else if (FUNCT7(b) == 0x20) {
            d->op = OP_SRAIW;
        } else if (FUNCT7(b) == 0x30 && m->zbb) {
            d->op = OP_RORIW;
        }
        return;
    }
}

static RiscvOp decode_op(uint32_t b, const CPUModel *m)
{
    static const uint8_t base[8] = {OP_ADD, OP_SLL, OP_SLT, OP_SLTU, OP_XOR, OP_SRL, OP_OR, OP_AND};
    static const uint8_t mul[8] = {OP_MUL, OP_MULH, OP_MULHSU, OP_MULHU,
                                   OP_DIV, OP_DIVU, OP_REM,    OP_REMU};
    unsigned f3 = FUNCT3(b);

    switch (FUNCT7(b)) {
    case 0x00:
        return pick(base, f3);
    case 0x01:
        return pick(mul, f3);
    case 0x20:
        switch (f3) {
        case 0:
            return OP_SUB;
        case 5:
            return OP_SRA;
        case 4:
            return need(m->zbb, OP_XNOR);
        case 6:
            return need(m->zbb, OP_ORN);
        case 7:
            return need(m->zbb, OP_ANDN);
        }
        break;
    case 0x05:
        switch (f3) {
        case 1:
            return need(m->zbc, OP_CLMUL);
        case 2:
            return need(m->zbc, OP_CLMULR);
        case 3:
            return need(m->zbc, OP_CLMULH);
        case 4:
            return need(m->zbb, OP_MIN);
        case 5:
            return need(m->zbb, OP_MINU);
        case 6:
            return need(m->zbb, OP_MAX);
        case 7:
            return need(m->zbb, OP_MAXU);
        }
        break;
    case 0x10:
        return f3 == 2 ? need(m->zba, OP_SH1ADD)
               : f3 == 4 ? need(m->zba, OP_SH2ADD)
               : f3 == 6 ? need(m->zba, OP_SH3ADD) : OP_ILLEGAL;
    case 0x14:
        return need(m->zbs && f3 == 1, OP_BSET);
    case 0x24:
        return f3 == 1 ? need(m->zbs, OP_BCLR) : need(m->zbs && f3 == 5, OP_BEXT);
    case 0x34:
        return need(m->zbs && f3 == 1, OP_BINV);
    case 0x30:
        return f3 == 1 ? need(m->zbb, OP_ROL) : need(m->zbb && f3 == 5, OP_ROR);
    }
    return OP_ILLEGAL;
}

static RiscvOp decode_op32(uint32_t b, const CPUModel *m)
{
    static const uint8_t mul[8] = {OP_MULW, OP_ILLEGAL, OP_ILLEGAL, OP_ILLEGAL,
                                   OP_DIVW, OP_DIVUW,   OP_REMW,    OP_REMUW};
    unsigned f3 = FUNCT3(b);

    switch (FUNCT7(b)) {
    case 0x00:
        return f3 == 0 ? OP_ADDW : f3 == 1 ? OP_SLLW : f3 == 5 ? OP_SRLW : OP_ILLEGAL;
    case 0x01:
        return pick(mul, f3);
    case 0x20:
        return f3 == 0 ? OP_SUBW : f3 == 5 ? OP_SRAW : OP_ILLEGAL;
    case 0x04:
        return f3 == 0 ? need(m->zba, OP_ADD_UW)
               : f3 == 4 ? need(m->zbb && RS2(b) == 0, OP_ZEXT_H) : OP_ILLEGAL;
    case 0x10:
        return f3 == 2 ? need(m->zba, OP_SH1ADD_UW)
               : f3 == 4 ? need(m->zba, OP_SH2ADD_UW)
               : f3 == 6 ? need(m->zba, OP_SH3ADD_UW) : OP_ILLEGAL;
    case 0x30:
        return f3 == 1 ? need(m->zbb, OP_ROLW) : need(m->zbb && f3 == 5, OP_RORW);
    }
    return OP_ILLEGAL;
}

static RiscvOp decode_amo(uint32_t b)
{
    static const uint8_t ops[32] = {
        [0x02] = OP_LR_W - OP_LR_W + 1, [0x03] = OP_SC_W - OP_LR_W + 1,
        [0x01] = OP_AMOSWAP_W - OP_LR_W + 1, [0x00] = OP_AMOADD_W - OP_LR_W + 1,
        [0x04] = OP_AMOXOR_W - OP_LR_W + 1, [0x0c] = OP_AMOAND_W - OP_LR_W + 1,
        [0x08] = OP_AMOOR_W - OP_LR_W + 1, [0x10] = OP_AMOMIN_W - OP_LR_W + 1,
        [0x14] = OP_AMOMAX_W - OP_LR_W + 1, [0x18] = OP_AMOMINU_W - OP_LR_W + 1,
        [0x1c] = OP_AMOMAXU_W - OP_LR_W + 1,
    };
    unsigned index = ops[BITS(b, 27, 5)];
    unsigned f3 = FUNCT3(b);

    if (!index || (f3 != 2 && f3 != 3)) {
        return OP_ILLEGAL;
    }
    if (index == 1 && RS2(b)) {     /* LR has no second source */
        return OP_ILLEGAL;
    }
    return (f3 == 2 ? OP_LR_W : OP_LR_D) + index - 1;
}

static RiscvOp decode_system(uint32_t b, Decoded *d)
{
    if (FUNCT3(b) == 4) {
        return OP_ILLEGAL;
    }
    if (FUNCT3(b)) {
        d->imm = b >> 20;
        d->rm = FUNCT3(b);
        return OP_CSR;
    }
    if (FUNCT7(b) == 0x09 && RD(b) == 0) {
        return OP_SFENCE_VMA;
    }
    switch (b) {
    case 0x00000073:
        return OP_ECALL;
    case 0x00100073:
        return OP_EBREAK;
    case 0x10200073:
        return OP_SRET;
    case 0x30200073:
        return OP_MRET;
    case 0x10500073:
        return OP_WFI;
    }
    return OP_ILLEGAL;
}

static RiscvOp decode_misc_mem(uint32_t b, const CPUModel *m)
{
    switch (FUNCT3(b)) {
    case 0:
        return b == 0x0100000f ? OP_PAUSE : OP_FENCE;
    case 1:
        return OP_FENCE_I;
    case 2:
        if (RD(b)) {
            return OP_ILLEGAL;
        }
        switch (b >> 20) {
        case 0:
            return need(m->zicbom, OP_CBO_INVAL);
        case 1:
        case 2:
            return need(m->zicbom, OP_CBO_CLEAN);
        case 4:
            return need(m->zicboz, OP_CBO_ZERO);
        }
    }
    return OP_ILLEGAL;
}

/* OP-FP after the format bit is known; s: single. Single and double ops are in the same order. */
static RiscvOp decode_fp(uint32_t b, Decoded *d)
{
    static const uint8_t sgnj[8] = {OP_FSGNJ_S, OP_FSGNJN_S, OP_FSGNJX_S};
    static const uint8_t cmp[8] = {OP_FLE_S, OP_FLT_S, OP_FEQ_S};
    unsigned fmt = BITS(b, 25, 2), f3 = FUNCT3(b), rs2 = RS2(b);
    unsigned shift = fmt == 1 ? OP_FADD_D - OP_FADD_S : 0;

    if (fmt > 1) {
        return OP_ILLEGAL;
    }
    d->rm = f3;
    switch (FUNCT7(b) >> 2) {
    case 0x00:
        return OP_FADD_S + shift;
    case 0x01:
        return OP_FSUB_S + shift;
    case 0x02:
        return OP_FMUL_S + shift;
    case 0x03:
        return OP_FDIV_S + shift;
    case 0x0b:
        return rs2 ? OP_ILLEGAL : OP_FSQRT_S + shift;
    case 0x04:
        return f3 < 3 ? sgnj[f3] + shift : OP_ILLEGAL;
    case 0x05:
        return f3 < 2 ? OP_FMIN_S + f3 + shift : OP_ILLEGAL;
    case 0x14:
        return f3 < 3 ? cmp[f3] + shift : OP_ILLEGAL;
    case 0x18:
        return rs2 < 4 ? OP_FCVT_W_S + rs2 + shift : OP_ILLEGAL;
    case 0x1a:
        return rs2 < 4 ? OP_FCVT_S_W + rs2 + shift : OP_ILLEGAL;
    case 0x1c:
        return rs2 || f3 > 1 ? OP_ILLEGAL : (f3 ? OP_FCLASS_S : OP_FMV_X_W) + shift;
    case 0x1e:
        return rs2 || f3 ? OP_ILLEGAL : OP_FMV_W_X + shift;
    case 0x08:
        return fmt == 0 && rs2 == 1   ? OP_FCVT_S_D
               : fmt == 1 && rs2 == 0 ? OP_FCVT_D_S : OP_ILLEGAL;
    }
    return OP_ILLEGAL;
}

static RiscvOp decode_fma(uint32_t b, Decoded *d)
{
    unsigned fmt = BITS(b, 25, 2);
    RiscvOp op = OP_FMADD_S + BITS(b, 2, 2);

    d->rs3 = b >> 27;
    d->rm = FUNCT3(b);
    return fmt > 1 ? OP_ILLEGAL : fmt ? op + (OP_FMADD_D - OP_FMADD_S) : op;
}

static void decode32(uint32_t b, const CPUModel *m, Decoded *d)
{
    switch (b & 0x7f) {
    case 0x03:
        decode_load(b, d);
        break;
    case 0x07:
        d->op = FUNCT3(b) == 2 ? OP_FLW : FUNCT3(b) == 3 ? OP_FLD : OP_ILLEGAL;
        d->imm = imm_i(b);
        break;
    case 0x0f:
        d->op = decode_misc_mem(b, m);
        d->imm = b >> 20;       /* FENCE: predecessor and successor sets */
        break;
    case 0x13:
        decode_op_imm(b, m, d);
        break;
    case 0x17:
        d->op = OP_AUIPC;
        d->imm = b & 0xfffff000;
        break;
    case 0x1b:
        decode_op_imm32(b, m, d);
        break;
    case 0x23:
        decode_store(b, d);
        break;
    case 0x27:
        d->op = FUNCT3(b) == 2 ? OP_FSW : FUNCT3(b) == 3 ? OP_FSD : OP_ILLEGAL;
        d->imm = imm_s(b);
        break;
    case 0x2f:
        d->op = decode_amo(b);
        break;
    case 0x33:
        d->op = decode_op(b, m);
        break;
    case 0x37:
        d->op = OP_LI;
        d->imm = b & 0xfffff000;
        break;
    case 0x3b:
        d->op = decode_op32(b, m);
        break;
    case 0x43:
    case 0x47:
    case 0x4b:
    case 0x4f:
        d->op = decode_fma(b, d);
        break;
    case 0x53:
        d->op = decode_fp(b, d);
        break;
    case 0x63:
        decode_branch(b, d);
        break;
    case 0x67:
        d->op = FUNCT3(b) ? OP_ILLEGAL : OP_JALR;
        d->imm = imm_i(b);
        break;
    case 0x6f:
        d->op = OP_JAL;
        d->imm = imm_j(b);
        break;
    case 0x73:
        d->op = decode_system(b, d);
        if (m->zawrs && (b == 0x00d00073 || b == 0x01d00073)) {
            d->op = OP_WRS;
        }
        break;
    }
}

void riscv_decode(uint32_t bits, const CPUModel *model, Decoded *out)
{
    *out = (Decoded){.op = OP_ILLEGAL, .len = riscv_insn_length(bits)};
    if (out->len == 2) {
        riscv_decode_c(bits, out);
        return;
    }
    out->rd = RD(bits);
    out->rs1 = RS1(bits);
    out->rs2 = RS2(bits);
    decode32(bits, model, out);
    if (out->op == OP_ADDI && out->rs1 == 0) {
        out->op = OP_LI;
    }
}

const char *riscv_op_name(RiscvOp op)
{
#define RISCV_OP_NAME(name) #name,
    static const char *const names[] = {RISCV_OPS(RISCV_OP_NAME)};

    return op < OP_COUNT ? names[op] : "?";
}
