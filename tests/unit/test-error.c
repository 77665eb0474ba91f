/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/error: the first cause wins and survives clean-up. */
#include <errno.h>
#include "util/error.h"

static void test_first_cause_wins(void)
{
    g_autoptr(GError) err = NULL;

    error_setg_errno(&err, ENOENT, "open '%s'", "x");
    error_setg(&err, "clean-up failed too");
    g_assert_cmpstr(err->message, ==, "open 'x': No such file or directory");
    g_assert_true(g_error_matches(err, FERRY_ERROR, FERRY_ERROR_GENERIC));
    error_prepend(&err, "incoming: ");
    g_assert_cmpstr(err->message, ==, "incoming: open 'x': No such file or directory");
}

static void test_null_is_ignored(void)
{
    error_setg(NULL, "nobody asks");
    error_prepend(NULL, "nobody ");
}

static void test_class(void)
{
    g_autoptr(GError) err = NULL;

    error_set_class(&err, FERRY_ERROR_COMMAND_NOT_FOUND, "The command %s has not been found", "x");
    g_assert_true(g_error_matches(err, FERRY_ERROR, FERRY_ERROR_COMMAND_NOT_FOUND));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/first-cause-wins", test_first_cause_wins);
    g_test_add_func("/error/null-is-ignored", test_null_is_ignored);
    g_test_add_func("/error/class", test_class);
    return g_test_run();
}
