/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floating point on the host's FPU. While a hart runs, the host's rounding
 * mode is the guest's frm and the host's sticky flags collect the guest's
 * fflags: fpu_enter loads them, fpu_leave brings the flags home. Both sides
 * of every host operation are memory (f registers), so the asm barriers in
 * them order it. What the host cannot do (round to nearest, ties away; a
 * static mode other than frm) goes through fpu_slow.
 */
#ifndef TARGET_RISCV_FPU_H
#define TARGET_RISCV_FPU_H

#include <math.h>
#include <string.h>
#include "target/riscv/bits.h"
#include "target/riscv/cpu.h"
#include "target/riscv/decode.h"

#define F64_NAN 0x7ff8000000000000ULL
#define F32_NAN 0x7fc00000U
#define NAN_BOX 0xffffffff00000000ULL

#if defined(__x86_64__)
#include <immintrin.h>

static inline void fpu_host_set(unsigned rm)
{
    static const uint16_t rc[8] = {0x0000, 0x6000, 0x2000, 0x4000};
    uint32_t mxcsr = 0x1f80 | rc[rm & 7];

    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

static inline unsigned fpu_host_flags(void)
{
    uint32_t mxcsr;

    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return (mxcsr & 1 ? FFLAG_NV : 0) | (mxcsr & 4 ? FFLAG_DZ : 0) | (mxcsr & 8 ? FFLAG_OF : 0) |
           (mxcsr & 16 ? FFLAG_UF : 0) | (mxcsr & 32 ? FFLAG_NX : 0);
}
#else
#include <fenv.h>

static inline void fpu_host_set(unsigned rm)
{
    static const int modes[8] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD,
                                 FE_TONEAREST, FE_TONEAREST, FE_TONEAREST, FE_TONEAREST};

    feclearexcept(FE_ALL_EXCEPT);
    fesetround(modes[rm & 7]);
    __asm__ volatile("" : : : "memory");
}

static inline unsigned fpu_host_flags(void)
{
    __asm__ volatile("" : : : "memory");
    int e = fetestexcept(FE_ALL_EXCEPT);

    return (e & FE_INVALID ? FFLAG_NV : 0) | (e & FE_DIVBYZERO ? FFLAG_DZ : 0) |
           (e & FE_OVERFLOW ? FFLAG_OF : 0) | (e & FE_UNDERFLOW ? FFLAG_UF : 0) |
           (e & FE_INEXACT ? FFLAG_NX : 0);
}
#endif

/** The mode the host runs in for a guest frm: RMM and reserved values run as RNE and never match. */
static inline unsigned fpu_host_rm(unsigned frm)
{
    return frm <= RM_RUP ? frm : RM_RNE;
}

/** Recomputes fp_fast after FS or frm changed. */
static inline void fpu_update_fast(RISCVCPU *cpu)
{
    bool dirty = (cpu->mstatus & MSTATUS_FS) == MSTATUS_FS;

    memset(cpu->fp_fast, 0, sizeof(cpu->fp_fast));
    if (dirty && cpu->frm <= RM_RUP) {
        cpu->fp_fast[cpu->frm] = cpu->fp_fast[RM_DYN] = 1;
    }
    cpu->fp_fast[8] = dirty;
}

/** Guest code follows: load frm, no flags. */
static inline void fpu_enter(RISCVCPU *cpu)
{
    fpu_host_set(fpu_host_rm(cpu->frm));
}

/** Other host code follows, or fflags are wanted: collect the flags. */
static inline void fpu_leave(RISCVCPU *cpu)
{
    cpu->fflags |= fpu_host_flags();
}

static inline float f32_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, 4);
    return f;
}

static inline double f64_of(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, 8);
    return d;
}

static inline uint32_t f32_bits(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, 4);
    return bits;
}

static inline uint64_t f64_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, 8);
    return bits;
}

static inline bool f32_is_nan(uint32_t a)
{
    return (a & 0x7fffffff) > 0x7f800000;
}

static inline bool f64_is_nan(uint64_t a)
{
    return (a & 0x7fffffffffffffffULL) > 0x7ff0000000000000ULL;
}

static inline bool f32_is_snan(uint32_t a)
{
    return f32_is_nan(a) && !(a & 0x400000);
}

static inline bool f64_is_snan(uint64_t a)
{
    return f64_is_nan(a) && !(a & 0x8000000000000ULL);
}

/** Result of an operation to register bits: any NaN becomes the canonical one. */
static inline uint64_t f32_result(float f)
{
    uint32_t bits = f32_bits(f);

    return NAN_BOX | (f32_is_nan(bits) ? F32_NAN : bits);
}

static inline uint64_t f64_result(double d)
{
    uint64_t bits = f64_bits(d);

    return f64_is_nan(bits) ? F64_NAN : bits;
}

/** A single out of a 64-bit register: not boxed = canonical NaN. */
static inline uint32_t f32_unbox(uint64_t reg)
{
    return reg >= NAN_BOX ? (uint32_t)reg : F32_NAN;
}

/* Comparisons: NaN checked on the bits, so that no compiler folds the exception away. */
static inline bool f32_eq(uint32_t a, uint32_t b, uint32_t *flags)
{
    if (f32_is_nan(a) || f32_is_nan(b)) {
        *flags |= f32_is_snan(a) || f32_is_snan(b) ? FFLAG_NV : 0;
        return false;
    }
    return f32_of(a) == f32_of(b);
}

static inline bool f64_eq(uint64_t a, uint64_t b, uint32_t *flags)
{
    if (f64_is_nan(a) || f64_is_nan(b)) {
        *flags |= f64_is_snan(a) || f64_is_snan(b) ? FFLAG_NV : 0;
        return false;
    }
    return f64_of(a) == f64_of(b);
}

static inline bool f32_less(uint32_t a, uint32_t b, bool or_equal, uint32_t *flags)
{
    if (f32_is_nan(a) || f32_is_nan(b)) {
        *flags |= FFLAG_NV;
        return false;
    }
    return or_equal ? f32_of(a) <= f32_of(b) : f32_of(a) < f32_of(b);
}

static inline bool f64_less(uint64_t a, uint64_t b, bool or_equal, uint32_t *flags)
{
    if (f64_is_nan(a) || f64_is_nan(b)) {
        *flags |= FFLAG_NV;
        return false;
    }
    return or_equal ? f64_of(a) <= f64_of(b) : f64_of(a) < f64_of(b);
}

/* fpu.c: exact integer code; flags are ORed into *flags. */
uint32_t fpu_min_f32(uint32_t a, uint32_t b, bool max, uint32_t *flags);
uint64_t fpu_min_f64(uint64_t a, uint64_t b, bool max, uint32_t *flags);
unsigned fpu_class_f32(uint32_t a);
unsigned fpu_class_f64(uint64_t a);
/** To a 32- or 64-bit integer (32-bit results sign-extended), saturating, any rounding mode 0..4. */
uint64_t fpu_f64_to_int(uint64_t a, unsigned rm, unsigned width, bool is_signed, uint32_t *flags);
uint64_t fpu_f32_to_int(uint32_t a, unsigned rm, unsigned width, bool is_signed, uint32_t *flags);
/** NV that the host's FMA leaves out: infinity times zero plus a quiet NaN. */
bool fpu_fma_invalid_f32(uint32_t a, uint32_t b);
bool fpu_fma_invalid_f64(uint64_t a, uint64_t b);

/**
 * The arithmetic operation op (FADD..FSQRT, FMADD.., FCVT to FP) on raw
 * registers (x register for conversions from integer) under rm 0..4.
 * Leaves the host as fpu_enter set it, with flags in cpu->fflags.
 */
uint64_t fpu_slow(RISCVCPU *cpu, RiscvOp op, unsigned rm, uint64_t a, uint64_t b, uint64_t c);

/* fpu-rmm.c: nearest, ties to maximum magnitude, in integers. mant bits: 23 or 52. */
uint64_t fpu_rmm_fma(unsigned mant_bits, uint64_t a, uint64_t b, uint64_t c, uint32_t *flags);
uint64_t fpu_rmm_mul(unsigned mant_bits, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t fpu_rmm_div(unsigned mant_bits, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t fpu_rmm_from_u64(unsigned mant_bits, bool negative, uint64_t magnitude, uint32_t *flags);
uint64_t fpu_rmm_narrow(uint64_t f64, uint32_t *flags);

#endif
