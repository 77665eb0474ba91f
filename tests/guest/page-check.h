/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the checker guests stamp a page and prove later that it is whole.
 *
 * Used by checker.c (Linux) and bare.c (bare metal); freestanding, so that both can include it.
 *
 * A page is 512 words. Word i holds mix(page number, generation, i) when i is a multiple of `step`,
 * and mix(page number, 0, i) otherwise. So a page from an earlier generation, a page of another
 * address, and a page torn between two generations all differ from what is expected, and `step`
 * sets how much of a page changes with each generation (step 1: all of it).
 */
#ifndef TESTS_GUEST_PAGE_CHECK_H
#define TESTS_GUEST_PAGE_CHECK_H

#include <stdint.h>

#define PAGE_WORDS 512u
#define PAGE_BYTES 4096u

/* What one hart or thread has seen; the layout is read by tests/migration/ferrytest/guest.py. */
struct check_report {
    uint64_t magic;      /* "FERRYCHK", little endian */
    uint64_t generation; /* finished rounds over all pages */
    uint64_t bad;        /* pages that were not as expected */
    uint64_t back;       /* times the clock went backwards */
    uint64_t registers;  /* times a register did not keep its value */
    uint64_t bad_page, bad_word, expected, got; /* the first bad page */
    uint64_t ticks;      /* timer interrupts or expirations */
};

#define CHECK_MAGIC 0x4b48435952524546ull

static inline uint64_t page_check_mix(uint64_t page, uint64_t generation, uint64_t word)
{
    uint64_t x = (page << 20 ^ word) * 0x9e3779b97f4a7c15ull + generation * 0xbf58476d1ce4e5b9ull;

    x ^= x >> 29;
    x *= 0x94d049bb133111ebull;
    return x ^ x >> 32;
}

/* Write all of a page; used once, before the first round. */
static inline void page_check_fill(volatile uint64_t *words, uint64_t page, unsigned step,
                                   uint64_t generation)
{
    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        words[i] = page_check_mix(page, i % step ? 0 : generation, i);
    }
}

/* Write what changes with the generation. */
static inline void page_check_stamp(volatile uint64_t *words, uint64_t page, unsigned step,
                                    uint64_t generation)
{
    for (unsigned i = 0; i < PAGE_WORDS; i += step) {
        words[i] = page_check_mix(page, generation, i);
    }
}

/* Read all of a page. Counts it in @report and keeps the first difference there. */
static inline void page_check_verify(volatile uint64_t *words, uint64_t page, unsigned step,
                                     uint64_t generation, struct check_report *report)
{
    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        uint64_t expected = page_check_mix(page, i % step ? 0 : generation, i);
        uint64_t got = words[i];

        if (got != expected) {
            if (report->bad++ == 0) {
                report->bad_page = page;
                report->bad_word = i;
                report->expected = expected;
                report->got = got;
            }
            /* Repaired, so that each fault is counted once and not again in every round. */
            page_check_fill(words, page, step, generation);
            return;
        }
    }
}

/*
 * Hold a pattern in the callee-saved integer registers and in all floating-point registers while
 * looping, long enough for a migration to fall in between. Returns 0 when all kept their values.
 */
uint64_t register_check(uint64_t seed, uint64_t loops);

#endif
