/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Floating point: the integer-only paths, and the emulated rounding mode against the host's. */
#include "target/riscv/fpu.h"

static uint64_t rnd64(void)
{
    return (uint64_t)(uint32_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
}

/* Doubles whose exponents are near one another, so that rounding and cancellation happen. */
static uint64_t near_one(void)
{
    return (rnd64() & 0x800fffffffffffffULL) | (uint64_t)g_test_rand_int_range(1000, 1046) << 52;
}

static void check_int(double d, unsigned rm, unsigned width, bool is_signed, uint64_t want,
                      uint32_t want_flags)
{
    uint32_t flags = 0;

    g_assert_cmphex(fpu_f64_to_int(f64_bits(d), rm, width, is_signed, &flags), ==, want);
    g_assert_cmphex(flags, ==, want_flags);
}

static void test_to_int(void)
{
    check_int(2.5, RM_RNE, 64, true, 2, FFLAG_NX);
    check_int(2.5, RM_RMM, 64, true, 3, FFLAG_NX);
    check_int(-2.5, RM_RMM, 64, true, (uint64_t)-3, FFLAG_NX);
    check_int(-2.5, RM_RDN, 64, true, (uint64_t)-3, FFLAG_NX);
    check_int(-2.5, RM_RTZ, 64, true, (uint64_t)-2, FFLAG_NX);
    check_int(0.5, RM_RNE, 64, true, 0, FFLAG_NX);
    check_int(0.5, RM_RUP, 64, true, 1, FFLAG_NX);
    check_int(-0.9, RM_RTZ, 64, false, 0, FFLAG_NX);
    check_int(-1.0, RM_RTZ, 64, false, 0, FFLAG_NV);
    check_int(0x1p63, RM_RTZ, 64, true, INT64_MAX, FFLAG_NV);
    check_int(-0x1p63, RM_RTZ, 64, true, (uint64_t)INT64_MIN, 0);
    check_int(0x1p31, RM_RTZ, 32, true, INT32_MAX, FFLAG_NV);
    check_int(4294967295.0, RM_RTZ, 32, false, UINT64_MAX, 0);  /* sign-extended */
    check_int(4294967295.5, RM_RUP, 32, false, UINT64_MAX, FFLAG_NV);
    check_int(NAN, RM_RNE, 32, true, INT32_MAX, FFLAG_NV);
    check_int(-INFINITY, RM_RNE, 64, true, (uint64_t)INT64_MIN, FFLAG_NV);
    check_int(INFINITY, RM_RNE, 64, false, UINT64_MAX, FFLAG_NV);
    check_int(0x1p-1074, RM_RUP, 64, true, 1, FFLAG_NX);
}

static void test_min_max_class(void)
{
    uint32_t flags = 0;

    g_assert_cmphex(fpu_min_f64(1ULL << 63, 0, false, &flags), ==, 1ULL << 63);
    g_assert_cmphex(fpu_min_f64(0, 1ULL << 63, true, &flags), ==, 0);
    g_assert_cmphex(fpu_min_f64(F64_NAN, f64_bits(1), false, &flags), ==, f64_bits(1));
    g_assert_cmphex(flags, ==, 0);
    g_assert_cmphex(fpu_min_f64(0x7ff0000000000001ULL, F64_NAN, false, &flags), ==, F64_NAN);
    g_assert_cmphex(flags, ==, FFLAG_NV);
    g_assert_cmphex(fpu_class_f64(f64_bits(-INFINITY)), ==, 1);
    g_assert_cmphex(fpu_class_f64(1), ==, 1 << 5);
    g_assert_cmphex(fpu_class_f64(F64_NAN), ==, 1 << 9);
    g_assert_cmphex(fpu_class_f32(0x7f800001), ==, 1 << 8);
    g_assert_cmphex(fpu_class_f32(0x80000000), ==, 1 << 3);
    g_assert_cmphex(f32_unbox(0x3f800000), ==, F32_NAN);
    g_assert_cmphex(f32_unbox(NAN_BOX | 0x3f800000), ==, 0x3f800000);
}

/* Off a tie, RMM is what the host does in RNE, flags included; on a tie it goes away from zero. */
static void compare_rmm(uint64_t rmm, uint32_t flags, double host, unsigned host_flags)
{
    uint64_t rne = f64_result(host);

    g_assert_cmphex(flags, ==, host_flags);
    if (rmm != rne) {
        g_assert_cmphex(rmm, ==, rne + 1);      /* one further from zero */
        g_assert_cmphex(rne & 1, ==, 0);        /* RNE had chosen the even one */
        g_assert_true(flags & FFLAG_NX);
    }
}

static void test_rmm_random(void)
{
    for (unsigned i = 0; i < 300000; i++) {
        uint64_t a = i % 5 ? near_one() : rnd64(), b = i % 7 ? near_one() : rnd64();
        uint64_t c = i % 3 ? near_one() : rnd64();
        volatile double x = f64_of(a), y = f64_of(b), z = f64_of(c), r;
        uint32_t flags = 0;
        uint64_t rmm;

        fpu_host_set(RM_RNE);
        r = x + y;
        unsigned host = fpu_host_flags();
        rmm = fpu_rmm_fma(52, a, 0x3ff0000000000000ULL, b, &flags);
        compare_rmm(rmm, flags, r, host);

        fpu_host_set(RM_RNE);
        r = x * y;
        host = fpu_host_flags();
        flags = 0;
        rmm = fpu_rmm_mul(52, a, b, &flags);
        compare_rmm(rmm, flags, r, host);

        fpu_host_set(RM_RNE);
        r = x / y;
        host = fpu_host_flags();
        flags = 0;
        rmm = fpu_rmm_div(52, a, b, &flags);
        compare_rmm(rmm, flags, r, host);

        if (!f64_is_nan(c)) {
            fpu_host_set(RM_RNE);
            r = fma(x, y, z);
            host = fpu_host_flags();
            flags = 0;
            rmm = fpu_rmm_fma(52, a, b, c, &flags);
            compare_rmm(rmm, flags, r, host);
        }
    }
    fpu_host_set(RM_RNE);
}

static void test_rmm_ties(void)
{
    uint32_t flags = 0;

    /* 1 + 2^-53: halfway between 1 and its successor */
    g_assert_cmphex(fpu_rmm_fma(52, f64_bits(1), f64_bits(1), f64_bits(0x1p-53), &flags), ==,
                    f64_bits(1) + 1);
    g_assert_cmphex(flags, ==, FFLAG_NX);
    g_assert_cmphex(fpu_rmm_fma(23, 0xbf800000, 0x3f800000, 0xb3800000, &flags), ==, 0xbf800001);
    flags = 0;
    g_assert_cmphex(fpu_rmm_from_u64(52, false, (1ULL << 53) + 1, &flags), ==,
                    f64_bits(0x1p53) + 1);
    g_assert_cmphex(fpu_rmm_from_u64(23, true, (1ULL << 24) + 1, &flags), ==, 0xcb800001);
    flags = 0;
    g_assert_cmphex(fpu_rmm_narrow(f64_bits(0x1.000001p0), &flags), ==, 0x3f800001);
    /* half the smallest subnormal rounds up, tiny and inexact */
    flags = 0;
    g_assert_cmphex(fpu_rmm_mul(52, 1, f64_bits(0.5), &flags), ==, 1);
    g_assert_cmphex(flags, ==, FFLAG_NX | FFLAG_UF);
    /* rounds up to the smallest normal number: not tiny after rounding */
    flags = 0;
    g_assert_cmphex(fpu_rmm_narrow(f64_bits(0x1.ffffffp-127), &flags), ==, 0x00800000);
    g_assert_cmphex(flags, ==, FFLAG_NX);
    flags = 0;
    g_assert_cmphex(fpu_rmm_mul(52, f64_bits(0x1p1023), f64_bits(2), &flags), ==,
                    f64_bits(INFINITY));
    g_assert_cmphex(flags, ==, FFLAG_NX | FFLAG_OF);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/riscv-fpu/to-int", test_to_int);
    g_test_add_func("/riscv-fpu/min-max-class", test_min_max_class);
    g_test_add_func("/riscv-fpu/rmm-random", test_rmm_random);
    g_test_add_func("/riscv-fpu/rmm-ties", test_rmm_ties);
    return g_test_run();
}
