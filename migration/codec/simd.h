/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The delta codec and the zero check, once for each level of instructions
 * that a CPU may have. Leaves: pure functions over bytes, no state, no
 * allocation, nothing of the machine. What "plain" gives, every level gives,
 * byte for byte; tests/unit/test-simd compares them.
 */
#ifndef MIGRATION_CODEC_SIMD_H
#define MIGRATION_CODEC_SIMD_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** All members are there at every level. */
typedef struct RamSimd {
    const char *name;   /* as in x-simd */
    /** May this CPU run it? Asked before anything else of it is called. */
    bool (*supported)(void);
    /** As xbzrle_encode. Reads not a byte outside of the two pages, writes none from cap on. */
    int (*encode)(const uint8_t *old, const uint8_t *new, size_t page_len, uint8_t *dst,
                  size_t cap);
    /** As xbzrle_decode, but dst may be written to and put back before -1 is returned. */
    int (*decode)(const uint8_t *src, size_t slen, uint8_t *dst, size_t dlen);
    /** As zero_page_check. */
    bool (*zero)(const void *buf, size_t len);
} RamSimd;

/** The reference: plain C, for every CPU. */
extern const RamSimd ram_simd_plain;

/** The best level that this CPU has. Any thread. */
const RamSimd *ram_simd_best(void);

/**
 * The level of this name ("auto": the best one). NULL with errp if it is not
 * built for this architecture or this CPU does not have it. Any thread.
 */
const RamSimd *ram_simd_find(const char *name, GError **errp);

/** Levels that are built in, worst first, ended by NULL, whether or not this CPU has them. */
const RamSimd *const *ram_simd_levels(void);

#endif
