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

struct VirtIOSlot {
    unsigned n;
    uint64_t base;
    bool legacy;
    IRQLine irq;
    VirtIODevice *dev;          /* NULL: empty */
    uint32_t host_features_sel, guest_features_sel, guest_page_shift;
    uint32_t guest_features[2]; /* modern: collected until FEATURES_OK */
    VirtIOMMIOQueue queues[VIRTIO_QUEUES_WIRE];
};

/** Creates the slots of the board from the highest base down and maps them. legacy: force-legacy. */
bool virtio_slots_new(Board *board, uint64_t base, uint64_t stride, unsigned count,
                      IRQLine (*line)(void *opaque, unsigned n), void *opaque, GError **errp);
/** The slot of "virtio-mmio-bus.N", or with bus NULL the highest free one. NULL with errp. */
VirtIOSlot *virtio_slot_find(Board *board, const char *bus, const char *driver, GError **errp);
/** Transport registers to their reset values; the device is not touched. */
void virtio_slot_reset(VirtIOSlot *slot);
/** isr bits: 1 ring, 2 config. */
void virtio_slot_interrupt(VirtIOSlot *slot, uint8_t bits);
void virtio_slot_update_irq(VirtIOSlot *slot);

extern const MemoryRegionOps virtio_mmio_ops;   /* opaque: VirtIOSlot */
extern const VMStateDescription virtio_mmio_extra_vmstate;  /* of VirtIOSlot */

#endif
