/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who reads a guest's memory while the guest runs: one thread for the rest of
 * the stream, and one for the channel of urgent pages, if the source opens one
 * (migration-stream 8.8). They place the pages in the present map.
 */
#ifndef MIGRATION_DESTINATION_PAGE_READERS_H
#define MIGRATION_DESTINATION_PAGE_READERS_H

#include "migration/destination/object.h"

typedef struct PageReaders PageReaders;

/** How they stand. */
typedef enum PageReadersState {
    PAGE_READERS_READ,          /* memory may come */
    PAGE_READERS_ENDED,         /* the source has said that it has sent everything */
    PAGE_READERS_BROKEN,        /* a channel has failed, or what came over it is nonsense */
} PageReadersState;

PageReaders *page_readers_new(Incoming *in);
/** They must not be running. */
void page_readers_free(PageReaders *p);
/**
 * Starts them: r, over in->channel, is this connection's, and lent. Whoever
 * connects to in->listener from now on and has a page brings the urgent ones.
 * False with errp: no thread; page_readers_stop is needed all the same.
 */
bool page_readers_start(PageReaders *p, StreamReader *r, GError **errp);
/** Joins them. Shut the channels and the listener down first. */
void page_readers_stop(PageReaders *p);
/** in->wake is signalled whenever this changes; in->lock is held. */
PageReadersState page_readers_state(PageReaders *p);
/** Urgent pages may still come, though the stream has ended. in->lock is held. */
bool page_readers_urgent(PageReaders *p);
/** BROKEN from now on, for a cause that they do not know; takes it. in->lock is held. */
void page_readers_give_up(PageReaders *p, GError *cause);
/** The first cause, of BROKEN; stopped. */
void page_readers_error(PageReaders *p, GError **errp);
#endif
