/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device in the stream (machine-virt 2.10): transport prefix,
 * common registers, queues, the device's own part, subsections. One opaque
 * field in the device's section. Called by the migration only.
 */
#include <inttypes.h>
#include <string.h>
#include "hw/virtio/virtio.h"

#define CONFIG_WIRE_MAX 4096

/* ---- save ---- */

static void save_queues(VirtIODevice *dev, StreamWriter *w)
{
    stream_put_be32(w, dev->queue_count);
    for (unsigned i = 0; i < dev->queue_count; i++) {
        const VirtQueue *vq = &dev->queues[i];

        stream_put_be32(w, vq->num);
        stream_put_be32(w, vq->align);
        stream_put_be64(w, vq->desc);
        stream_put_be16(w, vq->last_avail_idx);
    }
}

static const VMStateDescription virtio_vmstate;

static bool virtio_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                       GError **errp)
{
    VirtIODevice *dev = (VirtIODevice *)pv;
    uint8_t config[VIRTIO_CONFIG_MAX];

    dev->transport->ops->save(dev->transport, w);
    stream_put_u8(w, dev->status);
    stream_put_u8(w, dev->isr);
    stream_put_be16(w, dev->queue_sel);
    stream_put_be32(w, (uint32_t)dev->guest_features);
    virtio_get_config(dev, config);
    stream_put_be32(w, dev->ops->config_bytes);
    stream_put_buffer(w, config, dev->ops->config_bytes);
    save_queues(dev, w);
    if (dev->ops->save && !dev->ops->save(dev, w, errp)) {
        return false;
    }
    return vmstate_save_body(w, &virtio_vmstate, dev, NULL, errp);
}

/* ---- load ---- */

static bool load_config(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    uint8_t config[VIRTIO_CONFIG_MAX] = { 0 };
    uint32_t len = stream_get_be32(r), ours = dev->ops->config_bytes;

    if (len > CONFIG_WIRE_MAX) {
        error_setg(errp, "%s: config space of %u bytes, expected %u", dev->ops->name, len, ours);
        return false;
    }
    stream_get_buffer(r, config, MIN(len, ours));
    if (len > ours) {
        stream_skip(r, len - ours);
    }
    /* What the config shows is derived from the device's own state; only what a guest can set is taken. */
    if (dev->ops->load_config && len >= ours) {
        dev->ops->load_config(dev, config);
    }
    return true;
}

/*
 * Refused is only what no guest can bring about: more queues or larger ones than there are. A guest
 * may point a ring anywhere, say that it offered 1000 requests in a ring of 8, or take the ring's
 * address away: the device finds out here as it would have there, when it looks at the queue.
 */
static bool load_queues(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    uint32_t count = stream_get_be32(r);

    if (count > VIRTIO_QUEUES_WIRE) {
        error_setg(errp, "Invalid number of virtqueues: 0x%x", count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        VirtQueue ignored = { 0 }, *vq = i < dev->queue_count ? &dev->queues[i] : &ignored;

        vq->num = stream_get_be32(r);
        vq->align = stream_get_be32(r);
        vq->desc = stream_get_be64(r);
        vq->last_avail_idx = stream_get_be16(r);
        vq->signalled_used_valid = false;
        if (vq->num > VIRTQUEUE_SIZE_MAX) {
            error_setg(errp, "VQ %u size 0x%x is larger than 0x%x", i, vq->num,
                       VIRTQUEUE_SIZE_MAX);
            return false;
        }
        if (vq == &ignored && vq->desc) {
            error_setg(errp, "%s: queue %u is in use, this device has %u", dev->ops->name, i,
                       dev->queue_count);
            return false;
        }
        if (dev->transport->legacy && vq != &ignored) {
            virtqueue_update_legacy(vq);
        }
    }
    return stream_reader_ok(r, errp);
}

static bool check_features(VirtIODevice *dev, GError **errp)
{
    if (dev->guest_features & ~dev->host_features) {
        error_setg(errp, "Features 0x%" PRIx64 " unsupported. Allowed features: 0x%" PRIx64,
                   dev->guest_features, dev->host_features);
        return false;
    }
    return true;
}

static bool virtio_loaded(VirtIODevice *dev, GError **errp)
{
    dev->started = dev->status & VIRTIO_STATUS_DRIVER_OK;
    if (!check_features(dev, errp)) {
        return false;
    }
    for (unsigned i = 0; i < dev->queue_count; i++) {
        virtqueue_loaded(&dev->queues[i]); /* guest RAM is here already, or comes on demand */
    }
    if (dev->ops->post_load && !dev->ops->post_load(dev, errp)) {
        return false;
    }
    dev->transport->ops->update_irq(dev->transport);
    return true;
}

static bool virtio_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                       GError **errp)
{
    VirtIODevice *dev = pv;

    virtio_reset(dev);
    dev->transport->ops->reset(dev->transport);
    if (!dev->transport->ops->load(dev->transport, r, errp)) {
        return false;
    }
    dev->status = stream_get_u8(r);
    dev->isr = stream_get_u8(r);
    dev->queue_sel = stream_get_be16(r);
    dev->guest_features = stream_get_be32(r);
    if (dev->queue_sel >= VIRTIO_QUEUES_WIRE) {
        error_setg(errp, "%s: selected queue %u: impossible", dev->ops->name, dev->queue_sel);
        return false;
    }
    if (!load_config(dev, r, errp) || !load_queues(dev, r, errp) ||
        (dev->ops->load && !dev->ops->load(dev, r, errp)) || !stream_reader_ok(r, errp) ||
        !vmstate_load_body(r, &virtio_vmstate, dev, 1, errp)) {
        return false;
    }
    return virtio_loaded(dev, errp);
}

static const VMStateInfo info_virtio = { "virtio", virtio_get, virtio_put };

const VMStateField virtio_vmstate_fields[] = {
    { .name = "virtio", .offset = 0, .size = 0, .info = &info_virtio },
    VMSTATE_END_OF_LIST(),
};

/* ---- subsections ---- */

static bool is_modern(void *opaque)
{
    return ((VirtIODevice *)opaque)->host_features >> VIRTIO_F_VERSION_1 & 1;
}

static uint32_t wire_default_num(const VirtIODevice *dev, unsigned i)
{
    if (i >= dev->queue_count) {
        return 0;
    }
    return vmstate_dialect(dev->machine->vmstate) == DIALECT_QEMU_7_2 ? dev->queues[i].default_num
                                                                      : VIRTQUEUE_SIZE_MAX;
}

static bool ringsize_needed(void *opaque)
{
    const VirtIODevice *dev = opaque;

    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->queues[i].num != wire_default_num(dev, i)) {
            return true;
        }
    }
    return false;
}

static bool broken_needed(void *opaque)
{
    return ((VirtIODevice *)opaque)->broken;
}

static bool started_needed(void *opaque)
{
    return ((VirtIODevice *)opaque)->started;
}

/* The bits above 31 arrive here; the low half repeats what was read before. */
static bool info64_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                       GError **errp)
{
    ((VirtIODevice *)pv)->guest_features = stream_get_be64(r);
    return stream_reader_ok(r, errp);
}

static bool virtqueues_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                           GError **errp)
{
    const VirtIODevice *dev = pv;

    for (unsigned i = 0; i < VIRTIO_QUEUES_WIRE; i++) {
        bool ours = i < dev->queue_count;

        stream_put_be64(w, ours ? dev->queues[i].avail : 0);
        stream_put_be64(w, ours ? dev->queues[i].used : 0);
    }
    return true;
}

static bool virtqueues_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                           GError **errp)
{
    VirtIODevice *dev = pv;

    for (unsigned i = 0; i < VIRTIO_QUEUES_WIRE; i++) {
        uint64_t avail = stream_get_be64(r), used = stream_get_be64(r);

        if (i < dev->queue_count) {
            dev->queues[i].avail = avail;
            dev->queues[i].used = used;
        }
    }
    return stream_reader_ok(r, errp);
}

static bool ringsize_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                         GError **errp)
{
    for (unsigned i = 0; i < VIRTIO_QUEUES_WIRE; i++) {
        stream_put_be32(w, wire_default_num(pv, i));
    }
    return true;
}

/* What a queue falls back to at reset is this machine's own business; the sizes in use came with the queues. */
static bool ringsize_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                         GError **errp)
{
    stream_skip(r, 4 * VIRTIO_QUEUES_WIRE);
    return stream_reader_ok(r, errp);
}

static bool extra_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                      GError **errp)
{
    VirtIOTransport *t = ((VirtIODevice *)pv)->transport;

    return vmstate_save_body(w, t->ops->extra_vmsd, t, NULL, errp);
}

static bool extra_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                      GError **errp)
{
    VirtIOTransport *t = ((VirtIODevice *)pv)->transport;

    return vmstate_load_body(r, t->ops->extra_vmsd, t, 1, errp);
}

static bool features_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                         GError **errp)
{
    stream_put_be64(w, ((const VirtIODevice *)pv)->guest_features);
    return true;
}

static bool disabled_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                         GError **errp)
{
    if (stream_get_u8(r)) {
        error_setg(errp, "%s: the device is disabled (failover), which is not supported",
                   ((VirtIODevice *)pv)->ops->name);
        return false;
    }
    return stream_reader_ok(r, errp);
}

static bool disabled_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                         GError **errp)
{
    stream_put_u8(w, 0);
    return true;
}

static bool endian_get(StreamReader *r, void *pv, size_t size, const VMStateField *field,
                       GError **errp)
{
    uint8_t endian = stream_get_u8(r);

    if (endian != 1) {
        error_setg(errp, "%s: device endianness %u, expected 1 (little)",
                   ((VirtIODevice *)pv)->ops->name, endian);
        return false;
    }
    return stream_reader_ok(r, errp);
}

static bool endian_put(StreamWriter *w, const void *pv, size_t size, const VMStateField *field,
                       GError **errp)
{
    stream_put_u8(w, 1);
    return true;
}

static bool never_needed(void *opaque)
{
    return false;
}

#define RAW_SUBSECTION(_var, _name, _get, _put, _needed)                                   \
    static const VMStateInfo _var##_info = { _name, _get, _put };                          \
    static const VMStateField _var##_fields[] = {                                          \
        { .name = _name, .offset = 0, .info = &_var##_info }, VMSTATE_END_OF_LIST() };     \
    static const VMStateDescription _var = { .name = "virtio/" _name, .version_id = 1,     \
        .minimum_version_id = 1, .fields = _var##_fields, .needed = (_needed) }

RAW_SUBSECTION(sub_endian, "device_endian", endian_get, endian_put, never_needed);
RAW_SUBSECTION(sub_features, "64bit_features", info64_get, features_put, NULL);
RAW_SUBSECTION(sub_virtqueues, "virtqueues", virtqueues_get, virtqueues_put, is_modern);
RAW_SUBSECTION(sub_ringsize, "ringsize", ringsize_get, ringsize_put, ringsize_needed);
RAW_SUBSECTION(sub_extra, "extra_state", extra_get, extra_put, is_modern);
RAW_SUBSECTION(sub_disabled, "disabled", disabled_get, disabled_put, never_needed);

static const VMStateField broken_fields[] = {
    VMSTATE_BOOL(broken, VirtIODevice), VMSTATE_END_OF_LIST(),
};
static const VMStateField started_fields[] = {
    VMSTATE_BOOL(started, VirtIODevice), VMSTATE_END_OF_LIST(),
};
static const VMStateDescription sub_broken = {
    .name = "virtio/broken", .version_id = 1, .minimum_version_id = 1, .fields = broken_fields,
    .needed = broken_needed,
};
static const VMStateDescription sub_started = {
    .name = "virtio/started", .version_id = 1, .minimum_version_id = 1, .fields = started_fields,
    .needed = started_needed,
};

/* In wire order. Packed rings are never offered, so their subsection is unknown, by name. */
static const VMStateDescription *const virtio_subsections[] = {
    &sub_endian, &sub_features, &sub_virtqueues, &sub_ringsize, &sub_broken, &sub_extra,
    &sub_started, &sub_disabled, NULL,
};

static const VMStateDescription virtio_vmstate = {
    .name = "virtio", .version_id = 1, .minimum_version_id = 1, .subsections = virtio_subsections,
};
