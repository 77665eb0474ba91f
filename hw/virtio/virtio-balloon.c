/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-balloon (device 5): the guest gives pages back, which become holes
 * in the RAM block. The statistics queue is offered, as QEMU offers it, but
 * its buffer stays in the ring: nobody asks for statistics.
 */
#include <fcntl.h>
#include <string.h>
#include "hw/balloon.h"
#include "hw/core/device.h"
#include "hw/virtio/virtio-mmio.h"

#define CONFIG_BYTES 16
#define PFNS_MAX 65536          /* of one buffer; Linux sends 256 */
#define PFN_CHUNK 256
enum { BALLOON_F_STATS_VQ = 1, BALLOON_F_DEFLATE_ON_OOM = 2 };

typedef struct VirtIOBalloon {
    VirtIODevice dev;
    uint32_t num_pages;         /* what we ask the guest to give */
    uint32_t actual;            /* what it says it gave */
} VirtIOBalloon;

/* The content is gone; the dirty log has to know, or the old one would stay at a destination. */
static void balloon_discard(VirtIODevice *dev, uint64_t addr)
{
    const MemoryRegion *region = address_space_lookup(dev->machine->as, addr);
    uint64_t offset;

    if (!region || !region->block || region->readonly || region->block->readonly ||
        region->block->page_size != TARGET_PAGE_SIZE) {
        return;
    }
    offset = addr - region->base;
    if (fallocate(region->block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                  TARGET_PAGE_SIZE) == 0) {
        address_space_mark_dirty(dev->machine->as, addr, TARGET_PAGE_SIZE);
    }
}

static void balloon_inflate_element(VirtIODevice *dev, const VirtQueueElement *elem)
{
    uint32_t pfns[PFN_CHUNK];
    uint64_t at = 0;

    while (at < 4ULL * PFNS_MAX) {
        size_t n = iov_read(elem->out_sg, elem->out_num, at, pfns, sizeof(pfns)) / 4;

        if (n == 0) {
            break;
        }
        for (size_t i = 0; i < n; i++) {
            balloon_discard(dev, (uint64_t)GUINT32_FROM_LE(pfns[i]) << TARGET_PAGE_BITS);
        }
        at += 4 * n;
    }
}

static void balloon_handle(VirtIODevice *dev, VirtQueue *vq)
{
    VirtQueueElement *elem;
    bool done = false;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        if (vq->n == 0) { /* the second queue takes pages back: they fill by themselves */
            balloon_inflate_element(dev, elem);
        }
        virtqueue_push(vq, elem, 0);
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

static void balloon_get_config(VirtIODevice *dev, uint8_t *config)
{
    const VirtIOBalloon *b = (VirtIOBalloon *)dev;
    uint32_t words[2] = { GUINT32_TO_LE(b->num_pages), GUINT32_TO_LE(b->actual) };

    memcpy(config, words, sizeof(words));
}

static void balloon_set_config(VirtIODevice *dev, const uint8_t *config)
{
    uint32_t actual;

    memcpy(&actual, config + 4, 4);
    ((VirtIOBalloon *)dev)->actual = GUINT32_FROM_LE(actual);
}

static void balloon_reset(VirtIODevice *dev)
{
    ((VirtIOBalloon *)dev)->actual = 0;
}

static bool balloon_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    stream_put_be32(w, ((VirtIOBalloon *)dev)->num_pages);
    stream_put_be32(w, ((VirtIOBalloon *)dev)->actual);
    return true;
}

static bool balloon_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    ((VirtIOBalloon *)dev)->num_pages = stream_get_be32(r);
    ((VirtIOBalloon *)dev)->actual = stream_get_be32(r);
    return stream_reader_ok(r, errp);
}

VIRTIO_VMSTATE(balloon_vmstate, "virtio-balloon", 1);

static const VirtIODeviceOps balloon_ops = {
    .name = "virtio-balloon",
    .driver = "virtio-balloon-device",
    .id = VIRTIO_ID_BALLOON,
    .config_bytes = CONFIG_BYTES,
    .vmsd = &balloon_vmstate,
    .get_config = balloon_get_config,
    .set_config = balloon_set_config,
    .reset = balloon_reset,
    .save = balloon_save,
    .load = balloon_load,
};

bool virtio_balloon_create(Board *board, Opts *opts, GError **errp)
{
    uint64_t features = FEATURE(BALLOON_F_STATS_VQ);
    bool deflate_on_oom = false;
    VirtIODevice *dev;

    if (board->balloon) {
        error_setg(errp, "Only one balloon device is supported");
        return false;
    }
    if (!opts_get_bool(opts, "deflate-on-oom", &deflate_on_oom, errp)) {
        return false;
    }
    features |= deflate_on_oom ? FEATURE(BALLOON_F_DEFLATE_ON_OOM) : 0;
    dev = virtio_new(board, sizeof(VirtIOBalloon), &balloon_ops, opts, features, errp);
    if (!dev) {
        return false;
    }
    virtio_add_queue(dev, 128, balloon_handle);
    virtio_add_queue(dev, 128, balloon_handle);
    virtio_add_queue(dev, 128, NULL);
    if (!virtio_plug(board, dev, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    board->balloon = (VirtIOBalloon *)dev;
    return true;
}

/* ---- monitors ---- */

static VirtIOBalloon *balloon_find(Board *board, GError **errp)
{
    if (!board || !board->balloon) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_ACTIVE,
                        "No balloon device has been activated");
        return NULL;
    }
    return board->balloon;
}

bool board_balloon_get(Board *board, uint64_t *actual_bytes, GError **errp)
{
    const VirtIOBalloon *b = balloon_find(board, errp);
    uint64_t ram, given;

    if (!b) {
        return false;
    }
    ram = board->machine->config->ram_bytes;
    given = (uint64_t)b->actual << TARGET_PAGE_BITS;
    *actual_bytes = ram - MIN(given, ram);
    return true;
}

bool board_balloon_set(Board *board, uint64_t target_bytes, GError **errp)
{
    VirtIOBalloon *b = balloon_find(board, errp);
    uint64_t ram;

    if (!b) {
        return false;
    }
    if (target_bytes == 0) {
        error_setg(errp, "Parameter 'target' expects a size");
        return false;
    }
    ram = board->machine->config->ram_bytes;
    b->num_pages = (ram - MIN(target_bytes, ram)) >> TARGET_PAGE_BITS;
    virtio_config_changed(&b->dev);
    return true;
}
