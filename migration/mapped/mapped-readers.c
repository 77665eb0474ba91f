/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See mapped-readers.h.
 *
 *   loading thread               one of n threads
 *   a run -----> queue --------> reads it to its place, checks it, says so
 *
 * The kernel clears a page of memory when it is first touched: so that is spread, too.
 */
#include "migration/mapped/mapped-readers.h"

#include "util/error.h"
#include "util/file-ring.h"

#define PAGES_AT_ONCE ((1u << 20) / TARGET_PAGE_SIZE)
#define DIRECT_PAGES_AT_ONCE (FILE_RING_DEPTH * PAGES_AT_ONCE)  /* of all threads together */

typedef struct ReadRun {
    size_t block;
    uint64_t first, count;
    uint8_t *at;
} ReadRun;

struct MappedReaders {
    /* set once */
    const MappedFile *file;
    const RamPageSink *sink;
    void *sink_opaque;
    MappedCameFn *came;
    void *came_opaque;
    unsigned count;         /* threads that were started */
    GThread **threads;
    GMutex lock;
    GCond changed;
    /* protected by lock */
    GQueue queue;           /* of ReadRun */
    unsigned busy;          /* threads that have one */
    bool ending;
    GError *error;          /* the first */
};

/* ---- a thread ---- */

static bool read_run(const MappedReaders *r, const ReadRun *run, FileRing *ring, GError **errp)
{
    if (!mapped_file_read_by(r->file, ring, run->block, run->first, run->count, run->at, errp)) {
        return false;
    }
    for (uint64_t i = 0; i < run->count; i++) {
        if (!r->sink->placed(r->sink_opaque, run->block, run->first + i, errp)) {
            return false;
        }
    }
    r->came(r->came_opaque, run->count);
    return true;
}

/* Lock held, and let go while it reads. */
static void do_run(MappedReaders *r, ReadRun *run, FileRing *ring)
{
    GError *err = NULL;

    r->busy++;
    g_cond_broadcast(&r->changed);      /* there is room in the queue */
    g_mutex_unlock(&r->lock);
    read_run(r, run, ring, &err);
    g_free(run);
    g_mutex_lock(&r->lock);
    r->busy--;
    if (err && !r->error) {
        r->error = g_steal_pointer(&err);
    }
    g_clear_error(&err);
    g_cond_broadcast(&r->changed);
}

/*
 * One of n threads. Owns the memory that its run belongs in while it reads. Waits for runs, and for
 * the file system, the latter with nobody to end it. Ends with the readers, or an error of any of them.
 */
static gpointer reader_thread(gpointer opaque)
{
    MappedReaders *r = opaque;
    FileRing *ring = mapped_file_is_direct(r->file) ? file_ring_new() : NULL;

    g_mutex_lock(&r->lock);
    while (!r->ending && !r->error) {
        ReadRun *run = g_queue_pop_head(&r->queue);
        if (run) {
            do_run(r, run, ring);
        } else {
            g_cond_wait(&r->changed, &r->lock);
        }
    }
    g_mutex_unlock(&r->lock);
    file_ring_free(ring);
    return NULL;
}

/* ---- their user ---- */

MappedReaders *mapped_readers_new(const MappedFile *file, unsigned n, const RamPageSink *sink,
                                  void *sink_opaque, MappedCameFn *came, void *came_opaque,
                                  GError **errp)
{
    MappedReaders *r = g_new0(MappedReaders, 1);

    r->file = file;
    r->sink = sink;
    r->sink_opaque = sink_opaque;
    r->came = came;
    r->came_opaque = came_opaque;
    r->threads = g_new0(GThread *, n);
    g_mutex_init(&r->lock);
    g_cond_init(&r->changed);
    for (; r->count < n; r->count++) {
        g_autofree char *name = g_strdup_printf("multifdrecv_%u", r->count);
        r->threads[r->count] = thread_start(name, reader_thread, r, errp);
        if (!r->threads[r->count]) {
            mapped_readers_free(r);
            return NULL;
        }
    }
    return r;
}

uint64_t mapped_readers_at_once(const MappedReaders *r)
{
    return mapped_file_is_direct(r->file) ? MAX(DIRECT_PAGES_AT_ONCE / r->count, PAGES_AT_ONCE)
                                          : PAGES_AT_ONCE;
}

/* Lock held. */
static bool check_readers(const MappedReaders *r, GError **errp)
{
    if (r->error && errp && !*errp) {
        *errp = g_error_copy(r->error);
    }
    return !r->error;
}

bool mapped_readers_add(MappedReaders *r, size_t block, uint64_t first, uint64_t count, uint8_t *at,
                        GError **errp)
{
    ReadRun run = { block, first, count, at };

    g_mutex_lock(&r->lock);
    while (!r->error && r->queue.length >= 2 * r->count) {
        g_cond_wait(&r->changed, &r->lock);
    }
    bool ok = check_readers(r, errp);
    if (ok) {
        g_queue_push_tail(&r->queue, g_memdup2(&run, sizeof(run)));
        g_cond_broadcast(&r->changed);
    }
    g_mutex_unlock(&r->lock);
    return ok;
}

bool mapped_readers_settle(MappedReaders *r, GError **errp)
{
    g_mutex_lock(&r->lock);
    while (!r->error && (r->busy || !g_queue_is_empty(&r->queue))) {
        g_cond_wait(&r->changed, &r->lock);
    }
    bool ok = check_readers(r, errp);
    g_mutex_unlock(&r->lock);
    return ok;
}

void mapped_readers_free(MappedReaders *r)
{
    if (!r) {
        return;
    }
    g_mutex_lock(&r->lock);
    r->ending = true;
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->count; i++) {
        g_thread_join(r->threads[i]);
    }
    g_queue_clear_full(&r->queue, g_free);
    g_clear_error(&r->error);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r->threads);
    g_free(r);
}
