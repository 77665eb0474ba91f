/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XBZRLE: a page as the difference from an older copy of it
 * (migration-stream 4.2, 4.3, 4.6). Pure functions over bytes; no state, no
 * allocation, nothing of the machine.
 */
#ifndef MIGRATION_CODEC_XBZRLE_H
#define MIGRATION_CODEC_XBZRLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Longest page that two-byte run lengths can describe. */
#define XBZRLE_MAX_PAGE 16383

/** Result of xbzrle_encode when the encoding does not fit. */
#define XBZRLE_OVERFLOW (-1)

/**
 * Encodes new against old, both page_len (<= XBZRLE_MAX_PAGE) bytes, into
 * dst of cap bytes. Returns the length, 0 if the pages are equal, or
 * XBZRLE_OVERFLOW. Never writes beyond cap. Neither page may change meanwhile:
 * the caller works on a private copy of guest memory. Any thread.
 */
int xbzrle_encode(const uint8_t *old, const uint8_t *new, size_t page_len, uint8_t *dst,
                  size_t cap);

/**
 * Applies src (slen bytes) to the page dst of dlen bytes. Returns how many
 * bytes from the page's start the delta covers, or -1 if src is malformed:
 * then nothing was written, because the whole delta is checked first.
 */
int xbzrle_decode(const uint8_t *src, size_t slen, uint8_t *dst, size_t dlen);

#endif
