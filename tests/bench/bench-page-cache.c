/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page cache: what a lookup and an insert cost, and the hit rate against
 * a model of the direct-mapped rule of migration-stream 4.4 at equal size, for the
 * founding benchmark's 16 MiB buffer, contiguous and scattered.
 */
#include <string.h>
#include "bench.h"
#include "migration/ram/page-cache.h"
#include "../unit/direct-mapped-model.h"

#define PAGE 4096ULL
#define MIB (1ULL << 20)
#define PASSES 12

typedef struct Run {
    uint64_t cache_bytes;
    const uint64_t *addr;
    uint64_t n;
} Run;

/* Hit rate of passes 5 to 12, and mean ns per page. */
static double run_ours(const Run *run, double *ns)
{
    PageCache *c = page_cache_new(run->cache_bytes, NULL);
    int64_t start = bench_now_ns();
    uint64_t hits = 0;

    for (uint64_t pass = 1; pass <= PASSES; pass++) {
        for (uint64_t i = 0; i < run->n; i++) {
            if (page_cache_lookup(c, run->addr[i], pass)) {
                hits += pass > 4;
            } else {
                page_cache_insert(c, run->addr[i], pass);
            }
        }
    }
    *ns = (double)(bench_now_ns() - start) / (double)(PASSES * run->n);
    page_cache_free(c);
    return (double)hits / (double)((PASSES - 4) * run->n);
}

static double run_direct(const Run *run, double *ns)
{
    DirectMapped *m = direct_mapped_new(run->cache_bytes);
    int64_t start = bench_now_ns();
    uint64_t hits = 0;

    for (uint64_t pass = 1; pass <= PASSES; pass++) {
        for (uint64_t i = 0; i < run->n; i++) {
            hits += direct_mapped_send(m, run->addr[i], pass) && pass > 4;
        }
    }
    *ns = (double)(bench_now_ns() - start) / (double)(PASSES * run->n);
    direct_mapped_free(m);
    return (double)hits / (double)((PASSES - 4) * run->n);
}

static void compare(const char *name, const uint64_t *addr, uint64_t n)
{
    for (uint64_t mib = 4; mib <= 64; mib *= 2) {
        Run run = { mib * MIB, addr, n };
        double ours_ns, direct_ns;
        double ours = run_ours(&run, &ours_ns), direct = run_direct(&run, &direct_ns);

        printf("%-12s %4d MiB %12.4f %14.4f %10.1f %14.1f\n", name, (int)mib, ours, direct,
               ours_ns, direct_ns);
    }
}

typedef struct Big {
    PageCache *cache;
    uint64_t n, next;
} Big;

static void lookup_random(void *opaque)
{
    Big *b = opaque;

    b->next = b->next * 6364136223846793005ULL + 1442695040888963407ULL;
    bench_use((uint64_t)(uintptr_t)page_cache_lookup(b->cache, (b->next >> 33) % b->n * PAGE, 1));
}

static void resize_once(void)
{
    PageCache *from = page_cache_new(64 * MIB, NULL), *to = page_cache_new(128 * MIB, NULL);
    uint64_t n = page_cache_capacity(from);
    int64_t start;

    for (uint64_t i = 0; i < n; i++) {
        memset(page_cache_insert(from, i * PAGE, 1), 1, PAGE);
    }
    start = bench_now_ns();
    page_cache_move(to, from);
    printf("resize of a full 64 MiB cache to 128 MiB: %.1f ms\n",
           (double)(bench_now_ns() - start) / 1e6);
    page_cache_free(to);
}

int main(void)
{
    GRand *rng = g_rand_new_with_seed(1);
    GHashTable *taken = g_hash_table_new(NULL, NULL);
    uint64_t n = 16 * MIB / PAGE, *contiguous = g_new(uint64_t, n), *scattered = g_new(uint64_t, n);
    Big big = { page_cache_new(256 * MIB, NULL), 256 * MIB / PAGE, 1 };

    for (uint64_t i = 0; i < n; i++) {
        uint64_t page;

        contiguous[i] = (12345 + i) * PAGE;
        do {
            page = (uint64_t)g_rand_int_range(rng, 1, 262144);
        } while (!g_hash_table_add(taken, GSIZE_TO_POINTER(page)));
        scattered[i] = page * PAGE;
    }
    printf("16 MiB written in every pass; hit rate and ns per page (lookup, insert on a miss)\n");
    printf("%-12s %8s %12s %14s %10s %14s\n", "pages are", "cache", "hit rate", "direct-mapped",
           "ns", "direct-mapped");
    compare("contiguous", contiguous, n);
    compare("scattered", scattered, n);
    for (uint64_t i = 0; i < big.n; i++) {
        page_cache_insert(big.cache, i * PAGE, 1);
    }
    printf("\nrandom lookup in a full 256 MiB cache: %.1f ns\n", bench_ns(lookup_random, &big));
    resize_once();
    page_cache_free(big.cache);
    g_hash_table_unref(taken);
    g_rand_free(rng);
    g_free(contiguous);
    g_free(scattered);
    return 0;
}
