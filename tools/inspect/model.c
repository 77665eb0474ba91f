/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See model.h: making, finding and freeing of what was read. Reads no input itself. */
#include <string.h>
#include <sys/mman.h>
#include "model.h"

Node *node_new(const char *name, const char *type, uint64_t offset)
{
    Node *n = g_new0(Node, 1);
    n->name = g_strdup(name);
    n->type = g_strdup(type);
    n->index = -1;
    n->version = -1;
    n->offset = offset;
    n->elements = 1;
    return n;
}

void node_free(gpointer p)
{
    Node *n = p;
    if (!n) {
        return;
    }
    g_free(n->name);
    g_free(n->type);
    g_free(n->data);
    g_clear_pointer(&n->kids, g_ptr_array_unref);
    g_free(n);
}

static void section_free(gpointer p)
{
    Section *s = p;
    g_free(s->idstr);
    g_free(s->text);
    g_clear_pointer(&s->fields, g_ptr_array_unref);
    if (s->ram) {
        g_array_unref(s->ram);
    }
    g_free(s);
}

static void block_free(gpointer p)
{
    RamBlock *b = p;
    size_t bitmap = (b->length / PAGE + 63) / 64 * 8;

    if (b->data) {
        munmap(b->data, b->length);
    }
    if (b->seen) {
        munmap(b->seen, bitmap);
    }
    if (b->written) {
        munmap(b->written, bitmap);
    }
    g_free(b->second);
    g_free(b->name);
    g_free(b);
}

Model *model_new(bool keep_ram)
{
    Model *m = g_new0(Model, 1);
    m->keep_ram = keep_ram;
    m->cpu_version = -1;
    m->capabilities = g_ptr_array_new_with_free_func(g_free);
    m->blocks = g_ptr_array_new_with_free_func(block_free);
    m->sections = g_ptr_array_new_with_free_func(section_free);
    return m;
}

void model_free(Model *m)
{
    if (!m) {
        return;
    }
    g_ptr_array_unref(m->capabilities);
    g_ptr_array_unref(m->blocks);
    g_ptr_array_unref(m->sections);
    g_free(m->machine);
    g_free(m->description);
    g_free(m->problem.text);
    g_free(m);
}

bool model_problem(Model *m, uint64_t offset, const char *fmt, ...)
{
    va_list ap;

    if (m->problem.text) {
        return false;
    }
    va_start(ap, fmt);
    m->problem.text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    m->problem.offset = offset;
    return false;
}

char *model_dialect(const Model *m)
{
    bool ten = m->cpu_version >= 10 || m->switchover_command || m->configuration_described ||
               m->layout == LAYOUT_MAPPED_RAM;
    bool seven = m->cpu_version >= 0 ? m->cpu_version < 10 : m->description && !ten;
    const char *name = ten && !(m->cpu_version >= 0 && m->cpu_version < 10) ? "QEMU 10.0"
                       : seven ? "QEMU 7.2" : "not known";

    return m->ferry ? g_strdup_printf("%s, written by Ferry", name) : g_strdup(name);
}

const char *section_kind_name(SectionKind kind)
{
    static const char *const names[] = {
        [SEC_LIBVIRT] = "libvirt", [SEC_HEAD] = "head", [SEC_HEADER] = "header", [SEC_CONFIG] = "config",
        [SEC_START] = "start", [SEC_PART] = "part", [SEC_END] = "end", [SEC_FULL] = "full",
        [SEC_COMMAND] = "command", [SEC_EOF] = "eof", [SEC_DESCRIPTION] = "json",
        [SEC_TRAILER] = "trailer", [SEC_MULTIFD] = "multifd",
    };
    return names[kind];
}

RamBlock *model_find_block(const Model *m, const char *name, size_t len)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        RamBlock *b = g_ptr_array_index(m->blocks, i);
        if (strlen(b->name) == len && memcmp(b->name, name, len) == 0) {
            return b;
        }
    }
    return NULL;
}

Section *model_find_section(const Model *m, const char *idstr, uint32_t instance)
{
    for (guint i = 0; i < m->sections->len; i++) {
        Section *s = g_ptr_array_index(m->sections, i);
        if (s->fields && s->idstr && s->instance == instance && g_str_equal(s->idstr, idstr)) {
            return s;
        }
    }
    return NULL;
}

Node *node_find(const GPtrArray *list, const char *name)
{
    for (guint i = 0; list && i < list->len; i++) {
        Node *n = g_ptr_array_index(list, i);
        if (g_str_equal(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

/* Of integers only: what is not one has many names, such as "pci config", and is bytes to us. */
static bool type_alike(const Node *a, const Node *b)
{
    size_t n = strcspn(a->type, " ");      /* "int32 le" is an int32 with a condition */

    if (!node_is_integer(a) && !node_is_integer(b)) {
        return true;
    }
    return n == strcspn(b->type, " ") && memcmp(a->type, b->type, n) == 0;
}

static bool node_alike(const Node *a, const Node *b)
{
    return g_str_equal(a->name, b->name) && type_alike(a, b) &&
           a->index == b->index && a->offset == b->offset && a->size == b->size &&
           a->subsection == b->subsection && !a->kids == !b->kids;
}

bool nodes_alike(const GPtrArray *a, const GPtrArray *b, const Node **x, const Node **y)
{
    for (guint i = 0; i < MAX(a->len, b->len); i++) {
        *x = i < a->len ? g_ptr_array_index(a, i) : NULL;
        *y = i < b->len ? g_ptr_array_index(b, i) : NULL;
        if (!*x || !*y || !node_alike(*x, *y)) {
            return false;
        }
        const Node *inner_x = *x, *inner_y = *y;
        if (inner_x->kids && !nodes_alike(inner_x->kids, inner_y->kids, x, y)) {
            return false;
        }
    }
    return true;
}

bool node_is_signed(const Node *n)
{
    return g_str_has_prefix(n->type, "int");
}

bool node_is_integer(const Node *n)
{
    return n->data && (node_is_signed(n) || g_str_has_prefix(n->type, "uint") ||
                       g_str_equal(n->type, "bool") || g_str_equal(n->type, "timer")) &&
           (n->element_size == 1 || n->element_size == 2 || n->element_size == 4 ||
            n->element_size == 8);
}

uint64_t node_integer(const Node *n, uint32_t i)
{
    uint64_t v = 0;

    if (!n || !n->data || i >= n->elements || n->element_size > 8) {
        return 0;
    }
    for (uint32_t k = 0; k < n->element_size; k++) {
        v = v << 8 | n->data[(size_t)i * n->element_size + k];
    }
    if (node_is_signed(n) && n->element_size > 0 && n->element_size < 8) {
        unsigned shift = 64 - 8 * n->element_size;
        v = (uint64_t)((int64_t)(v << shift) >> shift);
    }
    return v;
}
