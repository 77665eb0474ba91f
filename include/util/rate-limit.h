/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often something may be said that a guest can cause as often as it
 * likes. The state belongs to the caller, zeroed at first; no lock.
 */
#ifndef UTIL_RATE_LIMIT_H
#define UTIL_RATE_LIMIT_H

#include <stdint.h>

typedef struct RateLimit {
    int64_t window_us;      /* when the current second began */
    unsigned used;          /* in it, those refused included */
} RateLimit;

typedef enum RateVerdict {
    RATE_OK,                /* say it */
    RATE_FIRST_OVER,        /* do not; say once that more was suppressed */
    RATE_OVER,              /* do not */
} RateVerdict;

/** Asks for one more at now_us (monotonic, microseconds); per_second are allowed. */
RateVerdict rate_limit_ask(RateLimit *limit, int64_t now_us, unsigned per_second);

#endif
