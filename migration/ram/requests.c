/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring of page requests. Called by ram/picker and ram/save-postcopy. */
#include "migration/ram/requests.h"

/* More than a guest has harts and devices that wait; a peer that wants more waits for room. */
#define QUEUE_LEN 1024

struct RamRequests {
    GMutex lock;
    GCond room;
    /* protected by lock; len is read without it too */
    RamRequest ring[QUEUE_LEN];
    unsigned first, len;
    bool open;
};

RamRequests *ram_requests_new(void)
{
    RamRequests *q = g_new0(RamRequests, 1);

    g_mutex_init(&q->lock);
    g_cond_init(&q->room);
    return q;
}

void ram_requests_free(RamRequests *q)
{
    if (q) {
        g_mutex_clear(&q->lock);
        g_cond_clear(&q->room);
        g_free(q);
    }
}

static void set_len(RamRequests *q, unsigned len)
{
    __atomic_store_n(&q->len, len, __ATOMIC_RELAXED);
}

bool ram_requests_put(RamRequests *q, const RamRequest *r)
{
    g_mutex_lock(&q->lock);
    while (q->open && q->len == QUEUE_LEN) {
        g_cond_wait(&q->room, &q->lock);
    }
    bool ok = q->open;
    if (ok) {
        q->ring[(q->first + q->len) % QUEUE_LEN] = *r;
        set_len(q, q->len + 1);
    }
    g_mutex_unlock(&q->lock);
    return ok;
}

bool ram_requests_take(RamRequests *q, RamRequest *r)
{
    if (!ram_requests_any(q)) {
        return false;
    }
    g_mutex_lock(&q->lock);
    bool found = q->len > 0;
    if (found) {
        *r = q->ring[q->first];
        q->first = (q->first + 1) % QUEUE_LEN;
        set_len(q, q->len - 1);
        if (q->len + 1 == QUEUE_LEN) {
            g_cond_broadcast(&q->room);
        }
    }
    g_mutex_unlock(&q->lock);
    return found;
}

bool ram_requests_any(const RamRequests *q)
{
    return __atomic_load_n(&q->len, __ATOMIC_RELAXED) > 0;
}

static void set_open(RamRequests *q, bool open)
{
    g_mutex_lock(&q->lock);
    q->open = open;
    set_len(q, 0);
    g_cond_broadcast(&q->room);
    g_mutex_unlock(&q->lock);
}

void ram_requests_close(RamRequests *q)
{
    set_open(q, false);
}

void ram_requests_open(RamRequests *q)
{
    set_open(q, true);
}
