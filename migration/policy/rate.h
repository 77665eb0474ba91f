/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate limit (migration-stream 5.2): windows of 100 ms, a budget of
 * a tenth of max-bandwidth each. Arithmetic only: time and bytes are handed
 * in, sleeping is the caller's (source/outgoing.c), so that cancel can wake it.
 */
#ifndef MIGRATION_POLICY_RATE_H
#define MIGRATION_POLICY_RATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_WINDOW_US (100 * 1000)
#define RATE_LIMIT_UNKNOWN UINT64_MAX

/** Owned by the migration thread. */
typedef struct RateLimit {
    int64_t start_us;       /* of this window, on the grid */
    int64_t since_us;       /* when its bytes began to be counted */
    uint64_t start_bytes;   /* sent then */
    uint64_t debt;          /* bytes that earlier windows sent beyond their budget */
    uint64_t limit;         /* when it began; RATE_LIMIT_UNKNOWN in the first one */
} RateLimit;

/** What a finished window was. */
typedef struct RateWindow {
    int64_t us;
    uint64_t bytes;
} RateWindow;

void rate_start(RateLimit *r, int64_t now_us, uint64_t bytes_sent);
/** True if the window's budget is used up; limit in bytes per s, 0 = none. */
bool rate_exhausted(const RateLimit *r, uint64_t bytes_sent, uint64_t limit);
/** Microseconds to wait before more may be sent: 0 if the budget is not used up. */
int64_t rate_wait_us(const RateLimit *r, int64_t now_us, uint64_t bytes_sent, uint64_t limit);
/** If 100 ms have passed, closes the window into *done, opens the next and returns true. */
bool rate_roll(RateLimit *r, int64_t now_us, uint64_t bytes_sent, uint64_t limit, RateWindow *done);

#endif
