/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Save and load together: whatever the guest wrote, the passes, the cache
 * and its sizes, the replayed destination equals the source at the end.
 */
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "ram-fixture.h"

#define MIB (1ULL << 20)

static const BlockSpec blocks[] = {
    { "mrom", 16 }, { "riscv_virt_board.ram", 700 }, { "flash", 65 }, { "odd", 1 },
};

/*
 * A channel that keeps what was written to it, when it was written: between
 * putting a page and a flush the writer only points to it.
 */
typedef struct Capture {
    Channel base;
    GByteArray *bytes;
} Capture;

static ssize_t capture_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    Capture *capture = (Capture *)c;
    ssize_t n = 0;

    for (int i = 0; i < iovcnt; i++) {
        g_byte_array_append(capture->bytes, iov[i].iov_base, (guint)iov[i].iov_len);
        n += (ssize_t)iov[i].iov_len;
    }
    return n;
}

static const ChannelOps capture_ops = { .kind = "capture", .writev = capture_writev };

typedef struct Trip {
    Side *from, *to;
    RamSaver *saver;
    RamLoader *loader;
    StreamWriter *w;
    Capture capture;
    unsigned payloads;      /* put, not yet delivered */
} Trip;

static void trip_start(Trip *t, const RamSaveOptions *opt)
{
    RamLoadOptions load = { 0 };

    t->saver = ram_saver_new(t->from->ram, t->from->log, opt, NULL);
    g_assert_nonnull(t->saver);
    t->loader = ram_loader_new(t->to->ram, t->to->log, &load);
    t->capture = (Capture) { .base = { .ops = &capture_ops }, .bytes = g_byte_array_new() };
    t->w = stream_writer_new(&t->capture.base);
    t->payloads = 0;
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
    g_byte_array_unref(t->capture.bytes);
}

static void trip_clear(Trip *t)
{
    trip_end(t);
    side_free(t->from);
    side_free(t->to);
}

/* Flushes and hands over what was written since the last time. */
static void deliver(Trip *t)
{
    StreamReader *r;
    g_autoptr(GError) err = NULL;

    g_assert_true(stream_flush(t->w, NULL));
    r = stream_reader_new_memory(t->capture.bytes->data, t->capture.bytes->len);
    for (; t->payloads > 0; t->payloads--) {
        if (!ram_load_payload(t->loader, r, 4, &err)) {
            g_error("load: %s", err->message);
        }
    }
    g_assert_cmpuint(stream_reader_offset(r), ==, t->capture.bytes->len);
    stream_reader_free(r);
    g_byte_array_set_size(t->capture.bytes, 0);
}

static void setup(Trip *t)
{
    g_assert_true(ram_save_setup(t->saver, t->w, NULL));
    t->payloads++;
    deliver(t);
}

static bool iterate_only(Trip *t, RamBudgetExhausted *exhausted, void *opaque)
{
    g_assert_true(ram_save_iterate(t->saver, t->w, exhausted, opaque, NULL));
    t->payloads++;
    return saver_done(t->saver);
}

static bool iterate(Trip *t, RamBudgetExhausted *exhausted, void *opaque)
{
    bool done = iterate_only(t, exhausted, opaque);

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
    t->payloads++;
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
    t.payloads++;
    deliver(&t);
    block = side_block(t.to, "riscv_virt_board.ram");
    g_assert_cmpint(lseek(block->fd, 0, SEEK_DATA), ==, -1);
    trip_clear(&t);
}

static bool budget_of_pages(void *opaque)
{
    int *pages = opaque;

    return (*pages)-- <= 0;
}

/*
 * An empty block is one hole. The guest writes into it when the walk has begun and not yet come
 * there: what the log brought in must not be read as the hole it was.
 */
static void test_hole_filled_before_its_turn(void)
{
    Trip t;

    for (uint64_t page = 50; page < 700; page += 50) {
        int budget = 16 + 20;                   /* all of mrom, some of the next block */

        trip_init(&t, &xbzrle);
        setup(&t);
        g_assert_false(iterate(&t, budget_of_pages, &budget));
        side_set(t.from, "riscv_virt_board.ram", page * PAGE + 8, 0x5a, 100);
        ram_save_sync(t.saver);
        run_pass(&t);
        complete(&t);
        trip_clear(&t);
    }
}

/* The same without a fetch in between: the page goes as the hole it was, the next pass brings it. */
static void test_hole_filled_after_the_fetch(void)
{
    int budget = 16 + 20;
    Trip t;

    trip_init(&t, &xbzrle);
    setup(&t);
    g_assert_false(iterate(&t, budget_of_pages, &budget));
    side_set(t.from, "riscv_virt_board.ram", 300 * PAGE, 0x5a, PAGE);
    run_pass(&t);
    complete(&t);
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
    uint8_t *host = side_block(side, b->name)->host, noise[PAGE];

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
            noise[i] = (uint8_t)g_rand_int(rng);
        }
        side_write(side, b->name, at, noise, PAGE);
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
        bool done = iterate_only(&t, disturb, &d);

        if (g_rand_boolean(rng)) {
            deliver(&t);    /* else the writer goes on pointing to pages */
        }
        if (done || g_rand_int_range(rng, 0, 10) == 0) {
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

/* ---- threads: a guest that writes all the while, somebody who resizes ---- */

typedef struct Guest {
    Side *side;
    RamSaver *saver;
    uint32_t seed;
    int stop;               /* atomic */
} Guest;

static gpointer guest_thread(gpointer opaque)
{
    Guest *g = opaque;
    g_autoptr(GRand) rng = g_rand_new_with_seed(g->seed);

    while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE)) {
        random_write(rng, g->side);
    }
    return NULL;
}

static gpointer resize_thread(gpointer opaque)
{
    Guest *g = opaque;
    g_autoptr(GRand) rng = g_rand_new_with_seed(g->seed);
    RamStats st;

    while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE)) {
        g_assert_true(ram_saver_set_cache_size(g->saver, g_rand_int_range(rng, 1, 3 * MIB), NULL));
        ram_saver_get_stats(g->saver, &st);
        g_usleep(500);
    }
    return NULL;
}

static void test_threads(void)
{
    guint32 seed = g_test_rand_int();
    GThread *writer, *resizer;
    Guest g = { .seed = seed };
    int64_t end;
    Trip t;

    g_test_message("seed %u", seed);
    trip_init(&t, &xbzrle);
    setup(&t);
    g.side = t.from;
    g.saver = t.saver;
    writer = g_thread_new("guest", guest_thread, &g);
    resizer = g_thread_new("resize", resize_thread, &g);
    end = g_get_monotonic_time() + G_USEC_PER_SEC / 2;
    while (g_get_monotonic_time() < end) {
        if (iterate_only(&t, never_exhausted, NULL)) {
            ram_save_sync(t.saver);
        }
        if (t.payloads == 3) {
            deliver(&t);
        }
    }
    __atomic_store_n(&g.stop, 1, __ATOMIC_RELEASE);
    g_thread_join(writer);
    g_thread_join(resizer);
    complete(&t);
    trip_clear(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-roundtrip/plain", test_plain);
    g_test_add_func("/ram-roundtrip/zero-after-cached", test_zero_after_cached);
    g_test_add_func("/ram-roundtrip/resize", test_resize_in_the_middle);
    g_test_add_func("/ram-roundtrip/destination-not-empty", test_destination_not_empty);
    g_test_add_func("/ram-roundtrip/zero-pages-take-no-memory", test_zero_pages_take_no_memory);
    g_test_add_func("/ram-roundtrip/hole-filled", test_hole_filled_before_its_turn);
    g_test_add_func("/ram-roundtrip/hole-filled-late", test_hole_filled_after_the_fetch);
    g_test_add_func("/ram-roundtrip/twice", test_migrate_twice);
    g_test_add_func("/ram-roundtrip/random", test_random);
    g_test_add_func("/ram-roundtrip/threads", test_threads);
    return g_test_run();
}
