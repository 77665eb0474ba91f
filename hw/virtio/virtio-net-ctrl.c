/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net's receive filter, its control queue that sets it, and both in
 * the stream (machine-virt 2.11). Called by virtio-net.c and the
 * migration.
 */
#include <string.h>
#include "hw/virtio/virtio-net.h"
#include "qapi/qapi-events.h"

enum { CTRL_RX = 0, CTRL_MAC = 1, CTRL_VLAN = 2, CTRL_ANNOUNCE = 3, CTRL_MQ = 4, CTRL_OFFLOADS = 5 };
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };
enum { CTRL_OK = 0, CTRL_ERR = 1 };
#define ETH_HEADER 14
#define ETH_P_VLAN 0x8100

/* ---- filter ---- */

static bool mac_is_multicast(const uint8_t *mac)
{
    return mac[0] & 1;
}

static bool mac_listed(const VirtIONet *net, const uint8_t *mac, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (memcmp(net->macs[i], mac, MAC_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

bool virtio_net_filter(const VirtIONet *net, const uint8_t *packet, size_t len)
{
    static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (net->promisc) {
        return true;
    }
    if (len < ETH_HEADER) {
        return false;
    }
    if ((packet[12] << 8 | packet[13]) == ETH_P_VLAN && len >= ETH_HEADER + 4) {
        unsigned vid = (packet[14] << 8 | packet[15]) & 0xfff;

        if (!(net->vlans[vid / 8] >> (vid % 8) & 1)) {
            return false;
        }
    }
    if (mac_is_multicast(packet)) {
        if (memcmp(packet, broadcast, MAC_BYTES) == 0) {
            return !net->nobcast;
        }
        return !net->nomulti && (net->allmulti || net->multi_overflow ||
                                 mac_listed(net, packet, net->mac_first_multi, net->mac_in_use));
    }
    return !net->nouni && (net->alluni || net->uni_overflow ||
                           memcmp(packet, net->mac, MAC_BYTES) == 0 ||
                           mac_listed(net, packet, 0, net->mac_first_multi));
}

void virtio_net_filter_reset(VirtIONet *net)
{
    net->promisc = 1;
    net->allmulti = net->alluni = net->nomulti = net->nouni = net->nobcast = 0;
    net->multi_overflow = net->uni_overflow = 0;
    net->mac_in_use = net->mac_first_multi = 0;
    memset(net->macs, 0, sizeof(net->macs));
    memset(net->vlans, 0xff, sizeof(net->vlans));
    memcpy(net->mac, net->mac_initial, MAC_BYTES);
}

/* The filter's order is unicast, then multicast: the border is not in the stream. */
static void find_first_multi(VirtIONet *net)
{
    uint32_t i = 0;

    while (i < net->mac_in_use && !mac_is_multicast(net->macs[i])) {
        i++;
    }
    net->mac_first_multi = i;
}

/* ---- for monitors ---- */

/* Told once, until somebody asks: a guest can change it as often as it likes. */
static void filter_changed(VirtIONet *net)
{
    if (!net->filter_told) {
        net->filter_told = true;
        qapi_event_send_nic_rx_filter_changed(net->dev.machine->monitors, NULL,
                                              net->dev.listed->qom_path);
    }
}

static char *mac_text(const uint8_t *m)
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static strList *mac_list(const VirtIONet *net, uint32_t from, uint32_t to)
{
    strList *list = NULL;

    for (uint32_t i = to; i > from; i--) {
        strList *first = g_new0(strList, 1);

        first->value = mac_text(net->macs[i - 1]);
        first->next = list;
        list = first;
    }
    return list;
}

static intList *vlan_list(const VirtIONet *net)
{
    intList *list = NULL;

    for (unsigned vid = 8 * VLAN_BYTES; vid-- > 0;) {
        if (net->vlans[vid / 8] >> (vid % 8) & 1) {
            intList *first = g_new0(intList, 1);

            first->value = vid;
            first->next = list;
            list = first;
        }
    }
    return list;
}

static RxState rx_state(bool none, bool all)
{
    return none ? RX_STATE_NONE : all ? RX_STATE_ALL : RX_STATE_NORMAL;
}

RxFilterInfo *virtio_net_query_filter(void *opaque)
{
    VirtIONet *net = opaque;
    RxFilterInfo *info = g_new0(RxFilterInfo, 1);
    bool vlans = virtio_has(&net->dev, NET_F_CTRL_VLAN);

    net->filter_told = false;
    info->promiscuous = net->promisc;
    info->multicast = rx_state(net->nomulti, net->allmulti);
    info->unicast = rx_state(net->nouni, net->alluni);
    info->broadcast_allowed = net->nobcast;
    info->multicast_overflow = net->multi_overflow;
    info->unicast_overflow = net->uni_overflow;
    info->main_mac = mac_text(net->mac);
    info->vlan_table = vlans ? vlan_list(net) : NULL;
    info->vlan = rx_state(vlans && !info->vlan_table, !vlans);
    info->unicast_table = mac_list(net, 0, net->mac_first_multi);
    info->multicast_table = mac_list(net, net->mac_first_multi, net->mac_in_use);
    return info;
}

/* ---- control commands ---- */

typedef struct CtrlCommand {
    const VirtQueueElement *elem;
    uint64_t at;            /* read so far */
    uint8_t class, cmd;
} CtrlCommand;

static bool ctrl_read(CtrlCommand *c, void *buf, size_t len)
{
    if (iov_read(c->elem->out_sg, c->elem->out_num, c->at, buf, len) != len) {
        return false;
    }
    c->at += len;
    return true;
}

static uint8_t ctrl_rx(VirtIONet *net, CtrlCommand *c)
{
    uint8_t *const flags[] = {
        [RX_PROMISC] = &net->promisc, [RX_ALLMULTI] = &net->allmulti, [RX_ALLUNI] = &net->alluni,
        [RX_NOMULTI] = &net->nomulti, [RX_NOUNI] = &net->nouni, [RX_NOBCAST] = &net->nobcast,
    };
    uint8_t on;

    if (c->cmd >= G_N_ELEMENTS(flags) || !ctrl_read(c, &on, 1)) {
        return CTRL_ERR;
    }
    *flags[c->cmd] = on != 0;
    return CTRL_OK;
}

/* One half of the table: too many entries mean "all", they are skipped. */
static bool ctrl_read_macs(VirtIONet *net, CtrlCommand *c, uint8_t *overflow)
{
    uint32_t count;

    if (!ctrl_read(c, &count, 4)) {
        return false;
    }
    count = GUINT32_FROM_LE(count);
    if ((uint64_t)count * MAC_BYTES > c->elem->out_bytes - c->at) {
        return false;
    }
    *overflow = 0;
    if (count > MAC_TABLE_MAX - net->mac_in_use) {
        *overflow = 1;
        c->at += (uint64_t)count * MAC_BYTES;
        return true;
    }
    if (!ctrl_read(c, net->macs[net->mac_in_use], (size_t)count * MAC_BYTES)) {
        return count == 0;
    }
    net->mac_in_use += count;
    return true;
}

static uint8_t ctrl_mac(VirtIONet *net, CtrlCommand *c)
{
    if (c->cmd == MAC_ADDR_SET) {
        return c->elem->out_bytes - c->at == MAC_BYTES && ctrl_read(c, net->mac, MAC_BYTES)
                   ? CTRL_OK : CTRL_ERR;
    }
    if (c->cmd != MAC_TABLE_SET) {
        return CTRL_ERR;
    }
    net->mac_in_use = net->mac_first_multi = 0;
    if (!ctrl_read_macs(net, c, &net->uni_overflow)) {
        return CTRL_ERR;
    }
    net->mac_first_multi = net->mac_in_use;
    return ctrl_read_macs(net, c, &net->multi_overflow) ? CTRL_OK : CTRL_ERR;
}

static uint8_t ctrl_vlan(VirtIONet *net, CtrlCommand *c)
{
    uint16_t vid;

    if (!ctrl_read(c, &vid, 2) || (vid = GUINT16_FROM_LE(vid)) >= 8 * VLAN_BYTES) {
        return CTRL_ERR;
    }
    if (c->cmd == VLAN_ADD) {
        net->vlans[vid / 8] |= 1u << (vid % 8);
    } else if (c->cmd == VLAN_DEL) {
        net->vlans[vid / 8] &= ~(1u << (vid % 8));
    } else {
        return CTRL_ERR;
    }
    return CTRL_OK;
}

static uint8_t ctrl_offloads(VirtIONet *net, CtrlCommand *c)
{
    uint64_t offloads;

    if (!virtio_has(&net->dev, NET_F_CTRL_GUEST_OFFLOADS) || c->cmd != 0 ||
        !ctrl_read(c, &offloads, 8) || offloads) {
        return CTRL_ERR; /* none was offered */
    }
    net->guest_offloads = 0;
    return CTRL_OK;
}

static uint8_t ctrl_dispatch(VirtIONet *net, CtrlCommand *c)
{
    switch (c->class) {
    case CTRL_RX:
        return ctrl_rx(net, c);
    case CTRL_MAC:
        return ctrl_mac(net, c);
    case CTRL_VLAN:
        return ctrl_vlan(net, c);
    case CTRL_ANNOUNCE:
        if (c->cmd != 0 || !(net->status & NET_S_ANNOUNCE)) {
            return CTRL_ERR;
        }
        net->status &= ~NET_S_ANNOUNCE;
        return CTRL_OK;
    case CTRL_OFFLOADS:
        return ctrl_offloads(net, c);
    default:
        return CTRL_ERR;
    }
}

void virtio_net_handle_ctrl(VirtIODevice *dev, VirtQueue *vq)
{
    VirtQueueElement *elem;
    bool done = false;

    while ((elem = virtqueue_pop(vq)) != NULL) {
        CtrlCommand c = { .elem = elem };
        uint8_t ack = CTRL_ERR;

        if (elem->in_bytes < 1 || elem->out_bytes < 2) {
            virtio_error(dev, "virtio-net ctrl missing headers");
            virtqueue_unpop(vq, elem);
            return;
        }
        if (ctrl_read(&c, &c.class, 1) && ctrl_read(&c, &c.cmd, 1)) {
            ack = ctrl_dispatch((VirtIONet *)dev, &c);
            if (ack == CTRL_OK && c.class <= CTRL_VLAN) {
                filter_changed((VirtIONet *)dev);
            }
        }
        iov_write(elem->in_sg, elem->in_num, 0, &ack, 1);
        virtqueue_push(vq, elem, 1);
        done = true;
    }
    if (done) {
        virtqueue_notify(vq);
    }
}

/* ---- stream ---- */

bool virtio_net_save(VirtIODevice *dev, StreamWriter *w, GError **errp)
{
    const VirtIONet *net = (VirtIONet *)dev;

    stream_put_buffer(w, net->mac, MAC_BYTES);
    stream_put_be32(w, 0);                              /* tx_waiting: sent at once */
    stream_put_be32(w, virtio_has(dev, NET_F_MRG_RXBUF));
    stream_put_be16(w, net->status);
    stream_put_u8(w, net->promisc);
    stream_put_u8(w, net->allmulti);
    stream_put_be32(w, net->mac_in_use);
    stream_put_buffer(w, net->macs, net->mac_in_use * MAC_BYTES);
    stream_put_buffer(w, net->vlans, VLAN_BYTES);
    stream_put_be32(w, 0);                              /* has_vnet_hdr */
    stream_put_u8(w, net->multi_overflow);
    stream_put_u8(w, net->uni_overflow);
    stream_put_u8(w, net->alluni);
    stream_put_u8(w, net->nomulti);
    stream_put_u8(w, net->nouni);
    stream_put_u8(w, net->nobcast);
    stream_put_u8(w, 0);                                /* has_ufo */
    if (virtio_has(dev, NET_F_CTRL_GUEST_OFFLOADS)) {
        stream_put_be64(w, net->guest_offloads);
    }
    return true;
}

static bool load_macs(VirtIONet *net, StreamReader *r, GError **errp)
{
    uint32_t count = stream_get_be32(r);

    if (count > 4096) {
        error_setg(errp, "virtio-net: MAC table of %u entries", count);
        return false;
    }
    net->mac_in_use = 0;
    if (count > MAC_TABLE_MAX) { /* as QEMU: a table that does not fit means "all" */
        stream_skip(r, (uint64_t)count * MAC_BYTES);
        net->multi_overflow = net->uni_overflow = 1;
    } else {
        stream_get_buffer(r, net->macs, (size_t)count * MAC_BYTES);
        net->mac_in_use = count;
    }
    find_first_multi(net);
    return stream_reader_ok(r, errp);
}

bool virtio_net_load(VirtIODevice *dev, StreamReader *r, GError **errp)
{
    VirtIONet *net = (VirtIONet *)dev;
    uint8_t multi_overflow, uni_overflow;

    stream_get_buffer(r, net->mac, MAC_BYTES);
    stream_get_be32(r);                 /* tx_waiting: the start looks at every queue anyway */
    stream_get_be32(r);                 /* mergeable buffers: known from the features */
    net->status = stream_get_be16(r);
    net->promisc = stream_get_u8(r);
    net->allmulti = stream_get_u8(r);
    net->multi_overflow = net->uni_overflow = 0;
    if (!load_macs(net, r, errp)) {
        return false;
    }
    stream_get_buffer(r, net->vlans, VLAN_BYTES);
    if (stream_get_be32(r)) {
        error_setg(errp, "virtio-net: saved image requires vnet_hdr=on");
        return false;
    }
    multi_overflow = stream_get_u8(r);
    uni_overflow = stream_get_u8(r);
    net->multi_overflow |= multi_overflow;
    net->uni_overflow |= uni_overflow;
    net->alluni = stream_get_u8(r);
    net->nomulti = stream_get_u8(r);
    net->nouni = stream_get_u8(r);
    net->nobcast = stream_get_u8(r);
    if (stream_get_u8(r)) {
        error_setg(errp, "virtio-net: saved image requires TUN_F_UFO support");
        return false;
    }
    if (virtio_has(dev, NET_F_CTRL_GUEST_OFFLOADS)) {
        net->guest_offloads = stream_get_be64(r);
    }
    return stream_reader_ok(r, errp);
}
