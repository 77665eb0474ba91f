/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/codec/xbzrle: every vector of migration-stream 4.8, the bounds of 4.3 and 4.6,
 * and random pages against the byte-wise reference below.
 */
#include <string.h>
#include "migration/codec/xbzrle.h"

#define PAGE 4096

/* ---- the naive reference: the words of 4.2, 4.3 and 4.6, byte by byte ---- */

static size_t ref_put(uint8_t *dst, size_t v)
{
    if (v < 0x80) {
        dst[0] = v;
        return 1;
    }
    dst[0] = 0x80 | (v & 0x7f);
    dst[1] = v >> 7;
    return 2;
}

static int ref_encode(const uint8_t *old, const uint8_t *new, size_t len, uint8_t *dst, size_t cap)
{
    size_t i = 0, d = 0, zrun, nzrun;

    while (i < len) {
        if (d + 2 > cap) {
            return -1;
        }
        for (zrun = 0; i < len && old[i] == new[i]; i++) {
            zrun++;
        }
        if (i == len) {
            return (int)d;
        }
        d += ref_put(dst + d, zrun);
        if (d + 2 > cap) {
            return -1;
        }
        for (nzrun = 0; i < len && old[i] != new[i]; i++) {
            nzrun++;
        }
        d += ref_put(dst + d, nzrun);
        if (d + nzrun > cap) {
            return -1;
        }
        for (size_t k = 0; k < nzrun; k++) {
            dst[d++] = new[i - nzrun + k];
        }
    }
    return (int)d;
}

static int ref_length(const uint8_t *src, size_t slen, size_t *i)
{
    int v;

    if (*i + 2 > slen) {
        return -1;
    }
    v = src[*i];
    *i += 1;
    if (v & 0x80) {
        if (src[*i] & 0x80) {
            return -1;
        }
        v = (v & 0x7f) | src[*i] << 7;
        *i += 1;
    }
    return v;
}

static int ref_decode(const uint8_t *src, size_t slen, uint8_t *dst, size_t dlen)
{
    size_t i = 0, d = 0;

    while (i < slen) {
        bool first = i == 0;
        int n = ref_length(src, slen, &i);

        if (n < 0 || (n == 0 && !first) || d + n > dlen) {
            return -1;
        }
        d += n;
        n = ref_length(src, slen, &i);
        if (n <= 0 || d + n > dlen || i + n > slen) {
            return -1;
        }
        while (n--) {
            dst[d++] = src[i++];
        }
    }
    return (int)d;
}

/* ---- helpers ---- */

/* Encodes, compares with want (or a result <= 0), decodes again. */
static void check(const uint8_t *old, const uint8_t *new, int want_len, const uint8_t *want)
{
    uint8_t out[PAGE + 8], back[PAGE];
    int n;

    memset(out, 0xe5, sizeof(out));
    n = xbzrle_encode(old, new, PAGE, out, PAGE);
    g_assert_cmpint(n, ==, want_len);
    for (size_t i = PAGE; i < sizeof(out); i++) {
        g_assert_cmphex(out[i], ==, 0xe5);
    }
    if (n <= 0) {
        return;
    }
    if (want) {
        g_assert_cmpmem(out, n, want, want_len);
    }
    memcpy(back, old, PAGE);
    g_assert_cmpint(xbzrle_decode(out, n, back, PAGE), >, 0);
    g_assert_cmpmem(back, PAGE, new, PAGE);
}

static void set_range(uint8_t *page, size_t from, size_t to, uint8_t v)
{
    memset(page + from, v, to - from);
}

#define CHECK(old, new, ...) do { \
        static const uint8_t want_[] = { __VA_ARGS__ }; \
        check(old, new, sizeof(want_), want_); \
    } while (0)

/* ---- vectors of 4.8 ---- */

static void test_vectors_small(void)
{
    uint8_t old[PAGE] = { 0 }, new[PAGE] = { 0 };

    check(old, new, 0, NULL);                                       /* 1 */
    new[0] = 0xaa;
    CHECK(old, new, 0x00, 0x01, 0xaa);                              /* 2 */
    new[0] = 0;
    new[4095] = 0x55;
    CHECK(old, new, 0xff, 0x1f, 0x01, 0x55);                        /* 3 */
    new[4095] = 0;
    new[127] = 1;
    CHECK(old, new, 0x7f, 0x01, 0x01);                              /* 4 */
    new[127] = 0;
    new[128] = 1;
    CHECK(old, new, 0x80, 0x01, 0x01, 0x01);                        /* 5 */
    new[128] = 0;
    new[10] = 1, new[11] = 2, new[12] = 3, new[14] = 5;
    CHECK(old, new, 0x0a, 0x03, 0x01, 0x02, 0x03, 0x01, 0x01, 0x05); /* 6 */
}

static void test_vectors_patterns(void)
{
    uint8_t old[PAGE], new[PAGE];

    for (int i = 0; i < PAGE; i++) {
        old[i] = (uint8_t)i;
    }
    memcpy(new, old, PAGE);
    new[0x100] = 0x80;
    new[0xfff] = 0xfe;
    CHECK(old, new, 0x80, 0x02, 0x01, 0x80, 0xfe, 0x1d, 0x01, 0xfe); /* 7 */

    memset(old, 0, PAGE);
    memcpy(old, "0123456789:;<=>?", 16);
    memcpy(new, old, PAGE);
    new[8] = 'Z';
    CHECK(old, new, 0x08, 0x01, 0x5a);                              /* 8 */
}

static void test_vector_9(void)
{
    uint8_t old[PAGE] = { 0 }, new[PAGE] = { 0 }, want[306];
    size_t d = 0;

    for (int i = 1000; i < 1300; i++) {
        new[i] = (uint8_t)i;
    }
    want[d++] = 0xe8, want[d++] = 0x07, want[d++] = 0x18;
    for (int v = 0xe8; v <= 0xff; v++) {
        want[d++] = v;
    }
    want[d++] = 0x01, want[d++] = 0xff, want[d++] = 0x01;
    for (int v = 1; v <= 0xff; v++) {
        want[d++] = v;
    }
    want[d++] = 0x01, want[d++] = 0x13;
    for (int v = 1; v <= 0x13; v++) {
        want[d++] = v;
    }
    g_assert_cmpuint(d, ==, 306);
    check(old, new, 306, want);
}

static void test_vectors_limits(void)
{
    uint8_t old[PAGE] = { 0 }, new[PAGE], want[PAGE];

    memset(new, 1, PAGE);
    check(old, new, XBZRLE_OVERFLOW, NULL);                         /* 10 */
    set_range(new, 0, 2, 0);
    check(old, new, XBZRLE_OVERFLOW, NULL);                         /* 11 */

    set_range(new, 0, 3, 0);                                        /* 12 */
    memset(want, 1, PAGE);
    memcpy(want, "\x03\xfd\x1f", 3);
    check(old, new, 4096, want);
    set_range(new, 0, 4, 0);                                        /* 13 */
    memcpy(want, "\x04\xfc\x1f", 3);
    check(old, new, 4095, want);

    memset(new, 1, PAGE);                                           /* 14 */
    set_range(new, 4092, 4096, 0);
    check(old, new, XBZRLE_OVERFLOW, NULL);
}

static void test_vectors_strides(void)
{
    uint8_t old[PAGE] = { 0 }, new[PAGE] = { 0 }, want[3072], out[PAGE], page[PAGE] = { 0 };

    for (int i = 0; i < PAGE; i += 2) {
        new[i] = 0x11;
    }
    check(old, new, XBZRLE_OVERFLOW, NULL);                         /* 15 */

    memset(new, 0, PAGE);                                           /* 16 */
    for (int i = 0; i < PAGE; i += 4) {
        new[i] = 0x11;
        memcpy(want + i / 4 * 3, "\x03\x01\x11", 3);
    }
    want[0] = 0;
    check(old, new, 3072, want);
    g_assert_cmpint(xbzrle_encode(old, new, PAGE, out, PAGE), ==, 3072);
    g_assert_cmpint(xbzrle_decode(out, 3072, page, PAGE), ==, 4093);
}

static void test_decoder_vectors(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        int result;
    } vectors[] = {
        { "\x00\x01\xaa", 3, 1 },
        { "\xff\x1f\x01\xaa", 4, 4096 },
        { "\x81\x00\x01\xaa", 4, 2 },
        { "", 0, 0 },
        { "\x05", 1, -1 },
        { "\x05\x00", 2, -1 },
        { "\x00\x01\xaa\x00\x01\xbb", 6, -1 },
        { "\x80\x20\x01\xaa", 4, -1 },
        { "\x00\x02\xaa", 3, -1 },
        { "\x80\x80\x01\x01\xaa", 5, -1 },
        { "\x00\x01\xaa\x03", 4, -1 },
        { "\x00\x01\xaa\x03\x00", 5, -1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
        uint8_t page[PAGE], before[PAGE];
        /* An exact copy on the heap: a read past the end is seen by ASan. */
        g_autofree uint8_t *src = g_memdup2(vectors[i].bytes, MAX(vectors[i].len, 1));

        memset(page, 0x77, PAGE);
        memcpy(before, page, PAGE);
        g_test_message("decoder vector %zu", i);
        g_assert_cmpint(xbzrle_decode(src, vectors[i].len, page, PAGE), ==, vectors[i].result);
        if (vectors[i].result <= 0) {
            g_assert_cmpmem(page, PAGE, before, PAGE); /* nothing before the first error either */
        }
    }
}

/* ---- against the reference ---- */

static void random_pair(GRand *rng, uint8_t *old, uint8_t *new)
{
    int changes = 1 << g_rand_int_range(rng, 0, 13), span = 1 << g_rand_int_range(rng, 0, 10);

    for (int i = 0; i < PAGE; i++) {
        old[i] = g_rand_boolean(rng) ? 0 : (uint8_t)g_rand_int(rng);
    }
    memcpy(new, old, PAGE);
    for (int k = 0; k < changes; k += span) {
        int at = g_rand_int_range(rng, 0, PAGE), n = MIN(span, PAGE - at);

        for (int i = 0; i < n; i++) {
            new[at + i] = (uint8_t)g_rand_int(rng);
        }
    }
}

static void test_random_encode(void)
{
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rng = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    for (int round = 0; round < 20000; round++) {
        uint8_t old[PAGE], new[PAGE], a[PAGE + 8], b[PAGE + 8], back[PAGE];
        size_t len = g_rand_boolean(rng) ? PAGE : (size_t)g_rand_int_range(rng, 0, PAGE + 1);
        size_t cap = g_rand_int_range(rng, 0, 4) ? len : (size_t)g_rand_int_range(rng, 0, PAGE);
        int n;

        random_pair(rng, old, new);
        memset(a, 0xe5, sizeof(a));
        n = xbzrle_encode(old, new, len, a, cap);
        g_assert_cmpint(n, ==, ref_encode(old, new, len, b, cap));
        g_assert_cmphex(a[cap], ==, 0xe5);
        if (n > 0) {
            g_assert_cmpmem(a, n, b, n);
            memcpy(back, old, PAGE);
            g_assert_cmpint(xbzrle_decode(a, n, back, len), >, 0);
            g_assert_cmpmem(back, len, new, len);
        }
    }
}

/* Deltas with a few bytes damaged: same verdict as the reference, and no write on -1. */
static void test_random_decode(void)
{
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rng = g_rand_new_with_seed(seed);
    int refused = 0;

    g_test_message("seed %u", seed);
    for (int round = 0; round < 20000; round++) {
        uint8_t old[PAGE], new[PAGE], enc[PAGE], got[PAGE], want[PAGE];
        int n, result;

        random_pair(rng, old, new);
        n = xbzrle_encode(old, new, PAGE, enc, PAGE);
        if (n <= 0) {
            continue;
        }
        for (int k = g_rand_int_range(rng, 0, 4); k > 0; k--) {
            enc[g_rand_int_range(rng, 0, n)] = (uint8_t)g_rand_int(rng);
        }
        n = g_rand_int_range(rng, 0, 3) ? n : g_rand_int_range(rng, 0, n + 1);
        g_autofree uint8_t *exact = g_memdup2(enc, MAX(n, 1));

        memcpy(got, old, PAGE);
        memcpy(want, old, PAGE);
        result = ref_decode(exact, n, want, PAGE);
        g_assert_cmpint(xbzrle_decode(exact, n, got, PAGE), ==, result);
        g_assert_cmpmem(got, PAGE, result < 0 ? old : want, PAGE);
        refused += result < 0;
    }
    g_assert_cmpint(refused, >, 1000); /* the damage reaches the checks */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xbzrle/vectors/small", test_vectors_small);
    g_test_add_func("/xbzrle/vectors/patterns", test_vectors_patterns);
    g_test_add_func("/xbzrle/vectors/runs-split", test_vector_9);
    g_test_add_func("/xbzrle/vectors/limits", test_vectors_limits);
    g_test_add_func("/xbzrle/vectors/strides", test_vectors_strides);
    g_test_add_func("/xbzrle/vectors/decoder", test_decoder_vectors);
    g_test_add_func("/xbzrle/random/encode", test_random_encode);
    g_test_add_func("/xbzrle/random/decode", test_random_decode);
    return g_test_run();
}
