/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/opts: both spellings, doubled commas, typed getters and every wrong value. */
#include <string.h>
#include "util/opts.h"

static Opts *parse(const char *text, const char *implied)
{
    GError *err = NULL;
    Opts *opts = opts_parse(text, implied, &err);

    g_assert_no_error(err);
    return opts;
}

static void test_text(void)
{
    Opts *o = parse("virtio-net-device,mac=52:54:00:12:34:56,id=a,,b,id=net0,flag,expr=x=y,e=", "driver");

    g_assert_cmpstr(opts_get(o, "driver"), ==, "virtio-net-device");
    g_assert_cmpstr(opts_get(o, "mac"), ==, "52:54:00:12:34:56");
    g_assert_cmpstr(opts_get(o, "id"), ==, "net0"); /* the last wins */
    g_assert_cmpstr(opts_get(o, "flag"), ==, "on");
    g_assert_cmpstr(opts_get(o, "expr"), ==, "x=y");
    g_assert_cmpstr(opts_get(o, "e"), ==, "");
    g_assert_null(opts_get(o, "nothing"));
    const char *key, *value;
    g_assert_true(opts_nth(o, 2, &key, &value));
    g_assert_cmpstr(key, ==, "id");
    g_assert_cmpstr(value, ==, "a,b");
    g_assert_false(opts_nth(o, 7, &key, &value));
    opts_free(o);

    o = parse("guest=x", "name"); /* first element has its own key */
    g_assert_null(opts_get(o, "name"));
    g_assert_cmpstr(opts_get(o, "guest"), ==, "x");
    opts_free(o);
    o = parse("", "name");
    opts_free(o);
    o = parse("a=b,", NULL); /* a trailing comma is harmless */
    opts_free(o);
}

static void test_json(void)
{
    Opts *o = parse("{\"driver\":\"file\",\"cache\":{\"direct\":true,\"no-flush\":false},"
                    "\"size\":18446744073709551615,\"l\":[\"x\",{\"y\":1}]}", "ignored");

    g_assert_cmpstr(opts_get(o, "driver"), ==, "file");
    g_assert_cmpstr(opts_get(o, "cache.direct"), ==, "on");
    g_assert_cmpstr(opts_get(o, "cache.no-flush"), ==, "off");
    g_assert_cmpstr(opts_get(o, "size"), ==, "18446744073709551615");
    g_assert_cmpstr(opts_get(o, "l.0"), ==, "x");
    g_assert_cmpstr(opts_get(o, "l.1.y"), ==, "1");
    opts_free(o);
}

static void test_bad_text(void)
{
    static const struct { const char *text, *message; } cases[] = {
        { "a=1,,,b=2", NULL }, /* value "1,", then b: fine */
        { "=x", "without a name" },
        { "a=1,=2", "without a name" },
        { "{", "unexpected end" },
        { "{}x", "at offset 2" },
        { "{\"a\":null}", "'a' expects a value" },
        { "{\"a\":\"x\\u0000y\"}", "'a' contains a NUL" },
        { "{\"\":1}", "empty name" },
        { "{\"a\":{\"\":1}}", "empty name in 'a'" },
        { "{a:1}", "JSON parse error" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        Opts *o = opts_parse(cases[i].text, "driver", &err);
        if (!cases[i].message) {
            g_assert_no_error(err);
            opts_free(o);
            continue;
        }
        g_assert_null(o);
        g_test_message("%s: %s", cases[i].text, err->message);
        g_assert_nonnull(strstr(err->message, cases[i].message));
    }
}

static void test_typed(void)
{
    Opts *o = parse("b=on,c=off,d=maybe,n=0x10,m=-1,s=1.5G,t=1x,u=", NULL);
    g_autoptr(GError) err = NULL;
    bool flag = false;
    uint64_t number = 7;

    g_assert_true(opts_get_bool(o, "b", &flag, NULL) && flag);
    g_assert_true(opts_get_bool(o, "c", &flag, NULL) && !flag);
    flag = true;
    g_assert_true(opts_get_bool(o, "absent", &flag, NULL) && flag);
    g_assert_false(opts_get_bool(o, "d", &flag, &err));
    g_assert_cmpstr(err->message, ==, "Parameter 'd' expects 'on' or 'off'");
    g_clear_error(&err);
    g_assert_true(opts_get_u64(o, "absent", &number, NULL) && number == 7);
    g_assert_true(opts_get_u64(o, "n", &number, NULL) && number == 16);
    g_assert_false(opts_get_u64(o, "m", &number, &err));
    g_assert_cmpstr(err->message, ==, "Parameter 'm' expects a number");
    g_clear_error(&err);
    g_assert_true(opts_get_size(o, "s", &number, NULL) && number == 3ULL << 29);
    g_assert_false(opts_get_size(o, "t", &number, &err));
    g_assert_cmpstr(err->message, ==, "Parameter 't' expects a size");
    g_clear_error(&err);
    g_assert_false(opts_check_used(o, "-test", &err));
    g_assert_cmpstr(err->message, ==, "-test: Invalid parameter 'u'");
    g_clear_error(&err);
    opts_get(o, "u");
    g_assert_true(opts_check_used(o, "-test", &err));
    opts_free(o);
}

static void test_sizes(void)
{
    static const struct { const char *text; uint64_t unit; bool ok; uint64_t value; } cases[] = {
        { "0", 1, true, 0 }, { "4k", 1, true, 4096 }, { "64M", 1, true, 64 << 20 },
        { "128", 1 << 20, true, 128 << 20 }, { "1.5", 1 << 20, true, 3 << 19 },
        { "131072k", 1 << 20, true, 128 << 20 }, { "0x1000", 1, true, 4096 },
        { "0x10M", 1, false, 0 }, { "512B", 1 << 20, true, 512 },
        { "16383P", 1, true, 16383ULL << 50 }, { "16E", 1, false, 0 },
        { "18446744073709551615", 1, true, UINT64_MAX }, { "18446744073709551616", 1, false, 0 },
        { "", 1, false, 0 }, { " 1", 1, false, 0 }, { "-1", 1, false, 0 }, { "+1", 1, false, 0 },
        { "1 ", 1, false, 0 }, { "1.", 1 << 20, false, 0 }, { ".5M", 1, false, 0 },
        { "1.5", 1, false, 0 }, { "1.5B", 1, false, 0 }, { "1kB", 1, false, 0 },
        { "1.5.2M", 1, false, 0 }, { "1e3", 1, false, 0 }, { "0x", 1, false, 0 },
        { "fff", 1, false, 0 }, { "0x1.8M", 1, false, 0 }, { "1.0000000000000000000001M", 1, true, 1 << 20 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t value = 0;
        bool ok = parse_size(cases[i].text, cases[i].unit, &value);
        g_test_message("'%s'", cases[i].text);
        g_assert_cmpint(ok, ==, cases[i].ok);
        g_assert_cmpuint(value, ==, cases[i].value);
    }
    uint64_t v;
    g_assert_true(parse_u64("010", &v) && v == 8);
    g_assert_true(parse_u64("0xffffffffffffffff", &v) && v == UINT64_MAX);
    g_assert_false(parse_u64("0x10000000000000000", &v));
    g_assert_false(parse_u64("", &v) || parse_u64("1k", &v) || parse_u64("-1", &v));
}

static void test_booleans(void)
{
    static const struct { const char *text; int loose, strict; } cases[] = {
        { "on", 1, 1 }, { "off", 0, 0 }, { "yes", 1, -1 }, { "no", 0, -1 }, { "true", 1, -1 },
        { "false", 0, -1 }, { "y", 1, -1 }, { "n", 0, -1 }, { "ON", -1, -1 }, { "1", -1, -1 },
        { "", -1, -1 }, { "of", -1, -1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool v;

        g_assert_cmpint(parse_bool(cases[i].text, &v) ? v : -1, ==, cases[i].loose);
        g_assert_cmpint(parse_on_off(cases[i].text, &v) ? v : -1, ==, cases[i].strict);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/opts/text", test_text);
    g_test_add_func("/opts/json", test_json);
    g_test_add_func("/opts/bad", test_bad_text);
    g_test_add_func("/opts/typed", test_typed);
    g_test_add_func("/opts/sizes", test_sizes);
    g_test_add_func("/opts/booleans", test_booleans);
    return g_test_run();
}
