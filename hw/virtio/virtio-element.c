/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request that the device has taken and not given back, in the stream
 * (machine-virt 2.11): QEMU's C struct of 49168 bytes, little endian, with
 * room for 1024 parts each way. Used by the devices that hold requests.
 *
 *   u32 index, out_num, in_num, 0 | u64 in_addr[1024] | u64 out_addr[1024]
 *   | { u64 0, u64 len } in_sg[1024] | { u64 0, u64 len } out_sg[1024]
 */
#include <inttypes.h>
#include "hw/virtio/virtio.h"

#define PARTS VIRTQUEUE_SIZE_MAX

static void put_addresses(StreamWriter *w, const uint64_t *addr, unsigned n)
{
    uint64_t wire[PARTS] = { 0 };

    for (unsigned i = 0; i < n; i++) {
        wire[i] = GUINT64_TO_LE(addr[i]);
    }
    stream_put_buffer(w, wire, sizeof(wire));
}

static void put_lengths(StreamWriter *w, const struct iovec *sg, unsigned n)
{
    uint64_t wire[2 * PARTS] = { 0 };

    for (unsigned i = 0; i < n; i++) {
        wire[2 * i + 1] = GUINT64_TO_LE(sg[i].iov_len);
    }
    stream_put_buffer(w, wire, sizeof(wire));
}

void virtqueue_element_save(const VirtQueueElement *elem, StreamWriter *w)
{
    uint32_t head[4] = { GUINT32_TO_LE(elem->index), GUINT32_TO_LE(elem->out_num),
                         GUINT32_TO_LE(elem->in_num), 0 };

    stream_put_buffer(w, head, sizeof(head));
    put_addresses(w, elem->in_addr, elem->in_num);
    put_addresses(w, elem->out_addr, elem->out_num);
    put_lengths(w, elem->in_sg, elem->in_num);
    put_lengths(w, elem->out_sg, elem->out_num);
}

/* One way's parts, in host order: addresses as they are, lengths packed. */
typedef struct WireParts {
    uint64_t addr[PARTS], len[PARTS];
} WireParts;

static void get_addresses(StreamReader *r, WireParts *parts)
{
    stream_get_buffer(r, parts->addr, sizeof(parts->addr));
    for (unsigned i = 0; i < PARTS; i++) {
        parts->addr[i] = GUINT64_FROM_LE(parts->addr[i]);
    }
}

static void get_lengths(StreamReader *r, WireParts *parts)
{
    for (unsigned i = 0; i < PARTS; i++) {
        uint64_t pair[2] = { 0 };

        stream_get_buffer(r, pair, sizeof(pair));
        parts->len[i] = GUINT64_FROM_LE(pair[1]);
    }
}

VirtQueueElement *virtqueue_element_load(VirtQueue *vq, StreamReader *r, GError **errp)
{
    g_autofree WireParts *in = g_new0(WireParts, 1), *out = g_new0(WireParts, 1);
    uint32_t head[4] = { 0 }, index, out_num, in_num;

    stream_get_buffer(r, head, sizeof(head));
    get_addresses(r, in);
    get_addresses(r, out);
    get_lengths(r, in);
    get_lengths(r, out);
    if (!stream_reader_ok(r, errp)) {
        return NULL;
    }
    index = GUINT32_FROM_LE(head[0]);
    out_num = GUINT32_FROM_LE(head[1]);
    in_num = GUINT32_FROM_LE(head[2]);
    /* The guest may have made its ring smaller since, so the ring's size is no bound. */
    if (index >= VIRTQUEUE_SIZE_MAX || out_num > PARTS || in_num > PARTS - out_num) {
        error_setg(errp, "%s: queue %u: request %u of %u and %u parts", vq->dev->ops->name, vq->n,
                   index, out_num, in_num);
        return NULL;
    }
    return virtqueue_element_restore(vq, index, &(VirtQueueParts){ out_num, out->addr, out->len },
                                     &(VirtQueueParts){ in_num, in->addr, in->len }, errp);
}
