/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of virtio-net, shared by its data path and its control queue and stream. Under the BQL. */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/net-backend.h"
#include "hw/virtio/virtio.h"

#define MAC_BYTES 6
#define MAC_TABLE_MAX 64
#define VLAN_BYTES 512          /* 4096 bits */

enum { NET_QUEUE_RX, NET_QUEUE_TX, NET_QUEUE_CTRL };
enum {
    NET_F_CTRL_GUEST_OFFLOADS = 2, NET_F_MAC = 5, NET_F_GSO = 6, NET_F_MRG_RXBUF = 15,
    NET_F_STATUS = 16, NET_F_CTRL_VQ = 17, NET_F_CTRL_RX = 18, NET_F_CTRL_VLAN = 19,
    NET_F_CTRL_RX_EXTRA = 20, NET_F_GUEST_ANNOUNCE = 21, NET_F_CTRL_MAC_ADDR = 23,
};
enum { NET_S_LINK_UP = 1, NET_S_ANNOUNCE = 2 };

typedef struct VirtIONet {
    VirtIODevice dev;
    NetBackend *backend;        /* NULL: nothing is connected */
    uint8_t mac_initial[MAC_BYTES], mac[MAC_BYTES];
    uint16_t status;
    bool link_down;
    GBytes *held;               /* a packet whose buffers are not here yet; NULL: none */
    bool filter_told;           /* NIC_RX_FILTER_CHANGED was sent, nobody has asked since */
    /* receive filter */
    uint8_t promisc, allmulti, alluni, nomulti, nouni, nobcast;
    uint8_t multi_overflow, uni_overflow;
    uint32_t mac_in_use, mac_first_multi;
    uint8_t macs[MAC_TABLE_MAX][MAC_BYTES];
    uint8_t vlans[VLAN_BYTES];
    uint64_t guest_offloads;
} VirtIONet;

/** Header in front of each packet in the guest's buffers. */
size_t virtio_net_header_bytes(const VirtIONet *net);
/** True if the guest wants this packet. */
bool virtio_net_filter(const VirtIONet *net, const uint8_t *packet, size_t len);
void virtio_net_filter_reset(VirtIONet *net);
/** For query-rx-filter. */
RxFilterInfo *virtio_net_query_filter(void *opaque);
/** Control queue. */
void virtio_net_handle_ctrl(VirtIODevice *dev, VirtQueue *vq);
/** The device's part of the stream (machine-virt 2.11). */
bool virtio_net_save(VirtIODevice *dev, StreamWriter *w, GError **errp);
bool virtio_net_load(VirtIODevice *dev, StreamReader *r, GError **errp);

#endif
