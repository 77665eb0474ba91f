/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See mapped-sums.h. Called by mapped-save and mapped-file; reads and writes no file. */
#include "migration/mapped/mapped-sums.h"

#include <inttypes.h>
#include <string.h>
#include "util/checksum.h"
#include "util/error.h"

struct MappedSums {
    const RAMBlock *block;
    uint64_t pages;
    uint8_t *table;             /* MappedSumsHeader, then a little-endian u64 per page */
};

uint64_t mapped_sums_offset(uint64_t bitmap_end)
{
    return (bitmap_end + 7) / 8 * 8;
}

uint64_t mapped_sums_bytes(uint64_t pages)
{
    return sizeof(MappedSumsHeader) + pages * sizeof(uint64_t);
}

MappedSums *mapped_sums_new(const RAMBlock *block, GError **errp)
{
    uint64_t pages = ram_block_pages(block);
    uint8_t *table = NULL;

    if (!checksum_available()) {
        error_setg(errp, "this program was built without libxxhash");
        return NULL;
    }
    table = g_try_malloc0(mapped_sums_bytes(pages));
    if (!table) {
        error_setg(errp, "not enough memory for the checksums of RAM block \"%s\": %" PRIu64 " KiB",
                   block->idstr, mapped_sums_bytes(pages) >> 10);
        return NULL;
    }
    MappedSums *s = g_new(MappedSums, 1);
    *s = (MappedSums){ .block = block, .pages = pages, .table = table };
    return s;
}

MappedSums *mapped_sums_copy(const MappedSums *s, GError **errp)
{
    MappedSums *copy = mapped_sums_new(s->block, errp);

    if (copy) {
        memcpy(copy->table, s->table, mapped_sums_bytes(s->pages));
    }
    return copy;
}

void mapped_sums_free(MappedSums *s)
{
    if (s) {
        g_free(s->table);
        g_free(s);
    }
}

static uint64_t *entry(const MappedSums *s, uint64_t page)
{
    return (uint64_t *)(s->table + sizeof(MappedSumsHeader)) + page;
}

void mapped_sums_note(MappedSums *s, uint64_t page, const void *content)
{
    *entry(s, page) = GUINT64_TO_LE(checksum_of(content, TARGET_PAGE_SIZE));
}

void mapped_sums_clear(MappedSums *s, uint64_t page)
{
    *entry(s, page) = 0;
}

/* [6.8] name, length, bitmap, one sum per page. */
static uint64_t sum_of_all(const MappedSums *s, const void *bitmap, uint64_t bitmap_bytes)
{
    uint64_t length = GUINT64_TO_BE(s->block->used_length), sum;
    Checksum *c = checksum_new();

    checksum_add(c, s->block->idstr, strlen(s->block->idstr));
    checksum_add(c, &length, sizeof(length));
    checksum_add(c, bitmap, bitmap_bytes);
    checksum_add(c, entry(s, 0), s->pages * sizeof(uint64_t));
    sum = checksum_get(c);
    checksum_free(c);
    return sum;
}

void mapped_sums_seal(MappedSums *s, const void *bitmap, uint64_t bitmap_bytes)
{
    MappedSumsHeader *h = (MappedSumsHeader *)s->table;

    memcpy(h->magic, MAPPED_SUMS_MAGIC, sizeof(h->magic));
    h->version = GUINT32_TO_BE(MAPPED_SUMS_VERSION);
    h->reserved = 0;
    h->pages = GUINT64_TO_BE(s->pages);
    h->sum = GUINT64_TO_BE(sum_of_all(s, bitmap, bitmap_bytes));
}

const void *mapped_sums_data(const MappedSums *s)
{
    return s->table;
}

void *mapped_sums_room(MappedSums *s)
{
    return s->table;
}

bool mapped_sums_is_there(const void *header)
{
    return memcmp(header, MAPPED_SUMS_MAGIC, sizeof(((MappedSumsHeader *)0)->magic)) == 0;
}

bool mapped_sums_check(const MappedSums *s, const void *bitmap, uint64_t bitmap_bytes, GError **errp)
{
    const MappedSumsHeader *h = (const MappedSumsHeader *)s->table;

    if (GUINT32_FROM_BE(h->version) != MAPPED_SUMS_VERSION) {
        error_setg(errp, "checksums of version %u, expected %u", GUINT32_FROM_BE(h->version),
                   MAPPED_SUMS_VERSION);
        return false;
    }
    if (GUINT64_FROM_BE(h->pages) != s->pages || h->reserved ||
        GUINT64_FROM_BE(h->sum) != sum_of_all(s, bitmap, bitmap_bytes)) {
        error_setg(errp, "the table of checksums or the bitmap is damaged");
        return false;
    }
    return true;
}

bool mapped_sums_check_pages(const MappedSums *s, uint64_t first, uint64_t count, const void *content,
                             GError **errp)
{
    const uint8_t *at = content;

    for (uint64_t i = 0; i < count; i++, at += TARGET_PAGE_SIZE) {
        uint64_t is = checksum_of(at, TARGET_PAGE_SIZE), was = GUINT64_FROM_LE(*entry(s, first + i));

        if (is != was) {
            error_setg(errp, "the page at 0x%" PRIx64 " is not what was saved (checksum %016" PRIx64
                       ", expected %016" PRIx64 ")", (first + i) << TARGET_PAGE_BITS, is, was);
            return false;
        }
    }
    return true;
}
