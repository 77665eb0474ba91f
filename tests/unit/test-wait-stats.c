/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a destination says of waits for pages: buckets, percentiles, all vCPUs at once. */
#include <glib.h>
#include <stdbool.h>
#include "migration/destination/object.h"
#include "qapi/qapi-types.h"

static void test_counts(void)
{
    WaitStats *w = wait_stats_new(2);
    WaitTimes t, all = { 0 };

    for (int us = 1; us <= 1000; us++) {
        wait_stats_add(w, us % 2, us * 10000, us);
    }
    wait_stats_add(w, -1, 20000000, 5000000);
    wait_stats_add(w, 2, 20000000, 7);          /* no such vCPU */
    for (int user = -1; user < 2; user++) {
        wait_stats_get(w, user, &t);
        wait_times_add(&all, &t);
    }
    wait_stats_get(w, 0, &t);
    g_assert_cmpuint(t.count, ==, 500);
    g_assert_cmpuint(t.max_us, ==, 1000);
    wait_stats_get(w, -1, &t);
    g_assert_cmpuint(t.count, ==, 2);
    g_assert_cmpuint(t.total_us, ==, 5000007);
    g_assert_cmpuint(all.count, ==, 1002);
    g_assert_cmpuint(all.total_us, ==, 500500 + 5000007);
    g_assert_cmpuint(all.max_us, ==, 5000000);
    g_assert_cmpuint(all.buckets[1], ==, 1);    /* 1 us */
    g_assert_cmpuint(all.buckets[3], ==, 5);    /* 4 to 7 us */
    g_assert_cmpuint(all.buckets[10], ==, 1000 - 511);
    wait_stats_free(w);
}

static void test_percentiles(void)
{
    WaitStats *w = wait_stats_new(1);
    WaitTimes t;

    wait_stats_get(w, 0, &t);
    g_assert_cmpuint(wait_times_percentile(&t, 50), ==, 0);
    for (int us = 1; us <= 1000; us++) {
        wait_stats_add(w, 0, us, us);
    }
    wait_stats_get(w, 0, &t);
    /* Evenly spread waits: a bucket's inside is known as if they were. */
    g_assert_cmpuint(wait_times_percentile(&t, 50), >=, 490);
    g_assert_cmpuint(wait_times_percentile(&t, 50), <=, 510);
    g_assert_cmpuint(wait_times_percentile(&t, 90), >=, 880);
    g_assert_cmpuint(wait_times_percentile(&t, 90), <=, 930);
    g_assert_cmpuint(wait_times_percentile(&t, 100), ==, 1000);
    g_assert_cmpuint(wait_times_percentile(&t, 0), <=, 1);
    wait_stats_add(w, 0, 0, INT64_MAX / 2);     /* in no bucket of its own */
    wait_stats_get(w, 0, &t);
    g_assert_cmpuint(t.buckets[WAIT_BUCKETS - 1], ==, 1);
    g_assert_cmpuint(t.max_us, ==, INT64_MAX / 2);
    wait_stats_free(w);
}

static void test_all_blocked(void)
{
    WaitStats *w = wait_stats_new(2);

    wait_stats_add(w, 0, 200, 100);             /* 100..200 */
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, 0);
    wait_stats_add(w, 1, 250, 100);             /* 150..250 */
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, 50);
    wait_stats_add(w, 0, 300, 80);              /* 220..300: with the one before 30 */
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, 80);
    wait_stats_add(w, 1, 400, 50);              /* nothing in common */
    wait_stats_add(w, 0, 500, 10);
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, 80);
    wait_stats_free(w);
}

/* Against every microsecond looked at; vCPUs end their waits in any order that time allows. */
static void test_all_blocked_random(void)
{
    enum { VCPUS = 3, TIME = 4000 };
    WaitStats *w = wait_stats_new(VCPUS);
    g_autofree uint8_t *waits = g_malloc0(VCPUS * TIME);
    uint64_t expected = 0;

    for (int at = 1; at < TIME; at++) {
        for (int v = 0; v < VCPUS; v++) {
            uint8_t *row = waits + v * TIME;
            row[at] = g_test_rand_int_range(0, 12) == 0 ? !row[at - 1] : row[at - 1];
            row[at] = at == TIME - 1 ? 0 : row[at];
            if (row[at - 1] && !row[at]) {
                int from = at;
                while (row[from - 1]) {
                    from--;
                }
                wait_stats_add(w, v, at, at - from);
            }
        }
        bool all = true;
        for (int v = 0; v < VCPUS; v++) {
            all &= waits[v * TIME + at];
        }
        expected += all;
    }
    for (int v = 0; v < VCPUS; v++) {           /* nobody is held up any more */
        wait_stats_add(w, v, 2 * TIME, 0);
    }
    g_assert_cmpuint(expected, >, 0);
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, expected);
    wait_stats_free(w);
}

static void test_one_never_waits(void)
{
    WaitStats *w = wait_stats_new(2);

    for (int i = 0; i < 100000; i++) {
        wait_stats_add(w, 0, i * 10, 5);
    }
    wait_stats_add(w, 1, 999990, 3);
    g_assert_cmpuint(wait_stats_all_blocked_us(w), ==, 3);
    wait_stats_free(w);
}

/* query-migrate has milliseconds, once it is over and if postcopy-blocktime is on. */
static void test_blocktime(void)
{
    Incoming in = { .waits = wait_stats_new(2), .switched = true, .blocktime = true };
    MigrationInfo info = { .status = MIGRATION_STATUS_POSTCOPY_ACTIVE };

    g_mutex_init(&in.lock);
    wait_stats_add(in.waits, 0, 9000000, 8000000);
    wait_stats_add(in.waits, 1, 9000000, 7003999);
    incoming_fill_blocktime(&in, &info);
    g_assert_false(info.has_postcopy_blocktime);
    info.status = MIGRATION_STATUS_COMPLETED;
    incoming_fill_blocktime(&in, &info);
    g_assert_true(info.has_postcopy_blocktime);
    g_assert_cmpuint(info.postcopy_blocktime, ==, 7003);
    g_assert_cmpuint(info.postcopy_vcpu_blocktime->value, ==, 8000);
    g_assert_cmpuint(info.postcopy_vcpu_blocktime->next->value, ==, 7003);
    g_assert_null(info.postcopy_vcpu_blocktime->next->next);
    qapi_free_uint32List(info.postcopy_vcpu_blocktime);
    g_mutex_clear(&in.lock);
    wait_stats_free(in.waits);
}

/* What query-migrate says of each that waited, and of all. */
static void test_waits_info(void)
{
    Machine machine = { .ram = ram_list_new() };
    Incoming in = { .machine = &machine, .waits = wait_stats_new(2), .switched = true, .requests = 5,
                    .duplicates = 2 };

    g_mutex_init(&in.lock);
    machine.present = present_map_new(machine.ram);
    for (int us = 1; us <= 1000; us++) {
        wait_stats_add(in.waits, 1, us * 10000, us);
    }
    wait_stats_add(in.waits, -1, 20000000, 4000);
    XPostcopyWaits *info = incoming_waits_info(&in);
    const XPostcopyWaitList *l = info->waits;

    g_assert_cmpuint(info->requests, ==, 5);
    g_assert_cmpuint(info->duplicates, ==, 2);
    g_assert_cmpstr(l->value->who, ==, "all");
    g_assert_cmpuint(l->value->count, ==, 1001);
    l = l->next;
    g_assert_cmpstr(l->value->who, ==, "vcpu 1");   /* the other one has not waited */
    g_assert_cmpuint(l->value->count, ==, 1000);
    g_assert_cmpuint(l->value->mean, ==, 500);
    g_assert_cmpuint(l->value->p50, >=, 490);
    g_assert_cmpuint(l->value->p50, <=, 510);
    g_assert_cmpuint(l->value->p90, >=, 880);
    g_assert_cmpuint(l->value->p90, <=, 930);
    g_assert_cmpuint(l->value->p99, >=, 970);
    g_assert_cmpuint(l->value->p99, <=, 1000);
    g_assert_cmpuint(l->value->max, ==, 1000);
    l = l->next;
    g_assert_cmpstr(l->value->who, ==, "devices");
    g_assert_cmpuint(l->value->max, ==, 4000);
    g_assert_null(l->next);
    qapi_free_XPostcopyWaits(info);
    in.switched = false;
    g_assert_null(incoming_waits_info(&in));
    g_mutex_clear(&in.lock);
    wait_stats_free(in.waits);
    present_map_free(machine.present);
    ram_list_free(machine.ram);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wait-stats/counts", test_counts);
    g_test_add_func("/wait-stats/percentiles", test_percentiles);
    g_test_add_func("/wait-stats/all-blocked", test_all_blocked);
    g_test_add_func("/wait-stats/all-blocked-random", test_all_blocked_random);
    g_test_add_func("/wait-stats/one-never-waits", test_one_never_waits);
    g_test_add_func("/wait-stats/blocktime", test_blocktime);
    g_test_add_func("/wait-stats/info", test_waits_info);
    return g_test_run();
}
