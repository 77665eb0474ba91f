/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Zero check. Called by ram/classify, ram/load and mapped/; never writes. */
#include "migration/codec/zero-page.h"

#include <stdint.h>
#include <string.h>

const uint8_t zero_page[4096];

static inline uint64_t load_word(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* 64 bytes ORed together: one branch per cache line, and the compiler can use vectors. */
static inline bool zero_64_bytes(const uint8_t *p)
{
    uint64_t any = 0;

    for (int k = 0; k < 64; k += 8) {
        any |= load_word(p + k);
    }
    return any == 0;
}

bool zero_page_check(const void *buf, size_t len)
{
    const uint8_t *p = buf, *end = p + len;

    /* Most pages that are not zero show it in the first, the middle or the last word. */
    if (len >= 8 && (load_word(p) | load_word(p + len / 2 - 4) | load_word(end - 8))) {
        return false;
    }
    for (; end - p >= 64; p += 64) {
        if (!zero_64_bytes(p)) {
            return false;
        }
    }
    for (; p < end; p++) {
        if (*p) {
            return false;
        }
    }
    return true;
}
