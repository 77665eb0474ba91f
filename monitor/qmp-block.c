/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about disks: views of hw/block-backend.h. */
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>

#include "hw/block-backend.h"
#include "hw/boards.h"
#include "migration/migration.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "softmmu/machine.h"
#include "util/error.h"

#define PERIPHERAL "/machine/peripheral/"

/* Node i of the machine, NULL past the end or without a board. */
static const BlockNode *node_at(struct Machine *machine, size_t i)
{
    return machine->board ? block_backends_node(board_blocks(machine->board), i) : NULL;
}

/* With an id: the path under which libvirt looks for a virtio disk's back end. */
static char *qdev_path(const BlockNodeInfo *n)
{
    const char *path = n->device_path ? n->device_path : "";

    return g_strconcat(path, g_str_has_prefix(path, PERIPHERAL) ? "/virtio-backend" : "", NULL);
}

static BlockDeviceIoStatus io_status(BlockIoStatus status)
{
    return status == BLOCK_IO_STATUS_NOSPACE ? BLOCK_DEVICE_IO_STATUS_NOSPACE
           : status == BLOCK_IO_STATUS_FAILED ? BLOCK_DEVICE_IO_STATUS_FAILED
                                              : BLOCK_DEVICE_IO_STATUS_OK;
}

static ImageInfo *image_info(const BlockNodeInfo *n)
{
    struct stat st;
    ImageInfo *image = g_new0(ImageInfo, 1);
    image->filename = g_strdup(n->filename);
    image->format = g_strdup(n->driver);
    image->virtual_size = (int64_t)n->size_bytes;
    image->has_dirty_flag = true;
    if (stat(n->filename, &st) == 0) {
        image->has_actual_size = true;
        image->actual_size = (int64_t)st.st_blocks * 512;
    }
    return image;
}

static BlockDeviceInfo *device_info(const BlockNodeInfo *n)
{
    BlockDeviceInfo *info = g_new0(BlockDeviceInfo, 1);
    info->file = g_strdup(n->filename);
    info->node_name = g_strdup(n->node_name);
    info->ro = n->ro;
    info->drv = g_strdup(n->driver);
    info->detect_zeroes = g_strdup("off");
    info->image = image_info(n);
    info->cache = g_new0(BlockdevCacheInfo, 1);
    info->cache->writeback = n->writeback;
    info->cache->direct = n->direct;
    info->cache->no_flush = n->no_flush;
    return info;
}

BlockInfoList *qmp_query_block(struct Machine *machine, GError **errp)
{
    BlockInfoList *list = NULL, **tail = &list;
    const BlockNode *node;
    BlockNodeInfo n;
    (void)errp;
    for (size_t i = 0; (node = node_at(machine, i)); i++) {
        block_node_info(node, &n);
        if (!n.device_driver) {
            continue;
        }
        BlockInfo *info = g_new0(BlockInfo, 1);
        info->device = g_strdup(n.drive_id);
        info->qdev = qdev_path(&n);
        info->type = g_strdup("unknown");
        info->has_io_status = n.io_status != BLOCK_IO_STATUS_NONE;
        info->io_status = io_status(n.io_status);
        info->inserted = device_info(&n);
        *tail = g_new0(BlockInfoList, 1);
        (*tail)->value = info;
        tail = &(*tail)->next;
    }
    return list;
}

BlockDeviceInfoList *qmp_query_named_block_nodes(struct Machine *machine, bool has_flat, bool flat,
                                                 GError **errp)
{
    BlockDeviceInfoList *list = NULL, **tail = &list;
    const BlockNode *node;
    BlockNodeInfo n;
    (void)has_flat;
    (void)flat;
    (void)errp;
    for (size_t i = 0; (node = node_at(machine, i)); i++) {
        block_node_info(node, &n);
        *tail = g_new0(BlockDeviceInfoList, 1);
        (*tail)->value = device_info(&n);
        tail = &(*tail)->next;
    }
    return list;
}

static BlockDeviceStats *device_stats(const BlockStats *s)
{
    BlockDeviceStats *out = g_new0(BlockDeviceStats, 1);
    out->rd_bytes = s->rd_bytes;
    out->wr_bytes = s->wr_bytes;
    out->unmap_bytes = s->unmap_bytes;
    out->rd_operations = s->rd_operations;
    out->wr_operations = s->wr_operations;
    out->flush_operations = s->flush_operations;
    out->unmap_operations = s->unmap_operations;
    out->rd_total_time_ns = s->rd_total_time_ns;
    out->wr_total_time_ns = s->wr_total_time_ns;
    out->flush_total_time_ns = s->flush_total_time_ns;
    out->unmap_total_time_ns = s->unmap_total_time_ns;
    out->wr_highest_offset = s->wr_highest_offset;
    out->failed_rd_operations = s->failed_rd_operations;
    out->failed_wr_operations = s->failed_wr_operations;
    out->failed_flush_operations = s->failed_flush_operations;
    out->invalid_rd_operations = s->invalid_rd_operations;
    out->invalid_wr_operations = s->invalid_wr_operations;
    out->account_invalid = out->account_failed = true;
    return out;
}

static BlockStatsInfo *stats_info(const BlockNode *node, bool with_parent)
{
    BlockNodeInfo n;
    block_node_info(node, &n);
    BlockStatsInfo *info = g_new0(BlockStatsInfo, 1);
    if (with_parent) {
        info->device = g_strdup(n.drive_id);
        info->qdev = n.device_driver ? qdev_path(&n) : NULL;
        info->parent = n.child ? stats_info(n.child, false) : NULL;
    }
    info->node_name = g_strdup(n.node_name);
    info->stats = device_stats(n.stats);
    return info;
}

BlockStatsInfoList *qmp_query_blockstats(struct Machine *machine, bool has_query_nodes,
                                         bool query_nodes, GError **errp)
{
    BlockStatsInfoList *list = NULL, **tail = &list;
    bool all = has_query_nodes && query_nodes;
    const BlockNode *node;
    BlockNodeInfo n;
    (void)errp;
    for (size_t i = 0; (node = node_at(machine, i)); i++) {
        block_node_info(node, &n);
        if (all || n.device_driver) {
            *tail = g_new0(BlockStatsInfoList, 1);
            (*tail)->value = stats_info(node, !all);
            tail = &(*tail)->next;
        }
    }
    return list;
}

bool qmp_block_resize(struct Machine *machine, const char *device, const char *node_name,
                      int64_t size, GError **errp)
{
    const char *name = device ? device : node_name ? node_name : "";
    BlockNode *node = machine->board && *name
                          ? block_backends_find(board_blocks(machine->board), name) : NULL;

    if (!node) {
        error_setg(errp, "Cannot find device='%s' nor node-name='%s'", device ? device : "",
                   node_name ? node_name : "");
        return false;
    }
    if (size < 0) {
        error_setg(errp, "Parameter 'size' expects a >0 size");
        return false;
    }
    return migration_guest_is_here(machine->migration, errp) && block_node_resize(node, size, errp);
}

bool qmp_blockdev_add(struct Machine *machine, BlockdevOptions *arg, GError **errp)
{
    struct json_object *json = qapi_output(&qapi_type_BlockdevOptions, arg);
    Opts *opts = opts_parse(json_object_to_json_string(json), NULL, errp);
    bool ok = opts && blockdev_add(board_blocks(machine->board), opts, errp);

    opts_free(opts);
    json_object_put(json);
    return ok;
}

bool qmp_blockdev_del(struct Machine *machine, const char *node_name, GError **errp)
{
    return blockdev_del(board_blocks(machine->board), node_name, errp);
}

JobInfoList *qmp_query_jobs(struct Machine *machine, GError **errp)
{
    (void)machine;
    (void)errp;
    return NULL;
}
