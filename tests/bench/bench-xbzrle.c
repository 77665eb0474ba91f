/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XBZRLE encode and decode, and the zero check, over a working set larger
 * than the first-level cache, against memcmp and memcpy of the same pages.
 * Rates are page bytes per second. The founding figure is 2 to 2.5 GB/s.
 */
#include <string.h>
#include "bench.h"
#include "migration/codec/xbzrle.h"
#include "migration/codec/zero-page.h"

#define PAGE 4096
#define PAGES 64

typedef struct Pages {
    uint8_t old[PAGES][PAGE], new[PAGES][PAGE], copy[PAGES][PAGE], delta[PAGES][PAGE];
    int len[PAGES];
    uint64_t next;
} Pages;

static void run_encode(void *opaque)
{
    Pages *p = opaque;
    uint64_t i = p->next++ % PAGES;

    bench_use((uint64_t)xbzrle_encode(p->old[i], p->new[i], PAGE, p->delta[i], PAGE));
}

static void run_decode(void *opaque)
{
    Pages *p = opaque;
    uint64_t i = p->next++ % PAGES;

    bench_use((uint64_t)xbzrle_decode(p->delta[i], (size_t)p->len[i], p->copy[i], PAGE));
}

static void run_memcmp(void *opaque)
{
    Pages *p = opaque;
    uint64_t i = p->next++ % PAGES;

    bench_use((uint64_t)memcmp(p->old[i], p->copy[i], PAGE));
}

static void run_memcpy(void *opaque)
{
    Pages *p = opaque;
    uint64_t i = p->next++ % PAGES;

    memcpy(p->copy[i], p->new[i], PAGE);
    bench_use(p->copy[i][0]);
}

static void run_zero(void *opaque)
{
    Pages *p = opaque;
    uint64_t i = p->next++ % PAGES;

    bench_use(zero_page_check(p->copy[i], PAGE));
}

/* Evenly spaced changed bytes, as the load generator makes them. */
static int make_changes(Pages *p, int changes)
{
    int bytes = 0;

    for (int i = 0; i < PAGES; i++) {
        memcpy(p->new[i], p->old[i], PAGE);
        for (int k = 0; k < changes; k++) {
            p->new[i][k * (PAGE / changes)] ^= 0x5a;
        }
        p->len[i] = xbzrle_encode(p->old[i], p->new[i], PAGE, p->delta[i], PAGE);
        bytes = p->len[i];
    }
    return bytes;
}

static double gb_per_s(double ns)
{
    return PAGE / ns;
}

int main(void)
{
    static const int changes[] = { 0, 1, 4, 16, 64, 256, 1024, PAGE };
    Pages *p = g_new0(Pages, 1);
    GRand *rng = g_rand_new_with_seed(1);
    double memcmp_rate, memcpy_rate, four = 0;

    for (size_t i = 0; i < sizeof(p->old); i++) {
        ((uint8_t *)p->old)[i] = (uint8_t)g_rand_int(rng);
    }
    memcpy(p->copy, p->old, sizeof(p->copy));
    memcmp_rate = gb_per_s(bench_ns(run_memcmp, p));
    memset(p->copy, 0, sizeof(p->copy));
    printf("zero page check           %6.2f GB/s\n", gb_per_s(bench_ns(run_zero, p)));
    memcpy_rate = gb_per_s(bench_ns(run_memcpy, p));
    printf("memcmp of equal pages     %6.2f GB/s\n", memcmp_rate);
    printf("memcpy of pages           %6.2f GB/s\n\n", memcpy_rate);
    printf("%8s %8s %12s %10s %12s %10s\n", "changes", "bytes", "encode GB/s", "/memcmp",
           "decode GB/s", "/memcpy");
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
        int bytes = make_changes(p, changes[i]);
        double enc = gb_per_s(bench_ns(run_encode, p)), dec = 0;

        if (bytes > 0) {
            dec = gb_per_s(bench_ns(run_decode, p));
        }
        printf("%8d %8d %12.2f %10.2f", changes[i], bytes, enc, enc / memcmp_rate);
        bytes > 0 ? printf(" %12.2f %10.2f\n", dec, dec / memcpy_rate)
                  : printf(" %12s\n", bytes ? "overflow" : "-");
        four = changes[i] == 4 ? enc : four;
    }
    printf("\nfour changed bytes: %.2f GB/s, asked for 2.50: %s\n", four,
           four >= 2.5 ? "yes" : "NO");
    g_rand_free(rng);
    g_free(p);
    return four >= 2.5 ? 0 : 1;
}
