/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints json-c values the way QEMU prints them: ", " and ": " between
 * things, everything outside printable ASCII as \uXXXX, doubles with 17
 * digits. Called by the QMP session.
 */
#include "monitor/json-text.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

static void write_code_point(GString *out, unsigned c)
{
    if (c > 0xffff) {
        c -= 0x10000;
        g_string_append_printf(out, "\\u%04X\\u%04X", 0xd800 | c >> 10, 0xdc00 | (c & 0x3ff));
    } else {
        g_string_append_printf(out, "\\u%04X", c);
    }
}

/* One character at s that needs an escape; returns what follows it. */
static const char *write_escaped(GString *out, const char *s, const char *end)
{
    static const char special[] = "\"\\\b\f\n\r\t", name[] = "\"\\bfnrt";
    for (int i = 0; special[i]; i++) {
        if (*s == special[i]) {
            g_string_append_printf(out, "\\%c", name[i]);
            return s + 1;
        }
    }
    if ((unsigned char)*s < 0x80) {
        write_code_point(out, (unsigned char)*s);
        return s + 1;
    }
    if (end - s >= 2 && (unsigned char)s[0] == 0xc0 && (unsigned char)s[1] == 0x80) {
        write_code_point(out, 0);
        return s + 2;
    }
    gunichar c = g_utf8_get_char_validated(s, end - s);
    if (c == (gunichar)-1 || c == (gunichar)-2) {
        write_code_point(out, 0xfffd);
        return s + 1;
    }
    write_code_point(out, c);
    return g_utf8_next_char(s);
}

static void write_string(GString *out, const char *s, size_t len)
{
    const char *end = s + len;
    g_string_append_c(out, '"');
    while (s < end) {
        if (*s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\') {
            g_string_append_c(out, *s++);
        } else {
            s = write_escaped(out, s, end);
        }
    }
    g_string_append_c(out, '"');
}

static void separator(GString *out, bool first, bool pretty, int indent)
{
    if (!first) {
        g_string_append(out, pretty ? "," : ", ");
    }
    if (pretty) {
        g_string_append_printf(out, "\n%*s", indent * 4, "");
    }
}

static void write_value(GString *out, struct json_object *value, bool pretty, int indent)
{
    bool first = true;
    switch (json_object_get_type(value)) {
    case json_type_null:
        g_string_append(out, "null");
        break;
    case json_type_boolean:
        g_string_append(out, json_object_get_boolean(value) ? "true" : "false");
        break;
    case json_type_int:
        g_string_append(out, json_object_to_json_string(value));
        break;
    case json_type_double: {
        char buf[G_ASCII_DTOSTR_BUF_SIZE];
        double d = json_object_get_double(value);
        g_string_append(out, g_ascii_formatd(buf, sizeof(buf), "%.17g", isfinite(d) ? d : 0));
        break;
    }
    case json_type_string:
        write_string(out, json_object_get_string(value),
                     (size_t)json_object_get_string_len(value));
        break;
    case json_type_array:
        g_string_append_c(out, '[');
        for (size_t i = 0; i < json_object_array_length(value); i++, first = false) {
            separator(out, first, pretty, indent + 1);
            write_value(out, json_object_array_get_idx(value, i), pretty, indent + 1);
        }
        separator(out, true, pretty, indent);
        g_string_append_c(out, ']');
        break;
    case json_type_object: {
        g_string_append_c(out, '{');
        json_object_object_foreach(value, key, val) {
            separator(out, first, pretty, indent + 1);
            write_string(out, key, strlen(key));
            g_string_append(out, ": ");
            write_value(out, val, pretty, indent + 1);
            first = false;
        }
        separator(out, true, pretty, indent);
        g_string_append_c(out, '}');
        break;
    }
    }
}

void json_write(GString *out, struct json_object *value, bool pretty)
{
    write_value(out, value, pretty, 0);
}
