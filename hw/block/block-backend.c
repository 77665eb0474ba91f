/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images (include/hw/block-backend.h): makes nodes, parses -drive,
 * keeps the chain. -blockdev is in blockdev.c, reading and writing in
 * block-io.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/fs.h>
#include "hw/block/block-open.h"
#include "monitor/monitor.h"
#include "softmmu/machine.h"
#include "util/error.h"

#define NULL_URL "null-co://"
#define NULL_BYTES (1ULL << 30)

/* ---- options ---- */

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

bool node_options_parse(Opts *opts, NodeOptions *o, GError **errp)
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

bool node_check_unused(const Opts *opts, const char *driver, GError **errp)
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

BlockNode *node_new_file(BlockBackends *blocks, const char *filename, const char *name,
                         const NodeOptions *o, GError **errp)
{
    BlockNode *node;

    if (!filename) {
        error_setg(errp, "Parameter 'filename' is missing");
        return NULL;
    }
    node = node_new(blocks, "file", name, o);
    node->ops = &block_file_ops;
    return node_open_file(blocks, node, filename, o, errp) ? node : NULL;
}

BlockNode *node_new_null(BlockBackends *blocks, Opts *opts, const char *name,
                         const NodeOptions *o, GError **errp)
{
    uint64_t size = NULL_BYTES, latency_ns = 0;
    bool read_zeroes = false;
    BlockNode *node;

    if (!opts_get_size(opts, "size", &size, errp) ||
        !opts_get_u64(opts, "latency-ns", &latency_ns, errp) ||
        !opts_get_bool(opts, "read-zeroes", &read_zeroes, errp)) {
        return NULL;
    }
    if (size > INT64_MAX || latency_ns > INT64_MAX) {
        error_setg(errp, "%s is invalid", size > INT64_MAX ? "size" : "latency-ns");
        return NULL;
    }
    node = node_new(blocks, "null-co", name, o);
    node->ops = &block_null_ops;
    node->filename = g_strdup(NULL_URL);
    node->size_bytes = size;
    node->latency_ns = latency_ns;
    node->read_zeroes = read_zeroes;
    return node;
}

BlockNode *node_new_raw(BlockBackends *blocks, BlockNode *child, const char *name,
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
    node->fixed_size = o->has_size;
    node->size_bytes = o->has_size ? o->size : child->size_bytes - o->offset;
    node->filename = g_strdup(child->filename);
    child->parent = node;
    return node;
}

/* ---- -drive ---- */

/* if=: true for virtio. Without it 7.2's board leaves the drive alone, 10.0's makes a disk of it. */
static bool parse_interface(BlockBackends *blocks, Opts *opts, bool *virtio, GError **errp)
{
    static const char *const others[] = { "ide", "scsi", "floppy", "pflash", "mtd", "sd", "xen" };
    const char *interface = opts_get(opts, "if");

    *virtio = interface ? strcmp(interface, "virtio") == 0
                        : vmstate_dialect(blocks->machine->vmstate) != DIALECT_QEMU_7_2;
    if (!interface || *virtio || strcmp(interface, "none") == 0) {
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (strcmp(interface, others[i]) == 0) {
            error_setg(errp, "machine type does not support if=%s,bus=0,unit=0", interface);
            return false;
        }
    }
    error_setg(errp, "unsupported bus type '%s'", interface);
    return false;
}

static bool parse_drive_options(Opts *opts, NodeOptions *o, GError **errp)
{
    const char *cache = opts_get(opts, "cache"), *media = opts_get(opts, "media");

    if (media && strcmp(media, "disk")) {
        error_setg(errp, "'%s' invalid media", media);
        return false;
    }
    return block_drive_on_error(opts_get(opts, "rerror"), false, &o->rerror, errp) &&
           block_drive_on_error(opts_get(opts, "werror"), true, &o->werror, errp) &&
           (!cache || parse_cache_mode(cache, o, errp)) &&
           opts_get_bool(opts, "readonly", &o->read_only, errp) &&
           opts_get_bool(opts, "cache.writeback", &o->writeback, errp) &&
           node_options_parse(opts, o, errp);
}

/* The node at the top: format=raw over a file or nothing, or null-co alone. */
static BlockNode *drive_nodes(BlockBackends *blocks, Opts *opts, const NodeOptions *o, GError **errp)
{
    const char *format = opts_get(opts, "format"), *driver = opts_get(opts, "driver");
    const char *file = opts_get(opts, "file"), *file_driver = opts_get(opts, "file.driver");
    const char *filename = opts_get(opts, "file.filename"), *name = opts_get(opts, "node-name");
    bool null = file ? g_str_has_prefix(file, NULL_URL)
                     : file_driver && strcmp(file_driver, "null-co") == 0;
    BlockNode *bottom;

    format = driver ? driver : format;
    if (format && strcmp(format, "null-co") == 0 && !file) {
        BlockNode *node = node_new_null(blocks, opts, name, o, errp);

        return node && node_check_unused(opts, format, errp) ? node : NULL;
    }
    if (format && strcmp(format, "raw")) {
        error_setg(errp, "'%s' invalid format", format);
        return NULL;
    }
    if (file_driver && strcmp(file_driver, "file") && !null) {
        error_setg(errp, "Unknown driver '%s'", file_driver);
        return NULL;
    }
    file = file ? file : filename;
    if (!file && !null) {
        error_setg(errp, "Device needs media, but drive is empty");
        return NULL;
    }
    if (null) {
        bottom = node_new_null(blocks, opts, NULL, o, errp);
    }
    if (!node_check_unused(opts, "raw", errp)) {
        return NULL;
    }
    if (!null) {
        bottom = node_new_file(blocks, file, NULL, o, errp);
    }
    return bottom ? node_new_raw(blocks, bottom, name, o, errp) : NULL;
}

bool drive_add(BlockBackends *blocks, Opts *opts, GError **errp)
{
    NodeOptions o = { .writeback = true, .auto_read_only = true };
    const char *id = opts_get(opts, "id");
    uint64_t index;
    bool virtio;
    BlockNode *top;

    if (!parse_interface(blocks, opts, &virtio, errp)) {
        return false;
    }
    index = virtio ? blocks->virtio_count : blocks->none_count;
    if (!opts_get_u64(opts, "index", &index, errp) || !parse_drive_options(opts, &o, errp)) {
        return false;
    }
    if (id && block_backends_find(blocks, id)) {
        error_setg(errp, "Duplicate ID '%s' for drive", id);
        return false;
    }
    top = drive_nodes(blocks, opts, &o, errp);
    if (!top) {
        return false;
    }
    g_free(top->drive_id);
    top->drive_id = id ? g_strdup(id)
                       : g_strdup_printf("%s%" PRIu64, virtio ? "virtio" : "none", index);
    top->wants_device = virtio;
    *(virtio ? &blocks->virtio_count : &blocks->none_count) = index + 1;
    return true;
}

/* ---- the set ---- */

BlockBackends *block_backends_alloc(Machine *machine)
{
    BlockBackends *blocks = g_new0(BlockBackends, 1);

    blocks->machine = machine;
    blocks->nodes = g_ptr_array_new_with_free_func(block_node_free);
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
        .drive_id = node->drive_id, .device_driver = node->device_driver,
        .device_path = node->device_ops ? node->device_ops->path(node->device) : NULL,
        .child = node->child, .ro = node->ro,
        .wants_device = node->wants_device,
        .direct = node->direct, .no_flush = node->no_flush, .writeback = node->writeback,
        .size_bytes = node->size_bytes, .stats = &node->stats,
        .rerror = node->rerror, .werror = node->werror, .io_status = node->io_status,
    };
}

bool block_node_attach(BlockNode *node, const char *device_driver, const BlockDeviceOps *ops,
                       void *opaque, GError **errp)
{
    if (node->device_driver) {
        error_setg(errp, "Drive '%s' is already in use by another device",
                   *node->drive_id ? node->drive_id : node->node_name);
        return false;
    }
    node->device_driver = g_strdup(device_driver);
    node->device_ops = ops;
    node->device = opaque;
    return true;
}

/* The node of the chain that a device has. */
static BlockNode *node_with_device(BlockNode *node)
{
    while (node && !node->device_ops) {
        node = node->parent;
    }
    return node;
}

bool block_node_resize(BlockNode *node, uint64_t bytes, GError **errp)
{
    BlockNode *user = node_with_device(node), *bottom = node;
    uint64_t offset = 0;
    int ret;

    for (; bottom->child; bottom = bottom->child) {
        offset += bottom->offset;
    }
    if (node->ro) {
        error_setg(errp, "Cannot resize '%s': it is read-only",
                        node->node_name);
        return false;
    }
    if (node->fixed_size || bytes > INT64_MAX - offset) {
        error_setg(errp, "Cannot resize '%s' to %" PRIu64 " bytes: %s", node->node_name, bytes,
                   node->fixed_size ? "its size= was given" : "too large");
        return false;
    }
    if (user) {
        user->device_ops->drain(user->device);
    }
    ret = bottom->ops->resize(bottom, bytes + offset);
    if (ret) {
        error_setg_errno(errp, -ret, "Cannot resize '%s' to %" PRIu64 " bytes", node->node_name,
                         bytes);
        return false;
    }
    bytes += offset;
    for (BlockNode *n = bottom; n; n = n->parent) { /* the file, then what lies over it */
        bytes -= n->offset;
        n->size_bytes = n->fixed_size ? n->size_bytes : bytes;
    }
    if (user) {
        user->device_ops->resized(user->device);
    }
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
