/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See delta.h. Called by ram.c. */
#include <string.h>
#include "delta.h"

/* A length of one or two bytes; -1 when it is not one. */
static int delta_length(const uint8_t **p, const uint8_t *end)
{
    if (end - *p < 1) {
        return -1;
    }
    int low = *(*p)++;
    if (low < 0x80) {
        return low;
    }
    if (end - *p < 1 || **p >= 0x80) {
        return -1;
    }
    return (low & 0x7f) | *(*p)++ << 7;
}

const char *delta_apply(uint8_t *page, const uint8_t *p, size_t len)
{
    const uint8_t *const end = p + len;
    size_t at = 0;

    for (bool first = true; p < end; first = false) {
        if (end - p < 2) {
            return "ends inside a run";
        }
        int skip = delta_length(&p, end);
        if (skip < 0) {
            return "has an invalid run length";
        }
        if (skip == 0 && !first) {
            return "has an empty run of unchanged bytes";
        }
        if (end - p < 2) {
            return "ends inside a run";
        }
        int run = delta_length(&p, end);
        if (run <= 0) {
            return run ? "has an invalid run length" : "has an empty run of changed bytes";
        }
        if (at + skip + run > PAGE) {
            return "goes beyond the page";
        }
        if (run > end - p) {
            return "ends inside a run";
        }
        at += skip;
        if (page) {
            memcpy(page + at, p, run);
        }
        at += run;
        p += run;
    }
    return NULL;
}
