/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a virtio disk: virtio-blk.c has config and life, virtio-blk-io.c the requests. Under the BQL. */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "hw/block-backend.h"
#include "hw/virtio/virtio.h"

#define SECTOR 512
#define SECTOR_BITS 9
#define BLK_ID_BYTES 20
#define DISCARD_SECTORS_MAX 0x3fffff

typedef struct BlkRequest {
    VirtQueueElement *elem;
    uint32_t type;
    uint64_t offset, bytes;
    struct iovec *data;         /* slice of elem's lists */
    unsigned data_count;
    bool unmap, flush_after;
    uint16_t position;          /* last_avail_idx when it was popped... */
    bool again;                 /* ...unless it was kept before, and is tried again */
    int ret;
    int64_t started_us;
    struct BlkRequest *next;    /* in the done list */
} BlkRequest;

typedef struct VirtIOBlk {
    VirtIODevice dev;
    BlockNode *node;
    char serial[BLK_ID_BYTES];
    uint64_t capacity;          /* sectors */
    uint32_t block_size, physical_block_size;
    bool wce, wce_initial;
    BlockOnError rerror, werror;
    /* BQL */
    uint32_t in_flight;         /* handed to the worker and not yet completed */
    GQueue kept;                /* VirtQueueElement*: failed with "stop", tried again at the start */
    GQueue again;               /* those while the guest runs, until their memory is here */
    bool stop_wanted;           /* a request was kept while the VM ran */
    bool discarding;            /* the guest resets: nothing is kept */
    RateLimit events;           /* of errors that stop nothing */
    /* between the BQL side and the worker, under lock */
    GThread *worker;
    GMutex lock;
    GCond submitted, finished;
    GQueue todo;
    BlkRequest *done;
    bool quit;
} VirtIOBlk;

/** Starts the worker thread; the rest of this half is made even if that fails. */
bool blk_io_init(VirtIOBlk *blk, GError **errp);
void blk_io_free(VirtIOBlk *blk);
/** Waits, holding the BQL, until nothing is in flight: the worker needs no lock of ours. */
void blk_io_drain(VirtIOBlk *blk);
/** The guest kicked. */
void blk_handle(VirtIODevice *dev, VirtQueue *vq);
/** The guest's reset: waits for the worker, forgets all requests. */
void blk_io_reset(VirtIOBlk *blk);
/** Stopped: waits for the worker. About to run: what was kept is tried again. */
void blk_io_run_state(VirtIOBlk *blk, bool running);
/** The requests that were kept (machine-virt 2.11). */
bool blk_io_save(VirtIODevice *dev, StreamWriter *w, GError **errp);
bool blk_io_load(VirtIODevice *dev, StreamReader *r, GError **errp);

#endif
