/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/channel with a name server and a file server that do not answer:
 * getaddrinfo, bind, write and execv are this file's, and hold names below
 * "slow.test", paths below slow.test/ and the shell until they are let go.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "channel-fixture.h"
#include "util/bounded.h"

static struct Gate {
    GMutex lock;
    GCond changed;
    bool open;
    unsigned asked, answered;
} gate;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **list)
{
    if (hints->ai_flags & AI_NUMERICHOST) {     /* asks nobody; good enough for 127.0.0.1 and none else */
        struct addrinfo *ai;
        struct sockaddr_in *sin;
        if (host && strcmp(host, "127.0.0.1") != 0) {
            return EAI_NONAME;
        }
        ai = g_malloc0(sizeof(*ai));
        sin = g_malloc0(sizeof(*sin));
        sin->sin_family = ai->ai_family = AF_INET;
        sin->sin_port = htons(atoi(port));
        sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ai->ai_socktype = SOCK_STREAM;
        ai->ai_addr = (struct sockaddr *)sin;
        ai->ai_addrlen = sizeof(*sin);
        *list = ai;
        return 0;
    }
    g_mutex_lock(&gate.lock);
    gate.asked++;
    while (!gate.open) {
        g_cond_wait(&gate.changed, &gate.lock);
    }
    gate.answered++;
    g_cond_broadcast(&gate.changed);
    g_mutex_unlock(&gate.lock);
    struct addrinfo numbers = *hints;
    numbers.ai_flags = AI_NUMERICHOST;
    return g_str_has_prefix(host, "good") ? getaddrinfo("127.0.0.1", port, &numbers, list)
                                          : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
    g_free(list->ai_addr);
    g_free(list);
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    int (*real)(int, const struct sockaddr *, socklen_t) = (__typeof__(real))dlsym(RTLD_NEXT, "bind");

    if (sa->sa_family == AF_UNIX && strstr(((const struct sockaddr_un *)sa)->sun_path, "slow.test")) {
        g_mutex_lock(&gate.lock);
        gate.asked++;
        while (!gate.open) {
            g_cond_wait(&gate.changed, &gate.lock);
        }
        gate.answered++;
        g_cond_broadcast(&gate.changed);
        g_mutex_unlock(&gate.lock);
        errno = EIO;
        return -1;
    }
    return real(fd, sa, len);
}

/* In the child of a command; its parent's call waits for it. */
int execv(const char *path, char *const argv[])
{
    int (*real)(const char *, char *const[]) =
        (__typeof__(real))dlsym(RTLD_NEXT, "execv");

    if (argv[1] && argv[2] && strstr(argv[2], "slow.test")) {
        sleep(3);
    }
    return real(path, argv);
}

/* A file of that server: the first write of 1 MiB or more does not come back. */
ssize_t write(int fd, const void *buf, size_t len)
{
    ssize_t (*real)(int, const void *, size_t) = (__typeof__(real))dlsym(RTLD_NEXT, "write");

    if (len >= 1 << 20) {
        g_mutex_lock(&gate.lock);
        gate.asked++;
        while (!gate.open) {
            g_cond_wait(&gate.changed, &gate.lock);
        }
        gate.answered++;
        g_cond_broadcast(&gate.changed);
        g_mutex_unlock(&gate.lock);
    }
    return real(fd, buf, len);
}

static void set_gate(bool open)
{
    g_mutex_lock(&gate.lock);
    gate.open = open;
    g_cond_broadcast(&gate.changed);
    while (open && gate.answered < gate.asked) {    /* who was abandoned gets away before the test ends */
        g_cond_wait(&gate.changed, &gate.lock);
    }
    g_mutex_unlock(&gate.lock);
}

static gpointer fire_later(gpointer fd)
{
    uint64_t one = 1;
    g_usleep(50 * 1000);
    g_assert_cmpint(write(GPOINTER_TO_INT(fd), &one, 8), ==, 8);
    return NULL;
}

static void test_connect(void)
{
    g_autoptr(GError) err = NULL;
    int cancel = eventfd(0, EFD_CLOEXEC);
    GThread *t = g_thread_new("cancel", fire_later, GINT_TO_POINTER(cancel));

    set_gate(false);
    g_assert_null(connect_uri("tcp:good.slow.test:1", cancel, &err));   /* would wait for ever */
    g_assert_cmpstr(err->message, ==, "Failed to connect to 'good.slow.test:1': looking up the name "
                                      "was cancelled");
    g_thread_join(t);
    set_gate(true);
    g_clear_error(&err);
    g_assert_null(connect_uri("tcp:bad.slow.test:1", -1, &err));
    g_assert_cmpstr(err->message, ==, "address resolution failed for bad.slow.test:1: "
                                      "Name or service not known");
    close(cancel);
}

static gpointer shut_later(gpointer l)
{
    g_usleep(50 * 1000);
    channel_listener_shutdown(l);
    return NULL;
}

static gpointer open_later(gpointer unused)
{
    g_usleep(50 * 1000);
    set_gate(true);
    return NULL;
}

/* Listening begins without the name's address, waits for it in accept, and can be given up. */
static void test_listen(void)
{
    g_autoptr(GError) err = NULL;

    set_gate(false);
    ChannelListener *l = listen_uri("tcp:good.slow.test:0", &err);
    g_assert_no_error(err);
    g_assert_null(channel_listener_address(l));
    GThread *t = g_thread_new("shut", shut_later, l);
    g_assert_null(channel_listener_accept(l, &err));
    g_assert_cmpstr(err->message, ==, "Looking up 'good.slow.test' to listen there was cancelled");
    g_thread_join(t);
    channel_listener_free(l);
    g_clear_error(&err);

    l = listen_uri("tcp:bad.slow.test:0", NULL);
    t = g_thread_new("open", open_later, NULL);
    g_assert_null(channel_listener_accept(l, &err));    /* what was not known at first is told here */
    g_assert_nonnull(strstr(err->message, "address resolution failed for bad.slow.test:0"));
    g_thread_join(t);
    channel_listener_free(l);
    g_clear_error(&err);
    g_assert_null(listen_uri("tcp:bad.slow.test:0", &err));     /* the gate is open: known at once */
    g_assert_nonnull(err);
}

static gpointer connect_when_bound(gpointer opaque)
{
    ChannelListener *l = opaque;
    g_autofree char *bound = NULL;

    while (!(bound = channel_listener_address(l))) {
        g_usleep(10000);
    }
    g_autofree char *uri = g_strdup_printf("tcp:127.0.0.1%s", strrchr(bound, ':'));
    return connect_uri(uri, -1, NULL);
}

static void test_listen_late(void)
{
    set_gate(false);
    ChannelListener *l = listen_uri("tcp:good.slow.test:0", NULL);
    GThread *o = g_thread_new("open", open_later, NULL);
    GThread *t = g_thread_new("connect", connect_when_bound, l);
    Channel *in = channel_listener_accept(l, NULL), *out = g_thread_join(t);
    assert_says(out, in, "late");
    g_thread_join(o);
    channel_close(in, NULL);
    channel_close(out, NULL);
    channel_listener_free(l);
}

/* Numbers ask nobody: the answer is there although the name server is not. */
static void test_numbers(void)
{
    g_autoptr(GError) err = NULL;

    set_gate(false);
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *bound = channel_listener_address(l);
    g_assert_null(listen_uri(bound, &err));
    g_assert_nonnull(strstr(err->message, "Address already in use"));
    channel_listener_free(l);
    set_gate(true);
}

/* A path that cannot be bound yet, or a shell that does not start: listening begins, and can be given up. */
static void test_listen_elsewhere(void)
{
    static const struct { const char *uri, *message; } cases[] = {
        { "unix:/slow.test/s", "Listening at '/slow.test/s' was cancelled" },
        { "exec:true slow.test", "Starting 'true slow.test' was cancelled" },
    };

    set_gate(false);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        ChannelListener *l = listen_uri(cases[i].uri, &err);
        g_assert_no_error(err);
        GThread *t = g_thread_new("shut", shut_later, l);
        g_assert_null(channel_listener_accept(l, &err));
        g_assert_cmpstr(err->message, ==, cases[i].message);
        g_thread_join(t);
        channel_listener_free(l);
    }
    set_gate(true);
}

static void test_command(void)
{
    g_autoptr(GError) err = NULL;
    int cancel = eventfd(0, EFD_CLOEXEC);
    GThread *t = g_thread_new("cancel", fire_later, GINT_TO_POINTER(cancel));

    g_assert_null(connect_uri("exec:cat > /dev/null; : slow.test", cancel, &err));
    g_assert_nonnull(strstr(err->message, "was cancelled"));
    g_thread_join(t);
    close(cancel);
}

static gpointer shut_channel_later(gpointer c)
{
    g_usleep(50 * 1000);
    channel_shutdown(c);
    return NULL;
}

/* Whatever is waited for: room, what is written, the close. */
static void test_file(void)
{
    g_autofree uint8_t *mib = g_malloc0(1 << 20);

    set_gate(false);
    for (int what = 0; what < 3; what++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *path = NULL;
        bool ok;
        int fd = g_file_open_tmp("ferry-channel-XXXXXX", &path, NULL);
        Channel *c = channel_new_fd(fd, "file:slow", NULL);
        GThread *t = g_thread_new("shut", shut_channel_later, c);
        ok = channel_write_all(c, mib, 1 << 20, &err);      /* behind our back */
        for (int i = 0; what == 0 && ok; i++) {
            g_assert_cmpint(i, <, 8);   /* it takes no end of copies */
            ok = channel_write_all(c, mib, 1 << 20, &err);
        }
        if (what == 2) {    /* asked again and again, it says so, and may be closed then */
            g_assert_cmpint(channel_complete(c, 0, NULL), ==, CHANNEL_END_OPEN);
        }
        ok = ok && (what == 1 ? channel_settle(c, &err)
                                 : channel_complete(c, -1, &err) == CHANNEL_END_TAKEN);
        g_assert_false(ok);
        g_assert_nonnull(err);
        g_thread_join(t);
        channel_close(c, NULL);         /* leaves the thread behind */
        g_unlink(path);
    }
    set_gate(true);
}

/* Errors come later, but they come; and nothing is lost or out of order. */
static void test_file_behind(void)
{
    g_autofree uint8_t *mib = g_malloc0(1 << 20), *back = g_malloc(1 << 20);
    g_autoptr(GError) err = NULL;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("ferry-channel-XXXXXX", &path, NULL);
    Channel *c = channel_new_fd(dup(fd), "file:order", NULL);

    set_gate(true);
    for (int i = 0; i < 16; i++) {
        memset(mib, 'a' + i, 1 << 20);
        g_assert_true(channel_write_all(c, mib, (1 << 20) - (i & 3), NULL));
        g_assert_true(channel_pwrite_all(c, &i, sizeof(i), (64 << 20) + 8 * i, NULL));
    }
    g_assert_true(channel_settle(c, NULL));
    g_assert_cmpint(lseek(channel_fd(c), 0, SEEK_CUR), ==, (16 << 20) - 4 * 6);
    g_assert_cmpint(channel_complete(c, -1, &err), ==, CHANNEL_END_TAKEN);
    g_assert_true(channel_close(c, NULL));
    for (int i = 0, at = 0; i < 16; at += (1 << 20) - (i & 3), i++) {
        int number = -1;
        memset(mib, 'a' + i, 1 << 20);
        g_assert_cmpint(pread(fd, back, (1 << 20) - (i & 3), at), ==, (1 << 20) - (i & 3));
        g_assert_cmpmem(back, (1 << 20) - (i & 3), mib, (1 << 20) - (i & 3));
        g_assert_cmpint(pread(fd, &number, sizeof(number), (64 << 20) + 8 * i), ==, 4);
        g_assert_cmpint(number, ==, i);
    }
    close(fd);
    g_unlink(path);
}

/* Who is left behind is counted: a server that never answers does not take all threads there are. */
static void test_limit(void)
{
    g_autoptr(GError) err = NULL;
    int cancel = eventfd(1, EFD_CLOEXEC);
    unsigned left = 0;

    set_gate(false);
    while (left <= BOUNDED_LOST_MAX && bounded_may_start(NULL)) {
        g_assert_null(connect_uri("tcp:good.slow.test:1", cancel, NULL));
        left++;
    }
    g_assert_cmpuint(left, <=, BOUNDED_LOST_MAX);
    g_assert_cmpuint(left, >=, BOUNDED_LOST_MAX - 3);   /* other tests' may not be back yet */
    g_assert_null(connect_uri("tcp:good.slow.test:1", -1, &err));   /* would wait for ever */
    g_assert_nonnull(strstr(err->message, "does not answer: 32 earlier calls wait for it still"));
    set_gate(true);
    for (int i = 0; i < 3000 && !bounded_may_start(NULL); i++) {
        g_usleep(10000);
    }
    g_assert_true(bounded_may_start(NULL));
    close(cancel);
}

/* ---- a peer that is there and silent ---- */

static gpointer read_one(gpointer opaque)
{
    GError *err = NULL;
    char byte;

    channel_read(opaque, &byte, 1, &err);
    return err;
}

static void pair_new(Channel *c[2])
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    c[0] = channel_new_fd(fds[0], "here", NULL);
    c[1] = channel_new_fd(fds[1], "there", NULL);
}

/* Whoever reads, and whoever finds no room to write, gives up; who was never told to waits. */
static void test_patience(void)
{
    g_autoptr(GError) read_err = NULL, write_err = NULL;
    Channel *c[2];

    pair_new(c);
    g_assert_cmpint(channel_heard_us(c[0]), ==, 0);
    channel_set_patience(c[0], 200);
    GThread *reader = g_thread_new("reader", read_one, c[0]);
    fill_until_error(c[0], &write_err);
    read_err = g_thread_join(reader);
    g_assert_nonnull(strstr(read_err->message, "'here' has given no sign of life for 0.2 s"));
    g_assert_nonnull(strstr(write_err->message, "'here' has given no sign of life for 0.2 s"));
    channel_close(c[0], NULL);
    channel_close(c[1], NULL);
}

static gpointer drain_slowly(gpointer opaque)
{
    char block[65536];

    while (channel_read(opaque, block, sizeof(block), NULL) > 0) {
        g_usleep(2000);
    }
    return NULL;
}

/* One who takes what is written lives, whatever he says; and so does one who speaks. */
static void test_patience_lives(void)
{
    g_autoptr(GError) err = NULL;
    Channel *c[2];

    pair_new(c);
    channel_set_patience(c[0], 4000);
    GThread *peer = g_thread_new("peer", drain_slowly, c[1]);
    fill_until_error(c[0], &err);
    g_assert_no_error(err);
    channel_end_writing(c[0]);
    g_thread_join(peer);
    g_assert_true(channel_write_all(c[1], "x", 1, NULL));
    g_assert_null(read_one(c[0]));
    g_assert_cmpint(channel_heard_us(c[0]), >, 0);
    channel_close(c[0], NULL);
    channel_close(c[1], NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/channel-slow/connect", test_connect);
    g_test_add_func("/channel-slow/listen", test_listen);
    g_test_add_func("/channel-slow/listen-late", test_listen_late);
    g_test_add_func("/channel-slow/numbers", test_numbers);
    g_test_add_func("/channel-slow/listen-elsewhere", test_listen_elsewhere);
    g_test_add_func("/channel-slow/command", test_command);
    g_test_add_func("/channel-slow/file", test_file);
    g_test_add_func("/channel-slow/file-behind", test_file_behind);
    g_test_add_func("/channel-slow/limit", test_limit);
    g_test_add_func("/channel-slow/patience", test_patience);
    g_test_add_func("/channel-slow/patience-lives", test_patience_lives);
    return g_test_run();
}
