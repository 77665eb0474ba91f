/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of the integer instructions; included in the middle of
 * interp_run (exec.c), whose macros they use.
 */

#define ALU(op, expr) \
    H(op) \
    { \
        uint64_t a = X(insn->rs1), b2 = X(insn->rs2); \
        (void)a, (void)b2; \
        X(insn->rd) = (expr); \
        NEXT; \
    }
#define ALUI(op, expr) \
    H(op) \
    { \
        uint64_t a = X(insn->rs1); \
        int64_t imm = insn->imm; \
        (void)a, (void)imm; \
        X(insn->rd) = (expr); \
        NEXT; \
    }
#define SEXT32(v) ((uint64_t)(int64_t)(int32_t)(v))

H(OP_NOP)
NEXT;
H(OP_LI)
X(insn->rd) = (uint64_t)(int64_t)insn->imm;
NEXT;
H(OP_MV)
X(insn->rd) = X(insn->rs1);
NEXT;
H(OP_AUIPC)
X(insn->rd) = PC + (uint64_t)(int64_t)insn->imm;
NEXT;
H(XOP_PCREL)
X(insn->rd) = PC + (uint64_t)(int64_t)insn->imm;
NEXT;

ALUI(OP_ADDI, a + imm)
ALUI(OP_SLTI, (int64_t)a < imm)
ALUI(OP_SLTIU, a < (uint64_t)imm)
ALUI(OP_XORI, a ^ imm)
ALUI(OP_ORI, a | imm)
ALUI(OP_ANDI, a & imm)
ALUI(OP_SLLI, a << (imm & 63))
ALUI(OP_SRLI, a >> (imm & 63))
ALUI(OP_SRAI, (uint64_t)((int64_t)a >> (imm & 63)))
ALUI(OP_ADDIW, SEXT32(a + imm))
ALUI(OP_SLLIW, SEXT32((uint32_t)a << (imm & 31)))
ALUI(OP_SRLIW, SEXT32((uint32_t)a >> (imm & 31)))
ALUI(OP_SRAIW, SEXT32((int32_t)a >> (imm & 31)))
ALUI(XOP_ZEXT_W, (uint32_t)a)
ALUI(XOP_SLLI_SRLI, a << (insn->rs2 & 63) >> (imm & 63))

ALU(OP_ADD, a + b2)
ALU(OP_SUB, a - b2)
ALU(OP_SLL, a << (b2 & 63))
ALU(OP_SLT, (int64_t)a < (int64_t)b2)
ALU(OP_SLTU, a < b2)
ALU(OP_XOR, a ^ b2)
ALU(OP_SRL, a >> (b2 & 63))
ALU(OP_SRA, (uint64_t)((int64_t)a >> (b2 & 63)))
ALU(OP_OR, a | b2)
ALU(OP_AND, a &b2)
ALU(OP_ADDW, SEXT32(a + b2))
ALU(OP_SUBW, SEXT32(a - b2))
ALU(OP_SLLW, SEXT32((uint32_t)a << (b2 & 31)))
ALU(OP_SRLW, SEXT32((uint32_t)a >> (b2 & 31)))
ALU(OP_SRAW, SEXT32((int32_t)a >> (b2 & 31)))

ALU(OP_MUL, a *b2)
ALU(OP_MULH, (uint64_t)(((__int128)(int64_t)a * (int64_t)b2) >> 64))
ALU(OP_MULHSU, (uint64_t)(((__int128)(int64_t)a * (unsigned __int128)b2) >> 64))
ALU(OP_MULHU, (uint64_t)(((unsigned __int128)a * b2) >> 64))
ALU(OP_DIV, b2 == 0 ? UINT64_MAX
            : (int64_t)b2 == -1 ? -a : (uint64_t)((int64_t)a / (int64_t)b2))
ALU(OP_DIVU, b2 ? a / b2 : UINT64_MAX)
ALU(OP_REM, b2 == 0 ? a : (int64_t)b2 == -1 ? 0 : (uint64_t)((int64_t)a % (int64_t)b2))
ALU(OP_REMU, b2 ? a % b2 : a)
ALU(OP_MULW, SEXT32(a *b2))
ALU(OP_DIVW, (int32_t)b2 == 0 ? UINT64_MAX
             : (int32_t)b2 == -1 ? SEXT32(-(uint32_t)a) : SEXT32((int32_t)a / (int32_t)b2))
ALU(OP_DIVUW, (uint32_t)b2 ? SEXT32((uint32_t)a / (uint32_t)b2) : UINT64_MAX)
ALU(OP_REMW, (int32_t)b2 == 0 ? SEXT32(a)
             : (int32_t)b2 == -1 ? 0 : SEXT32((int32_t)a % (int32_t)b2))
ALU(OP_REMUW, (uint32_t)b2 ? SEXT32((uint32_t)a % (uint32_t)b2) : SEXT32(a))

/* Zba */
ALU(OP_SH1ADD, (a << 1) + b2)
ALU(OP_SH2ADD, (a << 2) + b2)
ALU(OP_SH3ADD, (a << 3) + b2)
ALU(OP_ADD_UW, (uint64_t)(uint32_t)a + b2)
ALU(OP_SH1ADD_UW, ((uint64_t)(uint32_t)a << 1) + b2)
ALU(OP_SH2ADD_UW, ((uint64_t)(uint32_t)a << 2) + b2)
ALU(OP_SH3ADD_UW, ((uint64_t)(uint32_t)a << 3) + b2)
ALUI(OP_SLLI_UW, (uint64_t)(uint32_t)a << (imm & 63))
/* Zbb */
ALU(OP_ANDN, a & ~b2)
ALU(OP_ORN, a | ~b2)
ALU(OP_XNOR, ~(a ^ b2))
ALUI(OP_CLZ, a ? (uint64_t)__builtin_clzll(a) : 64)
ALUI(OP_CTZ, a ? (uint64_t)__builtin_ctzll(a) : 64)
ALUI(OP_CPOP, (uint64_t)__builtin_popcountll(a))
ALUI(OP_CLZW, (uint32_t)a ? (uint64_t)__builtin_clz((uint32_t)a) : 32)
ALUI(OP_CTZW, (uint32_t)a ? (uint64_t)__builtin_ctz((uint32_t)a) : 32)
ALUI(OP_CPOPW, (uint64_t)__builtin_popcount((uint32_t)a))
ALU(OP_MAX, (int64_t)a > (int64_t)b2 ? a : b2)
ALU(OP_MAXU, a > b2 ? a : b2)
ALU(OP_MIN, (int64_t)a < (int64_t)b2 ? a : b2)
ALU(OP_MINU, a < b2 ? a : b2)
ALUI(OP_SEXT_B, (uint64_t)(int64_t)(int8_t)a)
ALUI(OP_SEXT_H, (uint64_t)(int64_t)(int16_t)a)
ALUI(OP_ZEXT_H, (uint64_t)(uint16_t)a)
ALU(OP_ROL, a << (b2 & 63) | a >> (-b2 & 63))
ALU(OP_ROR, a >> (b2 & 63) | a << (-b2 & 63))
ALUI(OP_RORI, a >> (imm & 63) | a << (-imm & 63))
ALU(OP_ROLW, SEXT32((uint32_t)a << (b2 & 31) | (uint32_t)a >> (-b2 & 31)))
ALU(OP_RORW, SEXT32((uint32_t)a >> (b2 & 31) | (uint32_t)a << (-b2 & 31)))
ALUI(OP_RORIW, SEXT32((uint32_t)a >> (imm & 31) | (uint32_t)a << (-imm & 31)))
ALUI(OP_ORC_B, orc_b(a))
ALUI(OP_REV8, __builtin_bswap64(a))
/* Zbc */
ALU(OP_CLMUL, clmul(a, b2))
ALU(OP_CLMULH, clmulh(a, b2))
ALU(OP_CLMULR, clmulr(a, b2))
/* Zbs */
ALU(OP_BCLR, a & ~(1ULL << (b2 & 63)))
ALUI(OP_BCLRI, a & ~(1ULL << (imm & 63)))
ALU(OP_BEXT, a >> (b2 & 63) & 1)
ALUI(OP_BEXTI, a >> (imm & 63) & 1)
ALU(OP_BINV, a ^ (1ULL << (b2 & 63)))
ALUI(OP_BINVI, a ^ (1ULL << (imm & 63)))
ALU(OP_BSET, a | (1ULL << (b2 & 63)))
ALUI(OP_BSETI, a | (1ULL << (imm & 63)))

/* ---- branches: not taken goes on in the block, behind the link slot ---- */

#define BRANCH(op, cond) \
    H(op) \
    { \
        uint64_t a = X(insn->rs1), b2 = X(insn->rs2); \
        (void)b2; \
        if (cond) { \
            JUMP(PC + (uint64_t)(int64_t)insn->imm); \
        } \
        insn += 2; \
        DISPATCH; \
    }
BRANCH(OP_BEQ, a == b2)
BRANCH(OP_BNE, a != b2)
BRANCH(OP_BLT, (int64_t)a < (int64_t)b2)
BRANCH(OP_BGE, (int64_t)a >= (int64_t)b2)
BRANCH(OP_BLTU, a < b2)
BRANCH(OP_BGEU, a >= b2)
#undef BRANCH
#define BRANCH_ZERO(op, cond) \
    H(op) \
    { \
        uint64_t a = X(insn->rs1); \
        if (cond) { \
            JUMP(PC + (uint64_t)(int64_t)insn->imm); \
        } \
        insn += 2; \
        DISPATCH; \
    }
BRANCH_ZERO(XOP_BEQZ, a == 0)
BRANCH_ZERO(XOP_BNEZ, a != 0)

H(XOP_J)
JUMP(PC + (uint64_t)(int64_t)insn->imm);
H(OP_JAL)
X(insn->rd) = PC + insn->rs2;
JUMP(PC + (uint64_t)(int64_t)insn->imm);
H(XOP_CALL)
X(insn->rs1) = PC + (uint64_t)(int64_t)insn[2].imm;
X(insn->rd) = PC + insn->rs2;
JUMP(PC + (uint64_t)(int64_t)insn->imm);
H(OP_JALR)
{
    uint64_t to = (X(insn->rs1) + (uint64_t)(int64_t)insn->imm) & ~1ULL;

    X(insn->rd) = PC + insn->rs2;
    JUMP_INDIRECT(to);
}
H(XOP_RET)
JUMP_INDIRECT(X(insn->rs1) & ~1ULL);
H(XOP_END)
JUMP(PC);

#undef ALU
#undef ALUI
#undef BRANCH_ZERO
