/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/load: every malformed record is an error with the reason and
 * the place (migration-stream 3, 4.6, Appendix B); what real loaders accept is accepted.
 */
#include "migration/ram/load.h"
#include "ram-fixture.h"

static const BlockSpec blocks[] = { { "ram", 16 }, { "rom", 2 } };

#define START "\0\0\0\0\0\x01\x20\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\x03rom" "\0\0\0\0\0\0\x20\0" \
    "\0\0\0\0\0\0\0\x10"
#define EOS "\0\0\0\0\0\0\0\x10"

typedef struct Case {
    const char *bytes;
    size_t len;
    const char *error;      /* part of the message; NULL: loads */
} Case;

#define CASE(bytes, error) { bytes, sizeof(bytes) - 1, error }

static char *load_bytes(Side *side, RamLoader *l, const void *bytes, size_t len)
{
    /* An exact copy, so that ASan sees a read past the end. */
    g_autofree uint8_t *exact = g_memdup2(bytes, MAX(len, 1));
    StreamReader *r = stream_reader_new_memory(exact, len);
    g_autoptr(GError) err = NULL;
    char *message = NULL;

    if (!ram_load_payload(l, r, 4, &err)) {
        g_assert_nonnull(err);
        message = g_strdup(err->message);
    }
    stream_reader_free(r);
    return message;
}

static void check_message(const char *message, const char *want, size_t i)
{
    g_test_message("case %zu: %s", i, message ? message : "loads");
    if (!want) {
        g_assert_null(message);
    } else {
        g_assert_nonnull(message);
        g_assert_nonnull(strstr(message, want));
        g_assert_nonnull(strstr(message, "stream offset 0x"));
    }
}

static void run_cases(const Case *cases, size_t n, bool with_start, RamLoadOptions opt)
{
    for (size_t i = 0; i < n; i++) {
        Side *side = side_new(blocks, 2);
        RamLoader *l = ram_loader_new(side->ram, side->log, &opt);
        g_autofree char *message = NULL;

        if (with_start) {
            g_autofree char *start = load_bytes(side, l, START, sizeof(START) - 1);

            g_assert_null(start);
        }
        message = load_bytes(side, l, cases[i].bytes, cases[i].len);
        check_message(message, cases[i].error, i);
        ram_loader_free(l);
        side_free(side);
    }
}

static void test_block_list(void)
{
    static const Case cases[] = {
        CASE(START, NULL),
        CASE("\0\0\0\0\0\0\x20\x04" "\x03rom" "\0\0\0\0\0\0\x20\0" EOS, NULL),
        CASE("\0\0\0\0\0\0\0\x04" EOS, NULL),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03rum" "\0\0\0\0\0\x01\0\0" EOS,
             "Unknown ramblock \"rum\", cannot accept migration"),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x00" "\0\0\0\0\0\x01\0\0" EOS, "Unknown ramblock \"\""),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03ram" "\0\0\0\0\0\x02\0\0" EOS,
             "Size mismatch: ram: 0x20000 != 0x10000: Invalid argument"),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03ram" "\0\0\0\0\0\0\0\0" EOS, "Size mismatch: ram"),
        CASE("\0\0\0\0\0\0\x10\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" EOS,
             "only 0x1000 are left of the announced total"),
        CASE("\0\0\0\0\0\x02\0\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\x03ram" "\0\0\0\0\0\x01\0\0",
             "\"ram\" is listed twice"),
        CASE("\xff\xff\xff\xff\xff\xff\xf0\x04" "\x03ram" "\0\0\0\0\0\x01\0\0",
             "Unexpected end of migration stream"),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03ra", "Unexpected end of migration stream"),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x04ra\0m" "\0\0\0\0\0\x01\0\0", "NUL"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), false, (RamLoadOptions) { 0 });
}

static void test_before_the_block_list(void)
{
    static const Case cases[] = {
        CASE(EOS, NULL),
        CASE("\0\0\0\0\0\0\0\x02" "\x03ram" "\0" EOS, "was not announced"),
        CASE("\0\0\0\0\0\0\0\x22" "\0" EOS, "Ack, bad migration stream! Illegal RAM offset 0"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), false, (RamLoadOptions) { 0 });
}

static void test_pages(void)
{
    static const Case cases[] = {
        CASE(EOS, NULL),
        CASE("\0\0\0\0\0\0\0\x30", NULL),               /* EOS with CONTINUE */
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\0" "\0\0\0\0\0\0\x60\x22\0" EOS, NULL),
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\x41" EOS, NULL), /* 7.2 takes any fill byte */
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\0" "\0\0\0\0\0\0\x60\x02" "\x03ram" "\0" EOS, NULL),
        CASE("\0\0\0\0\0\0\0\x22" "\0" EOS, "CONTINUE without a block before"),
        CASE("\0\0\0\0\0\0\0\x02" "\x03" "foo" "\0" EOS, "Can't find block foo"),
        CASE("\0\0\0\0\0\x01\0\x02" "\x03ram" "\0" EOS, "Illegal RAM offset 10000"),
        CASE("\xff\xff\xff\xff\xff\xff\xf0\x02" "\x03ram" "\0" EOS,
             "Illegal RAM offset fffffffffffff000"),
        CASE("\0\0\0\0\0\0\x20\x02" "\x03rom" "\0" EOS, "Illegal RAM offset 2000"),
        CASE("\0\0\0\0\0\0\0\x08" "\x03ram" "half a page", "Unexpected end of migration stream"),
        CASE("\0\0\0\0\0\0\0\x02" "\x03ram", "Unexpected end of migration stream"),
        CASE("\0\0\0\0", "Unexpected end of migration stream"),
        CASE("", "Unexpected end of migration stream"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), true, (RamLoadOptions) { 0 });
}

static void test_flags(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\0\0\0" EOS, "Unknown combination of migration flags: 0x0"),
        CASE("\0\0\0\0\0\0\0\x01" EOS, "Unknown combination of migration flags: 0x1"),
        CASE("\0\0\0\0\0\0\0\x0a" EOS, "Unknown combination of migration flags: 0xa"),
        CASE("\0\0\0\0\0\0\0\x12" EOS, "Unknown combination of migration flags: 0x12"),
        CASE("\0\0\0\0\0\0\x02\0" EOS, "The pages come in channels of their own, which are not expected: the capability 'multifd'"),
        CASE("\0\0\0\0\0\0\x04\0" EOS, "Unknown combination of migration flags: 0x400"),
        CASE("\0\0\0\0\0\0\0\x80" EOS, "RDMA"),
        CASE("\0\0\0\0\0\0\x01\0" EOS, "compress"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), true, (RamLoadOptions) { 0 });
}

static void test_deltas(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x01" "\0\0" EOS, NULL), /* length 0 changes nothing */
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x01" "\0\3" "\0\1\xaa" EOS, NULL),
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x02" "\0\3" "\0\1\xaa" EOS,
             "Failed to load XBZRLE page - wrong compression! "
             "Failed to decompress XBZRLE page at 0"),
        CASE("\0\0\0\0\0\0\x30\x40" "\x03ram" "\x01" "\x10\x01" "\0\1\xaa" EOS,
             "Failed to load XBZRLE page - len overflow! "
             "Failed to decompress XBZRLE page at 3000"),
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x01" "\0\3" "\0\2\xaa" EOS,
             "Failed to load XBZRLE page - decode error! "
             "Failed to decompress XBZRLE page at 0"),
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x01" "\0\3" "\0\1",
             "Unexpected end of migration stream"),
        CASE("\0\0\0\0\0\0\0\x40" "\x03ram" "\x01", "Unexpected end of migration stream"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), true, (RamLoadOptions) { 0 });
}

static void test_strict_fill(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\0" EOS, NULL),
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\x41" EOS, "Found a zero page with value 65"),
    };

    run_cases(cases, G_N_ELEMENTS(cases), true,
              (RamLoadOptions) { .zero_fill = RAM_ZERO_FILL_STRICT });
}

/* x-ignore-shared adds a guest-physical base to each block. */
static void test_ignore_shared(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\0\0\0\0\x80\0\0\0"
             "\x03rom" "\0\0\0\0\0\0\x20\0" "\0\0\0\0\0\0\x10\0" EOS, NULL),
    };

    run_cases(cases, G_N_ELEMENTS(cases), false, (RamLoadOptions) { .ignore_shared = true });
}

/* A shared block: its base is compared, no page of it is taken; of others all must come. */
static void test_left_out(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\x01\0\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\0\0\0\0\x80\0\0\0" EOS,
             NULL),
        CASE("\0\0\0\0\0\x01\0\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\0\0\0\0\x40\0\0\0" EOS,
             "Mismatched GPAs for block ram: 0x40000000 there, 0x80000000 here"),
        CASE("\0\0\0\0\0\x01\0\x04" "\x03ram" "\0\0\0\0\0\x01\0\0" "\0\0\0\0\x80\0\0\0" EOS,
             NULL),
    };
    static const char page[] = "\0\0\0\0\0\0\0\x02" "\x03ram" "\0" EOS;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Side *side = side_new(blocks, 2);
        RamLoader *l = ram_loader_new(side->ram, side->log,
                                      &(RamLoadOptions) { .ignore_shared = true });
        GError *err = NULL;

        side_block(side, "ram")->guest_addr = 0x80000000;
        side_block(side, "ram")->shared = i < 2;
        g_autofree char *message = load_bytes(side, l, cases[i].bytes, cases[i].len);
        check_message(message, cases[i].error, i);
        if (i == 0) {
            g_autofree char *refused = load_bytes(side, l, page, sizeof(page) - 1);
            check_message(refused, "block ram should not be migrated !", i);
            g_assert_true(ram_load_check_complete(l, NULL));
        } else if (i == 2) {
            g_assert_false(ram_load_check_complete(l, &err));
            g_assert_nonnull(strstr(err->message, "has left out the memory \"ram\""));
            g_error_free(err);
            g_autofree char *taken = load_bytes(side, l, page, sizeof(page) - 1);
            g_assert_null(taken);
            g_assert_true(ram_load_check_complete(l, NULL));
        }
        ram_loader_free(l);
        side_free(side);
    }
}

static void test_content(void)
{
    Side *side = side_new(blocks, 2);
    RamLoader *l = ram_loader_new(side->ram, side->log, &(RamLoadOptions) { 0 });
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    uint8_t *ram = side_block(side, "ram")->host;
    RamLoadStats stats;
    guint8 page[4096];

    memset(page, 0x5a, sizeof(page));
    g_byte_array_append(bytes, (const guint8 *)START, sizeof(START) - 9);
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0\0\0\x70\x08" "\x03ram", 12);
    g_byte_array_append(bytes, page, sizeof(page));
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0\0\0\x70\x60" "\1" "\0\4" "\5\2\xab\xcd",
                        15);
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0\0\0\x80\x22" "\x41", 9);
    g_byte_array_append(bytes, (const guint8 *)EOS, 8);
    g_assert_null(load_bytes(side, l, bytes->data, bytes->len));

    page[5] = 0xab;
    page[6] = 0xcd;
    g_assert_cmpmem(ram + 7 * PAGE, PAGE, page, PAGE);
    memset(page, 0x41, sizeof(page));
    g_assert_cmpmem(ram + 8 * PAGE, PAGE, page, PAGE);
    ram_loader_get_stats(l, &stats);
    g_assert_cmpuint(stats.normal, ==, 1);
    g_assert_cmpuint(stats.xbzrle, ==, 1);
    g_assert_cmpuint(stats.zero, ==, 1);
    ram_loader_free(l);
    side_free(side);
}

static void test_version(void)
{
    static const uint32_t wrong[] = { 0, 3, 5 };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        Side *side = side_new(blocks, 2);
        RamLoader *l = ram_loader_new(side->ram, side->log, &(RamLoadOptions) { 0 });
        StreamReader *r = stream_reader_new_memory(EOS, 8);
        g_autoptr(GError) err = NULL;

        g_assert_false(ram_load_payload(l, r, wrong[i], &err));
        g_assert_nonnull(strstr(err->message, "expected 4"));
        stream_reader_free(r);
        ram_loader_free(l);
        side_free(side);
    }
}

/* A pages-in-the-stream record has no place in a mapped file. */
static void test_mapped_refuses_pages(void)
{
    static const Case cases[] = {
        CASE("\0\0\0\0\0\0\x50\x02" "\x03ram" "\0" EOS, "Unexpected RAM flags: 2"),
        CASE("\0\0\0\0\0\0\x50\x08" "\x03ram" "\0" EOS, "Unexpected RAM flags: 8"),
        CASE("\0\0\0\0\0\0\x50\x40" "\x03ram" "\0" EOS, "Unexpected RAM flags: 64"),
        CASE("\0\0\0\0\0\x01\x20\x04" "\x03ram" "\0\0\0\0\0\x01\0\0", "seekable"),
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Side *side = side_new(blocks, 2);
        RamLoader *l = ram_loader_new(side->ram, side->log,
                                      &(RamLoadOptions) { .layout = RAM_LAYOUT_MAPPED });
        g_autofree char *message = load_bytes(side, l, cases[i].bytes, cases[i].len);

        g_assert_nonnull(message);
        g_assert_nonnull(strstr(message, cases[i].error));
        ram_loader_free(l);
        side_free(side);
    }
}

/* Another sink gets the pages, and guest memory stays as it is. */
typedef struct Collector {
    uint8_t page[4096];
    GString *log;
} Collector;

static uint8_t *collect_place(void *opaque, size_t block, uint64_t page)
{
    Collector *c = opaque;

    return c->page;
}

static bool collect_placed(void *opaque, size_t block, uint64_t page, GError **errp)
{
    Collector *c = opaque;

    g_string_append_printf(c->log, "%zu:%d=%02x ", block, (int)page, c->page[0]);
    return true;
}

static bool collect_fill(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                         GError **errp)
{
    Collector *c = opaque;

    g_assert_cmpuint(count, ==, 1);
    g_string_append_printf(c->log, "%zu:%d~%02x ", block, (int)page, value);
    return true;
}

static void test_sink(void)
{
    static const RamPageSink sink = { collect_place, collect_placed, collect_fill };
    Collector c = { .log = g_string_new(NULL) };
    Side *side = side_new(blocks, 2);
    RamLoader *l = ram_loader_new(side->ram, side->log, &(RamLoadOptions) { 0 });
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint8 page[4096] = { 0x99 };

    ram_loader_set_sink(l, &sink, &c);
    g_byte_array_append(bytes, (const guint8 *)START, sizeof(START) - 9);
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0\0\0\x10\x08" "\x03rom", 12);
    g_byte_array_append(bytes, page, sizeof(page));
    g_byte_array_append(bytes, (const guint8 *)"\0\0\0\0\0\0\0\x22" "\0" EOS, 17);
    g_assert_null(load_bytes(side, l, bytes->data, bytes->len));
    g_assert_cmpstr(c.log->str, ==, "1:1=99 1:0~00 ");
    g_assert_cmphex(side_block(side, "rom")->host[PAGE], ==, 0);
    g_string_free(c.log, TRUE);
    ram_loader_free(l);
    side_free(side);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-load/block-list", test_block_list);
    g_test_add_func("/ram-load/before-the-block-list", test_before_the_block_list);
    g_test_add_func("/ram-load/pages", test_pages);
    g_test_add_func("/ram-load/flags", test_flags);
    g_test_add_func("/ram-load/deltas", test_deltas);
    g_test_add_func("/ram-load/strict-fill", test_strict_fill);
    g_test_add_func("/ram-load/ignore-shared", test_ignore_shared);
    g_test_add_func("/ram-load/left-out", test_left_out);
    g_test_add_func("/ram-load/content", test_content);
    g_test_add_func("/ram-load/version", test_version);
    g_test_add_func("/ram-load/mapped-refuses-pages", test_mapped_refuses_pages);
    g_test_add_func("/ram-load/sink", test_sink);
    return g_test_run();
}
