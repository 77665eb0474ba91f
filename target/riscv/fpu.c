/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floating-point operations that are not one host instruction: minimum
 * and maximum, classification, conversion to integers, and every operation
 * under a rounding mode other than the one the host runs in.
 */
#include "target/riscv/fpu.h"

uint32_t fpu_min_f32(uint32_t a, uint32_t b, bool max, uint32_t *flags)
{
    if (f32_is_snan(a) || f32_is_snan(b)) {
        *flags |= FFLAG_NV;
    }
    if (f32_is_nan(a)) {
        return f32_is_nan(b) ? F32_NAN : b;
    }
    if (f32_is_nan(b)) {
        return a;
    }
    /* order as signed magnitude: -0 < +0 */
    int32_t ka = a & 0x80000000 ? (int32_t)~(a & 0x7fffffff) : (int32_t)a;
    int32_t kb = b & 0x80000000 ? (int32_t)~(b & 0x7fffffff) : (int32_t)b;

    return (ka < kb) != max ? a : b;
}

uint64_t fpu_min_f64(uint64_t a, uint64_t b, bool max, uint32_t *flags)
{
    const uint64_t low = 0x7fffffffffffffffULL;

    if (f64_is_snan(a) || f64_is_snan(b)) {
        *flags |= FFLAG_NV;
    }
    if (f64_is_nan(a)) {
        return f64_is_nan(b) ? F64_NAN : b;
    }
    if (f64_is_nan(b)) {
        return a;
    }
    int64_t ka = a >> 63 ? (int64_t)~(a & low) : (int64_t)a;
    int64_t kb = b >> 63 ? (int64_t)~(b & low) : (int64_t)b;

    return (ka < kb) != max ? a : b;
}

static unsigned class_of(bool negative, bool exp_zero, bool exp_max, bool frac_zero, bool quiet)
{
    if (exp_max) {
        return frac_zero ? (negative ? 1 << 0 : 1 << 7) : quiet ? 1 << 9 : 1 << 8;
    }
    if (exp_zero) {
        return frac_zero ? (negative ? 1 << 3 : 1 << 4) : (negative ? 1 << 2 : 1 << 5);
    }
    return negative ? 1 << 1 : 1 << 6;
}

unsigned fpu_class_f32(uint32_t a)
{
    unsigned exp = (a >> 23) & 0xff;

    return class_of(a >> 31, exp == 0, exp == 0xff, !(a & 0x7fffff), a & 0x400000);
}

unsigned fpu_class_f64(uint64_t a)
{
    unsigned exp = (a >> 52) & 0x7ff;

    return class_of(a >> 63, exp == 0, exp == 0x7ff, !(a & 0xfffffffffffffULL),
                    a & 0x8000000000000ULL);
}

static uint64_t int_saturated(bool negative, unsigned width, bool is_signed)
{
    if (!is_signed) {
        return negative ? 0 : UINT64_MAX;       /* 32-bit all ones, sign-extended, as well */
    }
    if (width == 32) {
        return negative ? (uint64_t)INT32_MIN : INT32_MAX;
    }
    return negative ? (uint64_t)INT64_MIN : INT64_MAX;
}

/* Rounds the magnitude with what was cut off: guard bit and sticky. */
static bool rounds_up(unsigned rm, bool negative, bool odd, bool guard, bool sticky)
{
    switch (rm) {
    case RM_RNE:
        return guard && (sticky || odd);
    case RM_RMM:
        return guard;
    case RM_RDN:
        return negative && (guard || sticky);
    case RM_RUP:
        return !negative && (guard || sticky);
    default:
        return false;
    }
}

uint64_t fpu_f64_to_int(uint64_t a, unsigned rm, unsigned width, bool is_signed, uint32_t *flags)
{
    bool negative = a >> 63, guard = false, sticky = false;
    int exp = (int)((a >> 52) & 0x7ff) - 1023;
    uint64_t mant = (a & 0xfffffffffffffULL) | (exp == -1023 ? 0 : 1ULL << 52);
    uint64_t value;
    uint64_t limit = width == 64 ? UINT64_MAX : UINT32_MAX;

    if (f64_is_nan(a)) {
        *flags |= FFLAG_NV;
        return int_saturated(false, width, is_signed);
    }
    if (exp >= 64) {
        *flags |= FFLAG_NV;
        return int_saturated(negative, width, is_signed);
    }
    if (exp >= 52) {
        value = mant << (exp - 52);
    } else if (exp >= -1) {
        unsigned cut = 52 - exp;                /* 1 .. 53 */

        value = cut > 52 ? 0 : mant >> cut;
        guard = (mant >> (cut - 1)) & 1;
        sticky = mant & ((1ULL << (cut - 1)) - 1);
    } else {
        value = 0;
        sticky = mant != 0;
    }
    value += rounds_up(rm, negative, value & 1, guard, sticky);
    if (is_signed) {
        limit = (limit >> 1) + negative;
    } else if (negative) {
        limit = 0;
    }
    if (value > limit) {
        *flags |= FFLAG_NV;
        return int_saturated(negative, width, is_signed);
    }
    if (guard || sticky) {
        *flags |= FFLAG_NX;
    }
    value = negative ? -value : value;
    return width == 32 ? (uint64_t)(int32_t)value : value;
}

uint64_t fpu_f32_to_int(uint32_t a, unsigned rm, unsigned width, bool is_signed, uint32_t *flags)
{
    unsigned exp = (a >> 23) & 0xff;
    uint64_t sign = (uint64_t)(a >> 31) << 63;
    uint64_t frac = (uint64_t)(a & 0x7fffff) << 29;

    if (f32_is_nan(a)) {
        return fpu_f64_to_int(F64_NAN, rm, width, is_signed, flags);
    }
    if (exp == 0) {     /* zero, or far below one half: any tiny double will do */
        return fpu_f64_to_int(sign | (frac ? 1 : 0), rm, width, is_signed, flags);
    }
    return fpu_f64_to_int(sign | (uint64_t)(exp == 0xff ? 0x7ff : exp - 127 + 1023) << 52 | frac,
                          rm, width, is_signed, flags);
}

bool fpu_fma_invalid_f32(uint32_t a, uint32_t b)
{
    a &= 0x7fffffff;
    b &= 0x7fffffff;
    return (a == 0x7f800000 && b == 0) || (a == 0 && b == 0x7f800000);
}

bool fpu_fma_invalid_f64(uint64_t a, uint64_t b)
{
    a &= 0x7fffffffffffffffULL;
    b &= 0x7fffffffffffffffULL;
    return (a == 0x7ff0000000000000ULL && b == 0) || (a == 0 && b == 0x7ff0000000000000ULL);
}

static uint64_t host_op_s(RiscvOp op, uint64_t a, uint64_t b, uint64_t c)
{
    volatile float fa = f32_of(f32_unbox(a)), fb = f32_of(f32_unbox(b)), fc = f32_of(f32_unbox(c));
    volatile float r = 0;

    switch (op) {
    case OP_FADD_S:
        r = fa + fb;
        break;
    case OP_FSUB_S:
        r = fa - fb;
        break;
    case OP_FMUL_S:
        r = fa * fb;
        break;
    case OP_FDIV_S:
        r = fa / fb;
        break;
    case OP_FSQRT_S:
        r = sqrtf(fa);
        break;
    case OP_FMADD_S:
        r = fmaf(fa, fb, fc);
        break;
    case OP_FMSUB_S:
        r = fmaf(fa, fb, -fc);
        break;
    case OP_FNMSUB_S:
        r = fmaf(-fa, fb, fc);
        break;
    case OP_FNMADD_S:
        r = fmaf(-fa, fb, -fc);
        break;
    case OP_FCVT_S_W:
        r = (float)(int32_t)a;
        break;
    case OP_FCVT_S_WU:
        r = (float)(uint32_t)a;
        break;
    case OP_FCVT_S_L:
        r = (float)(int64_t)a;
        break;
    case OP_FCVT_S_LU:
        r = (float)a;
        break;
    case OP_FCVT_S_D: {
        volatile double d = f64_of(a);

        r = (float)d;
        break;
    }
    default:
        g_assert_not_reached();
    }
    return f32_result(r);
}

static uint64_t host_op_d(RiscvOp op, uint64_t a, uint64_t b, uint64_t c)
{
    volatile double fa = f64_of(a), fb = f64_of(b), fc = f64_of(c);
    volatile double r = 0;

    switch (op) {
    case OP_FADD_D:
        r = fa + fb;
        break;
    case OP_FSUB_D:
        r = fa - fb;
        break;
    case OP_FMUL_D:
        r = fa * fb;
        break;
    case OP_FDIV_D:
        r = fa / fb;
        break;
    case OP_FSQRT_D:
        r = sqrt(fa);
        break;
    case OP_FMADD_D:
        r = fma(fa, fb, fc);
        break;
    case OP_FMSUB_D:
        r = fma(fa, fb, -fc);
        break;
    case OP_FNMSUB_D:
        r = fma(-fa, fb, fc);
        break;
    case OP_FNMADD_D:
        r = fma(-fa, fb, -fc);
        break;
    case OP_FCVT_D_W:
        r = (double)(int32_t)a;
        break;
    case OP_FCVT_D_WU:
        r = (double)(uint32_t)a;
        break;
    case OP_FCVT_D_L:
        r = (double)(int64_t)a;
        break;
    case OP_FCVT_D_LU:
        r = (double)a;
        break;
    case OP_FCVT_D_S: {
        volatile float f = f32_of(f32_unbox(a));

        r = (double)f;
        break;
    }
    default:
        g_assert_not_reached();
    }
    return f64_result(r);
}

static bool is_single(RiscvOp op)
{
    return (op >= OP_FMADD_S && op <= OP_FNMADD_S) || (op >= OP_FADD_S && op <= OP_FCVT_S_D);
}

/* Signs of product and addend: fnmadd = -(a*b)-c, fnmsub = -(a*b)+c. */
static uint64_t rmm_fma(unsigned mant, unsigned variant, uint64_t a, uint64_t b, uint64_t c,
                        uint32_t *flags)
{
    uint64_t sign = mant == 23 ? 1ULL << 31 : 1ULL << 63;

    return fpu_rmm_fma(mant, variant >= 2 ? a ^ sign : a, b,
                       variant == 1 || variant == 3 ? c ^ sign : c, flags);
}

static uint64_t rmm_op(RiscvOp op, uint64_t a, uint64_t b, uint64_t c, uint32_t *flags)
{
    bool single = is_single(op);
    unsigned mant = single ? 23 : 52;
    RiscvOp base = single ? op : op >= OP_FADD_D ? op - (OP_FADD_D - OP_FADD_S)
                                                 : op - (OP_FMADD_D - OP_FMADD_S);
    uint64_t one = single ? 0x3f800000 : 0x3ff0000000000000ULL;
    uint64_t sign = single ? 1ULL << 31 : 1ULL << 63;

    if (single && base < OP_FCVT_S_W) {
        a = f32_unbox(a);
        b = f32_unbox(b);
        c = f32_unbox(c);
    }
    switch (base) {
    case OP_FADD_S:
        return fpu_rmm_fma(mant, a, one, b, flags);
    case OP_FSUB_S:
        return fpu_rmm_fma(mant, a, one, b ^ sign, flags);
    case OP_FMUL_S:
        return fpu_rmm_mul(mant, a, b, flags);
    case OP_FDIV_S:
        return fpu_rmm_div(mant, a, b, flags);
    case OP_FMADD_S:
    case OP_FMSUB_S:
        return rmm_fma(mant, base - OP_FMADD_S, a, b, c, flags);
    case OP_FNMSUB_S:
        return rmm_fma(mant, 2, a, b, c, flags);
    case OP_FNMADD_S:
        return rmm_fma(mant, 3, a, b, c, flags);
    case OP_FCVT_S_W:
        return fpu_rmm_from_u64(mant, (int32_t)a < 0, (int32_t)a < 0 ? -(int64_t)(int32_t)a : (uint32_t)a,
                                flags);
    case OP_FCVT_S_WU:
        return fpu_rmm_from_u64(mant, false, (uint32_t)a, flags);
    case OP_FCVT_S_L:
        return fpu_rmm_from_u64(mant, (int64_t)a < 0, (int64_t)a < 0 ? -a : a, flags);
    case OP_FCVT_S_LU:
        return fpu_rmm_from_u64(mant, false, a, flags);
    default:
        return fpu_rmm_narrow(a, flags);
    }
}

uint64_t fpu_slow(RISCVCPU *cpu, RiscvOp op, unsigned rm, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t result;

    fpu_leave(cpu);
    /* a square root is never a tie, and widening is exact: these round as RNE */
    if (rm == RM_RMM && op != OP_FSQRT_S && op != OP_FSQRT_D && op != OP_FCVT_D_S) {
        result = rmm_op(op, a, b, c, &cpu->fflags);
        if (is_single(op)) {
            result |= NAN_BOX;
        }
    } else {
        fpu_host_set(fpu_host_rm(rm));
        result = is_single(op) ? host_op_s(op, a, b, c) : host_op_d(op, a, b, c);
        cpu->fflags |= fpu_host_flags();
    }
    if (op >= OP_FMADD_S && op <= OP_FNMADD_S &&
        fpu_fma_invalid_f32(f32_unbox(a), f32_unbox(b))) {
        cpu->fflags |= FFLAG_NV;
    } else if (op >= OP_FMADD_D && op <= OP_FNMADD_D && fpu_fma_invalid_f64(a, b)) {
        cpu->fflags |= FFLAG_NV;
    }
    fpu_enter(cpu);
    return result;
}
