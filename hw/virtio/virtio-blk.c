/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk (device 2): options, configuration space, life. Its requests are in virtio-blk-io.c. */
#include <string.h>
#include "hw/core/device.h"
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-mmio.h"

#define SEGMENTS_MAX 254
#define CONFIG_BYTES 57
#define CONFIG_WCE 32
#define QUEUE_NUM_7_2 256

enum {
    BLK_F_SEG_MAX = 2, BLK_F_GEOMETRY = 4, BLK_F_RO = 5, BLK_F_BLK_SIZE = 6, BLK_F_SCSI = 7,
    BLK_F_FLUSH = 9, BLK_F_TOPOLOGY = 10, BLK_F_CONFIG_WCE = 11, BLK_F_DISCARD = 13,
    BLK_F_WRITE_ZEROES = 14,
};

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

    blk_io_reset(blk);
    blk->wce = blk->wce_initial;
}

static void blk_run_state(VirtIODevice *dev, bool running)
{
    blk_io_run_state((VirtIOBlk *)dev, running);
}

static void blk_free(VirtIODevice *dev)
{
    blk_io_free((VirtIOBlk *)dev);
}

VIRTIO_VMSTATE(virtio_blk_vmstate, "virtio-blk", 2);

static const VirtIODeviceOps blk_ops = {
    .name = "virtio-blk",
    .driver = "virtio-blk-device",
    .id = VIRTIO_ID_BLOCK,
    .config_bytes = CONFIG_BYTES,
    .legacy_features = FEATURE(BLK_F_SCSI),
    .vmsd = &virtio_blk_vmstate,
    .get_config = blk_get_config,
    .set_config = blk_set_config,
    .load_config = blk_load_config,
    .reset = blk_reset,
    .run_state = blk_run_state,
    .save = blk_io_save,
    .load = blk_io_load,
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

/* werror= and rerror= of the device; without, or with auto, the drive's. */
static bool on_error_option(Opts *opts, const char *name, BlockOnError drives, BlockOnError *value,
                            GError **errp)
{
    const char *text = opts_get(opts, name);

    *value = BLOCK_ON_ERROR_AUTO;
    if (text && !block_on_error_parse(text, value)) {
        error_setg(errp, "Parameter '%s' does not accept value '%s'", name, text);
        return false;
    }
    *value = *value == BLOCK_ON_ERROR_AUTO ? drives : *value;
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
        memcpy(blk->serial, serial, MIN(strlen(serial), BLK_ID_BYTES));
    }
    *logical = *physical = SECTOR;
    if (!opts_get_size(opts, "logical_block_size", logical, errp) ||
        !opts_get_size(opts, "physical_block_size", physical, errp) ||
        !block_size_ok("logical_block_size", *logical, errp) ||
        !opts_get_u64(opts, "num-queues", &queues, errp) ||
        !on_error_option(opts, "rerror", info.rerror, &blk->rerror, errp) ||
        !on_error_option(opts, "werror", info.werror, &blk->werror, errp)) {
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

static void blk_node_drain(void *opaque)
{
    blk_io_drain(opaque);
}

static void blk_node_resized(void *opaque)
{
    VirtIOBlk *blk = opaque;
    BlockNodeInfo info;

    block_node_info(blk->node, &info);
    blk->capacity = info.size_bytes >> SECTOR_BITS;
    virtio_config_changed(&blk->dev);
}

static const char *blk_node_path(void *opaque)
{
    const VirtIOBlk *blk = opaque;

    return blk->dev.listed ? blk->dev.listed->qom_path : NULL;
}

static const BlockDeviceOps blk_device_ops = { blk_node_drain, blk_node_resized, blk_node_path };

static bool blk_init(VirtIOBlk *blk, Board *board, BlockNode *node, Opts *opts, GError **errp)
{
    VirtIODevice *dev = &blk->dev;
    uint64_t logical, physical;
    BlockNodeInfo info;

    blk->node = node;
    block_node_info(node, &info);
    if (!blk_io_init(blk, errp) || !blk_options(blk, opts, &logical, &physical, errp) ||
        !block_node_attach(node, dev->ops->driver, &blk_device_ops, blk, errp)) {
        return false;
    }
    if (block_errors_can_stop(blk->rerror, blk->werror)) {
        block_node_set_io_status(node, BLOCK_IO_STATUS_OK);
    }
    blk->block_size = logical;
    blk->physical_block_size = physical;
    blk->capacity = info.size_bytes >> SECTOR_BITS;
    blk->wce = blk->wce_initial;
    dev->host_features &= ~FEATURE(VIRTIO_F_ANY_LAYOUT); /* QEMU's does not offer it either */
    virtio_add_queue(dev, QUEUE_NUM_7_2, blk_handle);
    return virtio_plug(board, dev, opts, errp);
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
