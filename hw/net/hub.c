/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev hubport: every port of a hub hears what the others say. Main thread. */
#include "hw/net/net-priv.h"

typedef struct HubPort {
    NetBackend net;
    uint64_t hub;
    NetBackend *peer;   /* netdev=: what is plugged in instead of a device */
} HubPort;

static const NetBackendOps hub_ops;

static void hub_port_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    HubPort *from = (HubPort *)net;

    for (guint i = 0; i < net->nets->list->len; i++) {
        NetBackend *other = g_ptr_array_index(net->nets->list, i);
        HubPort *to = (HubPort *)other;

        if (other == net || other->ops != &hub_ops || to->hub != from->hub) {
            continue;
        }
        if (to->peer) {
            net_backend_send(to->peer, packet, len);
        } else if (net_can_receive(other)) {
            net_receive(other, packet, len);
        }
    }
}

static bool hub_peer_can_receive(void *opaque)
{
    return true; /* a full port loses packets, it does not stop the others */
}

static void hub_peer_receive(void *opaque, const uint8_t *packet, size_t len)
{
    hub_port_send(opaque, packet, len);
}

static const NetFrontend hub_peer_frontend = { hub_peer_can_receive, hub_peer_receive, NULL };

static void hub_port_ready(NetBackend *net)
{
}

static void hub_port_close(NetBackend *net)
{
    HubPort *port = (HubPort *)net;

    if (port->peer) {
        net_backend_detach(port->peer);
        port->peer = NULL;
    }
}

static const NetBackendOps hub_ops = { "hubport", hub_port_send, hub_port_ready, hub_port_close };

NetBackend *net_hub_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    const char *peer = opts_get(opts, "netdev");
    uint64_t hub = 0;
    HubPort *port;

    if (!opts_get(opts, "hubid")) {
        error_setg(errp, "Parameter 'hubid' is missing");
        return NULL;
    }
    if (!opts_get_u64(opts, "hubid", &hub, errp)) {
        return NULL;
    }
    if (peer && !net_backend_find(nets, peer)) {
        error_setg(errp, "netdev '%s' not found", peer);
        return NULL;
    }
    port = (HubPort *)net_backend_alloc(nets, &hub_ops, sizeof(*port), id);
    port->hub = hub;
    if (peer) {
        if (!net_backend_attach(net_backend_find(nets, peer), &hub_peer_frontend, port, errp)) {
            net_backend_free(&port->net);
            return NULL;
        }
        port->peer = net_backend_find(nets, peer);
    }
    return &port->net;
}
