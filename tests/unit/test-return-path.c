/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/control/return-path: verdicts, reasons, nonsense, and QEMU's way of just going. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "migration/control/return-path.h"
#include "migration/stream/format.h"

typedef struct Fixture {
    Channel *source, *destination;
    ReturnPath *rp;
} Fixture;

static void set_up(Fixture *f, gconstpointer unused)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    f->source = channel_new_fd(fds[0], "source", NULL);
    f->destination = channel_new_fd(fds[1], "destination", NULL);
    f->rp = return_path_new(f->source);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    channel_shutdown(f->source);
    return_path_free(f->rp);
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
    g_assert_true(return_path_send_pong(f->destination, 1, NULL));
    g_assert_true(return_path_send_shut(f->destination, NULL, NULL));
    expect(f, RETURN_PATH_ACCEPTED, NULL);
}

/* Only the awaited number counts, and nobody waits for what cannot come any more. */
static void test_pong(Fixture *f, gconstpointer unused)
{
    g_assert_true(return_path_send_pong(f->destination, 1, NULL));
    g_assert_false(return_path_wait_pong(f->rp, 2, 10000));
    g_assert_true(return_path_send_pong(f->destination, 2, NULL));
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
    g_assert_true(return_path_send_shut(c, "no", NULL));
    g_assert_cmpint(read(fds[0], got, sizeof(got)), ==, sizeof(got));
    g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
    channel_close(c, NULL);
    close(fds[0]);
}

static void test_refused_with_reason(Fixture *f, gconstpointer unused)
{
    return_path_send_shut(f->destination, "section 'cpu': too new", NULL);
    expect(f, RETURN_PATH_REFUSED,
           "the destination refused the migration: section 'cpu': too new");
}

static void test_long_reason(Fixture *f, gconstpointer unused)
{
    g_autofree char *reason = g_strnfill(4000, 'x');

    return_path_send_shut(f->destination, reason, NULL);
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
    return g_test_run();
}
