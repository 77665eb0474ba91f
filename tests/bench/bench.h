/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timing for the benchmarks: the best of several rounds, each long enough to
 * be measured, printed with a reference from the same run.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <glib.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define BENCH_ROUNDS 5
#define BENCH_ROUND_NS 40000000LL

static inline int64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Nanoseconds of one call of fn, best of the rounds. */
static inline double bench_ns(void (*fn)(void *opaque), void *opaque)
{
    double best = 1e30;
    int64_t calls = 1;

    for (int round = 0; round < BENCH_ROUNDS;) {
        int64_t start = bench_now_ns(), ns;

        for (int64_t i = 0; i < calls; i++) {
            fn(opaque);
        }
        ns = bench_now_ns() - start;
        if (ns < BENCH_ROUND_NS) {
            calls *= 2;     /* warms up, too */
            continue;
        }
        best = MIN(best, (double)ns / (double)calls);
        round++;
    }
    return best;
}

/* Keeps the compiler from dropping a result. */
static inline void bench_use(uint64_t v)
{
    __asm__ volatile("" : : "r"(v) : "memory");
}

#endif
