/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * monitor/json-reader and json-writer: the answers to good and bad text are
 * those that qemu-system-riscv64 7.2 gave to the same bytes ("ok" stands for
 * any value that was accepted).
 */
#include <json-c/json.h>
#include <string.h>

#include "monitor/json-text.h"

#define P "JSON parse error, "
#define S(...) P "stray '" __VA_ARGS__ "'"

typedef struct Row {
    const char *input;  /* a line; the end of line is added */
    const char *want;   /* one result per emitted message, joined by " | " */
} Row;

static const Row rows[] = {
    { "{\"execute\" \"query-status\"}", P "missing : in object pair" },
    { "{\"execute\":}", P "expecting value" },
    { "{\"execute\":\"query-status\",}", P "expecting value" },
    { "{'execute':'query-status'}", "{\"execute\": \"query-status\"}" },
    { "{\"a\":1} {\"b\":2}", "{\"a\": 1} | {\"b\": 2}" },
    { "{\"a\":1,\"a\":2}", P "duplicate key" },
    { "{\"a\":nul}", P "invalid keyword 'nul'" },
    { "{1:2}", P "key is not a string in object" },
    { "{\"a\":1 2}", P "expected separator in dict" },
    { "[1 2]", P "expected separator in list" },
    { "[1,]", P "expecting value" },
    { "[,1]", P "expecting value" },
    { "[1 }]", P "expected separator in list | " P "expecting value" },
    { "{\"a\":1]}", P "expected separator in dict | " P "expecting value" },
    { "{,}", P "expecting value" },
    { "{:}", P "expecting value" },
    { ":", P "expecting value" },
    { "]", P "expecting value" },
    { "}", P "expecting value" },
    { "{\"a\"}", P "missing : in object pair" },
    { "{\"a\":1,2:3}", P "key is not a string in object" },
    { "{\"a\"", "" },
    { "{\"a\":[1,2}", "" },
    { "\xff", S("\xff") },
    { "[\"\\u00e9\"]", "[\"\\u00E9\"]" },
    { "[\"\\ud83d\\ude00\"]", "[\"\\uD83D\\uDE00\"]" },
    { "[\"\\ud83dx\"]", P "\\ud83d is not a valid Unicode character" },
    { "[\"\\ude00\"]", P "\\ude00 is not a valid Unicode character" },
    { "[\"\\u12\"]", P "\\u12\" is not a valid Unicode character" },
    { "[\"\\uD83D\\u0041\"]", P "\\uD83D is not a valid Unicode character" },
    { "[\"\\uffff\"]", P "\\uffff is not a valid Unicode character" },
    { "[\"\\ufdd0\"]", P "\\ufdd0 is not a valid Unicode character" },
    { "[\"\\u0000\"]", "[\"\\u0000\"]" },
    { "[\"\x80\"]", P "invalid UTF-8 sequence in string" },
    { "[\"\xc3(\"]", P "invalid UTF-8 sequence in string" },
    { "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]", "[\"\\u00E9\\u20AC\\uD83D\\uDE00\"]" },
    { "[\"\xed\xa0\x80\"]", P "invalid UTF-8 sequence in string" },
    { "[\"\xef\xbf\xbf\"]", P "invalid UTF-8 sequence in string" },
    { "[\"\xf5\"]", P "invalid UTF-8 sequence in string" },
    { "[\"\xc0\x80\"]", "[\"\\u0000\"]" },
    { "[\"\xc0\x81\"]", P "invalid UTF-8 sequence in string" },
    { "@\"{\"", S("@") " | " S("\"\n") },
    { "@ \"abc\" 1", S("@") },
    { "@\n1", S("@") " | 1" },
    { "@\t1", S("@") },
    { "@\x01", S("@") " | " S("\x01") },
    { "@\xc3\xa9x", S("@") },
    { "@\xffx", S("@") " | " S("\xff") },
    { "@\x80x", S("@") },
    { "@[", S("@") },
    { "@]x", S("@") " | " P "expecting value | " P "invalid keyword 'x'" },
    { "@,1,", S("@") " | " P "expecting value | 1 | " P "expecting value" },
    { "'a\"b'", "\"a\\\"b\"" },
    { "'a\\'b'", "\"a'b\"" },
    { "\"\\/\\b\\f\\n\\r\\t\\'\"", "\"/\\b\\f\\n\\r\\t'\"" },
    { "[\"\\q\"]", P "invalid escape sequence in string" },
    { "[\"\\x41\"]", P "invalid escape sequence in string" },
    { "1.5e", S("1.5e\n") },
    { "1.5e+", S("1.5e+\n") },
    { "-1", "-1" },
    { "-", S("-\n") },
    { "--1", S("--") },
    { "1x", "1 | " P "invalid keyword 'x'" },
    { "1\"a\"", "1 | \"a\"" },
    { "truefalse", P "invalid keyword 'truefalse'" },
    { "null1", "null | 1" },
    { "true\"a\"", "true | \"a\"" },
    { "TRUE", S("T") },
    { "a1", P "invalid keyword 'a' | 1" },
    { "%i", S("%") },
    { "{\"a\":%(x)}", S("%") " | " P "expecting value" },
    { "{\"a\":1 /**/}", S("/") " | " P "expecting value" },
    { "\\", S("\\") },
    { "[\"\x7f\"]", "[\"\\u007F\"]" },
    { "{\"a\":\"\xfe\"}", S("\"\xfe") " | " P "expecting value" },
    { "{\"a\":0x10}", P "expected separator in dict" },
    { "{\"a\":.5}", S(".") " | " P "expecting value" },
    { "{\"a\":01}", S("01") " | " P "expecting value" },
    { "{\"a\":-}", S("-}") },
    { "{\"a\":1.}", S("1.}") },
    { "{\"a\":+1}", S("+") " | " P "expecting value" },
    { "{\"a\":\"tab\there\"}", S("\"tab\t") " | " P "expecting value" },
    { "[1e5,0.1,-0,1.0,1e-7]", "[100000, 0.10000000000000001, 0, 1, 9.9999999999999995e-08]" },
    { "[9223372036854775807,9223372036854775808,18446744073709551615]",
      "[9223372036854775807, 9223372036854775808, 18446744073709551615]" },
    { "[18446744073709551616,-9223372036854775808,-9223372036854775809]",
      "[1.8446744073709552e+19, -9223372036854775808, -9.2233720368547758e+18]" },
    { "[1E400]", P "number out of range" },     /* QEMU answers with "inf", which is no JSON */
    { "{\"execute\":\"x\"}}", "{\"execute\": \"x\"} | " P "expecting value" },
};

static void collect(void *opaque, struct json_object *value, const GError *err)
{
    GString *out = opaque;
    if (out->len) {
        g_string_append(out, " | ");
    }
    if (err) {
        g_string_append(out, err->message);
    } else {
        json_write(out, value, false);
    }
    json_object_put(value);
}

static void check(const char *input, const char *want, size_t step)
{
    g_autoptr(GString) got = g_string_new(NULL);
    JsonReader *r = json_reader_new(collect, got);
    g_autofree char *line = g_strconcat(input, "\n", NULL);
    size_t len = strlen(line);
    for (size_t i = 0; i < len; i += step) {
        json_reader_feed(r, line + i, MIN(step, len - i));
    }
    g_assert_cmpstr(got->str, ==, want);
    /* whatever happened: the session goes on */
    json_reader_reset(r);
    g_string_truncate(got, 0);
    json_reader_feed(r, "{\"x\": []}", 9);
    g_assert_cmpstr(got->str, ==, "{\"x\": []}");
    json_reader_free(r);
}

static void test_table(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        check(rows[i].input, rows[i].want, 4096);
    }
}

static void test_byte_by_byte(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        check(rows[i].input, rows[i].want, 1);
    }
}

static void test_depth(void)
{
    g_autofree char *deep = g_strnfill(JSON_DEPTH_MAX + 1, '[');
    check(deep, "JSON nesting depth limit exceeded", 4096);
    g_autoptr(GString) fits = g_string_new(NULL), want = g_string_new(NULL);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        g_string_append_c(fits, '[');
        g_string_append_c(want, '[');
    }
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        g_string_append_c(fits, ']');
        g_string_append_c(want, ']');
    }
    check(fits->str, want->str, 7);
}

static void test_size(void)
{
    g_autoptr(GString) got = g_string_new(NULL);
    JsonReader *r = json_reader_new(collect, got);
    g_autofree char *chunk = g_strnfill(1 << 20, 'a');
    json_reader_feed(r, "\"", 1);
    for (unsigned i = 0; i <= JSON_BYTES_MAX >> 20; i++) {
        json_reader_feed(r, chunk, 1 << 20);
    }
    g_assert_cmpstr(got->str, ==, "JSON token size limit exceeded");
    json_reader_free(r);
}

static void test_pretty(void)
{
    g_autoptr(GString) got = g_string_new(NULL);
    struct json_object *v = json_tokener_parse("{\"a\": {\"b\": [1, {}]}, \"c\": []}");
    json_write(got, v, true);
    json_object_put(v);
    g_assert_cmpstr(got->str, ==, "{\n    \"a\": {\n        \"b\": [\n            1,\n            {\n"
                    "            }\n        ]\n    },\n    \"c\": [\n    ]\n}");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/table", test_table);
    g_test_add_func("/json/byte-by-byte", test_byte_by_byte);
    g_test_add_func("/json/depth", test_depth);
    g_test_add_func("/json/size", test_size);
    g_test_add_func("/json/pretty", test_pretty);
    return g_test_run();
}
