/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device type table: which -device drivers exist, which properties they
 * have and of which type, and how each is made. Called by the boards for
 * -device and by the monitors for listings; never touches a running device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hw/core/device.h"
#include "util/near-name.h"

#define VIRTIO_PROPS                                                                   \
    { "indirect_desc", "bool" }, { "event_idx", "bool" }, { "notify_on_empty", "bool" }, \
    { "any_layout", "bool" }

static const DevicePropInfo loader_props[] = {
    { "addr", "uint64" }, { "data", "uint64" }, { "data-len", "uint8" }, { "data-be", "bool" },
    { "cpu-num", "uint32" }, { "force-raw", "bool" }, { "file", "str" }, { NULL, NULL },
};

static const DevicePropInfo virtio_blk_props[] = {
    { "drive", "str" }, { "serial", "str" }, { "write-cache", "OnOffAuto" },
    { "config-wce", "bool" }, { "logical_block_size", "size" }, { "physical_block_size", "size" },
    { "num-queues", "uint16" }, { "queue-size", "uint16" }, { "share-rw", "bool" },
    { "discard", "bool" }, { "write-zeroes", "bool" }, { "bootindex", "int32" },
    { "rerror", "BlockdevOnError" }, { "werror", "BlockdevOnError" }, VIRTIO_PROPS,
    { NULL, NULL },
};

static const DevicePropInfo virtio_net_props[] = {
    { "netdev", "str" }, { "mac", "str" }, { "mrg_rxbuf", "bool" }, { "status", "bool" },
    { "ctrl_vq", "bool" }, { "ctrl_rx", "bool" }, { "ctrl_rx_extra", "bool" },
    { "ctrl_vlan", "bool" },
    { "ctrl_mac_addr", "bool" }, { "ctrl_guest_offloads", "bool" }, { "guest_announce", "bool" },
    { "rx_queue_size", "uint16" }, { "tx_queue_size", "uint16" }, { "bootindex", "int32" },
    VIRTIO_PROPS, { NULL, NULL },
};

static const DevicePropInfo virtio_rng_props[] = {
    { "rng", "link<rng-backend>" }, { "max-bytes", "uint64" }, { "period", "uint32" },
    VIRTIO_PROPS, { NULL, NULL },
};

static const DevicePropInfo virtio_serial_props[] = {
    { "max_ports", "uint32" }, { "emergency-write", "bool" }, VIRTIO_PROPS, { NULL, NULL },
};

static const DevicePropInfo virtserialport_props[] = {
    { "chardev", "str" }, { "name", "str" }, { "nr", "uint32" }, { NULL, NULL },
};

static const DevicePropInfo virtio_balloon_props[] = {
    { "deflate-on-oom", "bool" }, { "page-poison", "bool" }, VIRTIO_PROPS, { NULL, NULL },
};

static const DevicePropInfo virtio_mmio_props[] = {
    { "force-legacy", "bool" }, { NULL, NULL },
};

static const DevicePropInfo no_props[] = { { NULL, NULL } };

static const DeviceType types[] = {
    { { "loader", NULL, "Generic Loader" }, loader_props, true, loader_device_create },
    { { "virtio-blk-device", "virtio-bus", NULL }, virtio_blk_props, true, virtio_blk_create,
      &virtio_blk_vmstate },
    { { "virtio-net-device", "virtio-bus", NULL }, virtio_net_props, true, virtio_net_create,
      &virtio_net_vmstate },
    { { "virtio-rng-device", "virtio-bus", NULL }, virtio_rng_props, true, virtio_rng_create,
      &virtio_rng_vmstate },
    { { "virtio-serial-device", "virtio-bus", NULL }, virtio_serial_props, true,
      virtio_serial_create,
      &virtio_serial_vmstate },
    { { "virtconsole", "virtio-serial-bus", NULL }, virtserialport_props, true,
      virtconsole_create, NULL, virtio_port_remove },
    { { "virtserialport", "virtio-serial-bus", NULL }, virtserialport_props, true,
      virtserialport_create, NULL, virtio_port_remove },
    { { "virtio-balloon-device", "virtio-bus", NULL }, virtio_balloon_props, true,
      virtio_balloon_create,
      &virtio_balloon_vmstate },
    { { "virtio-mmio", "System", NULL }, virtio_mmio_props, false, NULL },
    { { "riscv.aclint.mtimer", "System", NULL }, no_props, false, NULL, &clint_vmstate },
    { { "riscv.sifive.plic", "System", NULL }, no_props, false, NULL, &plic_vmstate },
    { { "serial-mm", "System", NULL }, no_props, false, NULL, &serial_vmstate },
    { { "goldfish_rtc", "System", NULL }, no_props, false, NULL, &goldfish_rtc_vmstate },
    { { "cfi.pflash01", "System", NULL }, no_props, false, NULL, &pflash_vmstate },
    { { "gpex-pcihost", "System", NULL }, no_props, false, NULL, &pci_host_vmstate },
    { { "gpex-root", "PCI", NULL }, no_props, false, NULL, &gpex_root_vmstate },
    { { "fw_cfg_mem", "System", NULL }, no_props, false, NULL, &fw_cfg_vmstate },
};

const DeviceType *device_type_find(const char *driver)
{
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strcmp(types[i].info.name, driver) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

void device_type_error(const char *driver, GError **errp)
{
    g_autofree char *hint = near_hint(&types[0].info.name, sizeof(types[0]), G_N_ELEMENTS(types),
                                      driver);
    error_setg(errp, "'%s' is not a valid device model name%s", driver, hint);
}

const DeviceTypeInfo *device_types(void)
{
    static gsize once;
    static DeviceTypeInfo infos[G_N_ELEMENTS(types) + 1]; /* a const view of the table */

    if (g_once_init_enter(&once)) {
        for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
            infos[i] = types[i].info;
        }
        g_once_init_leave(&once, 1);
    }
    return infos;
}

const DevicePropInfo *device_type_props(const char *driver)
{
    const DeviceType *type = device_type_find(driver);

    return type ? type->props : NULL;
}

const struct VMStateDescription *device_type_vmstate(const char *driver)
{
    const DeviceType *type = device_type_find(driver);

    return type ? type->vmsd : NULL;
}

static const DevicePropInfo *prop_find(const DeviceType *type, const char *name)
{
    for (const DevicePropInfo *p = type->props; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

static void error_no_property(const DeviceType *type, const char *name, GError **errp)
{
    size_t count = 0;

    while (type->props[count].name) {
        count++;
    }
    g_autofree char *hint = near_hint(&type->props[0].name, sizeof(type->props[0]), count, name);
    error_setg(errp, "Property '%s.%s' not found%s", type->info.name, name, hint);
}

/* Bits of a number property, 0 for other types. Negative decimal numbers belong to int32 only. */
static bool prop_number_ok(const DevicePropInfo *prop, const char *value, GError **errp)
{
    static const struct { const char *type; unsigned bits; } widths[] = {
        { "uint8", 8 }, { "uint16", 16 }, { "uint32", 32 }, { "uint64", 64 },
    };
    uint64_t v;

    if (strcmp(prop->type, "int32") == 0) {
        char *end;
        long long n;

        errno = 0;
        n = strtoll(value, &end, 0);
        if (*value && !*end && !errno && n >= INT32_MIN && n <= INT32_MAX) {
            return true;
        }
        error_setg(errp, "Parameter '%s' expects integer", prop->name);
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(widths); i++) {
        if (strcmp(prop->type, widths[i].type) != 0) {
            continue;
        }
        if (!parse_u64(value, &v)) {
            error_setg(errp, "Parameter '%s' expects integer", prop->name);
            return false;
        }
        if (widths[i].bits < 64 && v >> widths[i].bits) {
            error_setg(errp, "Parameter '%s' expects %s", prop->name, prop->type);
            return false;
        }
    }
    return true;
}

static bool prop_value_ok(const DevicePropInfo *prop, const char *value, GError **errp)
{
    uint64_t v;
    bool on;

    if (strcmp(prop->type, "bool") == 0 && !parse_bool(value, &on)) {
        error_setg(errp, "Parameter '%s' expects 'on' or 'off'", prop->name);
        return false;
    }
    if (strcmp(prop->type, "OnOffAuto") == 0 && !parse_bool(value, &on) &&
        strcmp(value, "auto") != 0) {
        error_setg(errp, "Parameter '%s' does not accept value '%s'", prop->name, value);
        return false;
    }
    if (strcmp(prop->type, "size") == 0 && !parse_size(value, 1, &v)) {
        error_setg(errp, "Parameter '%s' expects a size", prop->name);
        return false;
    }
    return prop_number_ok(prop, value, errp);
}

static bool id_ok(Board *board, const char *id, GError **errp)
{
    if (!id_wellformed(id)) {
        error_setg(errp, "Parameter 'id' expects an identifier\nIdentifiers consist of letters, "
                   "digits, '-', '.', '_', starting with a letter.");
        return false;
    }
    if (board_device_find(board, id)) {
        error_setg(errp, "Duplicate ID '%s' for device", id);
        return false;
    }
    return true;
}

/* What -global says about this driver, then what the user wrote: the last wins. */
static Opts *merged_opts(Board *board, const DeviceType *type, const Opts *user, GError **errp)
{
    Opts *out = opts_new();
    const char *key, *value;

    for (const DevicePropInfo *p = type->props; p->name; p++) {
        value = board_global(board, type->info.name, p->name);
        if (value) {
            if (!prop_value_ok(p, value, errp)) {
                goto fail;
            }
            opts_set(out, p->name, value);
        }
    }
    for (size_t i = 0; opts_nth(user, i, &key, &value); i++) {
        if (strcmp(key, "driver") && strcmp(key, "id") && strcmp(key, "bus")) {
            const DevicePropInfo *p = prop_find(type, key);

            if (!p) {
                error_no_property(type, key, errp);
                goto fail;
            }
            if (!prop_value_ok(p, value, errp)) {
                goto fail;
            }
        }
        opts_set(out, key, value);
    }
    return out;
fail:
    opts_free(out);
    return NULL;
}

static char *opts_text(const Opts *opts)
{
    GString *text = g_string_new(NULL);
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (strcmp(key, "driver") == 0) {
            g_string_prepend(text, value);
        } else {
            g_string_append_printf(text, ",%s=%s", key, value);
        }
    }
    return g_string_free(text, FALSE);
}

/* With -global's values, checked. */
static bool type_create(Board *board, const DeviceType *type, Opts *user, GError **errp)
{
    Opts *opts = merged_opts(board, type, user, errp);
    bool ok = opts && type->create(board, opts, errp);

    opts_free(opts);
    return ok;
}

static bool device_create_checked(Board *board, Opts *user, GError **errp)
{
    const char *driver = opts_get(user, "driver"), *id = opts_get(user, "id");
    const DeviceType *type;

    if (id && !id_ok(board, id, errp)) {
        return false;
    }
    if (!driver) {
        error_setg(errp, "Parameter 'driver' is missing");
        return false;
    }
    type = device_type_find(driver);
    if (!type) {
        device_type_error(driver, errp);
        return false;
    }
    if (!type->user_creatable) {
        error_setg(errp, "Parameter 'driver' expects a pluggable device type");
        return false;
    }
    return type_create(board, type, user, errp);
}

bool device_create(Board *board, Opts *user, GError **errp)
{
    if (!device_create_checked(board, user, errp)) {
        g_autofree char *text = opts_text(user);

        error_prepend(errp, "-device %s: ", text);
        return false;
    }
    return true;
}

/* ---- while the machine runs ---- */

bool board_device_hotpluggable(const char *driver)
{
    const DeviceType *type = device_type_find(driver);

    return type && type->remove;
}

bool board_device_add(Board *board, Opts *user, GError **errp)
{
    const char *id = opts_get(user, "id");

    if (id && !id_wellformed(id)) {
        error_setg(errp, "Parameter 'id' expects an identifier");
        return false;
    }
    if (id && board_device_find(board, id)) {
        error_setg(errp, "Duplicate device ID '%s'", id);
        return false;
    }
    if (!type_create(board, device_type_find(opts_get(user, "driver")), user, errp)) {
        return false;
    }
    BoardDevice *dev = g_ptr_array_index(board->devices, board->devices->len - 1);
    dev->hotplugged = true;
    return true;
}

void board_device_del(Board *board, const char *id)
{
    device_type_find(board_device_find(board, id)->driver)->remove(board, id);
    board_forget_device(board, id);
}
