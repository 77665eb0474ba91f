/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing to a file behind its user's back: what is to be written is copied
 * into blocks, and a thread writes them. So a file server that does not answer
 * holds up that thread and nobody else, who is left behind when the user has
 * lost patience; and one that does answers while the next pages are looked
 * for. More threads, for what lies at positions, are file-runs.c's. Used by
 * file.c only. An error is told by the next call.
 */
#include <inttypes.h>
#include <stdlib.h>
#include "migration/channel/file-writer-private.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"

#define FREE_WAIT_US (300 * 1000)   /* for a thread that is about to come back */

/* ---- the thread ---- */

static bool overlaps(const FilePiece *pieces, unsigned n, const FileBlock *b)
{
    for (unsigned i = 0; i < n; i++) {
        if ((uint64_t)b->offset < pieces[i].offset + pieces[i].len &&
            pieces[i].offset < (uint64_t)b->offset + b->len) {
            return true;
        }
    }
    return false;
}

/* Locked. As many of the first blocks as may be written in any order; 0: the first has no position, or is a hole. */
static unsigned gather(FileWriter *w, FilePiece *pieces)
{
    unsigned most = file_target_is_direct(w->target) ? MIN(w->count, DIRECT_BLOCKS) : 1, n = 0;

    while (n < most) {
        const FileBlock *b = &w->blocks[(w->first + n) % BLOCKS];
        if (b->offset < 0 || b->hole || overlaps(pieces, n, b)) {
            break;
        }
        pieces[n++] = (FilePiece){ b->data, b->len, (uint64_t)b->offset };
    }
    return n;
}

/* The first, which cannot be written together with others. 0 or an errno. */
static int write_alone(FileWriter *w, FileBlock *b, uint64_t *at)
{
    if (b->hole) {
        file_target_punch(w->target, (uint64_t)b->offset, b->hole, b->at_end);
        return 0;
    }
    return file_target_write(w->target, b->data, b->len, -1, at);
}

/* Locked; let go meanwhile. */
static void write_first(FileWriter *w, FileRing *ring)
{
    FileBlock *b = &w->blocks[w->first];
    FilePiece pieces[DIRECT_BLOCKS];
    unsigned n = gather(w, pieces);
    uint64_t at = 0;

    w->writing = MAX(n, 1);
    g_mutex_unlock(&w->lock);
    int err = n ? file_target_write_pieces(w->target, ring, pieces, n, &at)
                : write_alone(w, b, &at);
    g_mutex_lock(&w->lock);
    file_writer_note_error(w, err, FILE_STEP_WRITE, at);
    for (unsigned i = 0; i < w->writing; i++) {
        w->blocks[(w->first + i) % BLOCKS].len = 0;
        w->blocks[(w->first + i) % BLOCKS].hole = 0;
    }
    w->first = (w->first + w->writing) % BLOCKS;
    w->count -= w->writing;
    w->writing = 0;
    g_cond_broadcast(&w->changed);
}

/* Locked; let go meanwhile. */
static void look_for_room(FileWriter *w)
{
    uint64_t end = w->room_end, free_bytes;

    g_mutex_unlock(&w->lock);
    int err = file_target_room(w->target, end, &free_bytes);
    g_mutex_lock(&w->lock);
    w->room_errno = err;
    w->room_free = free_bytes;
    w->asked = false;
    g_cond_broadcast(&w->changed);
}

/* Locked; let go meanwhile. All was written: whole, unless nobody wants it any more. */
static void make_whole(FileWriter *w)
{
    FileStep step = FILE_STEP_SYNC;

    g_mutex_unlock(&w->lock);
    int err = file_target_sync(w->target);
    g_mutex_lock(&w->lock);
    bool wanted = !err && !w->cancelled;
    g_mutex_unlock(&w->lock);
    if (wanted) {
        err = file_target_publish(w->target, &step);
    }
    g_mutex_lock(&w->lock);
    file_writer_note_error(w, err, step, 0);
}

/*
 * The thread of one file. Owns the target; waits for blocks and for the
 * file system, the latter with nobody to end it; ends with the file's close.
 */
static gpointer writer_thread(gpointer opaque)
{
    FileWriter *w = opaque;
    FileRing *ring = file_target_is_direct(w->target) ? file_ring_new() : NULL;

    g_mutex_lock(&w->lock);
    while (!w->cancelled && !w->os_errno && (w->count || file_runs_pending(w) || !w->closing)) {
        if (w->count) {
            write_first(w, ring);
        } else if (w->asked) {
            look_for_room(w);
        } else {
            g_cond_wait(&w->changed, &w->lock);
        }
    }
    while (!w->closing && !w->cancelled) {  /* an error: the descriptor stays until it was told */
        g_cond_wait(&w->changed, &w->lock);
    }
    if (w->complete && !w->cancelled && !w->os_errno) {
        make_whole(w);
    }
    file_runs_wait(w);      /* whoever writes has the target, too */
    g_mutex_unlock(&w->lock);
    file_ring_free(ring);
    int err = file_target_free(w->target);
    g_mutex_lock(&w->lock);
    file_writer_note_error(w, err, FILE_STEP_CLOSE, 0);
    w->ended = true;
    if (w->lost) {
        bounded_regain();
    }
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
    file_writer_unref(w);
    return NULL;
}

FileWriter *file_writer_new(FileTarget *target, const char *name, GError **errp)
{
    FileWriter *w = g_new0(FileWriter, 1);
    GThread *thread;

    w->target = target;
    w->name = g_strdup(name);
    w->refs = 2;
    g_mutex_init(&w->lock);
    g_cond_init(&w->changed);
    thread = bounded_may_start(errp) ? thread_start("file_writer", writer_thread, w, errp) : NULL;
    if (!thread) {
        w->refs = 1;
        file_writer_unref(w);
        return NULL;
    }
    g_thread_unref(thread);     /* nobody joins it */
    return w;
}

/* ---- its user ---- */

/* Locked. The last block if there is room in it for what comes at offset and it is not being written. */
static FileBlock *last_block(FileWriter *w, int64_t offset)
{
    FileBlock *b = &w->blocks[(w->first + w->count + BLOCKS - 1) % BLOCKS];

    if (w->count == w->writing || b->hole || b->len == BLOCK_BYTES || (b->offset < 0) != (offset < 0)) {
        return NULL;
    }
    return offset < 0 || b->offset + (int64_t)b->len == offset ? b : NULL;
}

/* Locked, and waits. The next free one; NULL with errp. */
static FileBlock *free_block(FileWriter *w, GError **errp)
{
    while (file_writer_check(w, errp)) {
        if (w->count < BLOCKS) {
            return &w->blocks[(w->first + w->count++) % BLOCKS];
        }
        g_cond_wait(&w->changed, &w->lock);
    }
    return NULL;
}

/* Locked, and waits. One that takes what comes at offset; NULL with errp. */
static FileBlock *block_for(FileWriter *w, int64_t offset, GError **errp)
{
    FileBlock *b;

    while (file_writer_check(w, errp)) {
        b = last_block(w, offset);
        if (b) {
            return b;
        }
        if (w->count < BLOCKS) {
            b = &w->blocks[(w->first + w->count) % BLOCKS];
            if (!b->data && posix_memalign((void **)&b->data, BLOCK_ALIGN, BLOCK_BYTES) != 0) {
                b->data = NULL;
                error_setg(errp, "Unable to write to file: not enough memory for a block of 1 MiB");
                return NULL;
            }
            b->offset = offset;
            w->count++;
            return b;
        }
        g_cond_wait(&w->changed, &w->lock);
    }
    return NULL;
}

ssize_t file_writer_writev(FileWriter *w, const struct iovec *iov, int iovcnt, int64_t offset,
                           GError **errp)
{
    size_t done = 0;

    g_mutex_lock(&w->lock);
    FileBlock *b = block_for(w, offset, errp);
    for (int i = 0; b && i < iovcnt && b->len < BLOCK_BYTES; i++) {
        size_t n = MIN(iov[i].iov_len, BLOCK_BYTES - b->len);
        guest_ram_copy_from(b->data + b->len, iov[i].iov_base, n);
        b->len += n;
        done += n;
    }
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
    return b ? (ssize_t)done : -1;
}

bool file_writer_punch(FileWriter *w, uint64_t offset, uint64_t len, bool at_end, GError **errp)
{
    g_mutex_lock(&w->lock);
    FileBlock *b = free_block(w, errp);
    if (b) {
        b->offset = (int64_t)offset;
        b->hole = len;
        b->at_end = at_end;
    }
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
    return b;
}

bool file_writer_settle(FileWriter *w, GError **errp)
{
    g_mutex_lock(&w->lock);
    while ((w->count || file_runs_pending(w)) && !w->cancelled && !w->os_errno) {
        g_cond_wait(&w->changed, &w->lock);
    }
    bool ok = file_writer_check(w, errp);
    g_mutex_unlock(&w->lock);
    return ok;
}

bool file_writer_room(FileWriter *w, uint64_t end, uint64_t bytes, GError **errp)
{
    g_mutex_lock(&w->lock);
    w->asked = true;
    w->room_end = end;
    g_cond_broadcast(&w->changed);
    while (w->asked && !w->cancelled && !w->os_errno) {
        g_cond_wait(&w->changed, &w->lock);
    }
    bool ok = file_writer_check(w, errp);
    if (ok && w->room_errno) {
        error_setg_errno(errp, w->room_errno, "'%s' cannot be made %" PRIu64 " MiB long", w->name,
                         (end >> 20) + 1);
        ok = false;
    } else if (ok && w->room_free < bytes) {
        error_setg(errp, "There is no room for the end of '%s': %" PRIu64 " KiB are needed, %" PRIu64
                   " KiB are free on its file system", w->name, bytes >> 10, w->room_free >> 10);
        ok = false;
    }
    g_mutex_unlock(&w->lock);
    return ok;
}

/* Locked; lets go of it until something changes. False: the time is over. */
static bool wait_until(FileWriter *w, gint64 until)
{
    if (until < 0) {
        g_cond_wait(&w->changed, &w->lock);
        return true;
    }
    return g_cond_wait_until(&w->changed, &w->lock, until);
}

ChannelEnd file_writer_close(FileWriter *w, bool complete, int ms, GError **errp)
{
    gint64 until = ms < 0 ? -1 : g_get_monotonic_time() + ms * 1000LL;
    ChannelEnd end = CHANNEL_END_OPEN;

    g_mutex_lock(&w->lock);
    w->complete = w->complete || (complete && !w->closing);
    w->closing = true;
    g_cond_broadcast(&w->changed);
    while (!w->ended && !w->cancelled && wait_until(w, until)) {
        /* again */
    }
    if (w->ended || w->cancelled) {
        end = file_writer_check(w, errp) ? CHANNEL_END_TAKEN : CHANNEL_END_FAILED;
    }
    g_mutex_unlock(&w->lock);
    return end;
}

bool file_writer_closing(FileWriter *w)
{
    g_mutex_lock(&w->lock);
    bool closing = w->closing;
    g_mutex_unlock(&w->lock);
    return closing;
}

void file_writer_cancel(FileWriter *w)
{
    g_mutex_lock(&w->lock);
    w->cancelled = w->cancelled || !w->ended;
    g_cond_broadcast(&w->changed);
    g_mutex_unlock(&w->lock);
}

void file_writer_free(FileWriter *w)
{
    gint64 until = g_get_monotonic_time() + FREE_WAIT_US;

    g_mutex_lock(&w->lock);
    w->cancelled = true;
    file_runs_drop(w);
    g_cond_broadcast(&w->changed);
    while (!w->ended && g_cond_wait_until(&w->changed, &w->lock, until)) {
        /* again */
    }
    if (!w->ended) {
        w->lost = true;
        bounded_lose();
    }
    g_mutex_unlock(&w->lock);
    file_writer_unref(w);
}
