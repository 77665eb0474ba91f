/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of -device drivers: names, typed properties, and how each is made. Main thread, while the machine is built. */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "hw/core/board.h"

typedef struct DeviceType {
    DeviceTypeInfo info;
    const DevicePropInfo *props;    /* ends with name NULL */
    bool user_creatable;
    /** Makes the device; opts hold -global defaults and the user's values, names and types checked. */
    bool (*create)(Board *board, Opts *opts, GError **errp);
} DeviceType;

/** Entry of the table or NULL. */
const DeviceType *device_type_find(const char *driver);
/** Creates one device from -device options. errp is prefixed with "-device TEXT: ". */
bool device_create(Board *board, Opts *opts, GError **errp);

/* The creators, each beside its device. */
bool loader_device_create(Board *board, Opts *opts, GError **errp);
bool virtio_blk_create(Board *board, Opts *opts, GError **errp);
bool virtio_net_create(Board *board, Opts *opts, GError **errp);
bool virtio_rng_create(Board *board, Opts *opts, GError **errp);
bool virtio_serial_create(Board *board, Opts *opts, GError **errp);
bool virtconsole_create(Board *board, Opts *opts, GError **errp);
bool virtserialport_create(Board *board, Opts *opts, GError **errp);
bool virtio_balloon_create(Board *board, Opts *opts, GError **errp);

#endif
