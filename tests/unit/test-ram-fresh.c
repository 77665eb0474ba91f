/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/fresh: whatever was in memory before and whatever was written
 * since, the pages that are to be zero are, and no others.
 */
#include <string.h>
#include "migration/ram/fresh.h"

#define PAGES 517       /* eight words of the bitmap and a bit */
#define ROUNDS 200

/* A byte of each page tells whether it was written. */
static uint8_t *byte_of(const RAMBlock *block, uint64_t page, GRand *rand)
{
    return block->host + page * TARGET_PAGE_SIZE +
           (rand ? g_rand_int_range(rand, 0, TARGET_PAGE_SIZE) : 0);
}

static bool page_is_zero(const RAMBlock *block, uint64_t page)
{
    const uint8_t *host = byte_of(block, page, NULL);

    for (size_t i = 0; i < TARGET_PAGE_SIZE; i++) {
        if (host[i]) {
            return false;
        }
    }
    return true;
}

/* Runs of pages, so that whole words of the bitmap are touched and others are not. */
static void write_some(RAMBlock *block, RamFresh *fresh, bool written[PAGES], GRand *rand)
{
    for (int run = 0; run < 3; run++) {
        unsigned from = g_rand_int_range(rand, 0, PAGES);
        unsigned count = g_rand_int_range(rand, 1, run ? 4 : 100);

        for (unsigned page = from; page < MIN(from + count, PAGES); page++) {
            if (fresh) {
                ram_fresh_touch(fresh, 0, page);
            }
            *byte_of(block, page, rand) = 1;
            written[page] = true;
        }
    }
}

static void one_round(GRand *rand)
{
    g_autoptr(GError) err = NULL;
    RAMList *ram = ram_list_new();
    RAMBlock *block = ram_list_add(ram, "a", PAGES * TARGET_PAGE_SIZE, NULL, &err);
    bool written[PAGES] = { false }, any = false;

    g_assert_no_error(err);
    write_some(block, NULL, written, rand);
    RamFresh *fresh = ram_fresh_new(ram, &err);
    g_assert_no_error(err);
    write_some(block, fresh, written, rand);
    unsigned from = g_rand_int_range(rand, 0, PAGES);
    unsigned count = g_rand_int_range(rand, 1, PAGES - from + 1);
    for (unsigned page = from; page < from + count; page++) {
        any = any || written[page];
        written[page] = false;
    }
    g_assert_cmpint(ram_fresh_zero(fresh, 0, from, count), ==, any);
    for (unsigned page = 0; page < PAGES; page++) {
        g_assert_cmpint(page_is_zero(block, page), ==, !written[page]);
    }
    ram_fresh_free(fresh);
    ram_list_free(ram);
}

static void test_random(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (unsigned i = 0; i < ROUNDS; i++) {
        one_round(rand);
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-fresh/random", test_random);
    return g_test_run();
}
