/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ram.c and ram-places.c both do: say what is wrong, and count a page that has come. */
#include "ram-private.h"

bool ram_problem(RamReader *r, uint64_t at, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return model_problem(r->model, at, "section 'ram' (%s): %s", r->section, text);
}

bool ram_ends_early(RamReader *r, const char *what)
{
    int err = source_errno(r->source);
    return ram_problem(r, source_offset(r->source), "%s %s", what,
                       err == EILSEQ ? "is in a damaged gzip file"
                       : err ? g_strerror(err) : "ends early: the file stops here");
}

static SectionRam *counts_of(RamReader *r, const RamBlock *b)
{
    unsigned index = 0;

    while (g_ptr_array_index(r->model->blocks, index) != b) {
        index++;
    }
    for (guint i = 0; i < r->counts->len; i++) {
        SectionRam *c = &g_array_index(r->counts, SectionRam, i);
        if (c->block == index) {
            return c;
        }
    }
    SectionRam fresh = { .block = index };
    g_array_append_val(r->counts, fresh);
    return &g_array_index(r->counts, SectionRam, r->counts->len - 1);
}

void ram_count_page(RamReader *r, RamBlock *b, uint64_t page, enum PageKind kind)
{
    b->records[kind]++;
    counts_of(r, b)->records[kind]++;
    if (ram_bit_get(b->seen, page)) {
        b->repeated++;
    } else {
        ram_bit_set(b->seen, page);
        b->seen_pages++;
    }
}
