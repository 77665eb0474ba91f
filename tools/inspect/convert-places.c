/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output in which each page has its place: mapped-ram and fixed-ram (migration-stream 6). Pages may
 * come in any order and again. Called by convert.c.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "convert.h"
#include "sums.h"

#define ALIGN_PAGES 0x100000u

static uint64_t pages_of(const RamBlock *b)
{
    return b->length / PAGE;
}

static uint64_t bitmap_bytes(const RamBlock *b)
{
    return (pages_of(b) + 63) / 64 * 8;
}

static bool bit_get(const uint8_t *bitmap, uint64_t i)
{
    return bitmap[i / 8] >> (i % 8) & 1;
}

static void bit_put(uint8_t *bitmap, uint64_t i, bool on)
{
    bitmap[i / 8] = (bitmap[i / 8] & ~(1u << (i % 8))) | (unsigned)on << (i % 8);
}

/* ---- the list ---- */

static bool begin_block(Convert *c, unsigned index)
{
    const RamBlock *b = convert_block(c, index);
    bool fixed = c->o->to == LAYOUT_FIXED_RAM;
    Place *p = &c->places[index];

    p->bitmap = g_try_malloc0(bitmap_bytes(b));
    if (!p->bitmap) {
        errno = ENOMEM;
        return output_fail(&c->out, "make a bitmap for");
    }
    if (!convert_put_block(c, b)) {
        return false;
    }
    p->bitmap_at = c->at + (fixed ? 12 : 28);
    uint64_t end = p->bitmap_at + bitmap_bytes(b);
    if (c->o->checksum) {
        p->sums_at = sums_offset(end);
        end = p->sums_at + sums_bytes(pages_of(b));
    }
    p->pages_at = (end + ALIGN_PAGES - 1) / ALIGN_PAGES * ALIGN_PAGES;
    bool ok = fixed ? convert_put_be32(c, bitmap_bytes(b))
                    : convert_put_be32(c, 1) && convert_put_be64(c, PAGE) &&
                          convert_put_be64(c, p->bitmap_at);
    return ok && convert_put_be64(c, p->pages_at) && convert_seek(c, p->pages_at + b->length);
}

static bool begin(Convert *c)
{
    c->places = g_new0(Place, c->m->blocks->len);
    for (guint i = 0; i < c->m->blocks->len; i++) {
        if (!begin_block(c, i)) {
            return false;
        }
    }
    return ftruncate(c->out.fd, c->at) == 0 || output_fail(&c->out, "extend");
}

/* ---- pages ---- */

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* A page that became zero leaves its old content behind: the bitmap decides. */
static bool pages(Convert *c, unsigned block, uint64_t first, uint64_t n, const uint8_t *data)
{
    const Place *p = &c->places[block];

    for (uint64_t i = 0; i < n;) {
        uint64_t run = 0;
        while (i + run < n && !is_zero(data + (i + run) * PAGE)) {
            bit_put(p->bitmap, first + i + run++, true);
        }
        uint64_t at = p->pages_at + (first + i) * PAGE;
        if (run && !output_at(&c->out, data + i * PAGE, run * PAGE, at)) {
            return false;
        }
        i += run;
        if (i < n) {
            bit_put(p->bitmap, first + i++, false);
        }
    }
    return true;
}

static bool zeros(Convert *c, unsigned block, uint64_t first, uint64_t n)
{
    return true;
}

static bool read_out(Convert *c, void *into, size_t len, uint64_t at)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(c->out.fd, (uint8_t *)into + done, len - done, at + done);
        if (n == 0) {
            errno = ENODATA;
        }
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return output_fail(&c->out, "read back");
        }
        done += MAX(n, 0);
    }
    return true;
}

bool convert_read_back(Convert *c, unsigned block, uint64_t page, uint8_t *into)
{
    const Place *p = &c->places[block];

    if (!bit_get(p->bitmap, page)) {
        memset(into, 0, PAGE);
        return true;
    }
    return read_out(c, into, PAGE, p->pages_at + page * PAGE);
}

/* ---- checksums ---- */

/* Entries of pages [first, first + n); data: room for them. *any: one of them is not 0. */
static bool make_entries(Convert *c, const Place *p, uint64_t first, uint64_t n, uint8_t *data,
                         uint64_t *entries, bool *any)
{
    *any = false;
    memset(entries, 0, n * sizeof(*entries));
    for (uint64_t i = 0; i < n; i++) {
        *any |= bit_get(p->bitmap, first + i);
    }
    if (*any && !read_out(c, data, n * PAGE, p->pages_at + first * PAGE)) {
        return false;
    }
    for (uint64_t i = 0; *any && i < n; i++) {
        entries[i] = bit_get(p->bitmap, first + i) ? sums_entry(data + i * PAGE) : 0;
    }
    return true;
}

static bool write_sums(Convert *c, unsigned block)
{
    const RamBlock *b = convert_block(c, block);
    const Place *p = &c->places[block];
    g_autofree uint8_t *data = g_malloc(CONVERT_RUN * PAGE);
    uint64_t entries[CONVERT_RUN];
    uint8_t head[SUMS_HEAD];
    SumsMaker *maker = sums_begin(b, p->bitmap, bitmap_bytes(b));
    bool ok = true, any;

    for (uint64_t i = 0; ok && i < pages_of(b); i += CONVERT_RUN) {
        uint64_t n = MIN(CONVERT_RUN, pages_of(b) - i);
        ok = make_entries(c, p, i, n, data, entries, &any) &&
             (!any || output_at(&c->out, entries, n * 8, p->sums_at + SUMS_HEAD + i * 8));
        sums_add(maker, entries, n * 8);
    }
    sums_end(maker, head);
    return ok && output_at(&c->out, head, sizeof(head), p->sums_at);
}

/* ---- the end ---- */

static bool end(Convert *c)
{
    for (guint i = 0; i < c->m->blocks->len; i++) {
        const Place *p = &c->places[i];
        if (!output_at(&c->out, p->bitmap, bitmap_bytes(convert_block(c, i)), p->bitmap_at) ||
            (p->sums_at && !write_sums(c, i))) {
            return false;
        }
    }
    return convert_put_end_mark(c) && convert_put_footer(c);
}

void convert_free_places(Convert *c)
{
    for (guint i = 0; c->places && i < c->m->blocks->len; i++) {
        g_free(c->places[i].bitmap);
    }
    g_clear_pointer(&c->places, g_free);
}

const ConvertTarget convert_to_places = { begin, pages, zeros, end };
