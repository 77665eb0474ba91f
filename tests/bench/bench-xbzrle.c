/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XBZRLE encode and decode, and the zero check: every level of instructions
 * that this CPU has against plain C in the same run, taking turns; over pages
 * that fit into the caches (warm) and over 256 MiB (cold). Rates are page
 * bytes per second. The founding figure is 2 to 2.5 GB/s at four changes.
 */
#include <string.h>
#include "bench.h"
#include "migration/codec/simd.h"
#include "migration/codec/xbzrle.h"

#define PAGE 4096
#define WARM_PAGES 64
#define COLD_PAGES 32768        /* 128 MiB of old and of new pages */
#define TURNS 5
#define MAX_LEVELS 8

typedef struct Set {
    size_t pages;
    uint8_t *old, *new, *delta;     /* pages of each */
    int *len;
    const RamSimd *level;
    size_t next;
} Set;

typedef double Rates[MAX_LEVELS];

static size_t turn(Set *s)
{
    size_t i = s->next;

    s->next = i + 1 == s->pages ? 0 : i + 1;
    return i;
}

static void run_encode(void *opaque)
{
    Set *s = opaque;
    size_t i = turn(s), at = i * PAGE;

    bench_use((uint64_t)s->level->encode(s->old + at, s->new + at, PAGE, s->delta + at, PAGE));
}

/* Over and over onto the same page: what a delta says does not depend on what is there. */
static void run_decode(void *opaque)
{
    Set *s = opaque;
    size_t i = turn(s), at = i * PAGE;

    bench_use((uint64_t)s->level->decode(s->delta + at, (size_t)s->len[i], s->old + at, PAGE));
}

static void run_zero(void *opaque)
{
    Set *s = opaque;

    bench_use(s->level->zero(s->old + turn(s) * PAGE, PAGE));
}

static void run_memcmp(void *opaque)
{
    Set *s = opaque;
    size_t at = turn(s) * PAGE;

    bench_use((uint64_t)memcmp(s->old + at, s->new + at, PAGE));
}

/* One round: at least every page once, at least BENCH_ROUND_NS. GB/s. */
static double round_rate(Set *s, void (*fn)(void *))
{
    int64_t start = bench_now_ns(), ns;
    size_t calls = 0;

    do {
        for (size_t i = 0; i < s->pages; i++) {
            fn(s);
        }
        calls += s->pages;
        ns = bench_now_ns() - start;
    } while (ns < BENCH_ROUND_NS);
    return (double)calls * PAGE / (double)ns;
}

/* Best of the turns for each level: plain first in each turn, then the others. */
static void rates_of(Set *s, void (*fn)(void *), Rates rates)
{
    for (int t = 0; t < TURNS; t++) {
        for (size_t l = 0; ram_simd_levels()[l]; l++) {
            s->level = ram_simd_levels()[l];
            if (s->level->supported()) {
                rates[l] = MAX(rates[l], round_rate(s, fn));
            }
        }
    }
}

/* Evenly spaced changed bytes, as the load generator makes them. */
static void make_changes(Set *s, size_t changes)
{
    for (size_t i = 0; i < s->pages; i++) {
        uint8_t *old = s->old + i * PAGE, *new = s->new + i * PAGE;

        memcpy(new, old, PAGE);
        for (size_t k = 0; k < changes; k++) {
            new[k * (PAGE / changes)] ^= 0x5a;
        }
        s->len[i] = xbzrle_encode(old, new, PAGE, s->delta + i * PAGE, PAGE);
    }
}

static double best_of(const Rates rates)
{
    double best = 0;

    for (size_t l = 0; l < MAX_LEVELS; l++) {
        best = MAX(best, rates[l]);
    }
    return best;
}

static void print_row(const char *what, int bytes, const Rates rates)
{
    printf("%-14s %6d", what, bytes);
    for (size_t l = 0; ram_simd_levels()[l]; l++) {
        if (rates[l] > 0) {
            printf("  %7.2f %5.2f", rates[l], rates[l] / rates[0]);
        } else {
            printf("  %7s %5s", "-", "-");
        }
    }
    printf("\n");
}

static void print_head(const char *title)
{
    printf("\n%s: GB/s and ratio to plain\n%-14s %6s", title, "changes", "bytes");
    for (size_t l = 0; ram_simd_levels()[l]; l++) {
        printf("  %13s", ram_simd_levels()[l]->name);
    }
    printf("\n");
}

static Set *set_new(size_t pages)
{
    Set *s = g_new0(Set, 1);
    GRand *rng = g_rand_new_with_seed(1);

    s->pages = pages;
    s->old = g_malloc(pages * PAGE);
    s->new = g_malloc(pages * PAGE);
    s->delta = g_malloc(pages * PAGE);
    s->len = g_new0(int, pages);
    for (size_t i = 0; i < pages * PAGE; i += 4) {
        uint32_t word = g_rand_int(rng);

        memcpy(s->old + i, &word, 4);
    }
    g_rand_free(rng);
    return s;
}

static void set_free(Set *s)
{
    g_free(s->old);
    g_free(s->new);
    g_free(s->delta);
    g_free(s->len);
    g_free(s);
}

/* Rate of plain C at four changes. */
static double whole_table(const char *title, size_t pages)
{
    static const size_t changes[] = { 0, 1, 4, 16, 64, 256, 1024, PAGE };
    Set *s = set_new(pages);
    double four = 0;

    print_head(title);
    for (size_t c = 0; c < G_N_ELEMENTS(changes); c++) {
        Rates enc = { 0 }, dec = { 0 };
        g_autofree char *encode = g_strdup_printf("encode %zu", changes[c]);
        g_autofree char *decode = g_strdup_printf("decode %zu", changes[c]);

        make_changes(s, changes[c]);
        rates_of(s, run_encode, enc);
        print_row(encode, s->len[0], enc);
        four = changes[c] == 4 ? enc[0] : four;
        if (s->len[0] > 0) {
            rates_of(s, run_decode, dec);
            print_row(decode, s->len[0], dec);
        }
    }
    Rates zero = { 0 };
    double compare = 0;

    memset(s->old, 0, s->pages * PAGE);
    memset(s->new, 0, s->pages * PAGE);
    rates_of(s, run_zero, zero);
    for (int t = 0; t < TURNS; t++) {
        compare = MAX(compare, round_rate(s, run_memcmp));
    }
    print_row("zero check", 0, zero);
    printf("memcmp of equal pages: %.2f GB/s; best zero check to memcmp: %.2f\n", compare,
           best_of(zero) / compare);
    set_free(s);
    return four;
}

int main(void)
{
    double four = whole_table("Warm (64 pages)", WARM_PAGES);

    whole_table("Cold (128 MiB of old and of new pages)", COLD_PAGES);
    printf("\nplain C, four changed bytes: %.2f GB/s, asked for 2.50: %s\n", four,
           four >= 2.5 ? "yes" : "NO");
    return four >= 2.5 ? 0 : 1;
}
