/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/save: the bytes of the ram section (migration-stream 3, 4.1, Appendix A),
 * the counters (4.7, 5.7), the rules of the bulk stage and of the cache, and
 * the wire-cost estimate.
 */
#include <sys/stat.h>
#include "ram-fixture.h"

#define MIB (1ULL << 20)

static const BlockSpec one_mib[] = { { "ram", 256 } };

typedef struct Source {
    Side *side;
    RamSaver *saver;
    StreamWriter *w;
    unsigned parts;     /* of the last pass */
} Source;

static void source_init(Source *s, const BlockSpec *blocks, size_t n, const RamSaveOptions *opt)
{
    s->side = side_new(blocks, n);
    s->saver = ram_saver_new(s->side->ram, s->side->log, opt, NULL);
    s->w = stream_writer_new_memory();
    g_assert_nonnull(s->saver);
}

static void source_clear(Source *s)
{
    ram_saver_free(s->saver);
    stream_writer_free(s->w);
    side_free(s->side);
}

static void setup(Source *s)
{
    g_assert_true(ram_save_setup(s->saver, s->w, NULL));
}

/* Runs one pass to its end; its bytes. On a busy host it may take more than one part, each 50 ms at most. */
static GByteArray *run_pass(Source *s)
{
    s->parts = 0;
    g_byte_array_unref(stream_writer_take(s->w));
    do {
        s->parts++;
        g_assert_true(ram_save_iterate(s->saver, s->w, never_exhausted, NULL, NULL));
    } while (!saver_done(s->saver));
    return stream_writer_take(s->w);
}

static void skip_pass(Source *s)
{
    g_byte_array_unref(run_pass(s));
}

static RamStats stats(Source *s)
{
    RamStats st;

    ram_saver_get_stats(s->saver, &st);
    return st;
}

static void append(GByteArray *a, const char *bytes, size_t n)
{
    g_byte_array_append(a, (const guint8 *)bytes, (guint)n);
}

#define BYTES(a, literal) append(a, literal, sizeof(literal) - 1)

static void assert_bytes(GByteArray *got, GByteArray *want)
{
    g_assert_cmpmem(got->data, got->len, want->data, want->len);
}

/* Appendix A: an empty guest of 1 MiB, byte for byte. */
static void test_capture(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    g_autoptr(GByteArray) want = g_byte_array_new(), got = NULL;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    BYTES(want, "\0\0\0\0\0\x10\0\x04" "\x03ram" "\0\0\0\0\0\x10\0\0" "\0\0\0\0\0\0\0\x10");
    BYTES(want, "\0\0\0\0\0\0\0\x02" "\x03ram" "\0");
    for (unsigned page = 1; page < 256; page++) {
        uint8_t word[9] = { 0, 0, 0, 0, 0, page >> 4, (page & 15) << 4, 0x22, 0 };

        g_byte_array_append(want, word, sizeof(word));
    }
    BYTES(want, "\0\0\0\0\0\0\0\x10");
    g_assert_true(ram_save_iterate(s.saver, s.w, never_exhausted, NULL, NULL));
    g_assert_true(saver_done(s.saver));
    g_assert_cmpuint(stream_writer_bytes(s.w), ==, (0x3e - 0x22) + (0x954 - 0x48));
    g_assert_cmpuint(stats(&s).transferred_bytes, ==, 2316);

    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    BYTES(want, "\0\0\0\0\0\0\0\x10");
    got = stream_writer_take(s.w);
    assert_bytes(got, want);
    g_assert_cmpuint(stats(&s).transferred_bytes, ==, 2316); /* START and END do not count */
    g_assert_cmpuint(stats(&s).duplicate_pages, ==, 256);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 0);
    g_assert_cmpuint(stats(&s).dirty_sync_count, ==, 2);
    g_assert_cmpuint(stats(&s).remaining_pages, ==, 0);
    source_clear(&s);
}

/* Largest block first; a block id wherever the block changes, and only there. */
static void test_block_ids(void)
{
    static const BlockSpec blocks[] = { { "b", 1 }, { "pc.ram", 3 }, { "a", 1 } };
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    g_autoptr(GByteArray) want = g_byte_array_new(), got = NULL, start = NULL;
    Source s;

    source_init(&s, blocks, 3, &opt);
    setup(&s);
    start = stream_writer_take(s.w);
    BYTES(want, "\0\0\0\0\0\0\x50\x04" "\x06pc.ram" "\0\0\0\0\0\0\x30\0" "\x01" "b"
          "\0\0\0\0\0\0\x10\0" "\x01" "a" "\0\0\0\0\0\0\x10\0" "\0\0\0\0\0\0\0\x10");
    assert_bytes(start, want);

    got = run_pass(&s);
    g_byte_array_set_size(want, 0);
    BYTES(want, "\0\0\0\0\0\0\0\x02" "\x06pc.ram" "\0" "\0\0\0\0\0\0\x10\x22\0"
          "\0\0\0\0\0\0\x20\x22\0" "\0\0\0\0\0\0\0\x02" "\x01" "b" "\0"
          "\0\0\0\0\0\0\0\x02" "\x01" "a" "\0" "\0\0\0\0\0\0\0\x10");
    assert_bytes(got, want);

    /* The next PART goes on with the last block: the id is remembered across sections. */
    side_set(s.side, "a", 0, 7, 1);
    ram_save_sync(s.saver);
    g_byte_array_unref(got);
    got = run_pass(&s);
    g_assert_cmpuint(got->len, ==, 8 + 4096 + 8);
    g_assert_cmphex(got->data[7], ==, 0x28);
    source_clear(&s);
}

static void test_zero_detection_off(void)
{
    RamSaveOptions opt = { .detect_zero = false, .bulk_rule = true };
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 256);
    g_assert_cmpuint(stats(&s).transferred_bytes, ==, 256 * 4104 + 4 + 8 * s.parts);
    source_clear(&s);
}

/* Three changed bytes, and the framing of 4.1. */
static void test_delta_record(void)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true, .xbzrle = true, .xbzrle_cache_bytes = MIB,
    };
    g_autoptr(GByteArray) want = g_byte_array_new(), got = NULL;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    side_set(s.side, "ram", 5 * PAGE, 0x11, PAGE);
    setup(&s);
    skip_pass(&s);                                      /* bulk: not cached, not counted */
    g_assert_cmpuint(stats(&s).xbzrle_cache_miss, ==, 0);

    side_set(s.side, "ram", 5 * PAGE, 0x12, 1);
    ram_save_sync(s.saver);
    skip_pass(&s);                                      /* second time: a miss, whole, cached */
    g_assert_cmpuint(stats(&s).xbzrle_cache_miss, ==, 1);
    g_assert_cmpuint(stats(&s).xbzrle_pages, ==, 0);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 2);

    side_set(s.side, "ram", 5 * PAGE + 16, 0x99, 3);
    ram_save_sync(s.saver);
    got = run_pass(&s);                                 /* third time: a delta */
    BYTES(want, "\0\0\0\0\0\0\x50\x60" "\x01" "\0\x05" "\x10\x03\x99\x99\x99"
          "\0\0\0\0\0\0\0\x10");
    assert_bytes(got, want);
    g_assert_cmpuint(stats(&s).xbzrle_pages, ==, 1);
    g_assert_cmpuint(stats(&s).xbzrle_bytes, ==, 1 + 2 + 5);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 2);
    source_clear(&s);
}

static void test_unmodified_and_overflow(void)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = false, .xbzrle = true, .xbzrle_cache_bytes = 4 * MIB,
    };
    Source s;

    source_init(&s, one_mib, 1, &opt);
    side_set(s.side, "ram", 0, 0x11, 2 * PAGE);
    setup(&s);
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).xbzrle_cache_miss, ==, 2);

    side_set(s.side, "ram", 0, 0x11, PAGE);             /* written, but not changed */
    ram_save_sync(s.saver);
    uint64_t before = stats(&s).transferred_bytes;
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).transferred_bytes - before, ==, 8); /* EOS */
    g_assert_cmpuint(stats(&s).xbzrle_pages, ==, 1);
    g_assert_cmpuint(stats(&s).xbzrle_unmodified, ==, 1);
    g_assert_cmpuint(stats(&s).xbzrle_bytes, ==, 0);

    side_set(s.side, "ram", PAGE, 0x22, PAGE);          /* every byte changed */
    ram_save_sync(s.saver);
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).xbzrle_pages, ==, 2);
    g_assert_cmpuint(stats(&s).xbzrle_overflow, ==, 1);
    g_assert_cmpuint(stats(&s).xbzrle_bytes, ==, 4096);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 3);

    side_set(s.side, "ram", PAGE, 0x23, 1);             /* the cache has what overflowed */
    ram_save_sync(s.saver);
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).xbzrle_bytes, ==, 4096 + 3 + 3);
    source_clear(&s);
}

/* A delta that needs a block id counts it: the record but its first eight bytes. */
static void test_delta_counts_block_id(void)
{
    static const BlockSpec blocks[] = { { "first", 2 }, { "second", 1 } };
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = false, .xbzrle = true, .xbzrle_cache_bytes = MIB,
    };
    Source s;

    source_init(&s, blocks, 2, &opt);
    side_set(s.side, "first", 0, 1, 10);
    setup(&s);
    skip_pass(&s);
    side_set(s.side, "first", 0, 2, 1);
    ram_save_sync(s.saver);
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).xbzrle_bytes, ==, 3 + 3 + 6);
    source_clear(&s);
}

/* In END deltas may still be sent, but nothing enters the cache. */
static void test_last_stage(void)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true, .xbzrle = true, .xbzrle_cache_bytes = MIB,
    };
    g_autoptr(GByteArray) got = NULL;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    skip_pass(&s);
    side_set(s.side, "ram", 0, 1, PAGE);
    ram_save_sync(s.saver);
    skip_pass(&s);
    side_set(s.side, "ram", 0, 2, 1);
    side_set(s.side, "ram", PAGE, 3, 1);
    g_byte_array_unref(stream_writer_take(s.w));
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    got = stream_writer_take(s.w);
    g_assert_cmpuint(got->len, ==, (8 + 3 + 3) + (8 + 4096) + 8);
    g_assert_cmpuint(stats(&s).xbzrle_cache_miss, ==, 2);
    g_assert_cmpuint(stats(&s).dirty_sync_count, ==, 3);
    source_clear(&s);
}

static bool countdown(void *opaque)
{
    int *left = opaque;

    return (*left)-- == 0;
}

/* The budget is asked before each page; a PART without any is just EOS; the next one goes on. */
static void test_budget(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    int left = 0;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    g_byte_array_unref(stream_writer_take(s.w));
    g_assert_true(ram_save_iterate(s.saver, s.w, countdown, &left, NULL));
    g_assert_false(saver_done(s.saver));
    g_autoptr(GByteArray) empty = stream_writer_take(s.w);
    g_assert_cmpmem(empty->data, empty->len, "\0\0\0\0\0\0\0\x10", 8);

    left = 100;
    g_assert_true(ram_save_iterate(s.saver, s.w, countdown, &left, NULL));
    g_assert_cmpuint(stats(&s).duplicate_pages, ==, 100);
    g_assert_cmpuint(stats(&s).remaining_pages, ==, 156);
    left = 1000;
    g_assert_true(ram_save_iterate(s.saver, s.w, countdown, &left, NULL));
    g_assert_true(saver_done(s.saver));
    g_assert_cmpuint(stats(&s).duplicate_pages, ==, 256);
    source_clear(&s);
}

/* Large host pages: one that was begun is finished, and then the budget counts again. */
static void test_host_pages(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    int left = 0;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    side_block(s.side, "ram")->page_size = 16 * PAGE;
    setup(&s);
    for (uint64_t sent = 16; sent <= 64; sent += 16) {
        left = 1;
        g_assert_true(ram_save_iterate(s.saver, s.w, countdown, &left, NULL));
        g_assert_cmpuint(stats(&s).duplicate_pages, ==, sent);
    }
    skip_pass(&s);
    side_set(s.side, "ram", 3 * PAGE, 1, 2 * PAGE);     /* two in one host page, then one each */
    side_set(s.side, "ram", 20 * PAGE, 1, 1);
    side_set(s.side, "ram", 100 * PAGE, 1, 1);
    ram_save_sync(s.saver);
    for (uint64_t sent = 2; sent <= 4; sent++) {
        left = 1;
        g_assert_true(ram_save_iterate(s.saver, s.w, countdown, &left, NULL));
        g_assert_cmpuint(stats(&s).normal_pages, ==, sent);
    }
    g_assert_true(saver_done(s.saver));
    source_clear(&s);
}

/*
 * The founding benchmark: 16 MiB, four bytes of every page changed in each
 * pass, 64 MiB cache, 32 MiB/s and 30 ms, that is 1006632 bytes. Must be
 * seen to fit from the fourth pass on; without deltas never.
 */
static void test_founding_estimate(void)
{
    static const BlockSpec blocks[] = { { "ram", 8192 } };
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true, .xbzrle = true, .xbzrle_cache_bytes = 64 * MIB,
    };
    const uint64_t threshold = 32 * MIB * 30 / 1000;
    uint64_t pending, dirty_bytes, before;
    Source s;

    source_init(&s, blocks, 1, &opt);
    setup(&s);
    for (int pass = 1; pass <= 6; pass++) {
        before = stats(&s).transferred_bytes;
        skip_pass(&s);
        g_assert_cmpuint(ram_save_pending(s.saver, NULL), ==, 0);
        g_test_message("pass %d: %" G_GUINT64_FORMAT " bytes", pass,
                       stats(&s).transferred_bytes - before);
        for (uint64_t at = 0; at < 4096 * PAGE; at += 1024) {
            uint8_t v = side_block(s.side, "ram")->host[at] + 1;

            side_write(s.side, "ram", at, &v, 1);
        }
        ram_save_sync(s.saver);
        pending = ram_save_pending(s.saver, &dirty_bytes);
        g_assert_cmpuint(dirty_bytes, ==, 16 * MIB);
        g_assert_cmpuint(stats(&s).sync_pending_bytes, ==, pending);
        if (pass < 3) {
            g_assert_cmpuint(pending, >=, 16 * MIB);
        } else {
            g_assert_cmpuint(pending, <, threshold);
            g_assert_cmpuint(pending, >, 4096 * 20);
            g_assert_cmpuint(pending, <, 4096 * 40);
        }
    }
    /* The estimate holds: what END sends is what was promised. */
    before = stats(&s).transferred_bytes;
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    g_assert_cmpuint(stats(&s).transferred_bytes - before, <=, pending);
    g_assert_cmpuint(stats(&s).transferred_bytes - before, >=, pending * 9 / 10);
    source_clear(&s);
}

/* Pages that are not cached are counted whole, beside pages that are. */
static void test_mixed_estimate(void)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true, .xbzrle = true, .xbzrle_cache_bytes = MIB,
    };
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    for (int pass = 0; pass < 4; pass++) {
        skip_pass(&s);
        for (uint64_t p = 0; p < 100; p++) {
            side_set(s.side, "ram", p * PAGE, (uint8_t)pass + 1, 1);
        }
        ram_save_sync(s.saver);
    }
    side_set(s.side, "ram", 200 * PAGE, 1, 10 * PAGE);
    ram_save_sync(s.saver);
    uint64_t pending = ram_save_pending(s.saver, NULL);
    g_assert_cmpuint(pending, >=, 10 * 4104 + 100 * 14);
    g_assert_cmpuint(pending, <=, 10 * 4104 + 100 * 16);
    source_clear(&s);
}

static uint64_t next_estimate(Source *s, uint8_t value)
{
    skip_pass(s);
    side_set(s->side, "ram", 0, value, 200 * PAGE);
    ram_save_sync(s->saver);
    return ram_save_pending(s->saver, NULL);
}

/* A guest that clears memory: its zero pages count as what they are, but not for long. */
static void test_zero_estimate(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    const uint64_t whole = 200 * 4104, zero = 200 * 9;
    uint64_t pending = whole, before;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    g_assert_cmpuint(next_estimate(&s, 0), ==, whole);      /* all was zero in the first round */
    for (int pass = 0; pass < 12; pass++) {
        uint64_t now = next_estimate(&s, 0);

        g_assert_cmpuint(now, <=, pending / 2 + zero);
        g_assert_cmpuint(now, >=, zero);
        pending = now;
    }
    g_assert_cmpuint(pending, <=, zero + 200);
    before = stats(&s).transferred_bytes;
    g_assert_cmpuint(next_estimate(&s, 1), <=, zero + 200); /* nobody has looked at them yet */
    g_assert_cmpuint(stats(&s).transferred_bytes - before, <=, zero + 16);
    g_assert_cmpuint(next_estimate(&s, 2), >=, 200 * 4000);
    before = stats(&s).transferred_bytes;
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    g_assert_cmpuint(stats(&s).transferred_bytes - before, <=, whole);
    source_clear(&s);
}

/* A resize asked for at any time takes effect and keeps what fits. */
static void test_resize(void)
{
    static const BlockSpec blocks[] = { { "ram", 1024 } };
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = false, .xbzrle = true, .xbzrle_cache_bytes = MIB,
    };
    g_autoptr(GError) err = NULL;
    uint64_t hits;
    Source s;

    source_init(&s, blocks, 1, &opt);
    side_set(s.side, "ram", 0, 1, 1024 * PAGE);
    setup(&s);
    for (int pass = 2; pass < 6; pass++) {
        skip_pass(&s);
        side_set(s.side, "ram", 0, (uint8_t)pass, 1);
        for (uint64_t p = 0; p < 1024; p++) {
            side_set(s.side, "ram", p * PAGE, (uint8_t)pass, 1);
        }
        ram_save_sync(s.saver);
    }
    hits = stats(&s).xbzrle_pages;
    skip_pass(&s);
    hits = stats(&s).xbzrle_pages - hits;
    g_assert_cmpuint(hits, >, 240);
    g_assert_cmpuint(hits, <=, 256);

    g_assert_true(ram_saver_set_cache_size(s.saver, 2 * MIB, NULL)); /* replaced before it was used */
    g_assert_true(ram_saver_set_cache_size(s.saver, 8 * MIB, NULL));
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t p = 0; p < 1024; p++) {
            side_set(s.side, "ram", p * PAGE, 0x80 + (uint8_t)pass, 1);
        }
        ram_save_sync(s.saver);
        hits = stats(&s).xbzrle_pages;
        skip_pass(&s);
        hits = stats(&s).xbzrle_pages - hits;
        /* first what had fitted before is still there, then all of it */
        g_assert_cmpuint(hits, >, pass ? 1023 : 240);
    }
    g_assert_true(ram_saver_set_cache_size(s.saver, 4096, NULL));
    side_set(s.side, "ram", 0, 0x90, 1024 * PAGE);
    ram_save_sync(s.saver);
    hits = stats(&s).xbzrle_pages;
    skip_pass(&s);
    g_assert_cmpuint(stats(&s).xbzrle_pages - hits, <=, 1);

    g_assert_false(ram_saver_set_cache_size(s.saver, 1ULL << 60, &err));
    g_assert_nonnull(strstr(err->message, "1099511627776 MiB"));
    source_clear(&s);
}

/* The guest stands still: nothing is moved any more, and what was cached still saves its bytes. */
static void test_resize_in_last_stage(void)
{
    RamSaveOptions opt = { .xbzrle = true, .bulk_rule = true, .xbzrle_cache_bytes = 2 * MIB };
    uint64_t hits;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    side_set(s.side, "ram", 0, 1, 256 * PAGE);
    setup(&s);
    for (uint8_t pass = 2; pass < 5; pass++) {
        skip_pass(&s);
        for (uint64_t p = 0; p < 256; p++) {
            side_set(s.side, "ram", p * PAGE, pass, 1);
        }
        if (pass < 4) {
            ram_save_sync(s.saver);
        }
    }
    ram_save_last_sync(s.saver);
    g_assert_true(ram_saver_set_cache_size(s.saver, 4096, NULL));
    hits = stats(&s).xbzrle_pages;
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    g_assert_cmpuint(stats(&s).xbzrle_pages - hits, ==, 256);
    source_clear(&s);
}

static void test_impossible_cache(void)
{
    RamSaveOptions opt = { .xbzrle = true, .xbzrle_cache_bytes = 1ULL << 60 };
    Side *side = side_new(one_mib, 1);
    g_autoptr(GError) err = NULL;

    g_assert_null(ram_saver_new(side->ram, side->log, &opt, &err));
    g_assert_nonnull(strstr(err->message, "page cache"));
    g_assert_false(dirty_log_enabled(side->log));
    side_free(side);
}

static void test_logging_ends(void)
{
    RamSaveOptions opt = { .bulk_rule = true };
    Source s;

    source_init(&s, one_mib, 1, &opt);
    g_assert_false(dirty_log_enabled(s.side->log));
    setup(&s);
    g_assert_true(dirty_log_enabled(s.side->log));
    ram_saver_free(s.saver);
    s.saver = NULL;
    g_assert_false(dirty_log_enabled(s.side->log));
    source_clear(&s);
}

/*
 * To ask the file for holes costs a walk over all memory in use, in the last
 * stage while the guest stands still. A dirty page of a later round was
 * written to; one that was not, which only a test can make, is read and so
 * allocated: that is how we see that nobody asked.
 */
static void test_no_question_after_first_round(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    g_autoptr(GByteArray) got = NULL;
    RAMBlock *block;
    struct stat before, after;
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    side_set(s.side, "ram", 3 * PAGE, 1, 1);
    block = side_block(s.side, "ram");
    skip_pass(&s);                          /* asks: untouched memory stays unallocated */
    g_assert_cmpint(fstat(block->fd, &before), ==, 0);
    g_assert_cmpint(before.st_blocks, ==, PAGE / 512);
    skip_pass(&s);                          /* comes round */
    dirty_log_mark(s.side->log, block, 100 * PAGE, 1);
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    g_assert_cmpint(fstat(block->fd, &after), ==, 0);
    g_assert_cmpint(after.st_blocks, ==, 2 * PAGE / 512);
    source_clear(&s);
}

/* The final sync is done once, by whoever comes first. */
static void test_last_sync(void)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true };
    Source s;

    source_init(&s, one_mib, 1, &opt);
    setup(&s);
    skip_pass(&s);
    side_set(s.side, "ram", 3 * PAGE, 1, 1);
    ram_save_last_sync(s.saver);
    g_assert_cmpuint(stats(&s).dirty_sync_count, ==, 2);
    g_assert_cmpuint(stats(&s).remaining_pages, ==, 1);
    g_assert_true(ram_save_complete(s.saver, s.w, NULL));
    g_assert_cmpuint(stats(&s).dirty_sync_count, ==, 2);
    g_assert_cmpuint(stats(&s).normal_pages, ==, 1);
    source_clear(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-save/capture", test_capture);
    g_test_add_func("/ram-save/block-ids", test_block_ids);
    g_test_add_func("/ram-save/zero-detection-off", test_zero_detection_off);
    g_test_add_func("/ram-save/delta-record", test_delta_record);
    g_test_add_func("/ram-save/unmodified-and-overflow", test_unmodified_and_overflow);
    g_test_add_func("/ram-save/delta-counts-block-id", test_delta_counts_block_id);
    g_test_add_func("/ram-save/last-stage", test_last_stage);
    g_test_add_func("/ram-save/budget", test_budget);
    g_test_add_func("/ram-save/host-pages", test_host_pages);
    g_test_add_func("/ram-save/founding-estimate", test_founding_estimate);
    g_test_add_func("/ram-save/mixed-estimate", test_mixed_estimate);
    g_test_add_func("/ram-save/zero-estimate", test_zero_estimate);
    g_test_add_func("/ram-save/resize", test_resize);
    g_test_add_func("/ram-save/resize-in-last-stage", test_resize_in_last_stage);
    g_test_add_func("/ram-save/impossible-cache", test_impossible_cache);
    g_test_add_func("/ram-save/logging-ends", test_logging_ends);
    g_test_add_func("/ram-save/no-question-after-first-round", test_no_question_after_first_round);
    g_test_add_func("/ram-save/last-sync", test_last_sync);
    return g_test_run();
}
