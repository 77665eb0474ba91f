/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The JSON description's text as QEMU writes it: one line, ", " between and
 * ": " inside, non-ASCII left alone. json-c's own printers use other spaces,
 * and the tests compare bytes.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include "migration/vmstate.h"

static void text_string(GString *out, const char *s, size_t len)
{
    g_string_append_c(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = s[i];
        if (c == '"' || c == '\\') {
            g_string_append_c(out, '\\');
            g_string_append_c(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            g_string_append_printf(out, "\\u%04x", c);
        } else {
            g_string_append_c(out, c);
        }
    }
    g_string_append_c(out, '"');
}

static void text_value(GString *out, struct json_object *v);

static void text_object(GString *out, struct json_object *v)
{
    const char *separator = "";

    g_string_append_c(out, '{');
    json_object_object_foreach(v, key, value) {
        g_string_append(out, separator);
        text_string(out, key, strlen(key));
        g_string_append(out, ": ");
        text_value(out, value);
        separator = ", ";
    }
    g_string_append_c(out, '}');
}

static void text_array(GString *out, struct json_object *v)
{
    g_string_append_c(out, '[');
    for (size_t i = 0; i < json_object_array_length(v); i++) {
        g_string_append(out, i ? ", " : "");
        text_value(out, json_object_array_get_idx(v, i));
    }
    g_string_append_c(out, ']');
}

static void text_value(GString *out, struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_object:
        text_object(out, v);
        break;
    case json_type_array:
        text_array(out, v);
        break;
    case json_type_string:
        text_string(out, json_object_get_string(v), json_object_get_string_len(v));
        break;
    case json_type_int:
        g_string_append_printf(out, "%" PRId64, json_object_get_int64(v));
        break;
    default: /* null, booleans, doubles: json-c has no spaces to add to these */
        g_string_append(out, v ? json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN)
                               : "null");
    }
}

char *vmstate_json_text(struct json_object *json)
{
    GString *out = g_string_new(NULL);
    text_value(out, json);
    return g_string_free(out, FALSE);
}
