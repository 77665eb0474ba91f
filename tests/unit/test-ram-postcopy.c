/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's memory in postcopy (migration-stream 8): what is thrown away there, in which order
 * pages go, and what a destination that asks for nonsense, or for too much, gets.
 */
#include "migration/ram/picker.h"
#include "ram-fixture.h"

static const BlockSpec blocks[] = { { "big", 200 }, { "mid", 65 }, { "one", 1 } };

typedef struct Fix {
    Side *side;
    RamPicker *p;
} Fix;

static Fix fix_new(void)
{
    Fix f = { .side = side_new(blocks, 3) };

    f.p = ram_picker_new(f.side->ram, f.side->log, NULL);
    ram_picker_start(f.p);
    return f;
}

static void fix_free(Fix *f)
{
    ram_picker_free(f->p);
    side_free(f->side);
}

static void ask(Fix *f, size_t block, uint64_t page, uint64_t count)
{
    RamRequest r = { block, page, count };

    g_assert_true(ram_requests_put(ram_picker_requests(f->p), &r));
}

static void expect(Fix *f, size_t block, uint64_t page, RamPickReason reason)
{
    RamPick pick;

    g_assert_true(ram_picker_next(f->p, &pick));
    g_assert_cmpuint(pick.block, ==, block);
    g_assert_cmpuint(pick.page, ==, page);
    g_assert_cmpint(pick.reason, ==, reason);
}

static void expect_none(Fix *f)
{
    RamPick pick;

    g_assert_false(ram_picker_next(f->p, &pick));
}

/* What is asked for goes before its turn, and the rest follows from there. */
static void test_follow(void)
{
    Fix f = fix_new();
    RamPostcopyOptions opt = { .order = RAM_ORDER_FOLLOW_FAULT };

    ram_picker_postcopy(f.p);
    ram_picker_set_postcopy(f.p, &opt);
    expect(&f, 0, 0, RAM_PICK_BACKGROUND);
    g_assert_false(ram_picker_is_asked(f.p));
    ask(&f, 0, 150, 1);
    ask(&f, 1, 3, 1);
    g_assert_true(ram_picker_is_asked(f.p));
    expect(&f, 0, 150, RAM_PICK_REQUESTED);
    expect(&f, 1, 3, RAM_PICK_REQUESTED);
    expect(&f, 1, 4, RAM_PICK_BACKGROUND);
    ask(&f, 0, 150, 1);                     /* it has been sent */
    ask(&f, 0, 0, 1);
    expect(&f, 1, 5, RAM_PICK_BACKGROUND);
    g_assert_cmpuint(ram_picker_duplicates(f.p), ==, 2);
    fix_free(&f);
}

/* In a line: a request does not move the background. */
static void test_linear(void)
{
    Fix f = fix_new();
    RamPostcopyOptions opt = { .order = RAM_ORDER_LINEAR };

    ram_picker_postcopy(f.p);
    ram_picker_set_postcopy(f.p, &opt);
    expect(&f, 0, 0, RAM_PICK_BACKGROUND);
    ask(&f, 0, 150, 2);
    expect(&f, 0, 150, RAM_PICK_REQUESTED);
    expect(&f, 0, 151, RAM_PICK_REQUESTED);
    expect(&f, 0, 1, RAM_PICK_BACKGROUND);
    fix_free(&f);
}

/* Neighbours come with a page, after what else is asked for; nothing else does without a background. */
static void test_prefault(void)
{
    Fix f = fix_new();
    RamPostcopyOptions opt = { .order = RAM_ORDER_NONE, .prefault_forward = 3,
                               .prefault_backward = 2 };

    ram_picker_postcopy(f.p);
    ram_picker_set_postcopy(f.p, &opt);
    expect_none(&f);
    ask(&f, 0, 100, 1);
    expect(&f, 0, 100, RAM_PICK_REQUESTED);
    expect(&f, 0, 101, RAM_PICK_PREFAULT);
    ask(&f, 0, 1, 1);
    expect(&f, 0, 1, RAM_PICK_REQUESTED);
    expect(&f, 0, 102, RAM_PICK_PREFAULT);
    expect(&f, 0, 103, RAM_PICK_PREFAULT);
    expect(&f, 0, 99, RAM_PICK_PREFAULT);
    expect(&f, 0, 98, RAM_PICK_PREFAULT);
    expect(&f, 0, 2, RAM_PICK_PREFAULT);
    expect(&f, 0, 3, RAM_PICK_PREFAULT);
    expect(&f, 0, 4, RAM_PICK_PREFAULT);
    expect(&f, 0, 0, RAM_PICK_PREFAULT);
    expect_none(&f);
    ask(&f, 0, 199, 1);                     /* at the edges there are fewer */
    expect(&f, 0, 199, RAM_PICK_REQUESTED);
    expect(&f, 0, 198, RAM_PICK_PREFAULT);
    expect(&f, 0, 197, RAM_PICK_PREFAULT);
    expect_none(&f);
    g_assert_false(ram_picker_is_asked(f.p));
    fix_free(&f);
}

/* A block of large host pages: they go whole, one after the other, also if one of ours was dirty. */
static void test_host_pages(void)
{
    Fix f = fix_new();
    RamPostcopyOptions opt = { .order = RAM_ORDER_NONE, .prefault_forward = 1 };
    RamPick pick;

    while (ram_picker_next(f.p, &pick)) {
        /* the first round */
    }
    side_block(f.side, "big")->page_size = 8 * PAGE;
    side_set(f.side, "big", 17 * PAGE, 1, 1);
    side_set(f.side, "big", 30 * PAGE, 1, 1);
    g_assert_cmpuint(ram_picker_sync(f.p), ==, 2);
    ram_picker_postcopy(f.p);
    ram_picker_set_postcopy(f.p, &opt);
    g_assert_cmpuint(ram_picker_dirty(f.p)->count, ==, 16);
    ask(&f, 0, 16, 8);
    for (uint64_t page = 16; page < 24; page++) {
        expect(&f, 0, page, RAM_PICK_REQUESTED);
        ask(&f, 0, 24, 8);                  /* waits until the host page is complete */
    }
    for (uint64_t page = 24; page < 32; page++) {
        expect(&f, 0, page, RAM_PICK_REQUESTED);
    }
    expect_none(&f);
    fix_free(&f);
}

/* After a cut: what the destination has not got is dirty again, what it was never sent stays so. */
static void test_restart(void)
{
    Fix f = fix_new();
    RamPostcopyOptions opt = { .order = RAM_ORDER_LINEAR };
    uint64_t big[4] = { ~0ULL, ~0ULL, ~0ULL, 0xff }, mid[2] = { ~4ULL, 1 }, one[1] = { 0 };
    uint64_t *received[] = { big, mid, one };
    RamPick pick;

    big[0] = ~(1ULL << 7);
    ram_picker_postcopy(f.p);
    ram_picker_set_postcopy(f.p, &opt);
    for (int i = 0; i < 266 - 2; i++) {
        g_assert_true(ram_picker_next(f.p, &pick));
    }
    ask(&f, 0, 3, 1);
    ram_requests_close(ram_picker_requests(f.p));
    ram_picker_restart(f.p, received);
    g_assert_cmpuint(ram_picker_dirty(f.p)->count, ==, 4);
    expect(&f, 1, 64, RAM_PICK_BACKGROUND);
    expect(&f, 2, 0, RAM_PICK_BACKGROUND);
    expect(&f, 0, 7, RAM_PICK_BACKGROUND);
    expect(&f, 1, 2, RAM_PICK_BACKGROUND);
    expect_none(&f);
    fix_free(&f);
}

/* ---- the saver: what a destination may ask for ---- */

static RamSaver *saver_new(Side *side, StreamWriter *w)
{
    RamSaveOptions opt = { .detect_zero = true, .postcopy = true };
    RamSaver *s = ram_saver_new(side->ram, side->log, &opt, NULL);

    g_assert_true(ram_save_setup(s, w, NULL));
    return s;
}

static void test_nonsense(void)
{
    static const struct {
        const char *block;
        uint64_t start;
        uint32_t len;
        const char *text;
    } bad[] = {
        { "none", 0, 4096, "\"none\", which is not here" },
        { "", 0, 4096, "\"\", which is not here" },
        { "big", 200 * 4096, 4096, "inside its 819200" },
        { "big", 199 * 4096, 8192, "inside its 819200" },
        { "big", 1, 4096, "not whole pages of 4096" },
        { "big", 0, 0, "not whole pages" },
        { "big", 0, 100, "not whole pages" },
        { "big", 0, 0xfffff000, "inside its" },
        { "big", UINT64_MAX & ~4095ULL, 4096, "inside its" },
    };
    Side *side = side_new(blocks, 3);
    StreamWriter *w = stream_writer_new_memory();
    RamSaver *s = saver_new(side, w);
    g_autoptr(GError) early = NULL;

    g_assert_false(ram_save_request(s, "big", 0, 4096, &early));
    g_assert_cmpstr(early->message, ==, "the destination asks for pages before it has the guest");
    g_assert_true(ram_save_postcopy_begin(s, w, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_false(ram_save_request(s, bad[i].block, bad[i].start, bad[i].len, &err));
        g_assert_nonnull(strstr(err->message, bad[i].text));
    }
    g_assert_false(ram_save_is_asked(s));
    g_assert_null(ram_save_bitmap_room(s, "big", 25, NULL));
    g_assert_null(ram_save_bitmap_room(s, "big", UINT64_MAX, NULL));
    g_assert_null(ram_save_bitmap_room(s, "none", 8, NULL));
    g_assert_nonnull(ram_save_bitmap_room(s, "mid", 16, NULL));
    g_assert_null(ram_save_bitmap_room(s, "mid", 16, NULL));    /* twice */
    g_assert_true(ram_save_bitmap_done(s, NULL));
    ram_save_forget_bitmaps(s);
    g_autoptr(GError) other = NULL;
    uint64_t *received = ram_save_bitmap_room(s, "mid", 16, NULL);

    received[0] = GUINT64_TO_LE(6);
    g_assert_false(ram_save_bitmap_done(s, &other));            /* nothing was sent yet */
    g_assert_nonnull(strstr(other->message, "another guest: it has 2 pages of RAM block \"mid\""));
    ram_saver_free(s);
    stream_writer_free(w);
    side_free(side);
}

/* It asks for the same page for ever and never reads: the queue is full, the asking thread waits. */
static gpointer ask_for_ever(void *opaque)
{
    uint64_t n = 0;

    while (ram_save_request(opaque, "big", 4096, 4096, NULL)) {
        n++;
    }
    return GSIZE_TO_POINTER(n);
}

static void test_flood(void)
{
    Side *side = side_new(blocks, 3);
    StreamWriter *w = stream_writer_new_memory();
    RamSaver *s = saver_new(side, w);
    RamPostcopyOptions opt = { .order = RAM_ORDER_LINEAR };
    RamStats stats;
    uint64_t left = 1;

    g_assert_true(ram_save_postcopy_begin(s, w, NULL));
    ram_save_set_postcopy(s, &opt);
    GThread *thread = g_thread_new("flood", ask_for_ever, s);
    while (!ram_save_is_asked(s)) {
        g_thread_yield();
    }
    while (left) {                          /* all pages go all the same */
        g_assert_true(ram_save_iterate(s, w, never_exhausted, NULL, NULL));
        ram_save_pending(s, &left);
    }
    ram_save_close_requests(s);
    uint64_t asked = GPOINTER_TO_SIZE(g_thread_join(thread));
    ram_saver_get_stats(s, &stats);
    g_assert_cmpuint(stats.postcopy_requests, >=, asked);
    g_assert_cmpuint(stats.postcopy_requested_pages, ==, 1);
    g_assert_cmpuint(stats.postcopy_background_pages, ==, 265);
    ram_saver_free(s);
    stream_writer_free(w);
    side_free(side);
}

/* Everything that is dirty, in ranges, and what lies between them not. */
static bool add_range(void *opaque, const RAMBlock *block, uint64_t start, uint64_t length)
{
    g_string_append_printf(opaque, "%s %u+%u ", block->idstr, (unsigned)(start / PAGE),
                           (unsigned)(length / PAGE));
    return true;
}

static void test_ranges(void)
{
    Side *side = side_new(blocks, 3);
    StreamWriter *w = stream_writer_new_memory();
    RamSaver *s = saver_new(side, w);
    g_autoptr(GString) all = g_string_new(NULL), some = g_string_new(NULL);

    g_assert_true(ram_save_each_range(s, add_range, all));
    g_assert_cmpstr(all->str, ==, "big 0+200 mid 0+65 one 0+1 ");
    g_assert_true(ram_save_iterate(s, w, never_exhausted, NULL, NULL));
    side_set(side, "big", 0, 1, 1);
    side_set(side, "big", 63 * PAGE, 1, 2 * PAGE);
    side_set(side, "big", 199 * PAGE, 1, 1);
    side_set(side, "mid", 64 * PAGE, 1, 1);
    ram_save_last_sync(s);
    g_assert_true(ram_save_each_range(s, add_range, some));
    g_assert_cmpstr(some->str, ==, "big 0+1 big 63+2 big 199+1 mid 64+1 ");
    ram_saver_free(s);
    stream_writer_free(w);
    side_free(side);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-postcopy/follow", test_follow);
    g_test_add_func("/ram-postcopy/linear", test_linear);
    g_test_add_func("/ram-postcopy/prefault", test_prefault);
    g_test_add_func("/ram-postcopy/host-pages", test_host_pages);
    g_test_add_func("/ram-postcopy/restart", test_restart);
    g_test_add_func("/ram-postcopy/nonsense", test_nonsense);
    g_test_add_func("/ram-postcopy/flood", test_flood);
    g_test_add_func("/ram-postcopy/ranges", test_ranges);
    return g_test_run();
}
