/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Round to nearest, ties to maximum magnitude: the one RISC-V rounding mode
 * that hosts lack. Exact integer arithmetic on unpacked numbers; used only by
 * fpu_slow. A number is sign, class, exponent and a 64-bit significand with
 * its top bit set: value = mant / 2^63 * 2^exp.
 */
#include "target/riscv/fpu.h"

typedef unsigned __int128 u128;

typedef enum { NUM_ZERO, NUM_FINITE, NUM_INF, NUM_NAN } NumClass;

typedef struct Num {
    NumClass class;
    bool negative, signaling;
    int exp;
    uint64_t mant;
} Num;

static unsigned exp_bits(unsigned mant_bits)
{
    return mant_bits == 23 ? 8 : 11;
}

static int bias(unsigned mant_bits)
{
    return (1 << (exp_bits(mant_bits) - 1)) - 1;
}

static Num unpack(unsigned mant_bits, uint64_t bits)
{
    unsigned max = (1u << exp_bits(mant_bits)) - 1;
    uint64_t frac = bits & ((1ULL << mant_bits) - 1);
    unsigned exp = (bits >> mant_bits) & max;
    Num n = {.negative = (bits >> (mant_bits + exp_bits(mant_bits))) & 1};

    if (exp == max) {
        n.class = frac ? NUM_NAN : NUM_INF;
        n.signaling = frac && !(frac >> (mant_bits - 1));
        return n;
    }
    if (exp == 0) {
        if (frac == 0) {
            return n;
        }
        int shift = __builtin_clzll(frac);

        n.class = NUM_FINITE;
        n.mant = frac << shift;
        n.exp = 1 - bias(mant_bits) - (int)mant_bits + 63 - shift;
        return n;
    }
    n.class = NUM_FINITE;
    n.mant = (frac | 1ULL << mant_bits) << (63 - mant_bits);
    n.exp = (int)exp - bias(mant_bits);
    return n;
}

static uint64_t pack_special(unsigned mant_bits, bool negative, NumClass class)
{
    uint64_t sign = (uint64_t)negative << (mant_bits + exp_bits(mant_bits));
    uint64_t inf = (uint64_t)((1u << exp_bits(mant_bits)) - 1) << mant_bits;

    switch (class) {
    case NUM_NAN:
        return inf | 1ULL << (mant_bits - 1);
    case NUM_INF:
        return sign | inf;
    default:
        return sign;
    }
}

static u128 shift_right_sticky(u128 v, unsigned n)
{
    if (n == 0) {
        return v;
    }
    if (n > 127) {
        return v != 0;
    }
    return v >> n | ((v & (((u128)1 << n) - 1)) != 0);
}

/* Rounds m (top bit 127 set; value m / 2^127 * 2^exp) to the format. */
static uint64_t round_pack(unsigned mant_bits, bool negative, int exp, u128 m, uint32_t *flags)
{
    unsigned cut = 127 - mant_bits;
    int emin = 1 - bias(mant_bits);
    bool tiny = false;

    if (exp < emin) {
        /* tiny after rounding: would it still be below 2^emin with unbounded exponent? */
        tiny = exp < emin - 1 || (m >> (cut - 1)) != ((u128)1 << (mant_bits + 2)) - 1;
        m = shift_right_sticky(m, (unsigned)(emin - exp));
        exp = emin;
    }
    bool guard = (m >> (cut - 1)) & 1;
    bool inexact = (m & (((u128)1 << cut) - 1)) != 0;
    uint64_t result = (uint64_t)(m >> cut) + guard;

    if (inexact) {
        *flags |= FFLAG_NX | (tiny ? FFLAG_UF : 0);
    }
    /* the hidden bit adds one to the exponent field, so a carry needs no case of its own */
    uint64_t biased = (uint64_t)(exp + bias(mant_bits) - 1);
    uint64_t bits = (biased << mant_bits) + result;

    if (bits >> mant_bits >= (1u << exp_bits(mant_bits)) - 1) {
        *flags |= FFLAG_OF | FFLAG_NX;
        return pack_special(mant_bits, negative, NUM_INF);
    }
    return bits | (uint64_t)negative << (mant_bits + exp_bits(mant_bits));
}

static uint64_t round_normalise(unsigned mant_bits, bool negative, int exp, u128 m, uint32_t *flags)
{
    while (!(m >> 127)) {       /* at most a cancellation's worth of steps */
        m <<= 1;
        exp--;
    }
    return round_pack(mant_bits, negative, exp, m, flags);
}

static bool any_nan(const Num *a, const Num *b, const Num *c, uint32_t *flags)
{
    if (a->signaling || b->signaling || c->signaling) {
        *flags |= FFLAG_NV;
    }
    return a->class == NUM_NAN || b->class == NUM_NAN || c->class == NUM_NAN;
}

/* p + c, both nonzero and finite; p's significand has its top bit at 126. */
static uint64_t add_unlike(unsigned mant_bits, bool p_neg, int p_exp, u128 p, Num c, uint32_t *flags)
{
    u128 q = (u128)c.mant << 63;        /* top bit at 126 */
    int exp = MAX(p_exp, c.exp);
    u128 sum;
    bool negative = p_neg;

    p = shift_right_sticky(p, (unsigned)(exp - p_exp));
    q = shift_right_sticky(q, (unsigned)(exp - c.exp));
    if (p_neg == c.negative) {
        sum = p + q;
    } else if (p >= q) {
        sum = p - q;
    } else {
        sum = q - p;
        negative = c.negative;
    }
    if (sum == 0) {
        return pack_special(mant_bits, false, NUM_ZERO);
    }
    return round_normalise(mant_bits, negative, exp + 1, sum, flags);
}

uint64_t fpu_rmm_fma(unsigned mant_bits, uint64_t a, uint64_t b, uint64_t c, uint32_t *flags)
{
    Num na = unpack(mant_bits, a), nb = unpack(mant_bits, b), nc = unpack(mant_bits, c);
    bool negative = na.negative != nb.negative;
    bool inf = na.class == NUM_INF || nb.class == NUM_INF;
    bool zero = na.class == NUM_ZERO || nb.class == NUM_ZERO;

    if (any_nan(&na, &nb, &nc, flags)) {
        return pack_special(mant_bits, false, NUM_NAN);
    }
    if ((inf && zero) || (inf && nc.class == NUM_INF && nc.negative != negative)) {
        *flags |= FFLAG_NV;
        return pack_special(mant_bits, false, NUM_NAN);
    }
    if (inf) {
        return pack_special(mant_bits, negative, NUM_INF);
    }
    if (nc.class == NUM_INF) {
        return c;
    }
    if (zero) {
        if (nc.class == NUM_ZERO) {
            return pack_special(mant_bits, negative && nc.negative, NUM_ZERO);
        }
        return c;
    }
    u128 product = (u128)na.mant * nb.mant;     /* top bit at 126 or 127 */
    int exp = na.exp + nb.exp;

    if (nc.class == NUM_ZERO) {
        return round_normalise(mant_bits, negative, exp + 1, product, flags);
    }
    if (product >> 127) {
        product = shift_right_sticky(product, 1);       /* low bits are zero: exact */
        exp++;
    }
    return add_unlike(mant_bits, negative, exp, product, nc, flags);
}

uint64_t fpu_rmm_mul(unsigned mant_bits, uint64_t a, uint64_t b, uint32_t *flags)
{
    uint64_t sign = 1ULL << (mant_bits + exp_bits(mant_bits));

    return fpu_rmm_fma(mant_bits, a, b, (a ^ b) & sign, flags);
}

uint64_t fpu_rmm_div(unsigned mant_bits, uint64_t a, uint64_t b, uint32_t *flags)
{
    Num na = unpack(mant_bits, a), nb = unpack(mant_bits, b);
    bool negative = na.negative != nb.negative;

    if (any_nan(&na, &nb, &nb, flags)) {
        return pack_special(mant_bits, false, NUM_NAN);
    }
    if (na.class == nb.class && (na.class == NUM_ZERO || na.class == NUM_INF)) {
        *flags |= FFLAG_NV;
        return pack_special(mant_bits, false, NUM_NAN);
    }
    if (na.class == NUM_INF || nb.class == NUM_ZERO) {
        *flags |= nb.class == NUM_ZERO && na.class == NUM_FINITE ? FFLAG_DZ : 0;
        return pack_special(mant_bits, negative, NUM_INF);
    }
    if (na.class == NUM_ZERO || nb.class == NUM_INF) {
        return pack_special(mant_bits, negative, NUM_ZERO);
    }
    u128 n = (u128)na.mant << 63;       /* quotient between 2^62 and 2^64 */
    u128 q = n / nb.mant;
    u128 m = q << 63 | (n % nb.mant != 0);

    return round_normalise(mant_bits, negative, na.exp - nb.exp + 1, m, flags);
}

uint64_t fpu_rmm_from_u64(unsigned mant_bits, bool negative, uint64_t magnitude, uint32_t *flags)
{
    if (magnitude == 0) {
        return 0;
    }
    return round_normalise(mant_bits, negative, 63, (u128)magnitude << 64, flags);
}

uint64_t fpu_rmm_narrow(uint64_t f64, uint32_t *flags)
{
    Num n = unpack(52, f64);

    if (n.signaling) {
        *flags |= FFLAG_NV;
    }
    if (n.class != NUM_FINITE) {
        return pack_special(23, n.negative, n.class);
    }
    return round_pack(23, n.negative, n.exp, (u128)n.mant << 64, flags);
}
