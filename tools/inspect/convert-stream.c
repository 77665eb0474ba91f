/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output as an ordinary stream: a record for each page (migration-stream 3). For convert.c. */
#include <string.h>
#include "convert.h"

enum { W_ZERO = 0x2, W_PAGE = 0x8, W_CONTINUE = 0x20 };

/* START is the list only; one PART has the pages. */
static bool begin(Convert *c)
{
    static const uint8_t part = 0x02;

    for (guint i = 0; i < c->m->blocks->len; i++) {
        if (!convert_put_block(c, convert_block(c, i))) {
            return false;
        }
    }
    return convert_put_end_mark(c) && convert_put_footer(c) && convert_put(c, &part, 1) &&
           convert_put_be32(c, c->start->id);
}

/* page NULL: it is zero. */
static bool put_page(Convert *c, unsigned block, uint64_t page, const uint8_t *data)
{
    static const uint8_t fill = 0;
    const char *name = convert_block(c, block)->name;
    bool same = c->last_block == (int)block;
    uint8_t len = strlen(name);

    c->last_block = block;
    return convert_put_be64(c, page * PAGE | (data ? W_PAGE : W_ZERO) | (same ? W_CONTINUE : 0)) &&
           (same || (convert_put(c, &len, 1) && convert_put(c, name, len))) &&
           (data ? convert_put(c, data, PAGE) : convert_put(c, &fill, 1));
}

static bool pages(Convert *c, unsigned block, uint64_t first, uint64_t n, const uint8_t *data)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *page = data + i * PAGE;
        bool zero = page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
        if (!put_page(c, block, first + i, zero ? NULL : page)) {
            return false;
        }
    }
    return true;
}

static bool zeros(Convert *c, unsigned block, uint64_t first, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!put_page(c, block, first + i, NULL)) {
            return false;
        }
    }
    return true;
}

static bool end(Convert *c)
{
    return convert_put_end_mark(c) && convert_put_footer(c);
}

const ConvertTarget convert_to_stream = { begin, pages, zeros, end };
