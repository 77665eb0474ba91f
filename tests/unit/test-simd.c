/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/simd: every level that this CPU has gives what plain C gives,
 * byte for byte, for random pages between guard pages (a byte read or written
 * outside ends the test). Needs nothing but the codec, so that it is built
 * for other architectures too (tests/simd); prints TAP by itself.
 *
 *   test-simd [PAGES [SEED]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "migration/codec/simd.h"
#include "migration/codec/xbzrle.h"

#define PAGE 4096
#define AREA (XBZRLE_MAX_PAGE + 1)      /* 16 KiB, between two guards */
#define GUARD 65536                     /* of whatever size the host's pages are */
#define BATCH 20000

typedef struct Areas {
    uint8_t *old, *new, *out, *delta, *page;
} Areas;

static uint64_t state;
static unsigned tests, failures;

/* splitmix64 */
static uint64_t random_word(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15ULL);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
    return (size_t)(random_word() % n);
}

static uint8_t *guarded(void)
{
    uint8_t *p = mmap(NULL, AREA + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mprotect(p + GUARD, AREA, PROT_READ | PROT_WRITE)) {
        perror("mmap");
        exit(1);
    }
    return p + GUARD;
}

/* len bytes right behind the guard before, or right before the guard behind. */
static uint8_t *at_edge(uint8_t *area, size_t len)
{
    return random_word() & 1 ? area : area + AREA - len;
}

static void fill(uint8_t *p, size_t len)
{
    for (size_t k = 0; k < len; k++) {
        p[k] = (uint8_t)random_word();
    }
}

/* A few long changes, many short ones, regular ones, none, all: by turns. */
static void change(uint8_t *new, const uint8_t *old, size_t len)
{
    static const size_t counts[] = { 0, 1, 3, 16, 64, 256, 1500 };
    size_t changes = counts[random_below(7)], step = random_below(3) ? 0 : 1 + random_below(9);
    size_t longest = random_below(2) ? 1 : 1 + random_below(200);

    memcpy(new, old, len);
    for (size_t k = 0; step && k < len; k += step) {
        new[k] ^= (uint8_t)(1 + random_below(255));
    }
    for (size_t k = 0; !step && len && k < changes; k += longest) {
        size_t at = random_below(len), n = 1 + random_below(longest);

        fill(new + at, n < len - at ? n : len - at);
    }
}

static bool said(const char *level, const char *what, size_t len, size_t cap, int got, int want)
{
    printf("# %s: %s of %zu bytes into %zu: %d, plain C: %d\n", level, what, len, cap, got, want);
    failures++;
    return false;
}

static bool encode_agrees(const RamSimd *l, const Areas *a, const uint8_t *old, const uint8_t *new,
                          size_t len, size_t cap, int want)
{
    uint8_t *out = at_edge(a->out, cap);
    int got = l->encode(old, new, len, out, cap);

    if (got != want || (got > 0 && memcmp(out, a->delta, (size_t)got))) {
        return said(l->name, "encode", len, cap, got, want);
    }
    return true;
}

/* The delta, damaged or not: the same verdict, the same page; a refusal leaves the page as it was. */
static bool decode_agrees(const RamSimd *l, const Areas *a, const uint8_t *old, size_t len, int n)
{
    uint8_t *src = at_edge(a->out, (size_t)n), *page = at_edge(a->page, len);
    uint8_t reference[AREA];
    int want, got;

    memcpy(src, a->delta, (size_t)n);
    memcpy(reference, old, len);
    memcpy(page, old, len);
    want = xbzrle_decode(src, (size_t)n, reference, len);
    got = l->decode(src, (size_t)n, page, len);
    if (got != want || memcmp(page, reference, len)) {
        return said(l->name, "decode", (size_t)n, len, got, want);
    }
    return true;
}

static bool zero_agrees(const RamSimd *l, const Areas *a, size_t len)
{
    uint8_t *page = at_edge(a->page, len);

    memset(page, 0, len);
    if (!l->zero(page, len)) {
        return said(l->name, "zero check of zeros", len, 0, 0, 1);
    }
    if (len) {
        page[random_below(len)] = (uint8_t)(1 << random_below(8));
        if (l->zero(page, len)) {
            return said(l->name, "zero check of one bit", len, 0, 1, 0);
        }
    }
    return true;
}

static bool one_page(const RamSimd *l, const Areas *a)
{
    size_t len = random_below(4) ? PAGE : random_below(XBZRLE_MAX_PAGE + 1);
    size_t cap = random_below(4) ? len : random_below(len + 3);
    uint8_t *old = at_edge(a->old, len), *new = at_edge(a->new, len);
    int n;

    cap = cap < AREA ? cap : AREA;
    if (random_below(8) == 0) {
        fill(a->old, AREA);
    }
    change(new, old, len);
    n = xbzrle_encode(old, new, len, a->delta, cap);
    if (!encode_agrees(l, a, old, new, len, cap, n) || !zero_agrees(l, a, len)) {
        return false;
    }
    if (n <= 0) {
        return true;
    }
    if (!decode_agrees(l, a, old, len, n)) {
        return false;
    }
    for (size_t k = random_below(3); k > 0; k--) {
        a->delta[random_below((size_t)n)] = (uint8_t)(random_below(2) ? random_word() : random_below(4));
    }
    return decode_agrees(l, a, old, len, random_below(3) ? n : (int)random_below((size_t)n));
}

static void one_level(const RamSimd *l, const Areas *a, uint64_t pages)
{
    bool ok = true;

    tests++;
    if (!l->supported()) {
        printf("ok %u %s # SKIP this CPU does not have it\n", tests, l->name);
        return;
    }
    for (uint64_t k = 0; k < pages && ok; k++) {
        ok = one_page(l, a);
    }
    printf("%s %u %s\n", ok ? "ok" : "not ok", tests, l->name);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t pages = argc > 1 ? strtoull(argv[1], NULL, 0) : BATCH;
    Areas a = { guarded(), guarded(), guarded(), guarded(), guarded() };

    state = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    printf("# seed %" PRIu64 "\n", state);
    fill(a.old, AREA);
    for (const RamSimd *const *l = ram_simd_levels(); *l; l++) {
        one_level(*l, &a, pages);
    }
    printf("1..%u\n", tests);
    return failures != 0;
}
