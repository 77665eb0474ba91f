/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See walker.h: what every part of the walk needs. Calls none of them. */
#include <errno.h>
#include <string.h>
#include "walker.h"

bool walker_ends_early(Walker *w, const char *what)
{
    int err = source_errno(w->s);
    return model_problem(w->m, source_offset(w->s), "%s %s", what,
                         err == EILSEQ ? "is in a damaged gzip file"
                         : err ? g_strerror(err) : "ends early: the file stops here");
}

uint32_t walker_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

char *walker_name(const uint8_t *p, size_t len)
{
    char *name = g_strndup((const char *)p, len);

    for (size_t i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] > 0x7e) {
            g_free(name);
            return NULL;
        }
    }
    return name;
}

Section *walker_add_section(Walker *w, SectionKind kind, uint64_t offset)
{
    Section *sec = g_new0(Section, 1);
    sec->kind = kind;
    sec->offset = offset;
    g_ptr_array_add(w->m->sections, sec);
    return sec;
}

void walker_end_section(Walker *w, Section *sec)
{
    sec->length = source_offset(w->s) - sec->offset;
}
