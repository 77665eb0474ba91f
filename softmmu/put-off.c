/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work that waits for guest memory without anybody waiting: the header says how. */
#include "softmmu/put-off.h"

/* Main thread. */
static void take_up(void *opaque)
{
    PutOff *p = opaque;

    put_off_forget(p);      /* dropped and put off anew meanwhile: that waits for another page */
    p->again(p->opaque);
}

/* On the thread that placed the page. */
static void page_came(void *opaque)
{
    PutOff *p = opaque;

    main_loop_post(p->loop, take_up, p);
}

void put_off_init(PutOff *p, PresentMap *map, MainLoop *loop, int user, void (*again)(void *opaque),
                  void *opaque)
{
    *p = (PutOff){
        .map = map, .loop = loop, .again = again, .opaque = opaque,
        .waiter = { .woken = page_came, .opaque = p, .user = user },
    };
}

void put_off_until(PutOff *p, const MemMissing *missing)
{
    if (p->pending) {
        return;
    }
    p->pending = true;
    if (!present_map_wait(p->map, &p->waiter, missing->block, missing->page)) {
        page_came(p);
    }
}

void put_off_forget(PutOff *p)
{
    if (p->pending) {
        present_map_forget(p->map, &p->waiter);
        p->pending = false;
    }
}
