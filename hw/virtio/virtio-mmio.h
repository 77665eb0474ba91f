/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio-mmio slot of the board, empty or with a device. Under the BQL. */
#ifndef HW_VIRTIO_VIRTIO_MMIO_H
#define HW_VIRTIO_VIRTIO_MMIO_H

#include "hw/virtio/virtio.h"

/* What a modern driver writes before it enables a queue. */
typedef struct VirtIOMMIOQueue {
    uint16_t num;
    bool enabled;
    uint32_t desc[2], avail[2], used[2];    /* low word first */
} VirtIOMMIOQueue;

typedef struct VirtIOSlot {
    VirtIOTransport transport;
    unsigned n;
    uint64_t base;
    IRQLine irq;
    VirtIODevice *dev;          /* NULL: empty */
    uint32_t host_features_sel, guest_features_sel, guest_page_shift;
    uint32_t guest_features[2]; /* modern: collected until FEATURES_OK */
    VirtIOMMIOQueue queues[VIRTIO_QUEUES_WIRE];
} VirtIOSlot;

/** Creates the slots of the board from the highest base down and maps them. legacy: force-legacy. */
bool virtio_slots_new(Board *board, uint64_t base, uint64_t stride, unsigned count,
                      IRQLine (*line)(void *opaque, unsigned n), void *opaque, GError **errp);
/** Puts the device into the slot bus= names or the highest free one, registers its section. */
bool virtio_plug(Board *board, VirtIODevice *dev, Opts *opts, GError **errp);
/** The slot of a plugged device. */
VirtIOSlot *virtio_slot(const VirtIODevice *dev);

extern const MemoryRegionOps virtio_mmio_ops;   /* opaque: VirtIOSlot */

#endif
