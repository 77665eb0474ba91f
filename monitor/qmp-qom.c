/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about objects, types and models: views of monitor/qom.h. */
#include <json-c/json.h>
#include <string.h>

#include "hw/balloon.h"
#include "hw/boards.h"
#include "migration/migration.h"
#include "monitor/qom.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"
#include "softmmu/config.h"
#include "softmmu/machine-types.h"
#include "softmmu/machine.h"
#include "softmmu/objects.h"
#include "softmmu/runstate.h"
#include "util/error.h"

#define PERIPHERAL "/machine/peripheral/"

/* ---- the tree ---- */

static ObjectPropertyInfoList **append_property(ObjectPropertyInfoList **tail, const char *name,
                                                const char *type)
{
    *tail = g_new0(ObjectPropertyInfoList, 1);
    (*tail)->value = g_new0(ObjectPropertyInfo, 1);
    (*tail)->value->name = g_strdup(name);
    (*tail)->value->type = g_strdup(type);
    return &(*tail)->next;
}

ObjectPropertyInfoList *qmp_qom_list(struct Machine *machine, const char *path, GError **errp)
{
    ObjectPropertyInfoList *list = NULL, **tail = &list;
    g_autoptr(QomNode) node = qom_resolve(machine, path, errp);
    for (guint i = 0; node && i < node->props->len; i++) {
        const QomProperty *p = g_ptr_array_index(node->props, i);
        tail = append_property(tail, p->name, p->type);
    }
    return list;
}

struct json_object *qmp_qom_get(struct Machine *machine, const char *path, const char *property,
                                GError **errp)
{
    g_autoptr(QomNode) node = qom_resolve(machine, path, errp);
    if (!node) {
        return NULL;
    }
    const QomProperty *p = qom_property(node, property);
    if (!p) {
        error_setg(errp, "Property '%s.%s' not found", node->type, property);
        return NULL;
    }
    if (!p->value) {    /* a child reads as its path */
        g_autofree char *child = g_strconcat(strcmp(path, "/") ? path : "", "/", property, NULL);
        return json_object_new_string(child);
    }
    return json_object_get(p->value);
}

bool qmp_qom_set(struct Machine *machine, const char *path, const char *property,
                 struct json_object *value, GError **errp)
{
    g_autoptr(QomNode) node = qom_resolve(machine, path, errp);
    const BoardProperty *p = node && node->device ? node->device->properties : NULL;
    while (p && p->name && strcmp(p->name, property)) {
        p++;
    }
    if (p && p->name && p->set) {
        return p->set(node->device->opaque, value, errp);
    }
    if (node) {
        error_setg(errp, qom_property(node, property) ? "Property '%s.%s' is not writable"
                                                      : "Property '%s.%s' not found",
                   node->type, property);
    }
    return false;
}

/* What the schema has checked, as the text -object takes. */
bool qmp_object_add(struct Machine *machine, ObjectOptions *arg, GError **errp)
{
    struct json_object *json = qapi_output(&qapi_type_ObjectOptions, arg);
    Opts *opts = opts_parse(json_object_to_json_string(json), "qom-type", errp);
    json_object_put(json);
    return opts && object_add(machine, opts, errp);
}

bool qmp_object_del(struct Machine *machine, const char *id, GError **errp)
{
    return object_del(machine, id, errp);
}

static bool slot_is_free(struct Machine *machine, const char *bus)
{
    size_t n = machine->board ? board_device_count(machine->board) : 0;
    for (size_t i = 0; i < n; i++) {
        const BoardDevice *d = board_device(machine->board, i);
        if (d->bus && !strcmp(d->bus, bus)) {
            return false;
        }
    }
    return true;
}

/* The slots of the board "virt", on which virtio devices are. */
static bool slot_exists(struct Machine *machine, int slot)
{
    return slot >= 0 && slot < 8 && !strcmp(machine->config->machine_name, "virt");
}

/* Where a virtio device without bus= would go: the highest slot that is free. */
static char *free_slot(struct Machine *machine)
{
    for (int slot = 7; slot_exists(machine, slot); slot--) {
        char *bus = g_strdup_printf("virtio-mmio-bus.%d", slot);
        if (slot_is_free(machine, bus)) {
            return bus;
        }
        g_free(bus);
    }
    return NULL;
}

/* Why a virtio device cannot be put on this bus now. */
static void refuse_slot(struct Machine *machine, const char *bus, GError **errp)
{
    const char *number = g_str_has_prefix(bus, "virtio-mmio-bus.") ? bus + 16 : "";
    if (!g_ascii_isdigit(*number) || number[1] || !slot_exists(machine, *number - '0')) {
        error_setg(errp, "Bus '%s' not found", bus);
    } else {
        error_setg(errp, slot_is_free(machine, bus) ? "Bus '%s' does not support hotplugging"
                                                    : "Bus '%s' is full", bus);
    }
}

static const char *string_argument(struct json_object *args, const char *name)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(args, name, &value);
    return value && json_object_is_type(value, json_type_string) ? json_object_get_string(value)
                                                                 : NULL;
}

/* A device that comes or goes would not be in what was sent, or be sent to. */
static bool may_plug(struct Machine *machine, const char *command, GError **errp)
{
    if (migration_is_active(machine->migration) ||
        runstate_get(machine->runstate) == RUN_STATE_INMIGRATE) {
        error_setg(errp, "%s not allowed while migrating", command);
        return false;
    }
    return true;
}

static bool hot_add(struct Machine *machine, struct json_object *args, GError **errp)
{
    Opts *opts = opts_parse(json_object_to_json_string(args), NULL, errp);
    bool ok = opts && may_plug(machine, "device_add", errp) &&
              board_device_add(machine->board, opts, errp);

    opts_free(opts);
    return ok;
}

bool qmp_device_add(struct Machine *machine, struct json_object *args, struct json_object **ret,
                    GError **errp)
{
    const char *driver = string_argument(args, "driver"), *bus = string_argument(args, "bus");
    const DeviceTypeInfo *type = device_types();
    g_autofree char *slot = NULL;
    if (!driver) {
        error_setg(errp, "Parameter 'driver' is missing");
        return false;
    }
    if (board_device_hotpluggable(driver)) {
        bool ok = hot_add(machine, args, errp);
        *ret = ok ? json_object_new_object() : NULL;
        return ok;
    }
    while (type->name && strcmp(type->name, driver)) {
        type++;
    }
    if (!type->name) {
        device_type_error(driver, errp);
    } else if (!type->bus || strcmp(type->bus, "virtio-bus")) {
        error_setg(errp, "Parameter 'driver' expects a pluggable device type");
    } else if (!bus && !(slot = free_slot(machine))) {
        error_setg(errp, "No 'virtio-bus' bus found for device '%s'", driver);
    } else {
        refuse_slot(machine, bus ? bus : slot, errp);
    }
    return false;
}

bool qmp_device_del(struct Machine *machine, const char *id, GError **errp)
{
    const char *name = g_str_has_prefix(id, PERIPHERAL) ? id + strlen(PERIPHERAL) : id;
    const BoardDevice *d = board_device_find(machine->board, name);

    if (!d) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
        return false;
    }
    if (!board_device_hotpluggable(d->driver)) {
        error_setg(errp, "Bus '%s' does not support hotplugging", d->bus);
        return false;
    }
    if (!may_plug(machine, "device_del", errp)) {
        return false;
    }
    g_autofree char *device = g_strdup(name), *path = g_strconcat(PERIPHERAL, name, NULL);
    board_device_del(machine->board, device);
    qapi_event_send_device_deleted(machine->monitors, device, path);
    return true;
}

/* ---- types ---- */

static const QomType *type_find(GPtrArray *types, const char *name)
{
    for (guint i = 0; i < types->len; i++) {
        const QomType *t = g_ptr_array_index(types, i);
        if (!strcmp(t->name, name)) {
            return t;
        }
    }
    return NULL;
}

static bool type_is_a(GPtrArray *types, const QomType *t, const char *ancestor)
{
    for (; t; t = type_find(types, t->parent)) {
        if (!strcmp(t->name, ancestor) || !strcmp(t->parent, ancestor)) {
            return true;
        }
    }
    return false;
}

ObjectTypeInfoList *qmp_qom_list_types(struct Machine *machine, const char *implements,
                                       bool has_abstract, bool abstract, GError **errp)
{
    ObjectTypeInfoList *list = NULL, **tail = &list;
    g_autoptr(GPtrArray) types = qom_types();
    (void)machine;
    (void)errp;
    for (guint i = 0; i < types->len; i++) {
        const QomType *t = g_ptr_array_index(types, i);
        if ((implements && !type_is_a(types, t, implements)) ||
            (has_abstract && !abstract && t->abstract)) {
            continue;
        }
        *tail = g_new0(ObjectTypeInfoList, 1);
        (*tail)->value = g_new0(ObjectTypeInfo, 1);
        (*tail)->value->name = g_strdup(t->name);
        (*tail)->value->parent = g_strdup(t->parent);
        (*tail)->value->has_abstract = (*tail)->value->abstract = t->abstract;
        tail = &(*tail)->next;
    }
    return list;
}

/* Properties of types that are no -device: what -object and -machine read. */
typedef struct TypeProps {
    const char *type;
    const char *const *names;   /* name, type, name, type, ..., NULL */
} TypeProps;

static const char *const memory_props[] = {
    "size", "int", "share", "bool", "prealloc", "bool", "merge", "bool", "dump", "bool", NULL
};
static const char *const memory_file_props[] = {
    "size", "int", "share", "bool", "prealloc", "bool", "merge", "bool", "dump", "bool",
    "mem-path", "string", NULL
};
static const char *const rng_random_props[] = { "filename", "string", NULL };
static const char *const machine_props[] = {
    "kernel", "string", "initrd", "string", "append", "string", "dtb", "string", "firmware",
    "string", "memory-backend", "string", "usb", "bool", "dump-guest-core", "bool", NULL
};

static const TypeProps type_props[] = {
    { "memory-backend-ram", memory_props }, { "memory-backend-memfd", memory_props },
    { "memory-backend-file", memory_file_props }, { "rng-random", rng_random_props },
    { "virt-machine", machine_props }, { "none-machine", machine_props },
};

static ObjectPropertyInfoList **append_device_props(ObjectPropertyInfoList **tail,
                                                    const char *driver)
{
    const DevicePropInfo *info = device_type_props(driver);
    for (; info && info->name; info++) {
        tail = append_property(tail, info->name, info->type);
    }
    return tail;
}

ObjectPropertyInfoList *qmp_qom_list_properties(struct Machine *machine, const char *typename,
                                                GError **errp)
{
    ObjectPropertyInfoList *list = NULL, **tail = &list;
    g_autoptr(GPtrArray) types = qom_types();
    (void)machine;
    if (!type_find(types, typename)) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Class '%s' not found", typename);
        return NULL;
    }
    tail = append_property(tail, "type", "string");
    for (size_t i = 0; i < G_N_ELEMENTS(type_props); i++) {
        const char *const *p = type_props[i].names;
        for (; !strcmp(type_props[i].type, typename) && *p; p += 2) {
            tail = append_property(tail, p[0], p[1]);
        }
    }
    append_device_props(tail, typename);
    return list;
}

ObjectPropertyInfoList *qmp_device_list_properties(struct Machine *machine, const char *typename,
                                                   GError **errp)
{
    ObjectPropertyInfoList *list = NULL;
    g_autoptr(GPtrArray) types = qom_types();
    const QomType *t = type_find(types, typename);
    (void)machine;
    if (!t) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", typename);
        return NULL;
    }
    if (t->abstract || !type_is_a(types, t, "device")) {
        error_setg(errp, "Parameter 'typename' expects a non-abstract device type");
        return NULL;
    }
    append_device_props(&list, typename);
    return list;
}

/* As it was asked for. (Inside, RAM is shared memory always.) */
static MemdevInfoList **append_memdev(MemdevInfoList **tail, const char *id, uint64_t size,
                                      bool share, bool prealloc, bool reserve)
{
    MemdevInfo *info = g_new0(MemdevInfo, 1);
    info->id = g_strdup(id);
    info->size = size;
    info->merge = info->dump = true;
    info->share = share;
    info->prealloc = prealloc;
    info->has_reserve = true;
    info->reserve = reserve;
    *tail = g_new0(MemdevInfoList, 1);
    (*tail)->value = info;
    return &(*tail)->next;
}

MemdevInfoList *qmp_query_memdev(struct Machine *machine, GError **errp)
{
    const MachineConfig *c = machine->config;
    MemdevInfoList *list = NULL, **tail = &list;
    (void)errp;
    for (guint i = 0; c->objects && i < c->objects->len; i++) {
        Opts *o = g_ptr_array_index(c->objects, i);
        const char *type = opts_get(o, "qom-type");
        uint64_t size = 0;
        if (type && g_str_has_prefix(type, "memory-backend-")) {
            bool share = g_str_equal(type, "memory-backend-memfd"), prealloc = c->mem_prealloc;
            bool reserve = true;
            opts_get_size(o, "size", &size, NULL);
            opts_get_bool(o, "share", &share, NULL);
            opts_get_bool(o, "prealloc", &prealloc, NULL);
            opts_get_bool(o, "reserve", &reserve, NULL);
            tail = append_memdev(tail, opts_get(o, "id"), size, share, prealloc, reserve);
        }
    }
    const MachineType *t = c->ram_id || !c->machine_version ? NULL
                         : machine_type_find(c->machine_version);
    if (t && c->ram_bytes) {    /* the board made its own */
        append_memdev(tail, t->default_ram_id, c->ram_bytes, false, c->mem_prealloc, true);
    }
    return list;
}

/* ---- models and machines ---- */

CpuDefinitionInfoList *qmp_query_cpu_definitions(struct Machine *machine, GError **errp)
{
    CpuDefinitionInfoList *list = g_new0(CpuDefinitionInfoList, 1);
    (void)machine;
    (void)errp;
    list->value = g_new0(CpuDefinitionInfo, 1);
    list->value->name = g_strdup("rv64");
    list->value->typename = g_strdup("rv64-riscv-cpu");
    return list;
}

/* The alias "virt" stands for one version (a setting of the host): an entry of its own, as clients look for the name. */
static MachineInfo *machine_info(const MachineType *t, const char *name)
{
    MachineInfo *info = g_new0(MachineInfo, 1);
    info->name = g_strdup(name);
    info->cpu_max = t->max_cpus;
    info->default_cpu_type = t->default_cpu ? g_strdup("rv64-riscv-cpu") : NULL;
    info->default_ram_id = g_strdup(t->default_ram_id);
    info->numa_mem_supported = t->default_cpu != NULL;
    return info;
}

static MachineInfoList **append_machine(MachineInfoList **tail, const MachineType *t,
                                        const char *name)
{
    *tail = g_new0(MachineInfoList, 1);
    (*tail)->value = machine_info(t, name);
    return &(*tail)->next;
}

MachineInfoList *qmp_query_machines(struct Machine *machine, GError **errp)
{
    MachineInfoList *list = NULL, **tail = &list;
    const MachineType *alias = machine_type_alias(errp);
    (void)machine;
    if (!alias) {
        return NULL;
    }
    for (const MachineType *t = machine_types(); t->name; t++) {
        tail = append_machine(tail, t, t->name);
        if (t == alias || !strcmp(t->name, alias->name)) {
            tail = append_machine(tail, t, t->wire_name);
        }
    }
    return list;
}

static MachineDialectList **append_dialect(MachineDialectList **tail, const MachineType *t,
                                           const char *name)
{
    MachineDialect *info = g_new0(MachineDialect, 1);
    info->name = g_strdup(name);
    info->dialect = g_strdup(t->dialect == DIALECT_QEMU_7_2 ? "7.2" : "10.0");
    *tail = g_new0(MachineDialectList, 1);
    (*tail)->value = info;
    return &(*tail)->next;
}

MachineDialectList *qmp_x_query_machine_dialects(struct Machine *machine, GError **errp)
{
    MachineDialectList *list = NULL, **tail = &list;
    const MachineType *alias = machine_type_alias(errp);
    (void)machine;
    if (!alias) {
        return NULL;
    }
    for (const MachineType *t = machine_types(); t->name; t++) {
        tail = append_dialect(tail, t, t->name);
        if (t == alias) {
            tail = append_dialect(tail, t, t->wire_name);
        }
    }
    return list;
}

CurrentMachineParams *qmp_query_current_machine(struct Machine *machine, GError **errp)
{
    (void)machine;
    (void)errp;
    return g_new0(CurrentMachineParams, 1);
}

/* ---- balloon ---- */

BalloonInfo *qmp_query_balloon(struct Machine *machine, GError **errp)
{
    uint64_t actual;
    BalloonInfo *info;

    if (!board_balloon_get(machine->board, &actual, errp)) {
        return NULL;
    }
    info = g_new0(BalloonInfo, 1);
    info->actual = actual;
    return info;
}

bool qmp_balloon(struct Machine *machine, int64_t value, GError **errp)
{
    if (value <= 0) {
        error_setg(errp, "Parameter 'target' expects a size");
        return false;
    }
    return migration_guest_is_here(machine->migration, errp) && board_balloon_set(machine->board, value, errp);
}
