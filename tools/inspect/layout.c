/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See layout.h. Both ways end in the same tree of nodes. Nothing is believed:
 * every size is held against the bytes that are there before it is used.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "layout.h"
#include "tables.h"

#define DEPTH_MAX 12
#define NODES_MAX 1000000

typedef struct Decoder {
    Model *m;
    Source *s;
    const Section *section;
    uint64_t base;              /* file offset of the body */
    size_t pos;                 /* in the body */
    size_t limit;               /* no field may end after this position */
    unsigned nodes;
    GPtrArray *flat;            /* integer nodes so far, newest last: what counts refer to */
} Decoder;

static bool wrong(Decoder *d, size_t pos, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

static bool wrong(Decoder *d, size_t pos, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return model_problem(d->m, d->base + pos, "section '%s' instance %u: %s", d->section->idstr,
                         d->section->instance, text);
}

/* The bytes at the cursor, without moving it. */
static const uint8_t *look(Decoder *d, size_t n)
{
    if (n > d->limit || d->pos > d->limit - n) {
        return NULL;
    }
    const uint8_t *p = source_peek(d->s, d->pos + n);
    return p ? p + d->pos : NULL;
}

static Node *add_node(Decoder *d, GPtrArray *out, const char *name, const char *type)
{
    if (++d->nodes > NODES_MAX) {
        wrong(d, d->pos, "more than %d fields", NODES_MAX);
        return NULL;
    }
    Node *n = node_new(name, type, d->base + d->pos);
    g_ptr_array_add(out, n);
    return n;
}

/* A field of plain bytes: count elements of size bytes. */
static bool read_plain(Decoder *d, GPtrArray *out, const char *name, const char *type,
                       uint64_t size, uint64_t count, bool array)
{
    uint64_t left = d->limit - d->pos;

    if (size && count > left / size) {
        return wrong(d, d->pos, "field '%s' of %" PRIu64 " x %" PRIu64 " bytes does not fit", name,
                     count, size);
    }
    const uint8_t *p = look(d, size * count);
    if (!p || size * count > G_MAXUINT32) {
        return wrong(d, d->pos, "field '%s' of %" PRIu64 " bytes: the file stops inside it", name,
                     size * count);
    }
    Node *n = add_node(d, out, name, type);
    if (!n) {
        return false;
    }
    n->element_size = size;
    n->elements = count;
    n->array = array;
    n->size = size * count;
    n->data = g_memdup2(p, n->size);
    d->pos += n->size;
    if (node_is_integer(n)) {
        g_ptr_array_add(d->flat, n);
    }
    return true;
}

/* ---- our own tables ---- */

static bool read_table(Decoder *d, const LayoutTable *table, GPtrArray *out, int depth);
static bool read_table_subsections(Decoder *d, const char *parent, GPtrArray *out, int depth);

static const Node *flat_find(const Decoder *d, const char *name)
{
    for (guint i = d->flat->len; i > 0; i--) {
        const Node *n = g_ptr_array_index(d->flat, i - 1);
        if (g_str_equal(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

/* "32", "6H", the name of an earlier field, or "name/32". */
static bool read_count(Decoder *d, const char *text, uint64_t *count)
{
    char *end;
    uint64_t n = strtoull(text, &end, 10);

    if (end != text && (*end == '\0' || (*end == 'H' && end[1] == '\0'))) {
        *count = *end ? n * d->m->harts : n;
        return true;
    }
    const char *slash = strchr(text, '/');
    g_autofree char *name = slash ? g_strndup(text, slash - text) : g_strdup(text);
    const Node *field = flat_find(d, name);
    *count = field ? node_integer(field, 0) : 0;
    if (slash) {
        *count = (*count + 31) / 32;
    }
    return field != NULL;
}

static uint64_t plain_size(const char *type)
{
    static const struct { const char *type; unsigned size; } sizes[] = {
        { "bool", 1 }, { "int8", 1 }, { "uint8", 1 }, { "int16", 2 }, { "uint16", 2 },
        { "int32", 4 }, { "uint32", 4 }, { "int64", 8 }, { "uint64", 8 }, { "timer", 8 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        if (g_str_equal(sizes[i].type, type)) {
            return sizes[i].size;
        }
    }
    return 0;
}

static bool read_struct_elements(Decoder *d, GPtrArray *out, const char *name, const char *spec,
                                 uint64_t count, bool array, int depth)
{
    const char *dot = strrchr(spec, '.');
    g_autofree char *table_name = g_strndup(spec, dot - spec);
    const LayoutTable *table = table_find(table_name, atoi(dot + 1));
    /* the serial device contains a struct of its own name */
    const char *family = g_str_equal(table_name, "serial-core") ? "serial" : table_name;

    if (count > d->limit - d->pos + 1) {
        return wrong(d, d->pos, "field '%s' with %" PRIu64 " elements does not fit", name, count);
    }
    for (uint64_t i = 0; i < count; i++) {
        Node *n = add_node(d, out, name, "struct");
        if (!n) {
            return false;
        }
        size_t start = d->pos;
        n->index = array ? (int)i : -1;
        n->version = table->version;
        n->kids = g_ptr_array_new_with_free_func(node_free);
        if (!read_table(d, table, n->kids, depth + 1) ||
            !read_table_subsections(d, family, n->kids, depth + 1)) {
            return false;
        }
        n->size = d->pos - start;
    }
    return true;
}

/* What all virtio devices send, around what one kind sends. */
static bool read_virtio(Decoder *d, GPtrArray *out, const char *name, const char *state, int depth)
{
    Node *n = add_node(d, out, name, "virtio");
    const LayoutTable *own = table_find(state, 1);
    size_t start = d->pos;

    if (!n) {
        return false;
    }
    n->kids = g_ptr_array_new_with_free_func(node_free);
    if (!own) {
        return wrong(d, d->pos, "the virtio device '%s' is not known", state);
    }
    if (!read_table(d, table_find("virtio", 1), n->kids, depth + 1) ||
        !read_table(d, own, n->kids, depth + 1) ||
        !read_table_subsections(d, "virtio", n->kids, depth + 1)) {
        return false;
    }
    n->size = d->pos - start;
    return true;
}

/* "?field&mask": false when the field is not there in this stream. */
static bool condition_holds(Decoder *d, const char *text)
{
    const char *mask = strchr(text, '&');
    g_autofree char *name = g_strndup(text + 1, mask - text - 1);
    const Node *n = flat_find(d, name);

    return n && (node_integer(n, 0) & strtoull(mask + 1, NULL, 0));
}

/* One "name type [*count] [?condition]". */
static bool read_table_field(Decoder *d, const char *text, GPtrArray *out, int depth)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    const char *name = words[0], *type = words[1];
    const char *colon = strchr(type, ':');
    uint64_t count = 1;
    bool array = false;

    for (char **w = words + 2; *w; w++) {
        if (**w == '?' && !condition_holds(d, *w)) {
            return true;
        }
        if (**w == '*') {
            array = true;
            if (!read_count(d, *w + 1, &count)) {
                return wrong(d, d->pos, "field '%s' has no count", name);
            }
        }
    }
    if (type[0] == '@') {
        return read_struct_elements(d, out, name, type + 1, count, array, depth);
    }
    if (colon) {
        g_autofree char *kind = g_strndup(type, colon - type);
        return g_str_equal(kind, "virtio")
                   ? read_virtio(d, out, name, colon + 1, depth)
                   : read_plain(d, out, name, kind, strtoull(colon + 1, NULL, 10), 1, false);
    }
    if (g_str_equal(type, "buffer")) {
        return read_plain(d, out, name, type, count, 1, false);
    }
    return read_plain(d, out, name, type, plain_size(type), count, array && count > 1);
}

static bool read_table(Decoder *d, const LayoutTable *table, GPtrArray *out, int depth)
{
    g_auto(GStrv) fields = g_strsplit(table->fields, ";", -1);

    if (depth > DEPTH_MAX) {
        return wrong(d, d->pos, "fields are nested too deep");
    }
    for (char **f = fields; *f; f++) {
        const char *text = g_strstrip(*f);
        if (*text && !read_table_field(d, text, out, depth)) {
            return false;
        }
    }
    return true;
}

/* Is there a subsection of this parent at the cursor? Its name then. */
static char *peek_subsection(Decoder *d, const char *parent)
{
    const uint8_t *p = look(d, 2);
    size_t len = p ? p[1] : 0, parent_len = strlen(parent);

    if (!p || p[0] != 0x05 || len <= parent_len || !(p = look(d, 2 + len)) ||
        memcmp(p + 2, parent, parent_len) != 0 || p[2 + parent_len] != '/') {
        return NULL;
    }
    return g_strndup((const char *)p + 2, len);
}

/* The bytes "05 len name version": false when they are not all there. */
static bool subsection_header(Decoder *d, const char *name, uint32_t *version)
{
    size_t len = strlen(name);
    const uint8_t *p = look(d, 6 + len);

    if (!p || p[0] != 0x05 || p[1] != len || memcmp(p + 2, name, len) != 0) {
        return false;
    }
    *version = (uint32_t)p[2 + len] << 24 | p[3 + len] << 16 | p[4 + len] << 8 | p[5 + len];
    d->pos += 6 + len;
    return true;
}

static Node *add_subsection(Decoder *d, GPtrArray *out, const char *name, int version)
{
    Node *n = add_node(d, out, name, "subsection");
    if (n) {
        n->subsection = true;
        n->version = version;
        n->kids = g_ptr_array_new_with_free_func(node_free);
    }
    return n;
}

static bool read_table_subsections(Decoder *d, const char *parent, GPtrArray *out, int depth)
{
    char *found;

    while ((found = peek_subsection(d, parent))) {
        g_autofree char *name = found;
        size_t at = d->pos;
        uint32_t version;
        if (!subsection_header(d, name, &version)) {
            return wrong(d, at, "subsection '%s': the file stops inside it", name);
        }
        const LayoutTable *table = version <= G_MAXINT ? table_find(name, version) : NULL;
        if (!table) {
            int newest = table_newest(name);
            return newest < 0 ? wrong(d, at, "unknown subsection '%s' version %u", name, version)
                              : wrong(d, at, "subsection '%s' version %u, known is %d", name,
                                      version, newest);
        }
        Node *n = add_subsection(d, out, name, version);
        size_t start = d->pos;
        if (!n || !read_table(d, table, n->kids, depth + 1) ||
            !read_table_subsections(d, name, n->kids, depth + 1)) {
            return false;
        }
        n->size = d->pos - start;
    }
    return true;
}

/* "0000:00:01.0/virtio-rng": our tables know virtio on mmio only. */
static bool is_on_pci(const char *idstr)
{
    return strlen(idstr) > 12 && idstr[4] == ':' && idstr[7] == ':' && idstr[10] == '.';
}

/* The device's name without the path of its bus. */
static const char *base_name(const char *idstr)
{
    const char *slash = strrchr(idstr, '/');
    return slash ? slash + 1 : idstr;
}

static bool read_by_table(Decoder *d, GPtrArray *fields)
{
    const char *name = base_name(d->section->idstr);
    uint32_t version = d->section->version;
    bool ten = d->m->switchover_command || d->m->cpu_version >= 10;
    const LayoutTable *table = version > G_MAXINT ? NULL
                               : ten && g_str_equal(name, "globalstate")
                                   ? table_find("globalstate/10.0", version)
                                   : table_find(name, version);
    bool on_pci = is_on_pci(d->section->idstr) && g_str_has_prefix(name, "virtio");
    if (!table || on_pci) {
        int newest = on_pci ? -1 : table_newest(name);
        return newest < 0
                   ? wrong(d, 0, "unknown device, and the stream has no description of it")
                   : wrong(d, 0, "version %u is not known (newest is %d), and the stream has no "
                           "description of it", version, newest);
    }
    return read_table(d, table, fields, 0) && read_table_subsections(d, name, fields, 0);
}

/* ---- the stream's own description ---- */

static bool read_described(Decoder *d, struct json_object *vmsd, GPtrArray *out, int depth);

static const char *json_text(struct json_object *o, const char *key)
{
    struct json_object *v;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
               ? json_object_get_string(v) : NULL;
}

/* A number that is not negative; fallback when there is none, -1 when it is something else. */
static int64_t json_number(struct json_object *o, const char *key, int64_t fallback)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, key, &v)) {
        return fallback;
    }
    int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
    return n < 0 || n > G_MAXINT32 ? -1 : n;
}

static bool read_described_struct(Decoder *d, struct json_object *f, struct json_object *vmsd,
                                  const char *name, int64_t size, int64_t count, GPtrArray *out,
                                  int depth)
{
    int64_t index = json_number(f, "index", -1);
    bool array = json_object_object_get_ex(f, "array_len", NULL);

    if (count > (int64_t)(d->limit - d->pos) + 1) {
        return wrong(d, d->pos, "field '%s' with %" PRId64 " elements does not fit", name, count);
    }
    for (int64_t i = 0; i < count; i++) {
        Node *n = add_node(d, out, name, "struct");
        if (!n) {
            return false;
        }
        size_t start = d->pos;
        n->index = array ? i : index;
        n->version = json_number(vmsd, "version", -1);
        n->kids = g_ptr_array_new_with_free_func(node_free);
        if (!read_described(d, vmsd, n->kids, depth + 1)) {
            return false;
        }
        n->size = d->pos - start;
        if (n->size != (uint64_t)size) {
            return wrong(d, start, "field '%s' has %" PRIu64 " bytes, its description says %"
                         PRId64, name, n->size, size);
        }
    }
    return true;
}

/* Descriptions say only how long a virtio device is: our tables look inside, if that fits. */
static bool read_described_virtio(Decoder *d, const char *name, int64_t size, GPtrArray *out,
                                  int depth)
{
    g_autofree char *state = g_strdup_printf("%s-state", base_name(d->section->idstr));
    Decoder inner = *d;
    Model *scratch = model_new(false);
    GPtrArray *list = g_ptr_array_new_with_free_func(node_free);

    if ((uint64_t)size > d->limit - d->pos || !look(d, size)) {
        model_free(scratch);
        g_ptr_array_unref(list);
        return read_plain(d, out, name, "virtio", size, 1, false);  /* says what is wrong */
    }
    inner.m = scratch;
    inner.limit = d->pos + size;
    inner.flat = g_ptr_array_new();
    bool fits = read_virtio(&inner, list, name, state, depth) &&
                inner.pos == d->pos + (size_t)size;
    bool known = !is_on_pci(d->section->idstr) && table_find(state, 1);
    if (fits) {
        g_ptr_array_add(out, g_ptr_array_steal_index(list, 0));
        d->pos = inner.pos;
    } else if (known && scratch->problem.text) {
        model_problem(d->m, scratch->problem.offset, "%s", scratch->problem.text);
    } else if (known) {
        wrong(d, inner.pos, "the fields of %s end here, after %zu of %" PRId64 " bytes", state,
              inner.pos - d->pos, size);
    }
    g_ptr_array_unref(inner.flat);
    g_ptr_array_unref(list);
    model_free(scratch);
    return fits || (!known && read_plain(d, out, name, "virtio", size, 1, false));
}

static bool read_described_field(Decoder *d, struct json_object *f, GPtrArray *out, int depth)
{
    const char *name = json_text(f, "name"), *type = json_text(f, "type");
    int64_t size = json_number(f, "size", -1), count = json_number(f, "array_len", 1);
    struct json_object *vmsd;

    if (!name || !type || size < 0 || count < 0) {
        return wrong(d, d->pos, "the description of field '%s' lacks name, type or size",
                     name ? name : "?");
    }
    if (g_str_equal(type, "struct")) {
        if (!json_object_object_get_ex(f, "struct", &vmsd)) {
            return wrong(d, d->pos, "the description of field '%s' lacks its struct", name);
        }
        return read_described_struct(d, f, vmsd, name, size, count, out, depth);
    }
    if (plain_size(type) && plain_size(type) != (uint64_t)size) {
        return wrong(d, d->pos, "the description of field '%s' says %s of %" PRId64 " bytes", name,
                     type, size);
    }
    if (g_str_equal(type, "virtio") && count == 1) {
        return read_described_virtio(d, name, size, out, depth);
    }
    return read_plain(d, out, name, type, size, count, count > 1);
}

static bool read_described_subsection(Decoder *d, struct json_object *sub, GPtrArray *out,
                                      int depth)
{
    const char *name = json_text(sub, "vmsd_name");
    int64_t version = json_number(sub, "version", -1);
    size_t at = d->pos;
    uint32_t got;

    if (!name || version < 0) {
        return wrong(d, at, "the description of a subsection lacks name or version");
    }
    if (!subsection_header(d, name, &got)) {
        return wrong(d, at, "subsection '%s' of the description is not there", name);
    }
    if (got != version) {
        return wrong(d, at, "subsection '%s' has version %u, its description says %" PRId64, name,
                     got, version);
    }
    Node *n = add_subsection(d, out, name, version);
    size_t start = d->pos;
    if (!n || !read_described(d, sub, n->kids, depth + 1)) {
        return false;
    }
    n->size = d->pos - start;
    return true;
}

static bool read_described(Decoder *d, struct json_object *vmsd, GPtrArray *out, int depth)
{
    struct json_object *list;

    if (depth > DEPTH_MAX) {
        return wrong(d, d->pos, "fields are nested too deep");
    }
    if (!json_object_object_get_ex(vmsd, "fields", &list) ||
        !json_object_is_type(list, json_type_array)) {
        return wrong(d, d->pos, "the description lacks \"fields\"");
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!read_described_field(d, json_object_array_get_idx(list, i), out, depth)) {
            return false;
        }
    }
    if (!json_object_object_get_ex(vmsd, "subsections", &list)) {
        return true;
    }
    if (!json_object_is_type(list, json_type_array)) {
        return wrong(d, d->pos, "the description's \"subsections\" is not a list");
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!read_described_subsection(d, json_object_array_get_idx(list, i), out, depth)) {
            return false;
        }
    }
    return true;
}

/* What can be said about values without being the machine. */
static bool check_values(Decoder *d, const GPtrArray *fields, bool described)
{
    static const char *const states[] = {
        "debug", "inmigrate", "internal-error", "io-error", "paused", "postmigrate", "prelaunch",
        "finish-migrate", "restore-vm", "running", "save-vm", "shutdown", "suspended", "watchdog",
        "guest-panicked", "colo",
    };
    const Node *n = node_find(fields, "runstate");

    if (!g_str_equal(d->section->idstr, "globalstate") || !n || !n->data) {
        return true;
    }
    g_autofree char *text = g_strndup((const char *)n->data, n->size);
    for (size_t i = strlen(text); i < n->size; i++) {
        /* read as QEMU 7.2 has it, QEMU 10.0 has two flags behind the first 32 bytes */
        bool flag = !described && n->size > 34 && (i == 32 || i == 33) && n->data[i] == 1;
        if (n->data[i] && !flag) {
            return wrong(d, n->offset - d->base + i, "byte 0x%02x behind the run state '%s'", n->data[i],
                         text);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        if (g_str_equal(states[i], text)) {
            return true;
        }
    }
    g_autofree char *shown = g_strescape(text, NULL);
    return wrong(d, n->offset - d->base, "'%s' is not a run state", shown);
}

/*
 * A layout does not change without its version: what the description calls
 * the fields has to be what we call them. Where our tables do not fit the
 * bytes at all (subsections they do not have), the description is believed.
 */
static bool check_against_table(const Decoder *d, const GPtrArray *fields)
{
    Decoder own = *d;
    const Node *x = NULL, *y = NULL;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(node_free);

    own.m = model_new(false);
    own.m->harts = d->m->harts;
    own.m->cpu_version = d->m->cpu_version;
    own.m->switchover_command = d->m->switchover_command || d->m->configuration_described;
    own.flat = g_ptr_array_new();
    own.pos = 0;
    own.limit = d->pos;
    bool alike = !read_by_table(&own, list) || own.pos != d->pos ||
                 nodes_alike(fields, list, &x, &y);
    g_ptr_array_unref(own.flat);
    model_free(own.m);
    return alike || model_problem(d->m, x ? x->offset : y->offset, "section '%s' instance %u: the "
                                  "description has '%s' (%s) here, known is '%s' (%s)",
                                  d->section->idstr, d->section->instance, x ? x->name : "nothing",
                                  x ? x->type : "-", y ? y->name : "nothing", y ? y->type : "-");
}

bool layout_read_body(Model *m, Source *s, struct json_object *device, const Section *section,
                      GPtrArray *fields)
{
    Decoder d = {
        .m = m, .s = s, .section = section, .base = source_offset(s), .limit = SOURCE_WINDOW_MAX,
        .flat = g_ptr_array_new(),
    };
    bool ok = (device ? read_described(&d, device, fields, 0) &&
                            check_against_table(&d, fields)
                      : read_by_table(&d, fields)) && check_values(&d, fields, device);

    g_ptr_array_unref(d.flat);
    if (ok) {
        source_take(s, d.pos);
    }
    return ok;
}
