/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of floating point; included in the middle of interp_run (exec.c).
 * insn->imm holds the rounding mode field and rs3. The short way runs on the
 * host's FPU in the guest's mode; exec.c's fp_slow does everything else.
 */

#define F(r) (cpu->f[r])
#define FS(r) f32_of(f32_unbox(F(r)))
#define FD(r) f64_of(F(r))
#define FP_RM(op, a, b2, c) \
    if (UNLIKELY(!cpu->fp_fast[insn->imm & 7])) { \
        switch (fp_slow(cpu, op, insn, a, b2, c)) { \
        case FP_ILLEGAL: \
            goto illegal; \
        case FP_AGAIN: \
            DISPATCH; \
        case FP_DONE: \
            NEXT; \
        } \
    }
#define BIN(op, put, get, sym) \
    H(op) \
    { \
        FP_RM(op, F(insn->rs1), F(insn->rs2), 0) \
        F(insn->rd) = put(get(insn->rs1) sym get(insn->rs2)); \
        NEXT; \
    }
BIN(OP_FADD_S, f32_result, FS, +)
BIN(OP_FSUB_S, f32_result, FS, -)
BIN(OP_FMUL_S, f32_result, FS, *)
BIN(OP_FDIV_S, f32_result, FS, /)
BIN(OP_FADD_D, f64_result, FD, +)
BIN(OP_FSUB_D, f64_result, FD, -)
BIN(OP_FMUL_D, f64_result, FD, *)
BIN(OP_FDIV_D, f64_result, FD, /)
H(OP_FSQRT_S)
FP_RM(OP_FSQRT_S, F(insn->rs1), 0, 0)
F(insn->rd) = f32_result(sqrtf(FS(insn->rs1)));
NEXT;
H(OP_FSQRT_D)
FP_RM(OP_FSQRT_D, F(insn->rs1), 0, 0)
F(insn->rd) = f64_result(sqrt(FD(insn->rs1)));
NEXT;

#define FMA(op, put, get, func, neg_p, neg_c, invalid, bits) \
    H(op) \
    { \
        unsigned rs3 = (unsigned)insn->imm >> 8; \
        FP_RM(op, F(insn->rs1), F(insn->rs2), F(rs3)) \
        if (UNLIKELY(invalid(bits(F(insn->rs1)), bits(F(insn->rs2))))) { \
            cpu->fflags |= FFLAG_NV; \
        } \
        F(insn->rd) = put(func(neg_p get(insn->rs1), get(insn->rs2), neg_c get(rs3))); \
        NEXT; \
    }
FMA(OP_FMADD_S, f32_result, FS, fmaf, , , fpu_fma_invalid_f32, f32_unbox)
FMA(OP_FMSUB_S, f32_result, FS, fmaf, , -, fpu_fma_invalid_f32, f32_unbox)
FMA(OP_FNMSUB_S, f32_result, FS, fmaf, -, , fpu_fma_invalid_f32, f32_unbox)
FMA(OP_FNMADD_S, f32_result, FS, fmaf, -, -, fpu_fma_invalid_f32, f32_unbox)
FMA(OP_FMADD_D, f64_result, FD, fma, , , fpu_fma_invalid_f64, )
FMA(OP_FMSUB_D, f64_result, FD, fma, , -, fpu_fma_invalid_f64, )
FMA(OP_FNMSUB_D, f64_result, FD, fma, -, , fpu_fma_invalid_f64, )
FMA(OP_FNMADD_D, f64_result, FD, fma, -, -, fpu_fma_invalid_f64, )

#define FPW(op, expr) \
    H(op) \
    { \
        FP_WRITES; \
        F(insn->rd) = (expr); \
        NEXT; \
    }
#define SIGN32 0x80000000U
#define SIGN64 0x8000000000000000ULL
#define U(r) f32_unbox(F(r))
FPW(OP_FSGNJ_S, NAN_BOX | (U(insn->rs1) & ~SIGN32) | (U(insn->rs2) & SIGN32))
FPW(OP_FSGNJN_S, NAN_BOX | (U(insn->rs1) & ~SIGN32) | (~U(insn->rs2) & SIGN32))
FPW(OP_FSGNJX_S, NAN_BOX | (U(insn->rs1) ^ (U(insn->rs2) & SIGN32)))
FPW(OP_FSGNJ_D, (F(insn->rs1) & ~SIGN64) | (F(insn->rs2) & SIGN64))
FPW(OP_FSGNJN_D, (F(insn->rs1) & ~SIGN64) | (~F(insn->rs2) & SIGN64))
FPW(OP_FSGNJX_D, F(insn->rs1) ^ (F(insn->rs2) & SIGN64))
FPW(OP_FMIN_S, NAN_BOX | fpu_min_f32(U(insn->rs1), U(insn->rs2), false, &cpu->fflags))
FPW(OP_FMAX_S, NAN_BOX | fpu_min_f32(U(insn->rs1), U(insn->rs2), true, &cpu->fflags))
FPW(OP_FMIN_D, fpu_min_f64(F(insn->rs1), F(insn->rs2), false, &cpu->fflags))
FPW(OP_FMAX_D, fpu_min_f64(F(insn->rs1), F(insn->rs2), true, &cpu->fflags))
FPW(OP_FMV_W_X, NAN_BOX | (uint32_t)X(insn->rs1))
FPW(OP_FMV_D_X, X(insn->rs1))

/* To x registers: only a new flag makes the state dirty. */
#define FPX(op, expr) \
    H(op) \
    { \
        FP_READS; \
        X(insn->rd) = (expr); \
        NEXT; \
    }
#define FPX_FLAGS(op, expr) \
    H(op) \
    { \
        FP_READS; \
        uint32_t flags = 0; \
        X(insn->rd) = (expr); \
        if (UNLIKELY(flags)) { \
            cpu->fflags |= flags; \
            fp_make_dirty(cpu); \
        } \
        NEXT; \
    }
FPX(OP_FMV_X_W, (uint64_t)(int64_t)(int32_t)F(insn->rs1))
FPX(OP_FMV_X_D, F(insn->rs1))
FPX(OP_FCLASS_S, fpu_class_f32(U(insn->rs1)))
FPX(OP_FCLASS_D, fpu_class_f64(F(insn->rs1)))
FPX_FLAGS(OP_FEQ_S, f32_eq(U(insn->rs1), U(insn->rs2), &flags))
FPX_FLAGS(OP_FLT_S, f32_less(U(insn->rs1), U(insn->rs2), false, &flags))
FPX_FLAGS(OP_FLE_S, f32_less(U(insn->rs1), U(insn->rs2), true, &flags))
FPX_FLAGS(OP_FEQ_D, f64_eq(F(insn->rs1), F(insn->rs2), &flags))
FPX_FLAGS(OP_FLT_D, f64_less(F(insn->rs1), F(insn->rs2), false, &flags))
FPX_FLAGS(OP_FLE_D, f64_less(F(insn->rs1), F(insn->rs2), true, &flags))

/* Conversions to integers are exact integer code under any mode. */
#define CVT_X(op, func, value, width, is_signed) \
    H(op) \
    { \
        FP_READS; \
        unsigned rm = insn->imm & 7; \
        uint32_t flags = 0; \
        rm = rm == RM_DYN ? cpu->frm : rm; \
        if (UNLIKELY(rm > RM_RMM)) { \
            goto illegal; \
        } \
        X(insn->rd) = func(value, rm, width, is_signed, &flags); \
        if (flags) { \
            cpu->fflags |= flags; \
            fp_make_dirty(cpu); \
        } \
        NEXT; \
    }
CVT_X(OP_FCVT_W_S, fpu_f32_to_int, U(insn->rs1), 32, true)
CVT_X(OP_FCVT_WU_S, fpu_f32_to_int, U(insn->rs1), 32, false)
CVT_X(OP_FCVT_L_S, fpu_f32_to_int, U(insn->rs1), 64, true)
CVT_X(OP_FCVT_LU_S, fpu_f32_to_int, U(insn->rs1), 64, false)
CVT_X(OP_FCVT_W_D, fpu_f64_to_int, F(insn->rs1), 32, true)
CVT_X(OP_FCVT_WU_D, fpu_f64_to_int, F(insn->rs1), 32, false)
CVT_X(OP_FCVT_L_D, fpu_f64_to_int, F(insn->rs1), 64, true)
CVT_X(OP_FCVT_LU_D, fpu_f64_to_int, F(insn->rs1), 64, false)

#define CVT_F(op, put, ftype, itype) \
    H(op) \
    { \
        FP_RM(op, X(insn->rs1), 0, 0) \
        F(insn->rd) = put((ftype)(itype)X(insn->rs1)); \
        NEXT; \
    }
CVT_F(OP_FCVT_S_W, f32_result, float, int32_t)
CVT_F(OP_FCVT_S_WU, f32_result, float, uint32_t)
CVT_F(OP_FCVT_S_L, f32_result, float, int64_t)
CVT_F(OP_FCVT_S_LU, f32_result, float, uint64_t)
CVT_F(OP_FCVT_D_W, f64_result, double, int32_t)
CVT_F(OP_FCVT_D_WU, f64_result, double, uint32_t)
CVT_F(OP_FCVT_D_L, f64_result, double, int64_t)
CVT_F(OP_FCVT_D_LU, f64_result, double, uint64_t)
H(OP_FCVT_S_D)
FP_RM(OP_FCVT_S_D, F(insn->rs1), 0, 0)
F(insn->rd) = f32_result((float)FD(insn->rs1));
NEXT;
H(OP_FCVT_D_S)
FP_RM(OP_FCVT_D_S, F(insn->rs1), 0, 0)
F(insn->rd) = f64_result((double)FS(insn->rs1));
NEXT;
