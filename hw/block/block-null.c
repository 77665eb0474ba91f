/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver null-co: a disk without content. Writes vanish, reads leave the
 * buffer as it is or give zeros, each after a latency that the user chose:
 * for measurements, and as a disk that is as slow as a test needs.
 */
#include <time.h>
#include "hw/block/block-node.h"
#include "softmmu/guest-ram.h"

#define NS_PER_SECOND 1000000000ULL

/* On the device's worker thread: nothing else waits. */
static int null_wait(BlockNode *node)
{
    struct timespec left = { node->latency_ns / NS_PER_SECOND, node->latency_ns % NS_PER_SECOND };

    while (node->latency_ns && nanosleep(&left, &left) < 0) {
        continue; /* a signal */
    }
    return 0;
}

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
    return null_wait(node);
}

static int null_zero(BlockNode *node, uint64_t offset, uint64_t bytes, bool unmap)
{
    return null_wait(node);
}

static int null_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return null_wait(node);
}

static int null_resize(BlockNode *node, uint64_t bytes)
{
    return 0;
}

const BlockDriverOps block_null_ops = {
    .io = null_io,
    .flush = null_wait,
    .write_zeroes = null_zero,
    .discard = null_discard,
    .resize = null_resize,
};
