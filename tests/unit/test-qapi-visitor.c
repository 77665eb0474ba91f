/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qapi/visitor through generated types of tests/qapi-schema/good.json: round trips, and QEMU's words for what does not fit. */
#include <json-c/json.h>

#include "qapi-schema/qapi-visit.h"
#include "monitor/json-text.h"

/* An optional list that is empty counts as absent: a list is NULL when it is empty. */
static void round_trip(const char *text)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    struct json_object *in = json_tokener_parse(text);
    g_autoptr(Everything) e = qapi_Everything_from_json(in, &err);
    g_assert_no_error(err);
    struct json_object *back = qapi_Everything_to_json(e);
    json_write(out, back, false);
    g_assert_cmpstr(out->str, ==, text);
    json_object_put(in);
    json_object_put(back);
}

static void test_round_trips(void)
{
    round_trip("{\"str\": \"x\"}");
    round_trip("{\"str\": \"\", \"flag\": false, \"num\": 1.5, \"i8\": -128, \"u8\": 255, "
               "\"i64\": -9223372036854775808, \"u64\": 18446744073709551615, "
               "\"color\": \"dark-red\", \"nested\": {\"n\": 1}, \"any\": [1, {}]}");
    round_trip("{\"str\": \"x\", \"list\": [{\"n\": 1}, {\"n\": 2}], \"names\": [\"a\", \"b\"], "
               "\"colors\": [\"dark-red\", \"blue\"], \"alt\": null, "
               "\"shape\": {\"kind\": \"circle\", \"radius\": 5}}");
    round_trip("{\"str\": \"x\", \"alt\": \"text\", \"shape\": {\"kind\": \"point\"}}");
}

typedef struct Bad {
    const char *text, *message;
} Bad;

static const Bad bads[] = {
    { "{}", "Parameter 'str' is missing" },
    { "[]", "Invalid parameter type for 'null', expected: object" },
    { "{\"str\": 1}", "Invalid parameter type for 'str', expected: string" },
    { "{\"str\": null}", "Invalid parameter type for 'str', expected: string" },
    { "{\"str\": \"\", \"flag\": 1}", "Invalid parameter type for 'flag', expected: boolean" },
    { "{\"str\": \"\", \"num\": \"1\"}", "Invalid parameter type for 'num', expected: number" },
    { "{\"str\": \"\", \"i8\": 128}", "Parameter 'i8' expects int8_t" },
    { "{\"str\": \"\", \"i8\": 1.0}", "Invalid parameter type for 'i8', expected: integer" },
    { "{\"str\": \"\", \"i64\": 9223372036854775808}",
      "Invalid parameter type for 'i64', expected: integer" },
    { "{\"str\": \"\", \"u8\": 300}", "Parameter 'u8' expects uint8_t" },
    { "{\"str\": \"\", \"u8\": -1}", "Parameter 'u8' expects uint8_t" },
    { "{\"str\": \"\", \"u8\": \"a\"}", "Parameter 'u8' expects uint64" },
    { "{\"str\": \"\", \"u64\": 1.5}", "Parameter 'u64' expects uint64" },
    { "{\"str\": \"\", \"color\": \"pink\"}", "Parameter 'color' does not accept value 'pink'" },
    { "{\"str\": \"\", \"color\": 1}", "Invalid parameter type for 'color', expected: string" },
    { "{\"str\": \"\", \"colors\": [\"pink\"]}", "Parameter 'null' does not accept value 'pink'" },
    { "{\"str\": \"\", \"list\": {}}", "Invalid parameter type for 'list', expected: array" },
    { "{\"str\": \"\", \"list\": [1]}", "Invalid parameter type for 'list[0]', expected: object" },
    { "{\"str\": \"\", \"list\": [{\"n\": 1}, {}]}", "Parameter 'list[1].n' is missing" },
    { "{\"str\": \"\", \"list\": [{\"n\": 1, \"z\": 1}]}", "Parameter 'list[0].z' is unexpected" },
    { "{\"str\": \"\", \"alt\": 1}", "Invalid parameter type for 'alt', expected: TextOrNull" },
    { "{\"str\": \"\", \"shape\": {\"kind\": \"circle\"}}", "Parameter 'shape.radius' is missing" },
    { "{\"str\": \"\", \"shape\": {\"kind\": \"point\", \"radius\": 1}}",
      "Parameter 'shape.radius' is unexpected" },
    { "{\"str\": \"\", \"bogus\": 1}", "Parameter 'bogus' is unexpected" },
};

static void test_errors(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bads); i++) {
        g_autoptr(GError) err = NULL;
        struct json_object *in = json_tokener_parse(bads[i].text);
        g_assert_null(qapi_Everything_from_json(in, &err));
        g_assert_nonnull(err);
        g_assert_cmpstr(err->message, ==, bads[i].message);
        json_object_put(in);
    }
}

static void test_enums(void)
{
    g_autoptr(GError) err = NULL;
    g_assert_cmpstr(Color_str(COLOR_DARK_RED), ==, "dark-red");
    g_assert_cmpstr(Color_str((Color)99), ==, "invalid");
    g_assert_cmpint(Color_parse("blue", &err), ==, COLOR_BLUE);
    g_assert_cmpint(Color_parse("pink", &err), ==, -1);
    g_assert_cmpstr(err->message, ==, "invalid parameter value: pink: expected blue or dark-red");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/round-trips", test_round_trips);
    g_test_add_func("/qapi/errors", test_errors);
    g_test_add_func("/qapi/enums", test_enums);
    return g_test_run();
}
