/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver null-co: a disk without content. Writes vanish, reads leave the
 * buffer as it is or give zeros, each after a latency that the user chose
 * (block_node_wait): for measurements, and as a disk that is as slow as a
 * test needs.
 */
#include "hw/block/block-node.h"
#include "softmmu/guest-ram.h"

static int null_io(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset,
                   bool write)
{
    static const uint8_t zeros[4096];

    for (unsigned i = 0; i < count && !write && node->read_zeroes; i++) {
        for (size_t at = 0; at < iov[i].iov_len; at += sizeof(zeros)) {
            guest_ram_copy_to((uint8_t *)iov[i].iov_base + at, zeros,
                              MIN(sizeof(zeros), iov[i].iov_len - at));
        }
    }
    return 0;
}

static int null_flush(BlockNode *node)
{
    return 0;
}

static int null_zero(BlockNode *node, uint64_t offset, uint64_t bytes, bool unmap)
{
    return 0;
}

static int null_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return 0;
}

static int null_resize(BlockNode *node, uint64_t bytes)
{
    return 0;
}

const BlockDriverOps block_null_ops = {
    .io = null_io,
    .flush = null_flush,
    .write_zeroes = null_zero,
    .discard = null_discard,
    .resize = null_resize,
};
