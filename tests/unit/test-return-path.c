/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/stream/return-path: verdicts, reasons, nonsense, and QEMU's way of just going. */
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "migration/stream/return-path.h"
#include "migration/stream/format.h"
#include "util/error.h"

typedef struct Fixture {
    Channel *source, *destination;
    ReturnPathWriter *writer;
    ReturnPath *rp;
    /* what the ops heard; changes by the return path thread, looked at when the talk is over */
    GString *heard;
    uint8_t bitmap[16];
    int changes;        /* atomic */
} Fixture;

static void on_changed(void *opaque)
{
    g_atomic_int_inc(&((Fixture *)opaque)->changes);
}

static bool on_page_request(void *opaque, const char *block, uint64_t start, uint32_t len,
                            GError **errp)
{
    Fixture *f = opaque;

    if (start % 4096) {
        error_setg(errp, "page 0x%" PRIx64 " is not aligned", start);
        return false;
    }
    g_string_append_printf(f->heard, "%s:%" PRIx64 "+%x ", block, start, len);
    return true;
}

static void *on_bitmap_room(void *opaque, const char *block, uint64_t bytes, GError **errp)
{
    Fixture *f = opaque;

    if (bytes != sizeof(f->bitmap)) {
        error_setg(errp, "bitmap of %" PRIu64 " bytes for '%s'", bytes, block);
        return NULL;
    }
    return f->bitmap;
}

static bool on_bitmap_done(void *opaque, const char *block, GError **errp)
{
    g_string_append_printf(((Fixture *)opaque)->heard, "bitmap %s ", block);
    return true;
}

static bool on_resume_ack(void *opaque, uint32_t value, GError **errp)
{
    g_string_append_printf(((Fixture *)opaque)->heard, "resume %u ", value);
    return true;
}

static bool on_switchover_ack(void *opaque, GError **errp)
{
    g_string_append(((Fixture *)opaque)->heard, "switchover ");
    return true;
}

static const ReturnPathOps all_ops = {
    on_changed, on_page_request, on_bitmap_room, on_bitmap_done, on_resume_ack, on_switchover_ack,
};

static void connect_both(Fixture *f)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    f->source = channel_new_fd(fds[0], "source", NULL);
    f->destination = channel_new_fd(fds[1], "destination", NULL);
}

static void set_up(Fixture *f, gconstpointer unused)
{
    connect_both(f);
    f->writer = return_path_writer_new(f->destination);
    f->rp = return_path_new(f->source, NULL, NULL);
}

static void set_up_all(Fixture *f, gconstpointer unused)
{
    connect_both(f);
    f->heard = g_string_new(NULL);
    f->writer = return_path_writer_new(f->destination);
    f->rp = return_path_new(f->source, &all_ops, f);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    channel_shutdown(f->source);
    return_path_free(f->rp);
    return_path_writer_free(f->writer);
    if (f->heard) {
        g_string_free(f->heard, TRUE);
    }
    channel_close(f->source, NULL);
    channel_close(f->destination, NULL);
}

static void send_raw(Fixture *f, const void *bytes, size_t len)
{
    g_assert_true(channel_write_all(f->destination, bytes, len, NULL));
}

static void hang_up(Fixture *f)
{
    channel_shutdown(f->destination);
}

static void expect(Fixture *f, ReturnPathState state, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_cmpint(return_path_wait(f->rp, 10 * G_USEC_PER_SEC), ==, state);
    return_path_error(f->rp, &err);
    if (message) {
        g_assert_nonnull(strstr(err->message, message));
    } else {
        g_assert_no_error(err);
    }
}

static void test_accepted(Fixture *f, gconstpointer unused)
{
    g_assert_cmpint(return_path_state(f->rp), ==, RETURN_PATH_OPEN);
    g_assert_true(return_path_send_pong(f->writer, 1, NULL));
    g_assert_true(return_path_send_shut(f->writer, NULL, NULL));
    expect(f, RETURN_PATH_ACCEPTED, NULL);
}

/* Only the awaited number counts, and nobody waits for what cannot come any more. */
static void test_pong(Fixture *f, gconstpointer unused)
{
    g_assert_true(return_path_send_pong(f->writer, 1, NULL));
    g_assert_false(return_path_wait_pong(f->rp, 2, 10000));
    g_assert_true(return_path_send_pong(f->writer, 2, NULL));
    g_assert_true(return_path_wait_pong(f->rp, 2, 10 * G_USEC_PER_SEC));
    g_assert_cmpint(return_path_state(f->rp), ==, RETURN_PATH_OPEN);
    hang_up(f);
    gint64 start = g_get_monotonic_time();
    g_assert_false(return_path_wait_pong(f->rp, 3, 10 * G_USEC_PER_SEC));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 9 * G_USEC_PER_SEC);
}

static void test_bytes_of_shut(Fixture *f, gconstpointer unused)
{
    static const uint8_t want[] = { 0, 1, 0, 4, 0, 0, 0, 1, 0x46, 0x52, 0, 2, 'n', 'o' };
    uint8_t got[sizeof(want)];
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    Channel *c = channel_new_fd(fds[1], "pipe", NULL);
    return_path_writer_replace(f->writer, c);
    g_assert_true(return_path_send_shut(f->writer, "no", NULL));
    g_assert_cmpint(read(fds[0], got, sizeof(got)), ==, sizeof(got));
    g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
    channel_close(c, NULL);
    close(fds[0]);
}

static void test_refused_with_reason(Fixture *f, gconstpointer unused)
{
    return_path_send_shut(f->writer, "section 'cpu': too new", NULL);
    expect(f, RETURN_PATH_REFUSED,
           "the destination refused the migration: section 'cpu': too new");
}

static void test_long_reason(Fixture *f, gconstpointer unused)
{
    g_autofree char *reason = g_strnfill(4000, 'x');

    return_path_send_shut(f->writer, reason, NULL);
    reason[512] = 0;
    expect(f, RETURN_PATH_REFUSED, reason);
}

/* QEMU: SHUT 1, then it closes. */
static void test_refused_by_qemu(Fixture *f, gconstpointer unused)
{
    send_raw(f, "\0\1\0\4\0\0\0\1", 8);
    hang_up(f);
    expect(f, RETURN_PATH_REFUSED, "it gave no reason; see its messages");
}

static void test_gone(Fixture *f, gconstpointer unused)
{
    hang_up(f);
    expect(f, RETURN_PATH_BROKEN, "Unexpected end");
}

/* Every message arrives as what it is; a block's name is not repeated. */
static void test_all_messages(Fixture *f, gconstpointer unused)
{
    static const uint8_t bits[16] = { 1, 2, 3, [15] = 0x80 };

    g_assert_true(return_path_send_page_request(f->writer, "ram", 0x5000, 0x1000, NULL));
    g_assert_true(return_path_send_page_request(f->writer, "ram", 0x123456789000, 0x1000, NULL));
    g_assert_true(return_path_send_page_request(f->writer, "flash", 0, 0x2000, NULL));
    g_assert_true(return_path_send_recv_bitmap(f->writer, "ram", bits, sizeof(bits), NULL));
    g_assert_true(return_path_send_resume_ack(f->writer, 1, NULL));
    g_assert_true(return_path_send_switchover_ack(f->writer, NULL));
    g_assert_cmpint(g_atomic_int_get(&f->changes), ==, 0);
    g_assert_true(return_path_send_shut(f->writer, NULL, NULL));
    expect(f, RETURN_PATH_ACCEPTED, NULL);
    g_assert_cmpstr(f->heard->str, ==, "ram:5000+1000 ram:123456789000+1000 flash:0+2000 "
                                       "bitmap ram resume 1 switchover ");
    g_assert_cmpmem(f->bitmap, 16, bits, 16);
}

/* As QEMU writes them: the second request has no name. */
static void test_bytes_of_requests(Fixture *f, gconstpointer unused)
{
    static const uint8_t want[] = {
        0, 3, 0, 14, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0x10, 0, 1, 'r',
        0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0x10, 0,
        0, 5, 0, 2, 1, 'r', 0, 0, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8,
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
    };
    uint8_t got[sizeof(want)];
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    Channel *c = channel_new_fd(fds[1], "pipe", NULL);
    return_path_writer_replace(f->writer, c);
    g_assert_true(return_path_send_page_request(f->writer, "r", 0x5000, 0x1000, NULL));
    g_assert_true(return_path_send_page_request(f->writer, "r", 0x6000, 0x1000, NULL));
    g_assert_true(return_path_send_recv_bitmap(f->writer, "r", "\1\2\3\4\5\6\7\10", 8, NULL));
    g_assert_cmpint(read(fds[0], got, sizeof(got)), ==, sizeof(got));
    g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
    return_path_writer_replace(f->writer, NULL);
    g_assert_false(return_path_send_pong(f->writer, 1, NULL));
    channel_close(c, NULL);
    close(fds[0]);
}

/* The end of the channel wakes whoever waits for something else. */
static void test_notified(Fixture *f, gconstpointer unused)
{
    hang_up(f);
    for (int i = 0; i < 1000 && !g_atomic_int_get(&f->changes); i++) {
        g_usleep(10000);
    }
    g_assert_cmpint(g_atomic_int_get(&f->changes), >, 0);
    expect(f, RETURN_PATH_BROKEN, "Unexpected end");
}

static void test_replaced(Fixture *f, gconstpointer unused)
{
    g_assert_true(return_path_send_page_request(f->writer, "ram", 0, 0x1000, NULL));
    g_assert_true(return_path_send_pong(f->writer, 7, NULL));
    g_assert_true(return_path_wait_pong(f->rp, 7, 10 * G_USEC_PER_SEC));
    hang_up(f);
    expect(f, RETURN_PATH_BROKEN, "Unexpected end");
    Channel *old[2] = { f->source, f->destination };
    connect_both(f);
    return_path_writer_replace(f->writer, f->destination);
    return_path_replace(f->rp, f->source);
    g_assert_cmpint(return_path_state(f->rp), ==, RETURN_PATH_OPEN);
    g_assert_false(return_path_wait_pong(f->rp, 7, 10000));
    send_raw(f, "\0\4\0\x0c\0\0\0\0\0\0\x20\0\0\0\x10\0", 16);   /* QEMU: of the same block as before the cut */
    g_assert_true(return_path_send_page_request(f->writer, "ram", 0x1000, 0x1000, NULL));
    g_assert_true(return_path_send_shut(f->writer, NULL, NULL));
    expect(f, RETURN_PATH_ACCEPTED, NULL);
    g_assert_cmpstr(f->heard->str, ==, "ram:0+1000 ram:2000+1000 ram:1000+1000 ");
    channel_close(old[0], NULL);
    channel_close(old[1], NULL);
}

/* As many as go without waiting; *part: of the last one a part. */
static unsigned try_till_full(Fixture *f, bool *part)
{
    unsigned n = 0;
    ReturnPathTry came;

    while ((came = return_path_try_page_request(f->writer, "ram", n * 0x1000UL, 0x1000)) ==
           RETURN_PATH_SENT) {
        n++;
    }
    *part = came == RETURN_PATH_SENT_PART;
    return n + *part;
}

/* Reads len bytes more than are there at once. */
static void read_bytes(int fd, GByteArray *got, size_t len)
{
    guint at = got->len;

    g_byte_array_set_size(got, at + len);
    while (len > 0) {
        ssize_t n = read(fd, got->data + at, len);
        g_assert_cmpint(n, >, 0);
        at += n;
        len -= n;
    }
}

static gpointer send_rest_and_pong(gpointer opaque)
{
    Fixture *f = opaque;

    g_assert_true(return_path_send_rest(f->writer, NULL));
    g_assert_true(return_path_send_pong(f->writer, 9, NULL));
    return NULL;
}

/* Nobody waits for room, and what was begun is ended before anything else is said. */
static void test_tries(Fixture *f, gconstpointer unused)
{
    g_autoptr(GByteArray) got = g_byte_array_new();
    int fds[2], small = 1;
    bool part;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    Channel *c = channel_new_fd(fds[1], "destination", NULL);
    return_path_writer_replace(f->writer, NULL);
    g_assert_cmpint(return_path_try_page_request(f->writer, "ram", 0, 0x1000), ==,
                    RETURN_PATH_NOT_SENT);
    return_path_writer_replace(f->writer, c);
    unsigned n = try_till_full(f, &part);
    g_assert_cmpuint(n, >, 0);
    g_assert_cmpint(return_path_try_page_request(f->writer, "ram", 0, 0x1000), ==,
                    RETURN_PATH_NOT_SENT);
    GThread *t = g_thread_new("rest", send_rest_and_pong, f);
    read_bytes(fds[0], got, 4 + 12 + 4 + (n - 1) * 16 + 8);
    g_thread_join(t);
    for (unsigned i = 1; i < n; i++) {
        static const uint8_t head[] = { 0, 4, 0, 12, 0, 0, 0, 0 };
        g_assert_cmpmem(got->data + 20 + (i - 1) * 16, 8, head, 8);
    }
    g_assert_cmpmem(got->data + got->len - 8, 8, "\0\2\0\4\0\0\0\11", 8);
    channel_shutdown(c);
    g_assert_cmpint(return_path_try_page_request(f->writer, "ram", 0, 0x1000), ==,
                    RETURN_PATH_NOT_SENT);
    return_path_writer_replace(f->writer, NULL);
    channel_close(c, NULL);
    close(fds[0]);
}

#define TALKERS 4
#define TALKS 200

static gpointer talk(gpointer opaque)
{
    Fixture *f = opaque;

    for (int i = 0; i < TALKS; i++) {
        g_assert_true(return_path_send_page_request(f->writer, i % 2 ? "a" : "b", 0, 4096, NULL));
    }
    return NULL;
}

/* Many threads of the destination talk at once: no message is cut in two. */
static void test_many_writers(Fixture *f, gconstpointer unused)
{
    GThread *t[TALKERS];

    for (int i = 0; i < TALKERS; i++) {
        t[i] = g_thread_new("talk", talk, f);
    }
    for (int i = 0; i < TALKERS; i++) {
        g_thread_join(t[i]);
    }
    g_assert_true(return_path_send_shut(f->writer, NULL, NULL));
    expect(f, RETURN_PATH_ACCEPTED, NULL);
    g_assert_cmpuint(f->heard->len, ==, TALKERS * TALKS * strlen("a:0+1000 "));
}

static void test_nonsense_with_ops(Fixture *f, gconstpointer number)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } sent[] = {
        { "\0\4\0\14\0\0\0\0\0\0\0\0\0\0\20\0", 16, "a page is asked for without a RAM block" },
        { "\0\3\0\17\0\0\0\0\0\0\0\0\0\0\20\0\1rr", 19, "a block name that does not fit" },
        { "\0\3\0\15\0\0\0\0\0\0\0\0\0\0\20\0\0", 17, "without a RAM block" },
        { "\0\3\0\16\0\0\0\0\0\0\0\1\0\0\20\0\1r", 18, "page 0x1 is not aligned" },
        { "\0\5\0\2\1r\377\377\377\377\377\377\377\377", 14, "bytes for 'r'" },
        { "\0\5\0\2\1r\0\0\0\0\0\0\0\0200123456789abcdef00000000", 38,
          "does not end with its mark" },
        { "\0\7\0\1\0", 5, "message type 7 has 1 bytes, 0 expected" },
        { "\0\0\0\0", 4, "unknown message type 0" },
    };
    int i = GPOINTER_TO_INT(number);

    send_raw(f, sent[i].bytes, sent[i].len);
    expect(f, RETURN_PATH_INVALID, sent[i].want);
}

static void test_nonsense(Fixture *f, gconstpointer bytes)
{
    static const char *const want[] = {
        "unknown message type 99", "message type 1 has 3 bytes, 4 expected",
        "message type 2 is 513 bytes long", "message type 4 without postcopy",
    };
    static const struct {
        const char *bytes;
        size_t len;
    } sent[] = {
        { "\0\x63\0\0", 4 }, { "\0\1\0\3\0\0\0", 7 }, { "\0\2\2\1", 4 },
        { "\0\4\0\14\0\0\0\0\0\0\0\0\0\0\0\0", 16 },
    };
    int i = GPOINTER_TO_INT(bytes);

    send_raw(f, sent[i].bytes, sent[i].len);
    expect(f, RETURN_PATH_INVALID, want[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn, data) \
    g_test_add("/return-path/" name, Fixture, GINT_TO_POINTER(data), set_up, fn, tear_down)
    ADD("accepted", test_accepted, 0);
    ADD("pong", test_pong, 0);
    ADD("bytes-of-shut", test_bytes_of_shut, 0);
    ADD("refused", test_refused_with_reason, 0);
    ADD("long-reason", test_long_reason, 0);
    ADD("refused-by-qemu", test_refused_by_qemu, 0);
    ADD("gone", test_gone, 0);
    ADD("nonsense/type", test_nonsense, 0);
    ADD("nonsense/length", test_nonsense, 1);
    ADD("nonsense/too-long", test_nonsense, 2);
    ADD("nonsense/postcopy", test_nonsense, 3);
#define ADD_ALL(name, fn, data) \
    g_test_add("/return-path/" name, Fixture, GINT_TO_POINTER(data), set_up_all, fn, tear_down)
    ADD_ALL("all-messages", test_all_messages, 0);
    ADD_ALL("bytes-of-requests", test_bytes_of_requests, 0);
    ADD_ALL("notified", test_notified, 0);
    ADD_ALL("replaced", test_replaced, 0);
    ADD_ALL("tries", test_tries, 0);
    ADD_ALL("many-writers", test_many_writers, 0);
    for (int i = 0; i < 8; i++) {
        g_autofree char *name = g_strdup_printf("/return-path/nonsense-with-ops/%d", i);
        g_test_add(name, Fixture, GINT_TO_POINTER(i), set_up_all, test_nonsense_with_ops,
                   tear_down);
    }
    return g_test_run();
}
