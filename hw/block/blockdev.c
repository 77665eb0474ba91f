/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -blockdev (include/hw/block-backend.h): the nodes of a chain one by one; and
 * all that the command line asks for. Called by the board and the monitors.
 */
#include <string.h>
#include "hw/block/block-open.h"
#include "softmmu/config.h"
#include "util/error.h"

#define NODE_NAME_MAX 31

static const char *const drivers[] = { "file", "raw", "host_device", "null-co", NULL };

static bool check_driver(const char *driver, GError **errp)
{
    if (!driver || !g_strv_contains(drivers, driver)) {
        error_setg(errp, driver ? "Parameter 'driver' does not accept value '%s'"
                                : "Parameter 'driver' is missing", driver);
        return false;
    }
    return true;
}

static bool check_name(BlockBackends *blocks, const char *name, GError **errp)
{
    const BlockNode *taken = block_backends_find(blocks, name);

    if (!id_wellformed(name)) {
        error_setg(errp, "Invalid node-name: '%s'", name);
    } else if (strlen(name) > NODE_NAME_MAX) {
        error_setg(errp, "Node name too long");
    } else if (taken && strcmp(taken->node_name, name) == 0) {
        error_setg(errp, "Duplicate nodes with node-name='%s'", name);
    } else if (taken) {
        error_setg(errp, "node-name=%s is conflicting with a device id", name);
    } else {
        return true;
    }
    return false;
}

/* A node that is there and has nothing over it. */
static BlockNode *find_child(BlockBackends *blocks, const char *ref, GError **errp)
{
    BlockNode *child = block_backends_find(blocks, ref);

    if (!child) {
        error_setg(errp, "Cannot find device='%s' nor node-name='%s'", ref, ref);
        return NULL;
    }
    if (child->parent || child->device_driver) {
        error_setg(errp, "Node '%s' is already in use", ref);
        return NULL;
    }
    return child;
}

/* The options below "file.", as a node of its own would have them. */
static Opts *child_options(Opts *opts)
{
    Opts *child = opts_new();
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (g_str_has_prefix(key, "file.")) {
            opts_set(child, key + strlen("file."), value);
            opts_get(opts, key);
        }
    }
    return child;
}

static BlockNode *node_add(BlockBackends *blocks, Opts *opts, NodeOptions o, bool root,
                           GError **errp);

static BlockNode *make_child(BlockBackends *blocks, Opts *opts, NodeOptions o, GError **errp)
{
    const char *ref = opts_get(opts, "file");

    if (ref) {
        return find_child(blocks, ref, errp);
    }
    Opts *below = child_options(opts);
    const char *driver = opts_get(below, "driver"), *key, *value;
    BlockNode *child = NULL;

    if (!opts_nth(below, 0, &key, &value)) {
        error_setg(errp, "A block device must be specified for \"file\"");
    } else if (g_strcmp0(driver, "raw") == 0) {
        error_setg(errp, "not supported: a raw node over another raw node that has no name");
    } else {
        child = node_add(blocks, below, o, false, errp);
    }
    opts_free(below);
    return child;
}

static BlockNode *node_add_raw(BlockBackends *blocks, Opts *opts, const char *name, NodeOptions *o,
                               GError **errp)
{
    NodeOptions below = *o;
    BlockNode *child;

    o->has_size = opts_get(opts, "size") != NULL;
    if (!opts_get_size(opts, "offset", &o->offset, errp) ||
        !opts_get_size(opts, "size", &o->size, errp)) {
        return NULL;
    }
    child = make_child(blocks, opts, below, errp);
    return child && node_check_unused(opts, "raw", errp)
               ? node_new_raw(blocks, child, name, o, errp) : NULL;
}

/* A node of a chain; root: the one that has to have a name. What o has holds unless opts say otherwise. */
static BlockNode *node_add(BlockBackends *blocks, Opts *opts, NodeOptions o, bool root,
                           GError **errp)
{
    const char *driver = opts_get(opts, "driver"), *name = opts_get(opts, "node-name");

    if (!check_driver(driver, errp)) {
        return NULL;
    }
    if (strcmp(driver, "raw") && strcmp(driver, "null-co") && !opts_get(opts, "filename")) {
        error_setg(errp, "Parameter 'filename' is missing");
        return NULL;
    }
    if (root && !name) {
        error_setg(errp, "'node-name' must be specified for the root node");
        return NULL;
    }
    if ((name && !check_name(blocks, name, errp)) || !node_options_parse(opts, &o, errp)) {
        return NULL;
    }
    if (strcmp(driver, "raw") == 0) {
        return node_add_raw(blocks, opts, name, &o, errp);
    }
    if (strcmp(driver, "null-co") == 0) {
        BlockNode *node = node_new_null(blocks, opts, name, &o, errp);
        return node && node_check_unused(opts, driver, errp) ? node : NULL;
    }
    return node_check_unused(opts, "file", errp)
               ? node_new_file(blocks, opts_get(opts, "filename"), name, &o, errp) : NULL;
}

bool blockdev_add(BlockBackends *blocks, Opts *opts, GError **errp)
{
    guint before = blocks->nodes->len;
    BlockNode *node = node_add(blocks, opts, (NodeOptions){ .writeback = true }, true, errp);

    if (!node) {
        g_ptr_array_set_size(blocks->nodes, before);    /* what it had made on the way */
        return false;
    }
    node->named_alone = true;
    return true;
}

static BlockNode *find_by_name(BlockBackends *blocks, const char *name)
{
    BlockNode *node = block_backends_find(blocks, name);

    return node && strcmp(node->node_name, name) == 0 ? node : NULL;
}

bool blockdev_del(BlockBackends *blocks, const char *name, GError **errp)
{
    BlockNode *node = find_by_name(blocks, name);

    if (!node) {
        error_setg(errp, "Failed to find node with node-name='%s'", name);
    } else if (node->device_driver || *node->drive_id) {
        error_setg(errp, "Node %s is in use", name);
    } else if (!node->named_alone) {
        error_setg(errp, "Node %s is not owned by the monitor", name);
    } else if (node->parent) {
        error_setg(errp, "Block device %s is in use", name);
    } else {
        BlockNode *child = node->child;

        g_ptr_array_remove(blocks->nodes, node);
        if (child) {
            child->parent = NULL;
        }
        if (child && !child->named_alone) {     /* it came with the node, and goes with it */
            g_ptr_array_remove(blocks->nodes, child);
        }
        return true;
    }
    return false;
}

/* ---- the command line ---- */

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
    BlockBackends *blocks = block_backends_alloc(machine);

    if (!add_all(blocks, machine->config->blockdevs, "-blockdev", blockdev_add, errp) ||
        !add_all(blocks, machine->config->drives, "-drive", drive_add, errp)) {
        block_backends_free(blocks);
        return NULL;
    }
    return blocks;
}
