/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/stream: order, byte order, look-ahead across refills, no copies, first error. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>
#include "fake-channel.h"
#include "migration/load-error.h"
#include "migration/stream.h"
#include "migration/stream/format.h"

static void put_one_of_each(StreamWriter *w)
{
    stream_put_be32(w, STREAM_MAGIC);
    stream_put_u8(w, 0x07);
    stream_put_be16(w, 0x1234);
    stream_put_be64(w, 0x0102030405060708ULL);
    stream_put_cstr(w, "ram");
    stream_put_buffer(w, "\x00\xff", 2);
}

static const uint8_t one_of_each[] = {
    'Q', 'E', 'V', 'M', 0x07, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 3, 'r', 'a', 'm', 0x00, 0xff,
};

static void test_bytes(void)
{
    for (size_t piece = 1; piece <= 32; piece++) {
        FakeChannel *f = fake_channel_new(NULL, 0, piece);
        StreamWriter *w = stream_writer_new(&f->base);
        put_one_of_each(w);
        g_assert_cmpuint(stream_writer_bytes(w), ==, sizeof(one_of_each));
        g_assert_cmpuint(f->out->len, ==, 0);
        g_assert_true(stream_flush(w, NULL));
        g_assert_cmpmem(f->out->data, f->out->len, one_of_each, sizeof(one_of_each));
        stream_writer_free(w);
        channel_close(&f->base, NULL);
    }
}

static void test_read_back(void)
{
    for (size_t piece = 1; piece <= 32; piece++) {
        FakeChannel *f = fake_channel_new(one_of_each, sizeof(one_of_each), piece);
        StreamReader *r = stream_reader_new(&f->base);
        char name[256];
        uint8_t two[2];
        g_assert_cmphex(stream_get_be32(r), ==, STREAM_MAGIC);
        g_assert_cmphex(stream_get_u8(r), ==, 7);
        g_assert_cmphex(stream_get_be16(r), ==, 0x1234);
        g_assert_cmphex(stream_get_be64(r), ==, 0x0102030405060708ULL);
        g_assert_true(stream_get_cstr(r, name));
        g_assert_cmpstr(name, ==, "ram");
        g_assert_true(stream_get_buffer(r, two, 2));
        g_assert_cmphex(two[1], ==, 0xff);
        g_assert_cmpuint(stream_reader_offset(r), ==, sizeof(one_of_each));
        g_assert_true(stream_reader_ok(r, NULL));
        g_assert_cmphex(stream_get_be32(r), ==, 0);
        g_autoptr(GError) err = NULL;
        g_assert_false(stream_reader_ok(r, &err));
        g_assert_cmpstr(err->message, ==, "Unexpected end of migration stream");
        g_assert_true(g_error_matches(err, LOAD_ERROR, LOAD_ERROR_PEER_ENDED));
        stream_reader_free(r);
        channel_close(&f->base, NULL);
    }
}

static void test_memory(void)
{
    StreamWriter *w = stream_writer_new_memory();
    put_one_of_each(w);
    stream_put_buffer_nocopy(w, "abc", 3);
    g_assert_true(stream_flush(w, NULL));
    g_autoptr(GByteArray) a = stream_writer_take(w);
    g_assert_cmpmem(a->data, sizeof(one_of_each), one_of_each, sizeof(one_of_each));
    g_assert_cmpmem(a->data + sizeof(one_of_each), a->len - sizeof(one_of_each), "abc", 3);
    g_autoptr(GByteArray) again = stream_writer_take(w);
    g_assert_cmpuint(again->len, ==, 0);
    stream_writer_free(w);

    StreamReader *r = stream_reader_new_memory(a->data, a->len);
    g_assert_true(stream_skip(r, sizeof(one_of_each)));
    g_assert_cmphex(stream_get_u8(r), ==, 'a');
    uint8_t c;
    g_assert_false(stream_peek(r, 2, &c, 1));
    g_assert_true(stream_reader_ok(r, NULL));       /* looking too far is no error */
    g_assert_false(stream_skip(r, 3));
    g_assert_false(stream_reader_ok(r, NULL));
    stream_reader_free(r);
}

static void test_nocopy(void)
{
    enum { PAGES = 3000 };
    g_autofree uint8_t *pages = g_malloc(PAGES * 4096);
    for (int i = 0; i < PAGES * 4096; i++) {
        pages[i] = i * 7 + i / 4096;
    }
    FakeChannel *f = fake_channel_new(NULL, 0, 1 << 20);
    StreamWriter *w = stream_writer_new(&f->base);
    for (int i = 0; i < PAGES; i++) {
        stream_put_be64(w, i);
        stream_put_buffer_nocopy(w, pages + i * 4096, 4096);
    }
    pages[(PAGES - 1) * 4096] ^= 1;     /* queued by reference: the change is seen */
    g_assert_true(stream_flush(w, NULL));
    g_assert_cmpuint(f->out->len, ==, PAGES * (4096 + 8));
    for (int i = 0; i < PAGES; i++) {
        uint64_t head;
        memcpy(&head, f->out->data + i * 4104, 8);
        g_assert_cmpuint(GUINT64_FROM_BE(head), ==, i);
        g_assert_cmpmem(f->out->data + i * 4104 + 8, 4096, pages + i * 4096, 4096);
    }
    g_assert_cmpuint(f->max_iovcnt, <=, 1024);
    g_assert_cmpuint(f->calls, <, PAGES / 100);
    stream_writer_free(w);
    channel_close(&f->base, NULL);
}

static void test_coalesce(void)
{
    static uint8_t area[8 * 4096];
    FakeChannel *f = fake_channel_new(NULL, 0, SIZE_MAX);
    StreamWriter *w = stream_writer_new(&f->base);

    for (int i = 0; i < 100; i++) {
        stream_put_be64(w, i);
    }
    for (int i = 0; i < 8; i++) {
        stream_put_buffer_nocopy(w, area + i * 4096, 4096);
    }
    g_assert_true(stream_flush(w, NULL));
    g_assert_cmpuint(f->calls, ==, 1);
    g_assert_cmpint(f->max_iovcnt, ==, 2);
    stream_writer_free(w);
    channel_close(&f->base, NULL);
}

static void test_big_copied_write(void)
{
    g_autofree uint8_t *big = g_malloc(1 << 20);
    for (int i = 0; i < 1 << 20; i++) {
        big[i] = i >> 9;
    }
    FakeChannel *f = fake_channel_new(NULL, 0, 70000);
    StreamWriter *w = stream_writer_new(&f->base);
    stream_put_u8(w, 1);
    stream_put_buffer(w, big, 1 << 20);
    g_assert_true(stream_flush(w, NULL));
    g_assert_cmpmem(f->out->data + 1, f->out->len - 1, big, 1 << 20);
    stream_writer_free(w);
    channel_close(&f->base, NULL);
}

/* The peek that vmstate needs: 2 + 255 bytes, at every position relative to the refills. */
static void test_peek_across_refills(void)
{
    enum { LEN = 300000 };
    g_autofree uint8_t *data = g_malloc(LEN);
    for (int i = 0; i < LEN; i++) {
        data[i] = i * 31 + i / 256;
    }
    FakeChannel *f = fake_channel_new(data, LEN, 1000);
    StreamReader *r = stream_reader_new(&f->base);
    uint8_t seen[257];
    for (size_t at = 0; at + 257 <= LEN; at += 131) {
        g_assert_true(stream_peek(r, 0, seen, 257));
        g_assert_cmpmem(seen, 257, data + at, 257);
        g_assert_true(stream_peek(r, 2, seen, 255));
        g_assert_cmpmem(seen, 255, data + at + 2, 255);
        g_assert_cmpuint(stream_reader_offset(r), ==, at);
        g_assert_true(stream_skip(r, 131));
    }
    stream_reader_free(r);
    channel_close(&f->base, NULL);
}

static void test_bulk_read(void)
{
    enum { LEN = 1 << 20 };
    g_autofree uint8_t *data = g_malloc(LEN), *out = g_malloc0(LEN);
    for (int i = 0; i < LEN; i++) {
        data[i] = i * 13 + i / 1000;
    }
    FakeChannel *f = fake_channel_new(data, LEN, 100000);
    StreamReader *r = stream_reader_new(&f->base);
    g_assert_cmphex(stream_get_u8(r), ==, data[0]);
    g_assert_true(stream_get_buffer(r, out + 1, LEN - 101));
    g_assert_true(stream_get_buffer(r, out + LEN - 100, 100));
    g_assert_cmpmem(out + 1, LEN - 1, data + 1, LEN - 1);
    g_assert_cmpuint(stream_reader_offset(r), ==, LEN);
    stream_reader_free(r);
    channel_close(&f->base, NULL);

    f = fake_channel_new(data, LEN, 100000);
    r = stream_reader_new(&f->base);
    g_assert_false(stream_get_buffer(r, out, (size_t)LEN + 1) && out[0]);
    stream_reader_free(r);
    channel_close(&f->base, NULL);
}

static void test_first_error_stays(void)
{
    FakeChannel *f = fake_channel_new(one_of_each, sizeof(one_of_each), 4);
    f->fail_after = 4;
    StreamReader *r = stream_reader_new(&f->base);
    stream_get_be64(r);
    stream_get_be64(r);
    g_autoptr(GError) err = NULL;
    g_assert_false(stream_reader_ok(r, &err));
    g_assert_cmpstr(err->message, ==, "Unable to read from socket: Connection reset by peer");
    stream_reader_free(r);
    channel_close(&f->base, NULL);

    f = fake_channel_new(NULL, 0, 10);
    f->fail_after = 15;
    StreamWriter *w = stream_writer_new(&f->base);
    put_one_of_each(w);
    g_autoptr(GError) werr = NULL;
    g_assert_false(stream_flush(w, &werr));
    g_assert_cmpstr(werr->message, ==, "Unable to write to socket: Broken pipe");
    g_autoptr(GError) later = g_error_new_literal(FERRY_ERROR, 0, "later");
    stream_writer_set_error(w, later);
    put_one_of_each(w);
    g_clear_error(&werr);
    g_assert_false(stream_flush(w, &werr));
    g_assert_cmpstr(werr->message, ==, "Unable to write to socket: Broken pipe");
    g_assert_cmpuint(f->out->len, ==, 15);
    stream_writer_free(w);
    channel_close(&f->base, NULL);
}

static void test_bad_names(void)
{
    static const uint8_t nul[] = { 3, 'a', 0, 'b' };
    StreamReader *r = stream_reader_new_memory(nul, sizeof(nul));
    char name[256];
    g_assert_false(stream_get_cstr(r, name));
    g_assert_cmpstr(name, !=, "ab");
    g_assert_false(stream_reader_ok(r, NULL));
    stream_reader_free(r);

    g_autofree char *long_name = g_strnfill(256, 'x');
    StreamWriter *w = stream_writer_new_memory();
    stream_put_cstr(w, long_name);
    g_assert_false(stream_writer_ok(w, NULL));
    stream_writer_free(w);
}

static void test_not_seekable(void)
{
    FakeChannel *f = fake_channel_new(one_of_each, sizeof(one_of_each), 4);
    StreamWriter *w = stream_writer_new(&f->base);
    StreamReader *r = stream_reader_new(&f->base);
    uint64_t pos;
    g_autoptr(GError) err = NULL;
    g_assert_false(stream_writer_tell(w, &pos, &err));
    g_assert_cmpstr(err->message, ==,
                    "Migration requires seekable transport (e.g. file), 'fake' is not");
    g_assert_false(stream_reader_seek(r, 0, NULL));
    g_assert_true(stream_reader_ok(r, NULL));
    stream_writer_free(w);
    stream_reader_free(r);
    channel_close(&f->base, NULL);
}

static void count_waits(void *opaque, bool waiting)
{
    int *depth = opaque;

    depth[0] += waiting ? 1 : -1;
    depth[1]++;
    g_assert_cmpint(depth[0], ==, waiting);
}

/* The hook is the reader's: another reader of the same channel has its own or none. */
static void test_wait_hook(void)
{
    FakeChannel *f = fake_channel_new(one_of_each, sizeof(one_of_each), 4);
    StreamReader *r = stream_reader_new(&f->base);
    int depth[2] = { 0, 0 };
    char byte;

    stream_reader_set_wait_hook(r, count_waits, depth);
    g_assert_cmphex(stream_get_be32(r), ==, STREAM_MAGIC);
    g_assert_cmpint(depth[1], >, 0);
    int waits = depth[1];
    g_assert_cmpint(channel_read(&f->base, &byte, 1, NULL), ==, 1);
    g_assert_cmpint(depth[1], ==, waits);
    stream_reader_set_wait_hook(r, NULL, NULL);
    stream_get_be64(r);
    g_assert_cmpint(depth[1], ==, waits);
    stream_reader_free(r);
    channel_close(&f->base, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/wait-hook", test_wait_hook);
    g_test_add_func("/stream/bytes", test_bytes);
    g_test_add_func("/stream/read-back", test_read_back);
    g_test_add_func("/stream/memory", test_memory);
    g_test_add_func("/stream/nocopy", test_nocopy);
    g_test_add_func("/stream/coalesce", test_coalesce);
    g_test_add_func("/stream/big-copied-write", test_big_copied_write);
    g_test_add_func("/stream/peek-across-refills", test_peek_across_refills);
    g_test_add_func("/stream/bulk-read", test_bulk_read);
    g_test_add_func("/stream/first-error-stays", test_first_error_stays);
    g_test_add_func("/stream/bad-names", test_bad_names);
    g_test_add_func("/stream/not-seekable", test_not_seekable);
    return g_test_run();
}
