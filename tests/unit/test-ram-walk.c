/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram/dirty, ram/walk: every dirty page once, in order, round and round (migration-stream 3.5). */
#include "migration/ram/walk.h"
#include "ram-fixture.h"

static const BlockSpec blocks[] = { { "big", 200 }, { "mid", 65 }, { "one", 1 } };

static void test_first_pass(void)
{
    Side *side = side_new(blocks, 3);
    RamDirty *d = ram_dirty_new(side->ram, side->log, NULL);
    RamWalk walk = { 0 };
    uint64_t page, n = 0, last = 0;
    size_t block, last_block = 0;

    ram_dirty_start(d);
    g_assert_cmpuint(d->count, ==, 266);
    while (ram_walk_next(&walk, d, &block, &page)) {
        g_assert_true(n == 0 || block > last_block || page == last + 1);
        ram_dirty_clear(d, block, page);
        last = page;
        last_block = block;
        n++;
    }
    g_assert_cmpuint(n, ==, 266);
    g_assert_cmpuint(d->count, ==, 0);
    g_assert_cmpuint(walk.rounds, ==, 0);   /* the wrap comes with the next dirty page */
    g_assert_false(ram_walk_next(&walk, d, &block, &page));

    side_set(side, "mid", 64 * PAGE, 1, 1);
    side_set(side, "big", 199 * PAGE, 1, 1);
    g_assert_cmpuint(ram_dirty_sync(d), ==, 2);
    g_assert_true(ram_walk_next(&walk, d, &block, &page));
    g_assert_cmpuint(walk.rounds, ==, 1);
    g_assert_cmpuint(block, ==, 0);
    g_assert_cmpuint(page, ==, 199);
    ram_dirty_free(d);
    side_free(side);
}

/* The search goes on where it stopped; a write behind it waits for the next round. */
static void test_continues(void)
{
    Side *side = side_new(blocks, 3);
    RamDirty *d = ram_dirty_new(side->ram, side->log, NULL);
    RamWalk walk = { 0 };
    uint64_t page;
    size_t block;

    ram_dirty_start(d);
    while (ram_walk_next(&walk, d, &block, &page) && !(block == 1 && page == 10)) {
        ram_dirty_clear(d, block, page);
    }
    ram_dirty_clear(d, block, page);
    side_set(side, "big", 0, 1, 1);
    side_set(side, "mid", 9 * PAGE, 1, 3 * PAGE);
    g_assert_cmpuint(ram_dirty_sync(d), ==, 3);    /* page 11 was dirty before */
    g_assert_true(ram_walk_next(&walk, d, &block, &page));
    g_assert_cmpuint(page, ==, 11);
    for (int i = 0; i < 55; i++) {
        ram_dirty_clear(d, block, page);
        g_assert_true(ram_walk_next(&walk, d, &block, &page));
    }
    g_assert_cmpuint(walk.rounds, ==, 1);
    g_assert_cmpuint(block, ==, 0);
    g_assert_cmpuint(page, ==, 0);
    ram_dirty_free(d);
    side_free(side);
}

static void test_find(void)
{
    Side *side = side_new(blocks, 3);
    RamDirty *d = ram_dirty_new(side->ram, side->log, NULL);
    static const uint64_t at[] = { 0, 63, 64, 65, 127, 128, 198, 199 };
    size_t k = 0;

    dirty_log_start(side->log);
    for (size_t i = 0; i < G_N_ELEMENTS(at); i++) {
        side_set(side, "big", at[i] * PAGE, 1, 1);
    }
    g_assert_cmpuint(ram_dirty_sync(d), ==, G_N_ELEMENTS(at));
    g_assert_cmpuint(ram_dirty_sync(d), ==, 0);
    for (uint64_t p = ram_dirty_find(d, 0, 0); p < 200; p = ram_dirty_find(d, 0, p + 1)) {
        g_assert_cmpuint(p, ==, at[k++]);
    }
    g_assert_cmpuint(k, ==, G_N_ELEMENTS(at));
    g_assert_cmpuint(ram_dirty_find(d, 1, 0), ==, 65);
    g_assert_cmpuint(ram_dirty_find(d, 0, 1000), ==, 200);
    dirty_log_stop(side->log);
    ram_dirty_free(d);
    side_free(side);
}

static uint64_t find_slowly(const RamDirty *d, uint64_t from, uint64_t end, bool dirty)
{
    while (from < end && ram_dirty_test(d, 0, from) != dirty) {
        from++;
    }
    return MIN(from, end);
}

/* Long stretches of one kind, which are skipped many words at once, with single pages in them. */
static void fill_at_random(RamDirty *d, uint64_t pages)
{
    for (uint64_t at = 0; at < pages;) {
        uint64_t end = at + g_test_rand_int_range(1, 3000);
        bool dirty = g_test_rand_bit();

        for (uint64_t page = at; page < MIN(end, pages); page++) {
            if (ram_dirty_test(d, 0, page) != (dirty ^ (g_test_rand_int_range(0, 1000) == 0))) {
                d->bitmaps[0][page / 64] ^= 1ULL << (page % 64);
            }
        }
        at = end;
    }
}

static void test_find_at_random(void)
{
    static const BlockSpec large[] = { { "large", 20007 } };
    Side *side = side_new(large, 1);
    RamDirty *d = ram_dirty_new(side->ram, side->log, NULL);
    uint64_t pages = 20007, first, end;

    for (int i = 0; i < 2000; i++) {
        if (i % 50 == 0) {
            fill_at_random(d, pages);
        }
        uint64_t from = g_test_rand_int_range(0, pages), to = g_test_rand_int_range(0, pages + 1);
        g_assert_cmpuint(ram_dirty_find(d, 0, from), ==, find_slowly(d, from, pages, true));
        g_assert_cmpuint(ram_dirty_find_in(d, 0, from, to), ==,
                         from < to ? find_slowly(d, from, to, true) : to);
        bool any = ram_dirty_range(d, 0, from, &first, &end);
        g_assert_true(any == (find_slowly(d, from, pages, true) < pages));
        if (any) {
            g_assert_cmpuint(end, ==, find_slowly(d, first, pages, false));
        }
        if (ram_dirty_clean_range(d, 0, from, &first, &end)) {
            g_assert_cmpuint(first, ==, find_slowly(d, from, pages, false));
            g_assert_cmpuint(end, ==, find_slowly(d, first, pages, true));
        }
    }
    ram_dirty_free(d);
    side_free(side);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-walk/first-pass", test_first_pass);
    g_test_add_func("/ram-walk/continues", test_continues);
    g_test_add_func("/ram-walk/find", test_find);
    g_test_add_func("/ram-walk/find-at-random", test_find_at_random);
    return g_test_run();
}
