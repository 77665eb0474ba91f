/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/counters: rates over periods of more than a second (migration-stream 4.7, 5.4). */
#include "migration/ram/counters.h"

static void test_period(void)
{
    RamCounters c;
    RamStats st;

    ram_counters_init(&c, 5000);
    ram_counters_sync(&c, 0, 5000);
    c.handled_pages = 100;
    ram_counter_add(&c.now.xbzrle_cache_miss, 25);
    ram_counter_add(&c.now.xbzrle_pages, 50);
    ram_counter_add(&c.now.xbzrle_bytes, 2048);
    ram_counter_add(&c.now.transferred_bytes, 99999);
    ram_counters_sync(&c, 600, 6000);           /* exactly a second: not yet */
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.periods, ==, 0);
    g_assert_cmpuint(st.dirty_pages_rate, ==, 0);
    ram_counters_sync(&c, 400, 7000);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.dirty_sync_count, ==, 3);
    g_assert_cmpuint(st.periods, ==, 1);
    g_assert_cmpuint(st.dirty_pages_rate, ==, 500);
    g_assert_cmpuint(st.bytes_dirty_period, ==, 1000 * 4096);
    g_assert_cmpuint(st.bytes_xfer_period, ==, 99999);
    g_assert_cmpfloat(st.xbzrle_cache_miss_rate, ==, 0.25);
    g_assert_cmpfloat(st.xbzrle_encoding_rate, ==, 50 * 4096 / 2048.0);

    c.handled_pages += 40;                      /* the next period has figures of its own */
    ram_counter_add(&c.now.xbzrle_cache_miss, 30);
    ram_counter_add(&c.now.xbzrle_pages, 10);
    ram_counter_add(&c.now.xbzrle_bytes, 1024);
    ram_counter_add(&c.now.transferred_bytes, 11111);
    ram_counters_sync(&c, 100, 9000);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.dirty_pages_rate, ==, 50);
    g_assert_cmpuint(st.bytes_xfer_period, ==, 11111);
    g_assert_cmpfloat(st.xbzrle_cache_miss_rate, ==, 0.75);
    g_assert_cmpfloat(st.xbzrle_encoding_rate, ==, 10 * 4096 / 1024.0);
}

/* Nothing handled: the XBZRLE rates stay; nothing encoded: 0. */
static void test_empty_periods(void)
{
    RamCounters c;
    RamStats st;

    ram_counters_init(&c, 0);
    c.handled_pages = 10;
    ram_counter_add(&c.now.xbzrle_cache_miss, 5);
    ram_counters_sync(&c, 0, 1001);
    ram_counters_read(&c, &st);
    g_assert_cmpfloat(st.xbzrle_cache_miss_rate, ==, 0.5);
    g_assert_cmpfloat(st.xbzrle_encoding_rate, ==, 0);
    ram_counters_sync(&c, 0, 3000);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.periods, ==, 2);
    g_assert_cmpfloat(st.xbzrle_cache_miss_rate, ==, 0.5);

    c.handled_pages += 10;                      /* only hits that sent nothing new */
    ram_counter_add(&c.now.xbzrle_pages, 10);
    ram_counters_sync(&c, 0, 5000);
    ram_counters_read(&c, &st);
    g_assert_cmpfloat(st.xbzrle_cache_miss_rate, ==, 0);
    g_assert_cmpfloat(st.xbzrle_encoding_rate, ==, 0);
}

static void test_window(void)
{
    RamCounters c;
    RamStats st;

    ram_counters_init(&c, 0);
    c.handled_pages = 50;
    ram_counters_window(&c, 99);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.pages_per_second, ==, 0);
    ram_counters_window(&c, 100);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.pages_per_second, ==, 500);
    c.handled_pages = 60;
    ram_counters_window(&c, 300);
    ram_counters_read(&c, &st);
    g_assert_cmpuint(st.pages_per_second, ==, 50);
}

#define WRITERS 4
#define ADDS 200000

static void *add_many(void *opaque)
{
    RamCounters *c = opaque;

    for (int i = 0; i < ADDS; i++) {
        ram_counter_add(&c->now.normal_pages, 1);
        ram_counter_add(&c->handled_pages, 2);
    }
    return NULL;
}

/* As many as encode may count, and nothing is lost. */
static void test_several_writers(void)
{
    RamCounters c;
    GThread *threads[WRITERS];
    RamStats out;

    ram_counters_init(&c, 0);
    for (int i = 0; i < WRITERS; i++) {
        threads[i] = g_thread_new("adds", add_many, &c);
    }
    for (int i = 0; i < WRITERS; i++) {
        g_thread_join(threads[i]);
    }
    ram_counters_read(&c, &out);
    g_assert_cmpuint(out.normal_pages, ==, WRITERS * ADDS);
    g_assert_cmpuint(c.handled_pages, ==, 2 * WRITERS * ADDS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-stats/period", test_period);
    g_test_add_func("/ram-stats/empty-periods", test_empty_periods);
    g_test_add_func("/ram-stats/window", test_window);
    g_test_add_func("/ram-stats/several-writers", test_several_writers);
    return g_test_run();
}
