/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tools/inspect on damaged real streams, the golden ones: every byte is
 * classed by what it belongs to, with the help of what the tool itself shows;
 * a changed byte of the structure has to be found and placed, a changed value
 * must do no harm. Nothing crashes, and JSON stays JSON.
 *
 *   test-damage GOLDEN-FOLDER COUNT      COUNT changes altogether
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "source.h"
#include "stream.h"

typedef struct Golden {
    char *name;
    GByteArray *bytes;
    GByteArray *value;      /* value[i]: nobody can tell whether byte i is right */
    GArray *structure;      /* guint: the other bytes */
    bool without_end;       /* a background snapshot */
} Golden;

static const char *golden_folder;
static unsigned golden_count;

/* ---- reading ---- */

static Model *read_bytes(const GByteArray *a, bool keep)
{
    Source *s = source_open_memory(a->data, a->len);
    Model *m = model_new(keep);
    bool ok = stream_read(m, s);

    g_assert_cmpint(ok, ==, m->problem.text == NULL);
    source_free(s);
    return m;
}

static GByteArray *unpack(const char *path)
{
    char *error = NULL;
    Source *s = source_open(path, &error);
    GByteArray *out = g_byte_array_new();

    g_assert_cmpstr(error, ==, NULL);
    while (source_peek(s, 1)) {
        size_t n = source_window(s);
        g_byte_array_append(out, source_peek(s, n), n);
        source_take(s, n);
    }
    g_assert_cmpint(source_errno(s), ==, 0);
    source_free(s);
    return out;
}

/* ---- classes ---- */

static void mark(Golden *g, uint64_t at, uint64_t len)
{
    g_assert_cmpuint(at + len, <=, g->value->len);
    memset(g->value->data + at, 1, len);
}

static void mark_nodes(Golden *g, const GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        const Node *n = g_ptr_array_index(list, i);
        if (n->kids) {
            mark_nodes(g, n->kids);
        } else if (!g_str_equal(n->name, "runstate")) {     /* which has to be a known word */
            mark(g, n->offset, n->size);
        }
    }
}

static uint64_t be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return GUINT64_FROM_BE(v);
}

/* The bytes of one page record behind its word, of which the block is known. */
static uint64_t walk_payload(Golden *g, uint64_t at, uint64_t flags, bool marking)
{
    const uint8_t *p = g->bytes->data + at;
    uint64_t skip = flags & 0x40 ? 3 : 0;
    uint64_t len = flags & 0x02 ? 1 : flags & 0x08 ? PAGE : (uint64_t)(p[1] << 8 | p[2]);

    g_assert_cmphex(flags & (0x02 | 0x08 | 0x40), !=, 0);
    if (marking && !(flags & 0x02)) {
        mark(g, at + skip, len);
    }
    return at + skip + len;
}

/*
 * A reader of its own for page records: counts how often each page comes, or
 * marks what is a value. Ends at the end mark.
 */
static void walk_records(Golden *g, uint64_t at, GHashTable *counts, bool marking, char **block)
{
    const uint8_t *base = g->bytes->data;

    for (;;) {
        uint64_t word_at = at, word = be64(base + at), flags = word & 0xfff;
        at += 8;
        if (word == 0x10) {
            return;
        }
        if (flags == 0x200) {
            continue;
        }
        if (!(flags & 0x20)) {
            g_free(*block);
            *block = g_strndup((const char *)base + at + 1, base[at]);
            at += 1 + base[at];
        }
        g_autofree char *key = g_strdup_printf("%s %" G_GINT64_MODIFIER "x", *block, word >> 12);
        unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
        g_hash_table_insert(counts, g_strdup(key), GUINT_TO_POINTER(n + !marking));
        if (marking && n > 1) {
            mark(g, word_at, 7);        /* another page: this one came more than once */
        }
        at = walk_payload(g, at, flags, marking);
    }
}

static void walk_all_records(Golden *g, const Model *m, GHashTable *counts, bool marking)
{
    g_autofree char *block = NULL;

    for (guint i = 0; i < m->sections->len; i++) {
        const Section *s = g_ptr_array_index(m->sections, i);
        if (s->kind == SEC_PART || s->kind == SEC_END) {
            walk_records(g, s->offset + 5, counts, marking, &block);
        }
    }
}

/* Bitmaps, the room before the pages, the pages. */
static void mark_placed(Golden *g, const Model *m)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(m->blocks, i);
        uint64_t header = m->layout == LAYOUT_FIXED_RAM ? 12 : 28, len = strlen(b->name);
        uint64_t name = b->bitmap_offset - header - 8 - len;
        g_assert_cmpmem(g->bytes->data + name, len, b->name, len);
        mark(g, name, len);             /* nothing refers to it */
        mark(g, b->bitmap_offset, b->pages_offset + b->length - b->bitmap_offset);
    }
}

static void mark_section(Golden *g, const Section *s)
{
    switch (s->kind) {
    case SEC_CONFIG:
        mark(g, s->offset + 5, 4);                      /* the machine's name */
        if (s->text && strstr(s->text, "UUID")) {
            mark(g, s->offset + s->length - 16, 16);
        }
        break;
    case SEC_COMMAND:
        mark(g, s->offset + 5, s->length - 5);
        break;
    case SEC_FULL:
        mark_nodes(g, s->fields);
        break;
    case SEC_DESCRIPTION:
        mark(g, s->offset + 5, s->length - 5);
        break;
    default:
        break;
    }
}

static void classify(Golden *g)
{
    Model *m = read_bytes(g->bytes, false);
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    g_assert_cmpstr(m->problem.text, ==, NULL);
    g->without_end = m->ram_without_end;
    g->value = g_byte_array_set_size(g_byte_array_new(), g->bytes->len);
    memset(g->value->data, 0, g->value->len);
    for (guint i = 0; i < m->sections->len; i++) {
        mark_section(g, g_ptr_array_index(m->sections, i));
    }
    if (m->layout == LAYOUT_STREAM) {
        walk_all_records(g, m, counts, false);
        walk_all_records(g, m, counts, true);
    } else {
        mark_placed(g, m);
    }
    model_free(m);
    g->structure = g_array_new(false, false, sizeof(guint));
    for (guint i = 0; i < g->value->len; i++) {
        if (!g->value->data[i]) {
            g_array_append_val(g->structure, i);
        }
    }
}

static void golden_free(gpointer p)
{
    Golden *g = p;
    g_free(g->name);
    g_byte_array_unref(g->bytes);
    g_byte_array_unref(g->value);
    g_array_unref(g->structure);
    g_free(g);
}

static GPtrArray *golden_streams(void)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(golden_free);
    g_autoptr(GDir) dir = g_dir_open(golden_folder, 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(name, ".mig.gz")) {
            continue;
        }
        g_autofree char *path = g_build_filename(golden_folder, name, NULL);
        Golden *g = g_new0(Golden, 1);
        g->name = g_strdup(name);
        g->bytes = unpack(path);
        classify(g);
        g_ptr_array_add(list, g);
    }
    g_assert_cmpuint(list->len, >=, 10);
    return list;
}

/* ---- damage ---- */

/*
 * Placed: at most a record before the byte, or where what it took along ends.
 * What shows only at the end, because it is about something that never came,
 * is placed there.
 */
static bool placed(const Golden *g, const Model *m, guint at)
{
    const char *text = m->problem.text;

    return strstr(text, "never sent") || strstr(text, "has not") || strstr(text, "has ended") ||
           strstr(text, "unknown block") || strstr(text, "footer with id") || m->layout != LAYOUT_STREAM || m->problem.offset > g->bytes->len - 64 ||
           (m->problem.offset + 300 >= at && m->problem.offset <= at + 3 * PAGE);
}

static void say_everything(const Model *m)
{
    g_autofree char *text = show_text(m, "x"), *json = show_json(m, "x");
    g_autofree char *verdict = verify_text(m, "x"), *verdict_json = verify_json(m, "x");
    struct json_object *a = json_tokener_parse(json), *b = json_tokener_parse(verdict_json);

    g_assert_true(*text && *verdict && a && b && g_utf8_validate(json, -1, NULL));
    json_object_put(a);
    json_object_put(b);
}

/* One byte of one stream becomes another; true if that was found. */
static bool damage(GRand *rand, Golden *g, guint at, bool structure)
{
    uint8_t was = g->bytes->data[at];
    uint8_t now = g_rand_boolean(rand) ? was ^ 1 << g_rand_int_range(rand, 0, 8)
                                       : (uint8_t)g_rand_int(rand);
    if (now == was) {
        now = ~was;
    }
    g->bytes->data[at] = now;
    Model *m = read_bytes(g->bytes, g_rand_int_range(rand, 0, 8) == 0);
    /* An END that became a PART, or the other way round, is told as a note. */
    bool noted = m->ram_without_end != g->without_end;
    bool found = m->problem.text != NULL || noted;
    if (structure && !found) {
        g_error("%s: byte 0x%x changed from %02x to %02x: not found", g->name, at, was, now);
    }
    if (structure && m->problem.text && !placed(g, m, at)) {
        g_error("%s: byte 0x%x changed from %02x to %02x: placed at 0x%" G_GINT64_MODIFIER "x: %s",
                g->name, at, was, now, m->problem.offset, m->problem.text);
    }
    if (g_rand_int_range(rand, 0, 16) == 0) {
        say_everything(m);
    }
    model_free(m);
    g->bytes->data[at] = was;
    return found;
}

static void test_structure(void)
{
    g_autoptr(GPtrArray) list = golden_streams();
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    for (unsigned i = 0; i < golden_count / 2; i++) {
        Golden *g = g_ptr_array_index(list, i % list->len);
        guint at = g_array_index(g->structure, guint,
                                 g_rand_int_range(rand, 0, g->structure->len));
        damage(rand, g, at, true);
    }
}

/* Small streams, and what is not a record of RAM: most bytes of a stream are those of zero pages. */
static void test_device_structure(void)
{
    g_autoptr(GPtrArray) list = golden_streams();
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    g_test_message("seed %u", seed);
    for (unsigned i = 0; i < golden_count / 4; i++) {
        Golden *g = g_ptr_array_index(list, i % list->len);
        guint n = g->structure->len, few = MIN(n / 2, 400);
        guint k = g_rand_boolean(rand) ? (guint)g_rand_int_range(rand, 0, few)
                                       : n - 1 - g_rand_int_range(rand, 0, few);
        damage(rand, g, g_array_index(g->structure, guint, k), true);
    }
}

static void test_anywhere(void)
{
    g_autoptr(GPtrArray) list = golden_streams();
    guint32 seed = g_test_rand_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    unsigned found = 0, text = 0, text_found = 0;

    g_test_message("seed %u", seed);
    for (unsigned i = 0; i < golden_count / 4; i++) {
        Golden *g = g_ptr_array_index(list, i % list->len);
        bool in_text = i & 1;   /* the description: it is at the end */
        guint tail = MIN(g->bytes->len / 4, 2000);
        guint at = in_text ? g->bytes->len - 1 - g_rand_int_range(rand, 0, tail)
                           : (guint)g_rand_int_range(rand, 0, g->bytes->len);
        bool hit = damage(rand, g, at, !g->value->data[at]);
        found += hit;
        text += in_text;
        text_found += in_text && hit;
    }
    g_test_message("%u found; %u of %u in the last bytes", found, text_found, text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (argc != 3) {
        g_printerr("usage: test-damage GOLDEN-FOLDER COUNT\n");
        return 2;
    }
    golden_folder = argv[1];
    golden_count = strtoul(argv[2], NULL, 10);
    g_test_add_func("/damage/structure", test_structure);
    g_test_add_func("/damage/device-structure", test_device_structure);
    g_test_add_func("/damage/anywhere", test_anywhere);
    return g_test_run();
}
