/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-mmio transport, legacy (version 1) and modern (version 2), per
 * virtio 1.x 4.2 and machine-virt 5. The board makes the slots; devices
 * plug into them. An empty slot answers with device id 0.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "hw/virtio/virtio-mmio.h"

#define MMIO_MAGIC 0x74726976
#define MMIO_VENDOR 0x554d4551
#define MMIO_CONFIG 0x100
#define MMIO_DECODED 0x200

enum {
    REG_MAGIC = 0x000, REG_VERSION = 0x004, REG_DEVICE_ID = 0x008, REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010, REG_DEVICE_FEATURES_SEL = 0x014, REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024, REG_GUEST_PAGE_SIZE = 0x028, REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034, REG_QUEUE_NUM = 0x038, REG_QUEUE_ALIGN = 0x03c,
    REG_QUEUE_PFN = 0x040, REG_QUEUE_READY = 0x044, REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060, REG_INTERRUPT_ACK = 0x064, REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080, REG_QUEUE_AVAIL = 0x090, REG_QUEUE_USED = 0x0a0, /* each: low, high word */
    REG_CONFIG_GENERATION = 0x0fc,
};

/* ---- interrupts ---- */

static void slot_update_irq(VirtIOTransport *transport)
{
    VirtIOSlot *slot = (VirtIOSlot *)transport;

    irq_line_set(&slot->irq, slot->dev && slot->dev->isr != 0);
}

/* ---- reset ---- */

/* What a driver's reset clears. The legacy page size survives: Linux sets it before it resets. */
static void slot_soft_reset(VirtIOSlot *slot)
{
    slot->guest_features[0] = slot->guest_features[1] = 0;
    memset(slot->queues, 0, sizeof(slot->queues));
}

static void slot_reset(VirtIOTransport *transport)
{
    VirtIOSlot *slot = (VirtIOSlot *)transport;

    slot->host_features_sel = slot->guest_features_sel = 0;
    slot->guest_page_shift = 0;
    slot_soft_reset(slot);
}

/* ---- the selected queue ---- */

static VirtQueue *selected_queue(VirtIOSlot *slot)
{
    VirtIODevice *dev = slot->dev;

    return dev->queue_sel < dev->queue_count ? &dev->queues[dev->queue_sel] : NULL;
}

static VirtIOMMIOQueue *selected_staging(VirtIOSlot *slot)
{
    return &slot->queues[slot->dev->queue_sel % VIRTIO_QUEUES_WIRE];
}

static bool queue_size_ok(uint64_t num)
{
    return num > 0 && num <= VIRTQUEUE_SIZE_MAX && (num & (num - 1)) == 0;
}

static void write_queue_num(VirtIOSlot *slot, uint32_t value)
{
    VirtQueue *vq = selected_queue(slot);

    if (!vq || !queue_size_ok(value)) {
        return;
    }
    if (slot->transport.legacy) {
        vq->num = value;
        virtqueue_update_legacy(vq);
    } else {
        selected_staging(slot)->num = value;
    }
}

static uint64_t join(const uint32_t words[2])
{
    return (uint64_t)words[1] << 32 | words[0];
}

static void write_queue_ready(VirtIOSlot *slot, uint32_t value)
{
    VirtQueue *vq = selected_queue(slot);
    VirtIOMMIOQueue *staging = selected_staging(slot);

    if (!vq) {
        return;
    }
    staging->enabled = value & 1;
    if (staging->enabled) {
        if (staging->num) {
            vq->num = staging->num;
        }
        vq->desc = join(staging->desc);
        vq->avail = join(staging->avail);
        vq->used = join(staging->used);
    }
}

static void write_queue_pfn(VirtIOSlot *slot, uint32_t value)
{
    VirtQueue *vq = selected_queue(slot);

    if (value == 0) {
        virtio_reset(slot->dev);
        slot_soft_reset(slot);
    } else if (vq) {
        vq->desc = (uint64_t)value << slot->guest_page_shift;
        virtqueue_update_legacy(vq);
    }
}

static void write_queue_notify(VirtIOSlot *slot, uint32_t n)
{
    VirtIODevice *dev = slot->dev;

    /* While stopped nothing is looked at: the start looks at every queue. */
    if (n < dev->queue_count && dev->running && virtqueue_ready(&dev->queues[n]) &&
        dev->queues[n].handle) {
        dev->queues[n].handle(dev, &dev->queues[n]);
    }
}

/* ---- status and features ---- */

static void write_status(VirtIOSlot *slot, uint8_t value)
{
    VirtIODevice *dev = slot->dev;

    if (!slot->transport.legacy && (value & VIRTIO_STATUS_FEATURES_OK) &&
        !(dev->status & VIRTIO_STATUS_FEATURES_OK)) {
        virtio_set_features(dev, join(slot->guest_features));
    }
    virtio_set_status(dev, value);
    if (value == 0) {
        virtio_reset(dev);
        slot_soft_reset(slot);
    }
}

static void write_driver_features(VirtIOSlot *slot, uint32_t value)
{
    VirtIODevice *dev = slot->dev;

    if (slot->transport.legacy) {
        if (slot->guest_features_sel == 0) {
            virtio_set_features(dev, value);
        }
    } else if (slot->guest_features_sel < 2) {
        slot->guest_features[slot->guest_features_sel] = value;
    }
}

static uint32_t read_device_features(const VirtIOSlot *slot)
{
    uint64_t features = slot->dev->host_features;

    if (slot->transport.legacy) {
        return slot->host_features_sel == 0 ? (uint32_t)features : 0;
    }
    return slot->host_features_sel == 0 ? (uint32_t)features
           : slot->host_features_sel == 1 ? features >> 32 : 0;
}

/* ---- registers ---- */

static uint32_t read_reg(VirtIOSlot *slot, uint64_t offset)
{
    VirtIODevice *dev = slot->dev;
    VirtQueue *vq = selected_queue(slot);

    switch (offset) {
    case REG_DEVICE_FEATURES:
        return read_device_features(slot);
    case REG_QUEUE_NUM_MAX:
        return vq ? VIRTQUEUE_SIZE_MAX : 0;
    case REG_QUEUE_PFN:
        return slot->transport.legacy && vq ? vq->desc >> slot->guest_page_shift : 0;
    case REG_QUEUE_READY:
        return !slot->transport.legacy && vq ? selected_staging(slot)->enabled : 0;
    case REG_INTERRUPT_STATUS:
        return dev->isr;
    case REG_STATUS:
        return dev->status;
    case REG_CONFIG_GENERATION:
        return slot->transport.legacy ? 0 : dev->config_generation;
    default:
        return 0;
    }
}

static void write_ring_address(VirtIOSlot *slot, uint64_t offset, uint32_t value)
{
    VirtIOMMIOQueue *staging = selected_staging(slot);
    unsigned word = offset >> 2 & 1;

    if (slot->transport.legacy) {
        return;
    }
    switch (offset & ~4ULL) {
    case REG_QUEUE_DESC:
        staging->desc[word] = value;
        break;
    case REG_QUEUE_AVAIL:
        staging->avail[word] = value;
        break;
    case REG_QUEUE_USED:
        staging->used[word] = value;
        break;
    default:
        break;
    }
}

static void write_guest_page_size(VirtIOSlot *slot, uint32_t value)
{
    if (slot->transport.legacy) {
        slot->guest_page_shift = value ? __builtin_ctz(value) : 0;
    }
}

static void write_queue_align(VirtIOSlot *slot, uint32_t value)
{
    VirtQueue *vq = selected_queue(slot);

    if (slot->transport.legacy && vq && value && (value & (value - 1)) == 0) {
        vq->align = value;
        virtqueue_update_legacy(vq);
    }
}

static void write_reg(VirtIOSlot *slot, uint64_t offset, uint32_t value)
{
    VirtIODevice *dev = slot->dev;

    switch (offset) {
    case REG_DEVICE_FEATURES_SEL:
        slot->host_features_sel = value;
        break;
    case REG_DRIVER_FEATURES:
        write_driver_features(slot, value);
        break;
    case REG_DRIVER_FEATURES_SEL:
        slot->guest_features_sel = value;
        break;
    case REG_GUEST_PAGE_SIZE:
        write_guest_page_size(slot, value);
        break;
    case REG_QUEUE_SEL:
        if (value < VIRTIO_QUEUES_WIRE) {
            dev->queue_sel = value;
        }
        break;
    case REG_QUEUE_NUM:
        write_queue_num(slot, value);
        break;
    case REG_QUEUE_ALIGN:
        write_queue_align(slot, value);
        break;
    case REG_QUEUE_PFN:
        if (slot->transport.legacy) {
            write_queue_pfn(slot, value);
        }
        break;
    case REG_QUEUE_READY:
        if (!slot->transport.legacy) {
            write_queue_ready(slot, value);
        }
        break;
    case REG_QUEUE_NOTIFY:
        write_queue_notify(slot, value);
        break;
    case REG_INTERRUPT_ACK:
        dev->isr &= ~value;
        slot_update_irq(&slot->transport);
        break;
    case REG_STATUS:
        write_status(slot, value);
        break;
    default:
        write_ring_address(slot, offset, value);
        break;
    }
}

static uint64_t read_config(VirtIODevice *dev, uint64_t offset, unsigned size)
{
    uint8_t config[VIRTIO_CONFIG_MAX];
    uint64_t value = 0;

    if (offset + size > dev->ops->config_bytes) {
        return size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
    }
    virtio_get_config(dev, config);
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)config[offset + i] << (8 * i);
    }
    return value;
}

static void write_config(VirtIODevice *dev, uint64_t offset, unsigned size, uint64_t value)
{
    uint8_t config[VIRTIO_CONFIG_MAX];

    if (offset + size > dev->ops->config_bytes || !dev->ops->set_config) {
        return;
    }
    virtio_get_config(dev, config);
    for (unsigned i = 0; i < size; i++) {
        config[offset + i] = value >> (8 * i);
    }
    dev->ops->set_config(dev, config);
}

static MemTxResult mmio_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    VirtIOSlot *slot = opaque;

    *value = 0;
    if (offset >= MMIO_DECODED) {
        return MEMTX_OK;
    }
    if (offset < MMIO_CONFIG) {
        if (size != 4 || offset % 4) {
            return MEMTX_OK;
        }
        switch (offset) {
        case REG_MAGIC:
            *value = MMIO_MAGIC;
            break;
        case REG_VERSION:
            *value = slot->transport.legacy ? 1 : 2;
            break;
        case REG_VENDOR_ID:
            *value = MMIO_VENDOR;
            break;
        case REG_DEVICE_ID:
            *value = slot->dev ? slot->dev->ops->id : 0;
            break;
        default:
            *value = slot->dev ? read_reg(slot, offset) : 0;
            break;
        }
    } else if (slot->dev) {
        *value = read_config(slot->dev, offset - MMIO_CONFIG, size);
    }
    return MEMTX_OK;
}

static MemTxResult mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    VirtIOSlot *slot = opaque;

    if (!slot->dev || offset >= MMIO_DECODED) {
        return MEMTX_OK;
    }
    if (offset >= MMIO_CONFIG) {
        write_config(slot->dev, offset - MMIO_CONFIG, size, value);
    } else if (size == 4 && offset % 4 == 0) {
        write_reg(slot, offset, value);
    }
    return MEMTX_OK;
}

const MemoryRegionOps virtio_mmio_ops = { mmio_read, mmio_write };

/* ---- stream (machine-virt 2.10) ---- */

static const VMStateField mmio_queue_fields[] = {
    VMSTATE_UINT16(num, VirtIOMMIOQueue),
    VMSTATE_BOOL(enabled, VirtIOMMIOQueue),
    VMSTATE_UINT32_ARRAY(desc, VirtIOMMIOQueue, 2),
    VMSTATE_UINT32_ARRAY(avail, VirtIOMMIOQueue, 2),
    VMSTATE_UINT32_ARRAY(used, VirtIOMMIOQueue, 2),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription mmio_queue_vmstate = {
    .name = "virtio_mmio/queue_state", .version_id = 1, .minimum_version_id = 1,
    .fields = mmio_queue_fields,
};

static const VMStateField mmio_state_fields[] = {
    VMSTATE_UINT32_ARRAY(guest_features, VirtIOSlot, 2),
    VMSTATE_STRUCT_ARRAY(queues, VirtIOSlot, VIRTIO_QUEUES_WIRE, mmio_queue_vmstate,
                         VirtIOMMIOQueue),
    VMSTATE_END_OF_LIST(),
};

static bool mmio_state_needed(void *opaque)
{
    return !((VirtIOSlot *)opaque)->transport.legacy;
}

static const VMStateDescription mmio_state_vmstate = {
    .name = "virtio_mmio/state", .version_id = 1, .minimum_version_id = 1,
    .fields = mmio_state_fields, .needed = mmio_state_needed,
};

static const VMStateDescription *const mmio_extra_subsections[] = { &mmio_state_vmstate, NULL };

static const VMStateDescription mmio_extra_vmstate = {
    .name = "virtio_mmio", .version_id = 1, .minimum_version_id = 1,
    .subsections = mmio_extra_subsections,
};

static void slot_save(const VirtIOTransport *transport, StreamWriter *w)
{
    const VirtIOSlot *slot = (const VirtIOSlot *)transport;

    stream_put_be32(w, slot->host_features_sel);
    stream_put_be32(w, slot->guest_features_sel);
    stream_put_be32(w, slot->guest_page_shift);
}

static bool slot_load(VirtIOTransport *transport, StreamReader *r, GError **errp)
{
    VirtIOSlot *slot = (VirtIOSlot *)transport;

    slot->host_features_sel = stream_get_be32(r);
    slot->guest_features_sel = stream_get_be32(r);
    slot->guest_page_shift = stream_get_be32(r);
    if (slot->guest_page_shift > 31) {
        error_setg(errp, "%s: page shift %u: impossible", slot->dev->ops->name,
                   slot->guest_page_shift);
        return false;
    }
    return true;
}

/* ---- slots ---- */

static void slot_unplug(VirtIOTransport *transport)
{
    ((VirtIOSlot *)transport)->dev = NULL;
}

static const VirtIOTransportOps slot_ops = {
    .update_irq = slot_update_irq,
    .reset = slot_reset,
    .unplug = slot_unplug,
    .save = slot_save,
    .load = slot_load,
    .extra_vmsd = &mmio_extra_vmstate,
};

static void slots_free(void *opaque)
{
    Board *board = opaque;

    for (unsigned i = 0; i < board->slot_count; i++) {
        g_free(board->slots[i]);
    }
    g_clear_pointer(&board->slots, g_free);
    board->slot_count = 0;
}

bool virtio_slots_new(Board *board, uint64_t base, uint64_t stride, unsigned count,
                      IRQLine (*line)(void *opaque, unsigned n), void *opaque, GError **errp)
{
    const char *global = board_global(board, "virtio-mmio", "force-legacy");
    bool on, legacy = !global || !parse_bool(global, &on) || on;

    board->slots = g_new0(VirtIOSlot *, count);
    board->slot_count = count;
    board_on_free(board, slots_free, board);
    for (unsigned i = 0; i < count; i++) {
        VirtIOSlot *slot = board->slots[i] = g_new0(VirtIOSlot, 1);

        slot->n = i;
        slot->base = base + i * stride;
        slot->transport = (VirtIOTransport){ &slot_ops, legacy };
        slot->irq = line(opaque, i);
        if (!address_space_add_io(board->machine->as, "virtio-mmio", slot->base, stride,
                                  &virtio_mmio_ops, slot, errp)) {
            return false;
        }
    }
    return true;
}

static VirtIOSlot *slot_find(Board *board, const char *bus, const char *driver, GError **errp)
{
    static const char prefix[] = "virtio-mmio-bus.";
    uint64_t n;

    if (bus) {
        if (!g_str_has_prefix(bus, prefix) || !parse_u64(bus + strlen(prefix), &n) ||
            n >= board->slot_count) {
            error_setg(errp, "Bus '%s' not found", bus);
            return NULL;
        }
        if (board->slots[n]->dev) {
            error_setg(errp, "Bus '%s' is full", bus);
            return NULL;
        }
        return board->slots[n];
    }
    for (unsigned i = board->slot_count; i > 0; i--) {
        if (!board->slots[i - 1]->dev) {
            return board->slots[i - 1];
        }
    }
    error_setg(errp, "No 'virtio-bus' bus found for device '%s'", driver);
    return NULL;
}

bool virtio_plug(Board *board, VirtIODevice *dev, Opts *opts, GError **errp)
{
    VirtIOSlot *slot = slot_find(board, opts_get(opts, "bus"), dev->ops->driver, errp);
    g_autofree char *path = NULL, *bus = NULL;

    if (!slot) {
        return false;
    }
    slot->dev = dev;
    path = g_strdup_printf("virtio-mmio@%016" PRIx64, slot->base);
    bus = g_strdup_printf("virtio-mmio-bus.%u", slot->n);
    virtio_attach(board, dev, &(VirtIOPlace){ &slot->transport, path, bus, slot->base }, opts);
    return true;
}

VirtIOSlot *virtio_slot(const VirtIODevice *dev)
{
    return (VirtIOSlot *)dev->transport;
}
