/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands show and verify: the model as text for people and as JSON for programs. */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include "commands.h"
#include "sums.h"

#define INDENT 24

static const char *const kind_names[PAGE_KINDS] = {
    "zero", "normal", "delta", "compressed", "mapped",
};

static const char no_end_note[] =
    "note: section 'ram' has no END, as in a background snapshot: each page is as it was at the start";

char *problem_text(const Model *m)
{
    return m->problem.text ? g_strdup_printf("offset 0x%" PRIx64 ": %s", m->problem.offset,
                                             m->problem.text)
                           : NULL;
}

/* ---- values ---- */

static void value_text(GString *out, const Node *n, uint32_t i)
{
    uint64_t v = node_integer(n, i);

    if (g_str_equal(n->type, "bool")) {
        g_string_append(out, v ? "true" : "false");
    } else if (g_str_equal(n->type, "timer")) {
        g_string_append_printf(out, v == UINT64_MAX ? "not armed" : "%" PRIu64 " ns", v);
    } else if (node_is_signed(n)) {
        g_string_append_printf(out, "%" PRId64, (int64_t)v);
    } else {
        g_string_append_printf(out, "0x%" PRIx64, v);
    }
}

/* Values of an array; runs of the same one as "value x times". */
static void array_text(GString *out, const Node *n)
{
    for (uint32_t i = 0; i < n->elements;) {
        uint32_t run = 1;
        while (i + run < n->elements &&
               memcmp(n->data + (size_t)i * n->element_size,
                      n->data + (size_t)(i + run) * n->element_size, n->element_size) == 0) {
            run++;
        }
        g_string_append(out, i ? " " : "");
        value_text(out, n, i);
        if (run > 1) {
            g_string_append_printf(out, " x %u", run);
        }
        i += run;
    }
}

static void buffer_text(GString *out, const Node *n)
{
    size_t len = n->size, printable = 0;

    while (len > 0 && n->data[len - 1] == 0) {
        len--;
    }
    while (printable < len && n->data[printable] >= 0x20 && n->data[printable] < 0x7f) {
        printable++;
    }
    if (len == 0) {
        g_string_append_printf(out, "%" PRIu64 " zero bytes", n->size);
        return;
    }
    if (printable == len && len > 1) {
        g_string_append_printf(out, "\"%.*s\"", (int)len, n->data);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        g_string_append_printf(out, "%02x", n->data[i]);
    }
    if (len < n->size) {
        g_string_append_printf(out, " and %" PRIu64 " zero bytes", n->size - len);
    }
}

static bool node_is_blank(const Node *n)
{
    for (uint64_t i = 0; n->data && i < n->size; i++) {
        if (n->data[i]) {
            return false;
        }
    }
    for (guint i = 0; n->kids && i < n->kids->len; i++) {
        if (!node_is_blank(g_ptr_array_index(n->kids, i))) {
            return false;
        }
    }
    return true;
}

static void nodes_text(GString *out, const GPtrArray *list, int indent);

/* How many elements from i on are elements of the same array and all zero. */
static guint blank_run(const GPtrArray *list, guint i)
{
    const Node *first = g_ptr_array_index(list, i);
    guint n = 0;

    while (i + n < list->len) {
        const Node *k = g_ptr_array_index(list, i + n);
        if (k->index < 0 || !g_str_equal(k->name, first->name) || !node_is_blank(k)) {
            break;
        }
        n++;
    }
    return n;
}

static void node_text(GString *out, const Node *n, int indent)
{
    g_autofree char *index = n->index >= 0 ? g_strdup_printf("[%d]", n->index) : g_strdup("");
    g_autofree char *label = g_strconcat(n->name, index, NULL);

    if (n->subsection) {
        g_string_append_printf(out, "%*ssubsection %s version %d\n", indent, "", n->name,
                               n->version);
        nodes_text(out, n->kids, indent + 2);
        return;
    }
    if (n->kids) {
        g_string_append_printf(out, "%*s%s\n", indent, "", label);
        nodes_text(out, n->kids, indent + 2);
        return;
    }
    g_string_append_printf(out, "%*s%-*s ", indent, "", MAX(1, 46 - indent), label);
    if (node_is_integer(n) && n->elements > 0) {
        array_text(out, n);
    } else {
        buffer_text(out, n);
    }
    g_string_append_c(out, '\n');
}

static void nodes_text(GString *out, const GPtrArray *list, int indent)
{
    for (guint i = 0; i < list->len;) {
        const Node *n = g_ptr_array_index(list, i);
        guint blank = blank_run(list, i);
        if (blank > 1) {
            g_string_append_printf(out, "%*s%s[%d..%d] all zero\n", indent, "", n->name, n->index,
                                   n->index + (int)blank - 1);
            i += blank;
            continue;
        }
        node_text(out, n, indent);
        i++;
    }
}

/* ---- sections ---- */

static void ram_counts_text(GString *out, const Model *m, const Section *s)
{
    for (guint i = 0; i < s->ram->len; i++) {
        const SectionRam *c = &g_array_index(s->ram, SectionRam, i);
        const RamBlock *b = g_ptr_array_index(m->blocks, c->block);
        g_string_append_printf(out, "%*s%-22s", INDENT, "", b->name);
        for (int k = 0; k < PAGE_KINDS; k++) {
            if (c->records[k]) {
                g_string_append_printf(out, " %s %" PRIu64, kind_names[k], c->records[k]);
            }
        }
        g_string_append_c(out, '\n');
    }
}

static void section_text(GString *out, const Model *m, const Section *s)
{
    g_string_append_printf(out, "0x%-10" PRIx64 "%10" PRIu64 "  %-8s", s->offset, s->length,
                           section_kind_name(s->kind));
    if (s->idstr) {
        g_string_append_printf(out, " %s, id %u", s->idstr, s->id);
    }
    if (s->kind == SEC_START || s->kind == SEC_FULL) {
        g_string_append_printf(out, ", instance %u, version %u", s->instance, s->version);
    }
    if (s->kind == SEC_FULL) {
        g_string_append_printf(out, ", %" PRIu64 " bytes", s->data_length);
    }
    if (s->text) {
        g_string_append_printf(out, " %s", s->text);
    }
    g_string_append_c(out, '\n');
    if (s->kind == SEC_START) {
        for (guint i = 0; i < m->blocks->len; i++) {
            const RamBlock *b = g_ptr_array_index(m->blocks, i);
            g_string_append_printf(out, "%*s%-22s %" PRIu64 " bytes", INDENT, "", b->name,
                                   b->length);
            if (b->pages_offset) {
                g_string_append_printf(out, ", bitmap at 0x%" PRIx64 ", pages at 0x%" PRIx64,
                                       b->bitmap_offset, b->pages_offset);
            }
            if (b->second_offset) {
                g_string_append_printf(out, " and 0x%" PRIx64, b->second_offset);
            }
            if (b->sums_offset) {
                g_string_append_printf(out, ", checksums at 0x%" PRIx64, b->sums_offset);
            }
            g_string_append_c(out, '\n');
        }
    }
    if (s->ram) {
        ram_counts_text(out, m, s);
    }
    if (s->fields) {
        nodes_text(out, s->fields, INDENT);
    }
}

static void blocks_text(GString *out, const Model *m)
{
    static const char *const titles[] = { "zero", "normal", "delta", "packed", "placed" };

    if (m->blocks->len == 0) {
        return;
    }
    g_string_append_printf(out, "\n%-24s %10s", "RAM block", "pages");
    for (int k = 0; k < PAGE_KINDS; k++) {
        g_string_append_printf(out, " %9s", titles[k]);
    }
    g_string_append_printf(out, " %9s %9s\n", "repeated", "not sent");
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        g_string_append_printf(out, "%-24s %10" PRIu64, b->name, b->length / PAGE);
        for (int k = 0; k < PAGE_KINDS; k++) {
            g_string_append_printf(out, " %9" PRIu64, b->records[k]);
        }
        g_string_append_printf(out, " %9" PRIu64 " %9" PRIu64 "\n", b->repeated,
                               b->length / PAGE - b->seen_pages);
    }
    if (m->flushes) {
        g_string_append_printf(out, "\n%u x MULTIFD_FLUSH: pages went through multifd channels, which "
                               "are not in this file\n", m->flushes);
    }
}

char *show_text(const Model *m, const char *name)
{
    GString *out = g_string_new(NULL);
    g_autofree char *dialect = model_dialect(m);

    if (m->channel) {
        g_string_printf(out, "%s: a channel of multifd\n\n", name);
    } else {
        g_string_printf(out, "%s: machine '%s', dialect %s\n\n", name, m->machine ? m->machine : "?",
                        dialect);
    }
    g_string_append_printf(out, "%-12s%10s  section\n", "offset", "bytes");
    for (guint i = 0; i < m->sections->len; i++) {
        section_text(out, m, g_ptr_array_index(m->sections, i));
    }
    blocks_text(out, m);
    if (m->ram_without_end) {
        g_string_append_printf(out, "\n%s\n", no_end_note);
    }
    return g_string_free(out, FALSE);
}

/* ---- JSON ---- */

/* Text may come from the stream, or be a file's name: what is not UTF-8 does not go into JSON. */
static void add_text(struct json_object *o, const char *key, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    json_object_object_add(o, key, json_object_new_string(valid));
}

static void add_number(struct json_object *o, const char *key, uint64_t v)
{
    json_object_object_add(o, key, v > INT64_MAX ? json_object_new_uint64(v)
                                                 : json_object_new_int64(v));
}

static struct json_object *value_json(const Node *n, uint32_t i)
{
    uint64_t v = node_integer(n, i);

    return g_str_equal(n->type, "bool") ? json_object_new_boolean(v != 0)
           : node_is_signed(n)          ? json_object_new_int64((int64_t)v)
                                        : json_object_new_uint64(v);
}

static struct json_object *plain_json(const Node *n)
{
    if (!node_is_integer(n)) {
        GString *hex = g_string_new(NULL);
        for (uint64_t i = 0; i < n->size; i++) {
            g_string_append_printf(hex, "%02x", n->data[i]);
        }
        struct json_object *text = json_object_new_string(hex->str);
        g_string_free(hex, TRUE);
        return text;
    }
    if (!n->array) {
        return value_json(n, 0);
    }
    struct json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < n->elements; i++) {
        json_object_array_add(list, value_json(n, i));
    }
    return list;
}

static struct json_object *nodes_json(const GPtrArray *list)
{
    struct json_object *out = json_object_new_array();

    for (guint i = 0; i < list->len; i++) {
        const Node *n = g_ptr_array_index(list, i);
        struct json_object *o = json_object_new_object();
        add_text(o, n->subsection ? "subsection" : "name", n->name);
        if (n->index >= 0) {
            add_number(o, "index", n->index);
        }
        if (n->version >= 0) {
            add_number(o, "version", n->version);
        }
        if (!n->subsection) {
            add_text(o, "type", n->type);
        }
        add_number(o, "offset", n->offset);
        add_number(o, "size", n->size);
        json_object_object_add(o, n->kids ? "fields" : "value",
                               n->kids ? nodes_json(n->kids) : plain_json(n));
        json_object_array_add(out, o);
    }
    return out;
}

static struct json_object *counts_json(const uint64_t *records)
{
    struct json_object *o = json_object_new_object();
    for (int k = 0; k < PAGE_KINDS; k++) {
        if (records[k]) {
            add_number(o, kind_names[k], records[k]);
        }
    }
    return o;
}

static struct json_object *section_json(const Model *m, const Section *s)
{
    struct json_object *o = json_object_new_object();

    add_text(o, "type", section_kind_name(s->kind));
    add_number(o, "offset", s->offset);
    add_number(o, "length", s->length);
    if (s->idstr) {
        add_text(o, "name", s->idstr);
        add_number(o, "id", s->id);
    }
    if (s->kind == SEC_START || s->kind == SEC_FULL) {
        add_number(o, "instance", s->instance);
        add_number(o, "version", s->version);
    }
    if (s->text) {
        add_text(o, "text", s->text);
    }
    if (s->ram) {
        struct json_object *pages = json_object_new_object();
        for (guint i = 0; i < s->ram->len; i++) {
            const SectionRam *c = &g_array_index(s->ram, SectionRam, i);
            const RamBlock *b = g_ptr_array_index(m->blocks, c->block);
            json_object_object_add(pages, b->name, counts_json(c->records));
        }
        json_object_object_add(o, "pages", pages);
    }
    if (s->fields) {
        add_number(o, "data-offset", s->data_offset);
        add_number(o, "data-length", s->data_length);
        json_object_object_add(o, "fields", nodes_json(s->fields));
    }
    return o;
}

static struct json_object *blocks_json(const Model *m)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        struct json_object *o = json_object_new_object();
        add_text(o, "name", b->name);
        add_number(o, "length", b->length);
        json_object_object_add(o, "records", counts_json(b->records));
        add_number(o, "repeated", b->repeated);
        add_number(o, "not-sent", b->length / PAGE - b->seen_pages);
        add_number(o, "delta-bytes", b->delta_bytes);
        if (b->pages_offset) {
            add_number(o, "bitmap-offset", b->bitmap_offset);
            add_number(o, "pages-offset", b->pages_offset);
        }
        if (b->second_offset) {
            add_number(o, "second-offset", b->second_offset);
        }
        if (b->sums_offset) {
            add_number(o, "checksums-offset", b->sums_offset);
            add_number(o, "checksums-checked", b->sums_checked);
        }
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *channel_json(const Model *m)
{
    struct json_object *o = json_object_new_object();

    add_number(o, "normal", m->channel_normal);
    add_number(o, "zero", m->channel_zero);
    add_number(o, "syncs", m->channel_syncs);
    return o;
}

static struct json_object *summary_json(const Model *m, const char *name)
{
    struct json_object *o = json_object_new_object();
    g_autofree char *dialect = model_dialect(m);

    add_text(o, "file", name);
    add_text(o, "machine", m->machine ? m->machine : "");
    add_text(o, "dialect", dialect);
    json_object_object_add(o, "ok", json_object_new_boolean(!m->problem.text));
    if (m->problem.text) {
        struct json_object *p = json_object_new_object();
        add_number(p, "offset", m->problem.offset);
        add_text(p, "text", m->problem.text);
        json_object_object_add(o, "problem", p);
    }
    if (m->ram_without_end) {
        add_text(o, "note", no_end_note);
    }
    if (m->part) {
        json_object_object_add(o, "complete", json_object_new_boolean(false));
        add_number(o, "stored-bytes", m->stored_bytes);
    }
    json_object_object_add(o, "blocks", blocks_json(m));
    if (m->channel) {
        json_object_object_add(o, "multifd-channel", channel_json(m));
    }
    if (m->flushes) {
        add_number(o, "multifd-flushes", m->flushes);
    }
    return o;
}

static char *json_take_text(struct json_object *o)
{
    char *text = g_strconcat(json_object_to_json_string_ext(
                                 o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE),
                             "\n", NULL);
    json_object_put(o);
    return text;
}

char *show_json(const Model *m, const char *name)
{
    struct json_object *o = summary_json(m, name), *sections = json_object_new_array();

    for (guint i = 0; i < m->sections->len; i++) {
        json_object_array_add(sections, section_json(m, g_ptr_array_index(m->sections, i)));
    }
    json_object_object_add(o, "sections", sections);
    if (m->description) {
        add_text(o, "description", m->description);
    }
    return json_take_text(o);
}

/* ---- verify ---- */

char *verify_json(const Model *m, const char *name)
{
    return json_take_text(summary_json(m, name));
}

char *verify_text(const Model *m, const char *name)
{
    g_autofree char *dialect = model_dialect(m);
    uint64_t pages = 0, records = 0, deltas = 0, fulls = 0, checked = 0;
    bool sums = false;

    if (m->problem.text) {
        g_autofree char *problem = problem_text(m);
        return g_strdup_printf("%s: %s\n", name, problem);
    }
    if (m->channel) {
        return g_strdup_printf("%s: ok: a channel of multifd, %" PRIu64 " pages, %" PRIu64 " zero pages, %"
                               PRIu64 " SYNCs\n", name, m->channel_normal, m->channel_zero,
                               m->channel_syncs);
    }
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        pages += b->length / PAGE;
        deltas += b->records[PAGE_DELTA];
        sums |= b->sums_offset != 0;
        checked += b->sums_checked;
        for (int k = 0; k < PAGE_KINDS; k++) {
            records += b->records[k];
        }
    }
    for (guint i = 0; i < m->sections->len; i++) {
        fulls += ((const Section *)g_ptr_array_index(m->sections, i))->kind == SEC_FULL;
    }
    g_autofree char *checksums =
        sums_can_be_checked() ? g_strdup_printf(", %" PRIu64 " pages by their checksums", checked)
                              : g_strdup("; checksums not looked at: built without libxxhash");
    return g_strdup_printf("%s: ok: machine '%s', dialect %s, %u RAM blocks of %" PRIu64
                           " pages, %" PRIu64 " page records (%" PRIu64 " deltas applied), %" PRIu64
                           " device sections%s%s%s\n", name, m->machine ? m->machine : "?", dialect,
                           m->blocks->len, pages, records, deltas, fulls, sums ? checksums : "",
                           m->ram_without_end ? "; " : "", m->ram_without_end ? no_end_note : "");
}
