/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole migrations between two tiny machines in this process: the two
 * stories, the order of events (migration-stream 5.1), what reaches the
 * other side, how fast, and that the guest is the source's again when it
 * fails. Cancels and connections that end are in test-migration-owner.c.
 */
#include <string.h>
#include "qapi/qapi-commands.h"
#include "two-machines.h"

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

/* ---- what works ---- */

/* The captured order of a stopped guest, and everything that has to arrive. */
static void test_stopped(Fixture *f, gconstpointer dialect)
{
    bool d10 = GPOINTER_TO_INT(dialect) == DIALECT_QEMU_10_0;
    IncomingReceived received;

    listen_on(f->dst, f->unix_uri);
    g_assert_false(incoming_received(f->dst->machine.migration->incoming, &received));
    g_assert_cmpint(received.us, ==, 0);
    start(f->src, f->unix_uri);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    wait_in(f, MIGRATION_STATUS_COMPLETED);
    assert_events(f->src, d10 ? "MIGRATION:setup PASS:1 MIGRATION:active MIGRATION:device PASS:2 "
                                "MIGRATION:completed"
                              : "MIGRATION:setup PASS:1 MIGRATION:active PASS:2 "
                                "MIGRATION:completed");
    assert_events(f->dst, "MIGRATION:setup MIGRATION:active X_MIGRATION_RECEIVED "
                  "MIGRATION:completed");
    g_assert_true(incoming_received(f->dst->machine.migration->incoming, &received));
    g_assert_cmpint(received.us, >, 0);
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

/* How often the armed point was passed. */
static int64_t points_passed(TinyMachine *t, const char *name)
{
    XFaultPointList *list = qmp_x_query_faults(&t->machine, NULL), *l = list;

    while (strcmp(l->value->name, name) != 0) {
        l = l->next;
    }
    g_assert_true(l->value->armed);
    int64_t passed = l->value->reached;
    qapi_free_XFaultPointList(list);
    return passed;
}

static void test_running(Fixture *f, gconstpointer unused)
{
    g_assert_true(qmp_x_fault(&f->src->machine, "src-confirmed", X_FAULT_ACTION_STALL, true, 0, false, 0,
                              NULL));
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
    g_assert_cmpint(points_passed(f->src, "src-confirmed"), ==, 1);
    g_assert_cmpint(virtual_clock_get_ns(f->dst->machine.clock), >=,
                    virtual_clock_get_ns(f->src->machine.clock));
    assert_same_ram(f);
    assert_switchover_times(f);
    /* The destination fails in its last step: libvirt lets the source go on. */
    start_guest(f->src);
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

/* A file that is written in its place says that it is not whole until it is. */
static void assert_file_begins(Fixture *f, const char *magic)
{
    g_autofree char *content = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(f->file_uri + strlen("file:"), &content, &len, NULL));
    g_assert_cmpuint(len, >, 4);
    g_assert_cmpmem(content, 4, magic, 4);
}

static void test_file_in_place(Fixture *f, gconstpointer unused)
{
    start_guest(f->src);
    set_cap(f->src, "pause-before-switchover");
    set_param(f->src, "x-file-in-place", "on");
    start(f->src, f->file_uri);
    wait_out(f, MIGRATION_STATUS_PRE_SWITCHOVER);
    assert_file_begins(f, "part");
    do_continue(f);
    wait_out(f, MIGRATION_STATUS_COMPLETED);
    assert_file_begins(f, "QEVM");
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

/* The one thread that query-migrationthreads knows of there. */
static void assert_thread(TinyMachine *t, const char *name)
{
    tiny_lock(t);
    MigrationThreadInfoList *list = qmp_query_migrationthreads(&t->machine, NULL);
    tiny_unlock(t);

    g_assert_nonnull(list);
    g_assert_cmpstr(list->value->name, ==, name);
    g_assert_cmpint(list->value->thread_id, >, 0);
    g_assert_null(list->next);
    qapi_free_MigrationThreadInfoList(list);
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
    } while (v.pending_wire_bytes < 4096 || v.transferred_bytes < 200 << 10);
    /* several windows; the guest stands, so nothing is known of what it would dirty: the limit */
    g_assert_cmpint(v.expected_downtime_ms, ==, 300);
    assert_thread(f->src, "live_migration");
    assert_thread(f->dst, "incoming");
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
    OutgoingView v;
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
    outgoing_view(f->src->machine.migration->outgoing, &v);
    g_assert_cmpint(v.expected_downtime_ms, >, 100);    /* 240 KiB at 400 KiB/s, if that is reached */
    outgoing_view_clear(&v);
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
    ADD("stopped/7.2", DIALECT_QEMU_7_2, test_stopped);
    ADD("stopped/10.0", DIALECT_QEMU_10_0, test_stopped);
    ADD("running", DIALECT_QEMU_7_2, test_running);
    ADD("pause-before-switchover", DIALECT_QEMU_7_2, test_pause);
    ADD("xbzrle", DIALECT_QEMU_7_2, test_xbzrle);
    ADD("cache-size-in-setup", DIALECT_QEMU_10_0, test_cache_size_in_setup);
    ADD("file", DIALECT_QEMU_10_0, test_file);
    ADD("file/in-place", DIALECT_QEMU_7_2, test_file_in_place);
    ADD("mapped-ram", DIALECT_QEMU_10_0, test_mapped_ram);
    ADD("fixed-ram", DIALECT_QEMU_10_0, test_fixed_ram);
    ADD("exec", DIALECT_QEMU_7_2, test_exec);
    ADD("refused/machine", DIALECT_QEMU_7_2, test_refused_machine);
    ADD("refused/device", DIALECT_QEMU_10_0, test_refused_device);
    ADD("refused/without-return-path", DIALECT_QEMU_7_2, test_refused_without_return_path);
    ADD("connect-refused", DIALECT_QEMU_7_2, test_connect_refused);
    ADD("exec-fails", DIALECT_QEMU_7_2, test_exec_fails);
    ADD("needs-seekable", DIALECT_QEMU_10_0, test_needs_seekable);
    ADD("rate-limit", DIALECT_QEMU_7_2, test_rate_limit);
    ADD("auto-converge", DIALECT_QEMU_7_2, test_auto_converge);
    ADD("waits-for-destination", DIALECT_QEMU_7_2, test_waits_for_destination);
    ADD("waits-blindly", DIALECT_QEMU_7_2, test_waits_blindly);
    return g_test_run();
}
