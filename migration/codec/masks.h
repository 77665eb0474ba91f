/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the levels share, compiled into each with its own instructions: a
 * page's differences as 64-bit masks (bit set: the byte differs), made by the
 * level's diff_64(); from there on everything is arithmetic on bits.
 *
 * Encoding goes in two steps, neither of which waits for the other's
 * branches: all places where equal turns into different or back (as bits:
 * mask xor mask shifted by one) are written down in a list, eight at a time
 * without a branch for each; then runs are put out pair by pair.
 */
#ifndef MIGRATION_CODEC_MASKS_H
#define MIGRATION_CODEC_MASKS_H

#include <string.h>
#include "migration/codec/length.h"
#include "migration/codec/simd.h"
#include "migration/codec/xbzrle.h"

#define WORD_BYTES 64
#define SHORT_DELTA 32      /* a delta below that part of the page has few runs */
#define COPY_BYTES 16       /* copied at once where there is room; longer runs go to memcpy */

/* The level's own: bit k is set if a[k] differs from b[k]. Reads 64 bytes of each. */
static inline uint64_t diff_64(const uint8_t *a, const uint8_t *b);
/* The level's own: is any of n whole words (64 bytes each) not zero? */
static inline bool any_of_words(const uint8_t *p, size_t words);

/* As diff_64, for the page's end: n < 64 bytes are there, others count as equal. */
static inline uint64_t diff_tail(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t mask = 0;

    for (size_t k = 0; k < n; k++) {
        mask |= (uint64_t)(a[k] != b[k]) << k;
    }
    return mask;
}

/* Appends 64 * word + the places of the set bits; writes up to eight places too many. */
static inline uint16_t *put_places(uint16_t *out, uint64_t bits, size_t base)
{
    uint16_t *end = out + __builtin_popcountll(bits);

    do {
#pragma GCC unroll 8
        for (int k = 0; k < 8; k++) {
            /* Without bits left it is some place that nobody looks at. */
            out[k] = (uint16_t)(base + (unsigned)__builtin_ctzll(bits | 1ULL << 63));
            bits &= bits - 1;
        }
        out += 8;
    } while (out < end);
    return end;
}

/* One word's turns; *last is the state of the byte before it and after it. */
static inline uint16_t *put_turns(uint16_t *out, uint64_t mask, uint64_t *last, size_t base)
{
    uint64_t turns = mask ^ (mask << 1 | *last);

    *last = mask >> 63;
    return turns ? put_places(out, turns, base) : out;
}

/*
 * The places where equal bytes (as which the page begins) turn into differing
 * ones and back, in turn. Their number is even: a run that lasts until the
 * end of the page ends there.
 */
static inline size_t find_turns(const uint8_t *old, const uint8_t *new, size_t len, uint16_t *turns)
{
    uint16_t *out = turns;
    uint64_t last = 0;
    size_t at = 0;

    for (; at + 2 * WORD_BYTES <= len; at += 2 * WORD_BYTES) {
        uint64_t low = diff_64(old + at, new + at);
        uint64_t high = diff_64(old + at + WORD_BYTES, new + at + WORD_BYTES);

        if (low | high | last) {
            out = put_turns(out, low, &last, at);
            out = put_turns(out, high, &last, at + WORD_BYTES);
        }
    }
    if (at + WORD_BYTES <= len) {
        out = put_turns(out, diff_64(old + at, new + at), &last, at);
        at += WORD_BYTES;
    }
    if (at < len) {
        out = put_turns(out, diff_tail(old + at, new + at, len - at), &last, at);
    } else if (last) {
        *out++ = (uint16_t)len;
    }
    return (size_t)(out - turns);
}

/* One pair of runs, for any lengths. False: does not fit. */
static inline bool put_runs(uint8_t *dst, size_t cap, size_t *d, size_t equal, const uint8_t *bytes,
                            size_t count)
{
    if (*d + 2 > cap) {
        return false;
    }
    *d += put_length(dst + *d, equal);
    if (*d + 2 > cap) {
        return false;
    }
    *d += put_length(dst + *d, count);
    if (*d + count > cap) {
        return false;
    }
    memcpy(dst + *d, bytes, count);
    *d += count;
    return true;
}

/* The encoding from the list of turns; the same refusals as xbzrle_encode's (4.3). */
static inline int put_delta(const uint16_t *turns, size_t n, const uint8_t *new, size_t len,
                            uint8_t *dst, size_t cap)
{
    size_t d = 0, done = 0;

    if (n / 2 * 3 > cap) {
        return XBZRLE_OVERFLOW;     /* three bytes a run are the least */
    }
    for (size_t k = 0; k < n; k += 2) {
        size_t start = turns[k], end = turns[k + 1];
        size_t equal = start - done, count = end - start;

        if (equal < 0x80 && count <= COPY_BYTES && start + COPY_BYTES <= len &&
            d + 2 + COPY_BYTES <= cap) {
            dst[d] = (uint8_t)equal;
            dst[d + 1] = (uint8_t)count;
            memcpy(dst + d + 2, new + start, COPY_BYTES);
            d += 2 + count;
        } else if (!put_runs(dst, cap, &d, equal, new + start, count)) {
            return XBZRLE_OVERFLOW;
        }
        done = end;
    }
    /* Room for a length is asked for before the look at what is left, as the peers do. */
    return done < len && d + 2 > cap ? XBZRLE_OVERFLOW : (int)d;
}

static int masks_encode(const uint8_t *old, const uint8_t *new, size_t page_len, uint8_t *dst,
                        size_t cap)
{
    uint16_t turns[XBZRLE_MAX_PAGE + 1 + WORD_BYTES];

    g_assert(page_len <= XBZRLE_MAX_PAGE);
    return put_delta(turns, find_turns(old, new, page_len, turns), new, page_len, dst, cap);
}

/* ---- decoding ---- */

/* Where the walk over a delta is: s in the delta, d in the page. */
typedef struct DeltaWalk {
    const uint8_t *src;
    size_t slen, s;
    uint8_t *dst;
    size_t dlen, d;
} DeltaWalk;

/* One pair of runs, for any lengths. False: malformed. */
static inline bool take_runs(DeltaWalk *w)
{
    bool first = w->s == 0;
    size_t run;

    if (!get_length(w->src, w->slen, &w->s, &run) || (run == 0 && !first) || run > w->dlen - w->d) {
        return false;
    }
    w->d += run;
    if (!get_length(w->src, w->slen, &w->s, &run) || run == 0 || run > w->dlen - w->d ||
        run > w->slen - w->s) {
        return false;
    }
    memcpy(w->dst + w->d, w->src + w->s, run);
    w->d += run;
    w->s += run;
    return true;
}

/*
 * Single changed bytes, of which deltas are made mostly. That the length is
 * one is guessed by the branch, not computed: so the next pair need not wait
 * for this one's length to come from memory. Stops where it is something else.
 */
static inline void take_single_bytes(DeltaWalk *w)
{
    size_t s = w->s, d = w->d;

    while (s + 3 <= w->slen) {
        size_t equal = w->src[s];

        if (w->src[s + 1] != 1 || equal - 1 >= 0x7f || equal >= w->dlen - d) {
            break;
        }
        w->dst[d + equal] = w->src[s + 2];
        d += equal + 1;
        s += 3;
    }
    w->s = s;
    w->d = d;
}

/*
 * Checks while it writes, as to look at each length twice costs more than a
 * copy of the page to put back if the delta turns out to be malformed. Where
 * there are few lengths it is the other way round.
 */
static int masks_decode(const uint8_t *src, size_t slen, uint8_t *dst, size_t dlen)
{
    DeltaWalk w = { .src = src, .slen = slen, .dst = dst, .dlen = dlen };
    uint8_t before[XBZRLE_MAX_PAGE];

    if (slen < dlen / SHORT_DELTA || dlen > sizeof(before)) {
        return xbzrle_decode(src, slen, dst, dlen);
    }
    memcpy(before, dst, dlen);
    while (w.s < slen) {
        if (!take_runs(&w)) {
            memcpy(dst, before, dlen);
            return -1;
        }
        take_single_bytes(&w);
    }
    return (int)w.d;
}

/* ---- zero check ---- */

static inline uint64_t load_word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static bool masks_zero(const void *buf, size_t len)
{
    const uint8_t *p = buf;
    size_t words = len / WORD_BYTES;

    /* Most pages that are not zero show it in the first, the middle or the last word. */
    if (len >= 8 && (load_word(p) | load_word(p + len / 2 - 4) | load_word(p + len - 8))) {
        return false;
    }
    if (any_of_words(p, words)) {
        return false;
    }
    for (size_t k = words * WORD_BYTES; k < len; k++) {
        if (p[k]) {
            return false;
        }
    }
    return true;
}

/* The ops of one level, at the end of its file. */
#define RAM_SIMD_LEVEL(level, level_name)                                                          \
    const RamSimd ram_simd_##level = {                                                             \
        .name = level_name,                                                                        \
        .supported = level##_supported,                                                            \
        .encode = masks_encode,                                                                    \
        .decode = masks_decode,                                                                    \
        .zero = masks_zero,                                                                        \
    }

#endif
