/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images (include/hw/block-backend.h): parses -drive and -blockdev,
 * opens files, keeps the chain. Reading and writing is in block-io.c.
 */
#include <errno.h>
#include <fcntl.h>

#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>
#include "hw/block/block-node.h"
#include "monitor/monitor.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"

struct BlockBackends {
    Machine *machine;
    GPtrArray *nodes;       /* BlockNode* */
    unsigned auto_names;
};

/* ---- options ---- */

typedef struct NodeOptions {
    bool read_only, auto_read_only, direct, no_flush, writeback, discard;
    uint64_t offset, size;
    bool has_size;
    BlockOnError rerror, werror;
} NodeOptions;

static bool parse_cache_mode(const char *mode, NodeOptions *o, GError **errp)
{
    static const struct { const char *name; bool direct, no_flush, writeback; } modes[] = {
        { "none", true, false, true }, { "off", true, false, true },
        { "writeback", false, false, true }, { "writethrough", false, false, false },
        { "directsync", true, false, false }, { "unsafe", false, true, true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (strcmp(modes[i].name, mode) == 0) {
            o->direct = modes[i].direct;
            o->no_flush = modes[i].no_flush;
            o->writeback = modes[i].writeback;
            return true;
        }
    }
    error_setg(errp, "invalid cache option");
    return false;
}

static bool parse_discard(const char *text, NodeOptions *o, GError **errp)
{
    if (strcmp(text, "unmap") == 0 || strcmp(text, "on") == 0) {
        o->discard = true;
    } else if (strcmp(text, "ignore") && strcmp(text, "off")) {
        error_setg(errp, "Invalid discard option");
        return false;
    }
    return true;
}

/* The options every node takes; unset ones keep what *o has. */
static bool parse_node_options(Opts *opts, NodeOptions *o, GError **errp)
{
    const char *discard = opts_get(opts, "discard"), *aio = opts_get(opts, "aio");
    const char *detect = opts_get(opts, "detect-zeroes");
    bool ignored = false;

    if (aio && strcmp(aio, "threads") && strcmp(aio, "native") && strcmp(aio, "io_uring")) {
        error_setg(errp, "Parameter 'aio' does not accept value '%s'", aio);
        return false;
    }
    if (detect && strcmp(detect, "off")) {
        error_setg(errp, "Parameter 'detect-zeroes' does not accept value '%s'", detect);
        return false;
    }
    opts_get(opts, "locking");
    opts_get(opts, "file.locking");
    return opts_get_bool(opts, "read-only", &o->read_only, errp) &&
           opts_get_bool(opts, "auto-read-only", &o->auto_read_only, errp) &&
           opts_get_bool(opts, "cache.direct", &o->direct, errp) &&
           opts_get_bool(opts, "cache.no-flush", &o->no_flush, errp) &&
           opts_get_bool(opts, "force-share", &ignored, errp) &&
           (!discard || parse_discard(discard, o, errp));
}

static bool check_unused(const Opts *opts, const char *driver, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (!opts_check_used(opts, driver, &err)) {
        /* "Invalid parameter 'x'": the name is between the quotes */
        g_auto(GStrv) parts = g_strsplit(err->message, "'", 3);

        error_setg(errp, "Block format '%s' does not support the option '%s'", driver,
                   parts[0] && parts[1] ? parts[1] : "?");
        return false;
    }
    return true;
}

/* ---- nodes ---- */

static bool node_size(int fd, uint64_t *size)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    if (S_ISBLK(st.st_mode)) {
        return ioctl(fd, BLKGETSIZE64, size) == 0;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return false;
    }
    *size = st.st_size;
    return true;
}

static int open_image(Machine *machine, const char *path, int flags)
{
    g_autoptr(GError) ignored = NULL;

    if (g_str_has_prefix(path, "/dev/fdset/")) {
        return fdset_open(machine->fds, path, flags, 0, &ignored);
    }
    return open(path, flags | O_CLOEXEC);
}

static bool node_open_file(BlockBackends *blocks, BlockNode *node, const char *filename,
                           const NodeOptions *o, GError **errp)
{
    const char *path = g_str_has_prefix(filename, "file:") ? filename + 5 : filename;
    int flags = o->direct ? O_DIRECT : 0;

    node->filename = g_strdup(filename);
    node->fd = open_image(blocks->machine, path, flags | (o->read_only ? O_RDONLY : O_RDWR));
    if (node->fd < 0 && o->auto_read_only && !o->read_only &&
        (errno == EACCES || errno == EROFS || errno == EPERM)) {
        node->fd = open_image(blocks->machine, path, flags | O_RDONLY);
        node->ro = true;
    }
    if (node->fd < 0) {
        error_setg_errno(errp, errno, "Could not open '%s'", filename);
        return false;
    }
    if (!node_size(node->fd, &node->size_bytes)) {
        error_setg_errno(errp, errno, "Could not get size of '%s'", filename);
        return false;
    }
    return true;
}

static void block_node_free(void *opaque)
{
    BlockNode *node = opaque;

    if (node->fd >= 0) {
        close(node->fd);
    }
    g_free(node->node_name);
    g_free(node->drive_id);
    g_free(node->filename);
    g_free(node->device_driver);
    g_free(node->device_id);
    g_free(node);
}

static BlockNode *node_new(BlockBackends *blocks, const char *driver, const char *name,
                           const NodeOptions *o)
{
    BlockNode *node = g_new0(BlockNode, 1);

    node->driver = driver;
    node->node_name = name ? g_strdup(name) : g_strdup_printf("#block%03u", blocks->auto_names++);
    node->drive_id = g_strdup("");
    node->fd = -1;
    node->ro = o->read_only;
    node->direct = o->direct;
    node->no_flush = o->no_flush;
    node->writeback = o->writeback;
    node->discard = o->discard;
    node->rerror = o->rerror ? o->rerror : BLOCK_ON_ERROR_REPORT;
    node->werror = o->werror ? o->werror : BLOCK_ON_ERROR_ENOSPC;
    g_ptr_array_add(blocks->nodes, node);
    return node;
}

static BlockNode *node_new_file(BlockBackends *blocks, const char *filename, const char *name,
                                const NodeOptions *o, GError **errp)
{
    BlockNode *node;

    if (!filename) {
        error_setg(errp, "Parameter 'filename' is missing");
        return NULL;
    }
    node = node_new(blocks, "file", name, o);
    return node_open_file(blocks, node, filename, o, errp) ? node : NULL;
}

static BlockNode *node_new_raw(BlockBackends *blocks, BlockNode *child, const char *name,
                               const NodeOptions *o, GError **errp)
{
    BlockNode *node;

    if (!o->read_only && child->ro && !o->auto_read_only) {
        error_setg(errp, "Block node is read-only");
        return NULL;
    }
    if (o->offset > child->size_bytes ||
        (o->has_size && o->size > child->size_bytes - o->offset)) {
        error_setg(errp, "The sum of offset (%" G_GUINT64_FORMAT ") and size (%" G_GUINT64_FORMAT
                   ") has to be smaller or equal to the  actual size of the containing file (%"
                   G_GUINT64_FORMAT ")", o->offset, o->size, child->size_bytes);
        return NULL;
    }
    node = node_new(blocks, "raw", name, o);
    node->child = child;
    node->ro = o->read_only || child->ro;
    node->offset = o->offset;
    node->size_bytes = o->has_size ? o->size : child->size_bytes - o->offset;
    node->filename = g_strdup(child->filename);
    child->parent = node;
    return node;
}

/* ---- -drive ---- */

static bool parse_drive_options(Opts *opts, NodeOptions *o, GError **errp)
{
    const char *cache = opts_get(opts, "cache"), *format = opts_get(opts, "format");
    const char *interface = opts_get(opts, "if"), *media = opts_get(opts, "media");

    if (!interface || strcmp(interface, "none")) {
        error_setg(errp, "machine type does not support if=%s,bus=0,unit=0",
                   interface ? interface : "virtio");
        return false;
    }
    if (format && strcmp(format, "raw")) {
        error_setg(errp, "'%s' invalid format", format);
        return false;
    }
    if (media && strcmp(media, "disk")) {
        error_setg(errp, "'%s' invalid media", media);
        return false;
    }
    if (!block_drive_on_error(opts_get(opts, "rerror"), false, &o->rerror, errp) ||
        !block_drive_on_error(opts_get(opts, "werror"), true, &o->werror, errp)) {
        return false;
    }
    return (!cache || parse_cache_mode(cache, o, errp)) &&
           opts_get_bool(opts, "readonly", &o->read_only, errp) &&
           opts_get_bool(opts, "cache.writeback", &o->writeback, errp) &&
           parse_node_options(opts, o, errp);
}

static bool drive_add(BlockBackends *blocks, Opts *opts, GError **errp)
{
    NodeOptions o = { .writeback = true, .auto_read_only = true };
    const char *id = opts_get(opts, "id"), *file = opts_get(opts, "file");
    const char *file_driver = opts_get(opts, "file.driver");
    const char *filename = opts_get(opts, "file.filename"), *name = opts_get(opts, "node-name");
    BlockNode *bottom, *raw;

    if (!parse_drive_options(opts, &o, errp)) {
        return false;
    }
    if (file_driver && strcmp(file_driver, "file")) {
        error_setg(errp, "Unknown driver '%s'", file_driver);
        return false;
    }
    file = file ? file : filename;
    if (!file) {
        error_setg(errp, "Device needs media, but drive is empty");
        return false;
    }
    if (!check_unused(opts, "raw", errp)) {
        return false;
    }
    if (id && block_backends_find(blocks, id)) {
        error_setg(errp, "Duplicate ID '%s' for drive", id);
        return false;
    }
    bottom = node_new_file(blocks, file, NULL, &o, errp);
    raw = bottom ? node_new_raw(blocks, bottom, name, &o, errp) : NULL;
    if (!raw) {
        return false;
    }
    g_free(raw->drive_id);
    raw->drive_id = id ? g_strdup(id) : g_strdup_printf("none%u", blocks->nodes->len / 2 - 1);
    return true;
}

/* ---- -blockdev ---- */

static bool blockdev_add_raw(BlockBackends *blocks, Opts *opts, const char *name, NodeOptions *o,
                             GError **errp)
{
    const char *ref = opts_get(opts, "file"), *driver = opts_get(opts, "file.driver");
    const char *filename = opts_get(opts, "file.filename"), *child_name;
    BlockNode *child;

    o->has_size = opts_get(opts, "size") != NULL;
    child_name = opts_get(opts, "file.node-name");
    if (!opts_get_size(opts, "offset", &o->offset, errp) ||
        !opts_get_size(opts, "size", &o->size, errp) || !check_unused(opts, "raw", errp)) {
        return false;
    }
    if (ref) {
        child = block_backends_find(blocks, ref);
        if (!child) {
            error_setg(errp, "Cannot find device='%s' nor node-name='%s'", ref, ref);
            return false;
        }
        if (child->parent) {
            error_setg(errp, "Node '%s' is already in use", ref);
            return false;
        }
    } else if (driver && strcmp(driver, "file") == 0) {
        child = node_new_file(blocks, filename, child_name, o, errp);
    } else {
        error_setg(errp, "A block device must be specified for \"file\"");
        return false;
    }
    return child && node_new_raw(blocks, child, name, o, errp);
}

static bool blockdev_add(BlockBackends *blocks, Opts *opts, GError **errp)
{
    NodeOptions o = { .writeback = true };
    const char *driver = opts_get(opts, "driver"), *name = opts_get(opts, "node-name");

    if (!driver) {
        error_setg(errp, "Parameter 'driver' is missing");
        return false;
    }
    if (strcmp(driver, "file") && strcmp(driver, "raw") && strcmp(driver, "host_device")) {
        error_setg(errp, "Parameter 'driver' does not accept value '%s'", driver);
        return false;
    }
    if (strcmp(driver, "raw") && !opts_get(opts, "filename")) {
        error_setg(errp, "Parameter 'filename' is missing");
        return false;
    }
    if (!name) {
        error_setg(errp, "'node-name' must be specified for the root node");
        return false;
    }
    if (block_backends_find(blocks, name)) {
        error_setg(errp, "Duplicate nodes with node-name='%s'", name);
        return false;
    }
    if (!parse_node_options(opts, &o, errp)) {
        return false;
    }
    if (strcmp(driver, "raw") == 0) {
        return blockdev_add_raw(blocks, opts, name, &o, errp);
    }
    return check_unused(opts, "file", errp) &&
           node_new_file(blocks, opts_get(opts, "filename"), name, &o, errp);
}

/* ---- the set ---- */

static void prefix_option(const char *option, const Opts *opts, GError **errp)
{
    GString *text = g_string_new(option);
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        g_string_append_printf(text, "%s%s=%s", i ? "," : " ", key, value);
    }
    error_prepend(errp, "%s: ", text->str);
    g_string_free(text, TRUE);
}

static bool add_all(BlockBackends *blocks, GPtrArray *list, const char *option,
                    bool (*add)(BlockBackends *blocks, Opts *opts, GError **errp), GError **errp)
{
    for (guint i = 0; list && i < list->len; i++) {
        Opts *opts = g_ptr_array_index(list, i);

        if (!add(blocks, opts, errp)) {
            prefix_option(option, opts, errp);
            return false;
        }
    }
    return true;
}

BlockBackends *block_backends_new(Machine *machine, GError **errp)
{
    BlockBackends *blocks = g_new0(BlockBackends, 1);

    blocks->machine = machine;
    blocks->nodes = g_ptr_array_new_with_free_func(block_node_free);
    if (!add_all(blocks, machine->config->blockdevs, "-blockdev", blockdev_add, errp) ||
        !add_all(blocks, machine->config->drives, "-drive", drive_add, errp)) {
        block_backends_free(blocks);
        return NULL;
    }
    return blocks;
}

void block_backends_free(BlockBackends *blocks)
{
    if (blocks) {
        g_ptr_array_unref(blocks->nodes);
        g_free(blocks);
    }
}

const BlockNode *block_backends_node(const BlockBackends *blocks, size_t i)
{
    return i < blocks->nodes->len ? g_ptr_array_index(blocks->nodes, i) : NULL;
}

BlockNode *block_backends_find(BlockBackends *blocks, const char *name)
{
    for (guint i = 0; i < blocks->nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(blocks->nodes, i);

        if ((*node->drive_id && strcmp(node->drive_id, name) == 0) ||
            strcmp(node->node_name, name) == 0) {
            return node;
        }
    }
    return NULL;
}

void block_node_info(const BlockNode *node, BlockNodeInfo *info)
{
    *info = (BlockNodeInfo){
        .node_name = node->node_name, .driver = node->driver, .filename = node->filename,
        .drive_id = node->drive_id, .device_id = node->device_id,
        .device_driver = node->device_driver, .child = node->child, .ro = node->ro,
        .direct = node->direct, .no_flush = node->no_flush, .writeback = node->writeback,
        .size_bytes = node->size_bytes, .stats = &node->stats,
        .rerror = node->rerror, .werror = node->werror, .io_status = node->io_status,
    };
}

bool block_node_attach(BlockNode *node, const char *device_driver, const char *device_id,
                       GError **errp)
{
    if (node->device_driver) {
        error_setg(errp, "Drive '%s' is already in use by another device",
                   *node->drive_id ? node->drive_id : node->node_name);
        return false;
    }
    node->device_driver = g_strdup(device_driver);
    node->device_id = g_strdup(device_id);
    return true;
}

void block_node_set_io_status(BlockNode *node, BlockIoStatus status)
{
    node->io_status = status;
}

BlockStats *block_node_stats(BlockNode *node)
{
    return &node->stats;
}
