/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How nodes are made, for -drive (block-backend.c) and -blockdev (blockdev.c). Main thread. */
#ifndef HW_BLOCK_BLOCK_OPEN_H
#define HW_BLOCK_BLOCK_OPEN_H

#include "hw/block/block-node.h"
#include "softmmu/machine.h"
#include "util/opts.h"

struct BlockBackends {
    Machine *machine;
    GPtrArray *nodes;       /* BlockNode* */
    unsigned auto_names;
    unsigned none_count, virtio_count;  /* -drive without an id: none0, virtio0 */
};

/** A set without nodes. */
BlockBackends *block_backends_alloc(Machine *machine);
/** One -drive. False with errp; what it made on the way stays. */
bool drive_add(BlockBackends *blocks, Opts *opts, GError **errp);

/** What every node takes. */
typedef struct NodeOptions {
    bool read_only, auto_read_only, direct, no_flush, writeback, discard;
    uint64_t offset, size;
    bool has_size;
    BlockOnError rerror, werror;
} NodeOptions;

/** Reads those that opts has into *o. */
bool node_options_parse(Opts *opts, NodeOptions *o, GError **errp);
/** False with errp if opts has what nobody has asked for. */
bool node_check_unused(const Opts *opts, const char *driver, GError **errp);

/* Each adds a node to the set; NULL with errp. name NULL: the node gets one. */

BlockNode *node_new_file(BlockBackends *blocks, const char *filename, const char *name,
                         const NodeOptions *o, GError **errp);
/** size=, latency-ns= and read-zeroes= are taken from opts. */
BlockNode *node_new_null(BlockBackends *blocks, Opts *opts, const char *name,
                         const NodeOptions *o, GError **errp);
/** Over child, which has no parent yet. */
BlockNode *node_new_raw(BlockBackends *blocks, BlockNode *child, const char *name,
                        const NodeOptions *o, GError **errp);

#endif
