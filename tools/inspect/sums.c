/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See sums.h. Written from the description of the format, as the rest of ferry-inspect. */
#include <string.h>
#include "sums.h"

#define HEAD 32u

uint64_t sums_bytes(uint64_t pages)
{
    return HEAD + pages * 8;
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

const char *sums_check(const RamBlock *b, const uint8_t *table, const uint8_t *bitmap,
                       uint64_t bitmap_bytes)
{
    uint64_t pages = b->length / PAGE, length = GUINT64_TO_BE(b->length);

    if (big(table + 8) != (uint64_t)1 << 32) {      /* u32 version, u32 0 */
        return "the checksums are not of version 1";
    }
    if (big(table + 16) != pages) {
        return "the checksums are those of a block of another length";
    }
    XXH3_state_t *s = XXH3_createState();
    XXH3_64bits_reset(s);
    XXH3_64bits_update(s, b->name, strlen(b->name));
    XXH3_64bits_update(s, &length, sizeof(length));
    XXH3_64bits_update(s, bitmap, bitmap_bytes);
    XXH3_64bits_update(s, table + HEAD, pages * 8);
    uint64_t sum = XXH3_64bits_digest(s);
    XXH3_freeState(s);
    return sum == big(table + 24) ? NULL : "the table of checksums or the bitmap is damaged";
}

bool sums_check_page(const uint8_t *table, uint64_t page, const uint8_t *content)
{
    uint64_t v;

    memcpy(&v, table + HEAD + page * 8, sizeof(v));
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
#endif
