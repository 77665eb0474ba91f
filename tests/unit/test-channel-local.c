/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/channel: inherited descriptors, commands and files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "channel-fixture.h"
#include "util/error.h"

static char *dir;

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

static int take_one(void *opaque, const char *name, GError **errp)
{
    int *fd = opaque;
    if (!g_str_equal(name, "migrate")) {
        error_setg(errp, "File descriptor named '%s' has not been found", name);
        return -1;
    }
    return *fd;
}

static void test_fd(void)
{
    int pv[2], sv[2];
    g_autoptr(GError) err = NULL;
    FdResolver fds = { take_one, &pv[1] };
    ChannelAddress *a = channel_address_parse("fd:migrate", NULL);
    ChannelAddress *b = channel_address_parse("fd:other", NULL);

    g_assert_cmpint(pipe(pv), ==, 0);
    Channel *out = channel_connect(a, &fds, -1, &err);
    g_assert_no_error(err);
    g_autofree char *number = g_strdup_printf("fd:%d", pv[0]);
    Channel *in = incoming_uri(number, &err);
    g_assert_no_error(err);
    assert_says(out, in, "pipe");
    g_assert_false(channel_has_return_path(out));
    channel_close(out, NULL);
    g_assert_null(channel_connect(b, &fds, -1, &err));
    g_assert_cmpstr(err->message, ==, "File descriptor named 'other' has not been found");
    channel_close(in, NULL);

    g_assert_cmpint(pipe(pv), ==, 0);       /* the wrong end */
    g_clear_error(&err);
    fds.opaque = &pv[0];
    g_assert_null(channel_connect(a, &fds, -1, &err));
    g_assert_cmpstr(err->message, ==, "File descriptor 'migrate' is not open for writing");
    close(pv[1]);
    channel_address_free(a);
    channel_address_free(b);

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    out = channel_new_fd(sv[0], "fd:a", NULL);
    in = channel_new_fd(sv[1], "fd:b", NULL);
    assert_says(out, in, "socket");
    assert_says(in, out, "back");
    g_assert_true(channel_has_return_path(out));
    g_assert_false(channel_peer_gone(in));
    g_assert_cmpint(write(sv[0], "x", 1), ==, 1);
    channel_close(out, NULL);
    g_assert_false(channel_peer_gone(in));  /* there is something left to read */
    g_assert_true(channel_read_all(in, sv, 1, NULL));
    g_assert_true(channel_peer_gone(in));
    channel_close(in, NULL);
    g_assert_null(channel_new_fd(999, "fd:999", NULL));
}

static void test_exec(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *path = path_of("out"), *text = NULL;
    g_autofree char *uri = g_strdup_printf("exec:cat > %s; echo done >> %s", path, path);

    Channel *c = connect_uri(uri, -1, &err);
    g_assert_true(channel_has_return_path(c));
    g_assert_true(channel_write_all(c, "stream\n", 7, &err));
    g_assert_true(channel_close(c, &err));      /* waits for the child */
    g_assert_no_error(err);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "stream\ndone\n");

    c = connect_uri("exec:cat", -1, NULL);      /* both directions */
    assert_says(c, c, "echo");
    g_assert_true(channel_close(c, NULL));

    c = incoming_uri("exec:printf abc; cat >&2", NULL);
    char buf[4] = "";
    g_assert_true(channel_read_all(c, buf, 3, NULL));
    g_assert_cmpstr(buf, ==, "abc");
    g_assert_true(channel_close(c, NULL));

    c = connect_uri("exec:cat; exit 3", -1, NULL);
    g_assert_true(channel_write_all(c, "x", 1, NULL));
    g_assert_false(channel_close(c, &err));
    g_assert_cmpstr(err->message, ==, "Command 'cat; exit 3' exited with status 3");

    g_clear_error(&err);
    c = connect_uri("exec:exit 7", -1, NULL);
    fill_until_error(c, &err);
    g_assert_cmpstr(err->message, ==, "Unable to write to pipe: Broken pipe: "
                                      "Command 'exit 7' exited with status 7");
    channel_close(c, NULL);

    g_clear_error(&err);
    c = incoming_uri("exec:kill -9 $$", NULL);
    g_assert_cmpint(channel_read(c, buf, 1, &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "Command 'kill -9 $$' was killed by signal 9 (Killed)");
    channel_close(c, NULL);

    c = incoming_uri("exec:true", NULL);
    g_assert_cmpint(channel_read(c, buf, 1, NULL), ==, 0);
    g_assert_true(channel_close(c, NULL));
}

static gpointer read_back(gpointer opaque)
{
    Channel *c = opaque;
    g_autofree uint8_t *buf = g_malloc(8 << 20);
    g_assert_true(channel_read_all(c, buf, 8 << 20, NULL));
    for (size_t i = 0; i < 8 << 20; i++) {
        g_assert_cmpint(buf[i], ==, (uint8_t)(i * 31 + (i >> 12)));
    }
    return NULL;
}

/* 8 MiB in 2,048 pieces, several at a time, against a full pipe. */
static void test_large_writev(void)
{
    g_autofree uint8_t *data = g_malloc(8 << 20);
    for (size_t i = 0; i < 8 << 20; i++) {
        data[i] = i * 31 + (i >> 12);
    }
    Channel *c = connect_uri("exec:cat", -1, NULL);
    GThread *t = g_thread_new("read", read_back, c);
    struct iovec iov[2048];
    size_t sent = 0;
    while (sent < 8 << 20) {
        int n = 0;
        for (size_t at = sent; at < 8 << 20; at = (at & ~4095UL) + 4096) {
            iov[n++] = (struct iovec){ data + at, 4096 - (at & 4095) };
        }
        ssize_t w = channel_writev(c, iov, n, NULL);
        g_assert_cmpint(w, >, 0);
        sent += w;
    }
    g_thread_join(t);
    g_assert_true(channel_close(c, NULL));
}

static void test_file(void)
{
    g_autofree char *path = path_of("image"), *text = NULL;
    g_autofree char *uri = g_strdup_printf("file:%s,offset=4", path);
    gsize len;
    g_autoptr(GError) err = NULL;

    g_assert_true(g_file_set_contents(path, "HEADold contents", -1, NULL));
    Channel *c = connect_uri(uri, -1, &err);
    g_assert_no_error(err);
    g_assert_true(channel_is_seekable(c));
    g_assert_false(channel_has_return_path(c));
    g_assert_cmpint(lseek(channel_fd(c), 0, SEEK_CUR), ==, 4);
    g_assert_true(channel_write_all(c, "new", 3, NULL));
    g_assert_true(channel_close(c, NULL));
    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    g_assert_cmpstr(text, ==, "HEADnew");

    c = incoming_uri(uri, &err);
    char buf[8] = "";
    g_assert_true(channel_read_all(c, buf, 3, NULL));
    g_assert_cmpstr(buf, ==, "new");
    g_assert_false(channel_read_all(c, buf, 1, &err));
    g_assert_nonnull(strstr(err->message, "Unexpected end after 0 of 1 bytes"));
    g_assert_false(channel_write_all(c, "x", 1, NULL));
    g_assert_true(channel_is_seekable(c));
    channel_close(c, NULL);

    g_clear_error(&err);
    c = connect_uri("file:/dev/full", -1, &err);
    g_assert_no_error(err);
    g_assert_false(channel_write_all(c, "x", 1, &err));
    g_assert_nonnull(strstr(err->message, "No space left on device"));
    channel_close(c, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);       /* as main does, for pipes */
    g_test_add_func("/channel-local/fd", test_fd);
    g_test_add_func("/channel-local/exec", test_exec);
    g_test_add_func("/channel-local/large-writev", test_large_writev);
    g_test_add_func("/channel-local/file", test_file);
    return run_in_folder(&dir);
}
