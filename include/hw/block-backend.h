/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: -drive and -blockdev chains (file, null-co, raw), raw content
 * only. virtio-blk reads and writes them; the monitors list them
 * (query-block, query-named-block-nodes, query-blockstats).
 */
#ifndef HW_BLOCK_BACKEND_H
#define HW_BLOCK_BACKEND_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "qapi/qapi-types.h"
#include "util/opts.h"

struct Machine;
struct Board;
typedef struct BlockBackends BlockBackends;
typedef struct BlockNode BlockNode;

/** Updated under the BQL when a request completes; times in ns. */
typedef struct BlockStats {
    uint64_t rd_bytes, wr_bytes, rd_operations, wr_operations, flush_operations;
    uint64_t rd_total_time_ns, wr_total_time_ns, flush_total_time_ns;
    uint64_t unmap_bytes, unmap_operations, unmap_total_time_ns;
    uint64_t failed_rd_operations, failed_wr_operations, failed_flush_operations;
    uint64_t invalid_rd_operations, invalid_wr_operations;
    uint64_t wr_highest_offset;
} BlockStats;

/** What to do when a request fails: werror= and rerror=. */
typedef enum BlockOnError {
    BLOCK_ON_ERROR_AUTO,        /* whatever the drive says; a drive never says it */
    BLOCK_ON_ERROR_REPORT, BLOCK_ON_ERROR_IGNORE, BLOCK_ON_ERROR_ENOSPC, BLOCK_ON_ERROR_STOP,
} BlockOnError;

/** How the last request that stopped the VM ended, until it runs again. */
typedef enum BlockIoStatus {
    BLOCK_IO_STATUS_NONE,       /* errors never stop this VM: not shown */
    BLOCK_IO_STATUS_OK, BLOCK_IO_STATUS_NOSPACE, BLOCK_IO_STATUS_FAILED,
} BlockIoStatus;

/** What the monitors show of a node; pointers live as long as the node. */
typedef struct BlockNodeInfo {
    const char *node_name;      /* given, or "#blockNNN" */
    const char *driver;         /* "file", "null-co" or "raw" */
    const char *filename;       /* of the file at the bottom of the chain */
    const char *drive_id;       /* -drive id=, "" for -blockdev nodes */
    const char *device_path;    /* of the device that uses it in the object tree, NULL if none */
    const char *device_driver;  /* "virtio-blk-device", NULL if none */
    const BlockNode *child;     /* raw: the node below; else NULL */
    bool wants_device;          /* -drive if=virtio: the board makes a disk of it */
    bool ro, direct, no_flush, writeback;
    uint64_t size_bytes;
    BlockOnError rerror, werror;    /* of -drive, or the defaults report and enospc */
    BlockIoStatus io_status;
    const BlockStats *stats;
} BlockNodeInfo;

/** Opens all -drive and -blockdev of the command line. NULL with errp. */
BlockBackends *block_backends_new(struct Machine *machine, GError **errp);
void block_backends_free(BlockBackends *blocks);

/** Of the board, never NULL. */
BlockBackends *board_blocks(const struct Board *board);
/** Node i in creation order (a -drive makes two: raw, then its file), NULL past the end. */
const BlockNode *block_backends_node(const BlockBackends *blocks, size_t i);
/** True for the node a device attaches to: -drive's raw node, or any node of -blockdev. */
void block_node_info(const BlockNode *node, BlockNodeInfo *info);

/**
 * A node of options as of -blockdev, with the one below it if they describe that, too. False with errp,
 * and nothing has changed. Main thread, BQL.
 */
bool blockdev_add(BlockBackends *blocks, Opts *opts, GError **errp);
/** Takes a node away that was added by itself and that nothing uses. False with errp. As above. */
bool blockdev_del(BlockBackends *blocks, const char *name, GError **errp);

/** Node by drive id or node-name, NULL if none. */
BlockNode *block_backends_find(BlockBackends *blocks, const char *name);
/** What a node asks of its device; BQL. */
typedef struct BlockDeviceOps {
    /** Waits until nothing is in flight; nothing new may start before the call that follows. */
    void (*drain)(void *opaque);
    /** The size has changed. */
    void (*resized)(void *opaque);
    /** Where the device is in the object tree; NULL: nowhere yet. */
    const char *(*path)(void *opaque);
} BlockDeviceOps;

/**
 * Gives the node to a device (driver copied). Error "Drive 'x' is already
 * in use by another device" if it has one.
 */
bool block_node_attach(BlockNode *node, const char *device_driver, const BlockDeviceOps *ops,
                       void *opaque, GError **errp);
/** The node and all below get this size; its device hears of it. BQL, main thread. */
bool block_node_resize(BlockNode *node, uint64_t bytes, GError **errp);
BlockStats *block_node_stats(BlockNode *node);
/** Of a node whose errors can stop the VM. */
void block_node_set_io_status(BlockNode *node, BlockIoStatus status);

/* ---- errors (block-error.c) ---- */

/** "report", "ignore", "enospc", "stop", "auto". */
bool block_on_error_parse(const char *text, BlockOnError *value);
/** werror= (write) or rerror= of a -drive; text NULL: the default. Error names a bad value. */
bool block_drive_on_error(const char *text, bool write, BlockOnError *value, GError **errp);
/** What the policy says about this errno value. */
BlockErrorAction block_error_action(BlockOnError policy, int err);
/** True if some error stops the VM. */
bool block_errors_can_stop(BlockOnError rerror, BlockOnError werror);

/* ---- I/O, from one worker thread at a time; 0 or -errno. Short transfers are errors. ---- */
int block_node_preadv(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset);
int block_node_pwritev(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset);
/** Makes completed writes durable. */
int block_node_flush(BlockNode *node);
/** Range reads as zeros afterwards; unmap: the space may be given back. */
int block_node_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, bool unmap);
int block_node_discard(BlockNode *node, uint64_t offset, uint64_t bytes);
/**
 * Waits until a slow disk (null-co with latency-ns) would have done `times` of the above since
 * since_us (g_get_monotonic_time). Who counts from when a request was handed over has many that
 * wait at the same time, not one after the other.
 */
void block_node_wait(BlockNode *node, int64_t since_us, unsigned times);

#endif
