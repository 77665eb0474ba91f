/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate limit's arithmetic. A window may overshoot its budget by what was
 * in one record; the overshoot is a debt of the next windows, so that even a
 * limit below one page per window is kept on average. Unused budget is not
 * carried over: a limit is a limit in every window. What was sent under
 * another limit is no debt: a lower one must not bring silence first.
 *
 * Windows lie on a grid: a sender that wakes up a little late has less time
 * for the next one, not less to send (that would be 1 % on a busy host).
 */
#include "migration/policy/rate.h"

#define LATE_US (RATE_WINDOW_US / 5)    /* a little late */

static uint64_t bytes_in(int64_t us, uint64_t limit)
{
    return us <= 0 ? 0 : (uint64_t)MIN((double)us * limit / 1e6, 9e18);
}

void rate_start(RateLimit *r, int64_t now_us, uint64_t bytes_sent)
{
    *r = (RateLimit){ .start_us = now_us, .since_us = now_us, .start_bytes = bytes_sent,
                      .limit = RATE_LIMIT_UNKNOWN };
}

static uint64_t used(const RateLimit *r, uint64_t bytes_sent)
{
    return bytes_sent - r->start_bytes + r->debt;
}

bool rate_exhausted(const RateLimit *r, uint64_t bytes_sent, uint64_t limit)
{
    return limit && used(r, bytes_sent) > bytes_in(RATE_WINDOW_US, limit);
}

int64_t rate_wait_us(const RateLimit *r, int64_t now_us, uint64_t bytes_sent, uint64_t limit)
{
    if (!rate_exhausted(r, bytes_sent, limit)) {
        return 0;
    }
    int64_t until = r->start_us + RATE_WINDOW_US;
    return MAX(until - now_us, 0);
}

bool rate_roll(RateLimit *r, int64_t now_us, uint64_t bytes_sent, uint64_t limit, RateWindow *done)
{
    int64_t us = now_us - r->start_us;

    if (us < RATE_WINDOW_US) {
        return false;
    }
    *done = (RateWindow){ .us = now_us - r->since_us, .bytes = bytes_sent - r->start_bytes };
    int64_t counted = us < RATE_WINDOW_US + LATE_US ? RATE_WINDOW_US : us;
    uint64_t spent = used(r, bytes_sent), earned = bytes_in(counted, limit);
    bool same = r->limit == limit || r->limit == RATE_LIMIT_UNKNOWN;
    *r = (RateLimit){ .start_us = r->start_us + counted, .since_us = now_us,
                      .start_bytes = bytes_sent, .limit = limit,
                      .debt = limit && same && spent > earned ? spent - earned : 0 };
    return true;
}
