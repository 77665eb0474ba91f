/* SPDX-License-Identifier: GPL-2.0-or-later */
/* commands/stats: query-migrate by state, "info migrate" line by line (migration-stream 5.7, 9.5). */
#include <math.h>
#include <string.h>

#include "migration/commands/file-progress.h"
#include "migration/commands/stats.h"

static OutgoingView view(MigrationStatus status)
{
    return (OutgoingView){
        .status = status, .total_ms = 505, .setup_ms = 1, .downtime_ms = 20,
        .setup_us = 1400, .downtime_us = 20000, .expected_downtime_ms = 300, .has_ram = true,
        .ram = { .transferred_bytes = 36876, .duplicate_pages = 4096, .normal_pages = 3,
                 .dirty_sync_count = 2, .remaining_pages = 5, .pages_per_second = 7,
                 .xbzrle_bytes = 4096, .xbzrle_pages = 9, .xbzrle_cache_miss = 11,
                 .xbzrle_cache_miss_rate = 0.125, .xbzrle_encoding_rate = 33.3,
                 .xbzrle_overflow = 1 },
        .ram_total_bytes = 16 << 20, .transferred_bytes = 36876, .mbps = 0.596,
        .downtime_bytes = 36876,
    };
}

static void test_completed(void)
{
    OutgoingView v = view(MIGRATION_STATUS_COMPLETED);
    v.caps = MIGRATION_CAP(XBZRLE);
    v.params.xbzrle_cache_size = 67108864;
    MigrationInfo *info = migration_info_new(&v);
    g_autofree char *text = migration_info_text(info, &v, true);

    /* As 7.2 printed it, but for the numbers that it had as 0. */
    g_assert_cmpstr(text, ==,
                    "Migration status: completed\ntotal time: 505 ms\ndowntime: 20 ms\n"
                    "setup: 1 ms\ntransferred ram: 36 kbytes\nthroughput: 0.60 mbps\n"
                    "remaining ram: 0 kbytes\ntotal ram: 16384 kbytes\nduplicate: 4096 pages\n"
                    "skipped: 0 pages\nnormal: 3 pages\nnormal bytes: 12 kbytes\n"
                    "dirty sync count: 2\npage size: 4 kbytes\nmultifd bytes: 0 kbytes\n"
                    "pages-per-second: 7\ndowntime ram: 36 kbytes\ncache size: 67108864 bytes\n"
                    "xbzrle transferred: 4 kbytes\nxbzrle pages: 9 pages\n"
                    "xbzrle cache miss: 11 pages\nxbzrle cache miss rate: 0.12\n"
                    "xbzrle encoding rate: 33.30\nxbzrle overflow: 1\n");
    qapi_free_MigrationInfo(info);
}

static void test_members_by_state(void)
{
    for (int status = 0; status < MIGRATION_STATUS__MAX; status++) {
        OutgoingView v = view(status);
        v.error = (char *)"no way";
        v.throttle_percent = 30;
        MigrationInfo *info = migration_info_new(&v);
        bool undone = status == MIGRATION_STATUS_CANCELLED || status == MIGRATION_STATUS_FAILED;
        bool ram = migration_status_has_ram(status) || undone;

        g_assert_cmpint(info->ram != NULL, ==, ram);
        g_assert_cmpint(info->has_total_time, ==, ram);
        bool stood = status == MIGRATION_STATUS_COMPLETED || migration_status_is_postcopy(status);
        g_assert_cmpint(info->has_downtime, ==, stood);
        g_assert_cmpint(info->has_expected_downtime, ==,
                        ram && !undone && !stood);
        g_assert_cmpint(info->error_desc != NULL, ==,
                        status == MIGRATION_STATUS_FAILED ||
                        status == MIGRATION_STATUS_POSTCOPY_PAUSED);
        g_assert_null(info->xbzrle_cache);
        g_assert_cmpint(info->has_cpu_throttle_percentage, ==, ram);
        qapi_free_MigrationInfo(info);
    }
}

static void test_failed_text(void)
{
    OutgoingView v = view(MIGRATION_STATUS_FAILED);
    v.error = (char *)"Failed to connect to '127.0.0.1:1': Connection refused";
    v.has_ram = false;
    MigrationInfo *info = migration_info_new(&v);
    g_autofree char *text = migration_info_text(info, &v, true);

    g_assert_cmpstr(text, ==, "Migration status: failed (Failed to connect to '127.0.0.1:1': "
                    "Connection refused)\n");
    qapi_free_MigrationInfo(info);
}

/* What a person looks for first stands first, and a short time is no 0. */
static void test_active_text(void)
{
    OutgoingView v = view(MIGRATION_STATUS_ACTIVE);
    v.reason = (char *)"why";
    MigrationInfo *info = migration_info_new(&v);
    g_autofree char *text = migration_info_text(info, &v, false);

    g_assert_true(g_str_has_prefix(text, "Migration status: active\ndecision: why\nconvergence: "));
    qapi_free_MigrationInfo(info);

    v = view(MIGRATION_STATUS_COMPLETED);
    v.ram.postcopy_requests = 77;
    v.downtime_ms = v.setup_ms = 0;
    v.downtime_us = 423;
    v.setup_us = 7;
    info = migration_info_new(&v);
    g_autofree char *done = migration_info_text(info, &v, false);
    g_assert_null(strstr(done, "accepted"));
    v.accepted_unknown = true;
    g_autofree char *unheard = migration_info_text(info, &v, false);
    g_assert_true(g_str_has_prefix(unheard, "Migration status: completed\naccepted: not known here, "
                                   "return-path is off\n"));
    g_assert_nonnull(strstr(done, "\npostcopy request count: 77\n"));
    g_assert_nonnull(strstr(done, "\ndowntime: 0 ms (423 us)\nsetup: 0 ms (7 us)\n"));
    qapi_free_MigrationInfo(info);
    info = g_new0(MigrationInfo, 1);    /* a destination */
    info->has_status = true;
    info->status = MIGRATION_STATUS_COMPLETED;
    g_autofree char *there = migration_info_text(info, NULL, false);
    g_assert_cmpstr(there, ==, "Migration status: completed\n");
    qapi_free_MigrationInfo(info);

    static const struct { int64_t us; const char *text; } times[] = {
        { 423, "0.4 ms" }, { 9949, "9.9 ms" }, { 12999, "12 ms" } };
    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *ms = migration_ms_text(times[i].us);
        g_assert_cmpstr(ms, ==, times[i].text);
    }
}

static void test_outlook(void)
{
    OutgoingView v = view(MIGRATION_STATUS_ACTIVE);
    v.params.downtime_limit = 300;
    v.params.max_bandwidth = 32 << 20;
    v.reason = (char *)"why";
    v.mbps = 268.4;
    v.ram.periods = 1;
    v.ram.remaining_pages = 10000;
    v.pending_wire_bytes = 10000 * 2048;    /* deltas: half a page each */
    v.ram.sync_pending_bytes = 20 << 20;
    v.ram.dirty_pages_rate = 20000;
    v.trend = (PolicyTrend){ .seen = 1, .stalled = 1 };
    MigrationInfo *early = migration_info_new(&v);
    g_assert_cmpint(early->x_outlook->verdict, ==, X_MIGRATION_VERDICT_UNCERTAIN);
    g_assert_nonnull(early->x_outlook->remedies);
    qapi_free_MigrationInfo(early);
    v.trend.stalled = POLICY_STALLED;
    g_autofree char *text = migration_outlook_text(&v);

    g_assert_cmpstr(text, ==, "decision: why\nconvergence: will not finish: dirty rate 39.1 MiB/s "
                    "> bandwidth 32.0 MiB/s; raise max-bandwidth or downtime-limit to 782 ms, or "
                    "start again with xbzrle or auto-converge\n");
    MigrationInfo *info = migration_info_new(&v);
    g_assert_cmpint(info->x_outlook->verdict, ==, X_MIGRATION_VERDICT_WILL_NOT_FINISH);
    g_assert_cmpstr(info->x_outlook->decision, ==, "why");
    g_assert_cmpstr(info->x_outlook->remedies->value, ==,
                    "raise max-bandwidth or downtime-limit to 782 ms");
    g_assert_cmpstr(info->x_outlook->remedies->next->value, ==,
                    "start again with xbzrle or auto-converge");
    g_assert_cmpint(info->x_outlook->dirty_rate, ==, 20000 * 2048);
    g_assert_false(info->x_outlook->has_seconds_left);
    qapi_free_MigrationInfo(info);
    v.status = MIGRATION_STATUS_COMPLETED;
    g_autofree char *none = migration_outlook_text(&v);
    g_assert_cmpstr(none, ==, "");
}

static void test_progress(void)
{
    OutgoingView v = view(MIGRATION_STATUS_ACTIVE);
    v.mbps = 268.4;
    v.ram_total_bytes = UINT64_C(1) << 40;
    v.ram.remaining_pages = 200 << 20;
    v.ram.dirty_pages_rate = 100000;
    v.ram.dirty_sync_count = 123;
    v.ram.periods = 1;
    v.pending_wire_bytes = UINT64_C(800) << 30;
    g_autofree char *text = migration_progress_text(&v, POLICY_WILL_NOT_FINISH);

    g_assert_cmpstr(text, ==, "pass 123: 819200.0 MiB left, 32.0 MiB/s, dirtied 390.6: will not "
                    "finish [^C cancels]");
    v.ram.dirty_sync_count = 1;     /* three quarters were zero so far, which is very little */
    v.ram.periods = 0;              /* so nobody knows what the guest dirties */
    v.ram.duplicate_pages = 3000;
    v.ram.normal_pages = 1000;
    v.pending_wire_bytes = UINT64_C(128) << 20;
    g_autofree char *first = migration_progress_text(&v, POLICY_NOT_KNOWN);
    g_assert_true(g_str_has_suffix(first, "pass ends in 4 s [^C cancels]"));
    g_assert_null(strstr(first, "dirtied"));
    v.status = MIGRATION_STATUS_DEVICE;     /* the last pages go at a rate that says nothing */
    g_autofree char *device = migration_progress_text(&v, POLICY_WILL_FINISH);
    g_assert_cmpstr(device, ==, "switching over, 0 s");
    v = view(MIGRATION_STATUS_SETUP);
    g_autofree char *setup = migration_progress_text(&v, POLICY_NOT_KNOWN);
    g_assert_cmpstr(setup, ==, "setup, 0 s");
}

static void test_file_progress(void)
{
    OutgoingView v = view(MIGRATION_STATUS_ACTIVE);
    XFileProgress *none = file_progress_saved(&v);
    g_assert_null(none);
    v.to_file = true;
    v.file_done_pages = 1024;
    v.mbps = 8;
    v.ram.dirty_sync_count = 3;
    v.pending_wire_bytes = 5000000;
    XFileProgress *saved = file_progress_saved(&v);
    g_autofree char *text = file_progress_text(saved);
    g_assert_cmpstr(text, ==, "25.0 % of 16.0 MiB, 1.0 MiB/s, 5 s left");
    g_assert_cmpint(saved->done, ==, 4 << 20);
    qapi_free_XFileProgress(saved);
    v.reason = (char *)"why";
    g_autofree char *live = migration_progress_text(&v, POLICY_NOT_KNOWN);
    g_assert_true(g_str_has_prefix(live, "25.0 % saved, pass 3: "));

    /* All pages are written, and the disk has not said that it has them. */
    v.file_done_pages = 4096;
    v.status = MIGRATION_STATUS_DEVICE;
    saved = file_progress_saved(&v);
    g_assert_cmpfloat(saved->percent, <, 100);
    g_assert_false(saved->has_seconds_left);
    qapi_free_XFileProgress(saved);

    IncomingReceived r = { .ram = { .bytes = 3 << 20 }, .us = 2000000, .file_bytes = 12 << 20 };
    XFileProgress *stream = file_progress_restored(&r);
    g_assert_cmpfloat(stream->percent, ==, 25);
    g_assert_cmpfloat(stream->seconds_left, ==, 6);
    qapi_free_XFileProgress(stream);
    r.ram.in_file = 2048;
    r.ram.normal = 2048;
    XFileProgress *mapped = file_progress_restored(&r);
    g_assert_cmpfloat(mapped->percent, <, 100);
    qapi_free_XFileProgress(mapped);
    r.whole = true;
    mapped = file_progress_restored(&r);
    g_assert_cmpfloat(mapped->percent, ==, 100);
    g_assert_false(mapped->has_seconds_left);
    qapi_free_XFileProgress(mapped);
    r.file_bytes = 0;
    g_assert_null(file_progress_restored(&r));
}

static double seconds_of(const char *text)
{
    return g_ascii_strtod(strstr(text, "ends in ") + strlen("ends in "), NULL);
}

/* A pass that goes through full and zero pages by turns: its end comes nearer, never farther. */
static void test_first_pass_is_calm(void)
{
    static const struct { uint64_t normal, zero; } parts[] = {
        { 1000, 1250 }, { 4700, 1250 }, { 7300, 1250 }, { 9300, 1250 }, { 9300, 20000 },
        { 12000, 20000 }, { 15000, 20000 }, { 15000, 34000 },
    };
    const uint64_t pages = 49000, page_bytes = 4096;
    OutgoingView v = view(MIGRATION_STATUS_ACTIVE);
    double last = INFINITY;

    v.mbps = 67.1;
    v.ram_total_bytes = pages * page_bytes;
    v.ram.dirty_sync_count = 1;
    v.ram.periods = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        v.ram.normal_pages = parts[i].normal;
        v.ram.duplicate_pages = parts[i].zero;
        v.ram.remaining_pages = pages - parts[i].normal - parts[i].zero;
        v.pending_wire_bytes = v.ram.remaining_pages * page_bytes;
        g_autofree char *text = migration_progress_text(&v, POLICY_NOT_KNOWN);

        g_assert_cmpfloat(seconds_of(text), <=, last);
        last = seconds_of(text);
    }
    g_assert_cmpfloat(last, ==, 0);
}

/* Each side counts from its own first step; what was not reached is left out. */
static void test_switchover_text(void)
{
    SwitchoverTimes t = { .us = { [SWITCHOVER_ASKED] = 5000, [SWITCHOVER_STOPPED] = 5031,
                                  [SWITCHOVER_SYNCED] = 5440 } };
    g_autofree char *source = switchover_text(&t);

    g_assert_cmpstr(source, ==, "switchover asked: 0.000 ms\nswitchover stopped: 0.031 ms\n"
                                "switchover synced: 0.440 ms\n");
    t = (SwitchoverTimes){ .us = { [SWITCHOVER_FIRST_DEVICE] = 100, [SWITCHOVER_STARTED] = 2100 } };
    g_autofree char *destination = switchover_text(&t);
    g_assert_cmpstr(destination, ==, "switchover first device: 0.000 ms\n"
                                     "switchover started: 2.000 ms\n");
    t = (SwitchoverTimes){ 0 };
    g_autofree char *none = switchover_text(&t);
    g_assert_cmpstr(none, ==, "");
    for (SwitchoverStep step = 0; step < SWITCHOVER__MAX; step++) {
        g_assert_nonnull(switchover_step_name(step));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-stats/completed", test_completed);
    g_test_add_func("/migration-stats/members-by-state", test_members_by_state);
    g_test_add_func("/migration-stats/failed-text", test_failed_text);
    g_test_add_func("/migration-stats/progress", test_progress);
    g_test_add_func("/migration-stats/file-progress", test_file_progress);
    g_test_add_func("/migration-stats/first-pass-is-calm", test_first_pass_is_calm);
    g_test_add_func("/migration-stats/active-text", test_active_text);
    g_test_add_func("/migration-stats/outlook", test_outlook);
    g_test_add_func("/migration-stats/switchover-text", test_switchover_text);
    return g_test_run();
}
