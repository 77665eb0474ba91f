/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of -device drivers: names, typed properties, and how each is made. Main thread, while the machine is built. */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "hw/core/board.h"
#include "migration/vmstate.h"

typedef struct DeviceType {
    DeviceTypeInfo info;
    const DevicePropInfo *props;    /* ends with name NULL */
    bool user_creatable;
    /** Makes the device; opts hold -global defaults and the user's values, names and types checked. */
    bool (*create)(Board *board, Opts *opts, GError **errp);
    const VMStateDescription *vmsd; /* what travels of it; NULL: nothing */
    /** Takes away the device with this id, which is there. NULL: its bus cannot do that, nor add one. */
    void (*remove)(Board *board, const char *id);
} DeviceType;

/** Entry of the table or NULL. */
const DeviceType *device_type_find(const char *driver);
/** Creates one device from -device options. errp is prefixed with "-device TEXT: ". */
bool device_create(Board *board, Opts *opts, GError **errp);

/* What travels of them, each beside its device. */
extern const VMStateDescription virtio_balloon_vmstate, virtio_blk_vmstate, virtio_net_vmstate,
    virtio_rng_vmstate, virtio_serial_vmstate, plic_vmstate, clint_vmstate, serial_vmstate,
    goldfish_rtc_vmstate, pflash_vmstate, fw_cfg_vmstate, gpex_root_vmstate, pci_host_vmstate;

/* The creators, each beside its device. */
bool loader_device_create(Board *board, Opts *opts, GError **errp);
bool virtio_blk_create(Board *board, Opts *opts, GError **errp);
bool virtio_net_create(Board *board, Opts *opts, GError **errp);
bool virtio_rng_create(Board *board, Opts *opts, GError **errp);
bool virtio_serial_create(Board *board, Opts *opts, GError **errp);
bool virtconsole_create(Board *board, Opts *opts, GError **errp);
bool virtserialport_create(Board *board, Opts *opts, GError **errp);
bool virtio_balloon_create(Board *board, Opts *opts, GError **errp);

/* The removers likewise. */
void virtio_port_remove(Board *board, const char *device_id);

#endif
