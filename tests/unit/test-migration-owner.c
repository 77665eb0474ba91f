/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose guest is it? Migrations that are cancelled, and connections that end,
 * at moments when both sides might have it: exactly one may run it, and where
 * that cannot be known nobody guesses.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "two-machines.h"

/* ---- cancel ---- */

/* A peer that accepts and then never reads. */
static int deaf_peer(Fixture *f)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(a.sun_path, f->unix_uri + strlen("unix:"), sizeof(a.sun_path));
    g_assert_cmpint(bind(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(listen(fd, 100), ==, 0);
    return fd;
}

static void cancel(Fixture *f)
{
    int64_t begin = g_get_monotonic_time();

    tiny_lock(f->src);
    migration_cancel(f->src->machine.migration, NULL);
    tiny_unlock(f->src);
    wait_out(f, MIGRATION_STATUS_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 2 * G_USEC_PER_SEC);
}

static void test_cancel_blocked(Fixture *f, gconstpointer unused)
{
    int fd = deaf_peer(f);

    start_guest(f->src);
    for (int i = 0; i < 10; i++) {
        start(f->src, f->unix_uri);
        g_usleep(i * 3000);     /* in setup, in a pass, in a blocked write */
        cancel(f);
        assert_source_unharmed(f, RUN_STATE_RUNNING);
    }
    for (int i = 0; i < 20; i++) {  /* at once, as the monitors do (monitor/patience.c) */
        while (migration_is_cancelling(f->src->machine.migration)) {
            g_usleep(100);
        }
        start(f->src, f->unix_uri);
        tiny_lock(f->src);
        migration_cancel(f->src->machine.migration, NULL);
        tiny_unlock(f->src);
    }
    wait_out(f, MIGRATION_STATUS_CANCELLED);
    close(fd);
    g_autofree char *sock = g_build_filename(f->dir, "sock", NULL);
    g_unlink(sock);
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_same_ram(f);
}

static void test_cancel_while_paused(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    set_cap(f->src, "pause-before-switchover");
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_PRE_SWITCHOVER);
    cancel(f);
    assert_source_unharmed(f, RUN_STATE_RUNNING);
    assert_events(f->src, "RESUME MIGRATION:setup PASS:1 MIGRATION:active PASS:2 STOP "
                          "MIGRATION:pre-switchover MIGRATION:cancelling RESUME "
                          "MIGRATION:cancelled");
    wait_in(f, MIGRATION_STATUS_FAILED);
}

/* The destination has everything and says nothing: the source still has the guest. */
static void test_cancel_before_verdict(Fixture *f, gconstpointer unused)
{
    g_autofree char *uri = g_strdup("exec:cat > /dev/null; sleep 100");

    start_guest(f->src);
    set_cap(f->src, "return-path");
    start(f->src, uri);
    while (runstate_get(f->src->machine.runstate) != RUN_STATE_FINISH_MIGRATE) {
        g_usleep(1000);
    }
    g_usleep(100000);
    cancel(f);
    assert_source_unharmed(f, RUN_STATE_RUNNING);
}

/* ---- whose guest is it? ---- */

/* A wire between the two. It holds the destination's verdict back until it is told what to do. */
typedef struct Wire {
    int listener, src, dst;
    char path[108];
    GThread *way, *way_back;
    GMutex lock;
    GCond told;
    bool held;              /* the verdict is here */
    enum { WIRE_HOLDS, WIRE_CUTS, WIRE_DELIVERS } order;
} Wire;

static gpointer wire_way(gpointer opaque)
{
    Wire *w = opaque;
    char buf[65536];
    ssize_t n;

    while ((n = read(w->src, buf, sizeof(buf))) > 0) {
        for (ssize_t done = 0, m; done < n; done += m) {
            m = send(w->dst, buf + done, n - done, MSG_NOSIGNAL);
            if (m < 0) {
                return NULL;
            }
        }
    }
    shutdown(w->dst, SHUT_WR);
    return NULL;
}

static bool wire_wait(Wire *w)
{
    g_mutex_lock(&w->lock);
    w->held = true;
    g_cond_broadcast(&w->told);
    while (w->order == WIRE_HOLDS) {
        g_cond_wait(&w->told, &w->lock);
    }
    bool deliver = w->order == WIRE_DELIVERS;
    g_mutex_unlock(&w->lock);
    return deliver;
}

/* Whole messages: u16 type, u16 length, data; 1 is the verdict. */
static gpointer wire_way_back(gpointer opaque)
{
    Wire *w = opaque;
    uint8_t m[4 + 512];

    while (recv(w->dst, m, 4, MSG_WAITALL) == 4) {
        size_t len = m[2] << 8 | m[3];
        if (len > 512 || recv(w->dst, m + 4, len, MSG_WAITALL) != (ssize_t)len ||
            ((m[0] << 8 | m[1]) == 1 && !wire_wait(w)) ||
            send(w->src, m, 4 + len, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    shutdown(w->src, SHUT_RDWR);
    shutdown(w->dst, SHUT_RDWR);
    return NULL;
}

static int unix_socket(struct sockaddr_un *a, const char *path)
{
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    g_strlcpy(a->sun_path, path, sizeof(a->sun_path));
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

/* Moves the running guest as far as to the verdict. */
static void go_to_verdict(Fixture *f, Wire *w)
{
    struct sockaddr_un a;

    *w = (Wire){ .order = WIRE_HOLDS };
    g_snprintf(w->path, sizeof(w->path), "%s/wire", f->dir);
    g_autofree char *uri = g_strconcat("unix:", w->path, NULL);
    w->listener = unix_socket(&a, w->path);
    g_assert_cmpint(bind(w->listener, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(listen(w->listener, 1), ==, 0);
    start_guest(f->src);
    set_cap(f->src, "return-path");
    listen_on(f->dst, f->unix_uri);
    start(f->src, uri);
    w->src = accept(w->listener, NULL, NULL);
    w->dst = unix_socket(&a, f->unix_uri + strlen("unix:"));
    g_assert_cmpint(connect(w->dst, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    w->way = g_thread_new("way", wire_way, w);
    w->way_back = g_thread_new("way-back", wire_way_back, w);
    g_mutex_lock(&w->lock);
    while (!w->held) {
        g_cond_wait(&w->told, &w->lock);
    }
    g_mutex_unlock(&w->lock);
    wait_in(f, MIGRATION_STATUS_COMPLETED);     /* it has said yes, and runs it */
    assert_run_state(f->dst, RUN_STATE_RUNNING);
}

static void tell_wire(Wire *w, int order)
{
    g_mutex_lock(&w->lock);
    w->order = order;
    g_cond_broadcast(&w->told);
    g_mutex_unlock(&w->lock);
}

static void wire_clear(Wire *w)
{
    tell_wire(w, WIRE_CUTS);
    g_thread_join(w->way_back);
    g_thread_join(w->way);
    close(w->src);
    close(w->dst);
    close(w->listener);
    g_unlink(w->path);
}

static void assert_in_doubt(Fixture *f, MigrationStatus status, const char *why)
{
    wait_out(f, status);
    assert_run_state(f->src, RUN_STATE_PAUSED);
    g_autofree char *got = out_error(f);
    g_assert_nonnull(strstr(got, "the destination may run it"));
    g_assert_nonnull(strstr(got, why));
    g_autofree char *events = tiny_events(f->src);
    g_assert_nonnull(strstr(events, "X_MIGRATION_OWNER_UNKNOWN"));  /* before the state is final */
    g_assert_null(strstr(strstr(events, "STOP"), "RESUME"));
    tiny_lock(f->src);
    g_assert_true(vm_start(f->src->machine.runstate, NULL));    /* cont takes it back */
    tiny_unlock(f->src);
}

/* The yes is lost: the guest runs there and stays paused here. */
static void test_verdict_lost(Fixture *f, gconstpointer unused)
{
    Wire w;

    go_to_verdict(f, &w);
    tell_wire(&w, WIRE_CUTS);
    assert_in_doubt(f, MIGRATION_STATUS_FAILED, "What happened: ");
    wire_clear(&w);
}

static void test_verdict_late(Fixture *f, gconstpointer unused)
{
    Wire w;

    set_param(f->src, "x-verdict-timeout", "3000");
    go_to_verdict(f, &w);
    assert_in_doubt(f, MIGRATION_STATUS_FAILED, "x-verdict-timeout");
    wire_clear(&w);
}

/* A cancel while the yes travels: it is read all the same. */
static void test_cancel_meets_verdict(Fixture *f, gconstpointer unused)
{
    Wire w;

    go_to_verdict(f, &w);
    tiny_lock(f->src);
    migration_cancel(f->src->machine.migration, NULL);
    tiny_unlock(f->src);
    g_assert_cmpint(migration_state_get(&f->src->machine.migration->out_state), ==,
                    MIGRATION_STATUS_CANCELLING);
    tell_wire(&w, WIRE_DELIVERS);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    assert_run_state(f->src, RUN_STATE_POSTMIGRATE);
    wire_clear(&w);
}

static void test_cancel_without_verdict(Fixture *f, gconstpointer unused)
{
    Wire w;

    set_param(f->src, "x-verdict-timeout", "3000");
    go_to_verdict(f, &w);
    tiny_lock(f->src);
    migration_cancel(f->src->machine.migration, NULL);
    tiny_unlock(f->src);
    assert_in_doubt(f, MIGRATION_STATUS_CANCELLED, "What happened: ");
    wire_clear(&w);
}

/* ---- connections that end by themselves ---- */

/* Only the way back is cut; the source, which waits for something else, notices all the same. */
static void test_way_back_cut(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    set_cap(f->src, "return-path");
    set_cap(f->src, "pause-before-switchover");
    start(f->src, "exec:exec >&-; cat > /dev/null");
    wait_out(f, MIGRATION_STATUS_FAILED);
    g_autofree char *got = out_error(f);
    g_assert_nonnull(strstr(got, "Unexpected end after 0 of 4 bytes"));
    assert_source_unharmed(f, RUN_STATE_RUNNING);
}

static void yank(Fixture *f)
{
    tiny_lock(f->src);
    g_assert_true(migration_may_yank(f->src->machine.migration));
    migration_yank(f->src->machine.migration);
    tiny_unlock(f->src);
    wait_out(f, MIGRATION_STATUS_FAILED);
    g_assert_false(migration_may_yank(f->src->machine.migration));
    assert_source_unharmed(f, RUN_STATE_RUNNING);
}

/* In setup, in a pass, in a blocked write, and while it waits for migrate-continue. */
static void test_yank(Fixture *f, gconstpointer unused)
{
    int fd = deaf_peer(f);

    start_guest(f->src);
    g_assert_false(migration_may_yank(f->src->machine.migration));
    for (int i = 0; i < 5; i++) {
        start(f->src, f->unix_uri);
        g_usleep(i * 5000);
        yank(f);
    }
    close(fd);
    g_autofree char *sock = g_build_filename(f->dir, "sock", NULL);
    g_unlink(sock);
    set_cap(f->src, "return-path");
    set_cap(f->src, "pause-before-switchover");
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_PRE_SWITCHOVER);
    yank(f);
    wait_in(f, MIGRATION_STATUS_FAILED);
}

/* The link stalls in the middle of a device section: nobody may have to wait for the big lock. */
static void test_stalled_device(Fixture *f, gconstpointer unused)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    g_autofree char *path = g_build_filename(f->dir, "file", NULL);
    g_autofree char *bytes = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    gsize len;

    start(f->src, f->file_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    char *cut = (char *)memmem(bytes, len, "timer", 5) + 20;
    listen_on(f->dst, f->unix_uri);
    g_strlcpy(a.sun_path, f->unix_uri + strlen("unix:"), sizeof(a.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    for (char *p = bytes; p < cut;) {
        ssize_t n = write(fd, p, cut - p);
        g_assert_cmpint(n, >, 0);
        p += n;
    }
    g_usleep(200000);
    int64_t begin = g_get_monotonic_time();
    tiny_lock(f->dst);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, G_USEC_PER_SEC);
    tiny_unlock(f->dst);
    g_assert_cmpint(write(fd, cut, bytes + len - cut), ==, bytes + len - cut);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_same_ram(f);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("cancel/blocked", DIALECT_QEMU_7_2, test_cancel_blocked);
    ADD("cancel/paused", DIALECT_QEMU_7_2, test_cancel_while_paused);
    ADD("cancel/before-verdict", DIALECT_QEMU_10_0, test_cancel_before_verdict);
    ADD("cancel/meets-verdict", DIALECT_QEMU_10_0, test_cancel_meets_verdict);
    ADD("cancel/without-verdict", DIALECT_QEMU_7_2, test_cancel_without_verdict);
    ADD("verdict/lost", DIALECT_QEMU_7_2, test_verdict_lost);
    ADD("verdict/late", DIALECT_QEMU_10_0, test_verdict_late);
    ADD("way-back-cut", DIALECT_QEMU_7_2, test_way_back_cut);
    ADD("yank", DIALECT_QEMU_7_2, test_yank);
    ADD("stalled-device", DIALECT_QEMU_7_2, test_stalled_device);
    return g_test_run();
}
