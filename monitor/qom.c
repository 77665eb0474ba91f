/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object tree as monitors see it (qom.h). Read only: nothing here is the
 * object, everything is asked from its owner at the moment. Main thread, BQL.
 *
 *   /machine/{peripheral/ID, peripheral-anon/device[N], unattached/device[N], soc0/harts[N]}
 *   /objects/ID   /chardevs/ID
 */
#include "monitor/qom.h"

#include <json-c/json.h>
#include <string.h>

#include "chardev/char.h"
#include "hw/boards.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"

/* ---- nodes ---- */

static void property_free(gpointer p)
{
    QomProperty *prop = p;
    g_free(prop->name);
    g_free(prop->type);
    json_object_put(prop->value);
    g_free(prop);
}

static void add_property(QomNode *node, const char *name, const char *type,
                         struct json_object *value)
{
    QomProperty *p = g_new0(QomProperty, 1);
    p->name = g_strdup(name);
    p->type = g_strdup(type);
    p->value = value;
    g_ptr_array_add(node->props, p);
}

static void add_child(QomNode *node, const char *name, const char *type)
{
    g_autofree char *full = g_strdup_printf("child<%s>", type);
    add_property(node, name, full, NULL);
}

static QomNode *node_new(const char *type)
{
    QomNode *node = g_new0(QomNode, 1);
    node->type = g_strdup(type);
    node->props = g_ptr_array_new_with_free_func(property_free);
    add_property(node, "type", "string", json_object_new_string(type));
    return node;
}

void qom_node_free(QomNode *node)
{
    if (node) {
        g_free(node->type);
        g_ptr_array_free(node->props, TRUE);
        g_free(node);
    }
}

const QomProperty *qom_property(const QomNode *node, const char *name)
{
    for (guint i = 0; i < node->props->len; i++) {
        const QomProperty *p = g_ptr_array_index(node->props, i);
        if (!strcmp(p->name, name)) {
            return p;
        }
    }
    return NULL;
}

char *qom_child_type(const QomProperty *p)
{
    if (!g_str_has_prefix(p->type, "child<")) {
        return NULL;
    }
    return g_strndup(p->type + 6, strlen(p->type) - 7);
}

/* ---- what each place holds ---- */

static char *machine_type(struct Machine *machine)
{
    return g_strconcat(machine->config->machine_name, "-machine", NULL);
}

static QomNode *root_node(struct Machine *machine)
{
    g_autofree char *type = machine_type(machine);
    QomNode *node = node_new("container");
    add_child(node, "machine", type);
    add_child(node, "objects", "container");
    add_child(node, "chardevs", "container");
    return node;
}

static QomNode *machine_node(struct Machine *machine)
{
    g_autofree char *type = machine_type(machine);
    const MachineConfig *c = machine->config;
    QomNode *node = node_new(type);
    add_property(node, "kernel", "string", json_object_new_string(c->kernel ? c->kernel : ""));
    add_property(node, "initrd", "string", json_object_new_string(c->initrd ? c->initrd : ""));
    add_property(node, "append", "string", json_object_new_string(c->append ? c->append : ""));
    add_property(node, "dtb", "string", json_object_new_string(c->dtb ? c->dtb : ""));
    add_property(node, "firmware", "string", json_object_new_string(c->bios ? c->bios : ""));
    struct json_object *memory = json_object_new_object();
    json_object_object_add(memory, "size", json_object_new_uint64(c->ram_bytes));
    add_property(node, "memory", "MemorySizeConfiguration", memory);
    add_property(node, "usb", "bool", json_object_new_boolean(false));
    add_child(node, "peripheral", "container");
    add_child(node, "peripheral-anon", "container");
    add_child(node, "unattached", "container");
    if (machine->cpus) {
        add_child(node, "soc0", "riscv.hart_array");
    }
    return node;
}

/* The device's name in the directory dir ("/machine/peripheral"), NULL: it is not there. */
static const char *name_in(const BoardDevice *d, const char *dir)
{
    size_t len = strlen(dir);
    return g_str_has_prefix(d->qom_path, dir) && d->qom_path[len] == '/' ? d->qom_path + len + 1
                                                                         : NULL;
}

static QomNode *devices_node(struct Machine *machine, const char *dir)
{
    QomNode *node = node_new("container");
    size_t n = machine->board ? board_device_count(machine->board) : 0;
    for (size_t i = 0; i < n; i++) {
        const BoardDevice *d = board_device(machine->board, i);
        const char *name = name_in(d, dir);
        if (name) {
            add_child(node, name, d->driver);
        }
    }
    return node;
}

static const BoardDevice *find_device(struct Machine *machine, const char *path)
{
    size_t n = machine->board ? board_device_count(machine->board) : 0;
    for (size_t i = 0; i < n; i++) {
        const BoardDevice *d = board_device(machine->board, i);
        if (!strcmp(d->qom_path, path)) {
            return d;
        }
    }
    return NULL;
}

static bool holds_devices(const char *path)
{
    return !strcmp(path, "/machine/peripheral") || !strcmp(path, "/machine/peripheral-anon") ||
           !strcmp(path, "/machine/unattached");
}

static const char *prop_type(const char *driver, const char *name)
{
    const DevicePropInfo *info = device_type_props(driver);
    for (; info && info->name; info++) {
        if (!strcmp(info->name, name)) {
            return info->type;
        }
    }
    return "string";
}

/* "key = value" as info qtree prints it, to JSON. */
static struct json_object *prop_value(const char *text)
{
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        return json_object_new_string_len(text + 1, (int)len - 2);
    }
    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        return json_object_new_boolean(*text == 't');
    }
    char *end;
    int64_t v = g_ascii_strtoll(text, &end, 0);
    if (end > text && (!*end || *end == ' ')) {
        return json_object_new_int64(v);
    }
    return json_object_new_string(text);
}

static QomNode *device_node(const BoardDevice *d)
{
    QomNode *node = node_new(d->driver);
    add_property(node, "realized", "bool", json_object_new_boolean(true));
    add_property(node, "hotplugged", "bool", json_object_new_boolean(d->hotplugged));
    add_property(node, "hotpluggable", "bool",
                 json_object_new_boolean(board_device_hotpluggable(d->driver)));
    for (char *const *p = d->props; p && *p; p++) {
        const char *eq = strstr(*p, " = ");
        if (eq) {
            g_autofree char *key = g_strndup(*p, (gsize)(eq - *p));
            add_property(node, key, prop_type(d->driver, key), prop_value(eq + 3));
        }
    }
    node->device = d;
    for (const BoardProperty *p = d->properties; p && p->name; p++) {
        add_property(node, p->name, p->type, p->get(d->opaque));
    }
    return node;
}

static QomNode *harts_node(struct Machine *machine)
{
    unsigned n = cpus_count(machine->cpus);
    QomNode *node = node_new("riscv.hart_array");
    add_property(node, "num-harts", "uint32", json_object_new_int64(n));
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("harts[%u]", i);
        add_child(node, name, "rv64-riscv-cpu");
    }
    return node;
}

static QomNode *objects_node(struct Machine *machine)
{
    QomNode *node = node_new("container");
    const GPtrArray *objects = machine->config->objects;
    for (guint i = 0; objects && i < objects->len; i++) {
        Opts *o = g_ptr_array_index(objects, i);
        const char *id = opts_get(o, "id"), *type = opts_get(o, "qom-type");
        if (id && type) {
            add_child(node, id, type);
        }
    }
    return node;
}

static QomNode *chardevs_node(struct Machine *machine)
{
    QomNode *node = node_new("container");
    for (size_t i = 0; i < chardevs_count(machine->chardevs); i++) {
        Chardev *chr = chardevs_get(machine->chardevs, i);
        g_autofree char *file = chardev_filename(chr);
        g_autofree char *kind = g_strndup(file, strcspn(file, ":"));
        bool socket = !strcmp(kind, "unix") || !strcmp(kind, "tcp") ||
                      g_str_has_prefix(kind, "disconnected");
        g_autofree char *type = g_strconcat("chardev-", socket ? "socket" : kind, NULL);
        add_child(node, chardev_id(chr), type);
    }
    return node;
}

/* ---- paths ---- */

/* The node under parent, whose path is dir ("/machine"), named name. */
static QomNode *child_node(struct Machine *machine, const char *dir, const char *name,
                           const char *type)
{
    g_autofree char *path = g_strconcat(dir, "/", name, NULL);
    if (holds_devices(dir)) {
        const BoardDevice *d = find_device(machine, path);
        return d ? device_node(d) : NULL;
    }
    return !strcmp(path, "/machine") ? machine_node(machine)
         : !strcmp(path, "/objects") ? objects_node(machine)
         : !strcmp(path, "/chardevs") ? chardevs_node(machine)
         : holds_devices(path) ? devices_node(machine, path)
         : !strcmp(path, "/machine/soc0") ? harts_node(machine)
         : node_new(type);
}

/* A path that begins somewhere in the tree: where there are things with ids. */
static QomNode *partial_path(struct Machine *machine, const char *path, GError **errp)
{
    static const char *const places[] = { "/machine/peripheral", "/objects", "/chardevs",
                                          "/machine", "" };
    for (size_t i = 0; *path && i < G_N_ELEMENTS(places); i++) {
        g_autofree char *full = g_strconcat(places[i], "/", path, NULL);
        QomNode *node = qom_resolve(machine, full, NULL);
        if (node) {
            return node;
        }
    }
    if (!*path) {
        error_setg(errp, "Path '' is ambiguous");
    } else {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", path);
    }
    return NULL;
}

QomNode *qom_resolve(struct Machine *machine, const char *path, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    g_autoptr(GString) dir = g_string_new(NULL);
    if (*path != '/') {
        return partial_path(machine, path, errp);
    }
    QomNode *node = root_node(machine);
    for (char **p = parts; node && *p; p++) {
        if (!**p) {
            continue;
        }
        const QomProperty *prop = qom_property(node, *p);
        g_autofree char *type = prop ? qom_child_type(prop) : NULL;
        QomNode *next = type ? child_node(machine, dir->str, *p, type) : NULL;
        qom_node_free(node);
        node = next;
        g_string_append_printf(dir, "/%s", *p);
    }
    if (!node) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", path);
    }
    return node;
}

/* ---- types ---- */

/* What exists besides the devices, which hw/ lists. */
static const QomType fixed_types[] = {
    { "accel", "object", true }, { "tcg-accel", "accel", false },
    { "machine", "object", true }, { "none-machine", "machine", false },
    { "virt-machine", "machine", false },
    { "device", "object", true }, { "sys-bus-device", "device", true },
    { "virtio-device", "device", true }, { "virtio-mmio", "sys-bus-device", false },
    { "cpu", "device", true }, { "riscv-cpu", "cpu", true },
    { "rv64-riscv-cpu", "riscv-cpu", false },
    { "riscv.hart_array", "sys-bus-device", false },
    { "container", "object", false },
    { "memory-backend", "object", true }, { "memory-backend-ram", "memory-backend", false },
    { "memory-backend-file", "memory-backend", false },
    { "memory-backend-memfd", "memory-backend", false },
    { "rng-backend", "object", true }, { "rng-builtin", "rng-backend", false },
    { "rng-random", "rng-backend", false }, { "secret", "object", false },
    { "chardev", "object", true }, { "chardev-fd", "chardev", false },
    { "chardev-file", "chardev", false }, { "chardev-mux", "chardev", false },
    { "chardev-null", "chardev", false }, { "chardev-pipe", "chardev", false },
    { "chardev-pty", "chardev", false }, { "chardev-ringbuf", "chardev", false },
    { "chardev-socket", "chardev", false }, { "chardev-stdio", "chardev", false },
};

static void add_type(GPtrArray *types, const char *name, const char *parent, bool abstract)
{
    for (guint i = 0; i < types->len; i++) {
        if (!strcmp(((QomType *)g_ptr_array_index(types, i))->name, name)) {
            return;
        }
    }
    QomType *t = g_new0(QomType, 1);
    *t = (QomType) { name, parent, abstract };
    g_ptr_array_add(types, t);
}

GPtrArray *qom_types(void)
{
    GPtrArray *types = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < G_N_ELEMENTS(fixed_types); i++) {
        add_type(types, fixed_types[i].name, fixed_types[i].parent, fixed_types[i].abstract);
    }
    for (const DeviceTypeInfo *d = device_types(); d->name; d++) {
        add_type(types, d->name, g_str_has_prefix(d->name, "virtio-") ? "virtio-device" : "device",
                 false);
    }
    return types;
}
