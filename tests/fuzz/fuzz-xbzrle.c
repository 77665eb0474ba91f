/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XBZRLE decoder on any bytes: a refused delta leaves the page as it
 * was, an accepted one covers no more than it says; and whatever two pages
 * the input makes, encoding and decoding brings the second one back.
 */
#include <stdlib.h>
#include <string.h>
#include "migration/codec/xbzrle.h"

#define PAGE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void decode_any(const uint8_t *data, size_t size)
{
    static uint8_t page[PAGE], before[PAGE];
    int covered;

    for (size_t i = 0; i < PAGE; i++) {
        before[i] = page[i] = (uint8_t)(i * 7);
    }
    covered = xbzrle_decode(data, size, page, PAGE);
    check(covered >= -1 && covered <= PAGE);
    if (covered < 0) {
        covered = 0;
    }
    check(memcmp(page + covered, before + covered, PAGE - (size_t)covered) == 0);
}

static void round_trip(const uint8_t *data, size_t size)
{
    static uint8_t old[PAGE], new[PAGE], delta[PAGE];
    size_t half = MIN(size / 2, PAGE);
    int n;

    memset(old, 0, PAGE);
    memset(new, 0, PAGE);
    memcpy(old, data, half);
    memcpy(new, data + half, half);
    n = xbzrle_encode(old, new, PAGE, delta, PAGE);
    check(n >= -1 && n <= PAGE);
    check((n == 0) == (memcmp(old, new, PAGE) == 0));
    if (n > 0) {
        check(xbzrle_decode(delta, (size_t)n, old, PAGE) > 0);
        check(memcmp(old, new, PAGE) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode_any(data, size);
    round_trip(data, size);
    return 0;
}
