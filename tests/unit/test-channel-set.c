/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/channel/set: roles, one shutdown for all and for those to come, close once. */
#include <string.h>
#include "fake-channel.h"
#include "migration/channel-set.h"

static Channel *some(void)
{
    return &fake_channel_new("", 0, 1)->base;
}

static bool is_shut(Channel *c)
{
    return ((FakeChannel *)c)->fail_after == 0;
}

static void test_roles(void)
{
    ChannelSet *s = channel_set_new();
    g_autoptr(GError) err = NULL;
    Channel *main_channel = some(), *back = some(), *third = some();

    g_assert_null(channel_set_get(s, CHANNEL_ROLE_RETURN_PATH, 0));
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_MAIN, 0, main_channel, NULL));
    g_assert_true(channel_set_get(s, CHANNEL_ROLE_RETURN_PATH, 0) == main_channel);
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_RETURN_PATH, 0, back, NULL));
    g_assert_true(channel_set_get(s, CHANNEL_ROLE_RETURN_PATH, 0) == back);
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_MULTIFD, 2, third, NULL));
    g_assert_null(channel_set_get(s, CHANNEL_ROLE_MULTIFD, 0));
    g_assert_null(channel_set_get(s, CHANNEL_ROLE_MULTIFD, 7));
    g_assert_cmpint(channel_set_count(s, CHANNEL_ROLE_MULTIFD), ==, 1);
    g_assert_false(channel_set_add(s, CHANNEL_ROLE_MULTIFD, 2, some(), &err));
    g_assert_nonnull(strstr(err->message, "there already"));
    g_assert_true(channel_set_take(s, CHANNEL_ROLE_MULTIFD, 2) == third);
    g_assert_null(channel_set_take(s, CHANNEL_ROLE_MULTIFD, 2));
    channel_close(third, NULL);
    channel_set_free(s);
}

static void test_shutdown(void)
{
    ChannelSet *s = channel_set_new();
    Channel *c[3] = { some(), some(), some() };

    g_assert_true(channel_set_add(s, CHANNEL_ROLE_MAIN, 0, c[0], NULL));
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_MULTIFD, 1, c[1], NULL));
    g_assert_false(channel_set_is_shut(s));
    channel_set_shutdown_all(s);
    g_assert_true(is_shut(c[0]) && is_shut(c[1]));
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_PREEMPT, 0, c[2], NULL));    /* comes too late */
    g_assert_true(is_shut(c[2]));
    g_assert_true(channel_set_is_shut(s));
    g_assert_true(channel_set_close_all(s, NULL));
    g_assert_cmpint(channel_set_count(s, CHANNEL_ROLE_MAIN), ==, 0);
    channel_set_reopen(s);
    c[0] = some();
    g_assert_true(channel_set_add(s, CHANNEL_ROLE_MAIN, 0, c[0], NULL));
    g_assert_false(is_shut(c[0]));
    channel_set_free(s);
}

#define ADDED 64

static gpointer add_many(gpointer s)
{
    for (unsigned i = 0; i < ADDED; i++) {
        g_assert_true(channel_set_add(s, CHANNEL_ROLE_MULTIFD, i, some(), NULL));
    }
    return NULL;
}

/* Whatever the order: after both, all are shut. */
static void test_race(void)
{
    for (int round = 0; round < 50; round++) {
        ChannelSet *s = channel_set_new();
        GThread *t = g_thread_new("add", add_many, s);
        channel_set_shutdown_all(s);
        g_thread_join(t);
        for (unsigned i = 0; i < ADDED; i++) {
            g_assert_true(is_shut(channel_set_get(s, CHANNEL_ROLE_MULTIFD, i)));
        }
        channel_set_free(s);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/channel-set/roles", test_roles);
    g_test_add_func("/channel-set/shutdown", test_shutdown);
    g_test_add_func("/channel-set/race", test_race);
    return g_test_run();
}
