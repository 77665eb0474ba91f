/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of a virtio disk. They are popped under the BQL, done by one
 * worker thread, and given back under the BQL. When the VM stops the worker
 * finishes what it has begun, so the stream holds only requests that failed
 * or were not begun, kept until the VM runs again (werror=stop and the like):
 *
 *   pop -> todo -> worker -> done -> status, used ring
 *                                 \> failed, "stop" -> kept -> run again: todo
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "hw/virtio/virtio-blk.h"
#include "qapi/qapi-events.h"
#include "softmmu/runstate.h"

#define EVENTS_PER_SECOND 1
#define KEPT_TRAVEL_US (20 * 1000)   /* before the first request is made to travel */

enum {
    BLK_T_IN = 0, BLK_T_OUT = 1, BLK_T_FLUSH = 4, BLK_T_GET_ID = 8, BLK_T_DISCARD = 11,
    BLK_T_WRITE_ZEROES = 13,
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

/* ---- worker thread ---- */

static int request_do(VirtIOBlk *blk, BlkRequest *req)
{
    int ret;

    switch (req->type) {
    case BLK_T_IN:
        return block_node_preadv(blk->node, req->data, req->data_count, req->offset);
    case BLK_T_OUT:
        ret = block_node_pwritev(blk->node, req->data, req->data_count, req->offset);
        return ret == 0 && req->flush_after ? block_node_flush(blk->node) : ret;
    case BLK_T_FLUSH:
        return block_node_flush(blk->node);
    case BLK_T_DISCARD:
        return block_node_discard(blk->node, req->offset, req->bytes);
    default:
        return block_node_write_zeroes(blk->node, req->offset, req->bytes, req->unmap);
    }
}

static void blk_complete_posted(void *opaque);

/*
 * The worker: waits for requests, does them one after the other, never takes
 * the BQL. Ends when quit is set and nothing is left to do.
 */
static gpointer blk_worker(gpointer opaque)
{
    VirtIOBlk *blk = opaque;

    g_mutex_lock(&blk->lock);
    for (;;) {
        BlkRequest *req = g_queue_pop_head(&blk->todo);

        if (!req) {
            if (blk->quit) {
                break;
            }
            g_cond_wait(&blk->submitted, &blk->lock);
            continue;
        }
        g_mutex_unlock(&blk->lock);
        req->ret = request_do(blk, req);
        block_node_wait(blk->node, req->started_us, req->flush_after ? 2 : 1);
        g_mutex_lock(&blk->lock);
        req->next = blk->done;
        blk->done = req;
        g_cond_signal(&blk->finished);
        if (!req->next) {
            main_loop_post(blk->dev.machine->loop, blk_complete_posted, blk);
        }
    }
    g_mutex_unlock(&blk->lock);
    return NULL;
}

/* ---- completion, BQL ---- */

static void request_account(VirtIOBlk *blk, const BlkRequest *req)
{
    BlockStats *stats = block_node_stats(blk->node);
    uint64_t ns = (uint64_t)(g_get_monotonic_time() - req->started_us) * 1000;
    bool ok = req->ret == 0;

    switch (req->type) {
    case BLK_T_IN:
        stats->rd_operations += ok;
        stats->rd_bytes += ok ? req->bytes : 0;
        stats->rd_total_time_ns += ns;
        stats->failed_rd_operations += !ok;
        break;
    case BLK_T_FLUSH:
        stats->flush_operations += ok;
        stats->flush_total_time_ns += ns;
        stats->failed_flush_operations += !ok;
        break;
    case BLK_T_DISCARD:
        stats->unmap_operations += ok;
        stats->unmap_bytes += ok ? req->bytes : 0;
        stats->unmap_total_time_ns += ns;
        break;
    default:
        stats->wr_operations += ok;
        stats->wr_bytes += ok ? req->bytes : 0;
        stats->wr_total_time_ns += ns;
        stats->failed_wr_operations += !ok;
        stats->wr_highest_offset = MAX(stats->wr_highest_offset, req->offset + req->bytes);
        break;
    }
}

/* Status byte, used ring. The caller notifies. */
static void element_complete(VirtIOBlk *blk, VirtQueueElement *elem, uint8_t status, uint64_t data)
{
    iov_write(elem->in_sg, elem->in_num, elem->in_bytes - 1, &status, 1);
    virtqueue_push(&blk->dev.queues[0], elem, MIN(data + 1, UINT32_MAX));
}

static void request_free(BlkRequest *req)
{
    g_free(req->data);
    g_free(req);
}

/* BLOCK_IO_ERROR; those that stop nothing are limited, a guest can cause any number. */
static void request_report(VirtIOBlk *blk, const BlkRequest *req, BlockErrorAction action)
{
    BlockNodeInfo info;

    if (action != BLOCK_ERROR_ACTION_STOP &&
        rate_limit_ask(&blk->events, g_get_monotonic_time(), EVENTS_PER_SECOND) != RATE_OK) {
        return;
    }
    block_node_info(blk->node, &info);
    qapi_event_send_block_io_error(blk->dev.machine->monitors, blk->dev.listed->qom_path,
                                   info.drive_id, info.node_name,
                                   req->type == BLK_T_IN ? IO_OPERATION_TYPE_READ
                                                         : IO_OPERATION_TYPE_WRITE,
                                   action, info.io_status != BLOCK_IO_STATUS_NONE,
                                   req->ret == -ENOSPC, g_strerror(-req->ret));
}

static void set_io_status(VirtIOBlk *blk, BlockIoStatus status)
{
    if (block_errors_can_stop(blk->rerror, blk->werror)) {
        block_node_set_io_status(blk->node, status);
    }
}

/* The request failed: what the user wants done. True: it is kept, the guest hears nothing. */
static bool request_failed(VirtIOBlk *blk, BlkRequest *req)
{
    BlockErrorAction action = block_error_action(req->type == BLK_T_IN ? blk->rerror : blk->werror,
                                                 -req->ret);

    if (blk->discarding) {
        return false;
    }
    request_report(blk, req, action);
    if (action == BLOCK_ERROR_ACTION_IGNORE) {
        req->ret = 0;
    }
    if (action != BLOCK_ERROR_ACTION_STOP) {
        return false;
    }
    set_io_status(blk, req->ret == -ENOSPC ? BLOCK_IO_STATUS_NOSPACE : BLOCK_IO_STATUS_FAILED);
    g_queue_push_tail(&blk->kept, req->elem);
    blk->stop_wanted = blk->dev.running;
    return true;
}

static void request_complete(VirtIOBlk *blk, BlkRequest *req)
{
    blk->in_flight--;
    request_account(blk, req);
    if (req->ret == 0 || !request_failed(blk, req)) {
        element_complete(blk, req->elem, req->ret ? BLK_S_IOERR : BLK_S_OK,
                         req->type == BLK_T_IN ? req->bytes : 0);
    }
    request_free(req);
}

static void blk_complete(VirtIOBlk *blk)
{
    BlkRequest *done, *ordered = NULL;

    g_mutex_lock(&blk->lock);
    done = g_steal_pointer(&blk->done);
    g_mutex_unlock(&blk->lock);
    if (!done) {
        return;
    }
    while (done) { /* the list is newest first */
        BlkRequest *next = done->next;

        done->next = ordered;
        ordered = done;
        done = next;
    }
    while (ordered) {
        BlkRequest *req = ordered;

        ordered = req->next;
        request_complete(blk, req);
    }
    virtqueue_notify(&blk->dev.queues[0]);
}

/* Main loop, so that the VM can be stopped here. */
static void blk_complete_posted(void *opaque)
{
    VirtIOBlk *blk = opaque;
    g_autoptr(GError) err = NULL;

    blk_complete(blk);
    if (blk->stop_wanted && blk->dev.running &&
        !vm_stop(blk->dev.machine->runstate, RUN_STATE_IO_ERROR, &err)) {
        machine_report(blk->dev.machine, "%s: cannot stop after an I/O error: %s",
                       blk->dev.ops->driver, err->message);
    }
    blk->stop_wanted = false;
}

void blk_io_drain(VirtIOBlk *blk)
{
    while (blk->in_flight) {
        g_mutex_lock(&blk->lock);
        while (!blk->done) {
            g_cond_wait(&blk->finished, &blk->lock);
        }
        g_mutex_unlock(&blk->lock);
        blk_complete(blk);
    }
}

/* ---- requests, BQL ---- */

static struct iovec *iov_slice(const struct iovec *iov, unsigned n, uint64_t skip, uint64_t bytes,
                               unsigned *count)
{
    struct iovec *out = g_new(struct iovec, n + 1);

    *count = 0;
    for (unsigned i = 0; i < n && bytes; i++) {
        uint64_t part;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        part = MIN(bytes, iov[i].iov_len - skip);
        out[(*count)++] = (struct iovec){ (uint8_t *)iov[i].iov_base + skip, part };
        bytes -= part;
        skip = 0;
    }
    return out;
}

static void request_submit(VirtIOBlk *blk, BlkRequest *req)
{
    req->started_us = g_get_monotonic_time();
    blk->in_flight++;
    g_mutex_lock(&blk->lock);
    g_queue_push_tail(&blk->todo, req);
    g_cond_signal(&blk->submitted);
    g_mutex_unlock(&blk->lock);
}

static bool range_ok(const VirtIOBlk *blk, uint64_t sector, uint64_t bytes)
{
    return sector <= blk->capacity && bytes <= (blk->capacity - sector) << SECTOR_BITS &&
           bytes % blk->block_size == 0 && (sector << SECTOR_BITS) % blk->block_size == 0;
}

static bool prepare_transfer(VirtIOBlk *blk, BlkRequest *req, uint64_t sector)
{
    VirtQueueElement *elem = req->elem;
    bool write = req->type == BLK_T_OUT;

    req->bytes = write ? elem->out_bytes - 16 : elem->in_bytes - 1;
    req->offset = sector << SECTOR_BITS;
    if (!range_ok(blk, sector, req->bytes)) {
        BlockStats *stats = block_node_stats(blk->node);

        stats->invalid_rd_operations += !write;
        stats->invalid_wr_operations += write;
        return false;
    }
    req->flush_after = write && !blk->wce;
    req->data = write ? iov_slice(elem->out_sg, elem->out_num, 16, req->bytes, &req->data_count)
                      : iov_slice(elem->in_sg, elem->in_num, 0, req->bytes, &req->data_count);
    return true;
}

/* One segment {u64 sector, u32 sectors, u32 flags}: that is what the config offers. */
static uint8_t prepare_discard(VirtIOBlk *blk, BlkRequest *req)
{
    struct { uint64_t sector; uint32_t sectors, flags; } seg;
    bool discard = req->type == BLK_T_DISCARD;

    if (req->elem->out_bytes - 16 != sizeof(seg)) {
        return BLK_S_UNSUPP;
    }
    iov_read(req->elem->out_sg, req->elem->out_num, 16, &seg, sizeof(seg));
    seg.sector = GUINT64_FROM_LE(seg.sector);
    seg.sectors = GUINT32_FROM_LE(seg.sectors);
    seg.flags = GUINT32_FROM_LE(seg.flags);
    if (seg.flags & ~1u || (discard && seg.flags)) {
        return BLK_S_UNSUPP;
    }
    req->bytes = (uint64_t)seg.sectors << SECTOR_BITS;
    req->offset = seg.sector << SECTOR_BITS;
    req->unmap = seg.flags & 1;
    if (seg.sectors > DISCARD_SECTORS_MAX || !range_ok(blk, seg.sector, req->bytes)) {
        return BLK_S_IOERR;
    }
    return BLK_S_OK;
}

/* Finishes at once with this status. */
static void request_finish(VirtIOBlk *blk, BlkRequest *req, uint8_t status, uint64_t data)
{
    element_complete(blk, req->elem, status, data);
    virtqueue_notify(&blk->dev.queues[0]);
    request_free(req);
}

static void request_dispatch(VirtIOBlk *blk, BlkRequest *req, uint64_t sector)
{
    uint8_t status;

    switch (req->type) {
    case BLK_T_IN:
    case BLK_T_OUT:
        if (!prepare_transfer(blk, req, sector)) {
            request_finish(blk, req, BLK_S_IOERR, 0);
            return;
        }
        break;
    case BLK_T_FLUSH:
        break;
    case BLK_T_GET_ID:
        request_finish(blk, req, BLK_S_OK,
                       iov_write(req->elem->in_sg, req->elem->in_num, 0, blk->serial,
                                 MIN(BLK_ID_BYTES, req->elem->in_bytes - 1)));
        return;
    case BLK_T_DISCARD:
    case BLK_T_WRITE_ZEROES:
        status = prepare_discard(blk, req);
        if (status != BLK_S_OK) {
            request_finish(blk, req, status, 0);
            return;
        }
        break;
    default:
        request_finish(blk, req, BLK_S_UNSUPP, 0);
        return;
    }
    request_submit(blk, req);
}

typedef struct BlkHead {
    uint32_t type, ioprio;
    uint64_t sector;
} BlkHead;

static bool element_ok(const VirtQueueElement *elem)
{
    return elem->out_bytes >= sizeof(BlkHead) && elem->in_bytes >= 1;
}

static void element_start(VirtIOBlk *blk, VirtQueueElement *elem, bool again)
{
    BlkRequest *req = g_new0(BlkRequest, 1);
    BlkHead head;

    req->position = blk->dev.queues[0].last_avail_idx;
    req->again = again;

    iov_read(elem->out_sg, elem->out_num, 0, &head, sizeof(head));
    req->elem = elem;
    req->type = GUINT32_FROM_LE(head.type);
    request_dispatch(blk, req, GUINT64_FROM_LE(head.sector));
}

/* What was kept, in its order, as far as its memory is here. */
static void blk_go_on(VirtIOBlk *blk)
{
    VirtQueueElement *elem;

    while ((elem = g_queue_peek_head(&blk->again)) != NULL &&
           virtqueue_element_here(&blk->dev.queues[0], elem)) {
        element_start(blk, g_queue_pop_head(&blk->again), true);
    }
}

void blk_handle(VirtIODevice *dev, VirtQueue *vq)
{
    VirtQueueElement *elem;

    blk_go_on((VirtIOBlk *)dev);
    while ((elem = virtqueue_pop(vq)) != NULL) {
        if (!element_ok(elem)) {
            virtio_error(dev, "virtio-blk missing headers");
            virtqueue_unpop(vq, elem);
            return;
        }
        element_start((VirtIOBlk *)dev, elem, false);
    }
}

/* ---- life ---- */

void blk_io_reset(VirtIOBlk *blk)
{
    blk->discarding = true;
    blk_io_drain(blk);
    blk->discarding = blk->stop_wanted = false;
    g_queue_clear_full(&blk->kept, (GDestroyNotify)virtqueue_element_free);
    g_queue_clear_full(&blk->again, (GDestroyNotify)virtqueue_element_free);
}

/*
 * What the worker has not begun with is taken back: those that were popped last go into the ring, as
 * if nobody had looked at them, those that were kept before are kept. A guest that stops waits as
 * long as one request takes, not as long as all of them. But QEMU 7.2 looks at a ring only when the
 * guest kicks, which it has done: what goes there is kept, and travels. That is some 48 KiB each,
 * so a disk that needs only a moment gets it.
 */
static void blk_take_back(VirtIOBlk *blk)
{
    VirtQueue *vq = &blk->dev.queues[0];
    bool keep = vmstate_dialect(blk->dev.machine->vmstate) == DIALECT_QEMU_7_2;
    int64_t until_us = g_get_monotonic_time() + KEPT_TRAVEL_US;
    BlkRequest *req;

    g_mutex_lock(&blk->lock);
    while (keep && !g_queue_is_empty(&blk->todo) &&
           g_cond_wait_until(&blk->finished, &blk->lock, until_us)) {
        continue;
    }
    while ((req = g_queue_peek_tail(&blk->todo)) &&
           (keep || req->again || req->position == vq->last_avail_idx)) {
        g_queue_pop_tail(&blk->todo);
        blk->in_flight--;
        if (keep || req->again) {
            g_queue_push_head(&blk->kept, req->elem);
        } else {
            virtqueue_unpop(vq, req->elem);
        }
        request_free(req);
    }
    g_mutex_unlock(&blk->lock);
}

void blk_io_run_state(VirtIOBlk *blk, bool running)
{
    VirtQueueElement *elem;

    if (!running) {
        while ((elem = g_queue_pop_tail(&blk->again)) != NULL) {
            g_queue_push_head(&blk->kept, elem);
        }
        blk_take_back(blk);
        blk_io_drain(blk);
        blk->stop_wanted = false;
        return;
    }
    set_io_status(blk, BLOCK_IO_STATUS_OK);
    while ((elem = g_queue_pop_head(&blk->kept)) != NULL) {
        g_queue_push_tail(&blk->again, elem);
    }
    blk_go_on(blk);
}

bool blk_io_init(VirtIOBlk *blk, GError **errp)
{
    g_mutex_init(&blk->lock);
    g_cond_init(&blk->submitted);
    g_cond_init(&blk->finished);
    g_queue_init(&blk->todo);
    g_queue_init(&blk->kept);
    g_queue_init(&blk->again);
    blk->worker = thread_start("virtio-blk", blk_worker, blk, errp);
    return blk->worker != NULL;
}

void blk_io_free(VirtIOBlk *blk)
{
    if (blk->worker) {
        blk_io_reset(blk);
        g_mutex_lock(&blk->lock);
        blk->quit = true;
        g_cond_signal(&blk->submitted);
        g_mutex_unlock(&blk->lock);
        g_thread_join(blk->worker);
    }
    g_mutex_clear(&blk->lock);
    g_cond_clear(&blk->submitted);
    g_cond_clear(&blk->finished);
}

/* ---- stream ---- */

bool blk_io_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    const VirtIOBlk *blk = (VirtIOBlk *)dev;

    if (blk->in_flight) {
        error_setg(errp, "virtio-blk: %u requests are in flight", blk->in_flight);
        return false;
    }
    for (const GList *at = blk->kept.head; at; at = at->next) {
        stream_put_u8(w, 1);
        virtqueue_element_save(at->data, w);
    }
    stream_put_u8(w, 0);
    return true;
}

bool blk_io_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    VirtIOBlk *blk = (VirtIOBlk *)dev;

    while (stream_get_u8(r)) {
        VirtQueueElement *elem = virtqueue_element_load(&dev->queues[0], r, errp);

        if (!elem) {
            return false;
        }
        g_queue_push_tail(&blk->kept, elem);
        if (!element_ok(elem) || g_queue_get_length(&blk->kept) > VIRTQUEUE_SIZE_MAX) {
            error_setg(errp, "virtio-blk: request %u of %u that wait: %" PRIu64 " bytes out, %"
                       PRIu64 " in", elem->index, g_queue_get_length(&blk->kept),
                       elem->out_bytes, elem->in_bytes);
            return false;
        }
    }
    return stream_reader_ok(r, errp);
}
