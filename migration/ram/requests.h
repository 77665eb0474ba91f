/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages that a postcopy destination asks for: a short queue between the
 * return path thread, which puts them in, and the migration thread, which
 * takes them out. Knows nothing of which pages are dirty.
 */
#ifndef MIGRATION_RAM_REQUESTS_H
#define MIGRATION_RAM_REQUESTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/** Pages [page, page + count) of a block, its index in the RAM list. */
typedef struct RamRequest {
    size_t block;
    uint64_t page, count;
} RamRequest;

typedef struct RamRequests RamRequests;

RamRequests *ram_requests_new(void);
void ram_requests_free(RamRequests *q);
/**
 * Appends one. Waits while the queue is full: a peer that asks faster than it
 * is answered is read no further. False if the queue is closed. Return path thread.
 */
bool ram_requests_put(RamRequests *q, const RamRequest *r);
/** The oldest one; false if there is none. Migration thread. */
bool ram_requests_take(RamRequests *q, RamRequest *r);
/** Is there one? Any thread, no lock. */
bool ram_requests_any(const RamRequests *q);
/** Forgets all and lets go of who waits; until opened again nothing is taken in. Any thread. */
void ram_requests_close(RamRequests *q);
void ram_requests_open(RamRequests *q);

#endif
