/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work of the main thread that needs a page of guest memory which has not come
 * yet (present-map.h): put off, and taken up again on the main thread, under
 * the BQL, when the page is here. Used by whatever must not wait: devices, the
 * loader. All of it under the BQL.
 */
#ifndef SOFTMMU_PUT_OFF_H
#define SOFTMMU_PUT_OFF_H

#include "softmmu/memory.h"

typedef struct PutOff {
    /* set by put_off_init */
    PresentMap *map;
    MainLoop *loop;
    void (*again)(void *opaque);
    void *opaque;
    bool pending;           /* again is to be called */
    PresentWaiter waiter;
} PutOff;

/** again(opaque) takes the work up; user: PRESENT_USER_*. Until it runs the owner lives, or the main loop has ended. */
void put_off_init(PutOff *p, PresentMap *map, MainLoop *loop, int user, void (*again)(void *opaque),
                  void *opaque);
/** Until that page is here. Nothing if it is put off already: one page is enough, then all is looked at. */
void put_off_until(PutOff *p, const MemMissing *missing);
/** The work is dropped: a reset. again may still be called once, with nothing to do. */
void put_off_forget(PutOff *p);

#endif
