/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/channel: inherited descriptors, commands and files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* Descriptor 0 of a pipe is for reading, 1 for writing. */
static int open_one(void *opaque, const char *path, int access, GError **errp)
{
    if (!g_str_equal(path, "/dev/fdset/3")) {
        error_setg(errp, "Could not open '%s'", path);
        return -1;
    }
    return fcntl(((int *)opaque)[access == O_WRONLY], F_DUPFD_CLOEXEC, 3);
}

static Channel *connect_taken(ChannelAddress *a, const FdResolver *fds, GError **errp)
{
    return channel_address_take_fd(a, fds, true, errp) ? channel_connect(a, -1, errp) : NULL;
}

static void test_fd(void)
{
    int pv[2], sv[2];
    g_autoptr(GError) err = NULL;
    FdResolver fds = { take_one, open_one, &pv[1] };
    ChannelAddress *a = channel_address_parse("fd:migrate", NULL);
    ChannelAddress *b = channel_address_parse("fd:other", NULL);

    g_assert_cmpint(pipe(pv), ==, 0);
    Channel *out = connect_taken(a, &fds, &err);
    g_assert_no_error(err);
    g_autofree char *number = g_strdup_printf("fd:%d", pv[0]);
    Channel *in = incoming_uri(number, &err);
    g_assert_no_error(err);
    g_assert_cmpint(fcntl(pv[0], F_GETFD), ==, FD_CLOEXEC);     /* no child is to keep it open */
    g_assert_cmpint(fcntl(pv[1], F_GETFD), ==, FD_CLOEXEC);
    assert_says(out, in, "pipe");
    g_assert_false(channel_has_return_path(out));
    channel_close(out, NULL);
    g_assert_null(connect_taken(b, &fds, &err));
    g_assert_cmpstr(err->message, ==, "File descriptor named 'other' has not been found");
    channel_close(in, NULL);

    g_assert_cmpint(pipe(pv), ==, 0);       /* the wrong end */
    g_clear_error(&err);
    fds.opaque = &pv[0];
    g_assert_null(connect_taken(a, &fds, &err));
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

/* A set of descriptors stands for a file, with an offset as well. */
/* -incoming fd:0, with a file as standard input. */
static void test_fd_0(void)
{
    g_autofree char *path = path_of("input");
    g_autoptr(GError) err = NULL;
    int before = dup(0), fd;

    g_assert_true(g_file_set_contents(path, "x", 1, NULL));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(dup2(fd, 0), ==, 0);
    Channel *c = channel_new_fd(0, "fd:0", &err);
    g_assert_no_error(err);
    g_assert_true(channel_is_seekable(c));
    g_assert_true(channel_close(c, NULL));
    g_assert_cmpint(dup2(before, 0), ==, 0);
    close(before);
    close(fd);
    unlink(path);
}

static void test_fd_set(void)
{
    g_autofree char *path = path_of("set"), *text = NULL;
    g_autoptr(GError) err = NULL;
    char buf[4] = "";

    g_assert_true(g_file_set_contents(path, "HEADold", -1, NULL));
    int set[2] = { open(path, O_RDONLY), open(path, O_WRONLY) };
    FdResolver fds = { take_one, open_one, set };
    ChannelAddress *a = channel_address_parse("file:/dev/fdset/3,offset=4", NULL);
    Channel *out = connect_taken(a, &fds, &err);
    g_assert_no_error(err);
    g_assert_true(channel_is_seekable(out));
    g_assert_true(channel_write_all(out, "now", 3, NULL));
    g_assert_true(channel_close(out, NULL));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "HEADnow");
    g_assert_true(channel_address_take_fd(a, &fds, false, NULL));
    ChannelListener *l = channel_listen(a, &err);
    Channel *in = channel_listener_accept(l, &err);
    g_assert_no_error(err);
    g_assert_true(channel_read_all(in, buf, 3, NULL));
    g_assert_cmpstr(buf, ==, "now");
    g_assert_null(channel_listener_accept(l, &err));
    g_assert_nonnull(strstr(err->message, "has one channel only"));
    channel_close(in, NULL);
    channel_listener_free(l);
    channel_address_free(a);
    g_clear_error(&err);
    a = channel_address_parse("file:/dev/fdset/4", NULL);
    g_assert_false(channel_address_take_fd(a, &fds, true, &err));
    g_assert_cmpstr(err->message, ==, "Could not open '/dev/fdset/4'");
    channel_address_free(a);
    close(set[0]);
    close(set[1]);
}

static gpointer fire_later(gpointer fd)
{
    uint64_t one = 1;
    g_usleep(50 * 1000);
    g_assert_cmpint(write(GPOINTER_TO_INT(fd), &one, 8), ==, 8);
    return NULL;
}

static gpointer shut_listener_later(gpointer l)
{
    g_usleep(50 * 1000);
    channel_listener_shutdown(l);
    return NULL;
}

static gpointer accept_from(gpointer l)
{
    return channel_listener_accept(l, NULL);
}

/* The other side of a FIFO is waited for, on either side, and the wait can be ended. */
static void test_fifo(void)
{
    g_autofree char *path = path_of("fifo"), *uri = g_strdup_printf("file:%s", path);
    g_autofree char *lonely = path_of("fifo-lonely"), *no_reader = g_strdup_printf("file:%s", lonely);
    g_autoptr(GError) err = NULL;
    int cancel = eventfd(0, EFD_CLOEXEC);

    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    /* One of its own: a try that was under way when it was cancelled is a writer for a moment. */
    g_assert_cmpint(mkfifo(lonely, 0600), ==, 0);
    GThread *t = g_thread_new("cancel", fire_later, GINT_TO_POINTER(cancel));
    g_assert_null(connect_uri(no_reader, cancel, &err));
    g_assert_true(g_str_has_suffix(err->message, "was cancelled"));
    g_thread_join(t);
    g_clear_error(&err);

    ChannelListener *l = listen_uri(uri, &err);     /* does not wait */
    g_assert_no_error(err);
    t = g_thread_new("shut", shut_listener_later, l);
    g_assert_null(channel_listener_accept(l, &err));
    g_assert_nonnull(strstr(err->message, "cancelled"));
    g_thread_join(t);
    channel_listener_free(l);
    g_clear_error(&err);

    l = listen_uri(uri, &err);
    t = g_thread_new("accept", accept_from, l);
    g_usleep(50 * 1000);
    Channel *out = connect_uri(uri, -1, &err);
    g_assert_no_error(err);
    g_assert_true(channel_write_all(out, "ab", 2, NULL));
    Channel *in = g_thread_join(t);
    char got[3] = "";
    g_assert_true(channel_read_all(in, got, 2, NULL));
    g_assert_cmpstr(got, ==, "ab");
    assert_says(out, in, "later");
    channel_close(out, NULL);
    channel_close(in, NULL);
    channel_listener_free(l);
    close(cancel);
}

static void assert_starts(const char *text, const char *start)
{
    g_autofree char *head = g_strndup(text, strlen(start));
    g_assert_cmpstr(head, ==, start);
}

static void test_exec(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *path = path_of("out"), *text = NULL;
    g_autofree char *uri = g_strdup_printf("exec:cat > %s; echo done >> %s", path, path);

    Channel *c = connect_uri(uri, -1, &err);
    g_assert_true(channel_has_return_path(c));
    g_assert_true(channel_write_all(c, "stream\n", 7, &err));
    g_assert_cmpint(channel_complete(c, -1, &err), ==, CHANNEL_END_TAKEN);   /* waits for the child */
    g_assert_no_error(err);
    g_assert_true(channel_close(c, &err));
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
    g_assert_cmpint(channel_complete(c, -1, &err), ==, CHANNEL_END_FAILED);
    assert_starts(err->message, "Command 'cat; exit 3' exited with status 3 after ");
    g_assert_false(channel_close(c, NULL));

    c = connect_uri("exec:cat >/dev/null; exec sleep 40", -1, NULL);
    g_assert_cmpint(channel_complete(c, 50, NULL), ==, CHANNEL_END_OPEN);
    g_assert_cmpint(channel_complete(c, 0, NULL), ==, CHANNEL_END_OPEN);
    channel_shutdown(c);
    g_assert_cmpint(channel_complete(c, -1, NULL), ==, CHANNEL_END_FAILED);
    channel_close(c, NULL);

    g_clear_error(&err);
    c = connect_uri("exec:exit 7", -1, NULL);
    fill_until_error(c, &err);
    assert_starts(err->message,
                  "Command 'exit 7' exited with status 7 after ");
    channel_close(c, NULL);

    g_clear_error(&err);
    c = incoming_uri("exec:kill -9 $$", NULL);
    g_assert_cmpint(channel_read(c, buf, 1, &err), ==, -1);
    assert_starts(err->message, "Command 'kill -9 $$' was killed by signal 9 (Killed) after ");
    channel_close(c, NULL);

    c = incoming_uri("exec:true", NULL);
    g_assert_cmpint(channel_read(c, buf, 1, NULL), ==, 0);
    g_assert_true(channel_close(c, NULL));
}

/* A command that ends well but too early: it is named, on either side. */
static void test_exec_early(void)
{
    g_autoptr(GError) err = NULL;
    char buf[8];

    Channel *c = connect_uri("exec:true", -1, NULL);
    fill_until_error(c, &err);
    assert_starts(err->message,
                  "Command 'true' exited with status 0 after ");
    g_assert_true(channel_close(c, NULL));

    g_clear_error(&err);
    c = connect_uri("exec:exec <&-; sleep 20", -1, NULL);
    fill_until_error(c, &err);
    g_assert_nonnull(strstr(err->message, "has closed its end of the pipe and still runs"));
    channel_shutdown(c);
    channel_close(c, NULL);

    g_clear_error(&err);
    c = incoming_uri("exec:printf abc", NULL);
    g_assert_false(channel_read_all(c, buf, 8, &err));
    g_assert_nonnull(strstr(err->message, "Unexpected end after 3 of 8 bytes: Command 'printf abc' "
                                          "exited with status 0 after "));
    channel_close(c, NULL);
}

static gpointer shut_later(gpointer c)
{
    g_usleep(50 * 1000);
    channel_shutdown(c);
    return NULL;
}

/* A command that does not end: waiting for it can be cancelled, and closing never waits for it. */
static void test_exec_endless(void)
{
    static const char *const uris[] = {
        "exec:cat >/dev/null; sleep 60", "exec:trap '' TERM; cat >/dev/null; sleep 60",
        "exec:cat >/dev/null; while :; do echo; done",
    };
    gint64 start = g_get_monotonic_time();

    for (size_t i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) err = NULL;
        Channel *c = connect_uri(uris[i], -1, NULL);
        g_assert_true(channel_write_all(c, "x", 1, NULL));
        GThread *t = g_thread_new("shut", shut_later, c);
        g_assert_cmpint(channel_complete(c, -1, &err), ==, CHANNEL_END_FAILED);
        g_assert_true(g_str_has_suffix(err->message, "was cancelled"));
        g_thread_join(t);
        g_assert_true(channel_close(c, NULL));
    }
    Channel *c = incoming_uri("exec:exec 2>&-; printf abc; sleep 40", NULL);
    char buf[3];
    g_assert_true(channel_read_all(c, buf, 3, NULL));
    g_assert_true(channel_close(c, NULL));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 30 * G_USEC_PER_SEC);
}

static gpointer read_to_end(gpointer opaque)
{
    char buf[64];
    g_autoptr(GError) err = NULL;

    while (channel_read(opaque, buf, sizeof(buf), &err) > 0) {
        /* the next */
    }
    assert_starts(err->message, "Command 'exit 7' exited with status 7");
    return NULL;
}

/* A writer and a reader find the child's end at the same time: one reaps it, both know how it ended. */
static void test_exec_two_threads(void)
{
    for (int i = 0; i < 20; i++) {
        g_autoptr(GError) err = NULL;
        Channel *c = connect_uri("exec:exit 7", -1, NULL);
        GThread *t = g_thread_new("read", read_to_end, c);
        fill_until_error(c, &err);
        g_assert_nonnull(strstr(err->message, "Command 'exit 7' exited with status 7"));
        g_thread_join(t);
        channel_close(c, NULL);
    }
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
    g_test_add_func("/channel-local/fd-0", test_fd_0);
    g_test_add_func("/channel-local/fd-set", test_fd_set);
    g_test_add_func("/channel-local/fifo", test_fifo);
    g_test_add_func("/channel-local/exec", test_exec);
    g_test_add_func("/channel-local/exec-early", test_exec_early);
    g_test_add_func("/channel-local/exec-endless", test_exec_endless);
    g_test_add_func("/channel-local/exec-two-threads", test_exec_two_threads);
    g_test_add_func("/channel-local/large-writev", test_large_writev);
    g_test_add_func("/channel-local/file", test_file);
    return run_in_folder(&dir);
}
