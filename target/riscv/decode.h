/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instruction decoding: 16- and 32-bit RV64GC (and Zba, Zbb, Zbc, Zbs,
 * Zicbom, Zicboz, Zawrs) into one operation number and its operands. Pure:
 * knows nothing of a CPU's state. Called by accel/interp when it builds a
 * block, and by tests.
 */
#ifndef TARGET_RISCV_DECODE_H
#define TARGET_RISCV_DECODE_H

#include <stdbool.h>
#include <stdint.h>
#include "target/riscv/model.h"

/* clang-format off */
#define RISCV_OPS(X) \
    X(ILLEGAL) X(NOP) X(LI) X(MV) X(AUIPC) X(JAL) X(JALR) \
    X(BEQ) X(BNE) X(BLT) X(BGE) X(BLTU) X(BGEU) \
    X(LB) X(LH) X(LW) X(LD) X(LBU) X(LHU) X(LWU) X(SB) X(SH) X(SW) X(SD) \
    X(ADDI) X(SLTI) X(SLTIU) X(XORI) X(ORI) X(ANDI) X(SLLI) X(SRLI) X(SRAI) \
    X(ADD) X(SUB) X(SLL) X(SLT) X(SLTU) X(XOR) X(SRL) X(SRA) X(OR) X(AND) \
    X(ADDIW) X(SLLIW) X(SRLIW) X(SRAIW) X(ADDW) X(SUBW) X(SLLW) X(SRLW) X(SRAW) \
    X(MUL) X(MULH) X(MULHSU) X(MULHU) X(DIV) X(DIVU) X(REM) X(REMU) \
    X(MULW) X(DIVW) X(DIVUW) X(REMW) X(REMUW) \
    X(FENCE) X(FENCE_I) X(PAUSE) X(ECALL) X(EBREAK) X(CSR) X(MRET) X(SRET) X(WFI) X(SFENCE_VMA) \
    X(WRS) X(CBO_ZERO) X(CBO_CLEAN) X(CBO_INVAL) \
    X(LR_W) X(SC_W) X(AMOSWAP_W) X(AMOADD_W) X(AMOXOR_W) X(AMOAND_W) X(AMOOR_W) \
    X(AMOMIN_W) X(AMOMAX_W) X(AMOMINU_W) X(AMOMAXU_W) \
    X(LR_D) X(SC_D) X(AMOSWAP_D) X(AMOADD_D) X(AMOXOR_D) X(AMOAND_D) X(AMOOR_D) \
    X(AMOMIN_D) X(AMOMAX_D) X(AMOMINU_D) X(AMOMAXU_D) \
    X(FLW) X(FLD) X(FSW) X(FSD) \
    X(FMADD_S) X(FMSUB_S) X(FNMSUB_S) X(FNMADD_S) X(FMADD_D) X(FMSUB_D) X(FNMSUB_D) X(FNMADD_D) \
    X(FADD_S) X(FSUB_S) X(FMUL_S) X(FDIV_S) X(FSQRT_S) \
    X(FSGNJ_S) X(FSGNJN_S) X(FSGNJX_S) X(FMIN_S) X(FMAX_S) \
    X(FCVT_W_S) X(FCVT_WU_S) X(FCVT_L_S) X(FCVT_LU_S) X(FMV_X_W) X(FEQ_S) X(FLT_S) X(FLE_S) \
    X(FCLASS_S) X(FCVT_S_W) X(FCVT_S_WU) X(FCVT_S_L) X(FCVT_S_LU) X(FMV_W_X) X(FCVT_S_D) \
    X(FADD_D) X(FSUB_D) X(FMUL_D) X(FDIV_D) X(FSQRT_D) \
    X(FSGNJ_D) X(FSGNJN_D) X(FSGNJX_D) X(FMIN_D) X(FMAX_D) \
    X(FCVT_W_D) X(FCVT_WU_D) X(FCVT_L_D) X(FCVT_LU_D) X(FMV_X_D) X(FEQ_D) X(FLT_D) X(FLE_D) \
    X(FCLASS_D) X(FCVT_D_W) X(FCVT_D_WU) X(FCVT_D_L) X(FCVT_D_LU) X(FMV_D_X) X(FCVT_D_S) \
    X(SH1ADD) X(SH2ADD) X(SH3ADD) X(ADD_UW) X(SH1ADD_UW) X(SH2ADD_UW) X(SH3ADD_UW) X(SLLI_UW) \
    X(ANDN) X(ORN) X(XNOR) X(CLZ) X(CTZ) X(CPOP) X(CLZW) X(CTZW) X(CPOPW) \
    X(MAX) X(MAXU) X(MIN) X(MINU) X(SEXT_B) X(SEXT_H) X(ZEXT_H) \
    X(ROL) X(ROR) X(RORI) X(ROLW) X(RORW) X(RORIW) X(ORC_B) X(REV8) \
    X(CLMUL) X(CLMULH) X(CLMULR) \
    X(BCLR) X(BCLRI) X(BEXT) X(BEXTI) X(BINV) X(BINVI) X(BSET) X(BSETI)
/* clang-format on */

#define RISCV_OP_ENUM(name) OP_##name,
typedef enum RiscvOp { RISCV_OPS(RISCV_OP_ENUM) OP_COUNT } RiscvOp;

typedef struct Decoded {
    RiscvOp op;
    uint8_t rd, rs1, rs2, rs3;
    uint8_t rm;                 /* FP rounding mode field; CSR: funct3 */
    uint8_t len;                /* 2 or 4 */
    int32_t imm;                /* sign-extended; CSR: number; shifts: amount */
} Decoded;

/** Decodes the instruction in bits (only the low 16 matter if it is compressed). */
void riscv_decode(uint32_t bits, const CPUModel *model, Decoded *out);
const char *riscv_op_name(RiscvOp op);

static inline unsigned riscv_insn_length(uint16_t low)
{
    return (low & 3) == 3 ? 4 : 2;
}

#endif
