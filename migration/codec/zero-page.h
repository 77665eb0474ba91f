/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is a piece of memory all zero? Pure; nothing of the machine. */
#ifndef MIGRATION_CODEC_ZERO_PAGE_H
#define MIGRATION_CODEC_ZERO_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** 4096 zero bytes, for whoever needs a page of them; its address says so without a look. */
extern const uint8_t zero_page[4096];

/**
 * True if all len bytes are zero. The memory may change meanwhile (a running
 * guest): the answer then is for some moment of the scan, and the dirty log
 * brings the page again. Any thread.
 */
bool zero_page_check(const void *buf, size_t len);

#endif
