/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chardev: every back end against a real peer, the front end's rules, and wrong options. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "chardev/char.h"
#include "monitor/monitor.h"
#include "softmmu/machine.h"

typedef struct Front {
    GString *input;
    GString *events;    /* o opened, c closed, w writable, i mux in, u mux out, b break */
    size_t room;
} Front;

typedef struct Fixture {
    Machine machine;
    Chardevs *chardevs;
    char *dir;
    Front front, other;
} Fixture;

static size_t front_can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void front_read(void *opaque, const uint8_t *buf, size_t len)
{
    Front *f = opaque;

    g_assert_cmpuint(len, <=, f->room);
    g_string_append_len(f->input, (const char *)buf, len);
}

static void front_event(void *opaque, ChardevEvent event)
{
    g_string_append_c(((Front *)opaque)->events, "ocwiub"[event]);
}

static const ChardevFrontend frontend = { front_can_read, front_read, front_event };

static void fixture_init(Fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->machine.loop = main_loop_new();
    f->machine.fds = fdsets_new();
    f->machine.chardevs = f->chardevs = chardevs_new(&f->machine);
    f->dir = g_dir_make_tmp("ferry-chr-XXXXXX", NULL);
    f->front = (Front){ g_string_new(NULL), g_string_new(NULL), 4096 };
    f->other = (Front){ g_string_new(NULL), g_string_new(NULL), 4096 };
    bql_lock(f->machine.loop);
}

static void front_clear(Front *front)
{
    g_string_free(front->input, TRUE);
    g_string_free(front->events, TRUE);
}

static void fixture_clear(Fixture *f)
{
    chardevs_free(f->chardevs);
    fdsets_free(f->machine.fds);
    bql_unlock(f->machine.loop);
    main_loop_free(f->machine.loop);
    front_clear(&f->front);
    front_clear(&f->other);
    g_autofree char *rm = g_strdup_printf("rm -rf %s", f->dir);
    g_assert_cmpint(system(rm), ==, 0);
    g_free(f->dir);
}

static Chardev *open_text(Fixture *f, const char *label, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
static Chardev *open_text(Fixture *f, const char *label, const char *fmt, ...)
{
    GError *err = NULL;
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    Chardev *chr = chardev_from_text(f->chardevs, label, text, &err);
    g_assert_no_error(err);
    return chr;
}

static void attach(Chardev *chr, Front *front)
{
    GError *err = NULL;

    chardev_attach(chr, &frontend, front, &err);
    g_assert_no_error(err);
}

/* Runs the loop until nothing happens for a moment. */
static void settle(Fixture *f)
{
    GMainContext *context = main_loop_context(f->machine.loop);

    for (int quiet = 0; quiet < 5;) {
        if (g_main_context_iteration(context, FALSE)) {
            quiet = 0;
        } else {
            quiet++;
            g_usleep(1000);
        }
    }
}

static int unix_client(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    return fd;
}

static void expect_bytes(int fd, const char *want)
{
    char buf[256];
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

    g_assert_cmpint(n, ==, strlen(want));
    g_assert_cmpmem(buf, n, want, strlen(want));
}

/* ---- socket ---- */

static void test_socket_clients(void)
{
    Fixture f;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "s", NULL);
    Chardev *chr = open_text(&f, "mon0", "unix:%s,server=on,wait=off", path);
    g_autofree char *away = g_strdup_printf("disconnected:unix:%s,server=on", path);
    g_autofree char *here = g_strdup_printf("unix:%s,server=on", path);
    g_autofree char *name = chardev_filename(chr);
    g_assert_cmpstr(name, ==, away);
    attach(chr, &f.front);
    g_assert_cmpuint(chardev_write(chr, "lost", 4), ==, 4); /* nobody there: dropped */

    int first = unix_client(path);
    int second = unix_client(path); /* in the backlog until the first has gone */
    g_assert_cmpint(write(second, "two", 3), ==, 3);
    g_assert_cmpstr(f.front.events->str, ==, "");
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "o");
    g_autofree char *name2 = chardev_filename(chr);
    g_assert_cmpstr(name2, ==, here);
    chardev_write_all(chr, "hello", 5);
    expect_bytes(first, "hello");
    g_assert_cmpint(write(first, "one", 3), ==, 3);
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "one");
    g_assert_cmpint(write(first, "last", 4), ==, 4);
    close(first); /* its last words still count */
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "onelasttwo");
    g_assert_cmpstr(f.front.events->str, ==, "oco");
    chardev_write_all(chr, "x", 1);
    expect_bytes(second, "x");
    close(second);
    settle(&f);
    g_assert_false(chardev_is_connected(chr));
    fixture_clear(&f);
}

/* Not one connect is refused while a client is served, and each has its turn. */
static void test_socket_backlog(void)
{
    enum { CLIENTS = 20 };
    Fixture f;
    int fds[CLIENTS];

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "s", NULL);
    Chardev *chr = open_text(&f, "mon0", "unix:%s,server=on,wait=off", path);
    attach(chr, &f.front);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0); /* full: EAGAIN, not a wait */
        g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
        g_assert_cmpint(connect(fds[i], (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
        char byte = 'a' + i;
        g_assert_cmpint(write(fds[i], &byte, 1), ==, 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        settle(&f);
        g_assert_cmpuint(f.front.input->len, ==, i + 1);
        close(fds[i]);
    }
    g_assert_cmpstr(f.front.input->str, ==, "abcdefghijklmnopqrst");
    fixture_clear(&f);
}

static void test_socket_flow(void)
{
    Fixture f;
    static char big[4 << 20];
    size_t got = 0, sent;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "s", NULL);
    Chardev *chr = open_text(&f, "c", "unix:%s,server=on,wait=off", path);
    attach(chr, &f.front);
    int fd = unix_client(path);
    settle(&f);

    /* Input stops when there is no room and goes on when asked to. */
    f.front.room = 0;
    g_assert_cmpint(write(fd, "abc", 3), ==, 3);
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "");
    f.front.room = 2;
    chardev_accept_input(chr);
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "abc");

    /* Output: partly taken, WRITABLE later, queued bytes keep their order. */
    sent = chardev_write(chr, big, sizeof(big));
    g_assert_cmpuint(sent, >, 0);
    g_assert_cmpuint(sent, <, sizeof(big));
    chardev_write_all(chr, "END", 3);
    g_assert_cmpuint(chardev_write(chr, "no", 2), ==, 0);
    char buf[65536], tail[3] = { 0 };
    while (got < sent + 3) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n > 0) {
            got += n;
            memcpy(tail, buf + n - MIN(n, 3), MIN(n, 3));
        } else {
            settle(&f);
        }
    }
    settle(&f);
    g_assert_cmpmem(tail, 3, "END", 3);
    g_assert_cmpstr(f.front.events->str, ==, "ow");

    /* A client that hangs up while we cannot read does not lock the next one out. */
    f.front.room = 0;
    chardev_accept_input(chr);
    g_assert_cmpint(write(fd, "unread", 6), ==, 6);
    close(fd);
    settle(&f);
    f.front.room = 0;
    int next = unix_client(path);
    settle(&f);
    chardev_write_all(chr, "hi", 2);
    expect_bytes(next, "hi");
    close(next);
    fixture_clear(&f);
}

static void send_fds(int sock, const char *text, const int *fds, int n)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * 4)];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { (void *)text, strlen(text) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                          .msg_controllen = CMSG_SPACE(sizeof(int) * n) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    g_assert_cmpint(sendmsg(sock, &msg, 0), ==, strlen(text));
}

static void test_socket_fds(void)
{
    Fixture f;
    int pipes[2];

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "s", NULL);
    Chardev *chr = open_text(&f, "c", "unix:%s,server=on,wait=off", path);
    attach(chr, &f.front);
    int fd = unix_client(path);
    g_assert_cmpint(pipe(pipes), ==, 0);
    g_assert_cmpint(chardev_take_fd(chr), ==, -1);
    send_fds(fd, "getfd", pipes, 2);
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "getfd");
    int in = chardev_take_fd(chr), out = chardev_take_fd(chr);
    g_assert_cmpint(chardev_take_fd(chr), ==, -1);
    g_assert_cmpint(fcntl(in, F_GETFD), ==, FD_CLOEXEC);
    g_assert_cmpint(write(out, "z", 1), ==, 1);
    char z = 0;
    g_assert_cmpint(read(in, &z, 1), ==, 1);
    g_assert_cmpint(z, ==, 'z');
    /* Fds nobody took are closed when others come. */
    send_fds(fd, "a", pipes, 1);
    settle(&f);
    int expect = dup(0);
    close(expect);
    send_fds(fd, "b", pipes, 1);
    settle(&f);
    int last = chardev_take_fd(chr);
    g_assert_cmpint(last, >=, 0);
    g_assert_cmpint(chardev_take_fd(chr), ==, -1);
    int now_free = dup(0);
    g_assert_cmpint(now_free, <=, expect);
    close(now_free);
    close(last);
    close(in);
    close(out);
    close(pipes[0]);
    close(pipes[1]);
    close(fd);
    fixture_clear(&f);
}

static void test_socket_inherited(void)
{
    Fixture f;
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    GError *err = NULL;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "inherited", NULL);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    int early = unix_client(path); /* connected before we are up, as libvirt does */
    g_autofree char *text = g_strdup_printf("socket,id=charmonitor,fd=%d,server=on,wait=off",
                                            listener);
    Opts *opts = opts_parse(text, "backend", NULL);
    Chardev *chr = chardev_new(f.chardevs, opts, &err);
    g_assert_no_error(err);
    attach(chr, &f.front);
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "o");
    close(early);
    settle(&f);
    int again = unix_client(path);
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "oco");
    g_autofree char *want = g_strdup_printf("unix:%s,server=on", path);
    g_autofree char *name = chardev_filename(chr);
    g_assert_cmpstr(name, ==, want);
    close(again);
    opts_free(opts);
    fixture_clear(&f);
    g_assert_cmpint(g_access(path, F_OK), ==, -1); /* gone with the folder, not before */
}

static void test_socket_tcp_and_client(void)
{
    Fixture f;
    GError *err = NULL;

    fixture_init(&f);
    Chardev *server = open_text(&f, "server", "tcp:127.0.0.1:0,server=on,wait=off");
    attach(server, &f.front);
    g_autofree char *name = chardev_filename(server); /* disconnected:tcp:127.0.0.1:PORT,server=on */
    g_auto(GStrv) parts = g_strsplit_set(name, ":,", -1);
    Chardev *client = open_text(&f, "client", "tcp:127.0.0.1:%s", parts[3]);
    attach(client, &f.other);
    settle(&f);
    chardev_write_all(client, "ping", 4);
    settle(&f);
    g_assert_cmpstr(f.front.input->str, ==, "ping");
    chardev_detach(client, &f.other);
    g_assert_true(chardev_remove(f.chardevs, "client", &err));
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "oc");
    /* telnet: negotiation goes out and is taken out of what comes in */
    Chardev *telnet = open_text(&f, "telnet", "telnet:127.0.0.1:0,server=on,wait=off");
    attach(telnet, &f.other);
    g_autofree char *tname = chardev_filename(telnet);
    g_auto(GStrv) tparts = g_strsplit_set(tname, ":,", -1);
    Chardev *raw = open_text(&f, "raw", "tcp:127.0.0.1:%s", tparts[3]);
    g_string_truncate(f.other.input, 0);
    settle(&f);
    static const char said[] = "a\xff\xfd\x01" "b\xff\xff" "c\xff\xfa" "xyz\xff\xf0" "d";
    chardev_write_all(raw, said, sizeof(said) - 1);
    settle(&f);
    g_assert_cmpstr(f.other.input->str, ==, "ab\xff" "cd");
    fixture_clear(&f);
}

static void test_socket_reconnect(void)
{
    Fixture f;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "later", NULL);
    Chardev *client = open_text(&f, "client", "unix:%s,reconnect=1", path); /* nobody yet: no error */
    attach(client, &f.front);
    settle(&f);
    Chardev *server = open_text(&f, "server", "unix:%s,server=on,wait=off", path);
    attach(server, &f.other);
    gint64 until = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
    while (!chardev_is_connected(client) && g_get_monotonic_time() < until) {
        settle(&f);
    }
    g_assert_true(chardev_is_connected(client));
    fixture_clear(&f);
}

/* ---- the others ---- */

static void test_file(void)
{
    Fixture f;
    g_autofree char *content = NULL;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "log", NULL);
    g_assert_true(g_file_set_contents(path, "old", -1, NULL));
    Chardev *chr = open_text(&f, "a", "file:%s", path);
    chardev_write_all(chr, "new", 3);
    chardev_remove(f.chardevs, "a", NULL);
    Opts *opts = opts_new();
    opts_set(opts, "backend", "file");
    opts_set(opts, "id", "b");
    opts_set(opts, "path", path);
    opts_set(opts, "append", "on");
    chr = chardev_new(f.chardevs, opts, NULL);
    chardev_write_all(chr, "+more", 5);
    opts_free(opts);
    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "new+more");
    /* an fd set */
    int fds[2];
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_true(fdset_add(f.machine.fds, 0, fds[1], "serial0-source", NULL, NULL));
    chr = open_text(&f, "c", "file:/dev/fdset/0");
    chardev_write_all(chr, "via set", 7);
    char buf[16];
    g_assert_cmpint(read(fds[0], buf, sizeof(buf)), ==, 7);
    g_assert_cmpmem(buf, 7, "via set", 7);
    close(fds[0]);
    chardev_write_all(chr, "reader gone", 11); /* dropped, no signal, no error */
    fixture_clear(&f);
}

/* What is said on stdout goes here and is compared: it is no line of TAP. */
static Chardev *open_pty(Fixture *f, char **said)
{
    g_autofree char *path = g_build_filename(f->dir, "stdout", NULL);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int to = g_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(to, >=, 0);
    g_assert_cmpint(dup2(to, STDOUT_FILENO), ==, STDOUT_FILENO);
    close(to);
    Chardev *chr = open_text(f, "p", "pty");
    fflush(stdout);
    g_assert_cmpint(dup2(saved, STDOUT_FILENO), ==, STDOUT_FILENO);
    close(saved);
    g_assert_true(g_file_get_contents(path, said, NULL, NULL));
    return chr;
}

static void test_pty(void)
{
    Fixture f;
    g_autofree char *said = NULL;

    fixture_init(&f);
    Chardev *chr = open_pty(&f, &said);
    attach(chr, &f.front);
    g_autofree char *name = chardev_filename(chr);
    g_assert_true(g_str_has_prefix(name, "pty:/dev/pts/"));
    g_autofree char *redirected =
        g_strdup_printf("char device redirected to %s (label p)\n", name + strlen("pty:"));
    g_assert_cmpstr(said, ==, redirected);
    g_assert_cmpuint(chardev_write(chr, "void", 4), ==, 4);
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "");
    int fd = open(name + 4, O_RDWR | O_NOCTTY);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, "typed\n", 6), ==, 6);
    gint64 until = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
    while (f.front.input->len < 6 && g_get_monotonic_time() < until) {
        settle(&f);
    }
    g_assert_cmpstr(f.front.input->str, ==, "typed\n");
    chardev_write_all(chr, "shown", 5);
    char buf[16];
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 5);
    g_assert_cmpmem(buf, 5, "shown", 5); /* and not "void" */
    close(fd);
    while (chardev_is_connected(chr) && g_get_monotonic_time() < until) {
        settle(&f);
    }
    g_assert_cmpstr(f.front.events->str, ==, "oc");
    fixture_clear(&f);
}

static void test_ringbuf(void)
{
    Fixture f;
    size_t len;

    fixture_init(&f);
    Opts *opts = opts_parse("ringbuf,id=r,size=8", "backend", NULL);
    Chardev *chr = chardev_new(f.chardevs, opts, NULL);
    chardev_write_all(chr, "abcdefghij", 10);
    g_autofree uint8_t *a = chardev_ringbuf_read(chr, 3, &len, NULL);
    g_assert_cmpmem(a, len, "cde", 3); /* the oldest two are lost */
    g_assert_true(chardev_ringbuf_write(chr, "kl", 2, NULL));
    g_autofree uint8_t *b = chardev_ringbuf_read(chr, 100, &len, NULL);
    g_assert_cmpmem(b, len, "fghijkl", 7);
    Chardev *null = open_text(&f, "n", "null");
    g_autoptr(GError) err = NULL;
    g_assert_null(chardev_ringbuf_read(null, 1, &len, &err));
    g_assert_cmpstr(err->message, ==, "n is not a ringbuf device");
    opts_free(opts);
    fixture_clear(&f);
}

static void test_mux(void)
{
    Fixture f;

    fixture_init(&f);
    g_autofree char *path = g_build_filename(f.dir, "s", NULL);
    Chardev *chr = open_text(&f, "m", "mon:unix:%s,server=on,wait=off", path);
    attach(chr, &f.front); /* the monitor */
    attach(chr, &f.other); /* the console, in focus */
    int fd = unix_client(path);
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, ""); /* greets when it is first looked at */
    g_assert_cmpstr(f.other.events->str, ==, "o");
    g_assert_cmpint(write(fd, "con\001cmon\001c\001\001.", 13), ==, 13);
    settle(&f);
    g_assert_cmpstr(f.other.input->str, ==, "con\001.");
    g_assert_cmpstr(f.front.input->str, ==, "mon");
    g_assert_cmpstr(f.front.events->str, ==, "ou");
    g_assert_cmpstr(f.other.events->str, ==, "oui");
    chardev_write_all(chr, "out", 3);
    expect_bytes(fd, "out");
    close(fd);
    settle(&f);
    g_assert_cmpstr(f.front.events->str, ==, "ouc");
    g_assert_cmpstr(f.other.events->str, ==, "ouic");
    chardev_detach(chr, &f.front);
    chardev_detach(chr, &f.other);
    g_assert_false(chardev_frontend_open(chr));
    fixture_clear(&f);
}

static void test_in_use(void)
{
    Fixture f;
    g_autoptr(GError) err = NULL;

    fixture_init(&f);
    Chardev *chr = open_text(&f, "n", "null");
    attach(chr, &f.front);
    g_assert_false(chardev_attach(chr, &frontend, &f.other, &err));
    g_assert_cmpstr(err->message, ==, "Device 'n' is in use");
    g_clear_error(&err);
    g_assert_false(chardev_remove(f.chardevs, "n", &err));
    g_assert_cmpstr(err->message, ==, "Chardev 'n' is busy");
    g_clear_error(&err);
    g_assert_false(chardev_remove(f.chardevs, "zz", &err));
    g_assert_cmpstr(err->message, ==, "Chardev 'zz' not found");
    fixture_clear(&f);
}

static void test_break(void)
{
    Fixture f;
    g_autoptr(GError) err = NULL;

    fixture_init(&f);
    Chardev *chr = open_text(&f, "m", "mon:null");
    g_assert_true(chardev_send_break(f.chardevs, "m", &err));
    attach(chr, &f.front);
    attach(chr, &f.other);
    settle(&f);
    g_assert_true(chardev_send_break(f.chardevs, "m", &err));
    g_assert_cmpstr(f.front.events->str, ==, "");
    g_assert_cmpstr(f.other.events->str, ==, "ob");
    g_assert_false(chardev_send_break(f.chardevs, "zz", &err));
    g_assert_cmpstr(err->message, ==, "Chardev 'zz' not found");
    fixture_clear(&f);
}

static void test_bad(void)
{
    static const struct { const char *opts, *message; } cases[] = {
        { "foo,id=a", "'foo' is not a valid char driver name" },
        { "null", "no id specified" },
        { "null,id=1a", "expects an identifier" },
        { "null,id=taken", "Duplicate ID 'taken' for chardev" },
        { "null,id=a,bla=1", "Invalid parameter 'bla'" },
        { "null,id=a,mux=perhaps", "Parameter 'mux' expects 'on' or 'off'" },
        { "null,id=a,logfile=/nonexistent/x", "Unable to open logfile /nonexistent/x" },
        { "file,id=a", "no filename given" },
        { "file,id=a,path=/nonexistent/x", "Could not open '/nonexistent/x': No such file" },
        { "file,id=a,path=/dev/fdset/77", "" },
        { "pipe,id=a", "no device path given" },
        { "pipe,id=a,path=/nonexistent/x", "Could not open '/nonexistent/x'" },
        { "fd,id=a,fd=777", "'777' is not an open file descriptor" },
        { "fd,id=a", "is not an open file descriptor" },
        { "ringbuf,id=a,size=100", "must be power of two" },
        { "ringbuf,id=a,size=64E", "expects a size" },
        { "ringbuf,id=a,size=1P", "size=1099511627776 KiB are too many" },
        { "socket,id=a", "no path, port or fd given" },
        { "socket,id=a,host=127.0.0.1", "no port given" },
        { "socket,id=a,path=/x,port=1", "exclude each other" },
        { "socket,id=a,path=/nonexistent/s", "Failed to connect to '/nonexistent/s': No such file" },
        { "socket,id=a,path=/nonexistent/s,server=on", "Failed to bind socket to /nonexistent/s" },
        { "socket,id=a,host=127.0.0.1,port=1", "Failed to connect to '127.0.0.1:1': Connection refused" },
        { "socket,id=a,host=127.0.0.1,port=nosuchservice", "address resolution failed" },
        { "socket,id=a,path=/x,server=maybe", "Parameter 'server' expects 'on' or 'off'" },
        { "socket,id=a,path=/x,wait=off", "incompatible with socket in client connect mode" },
        { "socket,id=a,path=/x,server=on,reconnect=1", "incompatible with socket in server listen" },
        { "socket,id=a,path=/x,reconnect=100000", "seconds up to 3600" },
        { "socket,id=a,fd=x", "Unable to parse FD number x" },
        { "socket,id=a,fd=777,server=on", "File descriptor '777' is not a socket" },
        { "socket,id=a,path=/x,server=on,wait=off,foo=1", "" },
    };
    static const struct { const char *text, *message; } texts[] = {
        { "foo:bar", "'foo:bar' is not a valid char driver" },
        { "", "'' is not a valid char driver" },
        { "tcp:nohost", "'nohost' is not HOST:PORT" },
        { "tcp:[::1:5", "is not HOST:PORT" },
        { "chardev:zz", "chardev \"zz\" not found" },
        { "unix:/x,wait=off", "client connect mode" },
    };
    Fixture f;

    fixture_init(&f);
    open_text(&f, "taken", "null");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        Opts *opts = opts_parse(cases[i].opts, "backend", NULL);
        g_assert_null(chardev_new(f.chardevs, opts, &err));
        g_test_message("%s: %s", cases[i].opts, err->message);
        g_assert_nonnull(strstr(err->message, cases[i].message));
        opts_free(opts);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(chardev_from_text(f.chardevs, "a", texts[i].text, &err));
        g_test_message("%s: %s", texts[i].text, err->message);
        g_assert_nonnull(strstr(err->message, texts[i].message));
    }
    g_autofree char *longpath = g_strnfill(120, 'x');
    g_autofree char *text = g_strdup_printf("unix:%s,server=on,wait=off", longpath);
    g_autoptr(GError) err = NULL;
    g_assert_null(chardev_from_text(f.chardevs, "a", text, &err));
    g_assert_nonnull(strstr(err->message, "is too long\nPath must be less than 108 bytes"));
    g_assert_cmpuint(chardevs_count(f.chardevs), ==, 1);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/socket/clients", test_socket_clients);
    g_test_add_func("/chardev/socket/backlog", test_socket_backlog);
    g_test_add_func("/chardev/socket/flow", test_socket_flow);
    g_test_add_func("/chardev/socket/fds", test_socket_fds);
    g_test_add_func("/chardev/socket/inherited", test_socket_inherited);
    g_test_add_func("/chardev/socket/tcp", test_socket_tcp_and_client);
    g_test_add_func("/chardev/socket/reconnect", test_socket_reconnect);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/mux", test_mux);
    g_test_add_func("/chardev/in-use", test_in_use);
    g_test_add_func("/chardev/break", test_break);
    g_test_add_func("/chardev/bad", test_bad);
    return g_test_run();
}
