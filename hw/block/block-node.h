/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a BlockNode, shared by block-backend.c and block-io.c. */
#ifndef HW_BLOCK_BLOCK_NODE_H
#define HW_BLOCK_BLOCK_NODE_H

#include "hw/block-backend.h"

struct BlockNode {
    /* set once */
    const char *driver;
    char *node_name, *drive_id, *filename;
    BlockNode *child, *parent;
    int fd;                     /* file only */
    bool ro, direct, no_flush, writeback, discard;
    uint64_t offset;            /* raw: where it starts in the child */
    uint64_t size_bytes;
    /* BQL */
    char *device_driver, *device_id;
    BlockOnError rerror, werror;
    BlockIoStatus io_status;
    BlockStats stats;
};

#endif
