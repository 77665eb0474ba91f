/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-rng (device 4): fills the guest's buffers with random bytes, at
 * most max-bytes in each period. Buffers wait in the ring, unpopped, while
 * there is nothing to give.
 */
#include <glib-unix.h>
#include "hw/core/device.h"
#include "hw/rng-backend.h"
#include "hw/virtio/virtio-mmio.h"

#define RNG_CHUNK 4096      /* bytes per buffer at most: bounds the time under the BQL */
#define RNG_BURST 16        /* buffers per kick, the rest from the main loop */
#define QUEUE_NUM_7_2 8

typedef struct VirtIORNG {
    VirtIODevice dev;
    RngBackend *rng;
    uint64_t max_bytes;
    uint64_t period_ms;
    uint64_t quota;         /* bytes left in this period */
    ClockTimer *quota_timer;
    GSource *wait;          /* for more bytes, or to go on after a burst */
} VirtIORNG;

static void rng_fill(VirtIORNG *rng);

static void rng_stop_waiting(VirtIORNG *rng)
{
    if (rng->wait) {
        g_source_destroy(rng->wait);
        g_source_unref(rng->wait);
        rng->wait = NULL;
    }
}

static gboolean rng_idle(gpointer opaque)
{
    rng_stop_waiting(opaque);
    rng_fill(opaque);
    return G_SOURCE_REMOVE;
}

static gboolean rng_readable(gint fd, GIOCondition condition, gpointer opaque)
{
    return rng_idle(opaque);
}

static void rng_wait(VirtIORNG *rng, bool for_input)
{
    int fd = rng_backend_fd(rng->rng);

    if (rng->wait) {
        return;
    }
    if (for_input && fd >= 0) {
        rng->wait = g_unix_fd_source_new(fd, G_IO_IN);
        g_source_set_callback(rng->wait, G_SOURCE_FUNC(rng_readable), rng, NULL);
    } else {
        rng->wait = for_input ? g_timeout_source_new(10) : g_idle_source_new();
        g_source_set_callback(rng->wait, rng_idle, rng, NULL);
    }
    g_source_attach(rng->wait, main_loop_context(rng->dev.machine->loop));
}

/* One buffer. False: nothing left to do now. */
static bool rng_fill_one(VirtIORNG *rng, VirtQueue *vq)
{
    uint8_t bytes[RNG_CHUNK];
    VirtQueueElement *elem = virtqueue_pop(vq);
    size_t want, got;

    if (!elem) {
        return false;
    }
    want = MIN(MIN(elem->in_bytes, sizeof(bytes)), rng->quota);
    got = want ? rng_backend_read(rng->rng, bytes, want) : 0;
    if (want && !got) {
        virtqueue_unpop(vq, elem);
        rng_wait(rng, true);
        return false;
    }
    iov_write(elem->in_sg, elem->in_num, 0, bytes, got);
    rng->quota -= got;
    virtqueue_push(vq, elem, got);
    return true;
}

static void rng_fill(VirtIORNG *rng)
{
    VirtQueue *vq = &rng->dev.queues[0];
    unsigned done = 0;

    while (rng->dev.running && rng->quota && done < RNG_BURST && rng_fill_one(rng, vq)) {
        done++;
    }
    if (done) {
        virtqueue_notify(vq);
    }
    if (done == RNG_BURST && rng->quota) {
        rng_wait(rng, false);
    }
}

static void rng_quota_renewed(void *opaque)
{
    VirtIORNG *rng = opaque;

    rng->quota = rng->max_bytes;
    rng_fill(rng);
}

static void rng_handle(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIORNG *rng = (VirtIORNG *)dev;

    if (rng->max_bytes < INT64_MAX && clock_timer_expire_ns(rng->quota_timer) < 0) {
        rng->quota = rng->max_bytes;
        clock_timer_mod(rng->quota_timer, virtual_clock_get_ns(dev->machine->clock) +
                        (int64_t)rng->period_ms * 1000000);
    }
    rng_fill(rng);
}

static void rng_reset(VirtIODevice *dev)
{
    VirtIORNG *rng = (VirtIORNG *)dev;

    rng->quota = rng->max_bytes;
    clock_timer_del(rng->quota_timer);
    rng_stop_waiting(rng);
}

static void rng_run_state(VirtIODevice *dev, bool running)
{
    if (!running) {
        rng_stop_waiting((VirtIORNG *)dev);
    }
}

static void rng_free(VirtIODevice *dev)
{
    VirtIORNG *rng = (VirtIORNG *)dev;

    rng_stop_waiting(rng);
    clock_timer_free(rng->quota_timer);
    rng_backend_unref(rng->rng);
}

VIRTIO_VMSTATE(virtio_rng_vmstate, "virtio-rng", 1);

static const VirtIODeviceOps rng_ops = {
    .name = "virtio-rng",
    .driver = "virtio-rng-device",
    .id = VIRTIO_ID_RNG,
    .vmsd = &virtio_rng_vmstate,
    .reset = rng_reset,
    .run_state = rng_run_state,
    .free = rng_free,
};

bool virtio_rng_create(Board *board, Opts *opts, GError **errp)
{
    const char *id = opts_get(opts, "rng");
    RngBackend *backend = id ? rng_backend_find(board->rngs, id)
                             : rng_backend_builtin(board->rngs);
    uint64_t max_bytes = INT64_MAX, period = 65536;
    VirtIODevice *dev;
    VirtIORNG *rng;

    if (!backend) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
        return false;
    }
    if (!opts_get_u64(opts, "max-bytes", &max_bytes, errp) ||
        !opts_get_u64(opts, "period", &period, errp)) {
        return false;
    }
    if (period == 0) {
        error_setg(errp, "'period' parameter expects a positive integer");
        return false;
    }
    if (max_bytes > INT64_MAX) {
        error_setg(errp, "'max-bytes' parameter must be non-negative, and less than 2^63");
        return false;
    }
    dev = virtio_new(board, sizeof(VirtIORNG), &rng_ops, opts, 0, errp);
    if (!dev) {
        return false;
    }
    rng = (VirtIORNG *)dev;
    rng->rng = rng_backend_ref(backend);
    rng->max_bytes = rng->quota = max_bytes;
    rng->period_ms = period;
    rng->quota_timer = clock_timer_new(board->machine->clock, rng_quota_renewed, rng);
    virtio_add_queue(dev, QUEUE_NUM_7_2, rng_handle);
    if (!virtio_plug(board, dev, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    return true;
}
