/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a stream that name its layout: the configuration's capabilities, and the description
 * of them. Called by convert.c, for input that was found right.
 */
#include <json-c/json.h>
#include <string.h>
#include "convert.h"
#include "walker.h"

#define CAPABILITIES "configuration/capabilities"
#define PAGE_BITS "configuration/target-page-bits"

static const char *capability_of(FileLayout layout)
{
    return layout == LAYOUT_MAPPED_RAM  ? "mapped-ram"
           : layout == LAYOUT_FIXED_RAM ? "fixed-ram"
                                        : NULL;
}

static void append_be32(GByteArray *a, uint32_t v)
{
    uint32_t big = GUINT32_TO_BE(v);

    g_byte_array_append(a, (const uint8_t *)&big, sizeof(big));
}

static void append_counted(GByteArray *a, const char *name)
{
    uint8_t len = strlen(name);

    g_byte_array_append(a, &len, 1);
    g_byte_array_append(a, (const uint8_t *)name, len);
}

static void append_capabilities(GByteArray *a, const char *capability)
{
    static const uint8_t subsection = 0x05;

    if (capability) {
        g_byte_array_append(a, &subsection, 1);
        append_counted(a, CAPABILITIES);
        append_be32(a, 1);      /* version */
        append_be32(a, 1);      /* how many */
        append_counted(a, capability);
    }
}

/* How long the body of a subsection is. len: what is left. */
static size_t body_length(const char *name, const uint8_t *p, size_t len)
{
    if (!g_str_equal(name, CAPABILITIES)) {
        return g_str_equal(name, PAGE_BITS) ? 4 : 16;
    }
    size_t n = 4;
    for (uint32_t left = len >= 4 ? walker_be32(p) : 0; left > 0 && n < len; left--) {
        n += 1 + p[n];
    }
    return n;
}

GByteArray *convert_configuration(const uint8_t *p, size_t len, FileLayout to)
{
    GByteArray *a = g_byte_array_new(), *later = g_byte_array_new();
    size_t at = 5 + walker_be32(p + 1);

    g_byte_array_append(a, p, MIN(at, len));
    while (at + 2 < len && at + 6 + p[at + 1] <= len) {
        size_t head = 6 + p[at + 1];
        g_autofree char *name = g_strndup((const char *)p + at + 2, p[at + 1]);
        size_t all = MIN(head + body_length(name, p + at + head, len - at - head), len - at);
        if (!g_str_equal(name, CAPABILITIES)) {     /* these come behind the page size */
            g_byte_array_append(g_str_equal(name, PAGE_BITS) ? a : later, p + at, all);
        }
        at += all;
    }
    append_capabilities(a, capability_of(to));
    g_byte_array_append(a, later->data, later->len);
    g_byte_array_unref(later);
    return a;
}

/* ---- the description ---- */

static struct json_object *field(const char *name, const char *type, int size)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(name));
    json_object_object_add(o, "type", json_object_new_string(type));
    json_object_object_add(o, "size", json_object_new_int(size));
    return o;
}

static struct json_object *describe_capabilities(const char *capability)
{
    struct json_object *o = json_object_new_object(), *fields = json_object_new_array();

    json_object_array_add(fields, field("caps_count", "uint32", 4));
    json_object_array_add(fields, field("capabilities", "capability", 1 + strlen(capability)));
    json_object_object_add(o, "vmsd_name", json_object_new_string(CAPABILITIES));
    json_object_object_add(o, "version", json_object_new_int(1));
    json_object_object_add(o, "fields", fields);
    return o;
}

/* The same list without the capabilities, or with others in their place; NULL: it is empty. */
static struct json_object *change_subsections(struct json_object *old, const char *capability)
{
    struct json_object *list = json_object_new_array(), *name;
    size_t count = json_object_is_type(old, json_type_array) ? json_object_array_length(old) : 0;

    if (capability) {
        json_object_array_add(list, describe_capabilities(capability));
    }
    for (size_t i = 0; i < count; i++) {
        struct json_object *o = json_object_array_get_idx(old, i);
        bool named = json_object_object_get_ex(o, "vmsd_name", &name);
        if (!named || !g_str_equal(json_object_get_string(name), CAPABILITIES)) {
            json_object_array_add(list, json_object_get(o));
        }
    }
    if (json_object_array_length(list) > 0) {
        return list;
    }
    json_object_put(list);
    return NULL;
}

/* The length of the object that begins at text, 0 if it does not end. */
static size_t object_length(const char *text)
{
    bool string = false;
    int depth = 0;

    for (size_t i = 0; text[i]; i++) {
        if (string) {
            i += text[i] == '\\' && text[i + 1];
            string = text[i] != '"';
        } else if (text[i] == '"') {
            string = true;
        } else if (text[i] == '{' || text[i] == '}') {
            depth += text[i] == '{' ? 1 : -1;
            if (depth == 0) {
                return i + 1;
            }
        }
    }
    return 0;
}

/* As QEMU and Ferry write it, which no way of json-c to write is. */
static void append_json(GString *text, struct json_object *o)
{
    const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
    const char *between = "";

    if (json_object_is_type(o, json_type_object)) {
        g_string_append_c(text, '{');
        json_object_object_foreach(o, key, value) {
            struct json_object *quoted = json_object_new_string(key);
            g_string_append_printf(text, "%s%s: ", between,
                                   json_object_to_json_string_ext(quoted, flags));
            json_object_put(quoted);
            append_json(text, value);
            between = ", ";
        }
        g_string_append_c(text, '}');
    } else if (json_object_is_type(o, json_type_array)) {
        g_string_append_c(text, '[');
        for (size_t i = 0; i < json_object_array_length(o); i++) {
            g_string_append(text, between);
            append_json(text, json_object_array_get_idx(o, i));
            between = ", ";
        }
        g_string_append_c(text, ']');
    } else {
        g_string_append(text, json_object_to_json_string_ext(o, flags));
    }
}

/* All but that one member stays as it is, to the byte. */
char *convert_description(const char *text, FileLayout to)
{
    static const char begin[] = "{\"configuration\": ";
    const char *value = g_str_has_prefix(text, begin) ? text + strlen(begin) : NULL;
    size_t len = value && *value == '{' ? object_length(value) : 0;
    g_autofree char *old = g_strndup(value ? value : "", len);
    struct json_object *o = len ? json_tokener_parse(old) : NULL, *subsections = NULL;

    if (!o) {
        return g_strdup(text);
    }
    json_object_object_get_ex(o, "subsections", &subsections);
    struct json_object *list = change_subsections(subsections, capability_of(to));
    json_object_object_del(o, "subsections");
    if (list) {
        json_object_object_add(o, "subsections", list);
    }
    GString *changed = g_string_new(begin);
    append_json(changed, o);
    g_string_append(changed, value + len);
    json_object_put(o);
    return g_string_free(changed, FALSE);
}
