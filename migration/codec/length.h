/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lengths of runs in a delta (migration-stream 4.2): ULEB128, at most two bytes. */
#ifndef MIGRATION_CODEC_LENGTH_H
#define MIGRATION_CODEC_LENGTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Writes n (< 16384) at dst, where the caller made sure of two bytes; how many it took. */
static inline size_t put_length(uint8_t *dst, size_t n)
{
    if (n < 0x80) {
        dst[0] = (uint8_t)n;
        return 1;
    }
    dst[0] = (uint8_t)(0x80 | (n & 0x7f));
    dst[1] = (uint8_t)(n >> 7);
    return 2;
}

/** Reads one at *s, which moves on; false if fewer than two bytes are left or the second goes on. */
static inline bool get_length(const uint8_t *src, size_t slen, size_t *s, size_t *n)
{
    if (slen - *s < 2) {
        return false; /* even a one-byte length is followed by something */
    }
    *n = src[(*s)++];
    if (*n & 0x80) {
        uint8_t high = src[(*s)++];

        if (high & 0x80) {
            return false;
        }
        *n = (*n & 0x7f) | (size_t)high << 7;
    }
    return true;
}

#endif
