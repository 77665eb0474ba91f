/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ram-private.h. Files in which pages have their place, of either layout, also those saved into again. */
#include <inttypes.h>
#include <string.h>
#include "ram-private.h"
#include "sums.h"

#define ALIGN_PAGES 0x100000u

uint64_t ram_page_at(const RamBlock *b, uint64_t page)
{
    bool second = b->second && b->second[page / 8] >> (page % 8) & 1;

    return (second ? b->second_offset : b->pages_offset) + page * PAGE;
}

static bool read_placed_pages(RamReader *r, RamBlock *b, const uint8_t *bitmap)
{
    uint64_t pages = b->length / PAGE;

    for (uint64_t i = 0; i < pages;) {
        uint64_t n = 1;
        bool set = bitmap[i / 8] >> (i % 8) & 1;
        while (i + n < pages && n < 65536 && (bitmap[(i + n) / 8] >> ((i + n) % 8) & 1) == set) {
            n++;
        }
        bool ok = set && b->data ? source_read(r->source, b->data + i * PAGE, n * PAGE)
                                 : source_skip(r->source, n * PAGE);
        if (!ok) {
            g_autofree char *what = g_strdup_printf("block '%s' pages from %" PRIu64, b->name, i);
            return ram_ends_early(r, what);
        }
        for (uint64_t k = i; set && k < i + n; k++) {
            ram_bit_set(b->written, k);
            ram_count_page(r, b, k, PAGE_MAPPED);
        }
        i += n;
    }
    return true;
}

/*
 * In the room between bitmap and pages, which begins here and ends at room_end. *table is new, or NULL: there are none.
 * Consumes no more than they take.
 */
static bool read_sums(RamReader *r, RamBlock *b, const uint8_t *bitmap, uint64_t bitmap_bytes,
                      uint64_t room_end, uint8_t **table)
{
    uint64_t here = source_offset(r->source), at = sums_offset(here), pages = b->length / PAGE;
    const uint8_t *p;

    *table = NULL;
    if (at > room_end || room_end - at < sums_bytes(pages)) {
        return true;
    }
    if (!source_skip(r->source, at - here) || !(p = source_peek(r->source, 8))) {
        return ram_ends_early(r, "the room before a block's pages");
    }
    if (!sums_are_there(p)) {
        return true;
    }
    b->sums_offset = at;
    if (sums_bytes(pages) > SOURCE_WINDOW_MAX || !(p = source_peek(r->source, sums_bytes(pages)))) {
        return ram_ends_early(r, "a block's checksums");
    }
    const char *wrong = sums_check(b, p, bitmap, bitmap_bytes);
    if (wrong) {
        return ram_problem(r, at, "block '%s': %s", b->name, wrong);
    }
    *table = g_memdup2(p, sums_bytes(pages));
    source_take(r->source, sums_bytes(pages));
    return true;
}

static bool check_sums(RamReader *r, RamBlock *b, const uint8_t *table)
{
    for (uint64_t i = 0; b->data && sums_can_be_checked() && i < b->length / PAGE; i++) {
        if (!ram_bit_get(b->written, i)) {
            continue;
        }
        if (!sums_check_page(table, i, b->data + i * PAGE)) {
            return ram_problem(r, ram_page_at(b, i), "block '%s' page %" PRIu64 " (0x%" PRIx64
                                "): it is not what was saved, its checksum differs", b->name, i, i * PAGE);
        }
        b->sums_checked++;
    }
    return true;
}

/* New; NULL: it has failed. */
static uint8_t *read_bitmap(RamReader *r, const RamBlock *b)
{
    uint64_t pages = b->length / PAGE, bytes = (pages + 63) / 64 * 8, here = source_offset(r->source);
    const uint8_t *p = bytes <= SOURCE_WINDOW_MAX ? source_peek(r->source, bytes) : NULL;

    if (!p) {
        ram_ends_early(r, "a block's bitmap");
        return NULL;
    }
    for (uint64_t i = pages; i < bytes * 8; i++) {
        if (p[i / 8] >> (i % 8) & 1) {
            ram_problem(r, here + i / 8, "block '%s': the bitmap has a bit for page %" PRIu64
                        ", the block %" PRIu64 " pages", b->name, i, pages);
            return NULL;
        }
    }
    uint8_t *bitmap = g_memdup2(p, bytes);
    source_take(r->source, bytes);
    return bitmap;
}

/* ---- a file that was saved into again: pages have two places, before the stream ---- */

/* Which of them are in their second place, as b->second; the stream stands behind it. */
static bool read_second(RamReader *r, RamBlock *b, const uint8_t *bitmap, uint64_t at)
{
    uint64_t here = source_offset(r->source);

    if (at < here || at - here >= 8 || !source_skip(r->source, at - here)) {
        return ram_problem(r, here, "block '%s': the second bitmap at 0x%" PRIx64 ", expected the next "
                           "multiple of 8 after 0x%" PRIx64, b->name, at, here);
    }
    b->second = read_bitmap(r, b);
    for (uint64_t i = 0; b->second && i < (b->length / PAGE + 7) / 8; i++) {
        if (b->second[i] & ~bitmap[i]) {
            return ram_problem(r, at + i, "block '%s': the second bitmap has pages that are not in the "
                               "file", b->name);
        }
    }
    return b->second;
}

static bool read_pages_at(RamReader *r, RamBlock *b, const uint8_t *bitmap)
{
    for (uint64_t i = 0; i < b->length / PAGE; i++) {
        g_autofree char *error = NULL;

        if (!(bitmap[i / 8] >> (i % 8) & 1)) {
            continue;
        }
        ram_bit_set(b->written, i);
        ram_count_page(r, b, i, PAGE_MAPPED);
        if (b->data && !source_at(r->source, b->data + i * PAGE, PAGE, ram_page_at(b, i), &error)) {
            return ram_problem(r, ram_page_at(b, i), "block '%s' page %" PRIu64 ": %s", b->name, i, error);
        }
    }
    return true;
}

static bool read_block_again(RamReader *r, RamBlock *b, uint64_t at, const uint8_t *h)
{
    uint64_t second_bitmap = ram_be64(h + 36), next = ram_be64(h + 44);

    b->bitmap_offset = ram_be64(h + 12);
    b->pages_offset = ram_be64(h + 20);
    b->second_offset = ram_be64(h + 28);
    source_take(r->source, 52);
    if (!source_has_places(r->source)) {
        return ram_problem(r, at, "block '%s': its pages lie before the stream, which can only be read from "
                           "a file", b->name);
    }
    if (b->bitmap_offset != source_offset(r->source) || b->pages_offset % PAGE || !b->second_offset ||
        b->second_offset % PAGE) {
        return ram_problem(r, at, "block '%s': bitmap at 0x%" PRIx64 ", pages at 0x%" PRIx64 " and 0x%" PRIx64
                           ": expected at 0x%" PRIx64 ", and multiples of %u", b->name, b->bitmap_offset,
                           b->pages_offset, b->second_offset, source_offset(r->source), PAGE);
    }
    g_autofree uint8_t *bitmap = read_bitmap(r, b), *table = NULL;
    if (!bitmap || !read_sums(r, b, bitmap, (b->length / PAGE + 63) / 64 * 8, second_bitmap, &table) ||
        !read_second(r, b, bitmap, second_bitmap)) {
        return false;
    }
    if (next != source_offset(r->source)) {
        return ram_problem(r, at, "block '%s': the next block at 0x%" PRIx64 ", expected 0x%" PRIx64, b->name,
                           next, source_offset(r->source));
    }
    return read_pages_at(r, b, bitmap) && (!table || check_sums(r, b, table));
}

/* ---- one block ---- */

/* As far as pages may lie from their bitmap. */
static uint64_t room_limit(const RamBlock *b, uint64_t bitmap_end)
{
    const uint64_t pages = b->length / PAGE;

    return sums_offset(bitmap_end) + sums_bytes(pages) + ALIGN_PAGES;
}

bool ram_read_placed_block(RamReader *r, RamBlock *b)
{
    bool fixed = r->model->layout == LAYOUT_FIXED_RAM;
    uint64_t at = source_offset(r->source), pages = b->length / PAGE;
    uint64_t bitmap_bytes = (pages + 63) / 64 * 8;
    const uint8_t *h = source_peek(r->source, fixed ? 12 : 28);

    if (!h) {
        return ram_ends_early(r, "a block's header");
    }
    if (!fixed && ram_be32(h) == 2 && r->model->saves) {
        return (h = source_peek(r->source, 52)) ? read_block_again(r, b, at, h)
                                                : ram_ends_early(r, "a block's header");
    }
    if (fixed && ram_be32(h) != bitmap_bytes) {
        return ram_problem(r, at, "block '%s': bitmap of %u bytes, expected %" PRIu64, b->name,
                            ram_be32(h), bitmap_bytes);
    }
    if (!fixed && (ram_be32(h) != 1 || ram_be64(h + 4) != PAGE)) {
        return ram_problem(r, at, "block '%s': mapped-ram version %u page size %" PRIu64
                            ", expected 1 and %u", b->name, ram_be32(h), ram_be64(h + 4), PAGE);
    }
    b->bitmap_offset = fixed ? at + 12 : ram_be64(h + 12);
    b->pages_offset = fixed ? ram_be64(h + 4) : ram_be64(h + 20);
    source_take(r->source, fixed ? 12 : 28);
    uint64_t here = source_offset(r->source);
    if (b->bitmap_offset != here) {
        return ram_problem(r, at, "block '%s': bitmap at 0x%" PRIx64 ", expected 0x%" PRIx64,
                            b->name, b->bitmap_offset, here);
    }
    if (b->pages_offset < here + bitmap_bytes || b->pages_offset % PAGE ||
        b->pages_offset >= room_limit(b, here + bitmap_bytes)) {
        return ram_problem(r, at, "block '%s': pages at 0x%" PRIx64 ", expected the next multiple "
                            "of 0x%x after 0x%" PRIx64, b->name, b->pages_offset, ALIGN_PAGES,
                            here + bitmap_bytes);
    }
    g_autofree uint8_t *bitmap = read_bitmap(r, b);
    g_autofree uint8_t *table = NULL;
    if (!bitmap) {
        return false;
    }
    if (!read_sums(r, b, bitmap, bitmap_bytes, b->pages_offset, &table)) {
        return false;
    }
    here = source_offset(r->source);
    if (b->pages_offset - here >= ALIGN_PAGES) {
        return ram_problem(r, at, "block '%s': pages at 0x%" PRIx64 ", expected the next multiple of "
                            "0x%x after 0x%" PRIx64, b->name, b->pages_offset, ALIGN_PAGES, here);
    }
    if (!source_skip(r->source, b->pages_offset - here)) {
        return ram_ends_early(r, "the room before a block's pages");
    }
    return read_placed_pages(r, b, bitmap) && (!table || check_sums(r, b, table));
}
