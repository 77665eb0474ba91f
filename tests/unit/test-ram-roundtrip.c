/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Save and load together: whatever the guest wrote, the passes, the cache
 * and its sizes, the replayed destination equals the source at the end.
 */
#include <unistd.h>
#include "ram-fixture.h"

#define MIB (1ULL << 20)

static const BlockSpec blocks[] = {
    { "mrom", 16 }, { "riscv_virt_board.ram", 700 }, { "flash", 65 }, { "odd", 1 },
};

typedef struct Trip {
    Side *from, *to;
    RamSaver *saver;
    RamLoader *loader;
    StreamWriter *w;
} Trip;

static void trip_start(Trip *t, const RamSaveOptions *opt)
{
    RamLoadOptions load = { 0 };

    t->saver = ram_saver_new(t->from->ram, t->from->log, opt, NULL);
    g_assert_nonnull(t->saver);
    t->loader = ram_loader_new(t->to->ram, t->to->log, &load);
    t->w = stream_writer_new_memory();
}

static void trip_init(Trip *t, const RamSaveOptions *opt)
{
    t->from = side_new(blocks, G_N_ELEMENTS(blocks));
    t->to = side_new(blocks, G_N_ELEMENTS(blocks));
    trip_start(t, opt);
}

static void trip_end(Trip *t)
{
    ram_saver_free(t->saver);
    ram_loader_free(t->loader);
    stream_writer_free(t->w);
}

static void trip_clear(Trip *t)
{
    trip_end(t);
    side_free(t->from);
    side_free(t->to);
}

/* Hands over what was written since the last time: one payload. */
static void deliver(Trip *t)
{
    g_autoptr(GByteArray) bytes = stream_writer_take(t->w);
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    g_autoptr(GError) err = NULL;

    if (!ram_load_payload(t->loader, r, 4, &err)) {
        g_error("load: %s", err->message);
    }
    g_assert_cmpuint(stream_reader_offset(r), ==, bytes->len);
    stream_reader_free(r);
}

static void setup(Trip *t)
{
    g_assert_true(ram_save_setup(t->saver, t->w, NULL));
    deliver(t);
}

static bool iterate(Trip *t, RamBudgetExhausted *exhausted, void *opaque)
{
    bool done;

    g_assert_true(ram_save_iterate(t->saver, t->w, exhausted, opaque, &done, NULL));
    deliver(t);
    return done;
}

static void run_pass(Trip *t)
{
    while (!iterate(t, never_exhausted, NULL)) {
    }
}

static void complete(Trip *t)
{
    g_assert_true(ram_save_complete(t->saver, t->w, NULL));
    deliver(t);
    side_assert_equal(t->from, t->to);
}

static const RamSaveOptions xbzrle = {
    .detect_zero = true, .bulk_rule = true, .xbzrle = true, .xbzrle_cache_bytes = MIB,
};

static void test_plain(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    Trip t;

    trip_init(&t, &opt);
    side_set(t.from, "mrom", 100, 0xaa, 5000);
    side_set(t.from, "odd", 0, 1, PAGE);
    setup(&t);
    run_pass(&t);
    side_set(t.from, "flash", 64 * PAGE, 0xbb, PAGE);
    complete(&t);
    trip_clear(&t);
}

/* A page that was cached becomes zero and gets one byte again: the delta is against zeros. */
static void test_zero_after_cached(void)
{
    RamStats st;
    Trip t;

    trip_init(&t, &xbzrle);
    side_set(t.from, "flash", 0, 0x55, PAGE);
    setup(&t);
    run_pass(&t);
    side_set(t.from, "flash", 10, 0x56, 1);
    ram_save_sync(t.saver);
    run_pass(&t);                               /* enters the cache */
    side_set(t.from, "flash", 0, 0, PAGE);
    ram_save_sync(t.saver);
    run_pass(&t);                               /* ZERO */
    side_set(t.from, "flash", 99, 0x57, 1);
    ram_save_sync(t.saver);
    run_pass(&t);
    ram_saver_get_stats(t.saver, &st);
    g_assert_cmpuint(st.xbzrle_pages, ==, 1);
    g_assert_cmpuint(st.xbzrle_bytes, ==, 3 + 3);
    complete(&t);
    trip_clear(&t);
}

static void test_resize_in_the_middle(void)
{
    int budget;
    Trip t;

    trip_init(&t, &xbzrle);
    setup(&t);
    run_pass(&t);
    for (int pass = 1; pass < 8; pass++) {
        for (uint64_t p = 0; p < 700; p++) {
            side_set(t.from, "riscv_virt_board.ram", p * PAGE + p, (uint8_t)pass, 3);
        }
        ram_save_sync(t.saver);
        budget = 0;
        iterate(&t, never_exhausted, &budget);
        g_assert_true(ram_saver_set_cache_size(t.saver, pass % 2 ? 3 * MIB : 300000, NULL));
        run_pass(&t);
    }
    complete(&t);
    trip_clear(&t);
}

/* The destination had something in its memory: zero pages clear it. */
static void test_destination_not_empty(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    Trip t;

    trip_init(&t, &opt);
    side_set(t.to, "riscv_virt_board.ram", 3 * PAGE, 0xee, 20 * PAGE);
    side_set(t.to, "odd", 0, 0xee, PAGE);
    setup(&t);
    run_pass(&t);
    complete(&t);
    trip_clear(&t);
}

/* An empty guest costs the destination no memory. */
static void test_zero_pages_take_no_memory(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    const RAMBlock *block;
    Trip t;

    trip_init(&t, &opt);
    setup(&t);
    run_pass(&t);
    g_assert_true(ram_save_complete(t.saver, t.w, NULL));
    deliver(&t);
    block = side_block(t.to, "riscv_virt_board.ram");
    g_assert_cmpint(lseek(block->fd, 0, SEEK_DATA), ==, -1);
    trip_clear(&t);
}

/* A load without the sink touching guest memory would pass no other test. */
static void test_migrate_twice(void)
{
    Trip t;

    trip_init(&t, &xbzrle);
    for (int round = 0; round < 3; round++) {
        setup(&t);
        run_pass(&t);
        side_set(t.from, "odd", 7, (uint8_t)round + 1, 9);
        ram_save_sync(t.saver);
        run_pass(&t);
        complete(&t);
        trip_end(&t);
        trip_start(&t, &xbzrle);
    }
    trip_clear(&t);
}

/* ---- the model test ---- */

static void random_write(GRand *rng, Side *side)
{
    const BlockSpec *b = &blocks[g_rand_int_range(rng, 0, G_N_ELEMENTS(blocks))];
    uint64_t size = b->pages * PAGE, at, len;
    uint8_t *host = side_block(side, b->name)->host;

    /* A hot region at the start, the rest seldom. */
    at = (uint64_t)(g_rand_double(rng) * (double)(g_rand_boolean(rng) ? MIN(size, 40 * PAGE)
                                                                      : size));
    switch (g_rand_int_range(rng, 0, 6)) {
    case 0:
    case 1:
    case 2:
        len = (uint64_t)g_rand_int_range(rng, 1, 9);
        len = MIN(len, size - at);
        side_set(side, b->name, at, (uint8_t)g_rand_int(rng), len);
        break;
    case 3:                         /* a page of noise: overflow */
        at &= ~(PAGE - 1);
        for (uint64_t i = 0; i < PAGE; i++) {
            host[at + i] = (uint8_t)g_rand_int(rng);
        }
        side_write(side, b->name, at, host + at, PAGE);
        break;
    case 4:                         /* pages become zero */
        at &= ~(PAGE - 1);
        side_set(side, b->name, at, 0, MIN(size - at, 3 * PAGE));
        break;
    default:                        /* written, but unchanged */
        side_write(side, b->name, at, host + at, 1);
        break;
    }
}

typedef struct Disturb {
    GRand *rng;
    Side *from;
    RamSaver *saver;
} Disturb;

/* Asked before each page: the guest goes on writing, somebody resizes, the budget may be used up. */
static bool disturb(void *opaque)
{
    Disturb *d = opaque;

    if (g_rand_int_range(d->rng, 0, 3) == 0) {
        random_write(d->rng, d->from);
    }
    if (g_rand_int_range(d->rng, 0, 500) == 0) {
        g_assert_true(ram_saver_set_cache_size(d->saver, g_rand_int_range(d->rng, 1, 2 * MIB),
                                               NULL));
    }
    return g_rand_int_range(d->rng, 0, 60) == 0;
}

static void random_migration(GRand *rng, unsigned steps)
{
    RamSaveOptions opt = {
        .detect_zero = g_rand_int_range(rng, 0, 8) != 0,
        .bulk_rule = g_rand_boolean(rng),
        .xbzrle = g_rand_int_range(rng, 0, 8) != 0,
        .xbzrle_cache_bytes = g_rand_int_range(rng, 1, 3 * MIB),
    };
    Disturb d = { .rng = rng };
    Trip t;

    trip_init(&t, &opt);
    d.from = t.from;
    d.saver = t.saver;
    for (int i = 0; i < 50; i++) {
        random_write(rng, t.from);
        random_write(rng, t.to);
    }
    setup(&t);
    for (unsigned step = 0; step < steps; step++) {
        if (iterate(&t, disturb, &d) || g_rand_int_range(rng, 0, 10) == 0) {
            for (int i = g_rand_int_range(rng, 0, 60); i > 0; i--) {
                random_write(rng, t.from);
            }
            ram_save_sync(t.saver);
        }
    }
    complete(&t);
    trip_clear(&t);
}

static void test_random(void)
{
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rng = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    for (int i = 0; i < 20; i++) {
        random_migration(rng, 300);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-roundtrip/plain", test_plain);
    g_test_add_func("/ram-roundtrip/zero-after-cached", test_zero_after_cached);
    g_test_add_func("/ram-roundtrip/resize", test_resize_in_the_middle);
    g_test_add_func("/ram-roundtrip/destination-not-empty", test_destination_not_empty);
    g_test_add_func("/ram-roundtrip/zero-pages-take-no-memory", test_zero_pages_take_no_memory);
    g_test_add_func("/ram-roundtrip/twice", test_migrate_twice);
    g_test_add_func("/ram-roundtrip/random", test_random);
    return g_test_run();
}
