/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/rate-limit.c: what is allowed in a second, what is said about the rest. */
#include <glib.h>
#include "util/rate-limit.h"

static void test_limit(void)
{
    RateLimit limit = { 0 };
    int64_t start = 5000000;

    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(rate_limit_ask(&limit, start + i, 3), ==, RATE_OK);
    }
    g_assert_cmpint(rate_limit_ask(&limit, start + 10, 3), ==, RATE_FIRST_OVER);
    g_assert_cmpint(rate_limit_ask(&limit, start + 20, 3), ==, RATE_OVER);
    g_assert_cmpint(rate_limit_ask(&limit, start + 999999, 3), ==, RATE_OVER);
    g_assert_cmpint(rate_limit_ask(&limit, start + 1000000, 3), ==, RATE_OK);
    g_assert_cmpint(rate_limit_ask(&limit, start + 1000001, 3), ==, RATE_OK);
    /* A second begins with its first message, whenever that is. */
    g_assert_cmpint(rate_limit_ask(&limit, start + 9000000, 1), ==, RATE_OK);
    g_assert_cmpint(rate_limit_ask(&limit, start + 9500000, 1), ==, RATE_FIRST_OVER);
    g_assert_cmpint(rate_limit_ask(&limit, start + 9999999, 1), ==, RATE_OVER);
    g_assert_cmpint(rate_limit_ask(&limit, start + 10000000, 1), ==, RATE_OK);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rate-limit/limit", test_limit);
    return g_test_run();
}
