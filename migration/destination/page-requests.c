/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See page-requests.h. Knows nothing of who waits for the pages, or how. */
#include "migration/destination/page-requests.h"
#include "migration/migration-private.h"
#include "util/error.h"
#include "util/short-turns.h"
#include "util/trace-migration.h"

typedef struct Request {
    size_t block;
    uint64_t page;
} Request;

struct PageRequests {
    /* set once */
    RAMList *ram;
    Faults *faults;
    ReturnPathWriter *answers;
    uint64_t *sent;         /* atomic */
    void (*broken)(void *opaque);
    void *opaque;
    GThread *thread;

    GMutex lock;
    GCond wake;             /* something is in the queue, a rest is to be sent, or quit */
    GCond quiet;            /* nobody sends for itself any more */
    /* protected by lock */
    GArray *queue;          /* of Request; no longer than there are missing pages */
    bool open, quit;
    bool rest;              /* of a message that somebody could not send as a whole */
    unsigned direct;        /* who sends for itself, without waiting, at this moment */
    bool waiting;           /* its thread, for wake */
    unsigned era;           /* how often it was closed: what was taken out before is not sent */
};

static bool is_current(PageRequests *q, unsigned era)
{
    g_mutex_lock(&q->lock);
    bool current = q->open && q->era == era;
    g_mutex_unlock(&q->lock);
    return current;
}

/* One host page; the source serves no less. */
static uint64_t start_of(const RAMBlock *block, uint64_t page)
{
    return (page << TARGET_PAGE_BITS) & ~(block->page_size - 1);
}

static bool send_one(PageRequests *q, const Request *req)
{
    const RAMBlock *block = ram_list_get(q->ram, req->block);
    uint64_t start = start_of(block, req->page);

    trace_postcopy_page_req_add(block->idstr, start);
    return fault_point(q->faults, FAULT_DST_POSTCOPY_ASKS, NULL) &&
           return_path_send_page_request(q->answers, block->idstr, start,
                                         block->page_size, NULL);
}

static void give_up(PageRequests *q)
{
    page_requests_close(q);
    q->broken(q->opaque);
}

static void send_all(PageRequests *q, const GArray *taken, bool rest, unsigned era)
{
    if (rest && is_current(q, era) && !return_path_send_rest(q->answers, NULL)) {
        give_up(q);
        return;
    }
    for (guint i = 0; i < taken->len && is_current(q, era); i++) {
        if (!send_one(q, &g_array_index(taken, Request, i))) {
            give_up(q);
            return;
        }
        __atomic_fetch_add(q->sent, 1, __ATOMIC_RELAXED);
    }
}

/*
 * The request thread. Owns what it has taken out of the queue; waits for the
 * queue, and for the peer to read (channel_shutdown ends that). Ends with
 * page_requests_free.
 */
static gpointer request_thread(gpointer opaque)
{
    PageRequests *q = opaque;

    thread_short_turns(true);
    g_mutex_lock(&q->lock);
    while (!q->quit) {
        if (q->queue->len == 0 && !q->rest) {
            q->waiting = true;
            g_cond_wait(&q->wake, &q->lock);
            q->waiting = false;
            continue;
        }
        GArray *taken = q->queue;
        unsigned era = q->era;
        bool rest = q->rest;
        q->queue = g_array_new(FALSE, FALSE, sizeof(Request));
        q->rest = false;
        g_mutex_unlock(&q->lock);
        send_all(q, taken, rest, era);
        g_array_unref(taken);
        g_mutex_lock(&q->lock);
    }
    g_mutex_unlock(&q->lock);
    return NULL;
}

/* ---- who asks ---- */

/*
 * Nearly always there is room in the socket and nobody else writes: then to wake the thread would take
 * longer than to send. Not while a test has armed the point that a request passes.
 */
static bool direct_begin(PageRequests *q)
{
    g_mutex_lock(&q->lock);
    bool may = q->open && q->queue->len == 0 && !q->rest &&
               __atomic_load_n(&q->faults->armed, __ATOMIC_RELAXED) != FAULT_DST_POSTCOPY_ASKS;
    q->direct += may;
    g_mutex_unlock(&q->lock);
    return may;
}

/* Returns whether the thread has to be woken. */
static bool direct_end(PageRequests *q, bool rest)
{
    g_mutex_lock(&q->lock);
    q->rest |= rest;
    bool waiting = rest && q->waiting;
    if (--q->direct == 0) {
        g_cond_broadcast(&q->quiet);
    }
    g_mutex_unlock(&q->lock);
    return waiting;
}

/* False: it is to be queued. */
static bool send_now(PageRequests *q, const Request *req)
{
    const RAMBlock *block = ram_list_get(q->ram, req->block);
    uint64_t start = start_of(block, req->page);

    if (!direct_begin(q)) {
        return false;
    }
    ReturnPathTry came = return_path_try_page_request(q->answers, block->idstr, start,
                                                      block->page_size);
    if (came != RETURN_PATH_NOT_SENT) {
        trace_postcopy_page_req_add(block->idstr, start);
        __atomic_fetch_add(q->sent, 1, __ATOMIC_RELAXED);
    }
    if (direct_end(q, came == RETURN_PATH_SENT_PART)) {
        g_cond_signal(&q->wake);
    }
    return came != RETURN_PATH_NOT_SENT;
}

void page_requests_add(PageRequests *q, size_t block, uint64_t page)
{
    Request req = { block, page };

    if (send_now(q, &req)) {
        return;
    }
    g_mutex_lock(&q->lock);
    if (q->open) {
        g_array_append_val(q->queue, req);
    }
    bool waiting = q->waiting && q->open;
    g_mutex_unlock(&q->lock);
    if (waiting) {
        g_cond_signal(&q->wake);    /* not before: it would wait for the lock at once */
    }
}

void page_requests_open(PageRequests *q)
{
    g_mutex_lock(&q->lock);
    q->open = true;
    g_mutex_unlock(&q->lock);
}

void page_requests_close(PageRequests *q)
{
    g_mutex_lock(&q->lock);
    q->open = false;
    q->era++;
    g_array_set_size(q->queue, 0);
    while (q->direct > 0) {     /* which is soon: none of them waits */
        g_cond_wait(&q->quiet, &q->lock);
    }
    q->rest = false;        /* the writer forgets it with its channel */
    g_mutex_unlock(&q->lock);
}

PageRequests *page_requests_new(struct Machine *machine, ReturnPathWriter *answers, uint64_t *sent,
                                void (*broken)(void *opaque), void *opaque, GError **errp)
{
    PageRequests *q = g_new0(PageRequests, 1);

    q->ram = machine->ram;
    q->faults = &machine->faults;
    q->answers = answers;
    q->sent = sent;
    q->broken = broken;
    q->opaque = opaque;
    q->queue = g_array_new(FALSE, FALSE, sizeof(Request));
    g_mutex_init(&q->lock);
    g_cond_init(&q->wake);
    g_cond_init(&q->quiet);
    q->thread = thread_start("postcopy/ask", request_thread, q, errp);
    if (!q->thread) {
        page_requests_free(q);
        return NULL;
    }
    return q;
}

void page_requests_free(PageRequests *q)
{
    if (!q) {
        return;
    }
    g_mutex_lock(&q->lock);
    q->quit = true;
    g_cond_signal(&q->wake);
    g_mutex_unlock(&q->lock);
    if (q->thread) {
        g_thread_join(q->thread);
    }
    g_array_unref(q->queue);
    g_cond_clear(&q->wake);
    g_cond_clear(&q->quiet);
    g_mutex_clear(&q->lock);
    g_free(q);
}
