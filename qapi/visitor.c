/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walks over QAPI type descriptors: JSON in, JSON out, free. Called by
 * generated code only. Never trusts JSON: every value is checked for kind and
 * range before it is stored. Recursion is bounded by the depth of the JSON,
 * which the monitor's parser limits.
 */
#include "qapi/visitor.h"

#include <json-c/json.h>
#include <string.h>

#include "util/error.h"
#include "util/near-name.h"

#define SCALAR(type_name, kind_name) \
    const QapiType qapi_type_##type_name = { .kind = QAPI_KIND_##kind_name, .name = #type_name }

SCALAR(str, STR);
SCALAR(bool, BOOL);
SCALAR(number, NUMBER);
SCALAR(int, INT);
SCALAR(int8, INT8);
SCALAR(int16, INT16);
SCALAR(int32, INT32);
SCALAR(int64, INT64);
SCALAR(uint8, UINT8);
SCALAR(uint16, UINT16);
SCALAR(uint32, UINT32);
SCALAR(uint64, UINT64);
SCALAR(size, SIZE);
SCALAR(any, ANY);
SCALAR(null, NULL);

/* Where we are, for messages: "capabilities[0].state". Lives on the stack of the walk. */
typedef struct Path {
    const struct Path *up;
    const char *name;   /* NULL: an array element */
    size_t index;
} Path;

static bool is_pointer(const QapiType *type)
{
    return type->kind == QAPI_KIND_STR || type->kind == QAPI_KIND_ANY ||
           type->kind >= QAPI_KIND_STRUCT;
}

static void path_append(const Path *path, GString *out)
{
    if (!path) {
        return;
    }
    path_append(path->up, out);
    if (path->name) {
        g_string_append_printf(out, "%s%s", out->len ? "." : "", path->name);
    } else {
        g_string_append_printf(out, "[%zu]", path->index);
    }
}

static char *path_text(const Path *path)
{
    GString *out = g_string_new(NULL);
    path_append(path, out);
    return g_string_free(out, FALSE);
}

static bool fail_type(const Path *path, const char *expected, GError **errp)
{
    g_autofree char *where = path_text(path);
    error_setg(errp, "Invalid parameter type for '%s', expected: %s", *where ? where : "null",
               expected);
    return false;
}

static bool fail_range(const Path *path, const char *expected, GError **errp)
{
    g_autofree char *where = path_text(path);
    error_setg(errp, "Parameter '%s' expects %s", where, expected);
    return false;
}

/* ---- enums ---- */

int qapi_enum_index(const QapiType *type, const char *text)
{
    for (size_t i = 0; i < type->n_values; i++) {
        if (type->values[i] && !strcmp(type->values[i], text)) {
            return (int)i;
        }
    }
    return -1;
}

#define FEW_VALUES 8

/* ": expected a, b or c", if they are few. */
static char *values_text(const QapiType *type)
{
    GString *out = g_string_new(NULL);

    for (size_t i = 0; i < type->n_values && type->n_values <= FEW_VALUES; i++) {
        if (type->values[i]) {
            g_string_append_printf(out, "%s%s", !out->len ? ": expected "
                                   : i + 1 < type->n_values ? ", " : " or ", type->values[i]);
        }
    }
    return g_string_free(out, FALSE);
}

int qapi_enum_parse(const QapiType *type, const char *text, GError **errp)
{
    int i = qapi_enum_index(type, text);
    if (i < 0) {
        g_autofree char *hint = near_hint(type->values, sizeof(type->values[0]), type->n_values, text);
        g_autofree char *all = *hint ? NULL : values_text(type);
        error_setg(errp, "invalid parameter value: %s%s%s", text, hint, all ? all : "");
    }
    return i;
}

const char *qapi_enum_str(const QapiType *type, int value)
{
    if (value < 0 || (size_t)value >= type->n_values || !type->values[value]) {
        return "invalid";
    }
    return type->values[value];
}

/* ---- free ---- */

static void free_contents(const QapiType *type, void *obj);

/* Frees what the member at p holds; p itself belongs to the caller. */
static void free_value(const QapiType *type, void *p)
{
    switch (type->kind) {
    case QAPI_KIND_STR:
        g_free(*(char **)p);
        break;
    case QAPI_KIND_ANY:
        json_object_put(*(struct json_object **)p);
        break;
    case QAPI_KIND_STRUCT:
    case QAPI_KIND_ALTERNATE:
    case QAPI_KIND_LIST:
        qapi_free(type, *(void **)p);
        break;
    default:
        break;
    }
}

static void free_contents(const QapiType *type, void *obj)
{
    char *base = obj;
    if (type->kind == QAPI_KIND_ALTERNATE) {
        unsigned kind = *(unsigned *)base;
        if (kind < type->n_members) {
            free_value(type->members[kind].type, base + type->u_offset);
        }
        return;
    }
    if (type->tag) {
        int tag = *(int *)(base + type->tag_offset);
        if (tag >= 0 && (size_t)tag < type->tag->n_values && type->branches[tag]) {
            free_contents(type->branches[tag], base + type->u_offset);
        }
    }
    for (size_t i = 0; i < type->n_members; i++) {
        free_value(type->members[i].type, base + type->members[i].offset);
    }
}

void qapi_free(const QapiType *type, void *obj)
{
    if (type->kind == QAPI_KIND_LIST) {
        while (obj) {
            void *next = *(void **)obj;
            free_value(type->element, (char *)obj + type->value_offset);
            g_free(obj);
            obj = next;
        }
    } else if (obj) {
        free_contents(type, obj);
        g_free(obj);
    }
}

/* ---- JSON to struct ---- */

static bool read_value(const QapiType *type, struct json_object *json, void *p, const Path *path,
                       GError **errp);

/* Whole JSON number as two's complement bits; *negative tells them apart. */
static bool read_bits(struct json_object *json, uint64_t *bits, bool *negative)
{
    if (!json_object_is_type(json, json_type_int)) {
        return false;
    }
    int64_t s = json_object_get_int64(json);
    *negative = s < 0;
    *bits = s < 0 ? (uint64_t)s : json_object_get_uint64(json);
    return true;
}

static bool read_signed(struct json_object *json, int bits, const char *ctype, int64_t *out,
                        const Path *path, GError **errp)
{
    uint64_t raw;
    bool negative;
    if (!read_bits(json, &raw, &negative) || (!negative && raw > INT64_MAX)) {
        return fail_type(path, "integer", errp);
    }
    *out = (int64_t)raw;
    int64_t max = bits == 64 ? INT64_MAX : (1LL << (bits - 1)) - 1;
    return (*out <= max && *out >= -max - 1) || fail_range(path, ctype, errp);
}

/* Negative numbers wrap, as QEMU's do: -1 is a way to say "the largest uint64". */
static bool read_unsigned(struct json_object *json, int bits, const char *ctype, uint64_t *out,
                          const Path *path, GError **errp)
{
    bool negative;
    if (!read_bits(json, out, &negative)) {
        return fail_range(path, "uint64", errp);
    }
    return bits == 64 || *out < (1ULL << bits) || fail_range(path, ctype, errp);
}

#define READ_SIGNED(bits, text) do { \
        int64_t v; \
        if (!read_signed(json, bits, text, &v, path, errp)) { \
            return false; \
        } \
        *(int##bits##_t *)p = (int##bits##_t)v; \
        return true; \
    } while (0)

#define READ_UNSIGNED(bits, text) do { \
        uint64_t v; \
        if (!read_unsigned(json, bits, text, &v, path, errp)) { \
            return false; \
        } \
        *(uint##bits##_t *)p = (uint##bits##_t)v; \
        return true; \
    } while (0)

static bool read_integer(QapiKind kind, struct json_object *json, void *p, const Path *path,
                         GError **errp)
{
    switch (kind) {
    case QAPI_KIND_INT8:
        READ_SIGNED(8, "int8_t");
    case QAPI_KIND_INT16:
        READ_SIGNED(16, "int16_t");
    case QAPI_KIND_INT32:
        READ_SIGNED(32, "int32_t");
    case QAPI_KIND_UINT8:
        READ_UNSIGNED(8, "uint8_t");
    case QAPI_KIND_UINT16:
        READ_UNSIGNED(16, "uint16_t");
    case QAPI_KIND_UINT32:
        READ_UNSIGNED(32, "uint32_t");
    case QAPI_KIND_UINT64:
    case QAPI_KIND_SIZE:
        READ_UNSIGNED(64, "uint64");
    default:
        READ_SIGNED(64, "int64_t");
    }
}

static bool read_string(struct json_object *json, void *p, const Path *path, GError **errp)
{
    if (!json_object_is_type(json, json_type_string)) {
        return fail_type(path, "string", errp);
    }
    *(char **)p = g_strdup(json_object_get_string(json));
    return true;
}

static bool read_enum(const QapiType *type, struct json_object *json, void *p, const Path *path,
                      GError **errp)
{
    if (!json_object_is_type(json, json_type_string)) {
        return fail_type(path, "string", errp);
    }
    const char *text = json_object_get_string(json);
    int i = qapi_enum_index(type, text);
    if (i < 0) {
        /* only the last component, and "null" for array elements: as QEMU says it */
        g_autofree char *hint = near_hint(type->values, sizeof(type->values[0]), type->n_values, text);
        error_setg(errp, "Parameter '%s' does not accept value '%s'%s",
                   path && path->name ? path->name : "null", text, hint);
        return false;
    }
    *(int *)p = i;
    return true;
}

static bool read_members(const QapiType *type, struct json_object *json, char *base,
                         const Path *path, size_t *used, GError **errp)
{
    for (size_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];
        Path here = { .up = path, .name = m->name };
        struct json_object *val;
        if (!json_object_object_get_ex(json, m->name, &val)) {
            if (m->optional) {
                continue;
            }
            g_autofree char *where = path_text(&here);
            error_setg(errp, "Parameter '%s' is missing", where);
            return false;
        }
        ++*used;
        if (!read_value(m->type, val, base + m->offset, &here, errp)) {
            return false;
        }
        if (m->has_offset >= 0) {
            *(bool *)(base + m->has_offset) = true;
        }
    }
    if (type->tag) {
        const QapiType *branch = type->branches[*(int *)(base + type->tag_offset)];
        return !branch || read_members(branch, json, base + type->u_offset, path, used, errp);
    }
    return true;
}

static bool type_has_member(const QapiType *type, const char *base, const char *name)
{
    for (size_t i = 0; i < type->n_members; i++) {
        if (!strcmp(type->members[i].name, name)) {
            return true;
        }
    }
    if (type->tag) {
        const QapiType *branch = type->branches[*(int *)(base + type->tag_offset)];
        return branch && type_has_member(branch, base + type->u_offset, name);
    }
    return false;
}

static bool read_struct(const QapiType *type, struct json_object *json, char *base,
                        const Path *path, GError **errp)
{
    if (!json_object_is_type(json, json_type_object)) {
        return fail_type(path, "object", errp);
    }
    size_t used = 0;
    if (!read_members(type, json, base, path, &used, errp)) {
        return false;
    }
    if (used == (size_t)json_object_object_length(json)) {
        return true;
    }
    json_object_object_foreach(json, key, val) {
        (void)val;
        if (!type_has_member(type, base, key)) {
            Path here = { .up = path, .name = key };
            g_autofree char *where = path_text(&here);
            g_autofree char *hint = near_hint(&type->members[0].name, sizeof(type->members[0]),
                                              type->n_members, key);
            error_setg(errp, "Parameter '%s' is unexpected%s", where, hint);
            return false;
        }
    }
    return true;
}

static bool kind_accepts(const QapiType *type, struct json_object *json)
{
    enum json_type have = json_object_get_type(json);
    switch (type->kind) {
    case QAPI_KIND_STR:
    case QAPI_KIND_ENUM:
        return have == json_type_string;
    case QAPI_KIND_BOOL:
        return have == json_type_boolean;
    case QAPI_KIND_NULL:
        return have == json_type_null;
    case QAPI_KIND_NUMBER:
        return have == json_type_int || have == json_type_double;
    case QAPI_KIND_STRUCT:
        return have == json_type_object;
    case QAPI_KIND_LIST:
        return have == json_type_array;
    default:
        return have == json_type_int;
    }
}

static bool read_alternate(const QapiType *type, struct json_object *json, char *base,
                           const Path *path, GError **errp)
{
    for (size_t i = 0; i < type->n_members; i++) {
        if (kind_accepts(type->members[i].type, json)) {
            *(unsigned *)base = (unsigned)i;
            return read_value(type->members[i].type, json, base + type->u_offset, path, errp);
        }
    }
    return fail_type(path, type->name, errp);
}

static bool read_list(const QapiType *type, struct json_object *json, void **out,
                      const Path *path, GError **errp)
{
    if (!json_object_is_type(json, json_type_array)) {
        return fail_type(path, "array", errp);
    }
    void **tail = out;
    for (size_t i = 0; i < json_object_array_length(json); i++) {
        Path here = { .up = path, .index = i };
        char *node = g_malloc0(type->size);
        *tail = node;       /* linked first: whatever fails is freed with the list */
        tail = (void **)node;
        if (!read_value(type->element, json_object_array_get_idx(json, i),
                        node + type->value_offset, &here, errp)) {
            return false;
        }
    }
    return true;
}

static bool read_value(const QapiType *type, struct json_object *json, void *p, const Path *path,
                       GError **errp)
{
    switch (type->kind) {
    case QAPI_KIND_STR:
        return read_string(json, p, path, errp);
    case QAPI_KIND_BOOL:
        if (!json_object_is_type(json, json_type_boolean)) {
            return fail_type(path, "boolean", errp);
        }
        *(bool *)p = json_object_get_boolean(json);
        return true;
    case QAPI_KIND_NUMBER:
        if (!kind_accepts(type, json)) {
            return fail_type(path, "number", errp);
        }
        *(double *)p = json_object_get_double(json);
        return true;
    case QAPI_KIND_NULL:
        return json == NULL || fail_type(path, "null", errp);
    case QAPI_KIND_ANY:
        *(struct json_object **)p = json_object_get(json);
        return true;
    case QAPI_KIND_ENUM:
        return read_enum(type, json, p, path, errp);
    case QAPI_KIND_LIST:
        return read_list(type, json, p, path, errp);
    case QAPI_KIND_STRUCT:
        *(void **)p = g_malloc0(type->size);
        return read_struct(type, json, *(char **)p, path, errp);
    case QAPI_KIND_ALTERNATE:
        *(void **)p = g_malloc0(type->size);
        return read_alternate(type, json, *(char **)p, path, errp);
    default:
        return read_integer(type->kind, json, p, path, errp);
    }
}

bool qapi_input(const QapiType *type, struct json_object *json, void **out, GError **errp)
{
    struct json_object *empty = json ? NULL : json_object_new_object();
    *out = NULL;
    bool ok = read_value(type, json ? json : empty, out, NULL, errp);
    json_object_put(empty);
    if (!ok) {
        qapi_free(type, *out);
        *out = NULL;
    }
    return ok;
}

/* ---- struct to JSON ---- */

static struct json_object *write_value(const QapiType *type, const void *p);

static void write_members(const QapiType *type, const char *base, struct json_object *out)
{
    for (size_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];
        bool absent = m->has_offset >= 0 ? !*(const bool *)(base + m->has_offset)
                    : m->optional && is_pointer(m->type) && !*(void *const *)(base + m->offset);
        if (!absent) {
            json_object_object_add(out, m->name, write_value(m->type, base + m->offset));
        }
    }
    if (type->tag) {
        int tag = *(const int *)(base + type->tag_offset);
        const QapiType *branch = (size_t)tag < type->tag->n_values ? type->branches[tag] : NULL;
        if (branch) {
            write_members(branch, base + type->u_offset, out);
        }
    }
}

static struct json_object *write_list(const QapiType *type, const void *list)
{
    struct json_object *out = json_object_new_array();
    for (const char *node = list; node; node = *(const char *const *)node) {
        json_object_array_add(out, write_value(type->element, node + type->value_offset));
    }
    return out;
}

static struct json_object *write_alternate(const QapiType *type, const char *base)
{
    unsigned kind = *(const unsigned *)base;
    g_assert(kind < type->n_members);   /* our own struct, not outside data */
    return write_value(type->members[kind].type, base + type->u_offset);
}

static struct json_object *write_value(const QapiType *type, const void *p)
{
    switch (type->kind) {
    case QAPI_KIND_STR: {
        const char *s = *(char *const *)p;
        return json_object_new_string(s ? s : "");
    }
    case QAPI_KIND_BOOL:
        return json_object_new_boolean(*(const bool *)p);
    case QAPI_KIND_NUMBER:
        return json_object_new_double(*(const double *)p);
    case QAPI_KIND_INT:
    case QAPI_KIND_INT64:
        return json_object_new_int64(*(const int64_t *)p);
    case QAPI_KIND_INT8:
        return json_object_new_int64(*(const int8_t *)p);
    case QAPI_KIND_INT16:
        return json_object_new_int64(*(const int16_t *)p);
    case QAPI_KIND_INT32:
        return json_object_new_int64(*(const int32_t *)p);
    case QAPI_KIND_UINT8:
        return json_object_new_int64(*(const uint8_t *)p);
    case QAPI_KIND_UINT16:
        return json_object_new_int64(*(const uint16_t *)p);
    case QAPI_KIND_UINT32:
        return json_object_new_int64(*(const uint32_t *)p);
    case QAPI_KIND_UINT64:
    case QAPI_KIND_SIZE:
        return json_object_new_uint64(*(const uint64_t *)p);
    case QAPI_KIND_ANY:
        return json_object_get(*(struct json_object *const *)p);
    case QAPI_KIND_NULL:
        return NULL;
    case QAPI_KIND_ENUM:
        return json_object_new_string(qapi_enum_str(type, *(const int *)p));
    default:
        return qapi_output(type, *(void *const *)p);
    }
}

struct json_object *qapi_output(const QapiType *type, const void *obj)
{
    if (type->kind == QAPI_KIND_LIST) {
        return write_list(type, obj);
    }
    if (type->kind == QAPI_KIND_ALTERNATE) {
        return obj ? write_alternate(type, obj) : NULL;
    }
    struct json_object *out = json_object_new_object();
    if (obj) {
        write_members(type, obj, out);
    }
    return out;
}
