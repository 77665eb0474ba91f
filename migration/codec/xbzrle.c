/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XBZRLE encoder and decoder. Called by ram/classify (encode, apply to the
 * cached copy) and ram/load (decode). Never looks at guest memory that can
 * change and never allocates.
 *
 *   encoded := ( zrun nzrun )+     zrun  := length           equal bytes, skipped
 *                                  nzrun := length byte...   the new bytes
 *   length  := ULEB128, at most two bytes
 *
 * The scans compare eight bytes at a time (64 while pages are equal). Words
 * are taken as little-endian, so that the lowest set bit is the first byte.
 */
#include "migration/codec/xbzrle.h"

#include <string.h>
#include "migration/codec/length.h"

#define ONES 0x0101010101010101ULL
#define HIGH 0x8080808080808080ULL

static inline uint64_t diff_word(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return GUINT64_FROM_LE(x ^ y);
}

static inline bool equal_64_bytes(const uint8_t *a, const uint8_t *b)
{
    uint64_t any = 0;

    for (int k = 0; k < 64; k += 8) {
        any |= diff_word(a + k, b + k);
    }
    return any == 0;
}

/* First position >= i where old and new differ, or len. */
static inline size_t scan_equal(const uint8_t *old, const uint8_t *new, size_t i, size_t len)
{
    for (; i + 8 <= len; i += 8) {
        uint64_t x = diff_word(old + i, new + i);

        if (x) {
            return i + (size_t)(__builtin_ctzll(x) >> 3);
        }
        while (i + 72 <= len && equal_64_bytes(old + i + 8, new + i + 8)) {
            i += 64;
        }
    }
    while (i < len && old[i] == new[i]) {
        i++;
    }
    return i;
}

/* First position >= i where old and new are equal, or len. */
static inline size_t scan_differing(const uint8_t *old, const uint8_t *new, size_t i, size_t len)
{
    for (; i + 8 <= len; i += 8) {
        uint64_t x = diff_word(old + i, new + i);
        uint64_t zero_bytes = (x - ONES) & ~x & HIGH; /* exact up to the lowest one */

        if (zero_bytes) {
            return i + (size_t)(__builtin_ctzll(zero_bytes) >> 3);
        }
    }
    while (i < len && old[i] != new[i]) {
        i++;
    }
    return i;
}

int xbzrle_encode(const uint8_t *old, const uint8_t *new, size_t page_len, uint8_t *dst,
                  size_t cap)
{
    size_t i = 0, d = 0;

    g_assert(page_len <= XBZRLE_MAX_PAGE);
    for (;;) {
        size_t start = i;

        /* Before the look at what is left, as the peers do (4.3, test 1). */
        if (i < page_len && d + 2 > cap) {
            return XBZRLE_OVERFLOW;
        }
        i = scan_equal(old, new, i, page_len);
        if (i == page_len) {
            return (int)d; /* the trailing equal run is not sent; 0: nothing differs */
        }
        d += put_length(dst + d, i - start);

        if (d + 2 > cap) {
            return XBZRLE_OVERFLOW;
        }
        start = i;
        i = scan_differing(old, new, i, page_len);
        d += put_length(dst + d, i - start);
        if (d + (i - start) > cap) {
            return XBZRLE_OVERFLOW;
        }
        memcpy(dst + d, new + start, i - start);
        d += i - start;
    }
}

/* Walks the whole delta without writing; covered bytes or -1. */
static int delta_check(const uint8_t *src, size_t slen, size_t dlen)
{
    size_t s = 0, d = 0, run;

    while (s < slen) {
        bool first = s == 0;

        if (!get_length(src, slen, &s, &run) || (run == 0 && !first) || run > dlen - d) {
            return -1;
        }
        d += run;
        if (!get_length(src, slen, &s, &run) || run == 0 || run > dlen - d || run > slen - s) {
            return -1;
        }
        d += run;
        s += run;
    }
    return (int)d;
}

/* Applies a delta that delta_check accepted. */
static void delta_apply(const uint8_t *src, size_t slen, uint8_t *dst)
{
    size_t s = 0, run = 0;

    while (s < slen) {
        get_length(src, slen, &s, &run);
        dst += run;
        get_length(src, slen, &s, &run);
        memcpy(dst, src + s, run);
        dst += run;
        s += run;
    }
}

int xbzrle_decode(const uint8_t *src, size_t slen, uint8_t *dst, size_t dlen)
{
    int covered = delta_check(src, slen, dlen);

    if (covered > 0) {
        delta_apply(src, slen, dst);
    }
    return covered;
}
