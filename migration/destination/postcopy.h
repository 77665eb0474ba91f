/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's postcopy: a guest that runs here before all of its memory
 * does. postcopy.c tells the way there, recover.c what happens from the guest's
 * start on. docs/devel/postcopy.md has the drawing.
 */
#ifndef MIGRATION_DESTINATION_POSTCOPY_H
#define MIGRATION_DESTINATION_POSTCOPY_H

#include "migration/destination/object.h"
#include "migration/destination/page-readers.h"
#include "migration/destination/page-requests.h"

/**
 * How far the source has led us, only ever forward (migration-stream 8.5):
 *   (1) none:      the present map is off; the source may not even have postcopy.
 *   (2) advise:    the map is begun: all is here.
 *   (3) discard:   as that, and something is not here.
 *   (4) listening: the map is armed, readers and requests run; no vCPU has run.
 *   (5) running:   the guest's state is here as a whole: nobody else may run it any more.
 *   (6) end:       the map is off; nobody reads, nobody asks.
 */
typedef enum PostcopyStep {
    POSTCOPY_NONE, POSTCOPY_ADVISE, POSTCOPY_DISCARD, POSTCOPY_LISTENING, POSTCOPY_RUNNING,
    POSTCOPY_END,
} PostcopyStep;

struct Postcopy {
    /* set once */
    Incoming *in;
    PresentMap *map;
    /* the incoming thread's */
    PostcopyStep step;
    int64_t talked_us, looked_us;   /* recover.c: no silence then; when it last looked */
    /* from listening to the end */
    PageReaders *readers;
    PageRequests *requests;
};

/** Makes l obey the commands of postcopy. Incoming thread, as all of these; in is being loaded. */
Postcopy *postcopy_new(Incoming *in);
/** Ends whatever goes on, and the map. If the guest runs all of its memory is here, or its vCPUs are paused. */
void postcopy_free(Postcopy *pc);

/** RECV_BITMAP's answer: what is here of the block. */
bool postcopy_send_bitmap(Incoming *in, ReturnPathWriter *answers, const char *name, GError **errp);

/* ---- afterwards.c ---- */

/** The postcopy is over, and its source may not know. Takes in->load; what used it is gone. */
Afterwards *afterwards_new(Incoming *in);
/** Takes l and waits there, on a thread of its own, for a source that wants to know; not where it did before. Any thread. */
bool afterwards_listen(Afterwards *a, ChannelListener *l, GError **errp);
/** Also ends that. */
void afterwards_free(Afterwards *a);

/* ---- recover.c ---- */

/**
 * From the guest's start on: until all of its memory is here and the source
 * has said so. A connection that breaks is waited out. False with errp: the
 * process ends. Then the vCPUs are paused.
 */
bool postcopy_await(Postcopy *pc, GError **errp);

#endif
