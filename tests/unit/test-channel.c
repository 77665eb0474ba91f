/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/channel: sockets; any kind refused, broken, shut down while blocked; the texts. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "channel-fixture.h"
#include "migration/channel/channel-private.h"

static char *dir;

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

/* The listener's port with another host in front. */
static char *uri_with_port(ChannelListener *l, const char *host)
{
    g_autofree char *bound = channel_listener_address(l);
    return g_strdup_printf("tcp:%s%s", host, strrchr(bound, ':'));
}

/* ---- sockets ---- */

static bool tcp_pair(const char *listen_on, const char *connect_to)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *l = listen_uri(listen_on, &err);
    if (!l) {
        return false;   /* no such protocol on this host */
    }
    g_autofree char *uri = uri_with_port(l, connect_to);
    Channel *out = connect_uri(uri, -1, &err);
    g_assert_no_error(err);
    Channel *in = channel_listener_accept(l, &err);
    g_assert_no_error(err);
    assert_says(out, in, "to the destination");
    assert_says(in, out, "and back");
    g_assert_true(channel_has_return_path(out) && channel_has_return_path(in));
    g_assert_false(channel_is_seekable(out));
    g_assert_cmpint(channel_fd(out), ==, -1);
    g_assert_cmpstr(channel_name(out), ==, uri);
    g_assert_true(channel_close(out, NULL));
    char c;
    g_assert_cmpint(channel_read(in, &c, 1, NULL), ==, 0);
    g_assert_true(channel_close(in, NULL));
    channel_listener_free(l);
    return true;
}

static void test_tcp(void)
{
    g_assert_true(tcp_pair("tcp:127.0.0.1:0", "127.0.0.1"));
    g_assert_true(tcp_pair("tcp::0", "127.0.0.1"));
    g_assert_true(tcp_pair("tcp:0:0", "127.0.0.1"));
    if (!tcp_pair("tcp:[::1]:0", "[::1]")) {
        g_test_message("no IPv6 here: only IPv4 tried");
        return;
    }
    g_assert_true(tcp_pair("tcp::0", "[::1]"));         /* one wildcard serves both */
    g_assert_true(tcp_pair("tcp:[::]:0", "127.0.0.1"));
    ChannelListener *l = listen_uri("tcp:[::]:0,ipv6=on", NULL);
    g_autofree char *uri = uri_with_port(l, "127.0.0.1");
    g_assert_null(connect_uri(uri, -1, NULL));
    channel_listener_free(l);
}

static void test_localhost(void)
{
    struct addrinfo *found = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        g_test_skip("this host does not know the name localhost (no /etc/hosts?)");
        return;
    }
    freeaddrinfo(found);
    g_assert_true(tcp_pair("tcp:0.0.0.0:0", "localhost"));
    g_assert_true(tcp_pair("tcp:localhost:0", "localhost"));
}

static void test_unix(void)
{
    g_autofree char *path = path_of("sock"), *uri = g_strdup_printf("unix:%s", path);
    g_autoptr(GError) err = NULL;

    for (int i = 0; i < 2; i++) {
        ChannelListener *l = listen_uri(uri, &err);
        g_assert_no_error(err);
        Channel *out = connect_uri(uri, -1, &err), *in = channel_listener_accept(l, &err);
        g_assert_no_error(err);
        assert_says(out, in, "there");
        assert_says(in, out, "back");
        channel_close(in, NULL);
        channel_close(out, NULL);
        channel_listener_free(l);
        g_assert_cmpint(access(path, F_OK), ==, -1);
    }
}

static void test_refused(void)
{
    g_autofree char *sock = path_of("nobody"), *file = path_of("plain");
    g_autofree char *long_name = g_strnfill(120, 'x');
    g_assert_true(g_file_set_contents(file, "x", 1, NULL));
    const struct { char *uri, *message; } bad[] = {
        { g_strdup("tcp:127.0.0.1:1"), g_strdup("Failed to connect to '127.0.0.1:1': "
                                                "Connection refused: nobody listens there; is the "
                                                "destination started, with -incoming and this port?") },
        { g_strdup("tcp:127.0.0.1:nosuchservice"), g_strdup("address resolution failed for "
          "127.0.0.1:nosuchservice: Servname not supported for ai_socktype") },
        { g_strdup_printf("unix:%s", sock),
          g_strdup_printf("Failed to connect to '%s': No such file or directory: nobody listens there; is "
                          "the destination started, with -incoming and this path?", sock) },
        { g_strdup_printf("unix:%s", file),
          g_strdup_printf("Failed to connect to '%s': Connection refused: nobody listens there; is the "
                          "destination started, with -incoming and this path?", file) },
        { g_strdup_printf("unix:%s", long_name),
          g_strdup_printf("UNIX socket path '%s' is too long: Path must be less than 108 bytes",
                          long_name) },
        { g_strdup_printf("file:%s/no/x", dir),
          g_strdup_printf("Could not create '%s/no/x': No such file or directory", dir) },
        { g_strdup_printf("file:%s", dir),
          g_strdup_printf("Could not create '%s': Is a directory", dir) },
        { g_strdup("fd:foo"), g_strdup("Invalid file descriptor number 'foo'") },
        { g_strdup("fd:999"), g_strdup("File descriptor number '999' is not open: "
                                       "Bad file descriptor") },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(connect_uri(bad[i].uri, -1, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
        g_free(bad[i].uri);
        g_free(bad[i].message);
    }
}

static void test_listen_refused(void)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = uri_with_port(l, "127.0.0.1");
    g_assert_null(listen_uri(uri, &err));
    g_assert_nonnull(strstr(err->message, "Address already in use"));
    g_assert_nonnull(strstr(err->message, uri + 4));
    channel_listener_free(l);
    g_clear_error(&err);
    g_assert_null(listen_uri("tcp:192.0.2.1:4444", &err));
    g_assert_cmpstr(err->message, ==, "Failed to bind socket to '192.0.2.1:4444': "
                                      "Cannot assign requested address");
    g_clear_error(&err);
    g_autofree char *plain = path_of("plain"), *plain_uri = g_strdup_printf("unix:%s", plain);
    g_assert_true(g_file_set_contents(plain, "x", 1, NULL));
    g_assert_null(listen_uri(plain_uri, &err));
    g_assert_nonnull(strstr(err->message, "Address already in use"));
    g_assert_cmpint(access(plain, F_OK), ==, 0);    /* somebody's file was not removed */
    g_clear_error(&err);
    g_autofree char *missing = g_strdup_printf("file:%s/missing", dir);
    g_assert_null(incoming_uri(missing, &err));
    g_autofree char *message = g_strdup_printf("Could not open '%s': No such file or directory",
                                               missing + 5);
    g_assert_cmpstr(err->message, ==, message);
}

static gpointer fire_later(gpointer fd)
{
    uint64_t one = 1;
    g_usleep(50 * 1000);
    g_assert_cmpint(write(GPOINTER_TO_INT(fd), &one, 8), ==, 8);
    return NULL;
}

/* A peer whose accept queue is full never answers: only cancelling ends the wait. */
static void cancel_connect(const char *uri)
{
    int cancel = eventfd(0, EFD_CLOEXEC);
    Channel *queued[64] = { 0 };
    g_autoptr(GError) err = NULL;
    GThread *t = g_thread_new("cancel", fire_later, GINT_TO_POINTER(cancel));
    gint64 start = g_get_monotonic_time();

    for (int i = 0; i < 64; i++) {
        queued[i] = connect_uri(uri, cancel, &err);
        if (!queued[i]) {
            break;
        }
    }
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, "Operation was cancelled"));
    g_assert_true(g_str_has_prefix(err->message, "Failed to connect to '"));
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
    g_thread_join(t);
    for (int i = 0; i < 64 && queued[i]; i++) {
        channel_close(queued[i], NULL);
    }
    close(cancel);
}

static void test_cancel_connect(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t len = sizeof(in);
    g_autofree char *path = path_of("full"), *unix_uri = g_strdup_printf("unix:%s", path);
    int fd = socket(AF_INET, SOCK_STREAM, 0);   /* not ours: its queue is short */

    g_assert_cmpint(bind(fd, (struct sockaddr *)&in, len), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&in, &len), ==, 0);
    g_autofree char *uri = g_strdup_printf("tcp:127.0.0.1:%u", ntohs(in.sin_port));
    cancel_connect(uri);
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(un.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    cancel_connect(unix_uri);
    close(fd);
}

static char *addresses_of(ChannelListener *l)
{
    g_autoptr(GPtrArray) list = channel_listener_addresses(l);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++) {
        g_autofree char *one = channel_address_to_string(list->pdata[i]);
        g_string_append_printf(text, "%s%s", i ? " " : "", one);
    }
    return g_string_free(text, FALSE);
}

static unsigned port_of(ChannelListener *l)
{
    g_autofree char *bound = channel_listener_address(l);
    return atoi(strrchr(bound, ':') + 1);
}

/* What is told is what is listened on, not what was typed. */
static void test_addresses(void)
{
    g_autofree char *path = path_of("told"), *unix_uri = g_strdup_printf("unix:%s", path);
    ChannelListener *l = listen_uri(unix_uri, NULL);
    g_autofree char *told = addresses_of(l);
    g_assert_cmpstr(told, ==, unix_uri);
    channel_listener_free(l);
    for (int i = 0; i < 3; i++) {
        static const char *const uris[] = { "tcp:127.0.0.1:0", "tcp:0.0.0.0:0", "tcp::0,ipv4=on" };
        l = listen_uri(uris[i], NULL);
        g_autofree char *want = g_strdup_printf("tcp:%s:%u,ipv4=on", i ? "0.0.0.0" : "127.0.0.1",
                                                port_of(l));
        g_autofree char *got = addresses_of(l);
        g_assert_cmpstr(got, ==, want);
        channel_listener_free(l);
    }
    l = listen_uri("tcp::0", NULL);     /* one port for both */
    unsigned port = port_of(l);
    g_autofree char *both = g_strdup_printf("tcp:[::]:%u,ipv6=on tcp:0.0.0.0:%u,ipv4=on", port, port);
    g_autofree char *four = g_strdup_printf("tcp:0.0.0.0:%u,ipv4=on", port);
    g_autofree char *got = addresses_of(l);
    g_assert_true(g_str_equal(got, both) || g_str_equal(got, four));
    channel_listener_free(l);
    l = listen_uri("exec:true", NULL);
    g_autofree char *none = addresses_of(l);
    g_assert_cmpstr(none, ==, "");
    channel_listener_free(l);
}

/* The first port of the range that is free. */
static void test_port_range(void)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *taken = listen_uri("tcp:127.0.0.1:0", NULL), *next = NULL;
    unsigned port = port_of(taken), last = MIN(port + 20, 65535);
    g_autofree char *range = g_strdup_printf("tcp:127.0.0.1:%u,to=%u", port, last);
    g_autofree char *none = g_strdup_printf("tcp:127.0.0.1:%u,to=%u", port, port);

    if (last > port) {
        next = listen_uri(range, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(port_of(next), >, port);
        g_assert_cmpuint(port_of(next), <=, last);
    }
    g_assert_null(listen_uri(none, &err));
    g_assert_nonnull(strstr(err->message, "Address already in use"));
    if (next && port_of(next) == port + 1) {
        g_autofree char *full = g_strdup_printf("tcp:127.0.0.1:%u,to=%u", port, port + 1);
        g_autofree char *said = g_strdup_printf("Failed to find an available port from %u to %u "
                                                "of '127.0.0.1'", port, port + 1);

        g_clear_error(&err);
        g_assert_null(listen_uri(full, &err));
        g_assert_true(g_str_has_prefix(err->message, said));
    }
    channel_listener_free(taken);
    channel_listener_free(next);
}

static void test_options(void)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0,numeric", &err);
    g_assert_no_error(err);
    g_autofree char *uri = g_strdup_printf("tcp:127.0.0.1:%u,numeric=on,keep-alive=off", port_of(l));
    Channel *out = connect_uri(uri, -1, &err), *in = channel_listener_accept(l, &err);
    assert_says(out, in, "numbers");
    channel_close(out, NULL);
    channel_close(in, NULL);
    g_assert_null(connect_uri("tcp:localhost:1,numeric=on", -1, &err));
    g_assert_nonnull(strstr(err->message, "address resolution failed for localhost:1"));
    g_clear_error(&err);
    g_assert_null(listen_uri("tcp:localhost:0,numeric=on", &err));
    g_clear_error(&err);
    g_assert_null(connect_uri("tcp:127.0.0.1:1,ipv4=off", -1, &err));   /* no such address there */
    channel_listener_free(l);
    g_clear_error(&err);
    l = listen_uri("tcp:127.0.0.1:0,mptcp=on", &err);
    if (!l) {
        g_assert_nonnull(strstr(err->message, "socket"));
        g_test_message("no multipath TCP here: %s", err->message);
        return;
    }
    g_autofree char *multi = g_strdup_printf("tcp:127.0.0.1:%u,mptcp=on", port_of(l));
    out = connect_uri(multi, -1, &err);
    in = channel_listener_accept(l, &err);
    assert_says(out, in, "many paths");
    channel_close(out, NULL);
    channel_close(in, NULL);
    channel_listener_free(l);
}

/* Many may knock; who is not let in is sent away with the listener. */
static void test_several_peers(void)
{
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = uri_with_port(l, "127.0.0.1");
    Channel *out[40], *in[2];
    char byte;

    for (int i = 0; i < 40; i++) {
        out[i] = connect_uri(uri, -1, NULL);
        g_assert_nonnull(out[i]);
    }
    for (int i = 0; i < 2; i++) {
        in[i] = channel_listener_accept(l, NULL);
        assert_says(out[i], in[i], "hello");
    }
    channel_listener_free(l);
    for (int i = 2; i < 40; i++) {
        g_assert_cmpint(channel_read(out[i], &byte, 1, NULL), <=, 0);
    }
    for (int i = 0; i < 40; i++) {
        channel_close(out[i], NULL);
    }
    channel_close(in[0], NULL);
    channel_close(in[1], NULL);
}

static gpointer shut_listener(gpointer l)
{
    g_usleep(30 * 1000);
    channel_listener_shutdown(l);
    return NULL;
}

static void test_cancel_accept(void)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    GThread *t = g_thread_new("shut", shut_listener, l);
    g_assert_null(channel_listener_accept(l, &err));
    g_assert_true(g_str_has_suffix(err->message, "was cancelled"));
    g_thread_join(t);
    channel_listener_free(l);
}

/* ---- breaking and shutting down ---- */

static void test_broken(void)
{
    g_autoptr(GError) err = NULL;
    int sv[2], pv[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    Channel *c = channel_new_fd(sv[0], "fd:s", NULL);
    close(sv[1]);
    fill_until_error(c, &err);
    g_assert_cmpstr(err->message, ==, "Unable to write to socket: Broken pipe");
    channel_close(c, NULL);

    g_clear_error(&err);
    g_assert_cmpint(pipe(pv), ==, 0);
    c = channel_new_fd(pv[1], "fd:p", NULL);
    close(pv[0]);
    fill_until_error(c, &err);
    g_assert_cmpstr(err->message, ==, "Unable to write to pipe: Broken pipe");
    g_assert_cmpint(channel_read(c, &sv, 1, NULL), ==, -1);
    channel_close(c, NULL);

    /* a peer that dies with unread data resets the connection */
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = uri_with_port(l, "127.0.0.1");
    Channel *out = connect_uri(uri, -1, NULL), *in = channel_listener_accept(l, NULL);
    g_assert_true(channel_write_all(out, "unread", 6, NULL));
    g_usleep(20 * 1000);
    channel_close(in, NULL);
    char byte;
    g_clear_error(&err);
    g_assert_cmpint(channel_read(out, &byte, 1, &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "Unable to read from socket: Connection reset by peer");
    channel_close(out, NULL);
    channel_listener_free(l);
}

/* The kernel gives up on a peer that does not acknowledge; seen here through its shortest timer. */
static void test_time_out(void)
{
    g_autoptr(GError) err = NULL;
    ChannelListener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = uri_with_port(l, "127.0.0.1");
    Channel *out = connect_uri(uri, -1, NULL), *in = channel_listener_accept(l, NULL);
    int fd = -1, ms = 1, one = 1;

    for (int i = 3; i < 64 && fd < 0; i++) {    /* ours is the one that is connected to the port */
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        if (getpeername(i, (struct sockaddr *)&peer, &len) == 0 && peer.sin_family == AF_INET &&
            ntohs(peer.sin_port) == (unsigned)atoi(strrchr(uri, ':') + 1)) {
            fd = i;
        }
    }
    g_assert_cmpint(fd, >=, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof(one));
    fill_until_error(out, &err);    /* the window closes and is never opened again */
    g_assert_cmpstr(err->message, ==, "Unable to write to socket: Connection timed out");
    channel_close(out, NULL);
    channel_close(in, NULL);
    channel_listener_free(l);
}

/* From now on nothing that is sent to fd arrives, and nothing says so: a cut link. */
static void make_silent(int fd)
{
    struct sock_filter drop = { BPF_RET | BPF_K, 0, 0, 0 };
    struct sock_fprog program = { 1, &drop };

    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), ==, 0);
}

/* A connection whose other end is a bare socket, *peer. */
static Channel *connect_to_bare(int *peer)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&a, len), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&a, &len), ==, 0);
    g_autofree char *uri = g_strdup_printf("tcp:127.0.0.1:%u", ntohs(a.sin_port));
    Channel *c = connect_uri(uri, -1, NULL);
    *peer = accept(fd, NULL, NULL);
    g_assert_cmpint(*peer, >=, 0);
    close(fd);
    return c;
}

static void test_silent_write(void)
{
    ChannelLiveness l = { .silence_ms = 1000 };
    g_autoptr(GError) err = NULL;
    int peer;
    Channel *c = connect_to_bare(&peer);

    g_assert_true(channel_set_liveness(c, &l));
    make_silent(peer);
    fill_until_error(c, &err);
    g_assert_nonnull(strstr(err->message, "nothing was heard from 'tcp:127.0.0.1:"));
    channel_close(c, NULL);
    close(peer);
}

static void test_silent_read(void)
{
    ChannelLiveness l = { .idle_s = 1, .interval_s = 1, .probes = 1 };
    g_autoptr(GError) err = NULL;
    char byte;
    int peer;
    Channel *c = connect_to_bare(&peer);

    g_assert_true(channel_set_liveness(c, &l));
    make_silent(peer);
    g_assert_cmpint(channel_read(c, &byte, 1, &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "Unable to read from socket: Connection timed out");
    channel_close(c, NULL);
    close(peer);
}

/* Something was sent that nobody confirms: then the kernel does not probe. */
static void test_silent_answer(void)
{
    ChannelLiveness l = { .idle_s = 1, .interval_s = 1, .probes = 1, .silence_ms = 1000 };
    g_autoptr(GError) err = NULL;
    char byte = 0;
    int peer;
    Channel *c = connect_to_bare(&peer);

    g_assert_true(channel_set_liveness(c, &l));
    make_silent(peer);
    g_assert_true(channel_write_all(c, &byte, 1, NULL));
    g_assert_cmpint(channel_read(c, &byte, 1, &err), ==, -1);
    g_assert_nonnull(strstr(err->message, "nothing was heard from 'tcp:127.0.0.1:"));
    channel_close(c, NULL);
    close(peer);
}

/* Whoever connects to us may vanish without a word, too. */
static void test_accepted_alive(void)
{
    static const struct {
        const char *uri;
        int on;
    } cases[] = { { "tcp:127.0.0.1:0", 1 }, { "tcp:127.0.0.1:0,keep-alive=off", 0 } };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        ChannelAddress *a = channel_address_parse(cases[i].uri, NULL);
        ChannelListener *listener = channel_listen(a, NULL);
        g_autofree char *bound = channel_listener_address(listener);
        Channel *out = connect_uri(bound, -1, NULL);
        Channel *in = channel_listener_accept(listener, NULL);
        int on = -1;
        socklen_t len = sizeof(on);

        g_assert_nonnull(in);
        g_assert_cmpint(getsockopt(in->rfd, SOL_SOCKET, SO_KEEPALIVE, &on, &len), ==, 0);
        g_assert_cmpint(on, ==, cases[i].on);
        g_assert_cmpint(in->silence_ms, ==, cases[i].on ? 60000 : 0);
        channel_close(in, NULL);
        channel_close(out, NULL);
        channel_listener_free(listener);
        channel_address_free(a);
    }
}

static gpointer read_all_later(gpointer fd)
{
    g_autofree char *buf = g_malloc(1 << 20);

    g_usleep(2500 * 1000);
    while (read(GPOINTER_TO_INT(fd), buf, 1 << 20) > 0) {
        /* the next */
    }
    return NULL;
}

/* A peer that takes its time is not silent: its kernel answers. */
static void test_slow_reader(void)
{
    ChannelLiveness l = { .idle_s = 1, .interval_s = 1, .probes = 1, .silence_ms = 1000 };
    g_autoptr(GError) err = NULL;
    int peer;
    Channel *c = connect_to_bare(&peer);

    g_assert_true(channel_set_liveness(c, &l));
    GThread *t = g_thread_new("read", read_all_later, GINT_TO_POINTER(peer));
    fill_until_error(c, &err);
    g_assert_no_error(err);
    channel_close(c, NULL);
    g_thread_join(t);
    close(peer);
    int sv[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    c = channel_new_fd(sv[0], "fd:s", NULL);
    g_assert_false(channel_set_liveness(c, &l));
    channel_close(c, NULL);
    close(sv[1]);
}

typedef struct Filling {
    Channel *c;
    uint64_t taken;     /* atomic */
} Filling;

static gpointer fill_by_pages(gpointer opaque)
{
    Filling *f = opaque;
    char page[4096] = "";

    while (channel_write_all(f->c, page, sizeof(page), NULL)) {
        __atomic_fetch_add(&f->taken, sizeof(page), __ATOMIC_RELAXED);
    }
    return NULL;
}

/* How much goes into a channel at whose other end nobody reads. */
static uint64_t bytes_taken(bool keep_short)
{
    int peer;
    Filling f = { .c = connect_to_bare(&peer) };
    uint64_t before = 1;

    if (keep_short) {
        channel_keep_queue_short(f.c);
    }
    GThread *t = g_thread_new("fill", fill_by_pages, &f);
    for (uint64_t now = 0; now != before; now = __atomic_load_n(&f.taken, __ATOMIC_RELAXED)) {
        before = now;
        g_usleep(300 * 1000);
    }
    channel_shutdown(f.c);
    g_thread_join(t);
    channel_close(f.c, NULL);
    close(peer);
    return f.taken;
}

static void test_short_queue(void)
{
    uint64_t is_short = bytes_taken(true), is_not = bytes_taken(false);

    g_test_message("%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " bytes", is_short, is_not);
    g_assert_cmpuint(is_short, >, 0);
    g_assert_cmpuint(is_short, <, is_not / 2);
}

static gpointer shut_channel(gpointer c)
{
    g_usleep(30 * 1000);
    channel_shutdown(c);
    return NULL;
}

static void assert_shutdown_ends_read(Channel *c)
{
    char byte;
    g_autoptr(GError) err = NULL;
    GThread *t = g_thread_new("shut", shut_channel, c);
    g_assert_cmpint(channel_read(c, &byte, 1, &err), ==, -1);
    g_assert_nonnull(err);
    g_thread_join(t);
    g_clear_error(&err);
    g_assert_cmpint(channel_read(c, &byte, 1, &err), ==, -1);
    g_assert_true(g_str_has_suffix(err->message, "Channel was shut down"));
    channel_shutdown(c);
}

static void assert_shutdown_ends_write(Channel *c)
{
    g_autoptr(GError) err = NULL;
    GThread *t = g_thread_new("shut", shut_channel, c);
    fill_until_error(c, &err);
    g_assert_nonnull(err);
    g_thread_join(t);
    g_clear_error(&err);
    g_assert_false(channel_write_all(c, "x", 1, &err));
    g_assert_true(g_str_has_suffix(err->message, "Channel was shut down"));
}

static void test_shutdown(void)
{
    int sv[2], pv[2];
    for (int writing = 0; writing < 2; writing++) {
        void (*check)(Channel *) = writing ? assert_shutdown_ends_write
                                           : assert_shutdown_ends_read;
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
        Channel *c = channel_new_fd(sv[0], "fd:s", NULL);
        check(c);
        channel_close(c, NULL);
        close(sv[1]);

        g_assert_cmpint(pipe(pv), ==, 0);
        c = channel_new_fd(pv[writing], "fd:p", NULL);
        check(c);
        channel_close(c, NULL);
        close(pv[!writing]);

        gint64 start = g_get_monotonic_time();
        c = writing ? connect_uri("exec:sleep 100; true", -1, NULL)
                    : incoming_uri("exec:sleep 100; true", NULL);
        check(c);
        g_assert_true(channel_close(c, NULL));
        g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);

        g_autofree char *uri = g_strdup_printf("file:%s/shut", dir);
        c = connect_uri(uri, -1, NULL);
        channel_shutdown(c);
        g_assert_false(channel_write_all(c, "x", 1, NULL));
        channel_close(c, NULL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);       /* as main does, for pipes */
    g_test_add_func("/channel/tcp", test_tcp);
    g_test_add_func("/channel/localhost", test_localhost);
    g_test_add_func("/channel/unix", test_unix);
    g_test_add_func("/channel/refused", test_refused);
    g_test_add_func("/channel/listen-refused", test_listen_refused);
    g_test_add_func("/channel/cancel-connect", test_cancel_connect);
    g_test_add_func("/channel/addresses", test_addresses);
    g_test_add_func("/channel/port-range", test_port_range);
    g_test_add_func("/channel/options", test_options);
    g_test_add_func("/channel/several-peers", test_several_peers);
    g_test_add_func("/channel/cancel-accept", test_cancel_accept);
    g_test_add_func("/channel/broken", test_broken);
    g_test_add_func("/channel/time-out", test_time_out);
    g_test_add_func("/channel/silent-write", test_silent_write);
    g_test_add_func("/channel/silent-read", test_silent_read);
    g_test_add_func("/channel/silent-answer", test_silent_answer);
    g_test_add_func("/channel/accepted-alive", test_accepted_alive);
    g_test_add_func("/channel/slow-reader", test_slow_reader);
    g_test_add_func("/channel/short-queue", test_short_queue);
    g_test_add_func("/channel/shutdown", test_shutdown);
    return run_in_folder(&dir);
}
