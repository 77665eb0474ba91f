/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What convert writes in a row, one byte behind the other: gathered, and written at its place. */
#include <string.h>
#include "convert.h"

#define PENDING_MAX (1u << 20)

static bool flush(Convert *c)
{
    uint64_t begin = c->at - c->pending->len;
    bool ok = output_at(&c->out, c->pending->data, c->pending->len, begin);

    g_byte_array_set_size(c->pending, 0);
    return ok;
}

bool convert_put(Convert *c, const void *data, size_t len)
{
    g_byte_array_append(c->pending, data, len);
    c->at += len;
    return c->pending->len < PENDING_MAX || flush(c);
}

bool convert_put_be32(Convert *c, uint32_t v)
{
    uint32_t big = GUINT32_TO_BE(v);
    return convert_put(c, &big, sizeof(big));
}

bool convert_put_be64(Convert *c, uint64_t v)
{
    uint64_t big = GUINT64_TO_BE(v);
    return convert_put(c, &big, sizeof(big));
}

bool convert_put_end_mark(Convert *c)
{
    return convert_put_be64(c, 0x10);
}

bool convert_put_footer(Convert *c)
{
    uint8_t footer[5];

    /* START ends with an end mark, which has no such byte, or with a footer behind it */
    uint64_t at = c->start->offset + c->start->length - sizeof(footer);
    if (!source_at(c->s, footer, sizeof(footer), at, c->out.error)) {
        return false;
    }
    return footer[0] != 0x7e || convert_put(c, footer, sizeof(footer));
}

bool convert_put_block(Convert *c, const RamBlock *b)
{
    uint8_t len = strlen(b->name);

    return convert_put(c, &len, 1) && convert_put(c, b->name, len) &&
           convert_put_be64(c, b->length);
}

bool convert_seek(Convert *c, uint64_t at)
{
    bool ok = flush(c);

    c->at = at;
    return ok;
}

RamBlock *convert_block(const Convert *c, unsigned index)
{
    return g_ptr_array_index(c->m->blocks, index);
}
