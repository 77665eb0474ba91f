/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net (device 1): moves packets between the guest's rings and a
 * network back end, without offloads. A packet is sent or received whole, so
 * the stream carries only registers and the filter. Only while guest memory is
 * still coming one may be held back, until its buffers are here.
 */
#include <stdio.h>
#include <string.h>
#include "hw/core/device.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtio-net.h"

#define CONFIG_BYTES 8
#define HEADER_BYTES 10
#define HEADER_BYTES_MERGEABLE 12   /* with num_buffers */
#define RX_BUFFERS_MAX 64           /* buffers for one packet */
#define RARP_BYTES 60               /* the shortest Ethernet frame */
#define TX_BURST 256                /* packets per kick, the rest from the main loop */

size_t virtio_net_header_bytes(const VirtIONet *net)
{
    return virtio_has(&net->dev, NET_F_MRG_RXBUF) || virtio_has(&net->dev, VIRTIO_F_VERSION_1)
               ? HEADER_BYTES_MERGEABLE : HEADER_BYTES;
}

/* ---- receive ---- */

static bool net_can_take(void *opaque)
{
    VirtIONet *net = opaque;
    VirtIODevice *dev = &net->dev;

    if (!dev->running || dev->broken || net->held) {
        return false;
    }
    if (!(dev->status & VIRTIO_STATUS_DRIVER_OK)) {
        return true; /* nobody listens: packets pass by */
    }
    return !virtqueue_empty(&dev->queues[NET_QUEUE_RX]);
}

/* Spreads header and packet over buffers; returns how many, 0 if the guest offered too few. */
static unsigned net_fill(VirtIONet *net, const uint8_t *packet, size_t len,
                         VirtQueueElement **elems, uint32_t *lens)
{
    VirtQueue *vq = &net->dev.queues[NET_QUEUE_RX];
    bool mergeable = virtio_has(&net->dev, NET_F_MRG_RXBUF);
    size_t header = virtio_net_header_bytes(net), done = 0;
    unsigned n = 0;

    while (done < len || n == 0) {
        uint64_t skip = n == 0 ? header : 0;
        VirtQueueElement *elem = n < RX_BUFFERS_MAX ? virtqueue_pop(vq) : NULL;
        size_t part;

        if (!elem) {
            break;
        }
        if (elem->in_bytes <= skip) {
            virtio_error(&net->dev, "virtio-net receive queue contains no in buffers");
            virtqueue_unpop(vq, elem);
            break;
        }
        part = iov_write(elem->in_sg, elem->in_num, skip, packet + done, len - done);
        lens[n] = skip + part;
        elems[n++] = elem;
        done += part;
        if (done < len && !mergeable) {
            break; /* a packet larger than its only buffer is lost */
        }
    }
    if (done == len) {
        return n;
    }
    while (n) {
        virtqueue_unpop(vq, elems[--n]);
    }
    return 0;
}

/* False: its buffers are not here yet. */
static bool net_deliver(VirtIONet *net, const uint8_t *packet, size_t len)
{
    VirtIODevice *dev = &net->dev;
    VirtQueue *vq = &dev->queues[NET_QUEUE_RX];
    VirtQueueElement *elems[RX_BUFFERS_MAX];
    uint32_t lens[RX_BUFFERS_MAX];
    uint8_t header[HEADER_BYTES_MERGEABLE] = { 0 };
    unsigned n;

    if (!dev->running || !(dev->status & VIRTIO_STATUS_DRIVER_OK) || net->link_down ||
        !virtqueue_ready(vq) || !virtio_net_filter(net, packet, len)) {
        return true;
    }
    n = net_fill(net, packet, len, elems, lens);
    if (n == 0) {
        return !vq->put_off.pending;
    }
    header[HEADER_BYTES] = n & 0xff;
    header[HEADER_BYTES + 1] = n >> 8;
    iov_write(elems[0]->in_sg, elems[0]->in_num, 0, header, virtio_net_header_bytes(net));
    for (unsigned i = 0; i < n; i++) {
        virtqueue_push(vq, elems[i], lens[i]);
    }
    virtqueue_notify(vq);
    return true;
}

static void net_receive_packet(void *opaque, const uint8_t *packet, size_t len)
{
    VirtIONet *net = opaque;

    if (!net->held && !net_deliver(net, packet, len)) {
        net->held = g_bytes_new(packet, len);
    }
}

static void net_deliver_held(VirtIONet *net)
{
    gsize len;
    const void *packet = net->held ? g_bytes_get_data(net->held, &len) : NULL;

    if (packet && net_deliver(net, packet, len)) {
        g_clear_pointer(&net->held, g_bytes_unref);
    }
}

static void net_link_changed(void *opaque, bool up)
{
}

static const NetFrontend net_frontend = { net_can_take, net_receive_packet, net_link_changed };

static void net_handle_rx(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIONet *net = (VirtIONet *)dev;

    net_deliver_held(net);
    if (net->backend) {
        net_backend_receive_ready(net->backend);
    }
}

/* ---- transmit ---- */

static void net_handle_tx(VirtIODevice *dev, VirtQueue *vq);

static void net_tx_again(void *opaque)
{
    VirtIONet *net = opaque;

    if (net->dev.running) {
        net_handle_tx(&net->dev, &net->dev.queues[NET_QUEUE_TX]);
    }
}

static void net_handle_tx(VirtIODevice *dev, VirtQueue *vq)
{
    VirtIONet *net = (VirtIONet *)dev;
    size_t header = virtio_net_header_bytes(net);
    uint8_t packet[NET_PACKET_MAX];
    VirtQueueElement *elem;
    unsigned done = 0;

    while (done < TX_BURST && (elem = virtqueue_pop(vq)) != NULL) {
        size_t len;

        if (elem->out_bytes < header) {
            virtio_error(dev, "virtio-net header incorrect");
            virtqueue_unpop(vq, elem);
            return;
        }
        len = iov_read(elem->out_sg, elem->out_num, header, packet, sizeof(packet));
        if (net->backend && !net->link_down && len == elem->out_bytes - header && len) {
            net_backend_send(net->backend, packet, len);
        }
        virtqueue_push(vq, elem, 0);
        done++;
    }
    if (done) {
        virtqueue_notify(vq);
    }
    if (done == TX_BURST) {
        main_loop_post(dev->machine->loop, net_tx_again, net);
    }
}

/* ---- config and life ---- */

static void net_get_config(VirtIODevice *dev, uint8_t *config)
{
    const VirtIONet *net = (VirtIONet *)dev;

    memcpy(config, net->mac, MAC_BYTES);
    config[MAC_BYTES] = net->status & 0xff;
    config[MAC_BYTES + 1] = net->status >> 8;
}

static void net_set_config(VirtIODevice *dev, const uint8_t *config)
{
    VirtIONet *net = (VirtIONet *)dev;

    /* Old drivers write the MAC into the config space; new ones use the control queue. */
    if (!virtio_has(dev, NET_F_CTRL_MAC_ADDR) && !virtio_has(dev, VIRTIO_F_VERSION_1)) {
        memcpy(net->mac, config, MAC_BYTES);
    }
}

static void net_set_status(VirtIODevice *dev, uint8_t status)
{
    VirtIONet *net = (VirtIONet *)dev;

    /* All VLANs pass until a driver comes that can name those it wants. */
    if (virtio_has(dev, NET_F_CTRL_VLAN) && (status & ~dev->status & VIRTIO_STATUS_DRIVER_OK)) {
        memset(net->vlans, 0, VLAN_BYTES);
    }
}

static void net_link_set(void *opaque, bool up)
{
    VirtIONet *net = opaque;
    uint16_t status = up ? net->status | NET_S_LINK_UP : net->status & ~NET_S_LINK_UP;

    net->link_down = !up;
    if (status != net->status) {
        net->status = status;
        virtio_config_changed(&net->dev);
    }
}

/* A frame from the card's address, which bridges learn from: RARP, "who am I". */
static void net_send_rarp(VirtIONet *net)
{
    static const uint8_t kind[] = { 0x80, 0x35, 0, 1, 0x08, 0x00, MAC_BYTES, 4, 0, 3 };
    uint8_t frame[RARP_BYTES] = { 0 }, *p = frame;

    memset(p, 0xff, MAC_BYTES);
    p = memcpy(p + MAC_BYTES, net->mac, MAC_BYTES);
    p = memcpy(p + MAC_BYTES, kind, sizeof(kind));
    p = memcpy(p + sizeof(kind), net->mac, MAC_BYTES);
    memcpy(p + MAC_BYTES + 4, net->mac, MAC_BYTES); /* behind an unknown IP address */
    net_backend_send(net->backend, frame, sizeof(frame));
}

/* The frame for the bridges, and if its driver can, the guest says more (its IP addresses). */
static void net_announce_card(void *opaque)
{
    VirtIONet *net = opaque;
    VirtIODevice *dev = &net->dev;

    if (net->link_down) {
        return;
    }
    if (net->backend) {
        net_send_rarp(net);
    }
    if (virtio_has(dev, NET_F_GUEST_ANNOUNCE) && virtio_has(dev, NET_F_CTRL_VQ) &&
        (dev->status & VIRTIO_STATUS_DRIVER_OK)) {
        net->status |= NET_S_ANNOUNCE;
        virtio_config_changed(dev);
    }
}

static const NetDeviceOps net_device_ops = {
    "virtio-net-device", net_link_set, virtio_net_query_filter, net_announce_card,
};

static void net_reset(VirtIODevice *dev)
{
    VirtIONet *net = (VirtIONet *)dev;

    g_clear_pointer(&net->held, g_bytes_unref);
    virtio_net_filter_reset(net);
    net->status = net->link_down ? 0 : NET_S_LINK_UP;
    net->guest_offloads = 0;
}

static void net_run_state(VirtIODevice *dev, bool running)
{
    VirtIONet *net = (VirtIONet *)dev;

    if (running && net->backend) {
        net_backend_receive_ready(net->backend);
    }
}

static void net_free(VirtIODevice *dev)
{
    g_clear_pointer(&((VirtIONet *)dev)->held, g_bytes_unref);
}

static bool net_post_load(VirtIODevice *dev, GError **errp)
{
    VirtIONet *net = (VirtIONet *)dev;

    net->link_down = !(net->status & NET_S_LINK_UP);
    return true;
}

VIRTIO_VMSTATE(virtio_net_vmstate, "virtio-net", 11);

static const VirtIODeviceOps net_ops = {
    .name = "virtio-net",
    .driver = "virtio-net-device",
    .id = VIRTIO_ID_NET,
    .config_bytes = CONFIG_BYTES,
    .legacy_features = FEATURE(NET_F_GSO),
    .vmsd = &virtio_net_vmstate,
    .get_config = net_get_config,
    .set_config = net_set_config,
    .set_status = net_set_status,
    .reset = net_reset,
    .run_state = net_run_state,
    .save = virtio_net_save,
    .load = virtio_net_load,
    .post_load = net_post_load,
    .free = net_free,
};

static bool parse_mac(const char *text, uint8_t mac[MAC_BYTES])
{
    unsigned v[MAC_BYTES];
    char sep[5], rest;

    if (sscanf(text, "%2x%c%2x%c%2x%c%2x%c%2x%c%2x%c", &v[0], &sep[0], &v[1], &sep[1], &v[2],
               &sep[2], &v[3], &sep[3], &v[4], &sep[4], &v[5], &rest) != 11) {
        return false;
    }
    for (unsigned i = 0; i < MAC_BYTES; i++) {
        if (i < 5 && sep[i] != ':' && sep[i] != '-') {
            return false;
        }
        mac[i] = v[i];
    }
    return true;
}

/* 52:54:00:12:34:56 and up, as QEMU numbers its cards. */
static void default_mac(const Board *board, uint8_t mac[MAC_BYTES])
{
    unsigned n = 0;

    for (size_t i = 0; i < board_device_count(board); i++) {
        n += strcmp(board_device(board, i)->driver, "virtio-net-device") == 0;
    }
    memcpy(mac, "\x52\x54\x00\x12\x34", 5);
    mac[5] = 0x56 + n;
}

static bool net_feature_options(Opts *opts, uint64_t *features, GError **errp)
{
    static const struct { const char *name; unsigned bit; } options[] = {
        { "mrg_rxbuf", NET_F_MRG_RXBUF }, { "status", NET_F_STATUS }, { "ctrl_vq", NET_F_CTRL_VQ },
        { "ctrl_rx", NET_F_CTRL_RX }, { "ctrl_vlan", NET_F_CTRL_VLAN },
        { "ctrl_rx_extra", NET_F_CTRL_RX_EXTRA },
        { "ctrl_mac_addr", NET_F_CTRL_MAC_ADDR }, { "guest_announce", NET_F_GUEST_ANNOUNCE },
        { "ctrl_guest_offloads", NET_F_CTRL_GUEST_OFFLOADS },
    };

    *features = FEATURE(NET_F_MAC) | FEATURE(NET_F_GSO);
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        bool on = true;

        if (!opts_get_bool(opts, options[i].name, &on, errp)) {
            return false;
        }
        *features |= on ? FEATURE(options[i].bit) : 0;
    }
    return true;
}

static bool net_connect(VirtIONet *net, Board *board, const char *netdev, GError **errp)
{
    VirtIODevice *dev = &net->dev;

    if (netdev) {
        net->backend = net_backend_find(board->nets, netdev);
        if (!net->backend) {
            error_setg(errp, "Property 'virtio-net-device.netdev' can't find value '%s'", netdev);
            return false;
        }
        if (!net_backend_attach(net->backend, &net_frontend, net, errp)) {
            return false;
        }
    }
    virtio_add_queue(dev, 256, net_handle_rx);
    virtio_add_queue(dev, 256, net_handle_tx);
    if (dev->host_features & FEATURE(NET_F_CTRL_VQ)) {
        virtio_add_queue(dev, 64, virtio_net_handle_ctrl);
    }
    return true;
}

bool virtio_net_create(Board *board, Opts *opts, GError **errp)
{
    const char *mac = opts_get(opts, "mac"), *netdev = opts_get(opts, "netdev");
    uint64_t features;
    VirtIODevice *dev;
    VirtIONet *net;

    if (!net_feature_options(opts, &features, errp)) {
        return false;
    }
    dev = virtio_new(board, sizeof(VirtIONet), &net_ops, opts, features, errp);
    if (!dev) {
        return false;
    }
    net = (VirtIONet *)dev;
    default_mac(board, net->mac_initial);
    if (mac && !parse_mac(mac, net->mac_initial)) {
        error_setg(errp, "Property 'virtio-net-device.mac' doesn't take value '%s'", mac);
        virtio_free(dev);
        return false;
    }
    if (!mac) { /* monitors show the one that was chosen */
        const uint8_t *m = net->mac_initial;
        g_autofree char *text = g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
                                                m[3], m[4], m[5]);
        opts_set(opts, "mac", text);
        opts_get(opts, "mac");
    }
    if (!net_connect(net, board, netdev, errp) || !virtio_plug(board, dev, opts, errp)) {
        virtio_free(dev);
        return false;
    }
    net_register_device(board->nets, dev->id, net->backend, &net_device_ops, net);
    return true;
}
