/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole migrations between two tiny machines in this process: the two
 * stories, the order of events (migration-stream 5.1), what reaches the other side, and
 * that the guest is the source's again whatever goes wrong.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "../tiny-machine/tiny-machine.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

#define PAGE TARGET_PAGE_SIZE
#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct Fixture {
    TinyMachine *src, *dst;
    char *dir, *unix_uri, *file_uri;
} Fixture;

/*
 * The linker gives these the calls of source/: a size that is set while the
 * saver is being made, and the sizes that the saver is told afterwards.
 */
static Machine *resize_while_made;
static uint64_t told_size;

RamSaver *__real_ram_saver_new(RAMList *ram, DirtyLog *log, const RamSaveOptions *opt, GError **errp);
RamSaver *__wrap_ram_saver_new(RAMList *ram, DirtyLog *log, const RamSaveOptions *opt, GError **errp);
bool __real_ram_saver_set_cache_size(RamSaver *s, uint64_t bytes, GError **errp);
bool __wrap_ram_saver_set_cache_size(RamSaver *s, uint64_t bytes, GError **errp);

RamSaver *__wrap_ram_saver_new(RAMList *ram, DirtyLog *log, const RamSaveOptions *opt, GError **errp)
{
    MigrationParameters p = { .has_xbzrle_cache_size = true, .xbzrle_cache_size = 1 << 20 };

    if (resize_while_made) {
        g_assert_true(qmp_migrate_set_parameters(resize_while_made, &p, NULL));
    }
    return __real_ram_saver_new(ram, log, opt, errp);
}

bool __wrap_ram_saver_set_cache_size(RamSaver *s, uint64_t bytes, GError **errp)
{
    told_size = bytes;
    return __real_ram_saver_set_cache_size(s, bytes, errp);
}

static void fill(TinyMachine *t)
{
    guint32 seed = 1;

    for (size_t i = 0; i < ram_list_count(t->machine.ram); i++) {
        RAMBlock *b = ram_list_get(t->machine.ram, i);
        for (uint64_t page = 0; page < ram_block_pages(b); page++) {
            for (int j = 0; page % 3 && j < 64; j++) {
                seed = seed * 1664525 + 1013904223;
                b->host[page * PAGE + seed % PAGE] = seed >> 24;
            }
        }
    }
}

static void set_up_with(Fixture *f, StreamDialect dialect, uint64_t pages)
{
    f->dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    f->unix_uri = g_strdup_printf("unix:%s/sock", f->dir);
    f->file_uri = g_strdup_printf("file:%s/file", f->dir);
    f->src = tiny_machine_new("none", dialect, pages, 3);
    f->dst = tiny_machine_new("none", dialect, pages, 3);
    fill(f->src);
    virtual_clock_set_ns(f->src->machine.clock, 123456789);
    migration_options_set_global(f->src->machine.migration->options, "events", "on", NULL);
    migration_options_set_global(f->dst->machine.migration->options, "events", "on", NULL);
}

static void set_up(Fixture *f, gconstpointer dialect)
{
    set_up_with(f, GPOINTER_TO_INT(dialect), 300);
}

static void tear_down(Fixture *f, gconstpointer unused)
{
    tiny_machine_free(f->src);
    tiny_machine_free(f->dst);
    g_autofree char *sock = g_build_filename(f->dir, "sock", NULL);
    g_autofree char *file = g_build_filename(f->dir, "file", NULL);
    g_unlink(sock);
    g_unlink(file);
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f->unix_uri);
    g_free(f->file_uri);
}

static void set_cap(TinyMachine *t, const char *cap)
{
    g_assert_true(migration_options_set_global(t->machine.migration->options, cap, "on", NULL));
}

static void set_param(TinyMachine *t, const char *name, const char *value)
{
    g_assert_true(migration_options_set_parameter_text(t->machine.migration->options, name, value,
                                                       NULL));
}

static void listen_on(TinyMachine *t, const char *uri)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(t);
    if (runstate_get(t->machine.runstate) != RUN_STATE_INMIGRATE) {
        runstate_set(t->machine.runstate, RUN_STATE_INMIGRATE, &err);
    }
    migration_incoming_start(t->machine.migration, "defer", true, &err);
    migration_incoming(t->machine.migration, uri, false, &err);
    tiny_unlock(t);
    g_assert_no_error(err);
}

static void start(TinyMachine *t, const char *uri)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(t);
    migration_start(t->machine.migration, uri, &err);
    tiny_unlock(t);
    g_assert_no_error(err);
}

static void wait_for(MigrationState *s, MigrationStatus status)
{
    int64_t until = g_get_monotonic_time() + PATIENCE_US;

    while (migration_state_get(s) != status) {
        if (g_get_monotonic_time() > until) {
            g_error("still '%s' instead of '%s'", MigrationStatus_str(migration_state_get(s)),
                    MigrationStatus_str(status));
        }
        g_usleep(500);
    }
}

static void wait_out(Fixture *f, MigrationStatus status)
{
    wait_for(&f->src->machine.migration->out_state, status);
}

static void wait_in(Fixture *f, MigrationStatus status)
{
    wait_for(&f->dst->machine.migration->in_state, status);
}

static void assert_same_ram(Fixture *f)
{
    for (size_t i = 0; i < ram_list_count(f->src->machine.ram); i++) {
        RAMBlock *a = ram_list_get(f->src->machine.ram, i);
        RAMBlock *b = ram_list_get(f->dst->machine.ram, i);
        g_assert_cmpmem(a->host, a->used_length, b->host, b->used_length);
    }
}

static void assert_events(TinyMachine *t, const char *want)
{
    g_autofree char *got = tiny_events(t);
    g_assert_cmpstr(got, ==, want);
}

static char *out_error(Fixture *f)
{
    OutgoingView v;
    outgoing_view(f->src->machine.migration->outgoing, &v);
    char *text = g_strdup(v.error);
    outgoing_view_clear(&v);
    return text;
}

static void assert_run_state(TinyMachine *t, RunState want)
{
    g_assert_cmpstr(RunState_str(runstate_get(t->machine.runstate)), ==, RunState_str(want));
}

/* ---- what works ---- */

/* The captured order of a stopped guest, and everything that has to arrive. */
static void test_stopped(Fixture *f, gconstpointer dialect)
{
    bool d10 = GPOINTER_TO_INT(dialect) == DIALECT_QEMU_10_0;

    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_events(f->src, d10 ? "MIGRATION:setup PASS:1 MIGRATION:active MIGRATION:device PASS:2 "
                                "MIGRATION:completed"
                              : "MIGRATION:setup PASS:1 MIGRATION:active PASS:2 "
                                "MIGRATION:completed");
    assert_events(f->dst, "MIGRATION:setup MIGRATION:active X_MIGRATION_RECEIVED "
                  "MIGRATION:completed");
    assert_same_ram(f);
    g_assert_cmpint(virtual_clock_get_ns(f->dst->machine.clock), ==, 123456789);
    assert_run_state(f->src, RUN_STATE_POSTMIGRATE);
    assert_run_state(f->dst, RUN_STATE_PRELAUNCH);

    g_autoptr(GError) err = NULL;
    tiny_lock(f->src);
    g_assert_false(migration_start(f->src->machine.migration, f->unix_uri, &err));
    tiny_unlock(f->src);
    g_assert_cmpstr(err->message, ==,
                    "Can't migrate the vm that was paused due to previous migration");
}

static void start_guest(TinyMachine *t)
{
    tiny_lock(t);
    g_assert_true(vm_start(t->machine.runstate, NULL));
    tiny_unlock(t);
}

/* All steps were reached in their order, and the downtime ends where the destination said yes. */
static void assert_switchover_times(Fixture *f)
{
    SwitchoverTimes src, dst;
    OutgoingView v;

    migration_switchover_times(f->src->machine.migration, &src);
    migration_switchover_times(f->dst->machine.migration, &dst);
    for (SwitchoverStep step = 0; step < SWITCHOVER__MAX; step++) {
        bool first = step == SWITCHOVER_ASKED || step == SWITCHOVER_FIRST_DEVICE;
        const int64_t *us = step < SWITCHOVER_SOURCE__END ? src.us : dst.us;

        g_assert_cmpint(us[step], >=, first ? 1 : us[step - 1]);
    }
    g_assert_cmpint(src.us[SWITCHOVER_CONFIRMED], >=, dst.us[SWITCHOVER_LOADED]);
    outgoing_view(f->src->machine.migration->outgoing, &v);
    g_assert_cmpint(v.downtime_ms, ==,
                    (src.us[SWITCHOVER_CONFIRMED] - src.us[SWITCHOVER_ASKED]) / 1000);
    outgoing_view_clear(&v);
}

static void test_running(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    set_cap(f->src, "return-path");
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_events(f->src, "RESUME MIGRATION:setup PASS:1 MIGRATION:active PASS:2 STOP PASS:3 "
                          "MIGRATION:completed");
    assert_events(f->dst, "MIGRATION:setup MIGRATION:active RESUME X_MIGRATION_RECEIVED "
                  "MIGRATION:completed");
    assert_run_state(f->dst, RUN_STATE_RUNNING);
    g_assert_cmpint(virtual_clock_get_ns(f->dst->machine.clock), >=,
                    virtual_clock_get_ns(f->src->machine.clock));
    assert_same_ram(f);
    assert_switchover_times(f);
    /* The destination fails in its last step: libvirt lets the source go on. */
    start_guest(f->src);
}

static void do_continue(Fixture *f)
{
    g_autoptr(GError) err = NULL;

    tiny_lock(f->src);
    g_assert_false(outgoing_continue(f->src->machine.migration->outgoing, MIGRATION_STATUS_ACTIVE,
                                     &err));
    g_assert_cmpstr(err->message, ==, "Migration not in expected state: pre-switchover");
    g_assert_true(outgoing_continue(f->src->machine.migration->outgoing,
                                    MIGRATION_STATUS_PRE_SWITCHOVER, NULL));
    tiny_unlock(f->src);
}

static void test_pause(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    set_cap(f->src, "pause-before-switchover");
    set_cap(f->src, "return-path");
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_PRE_SWITCHOVER);
    assert_run_state(f->src, RUN_STATE_FINISH_MIGRATE);
    tiny_write(f->src, "ram", 7 * PAGE + 5, "late", 4);     /* the final look comes after continue */
    do_continue(f);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_events(f->src, "RESUME MIGRATION:setup PASS:1 MIGRATION:active PASS:2 STOP "
                          "MIGRATION:pre-switchover MIGRATION:device PASS:3 MIGRATION:completed");
    assert_same_ram(f);
}

static uint64_t delta_pages(Fixture *f)
{
    OutgoingView v;
    outgoing_view(f->src->machine.migration->outgoing, &v);
    uint64_t pages = v.ram.xbzrle_pages;
    outgoing_view_clear(&v);
    return pages;
}

/*
 * A window of 100 ms takes a few pages only, so that the writer below dirties
 * more in each than is sent, however busy the host is.
 */
static void test_xbzrle(Fixture *f, gconstpointer unused)
{
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
    start_guest(f->src);
    set_cap(f->src, "xbzrle");
    set_param(f->src, "max-bandwidth", "256k");
    set_param(f->src, "downtime-limit", "0");
    for (int i = 0; i < 40; i++) {
        tiny_write(f->src, "ram", i * PAGE, "y", 1);
    }
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    for (int i = 0; delta_pages(f) == 0 && g_get_monotonic_time() < deadline; i++) {
        tiny_write(f->src, "ram", (i % 40) * PAGE + i % PAGE, "x", 1);
        g_usleep(200);
    }
    set_param(f->src, "max-bandwidth", "100M");
    set_param(f->src, "downtime-limit", "300");
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(delta_pages(f), >, 0);
}

/* What query-migrate shows is what is used, also if it was set during setup. */
static void test_cache_size_in_setup(Fixture *f, gconstpointer unused)
{
    set_cap(f->src, "xbzrle");
    resize_while_made = &f->src->machine;
    told_size = 0;
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    resize_while_made = NULL;
    g_assert_cmpuint(told_size, ==, 1 << 20);
}

static void through_file(Fixture *f, const char *cap)
{
    if (cap) {
        set_cap(f->src, cap);
        set_cap(f->dst, cap);
    }
    start(f->src, f->file_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    listen_on(f->dst, f->file_uri);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_same_ram(f);
}

static void test_file(Fixture *f, gconstpointer unused)
{
    through_file(f, NULL);
}

static void test_mapped_ram(Fixture *f, gconstpointer unused)
{
    through_file(f, "mapped-ram");
}

static void test_fixed_ram(Fixture *f, gconstpointer unused)
{
    through_file(f, "fixed-ram");
}

static void test_exec(Fixture *f, gconstpointer unused)
{
    g_autofree char *out = g_strdup_printf("exec:cat > %s/file", f->dir);
    g_autofree char *in = g_strdup_printf("exec:cat %s/file", f->dir);

    start(f->src, out);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    listen_on(f->dst, in);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_same_ram(f);
}

/* ---- what fails, and who is told why ---- */

static void assert_source_unharmed(Fixture *f, RunState before)
{
    assert_run_state(f->src, before);
    g_assert_false(dirty_log_enabled(f->src->machine.dirty));
}

static void refused(Fixture *f, const char *reason)
{
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_in(f, MIGRATION_STATUS_FAILED);
    wait_out(f, MIGRATION_STATUS_FAILED);
    g_autofree char *theirs = incoming_error(f->dst->machine.migration->incoming);
    g_autofree char *ours = out_error(f);
    g_assert_nonnull(strstr(theirs, reason));
    g_assert_true(g_str_has_prefix(ours, "the destination refused the migration: "));
    g_assert_nonnull(strstr(ours, reason));
    assert_source_unharmed(f, RUN_STATE_PRELAUNCH);
}

static void test_refused_machine(Fixture *f, gconstpointer unused)
{
    set_cap(f->src, "return-path");
    f->dst->config.machine_name = "virt";
    refused(f, "Machine type received is 'none' and local is 'virt'");
}

static void test_refused_device(Fixture *f, gconstpointer unused)
{
    set_cap(f->src, "return-path");
    vmstate_unregister(f->dst->machine.vmstate, "timer", 0);
    refused(f, "Unknown savevm section or instance 'timer' 0.");
}

/* Without a return path the source learns it as long as it is still sending. */
static void test_refused_without_return_path(Fixture *f, gconstpointer unused)
{
    set_param(f->src, "max-bandwidth", "100k");
    f->dst->config.machine_name = "virt";
    refused(f, "Machine type received is 'none' and local is 'virt'");
}

static void test_connect_refused(Fixture *f, gconstpointer unused)
{
    g_autofree char *want = g_strdup_printf("Failed to connect to '%s/sock': "
                                            "No such file or directory: nobody listens there; is the "
                                            "destination started, with -incoming and this path?",
                                            f->dir);
    for (int i = 0; i < 10; i++) {
        start(f->src, f->unix_uri);
        wait_out(f, MIGRATION_STATUS_FAILED);
        g_autofree char *got = out_error(f);
        g_assert_cmpstr(got, ==, want);
        assert_source_unharmed(f, RUN_STATE_PRELAUNCH);
    }
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
}

static void test_exec_fails(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    start(f->src, "exec:cat > /dev/null; exit 3");
    wait_out(f, MIGRATION_STATUS_FAILED);
    g_autofree char *got = out_error(f);
    g_assert_nonnull(strstr(got, "exited with status 3"));
    /* It has taken all that there is: nobody here knows what became of it. */
    g_assert_nonnull(strstr(got, "whoever the command has handed it to may run it"));
    assert_source_unharmed(f, RUN_STATE_PAUSED);
    assert_events(f->src, "RESUME MIGRATION:setup PASS:1 MIGRATION:active PASS:2 STOP PASS:3 "
                          "X_MIGRATION_OWNER_UNKNOWN MIGRATION:failed");
}

static void test_needs_seekable(Fixture *f, gconstpointer unused)
{
    g_autoptr(GError) err = NULL;

    set_cap(f->src, "mapped-ram");
    tiny_lock(f->src);
    g_assert_false(migration_start(f->src->machine.migration, f->unix_uri, &err));
    tiny_unlock(f->src);
    g_assert_cmpstr(err->message, ==, "Migration requires seekable transport (e.g. file): the "
                    "capability mapped-ram writes pages to their place in one, so use file:PATH or "
                    "switch it off");
}

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

static void test_rate_limit(Fixture *f, gconstpointer unused)
{
    set_param(f->src, "max-bandwidth", "500k");     /* 200 pages of 4 KiB: 1.6 s */
    listen_on(f->dst, f->unix_uri);
    int64_t begin = g_get_monotonic_time();
    start(f->src, f->unix_uri);
    OutgoingView v;
    do {    /* what remains is told while it is active, not just decided upon */
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 60 * G_USEC_PER_SEC);
        outgoing_view(f->src->machine.migration->outgoing, &v);
        outgoing_view_clear(&v);
    } while (v.pending_wire_bytes < 4096);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    int64_t ms = (g_get_monotonic_time() - begin) / 1000;
    outgoing_view(f->src->machine.migration->outgoing, &v);
    int64_t want = v.ram.normal_pages * 4096 * 1000 / (500 << 10);
    outgoing_view_clear(&v);
    g_assert_cmpint(ms, >, want / 2);
    g_assert_cmpint(ms, <, want * 2 + 500);
}

static uint64_t sent_bytes(Fixture *f, int *throttle_percent)
{
    OutgoingView v;

    outgoing_view(f->src->machine.migration->outgoing, &v);
    *throttle_percent = v.throttle_percent;
    uint64_t bytes = v.transferred_bytes;
    outgoing_view_clear(&v);
    return bytes;
}

/*
 * auto-converge compares what a period dirtied with what that period sent, not
 * with all that was sent so far: a guest that dirties as fast as is sent is
 * throttled soon. Soon is said in bytes: a busy host sends fewer in a period.
 */
static void test_auto_converge(Fixture *f, gconstpointer unused)
{
    enum { DIRTY_PAGES = 60, SOON_BYTES = 8 << 20 };
    int percent = 0;

    start_guest(f->src);
    set_cap(f->src, "auto-converge");
    set_param(f->src, "max-bandwidth", "400k");
    set_param(f->src, "downtime-limit", "0");
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    for (int i = 0; percent == 0; i++) {
        for (int page = 0; page < DIRTY_PAGES; page++) {
            tiny_write(f->src, "ram", page * PAGE + i % PAGE, "x", 1);
        }
        g_usleep(1000);
        g_assert_cmpuint(sent_bytes(f, &percent), <, SOON_BYTES);
    }
    g_assert_cmpint(percent, ==, 20);
    set_param(f->src, "max-bandwidth", "100M");
    set_param(f->src, "downtime-limit", "300");
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_same_ram(f);
}

/*
 * Once a rate is known, an almost idle guest is not stopped before all is
 * sent (all of what is left would fit into the limit here), nor before the
 * destination has read it: one look at the log more, while it still runs.
 */
static void wait_for_destination(Fixture *f, bool return_path)
{
    OutgoingView v;

    set_param(f->src, "max-bandwidth", "2M");
    set_param(f->src, "downtime-limit", "100000");
    start_guest(f->src);
    if (return_path) {
        set_cap(f->src, "return-path");
    }
    listen_on(f->dst, f->unix_uri);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    /* 2: the rest would fit, an extra pass; 3: nothing is left; 4: and the destination has it */
    assert_events(f->src, "RESUME MIGRATION:setup PASS:1 MIGRATION:active PASS:2 PASS:3 PASS:4 STOP "
                          "PASS:5 MIGRATION:completed");
    outgoing_view(f->src->machine.migration->outgoing, &v);
    g_assert_cmpuint(v.downtime_bytes, <, 100 << 10);   /* device state and its description */
    outgoing_view_clear(&v);
    assert_same_ram(f);
}

static void test_waits_for_destination(Fixture *f, gconstpointer unused)
{
    wait_for_destination(f, true);
}

static void test_waits_blindly(Fixture *f, gconstpointer unused)
{
    wait_for_destination(f, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, dialect, fn) \
    g_test_add("/migration/" name, Fixture, GINT_TO_POINTER(dialect), set_up, fn, tear_down)
    ADD("stopped/7.2", DIALECT_QEMU_7_2, test_stopped);
    ADD("stopped/10.0", DIALECT_QEMU_10_0, test_stopped);
    ADD("running", DIALECT_QEMU_7_2, test_running);
    ADD("pause-before-switchover", DIALECT_QEMU_7_2, test_pause);
    ADD("xbzrle", DIALECT_QEMU_7_2, test_xbzrle);
    ADD("cache-size-in-setup", DIALECT_QEMU_10_0, test_cache_size_in_setup);
    ADD("file", DIALECT_QEMU_10_0, test_file);
    ADD("mapped-ram", DIALECT_QEMU_10_0, test_mapped_ram);
    ADD("fixed-ram", DIALECT_QEMU_10_0, test_fixed_ram);
    ADD("exec", DIALECT_QEMU_7_2, test_exec);
    ADD("refused/machine", DIALECT_QEMU_7_2, test_refused_machine);
    ADD("refused/device", DIALECT_QEMU_10_0, test_refused_device);
    ADD("refused/without-return-path", DIALECT_QEMU_7_2, test_refused_without_return_path);
    ADD("connect-refused", DIALECT_QEMU_7_2, test_connect_refused);
    ADD("exec-fails", DIALECT_QEMU_7_2, test_exec_fails);
    ADD("needs-seekable", DIALECT_QEMU_10_0, test_needs_seekable);
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
    ADD("rate-limit", DIALECT_QEMU_7_2, test_rate_limit);
    ADD("auto-converge", DIALECT_QEMU_7_2, test_auto_converge);
    ADD("waits-for-destination", DIALECT_QEMU_7_2, test_waits_for_destination);
    ADD("waits-blindly", DIALECT_QEMU_7_2, test_waits_blindly);
    return g_test_run();
}
