/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/codec/zero-page: every single byte position matters. */
#include "migration/codec/zero-page.h"

#include <stdint.h>
#include <glib.h>

static void test_every_byte(void)
{
    uint8_t page[4096] = { 0 };

    g_assert_true(zero_page_check(page, sizeof(page)));
    for (size_t i = 0; i < sizeof(page); i++) {
        page[i] = (uint8_t)(1 << (i % 8));
        g_assert_false(zero_page_check(page, sizeof(page)));
        page[i] = 0;
    }
}

/* No byte outside is looked at, none inside is missed, at odd lengths and addresses. */
static void test_lengths(void)
{
    uint8_t buf[300];

    for (size_t len = 0; len < 200; len++) {
        for (size_t at = 1; at < 10; at++) {
            for (size_t i = 0; i < sizeof(buf); i++) {
                buf[i] = i < at || i >= at + len;
            }
            g_assert_true(zero_page_check(buf + at, len));
            for (size_t i = 0; i < len; i++) {
                buf[at + i] = 0x80;
                g_assert_false(zero_page_check(buf + at, len));
                buf[at + i] = 0;
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/zero-page/every-byte", test_every_byte);
    g_test_add_func("/zero-page/lengths", test_lengths);
    return g_test_run();
}
