/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all virtio devices share: creation, status, features, reset, run
 * state, interrupts. Called by the devices and their transport.
 */
#include <stdarg.h>
#include <inttypes.h>
#include <string.h>
#include "hw/virtio/virtio.h"
#include "softmmu/runstate.h"

#define COMPLAINTS_PER_SECOND 5

/* ---- creation ---- */

static bool feature_option(Opts *opts, const char *name, unsigned bit, uint64_t *features,
                           GError **errp)
{
    bool on = true;

    if (!opts_get_bool(opts, name, &on, errp)) {
        return false;
    }
    if (!on) {
        *features &= ~FEATURE(bit);
    }
    return true;
}

VirtIODevice *virtio_new(Board *board, size_t size, const VirtIODeviceOps *ops, Opts *opts,
                         uint64_t features, GError **errp)
{
    VirtIODevice *dev;

    features |= FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) | FEATURE(VIRTIO_F_ANY_LAYOUT) |
                FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX);
    if (!feature_option(opts, "notify_on_empty", VIRTIO_F_NOTIFY_ON_EMPTY, &features, errp) ||
        !feature_option(opts, "any_layout", VIRTIO_F_ANY_LAYOUT, &features, errp) ||
        !feature_option(opts, "indirect_desc", VIRTIO_RING_F_INDIRECT_DESC, &features, errp) ||
        !feature_option(opts, "event_idx", VIRTIO_RING_F_EVENT_IDX, &features, errp)) {
        return NULL;
    }
    dev = g_malloc0(size);
    dev->ops = ops;
    dev->machine = board->machine;
    dev->host_features = features;
    dev->id = g_strdup(opts_get(opts, "id"));
    return dev;
}

/* What the queue was put off for has come. */
static void queue_again(void *opaque)
{
    VirtQueue *vq = opaque;

    if (vq->dev->running && vq->handle && virtqueue_ready(vq)) {
        vq->handle(vq->dev, vq);
    }
}

VirtQueue *virtio_add_queue(VirtIODevice *dev, uint32_t default_num,
                            void (*handle)(VirtIODevice *dev, VirtQueue *vq))
{
    VirtQueue *vq;

    g_assert(dev->queue_count < VIRTIO_QUEUES_MAX);
    vq = &dev->queues[dev->queue_count];
    vq->dev = dev;
    vq->n = dev->queue_count++;
    vq->handle = handle;
    vq->default_num = default_num;
    put_off_init(&vq->put_off, dev->machine->present, dev->machine->loop, PRESENT_USER_DEVICE,
                 queue_again, vq);
    return vq;
}

static char **device_props(const Opts *opts)
{
    GPtrArray *props = g_ptr_array_new();
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (strcmp(key, "driver") && strcmp(key, "id") && strcmp(key, "bus")) {
            g_ptr_array_add(props, g_strdup_printf("%s = %s", key, value));
        }
    }
    g_ptr_array_add(props, NULL);
    return (char **)g_ptr_array_free(props, FALSE);
}

static void virtio_system_reset(void *opaque)
{
    VirtIODevice *dev = opaque;

    virtio_reset(dev);
    dev->transport->ops->reset(dev->transport);
}

static void virtio_run_state_changed(void *opaque, bool running, RunState state)
{
    virtio_run_state(opaque, running);
}

static void virtio_free_opaque(void *opaque)
{
    virtio_free(opaque);
}

void virtio_attach(Board *board, VirtIODevice *dev, const VirtIOPlace *place, const Opts *opts)
{
    g_autofree char *idstr = g_strdup_printf("%s/%s", place->path, dev->ops->name);

    if (place->transport->legacy) {
        dev->host_features &= ~FEATURE(VIRTIO_F_VERSION_1);
    } else {
        dev->host_features |= FEATURE(VIRTIO_F_VERSION_1);
        dev->host_features &= ~(FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) | FEATURE(VIRTIO_F_ANY_LAYOUT) |
                                dev->ops->legacy_features);
    }
    dev->transport = place->transport;
    virtio_reset(dev);
    vmstate_register(dev->machine->vmstate, idstr, 0, dev->ops->vmsd, dev);
    machine_add_reset_handler(dev->machine->runstate, virtio_system_reset, dev);
    runstate_add_notifier(dev->machine->runstate, virtio_run_state_changed, dev);
    board_on_free(board, virtio_free_opaque, dev);
    dev->listed = board_add_device(board, dev->ops->driver, dev->id, place->bus, place->base,
                                   device_props(opts));
}

void virtio_free(VirtIODevice *dev)
{
    if (dev->transport) {
        dev->transport->ops->unplug(dev->transport);
    }
    for (unsigned i = 0; i < dev->queue_count; i++) {
        put_off_forget(&dev->queues[i].put_off);
    }
    if (dev->ops->free) {
        dev->ops->free(dev);
    }
    g_free(dev->id);
    g_free(dev);
}

/* ---- life ---- */

static uint32_t queue_initial_num(const VirtQueue *vq)
{
    /* 10.0 forces every default to the largest size (machine-virt 2.10). */
    return vmstate_dialect(vq->dev->machine->vmstate) == DIALECT_QEMU_7_2 ? vq->default_num
                                                                          : VIRTQUEUE_SIZE_MAX;
}

static void virtqueue_reset(VirtQueue *vq)
{
    vq->num = queue_initial_num(vq);
    vq->align = VIRTIO_LEGACY_ALIGN;
    vq->desc = vq->avail = vq->used = 0;
    vq->last_avail_idx = vq->used_idx = vq->signalled_used = 0;
    vq->signalled_used_valid = vq->used_unknown = false;
    vq->inuse = 0;
    put_off_forget(&vq->put_off);
}

void virtio_reset(VirtIODevice *dev)
{
    virtio_set_status(dev, 0);
    if (dev->ops->reset) {
        dev->ops->reset(dev);
    }
    dev->broken = dev->started = false;
    dev->guest_features = 0;
    dev->queue_sel = 0;
    dev->status = 0;
    dev->isr = 0;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        virtqueue_reset(&dev->queues[i]);
    }
    dev->transport->ops->update_irq(dev->transport);
}

void virtio_set_status(VirtIODevice *dev, uint8_t status)
{
    if (dev->ops->set_status) {
        dev->ops->set_status(dev, status);
    }
    dev->status = status;
    dev->started = status & VIRTIO_STATUS_DRIVER_OK;
}

void virtio_set_features(VirtIODevice *dev, uint64_t features)
{
    dev->guest_features = features & dev->host_features;
}

static void kick_all(VirtIODevice *dev)
{
    for (unsigned i = 0; i < dev->queue_count && dev->running; i++) {
        VirtQueue *vq = &dev->queues[i];

        if (vq->handle && virtqueue_ready(vq)) {
            vq->handle(dev, vq);
        }
    }
}

void virtio_run_state(VirtIODevice *dev, bool running)
{
    dev->running = running;
    if (dev->ops->run_state) {
        dev->ops->run_state(dev, running);
    }
    if (running && dev->started) {
        kick_all(dev); /* what the guest offered while nobody looked: before a stop, or on the source */
    }
}

void virtio_get_config(VirtIODevice *dev, uint8_t config[VIRTIO_CONFIG_MAX])
{
    memset(config, 0, VIRTIO_CONFIG_MAX);
    if (dev->ops->get_config) {
        dev->ops->get_config(dev, config);
    }
}

void virtio_interrupt(VirtIODevice *dev, uint8_t bits)
{
    dev->isr |= bits;
    dev->transport->ops->update_irq(dev->transport);
}

void virtio_config_changed(VirtIODevice *dev)
{
    dev->config_generation++;
    if (dev->status & VIRTIO_STATUS_DRIVER_OK) {
        virtio_interrupt(dev, 3);
    }
}

void virtio_error(VirtIODevice *dev, const char *fmt, ...)
{
    va_list ap;
    g_autofree char *text = NULL;

    if (dev->broken) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    switch (rate_limit_ask(&dev->complaints, g_get_monotonic_time(), COMPLAINTS_PER_SECOND)) {
    case RATE_OK:
        machine_report(dev->machine, "%s: %s", dev->ops->driver, text);
        break;
    case RATE_FIRST_OVER:
        machine_report(dev->machine, "%s: the guest makes more errors; further messages of this "
                       "second are suppressed", dev->ops->driver);
        break;
    case RATE_OVER:
        break;
    }
    dev->broken = true;
    if (virtio_has(dev, VIRTIO_F_VERSION_1)) {
        dev->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_config_changed(dev);
    }
}

void virtqueue_update_legacy(VirtQueue *vq)
{
    uint64_t align = vq->align;

    if (!vq->desc || !vq->num || !align) {
        vq->avail = vq->used = 0;
        return;
    }
    vq->avail = vq->desc + 16ULL * vq->num;
    vq->used = (vq->avail + 2ULL * (3 + vq->num) + align - 1) & ~(align - 1);
}

bool virtqueue_ready(const VirtQueue *vq)
{
    return vq->num && vq->desc && vq->avail && vq->used && !vq->dev->broken;
}
