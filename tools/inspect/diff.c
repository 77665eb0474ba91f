/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command diff: pages and fields in which two streams leave the destination different. */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include "commands.h"

typedef struct Differ {
    GString *text;
    struct json_object *pages, *fields;
    unsigned count;
} Differ;

/* ---- RAM ---- */

static void pages_differ(Differ *d, const char *block, uint64_t first, uint64_t last)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "block", json_object_new_string(block));
    json_object_object_add(o, "first", json_object_new_int64(first));
    json_object_object_add(o, "last", json_object_new_int64(last));
    json_object_array_add(d->pages, o);
    if (first == last) {
        g_string_append_printf(d->text, "block '%s': page %" PRIu64 " (0x%" PRIx64 ")\n", block,
                               first, first * PAGE);
    } else {
        g_string_append_printf(d->text, "block '%s': pages %" PRIu64 " to %" PRIu64 " (0x%" PRIx64
                               " to 0x%" PRIx64 ")\n", block, first, last, first * PAGE,
                               last * PAGE);
    }
    d->count += last - first + 1;
}

static bool page_written(const RamBlock *b, uint64_t page)
{
    return b->written[page / 64] >> (page % 64) & 1;
}

static bool page_equal(const RamBlock *a, const RamBlock *b, uint64_t page)
{
    return (!page_written(a, page) && !page_written(b, page)) ||
           memcmp(a->data + page * PAGE, b->data + page * PAGE, PAGE) == 0;
}

static void diff_block(Differ *d, const RamBlock *a, const RamBlock *b)
{
    uint64_t pages = a->length / PAGE;

    for (uint64_t i = 0; i < pages; i++) {
        uint64_t first = i;
        while (i < pages && !page_equal(a, b, i)) {
            i++;
        }
        if (i > first) {
            pages_differ(d, a->name, first, i - 1);
        }
    }
}

static void note(Differ *d, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* A difference that is one sentence. */
static void note(Differ *d, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_string_append_printf(d->text, "%s\n", text);
    json_object_array_add(d->fields, json_object_new_string(text));
    d->count++;
}

static void diff_ram(Differ *d, const Model *a, const Model *b)
{
    for (guint i = 0; i < a->blocks->len; i++) {
        const RamBlock *x = g_ptr_array_index(a->blocks, i);
        const RamBlock *y = model_find_block(b, x->name, strlen(x->name));
        if (!y) {
            note(d, "block '%s': only in the first", x->name);
        } else if (x->length != y->length) {
            note(d, "block '%s': %" PRIu64 " and %" PRIu64 " bytes", x->name, x->length,
                 y->length);
        } else {
            diff_block(d, x, y);
        }
    }
    for (guint i = 0; i < b->blocks->len; i++) {
        const RamBlock *y = g_ptr_array_index(b->blocks, i);
        if (!model_find_block(a, y->name, strlen(y->name))) {
            note(d, "block '%s': only in the second", y->name);
        }
    }
}

/* ---- fields ---- */

/* "path[2].name" -> node, for every plain field. Keys in stream order. */
static void flatten(GHashTable *map, GPtrArray *order, const char *path, const GPtrArray *list)
{
    for (guint i = 0; list && i < list->len; i++) {
        const Node *n = g_ptr_array_index(list, i);
        char *key = n->index >= 0 ? g_strdup_printf("%s.%s[%d]", path, n->name, n->index)
                                  : g_strdup_printf("%s.%s", path, n->name);
        if (n->kids) {
            flatten(map, order, key, n->kids);
            g_free(key);
        } else {
            g_ptr_array_add(order, key);
            g_hash_table_insert(map, key, (gpointer)n);
        }
    }
}

static char *plain_value(const Node *n, uint32_t i)
{
    if (node_is_integer(n)) {
        return node_is_signed(n) ? g_strdup_printf("%" PRId64, (int64_t)node_integer(n, i))
                                 : g_strdup_printf("0x%" PRIx64, node_integer(n, i));
    }
    GString *hex = g_string_new(NULL);
    for (uint64_t k = 0; k < MIN(n->size, 24); k++) {
        g_string_append_printf(hex, "%02x", n->data[k]);
    }
    if (n->size > 24) {
        g_string_append(hex, "...");
    }
    return g_string_free(hex, FALSE);
}

/* Of different size, but what the longer one has more is zeros: a text in a larger field. */
static bool buffers_equal(const Node *a, const Node *b)
{
    uint64_t common = MIN(a->size, b->size);
    const Node *longer = a->size > b->size ? a : b;

    for (uint64_t i = common; i < longer->size; i++) {
        if (longer->data[i]) {
            return false;
        }
    }
    return memcmp(a->data, b->data, common) == 0;
}

static void diff_field(Differ *d, const char *key, const Node *a, const Node *b)
{
    if (a->size != b->size || a->element_size != b->element_size) {
        /* The dialects store some fields in other widths: the value is what counts. */
        if (node_is_integer(a) && node_is_integer(b) && a->elements == 1 && b->elements == 1 &&
            node_integer(a, 0) == node_integer(b, 0)) {
            return;
        }
        if (!node_is_integer(a) && !node_is_integer(b) && buffers_equal(a, b)) {
            return;
        }
        note(d, "%s: %" PRIu64 " and %" PRIu64 " bytes", key, a->size, b->size);
        return;
    }
    if (!node_is_integer(a)) {
        if (memcmp(a->data, b->data, a->size) != 0) {
            g_autofree char *x = plain_value(a, 0), *y = plain_value(b, 0);
            note(d, "%s: %s and %s", key, x, y);
        }
        return;
    }
    for (uint32_t i = 0; i < a->elements; i++) {
        if (node_integer(a, i) != node_integer(b, i)) {
            g_autofree char *x = plain_value(a, i), *y = plain_value(b, i);
            g_autofree char *index = a->elements > 1 ? g_strdup_printf("[%u]", i) : g_strdup("");
            note(d, "%s%s: %s and %s", key, index, x, y);
        }
    }
}

static void diff_section(Differ *d, const Section *a, const Section *b)
{
    g_autofree char *path = g_strdup_printf("%s/%u", a->idstr, a->instance);
    g_autoptr(GHashTable) x = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) y = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) xs = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) ys = g_ptr_array_new_with_free_func(g_free);

    if (a->version != b->version) {
        note(d, "%s: version %u and %u", path, a->version, b->version);
    }
    flatten(x, xs, path, a->fields);
    flatten(y, ys, path, b->fields);
    for (guint i = 0; i < xs->len; i++) {
        const char *key = g_ptr_array_index(xs, i);
        const Node *other = g_hash_table_lookup(y, key);
        if (other) {
            diff_field(d, key, g_hash_table_lookup(x, key), other);
        } else {
            note(d, "%s: only in the first", key);
        }
    }
    for (guint i = 0; i < ys->len; i++) {
        if (!g_hash_table_contains(x, g_ptr_array_index(ys, i))) {
            note(d, "%s: only in the second", (char *)g_ptr_array_index(ys, i));
        }
    }
}

static void diff_sections(Differ *d, const Model *a, const Model *b)
{
    for (guint i = 0; i < a->sections->len; i++) {
        const Section *x = g_ptr_array_index(a->sections, i);
        const Section *y = x->fields ? model_find_section(b, x->idstr, x->instance) : NULL;
        if (y) {
            diff_section(d, x, y);
        } else if (x->fields) {
            note(d, "%s/%u: only in the first", x->idstr, x->instance);
        }
    }
    for (guint i = 0; i < b->sections->len; i++) {
        const Section *y = g_ptr_array_index(b->sections, i);
        if (y->fields && !model_find_section(a, y->idstr, y->instance)) {
            note(d, "%s/%u: only in the second", y->idstr, y->instance);
        }
    }
}

static Differ differ_run(const Model *a, const Model *b)
{
    Differ d = {
        .text = g_string_new(NULL), .pages = json_object_new_array(),
        .fields = json_object_new_array(),
    };

    if (g_strcmp0(a->machine, b->machine) != 0) {
        note(&d, "machine '%s' and '%s'", a->machine ? a->machine : "?",
             b->machine ? b->machine : "?");
    }
    diff_ram(&d, a, b);
    diff_sections(&d, a, b);
    return d;
}

char *diff_text(const Model *a, const Model *b, unsigned *count)
{
    Differ d = differ_run(a, b);

    json_object_put(d.pages);
    json_object_put(d.fields);
    *count = d.count;
    return g_string_free(d.text, FALSE);
}

char *diff_json(const Model *a, const Model *b, unsigned *count)
{
    Differ d = differ_run(a, b);
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "differences", json_object_new_int64(d.count));
    json_object_object_add(o, "pages", d.pages);
    json_object_object_add(o, "fields", d.fields);
    char *text = g_strconcat(json_object_to_json_string_ext(
                                 o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE),
                             "\n", NULL);
    json_object_put(o);
    g_string_free(d.text, TRUE);
    *count = d.count;
    return text;
}
