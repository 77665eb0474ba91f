/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that somebody here waits for, on their way to the source (migration-stream 8.6): who needs one
 * asks for it itself where that needs no waiting; else there is a queue and a thread that sends what
 * is in it, so that nobody who needs a page waits for the network to ask for it.
 */
#ifndef MIGRATION_DESTINATION_PAGE_REQUESTS_H
#define MIGRATION_DESTINATION_PAGE_REQUESTS_H

#include "migration/stream/return-path.h"
#include "softmmu/ramblock.h"

struct Machine;
typedef struct PageRequests PageRequests;

/**
 * Closed at first. What is sent is counted in *sent, atomically. broken(opaque) is called on its thread, without locks, when
 * a request could not be sent; it is closed then. NULL with errp: no thread.
 */
PageRequests *page_requests_new(struct Machine *machine, ReturnPathWriter *answers, uint64_t *sent,
                                void (*broken)(void *opaque), void *opaque, GError **errp);
/** Ends the thread: shut the channel down first, or it may be sending. */
void page_requests_free(PageRequests *q);
/** From now on what is asked for is sent. Any thread. */
void page_requests_open(PageRequests *q);
/** What is asked for from now on is dropped, and what was not sent yet. Whoever opens it again asks again. Any thread. */
void page_requests_close(PageRequests *q);
/** Page of block (its index) is wanted. Does not wait. Any thread, also under the BQL. */
void page_requests_add(PageRequests *q, size_t block, uint64_t page);

#endif
