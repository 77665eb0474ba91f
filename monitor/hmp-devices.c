/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP commands about devices, disks, links, objects and dumps; layers over the QMP commands. */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "hw/boards.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "monitor/json-text.h"
#include "monitor/qom.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "softmmu/memory.h"
#include "softmmu/objects.h"
#include "util/error.h"
#include "util/opts.h"

/* ---- disks ---- */

static void print_image(HMPMonitor *mon, const ImageInfo *image)
{
    g_autofree char *disk = g_format_size_full((guint64)image->actual_size,
                                               G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *size = g_format_size_full((guint64)image->virtual_size,
                                               G_FORMAT_SIZE_IEC_UNITS);
    monitor_printf(mon, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: %s (%" PRId64
                   " bytes)\ndisk size: %s\n", image->filename, image->format, size,
                   image->virtual_size, disk);
}

static void print_node(HMPMonitor *mon, const char *title, const char *attached,
                       const BlockDeviceInfo *n, bool verbose)
{
    monitor_printf(mon, "%s: %s (%s%s)\n", title, n->file, n->drv, n->ro ? ", read-only" : "");
    if (attached) {
        monitor_printf(mon, "    Attached to:      %s\n", attached);
    }
    monitor_printf(mon, "    Cache mode:       %s%s%s\n",
                   n->cache->writeback ? "writeback" : "writethrough",
                   n->cache->direct ? ", direct" : "", n->cache->no_flush ? ", ignore flushes" : "");
    if (verbose) {
        print_image(mon, n->image);
    }
}

static void print_nodes(HMPMonitor *mon, const char *device, bool verbose)
{
    g_autoptr(BlockDeviceInfoList) list = qmp_query_named_block_nodes(hmp_machine(mon), false, false,
                                                                      NULL);
    bool first = true;
    for (BlockDeviceInfoList *l = list; l; l = l->next) {
        if (!device || !strcmp(device, l->value->node_name)) {
            monitor_puts(mon, first ? "" : "\n");
            print_node(mon, l->value->node_name, NULL, l->value, verbose);
            first = false;
        }
    }
}

void hmp_info_block(HMPMonitor *mon, const HMPArgs *args)
{
    const char *device = hmp_arg_str(args, "device");
    bool verbose = hmp_arg_flag(args, "verbose"), first = true;
    if (hmp_arg_flag(args, "nodes")) {
        print_nodes(mon, device, verbose);
        return;
    }
    g_autoptr(BlockInfoList) list = qmp_query_block(hmp_machine(mon), NULL);
    for (BlockInfoList *l = list; l; l = l->next) {
        const BlockDeviceInfo *n = l->value->inserted;
        const char *title = *l->value->device ? l->value->device : n->node_name;
        if (!device || !strcmp(device, title)) {
            monitor_puts(mon, first ? "" : "\n");
            print_node(mon, title, l->value->qdev, n, verbose);
            first = false;
        }
    }
    if (first && device) {
        print_nodes(mon, device, verbose);
    }
}

void hmp_info_blockstats(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(BlockStatsInfoList) list = qmp_query_blockstats(hmp_machine(mon), false, false, NULL);
    for (BlockStatsInfoList *l = list; l; l = l->next) {
        const BlockDeviceStats *s = l->value->stats;
        const char *name = l->value->device && *l->value->device ? l->value->device
                                                                 : l->value->node_name;
        monitor_printf(mon, "%s: rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64 " rd_operations=%" PRIu64
                       " wr_operations=%" PRIu64 " flush_operations=%" PRIu64
                       " wr_total_time_ns=%" PRIu64 " rd_total_time_ns=%" PRIu64
                       " flush_total_time_ns=%" PRIu64 " rd_merged=0 wr_merged=0\n", name,
                       s->rd_bytes, s->wr_bytes, s->rd_operations, s->wr_operations,
                       s->flush_operations, s->wr_total_time_ns, s->rd_total_time_ns,
                       s->flush_total_time_ns);
    }
}

/* ---- devices and objects ---- */

void hmp_device_complete(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    size_t n = nb == 1 && machine->board ? board_device_count(machine->board) : 0;
    for (size_t i = 0; i < n; i++) {
        const BoardDevice *d = board_device(machine->board, i);
        if (d->id && *d->id && g_str_has_prefix(d->id, text)) {
            g_ptr_array_add(out, g_strdup(d->id));
        }
    }
}

static void print_drivers(HMPMonitor *mon)
{
    for (const DeviceTypeInfo *t = device_types(); t->name; t++) {
        monitor_printf(mon, "name \"%s\"%s%s\n", t->name, t->bus ? ", bus " : "",
                       t->bus ? t->bus : "");
    }
}

/* The text as the arguments of QMP's command: all strings. */
void hmp_device_add(HMPMonitor *mon, const HMPArgs *args)
{
    const char *text = hmp_arg_str(args, "device"), *key, *value;
    GError *err = NULL;
    Opts *opts = opts_parse(text ? text : "", "driver", &err);
    struct json_object *json = json_object_new_object(), *ret = NULL;
    for (size_t i = 0; opts && opts_nth(opts, i, &key, &value); i++) {
        json_object_object_add(json, key, json_object_new_string(value));
    }
    if (opts && !g_strcmp0(opts_get(opts, "driver"), "help")) {
        print_drivers(mon);
    } else if (opts) {
        qmp_device_add(hmp_machine(mon), json, &ret, &err);
    }
    json_object_put(ret);
    json_object_put(json);
    opts_free(opts);
    hmp_handle_error(mon, err);
}

void hmp_device_del(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_device_del(hmp_machine(mon), hmp_arg_str(args, "id"), &err);
    hmp_handle_error(mon, err);
}

void hmp_object_add(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    Opts *opts = opts_parse(hmp_arg_str(args, "object"), "qom-type", &err);
    if (opts && !g_strcmp0(opts_get(opts, "qom-type"), "help")) {
        g_autoptr(GString) text = g_string_new(NULL);
        object_types_help(text);
        monitor_puts(mon, text->str);
        opts_free(opts);
    } else if (opts) {
        object_add(hmp_machine(mon), opts, &err);
    }
    hmp_handle_error(mon, err);
}

void hmp_object_del(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    object_del(hmp_machine(mon), hmp_arg_str(args, "id"), &err);
    hmp_handle_error(mon, err);
}

static void print_device(HMPMonitor *mon, const BoardDevice *d, int indent, bool mmio)
{
    monitor_printf(mon, "%*sdev: %s, id \"%s\"\n", indent, "", d->driver, d->id ? d->id : "");
    for (char *const *p = d->props; p && *p; p++) {
        monitor_printf(mon, "%*s%s\n", indent + 2, "", *p);
    }
    const MemoryRegion *r = mmio ? address_space_lookup(hmp_machine(mon)->as, d->mmio_base) : NULL;
    if (r) {
        monitor_printf(mon, "%*smmio %016" PRIx64 "/%016" PRIx64 "\n", indent + 2, "", d->mmio_base,
                       r->size);
    }
}

/* The devices that sit on bus, one level down. */
static void print_bus(HMPMonitor *mon, const char *bus, const char *type, int indent)
{
    Board *board = hmp_machine(mon)->board;
    monitor_printf(mon, "%*sbus: %s\n%*stype %s\n", indent, "", bus, indent + 2, "", type);
    for (size_t i = 0; board && i < board_device_count(board); i++) {
        const BoardDevice *d = board_device(board, i);
        if (!strcmp(d->bus, bus)) {
            print_device(mon, d, indent + 2, !strcmp(bus, "main-system-bus"));
            if (!strcmp(d->driver, "virtio-serial-device")) {
                print_bus(mon, "virtio-serial-bus.0", "virtio-serial-bus", indent + 4);
            }
        }
    }
}

/* The board's virtio transports, each with the bus that a device may sit on. */
static void print_transports(HMPMonitor *mon)
{
    const MemoryRegion *r;
    for (size_t i = 0, n = 0; (r = address_space_get(hmp_machine(mon)->as, i)); i++) {
        if (!strcmp(r->name, "virtio-mmio")) {
            g_autofree char *bus = g_strdup_printf("virtio-mmio-bus.%zu", n++);
            monitor_printf(mon, "  dev: virtio-mmio, id \"\"\n    mmio %016" PRIx64 "/%016" PRIx64
                           "\n", r->base, r->size);
            print_bus(mon, bus, "virtio-mmio-bus", 4);
        }
    }
}

void hmp_info_qtree(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    print_bus(mon, "main-system-bus", "System", 0);
    print_transports(mon);
}

static void print_tree(HMPMonitor *mon, const char *path, int indent)
{
    g_autoptr(QomNode) node = qom_resolve(hmp_machine(mon), path, NULL);
    const char *name = strrchr(path, '/');
    monitor_printf(mon, "%*s%s (%s)\n", indent, "", indent ? name : path, node->type);
    for (guint i = 0; i < node->props->len; i++) {
        const QomProperty *p = g_ptr_array_index(node->props, i);
        g_autofree char *type = qom_child_type(p);
        if (type) {
            g_autofree char *child = g_strconcat(strcmp(path, "/") ? path : "", "/", p->name, NULL);
            print_tree(mon, child, indent + 2);
        }
    }
}

void hmp_info_qom_tree(HMPMonitor *mon, const HMPArgs *args)
{
    const char *path = hmp_arg_str(args, "path");
    GError *err = NULL;
    g_autoptr(QomNode) node = qom_resolve(hmp_machine(mon), path ? path : "/machine", &err);
    if (node) {
        print_tree(mon, path ? path : "/machine", 0);
    }
    hmp_handle_error(mon, err);
}

void hmp_qom_list(HMPMonitor *mon, const HMPArgs *args)
{
    const char *path = hmp_arg_str(args, "path");
    GError *err = NULL;
    if (!path) {
        monitor_puts(mon, "/\n");
        return;
    }
    g_autoptr(ObjectPropertyInfoList) list = qmp_qom_list(hmp_machine(mon), path, &err);
    for (ObjectPropertyInfoList *l = list; l; l = l->next) {
        monitor_printf(mon, "%s (%s)\n", l->value->name, l->value->type);
    }
    hmp_handle_error(mon, err);
}

void hmp_qom_get(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    struct json_object *value = qmp_qom_get(hmp_machine(mon), hmp_arg_str(args, "path"),
                                            hmp_arg_str(args, "property"), &err);
    if (!err) {
        g_autoptr(GString) text = g_string_new(NULL);
        json_write(text, value, true);
        monitor_printf(mon, "%s\n", text->str);
    }
    json_object_put(value);
    hmp_handle_error(mon, err);
}

/* Paths: children of what stands before the last slash. */
void hmp_qom_complete(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    const char *slash = strrchr(text, '/');
    if (nb != 1) {
        return;
    }
    g_autofree char *dir = slash && slash > text ? g_strndup(text, (gsize)(slash - text))
                                                 : g_strdup("/");
    g_autoptr(QomNode) node = qom_resolve(machine, dir, NULL);
    for (guint i = 0; node && i < node->props->len; i++) {
        const QomProperty *p = g_ptr_array_index(node->props, i);
        g_autofree char *type = qom_child_type(p);
        g_autofree char *full = g_strconcat(strcmp(dir, "/") ? dir : "", "/", p->name, NULL);
        if (type && g_str_has_prefix(full, text)) {
            g_ptr_array_add(out, g_steal_pointer(&full));
        }
    }
}

void hmp_info_memdev(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(MemdevInfoList) list = qmp_query_memdev(hmp_machine(mon), NULL);
    for (MemdevInfoList *l = list; l; l = l->next) {
        const MemdevInfo *m = l->value;
        monitor_printf(mon, "memory backend: %s\n  size:  %" PRIu64 "\n  merge: %s\n  dump: %s\n"
                       "  prealloc: %s\n  share: %s\n\n", m->id ? m->id : "", m->size,
                       m->merge ? "true" : "false", m->dump ? "true" : "false",
                       m->prealloc ? "true" : "false", m->share ? "true" : "false");
    }
}

/* ---- the balloon ---- */

void hmp_info_balloon(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    BalloonInfo *info = qmp_query_balloon(hmp_machine(mon), &err);

    (void)args;
    if (info) {
        monitor_printf(mon, "balloon: actual=%" PRId64 "\n", info->actual >> 20);
        qapi_free_BalloonInfo(info);
    }
    hmp_handle_error(mon, err);
}

/* ---- dumps ---- */

void hmp_dump_guest_memory(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    g_autofree char *protocol = g_strconcat("file:", hmp_arg_str(args, "filename"), NULL);
    qmp_dump_guest_memory(hmp_machine(mon), hmp_arg_flag(args, "paging"), protocol, true,
                          hmp_arg_flag(args, "detach"), hmp_arg_has(args, "begin"),
                          hmp_arg_int(args, "begin", 0), hmp_arg_has(args, "length"),
                          hmp_arg_int(args, "length", 0), false, DUMP_GUEST_MEMORY_FORMAT_ELF,
                          &err);
    hmp_handle_error(mon, err);
}

void hmp_info_dump(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(DumpQueryResult) d = qmp_query_dump(hmp_machine(mon), NULL);
    monitor_printf(mon, "Status: %s\n", DumpStatus_str(d->status));
    if (d->status == DUMP_STATUS_ACTIVE && d->total) {
        monitor_printf(mon, "Finished: %.2f %%\n", 100.0 * (double)d->completed / (double)d->total);
    }
}
