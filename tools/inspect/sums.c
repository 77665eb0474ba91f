/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sums.h. Written from the description of the format, as the rest of ferry-inspect. */
#include <string.h>
#include "sums.h"

uint64_t sums_bytes(uint64_t pages)
{
    return SUMS_HEAD + pages * 8;
}

uint64_t sums_offset(uint64_t bitmap_end)
{
    return (bitmap_end + 7) & ~UINT64_C(7);
}

bool sums_are_there(const uint8_t *at)
{
    return memcmp(at, "FerrySum", 8) == 0;
}

#ifdef CONFIG_XXHASH
#include <xxhash.h>

static uint64_t big(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_BE(v);
}

bool sums_can_be_checked(void)
{
    return true;
}

struct SumsMaker {
    XXH3_state_t *state;
    uint64_t pages;
};

SumsMaker *sums_begin(const RamBlock *b, const uint8_t *bitmap, uint64_t bitmap_bytes)
{
    SumsMaker *s = g_new0(SumsMaker, 1);
    uint64_t length = GUINT64_TO_BE(b->length);

    s->state = XXH3_createState();
    s->pages = b->length / PAGE;
    XXH3_64bits_reset(s->state);
    XXH3_64bits_update(s->state, b->name, strlen(b->name));
    XXH3_64bits_update(s->state, &length, sizeof(length));
    XXH3_64bits_update(s->state, bitmap, bitmap_bytes);
    return s;
}

void sums_add(SumsMaker *s, const void *entries, size_t bytes)
{
    XXH3_64bits_update(s->state, entries, bytes);
}

void sums_end(SumsMaker *s, uint8_t head[SUMS_HEAD])
{
    const uint64_t numbers[] = { GUINT64_TO_BE((uint64_t)1 << 32),      /* u32 version, u32 0 */
                                 GUINT64_TO_BE(s->pages),
                                 GUINT64_TO_BE(XXH3_64bits_digest(s->state)) };

    memcpy(head, "FerrySum", 8);
    memcpy(head + 8, numbers, sizeof(numbers));
    XXH3_freeState(s->state);
    g_free(s);
}

uint64_t sums_entry(const uint8_t *content)
{
    return GUINT64_TO_LE(XXH3_64bits(content, PAGE));
}

const char *sums_check(const RamBlock *b, const uint8_t *table, const uint8_t *bitmap,
                       uint64_t bitmap_bytes)
{
    uint64_t pages = b->length / PAGE;

    if (big(table + 8) != (uint64_t)1 << 32) {      /* u32 version, u32 0 */
        return "the checksums are not of version 1";
    }
    if (big(table + 16) != pages) {
        return "the checksums are those of a block of another length";
    }
    uint8_t head[SUMS_HEAD];
    SumsMaker *s = sums_begin(b, bitmap, bitmap_bytes);
    sums_add(s, table + SUMS_HEAD, pages * 8);
    sums_end(s, head);
    return memcmp(head, table, SUMS_HEAD) == 0 ? NULL
                                               : "the table of checksums or the bitmap is damaged";
}

bool sums_check_page(const uint8_t *table, uint64_t page, const uint8_t *content)
{
    uint64_t v;

    memcpy(&v, table + SUMS_HEAD + page * 8, sizeof(v));
    return XXH3_64bits(content, PAGE) == GUINT64_FROM_LE(v);
}

#else

bool sums_can_be_checked(void)
{
    return false;
}

const char *sums_check(const RamBlock *b, const uint8_t *table, const uint8_t *bitmap,
                       uint64_t bitmap_bytes)
{
    return NULL;
}

bool sums_check_page(const uint8_t *table, uint64_t page, const uint8_t *content)
{
    return true;
}

uint64_t sums_entry(const uint8_t *content)
{
    return 0;
}

SumsMaker *sums_begin(const RamBlock *b, const uint8_t *bitmap, uint64_t bitmap_bytes)
{
    return NULL;
}

void sums_add(SumsMaker *s, const void *entries, size_t bytes)
{
}

void sums_end(SumsMaker *s, uint8_t head[SUMS_HEAD])
{
    memset(head, 0, SUMS_HEAD);
}
#endif
