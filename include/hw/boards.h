/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The boards: builds RAM, devices, firmware and FDT of a machine from its config. Called by vl once. */
#ifndef HW_BOARDS_H
#define HW_BOARDS_H

#include "softmmu/machine.h"
#include "util/opts.h"

typedef struct Board Board;

/**
 * Phase 1: a board without devices, and the back ends of -drive, -blockdev,
 * -netdev and -object. NULL with errp.
 */
Board *board_new(Machine *machine, GError **errp);
/**
 * Phase 2, before the CPUs exist: RAM blocks and the RAM part of the address
 * space, for machine none and virt (machine->ram, machine->as).
 */
bool board_init_ram(Machine *machine, GError **errp);
/**
 * Phase 3, with machine->cpus: devices of the board and those of -device,
 * their sections, images (bios, kernel, initrd, dtb, loader devices), FDT,
 * reset vector, reset handlers. For "none": loader devices only. After an
 * error the board is good for board_free only.
 */
bool board_build(Board *board, GError **errp);
void board_free(Board *board);
/**
 * The device tree blob as the guest finds it; the board's. NULL: the machine has none, or there is no board.
 * Main thread, once the machine is built.
 */
GBytes *board_fdt(const Board *board);

/**
 * Opens what an object that is added to a machine needs: a source of random
 * bytes, a memory file. Guest RAM cannot be added: memory of an object that
 * nothing uses is not taken. Main thread, BQL.
 */
bool board_object_add(Board *board, Opts *object, GError **errp);
/** Lets go of it. False with errp if it is guest RAM; a device keeps the source of bytes it has. */
bool board_object_del(Board *board, Opts *object, GError **errp);

/** A property whose value its owner knows at the moment; in a table that ends with name NULL. */
typedef struct BoardProperty {
    const char *name, *type;
    struct json_object *(*get)(void *opaque);
    /** NULL: not writable. */
    bool (*set)(void *opaque, struct json_object *value, GError **errp);
} BoardProperty;

/** One device as "info qtree", qom-list and query-block see it. */
typedef struct BoardDevice {
    const char *driver;     /* "virtio-blk-device" */
    const char *id;         /* -device id= or NULL */
    const char *qom_path;   /* in the tree that monitors show */
    const char *bus;        /* "virtio-mmio-bus.7", "main-system-bus" */
    uint64_t mmio_base;
    char *const *props;     /* "key = value" texts, NULL-terminated */
    const BoardProperty *properties;    /* more for qom-get and qom-set, or NULL */
    void *opaque;           /* theirs */
    bool hotplugged;        /* it came while the machine ran */
} BoardDevice;
size_t board_device_count(const Board *board);
const BoardDevice *board_device(const Board *board, size_t i);
/** The device with this id, NULL: none. board may be NULL, in tests: it has no devices. */
const BoardDevice *board_device_find(const Board *board, const char *id);

/** Whether devices of this type can come and go while the machine runs. */
bool board_device_hotpluggable(const char *driver);
/**
 * Makes a device of such a type, of options as of -device. False with errp. Main thread, BQL, no
 * migration under way.
 */
bool board_device_add(Board *board, Opts *opts, GError **errp);
/** Takes away the device with this id, which is there and of such a type. The guest is told. As above. */
void board_device_del(Board *board, const char *id);

/** All -device drivers known, NULL-terminated {name, description}; for -device help and qom-list-types. */
typedef struct DeviceTypeInfo { const char *name, *bus, *desc; } DeviceTypeInfo;
const DeviceTypeInfo *device_types(void);
/** Property names "name", "type" pairs of a driver; NULL if the driver is unknown. */
typedef struct DevicePropInfo { const char *name, *type; } DevicePropInfo;
const DevicePropInfo *device_type_props(const char *driver);
/** The error for a driver that does not exist, with the one that was probably meant. */
void device_type_error(const char *driver, GError **errp);
/** What travels of a device of this type; NULL: nothing, or the type is unknown. */
const struct VMStateDescription *device_type_vmstate(const char *driver);

#endif
