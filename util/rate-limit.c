/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rate limits (util/rate-limit.h): so many in each second that begins with the first one. */
#include "util/rate-limit.h"

#define WINDOW_US 1000000

RateVerdict rate_limit_ask(RateLimit *limit, int64_t now_us, unsigned per_second)
{
    if (limit->used == 0 || now_us - limit->window_us >= WINDOW_US) {
        limit->window_us = now_us;
        limit->used = 0;
    }
    if (limit->used < per_second) {
        limit->used++;
        return RATE_OK;
    }
    if (limit->used == per_second) {
        limit->used++;
        return RATE_FIRST_OVER;
    }
    return RATE_OVER;
}
