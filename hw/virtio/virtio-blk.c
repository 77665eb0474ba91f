/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk (device 2). Requests are popped under the BQL, done by one
 * worker thread, and given back under the BQL. When the VM stops everything
 * in flight is finished first, so the stream never holds a request.
 */
#include <errno.h>
#include <string.h>
#include "hw/block-backend.h"
#include "hw/core/device.h"
#include "hw/virtio/virtio-mmio.h"

#define SECTOR 512
#define SECTOR_BITS 9
#define ID_BYTES 20
#define SEGMENTS_MAX 254
#define DISCARD_SECTORS_MAX 0x3fffff
#define CONFIG_BYTES 57
#define CONFIG_WCE 32
#define QUEUE_NUM_7_2 256

enum {
    BLK_F_SEG_MAX = 2, BLK_F_GEOMETRY = 4, BLK_F_RO = 5, BLK_F_BLK_SIZE = 6, BLK_F_SCSI = 7,
    BLK_F_FLUSH = 9, BLK_F_TOPOLOGY = 10, BLK_F_CONFIG_WCE = 11, BLK_F_DISCARD = 13,
    BLK_F_WRITE_ZEROES = 14,
};
enum {
    BLK_T_IN = 0, BLK_T_OUT = 1, BLK_T_FLUSH = 4, BLK_T_GET_ID = 8, BLK_T_DISCARD = 11,
    BLK_T_WRITE_ZEROES = 13,
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

typedef struct BlkRequest {
    VirtQueueElement *elem;
    uint32_t type;
    uint64_t offset, bytes;
    struct iovec *data;         /* slice of elem's lists */
    unsigned data_count;
    bool unmap, flush_after;
    int ret;
    int64_t started_us;
    struct BlkRequest *next;    /* in the done list */
} BlkRequest;

typedef struct VirtIOBlk {
    VirtIODevice dev;
    BlockNode *node;
    char serial[ID_BYTES];
    uint64_t capacity;          /* sectors */
    uint32_t block_size, physical_block_size;
    bool wce, wce_initial;
    uint32_t in_flight;         /* BQL: handed to the worker and not yet completed */
    /* between the BQL side and the worker, under lock */
    GThread *worker;
    GMutex lock;
    GCond submitted, finished;
    GQueue todo;
    BlkRequest *done;
    bool quit;
} VirtIOBlk;

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

static void blk_complete(VirtIOBlk *blk)
{
    BlkRequest *done, *ordered = NULL;

    g_mutex_lock(&blk->lock);
    done = g_steal_pointer(&blk->done);
    g_mutex_unlock(&blk->lock);
    while (done) { /* the list is newest first */
        BlkRequest *next = done->next;

        done->next = ordered;
        ordered = done;
        done = next;
    }
    while (ordered) {
        BlkRequest *req = ordered;

        ordered = req->next;
        blk->in_flight--;
        request_account(blk, req);
        element_complete(blk, req->elem, req->ret ? BLK_S_IOERR : BLK_S_OK,
                         req->type == BLK_T_IN ? req->bytes : 0);
        g_free(req->data);
        g_free(req);
        if (!ordered) {
            virtqueue_notify(&blk->dev.queues[0]);
        }
    }
}

static void blk_complete_posted(void *opaque)
{
    blk_complete(opaque);
}

/* Waits, holding the BQL, until nothing is in flight: the worker needs no lock of ours. */
static void blk_drain(VirtIOBlk *blk)
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
    g_free(req->data);
    g_free(req);
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
                                 MIN(ID_BYTES, req->elem->in_bytes - 1)));
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

static void blk_handle(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIOBlk *blk = (VirtIOBlk *)dev;
    VirtQueueElement *elem;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        struct { uint32_t type, ioprio; uint64_t sector; } head;
        BlkRequest *req;

        if (elem->out_bytes < sizeof(head) || elem->in_bytes < 1) {
            virtio_error(dev, "virtio-blk missing headers");
            virtqueue_unpop(vq, elem);
            return;
        }
        iov_read(elem->out_sg, elem->out_num, 0, &head, sizeof(head));
        req = g_new0(BlkRequest, 1);
        req->elem = elem;
        req->type = GUINT32_FROM_LE(head.type);
        request_dispatch(blk, req, GUINT64_FROM_LE(head.sector));
    }
}

/* ---- config ---- */

static void put_le(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = value >> (8 * i);
    }
}

static void blk_get_config(VirtIODevice *dev, uint8_t *c)
{
    const VirtIOBlk *blk = (VirtIOBlk *)dev;
    uint64_t cylinders = MIN(blk->capacity / (16 * 63), 16383);

    put_le(c, blk->capacity, 8);
    put_le(c + 12, SEGMENTS_MAX, 4);
    put_le(c + 16, MAX(cylinders, 2), 2);
    c[18] = 16;
    c[19] = 63;
    put_le(c + 20, blk->block_size, 4);
    c[24] = __builtin_ctz(blk->physical_block_size / blk->block_size);
    c[CONFIG_WCE] = blk->wce;
    put_le(c + 34, 1, 2);                       /* queues */
    put_le(c + 36, DISCARD_SECTORS_MAX, 4);
    put_le(c + 40, 1, 4);                       /* segments */
    put_le(c + 44, blk->block_size / SECTOR, 4);
    put_le(c + 48, DISCARD_SECTORS_MAX, 4);
    put_le(c + 52, 1, 4);
    c[56] = 1;                                  /* write zeroes may unmap */
}

static void blk_set_config(VirtIODevice *dev, const uint8_t *config)
{
    ((VirtIOBlk *)dev)->wce = config[CONFIG_WCE] & 1;
}

static void blk_load_config(VirtIODevice *dev, const uint8_t *config)
{
    uint8_t ours[VIRTIO_CONFIG_MAX];

    virtio_get_config(dev, ours);
    if (memcmp(config, ours, sizeof(uint64_t)) == 0) { /* filled in: its cache mode is the guest's */
        blk_set_config(dev, config);
    }
}

/* ---- life ---- */

static void blk_reset(VirtIODevice *dev)
{
    VirtIOBlk *blk = (VirtIOBlk *)dev;

    blk_drain(blk);
    blk->wce = blk->wce_initial;
}

static void blk_run_state(VirtIODevice *dev, bool running)
{
    if (!running) {
        blk_drain((VirtIOBlk *)dev);
    }
}

static void blk_free(VirtIODevice *dev)
{
    VirtIOBlk *blk = (VirtIOBlk *)dev;

    if (blk->worker) {
        blk_drain(blk);
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

static bool blk_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    if (((VirtIOBlk *)dev)->in_flight) {
        error_setg(errp, "virtio-blk: %u requests are in flight", ((VirtIOBlk *)dev)->in_flight);
        return false;
    }
    stream_put_u8(w, 0);
    return true;
}

static bool blk_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    if (stream_get_u8(r)) {
        error_setg(errp, "virtio-blk: the stream holds a request that stopped on an I/O error, "
                   "which is not supported");
        return false;
    }
    return stream_reader_ok(r, errp);
}

VIRTIO_VMSTATE(blk_vmstate, "virtio-blk", 2);

static const VirtIODeviceOps blk_ops = {
    .name = "virtio-blk",
    .driver = "virtio-blk-device",
    .id = VIRTIO_ID_BLOCK,
    .config_bytes = CONFIG_BYTES,
    .legacy_features = FEATURE(BLK_F_SCSI),
    .vmsd = &blk_vmstate,
    .get_config = blk_get_config,
    .set_config = blk_set_config,
    .load_config = blk_load_config,
    .reset = blk_reset,
    .run_state = blk_run_state,
    .save = blk_save,
    .load = blk_load,
    .free = blk_free,
};

static bool block_size_ok(const char *name, uint64_t size, GError **errp)
{
    if (size < SECTOR || size > 2 * 1024 * 1024 || (size & (size - 1))) {
        error_setg(errp, "parameter %s must be a power of 2 between 512 and 2097152", name);
        return false;
    }
    return true;
}

static bool blk_options(VirtIOBlk *blk, Opts *opts, uint64_t *logical, uint64_t *physical,
                        GError **errp)
{
    const char *write_cache = opts_get(opts, "write-cache"), *serial = opts_get(opts, "serial");
    BlockNodeInfo info;
    uint64_t queues = 1;

    block_node_info(blk->node, &info);
    blk->wce_initial = info.writeback;
    if (write_cache && strcmp(write_cache, "auto")) {
        opts_get_bool(opts, "write-cache", &blk->wce_initial, NULL);
    }
    if (serial) {
        memcpy(blk->serial, serial, MIN(strlen(serial), ID_BYTES));
    }
    *logical = *physical = SECTOR;
    if (!opts_get_size(opts, "logical_block_size", logical, errp) ||
        !opts_get_size(opts, "physical_block_size", physical, errp) ||
        !block_size_ok("logical_block_size", *logical, errp) ||
        !opts_get_u64(opts, "num-queues", &queues, errp)) {
        return false;
    }
    *physical = MAX(*physical, *logical);
    if (queues != 1) {
        error_setg(errp, "num-queues property must be 1");
        return false;
    }
    return block_size_ok("physical_block_size", *physical, errp);
}

static uint64_t blk_features(const BlockNodeInfo *info)
{
    uint64_t features = FEATURE(BLK_F_SEG_MAX) | FEATURE(BLK_F_GEOMETRY) |
                        FEATURE(BLK_F_BLK_SIZE) | FEATURE(BLK_F_FLUSH) | FEATURE(BLK_F_TOPOLOGY) |
                        FEATURE(BLK_F_CONFIG_WCE) | FEATURE(BLK_F_DISCARD) |
                        FEATURE(BLK_F_WRITE_ZEROES) | FEATURE(BLK_F_SCSI);

    if (info->ro) {
        features |= FEATURE(BLK_F_RO);
    }
    return features;
}

static bool blk_init(VirtIOBlk *blk, Board *board, BlockNode *node, Opts *opts, GError **errp)
{
    VirtIODevice *dev = &blk->dev;
    uint64_t logical, physical;
    BlockNodeInfo info;

    g_mutex_init(&blk->lock);
    g_cond_init(&blk->submitted);
    g_cond_init(&blk->finished);
    g_queue_init(&blk->todo);
    blk->node = node;
    block_node_info(node, &info);
    if (!blk_options(blk, opts, &logical, &physical, errp) ||
        !block_node_attach(node, dev->ops->driver, dev->id, errp)) {
        return false;
    }
    blk->block_size = logical;
    blk->physical_block_size = physical;
    blk->capacity = info.size_bytes >> SECTOR_BITS;
    blk->wce = blk->wce_initial;
    dev->host_features &= ~FEATURE(VIRTIO_F_ANY_LAYOUT); /* QEMU's does not offer it either */
    virtio_add_queue(dev, QUEUE_NUM_7_2, blk_handle);
    blk->worker = thread_start("virtio-blk", blk_worker, blk, errp);
    return blk->worker && virtio_plug(board, dev, opts, errp);
}

bool virtio_blk_create(Board *board, Opts *opts, GError **errp)
{
    const char *drive = opts_get(opts, "drive");
    BlockNode *node = drive ? block_backends_find(board->blocks, drive) : NULL;
    BlockNodeInfo info;
    VirtIODevice *dev;

    if (!drive) {
        error_setg(errp, "drive property not set");
        return false;
    }
    if (!node) {
        error_setg(errp, "Property 'virtio-blk-device.drive' can't find value '%s'", drive);
        return false;
    }
    block_node_info(node, &info);
    dev = virtio_new(board, sizeof(VirtIOBlk), &blk_ops, opts, blk_features(&info), errp);
    if (!dev) {
        return false;
    }
    if (!blk_init((VirtIOBlk *)dev, board, node, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    return true;
}
