/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a BlockNode, shared by block-backend.c and block-io.c. */
#ifndef HW_BLOCK_BLOCK_NODE_H
#define HW_BLOCK_BLOCK_NODE_H

#include "hw/block-backend.h"

/** What a driver at the bottom of a chain does; offsets are in range. 0 or -errno, worker thread. */
typedef struct BlockDriverOps {
    int (*io)(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset, bool write);
    int (*flush)(BlockNode *node);
    /** -EOPNOTSUPP: the caller writes zeros. */
    int (*write_zeroes)(BlockNode *node, uint64_t offset, uint64_t bytes, bool unmap);
    int (*discard)(BlockNode *node, uint64_t offset, uint64_t bytes);
    /** BQL, nothing in flight. */
    int (*resize)(BlockNode *node, uint64_t bytes);
} BlockDriverOps;

extern const BlockDriverOps block_file_ops;     /* block-io.c */
extern const BlockDriverOps block_null_ops;     /* block-null.c */

struct BlockNode {
    /* set once */
    const BlockDriverOps *ops;  /* NULL: the child's */
    const char *driver;
    char *node_name, *drive_id, *filename;
    BlockNode *child, *parent;
    int fd;                     /* file only */
    bool ro, direct, no_flush, writeback, discard;
    bool fixed_size;            /* raw with size= */
    bool wants_device;
    bool named_alone;           /* made by itself, with -blockdev or blockdev-add: it can be deleted */
    uint64_t offset;            /* raw: where it starts in the child */
    bool read_zeroes;           /* null-co */
    uint64_t latency_ns;        /* null-co */
    /* BQL, and changed only while the device has nothing in flight */
    uint64_t size_bytes;
    /* BQL */
    const BlockDeviceOps *device_ops;
    void *device;
    char *device_driver;
    BlockOnError rerror, werror;
    BlockIoStatus io_status;
    BlockStats stats;
};

#endif
