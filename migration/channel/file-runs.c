/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs of memory that are written by position, by several threads. Called by file.c; see
 * file-writer.c for the file's own thread, and for how it ends.
 *
 *   user                      one of n threads
 *   a run ----> queue ------> takes it, copies it, tells what it has copied, writes the copy
 *
 * What is written is a copy, so that a thread that a file server holds up for ever holds nothing
 * but its own memory; it is one that is warm from being looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include "migration/channel/file-writer-private.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"

G_STATIC_ASSERT(CHANNEL_RUN_BYTES <= BLOCK_BYTES);

/* A thread's own. */
typedef struct RunWriter {
    FileWriter *w;
    FileRing *ring;             /* direct */
    unsigned most;              /* so many runs at a time */
    uint8_t *data[DIRECT_BLOCKS];   /* NULL until it is used for the first time */
    ChannelRun runs[DIRECT_BLOCKS];
    FilePiece pieces[DIRECT_BLOCKS];
    unsigned n;
} RunWriter;

bool file_runs_pending(const FileWriter *w)
{
    return w->busy || !g_queue_is_empty((GQueue *)&w->runs);
}

void file_runs_wait(FileWriter *w)
{
    while (w->busy) {
        g_cond_wait(&w->changed, &w->lock);
    }
}

void file_runs_drop(FileWriter *w)
{
    g_queue_clear_full(&w->runs, g_free);
    while (w->copying) {
        g_cond_wait(&w->changed, &w->lock);
    }
}

/* ---- a thread ---- */

static void take_runs(RunWriter *t)
{
    for (t->n = 0; t->n < t->most && !g_queue_is_empty(&t->w->runs); t->n++) {
        ChannelRun *run = g_queue_pop_head(&t->w->runs);
        t->runs[t->n] = *run;
        g_free(run);
    }
}

/* 0 or an errno. */
static int copy_runs(RunWriter *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        const ChannelRun *run = &t->runs[i];

        if (!t->data[i] && posix_memalign((void **)&t->data[i], BLOCK_ALIGN, CHANNEL_RUN_BYTES) != 0) {
            t->data[i] = NULL;
            return ENOMEM;
        }
        guest_ram_copy_from(t->data[i], run->data, run->len);
        t->pieces[i] = (FilePiece){ t->data[i], run->len, run->offset };
        if (run->copied) {
            run->copied(run, t->data[i]);
        }
    }
    return 0;
}

/* Locked; let go meanwhile. */
static void write_runs(RunWriter *t)
{
    FileWriter *w = t->w;
    uint64_t at = t->runs[0].offset;

    w->busy++;
    w->copying++;
    g_cond_broadcast(&w->changed);      /* there is room in the queue */
    g_mutex_unlock(&w->lock);
    int err = copy_runs(t);
    g_mutex_lock(&w->lock);
    w->copying--;
    g_cond_broadcast(&w->changed);
    bool wanted = !w->cancelled && !w->os_errno;
    g_mutex_unlock(&w->lock);
    if (!err && wanted) {
        err = file_target_write_pieces(w->target, t->ring, t->pieces, t->n, &at);
    }
    g_mutex_lock(&w->lock);
    file_writer_note_error(w, err, FILE_STEP_WRITE, at);
    w->busy--;
    g_cond_broadcast(&w->changed);
}

/*
 * One thread of several. Owns its copies; reads guest RAM without locks, as the migration thread
 * does. Waits for runs, and for the file system, the latter with nobody to end it. Ends when
 * nothing more comes, is wanted, or can be written.
 */
static gpointer runs_thread(gpointer opaque)
{
    RunWriter *t = opaque;
    FileWriter *w = t->w;

    g_mutex_lock(&w->lock);
    while (!w->cancelled && !w->os_errno && (!g_queue_is_empty(&w->runs) || !w->closing)) {
        take_runs(t);
        if (t->n) {
            write_runs(t);
        } else {
            g_cond_wait(&w->changed, &w->lock);
        }
    }
    g_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < DIRECT_BLOCKS; i++) {
        free(t->data[i]);
    }
    file_ring_free(t->ring);
    g_free(t);
    file_writer_unref(w);
    return NULL;
}

/* ---- their user ---- */

static bool start_thread(FileWriter *w, unsigned i, unsigned of, GError **errp)
{
    g_autofree char *name = g_strdup_printf("multifdsend_%u", i);
    RunWriter *t = g_new0(RunWriter, 1);
    bool direct = file_target_is_direct(w->target);

    t->w = w;
    t->ring = direct ? file_ring_new() : NULL;
    t->most = direct ? MAX(DIRECT_BLOCKS / of, 1) : 1;
    g_atomic_int_inc(&w->refs);
    GThread *thread = thread_start(name, runs_thread, t, errp);
    if (!thread) {
        file_ring_free(t->ring);
        g_free(t);
        file_writer_unref(w);
        return false;
    }
    g_thread_unref(thread);     /* nobody joins it */
    return true;
}

bool file_writer_start_runs(FileWriter *w, unsigned n, GError **errp)
{
    g_assert(!w->run_threads && n >= 1);
    w->run_threads = n;
    for (unsigned i = 0; i < n; i++) {
        if (!start_thread(w, i, n, errp)) {
            return false;
        }
    }
    return true;
}

bool file_writer_run(FileWriter *w, const ChannelRun *run, GError **errp)
{
    g_assert(w->run_threads && run->len >= 1 && run->len <= CHANNEL_RUN_BYTES);
    g_mutex_lock(&w->lock);
    while (file_writer_check(w, errp)) {
        if (w->runs.length < w->run_threads + DIRECT_BLOCKS) {
            g_queue_push_tail(&w->runs, g_memdup2(run, sizeof(*run)));
            g_cond_broadcast(&w->changed);
            g_mutex_unlock(&w->lock);
            return true;
        }
        g_cond_wait(&w->changed, &w->lock);
    }
    g_mutex_unlock(&w->lock);
    return false;
}
