/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The set of -netdev back ends (include/hw/net-backend.h), what they share,
 * hubs, and set_link. The kinds are in tap.c, socket.c and slirp.c.
 */
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include "config-host.h"
#include "hw/net/net-priv.h"
#include "monitor/monitor.h"

typedef struct NetDevice {
    char *name;
    NetBackend *net;
    const NetDeviceOps *ops;
    void *opaque;
} NetDevice;

struct NetBackends {
    Machine *machine;
    GPtrArray *list;        /* NetBackend* */
    GPtrArray *devices;     /* NetDevice* */
    NetAnnouncer *announcer;
};

/* ---- helpers of the kinds ---- */

bool net_can_receive(NetBackend *net)
{
    return net->fe && (net->link_down || net->fe->can_receive(net->fe_opaque));
}

void net_receive(NetBackend *net, const uint8_t *packet, size_t len)
{
    if (net->fe && !net->link_down && len && len <= NET_PACKET_MAX) {
        net->fe->receive(net->fe_opaque, packet, len);
    }
}

NetBackend *net_backend_alloc(NetBackends *nets, const NetBackendOps *ops, size_t size,
                              const char *id)
{
    NetBackend *net = g_malloc0(size);

    net->ops = ops;
    net->machine = nets->machine;
    net->nets = nets;
    net->id = g_strdup(id);
    net->info = g_strdup("");
    return net;
}

Machine *net_backends_machine(const NetBackends *nets)
{
    return nets->machine;
}

void net_set_info(NetBackend *net, char *text)
{
    g_free(net->info);
    net->info = text;
}

int net_fd_from_text(Machine *machine, const char *text, GError **errp)
{
    uint64_t n;
    int fd;

    if (g_ascii_isdigit(*text)) {
        fd = parse_u64(text, &n) && n <= INT_MAX ? (int)n : -1;
        if (fd < 0 || fcntl(fd, F_GETFD) < 0) {
            error_setg(errp, "file descriptor '%s' is not open", text);
            return -1;
        }
    } else {
        fd = fds_take_named(machine->fds, text, errp);
        if (fd < 0) {
            return -1;
        }
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

GSource *net_watch_fd(Machine *machine, int fd, GIOCondition cond,
                      gboolean (*fn)(gint fd, GIOCondition cond, gpointer opaque), void *opaque)
{
    GSource *source = g_unix_fd_source_new(fd, cond);

    g_source_set_callback(source, G_SOURCE_FUNC(fn), opaque, NULL);
    g_source_attach(source, main_loop_context(machine->loop));
    return source;
}

void net_unwatch(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

void net_backend_free(void *opaque)
{
    NetBackend *net = opaque;

    net->ops->free(net);
    g_free(net->id);
    g_free(net->info);
    g_free(net);
}

/* ---- hubs: every port hears what the others say ---- */

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

static void hub_nothing(NetBackend *net)
{
}

static const NetBackendOps hub_ops = { "hubport", hub_port_send, hub_nothing, hub_nothing };

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
        port->peer = net_backend_find(nets, peer);
        if (!net_backend_attach(port->peer, &hub_peer_frontend, port, errp)) {
            net_backend_free(&port->net);
            return NULL;
        }
    }
    return &port->net;
}

/* ---- the set ---- */

#ifndef CONFIG_SLIRP
NetBackend *net_slirp_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    error_setg(errp, "network backend 'user' is not compiled into this binary");
    return NULL;
}
#endif

static const struct {
    const char *type;
    NetBackend *(*open)(NetBackends *nets, const char *id, Opts *opts, GError **errp);
} kinds[] = {
    { "user", net_slirp_open }, { "tap", net_tap_open }, { "socket", net_socket_open },
    { "stream", net_stream_open }, { "dgram", net_dgram_open }, { "hubport", net_hub_open },
};

static bool netdev_add(NetBackends *nets, Opts *opts, GError **errp)
{
    const char *type = opts_get(opts, "type"), *id = opts_get(opts, "id");
    NetBackend *net;

    if (!type) {
        error_setg(errp, "Parameter 'type' is missing");
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].type, type) != 0) {
            continue;
        }
        if (!id) {
            error_setg(errp, "Parameter 'id' is missing");
            return false;
        }
        if (net_backend_find(nets, id)) {
            error_setg(errp, "Duplicate ID '%s' for netdev", id);
            return false;
        }
        net = kinds[i].open(nets, id, opts, errp);
        if (!net) {
            return false;
        }
        g_ptr_array_add(nets->list, net);
        return opts_check_used(opts, "-netdev", errp);
    }
    error_setg(errp, "Parameter 'type' does not accept value '%s'", type);
    return false;
}

static void net_device_free(void *opaque)
{
    NetDevice *dev = opaque;

    g_free(dev->name);
    g_free(dev);
}

static void prefix_netdev(const Opts *opts, GError **errp)
{
    GString *text = g_string_new(NULL);
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (strcmp(key, "type") == 0) {
            g_string_prepend(text, value);
        } else {
            g_string_append_printf(text, ",%s=%s", key, value);
        }
    }
    error_prepend(errp, "-netdev %s: ", text->str);
    g_string_free(text, TRUE);
}

NetBackends *net_backends_new(Machine *machine, GError **errp)
{
    NetBackends *nets = g_new0(NetBackends, 1);
    GPtrArray *netdevs = machine->config->netdevs;

    nets->machine = machine;
    nets->list = g_ptr_array_new_with_free_func(net_backend_free);
    nets->devices = g_ptr_array_new_with_free_func(net_device_free);
    for (guint i = 0; netdevs && i < netdevs->len; i++) {
        Opts *opts = g_ptr_array_index(netdevs, i);

        if (!netdev_add(nets, opts, errp)) {
            prefix_netdev(opts, errp);
            net_backends_free(nets);
            return NULL;
        }
    }
    nets->announcer = net_announcer_new(nets);
    return nets;
}

void net_backends_free(NetBackends *nets)
{
    if (nets) {
        net_announcer_free(nets->announcer);
        g_ptr_array_unref(nets->devices);
        g_ptr_array_unref(nets->list);
        g_free(nets);
    }
}

NetBackend *net_backend_find(NetBackends *nets, const char *id)
{
    for (guint i = 0; i < nets->list->len; i++) {
        NetBackend *net = g_ptr_array_index(nets->list, i);

        if (strcmp(net->id, id) == 0) {
            return net;
        }
    }
    return NULL;
}

NetBackend *net_backends_get(NetBackends *nets, size_t i)
{
    return i < nets->list->len ? g_ptr_array_index(nets->list, i) : NULL;
}

const char *net_backend_id(const NetBackend *net)
{
    return net->id;
}

const char *net_backend_type(const NetBackend *net)
{
    return net->ops->type;
}

const char *net_backend_info(const NetBackend *net)
{
    return net->info;
}

bool net_backend_attach(NetBackend *net, const NetFrontend *fe, void *opaque, GError **errp)
{
    if (net->fe) {
        error_setg(errp, "Property 'virtio-net-device.netdev' can't take value '%s', it's in use",
                   net->id);
        return false;
    }
    net->fe = fe;
    net->fe_opaque = opaque;
    return true;
}

void net_backend_send(NetBackend *net, const uint8_t *packet, size_t len)
{
    if (!net->link_down) {
        net->ops->send(net, packet, len);
    }
}

void net_backend_receive_ready(NetBackend *net)
{
    net->ops->receive_ready(net);
}

/* ---- links ---- */

void net_register_device(NetBackends *nets, const char *name, NetBackend *net,
                         const NetDeviceOps *ops, void *opaque)
{
    NetDevice *dev = g_new0(NetDevice, 1);

    dev->name = g_strdup(name);
    dev->net = net;
    dev->ops = ops;
    dev->opaque = opaque;
    g_ptr_array_add(nets->devices, dev);
}

bool net_query_rx_filters(NetBackends *nets, const char *name, RxFilterInfoList **list,
                          GError **errp)
{
    RxFilterInfoList **tail = list;

    *list = NULL;
    for (guint i = 0; i < nets->devices->len; i++) {
        NetDevice *dev = g_ptr_array_index(nets->devices, i);

        if (name && strcmp(dev->name, name)) {
            continue;
        }
        *tail = g_new0(RxFilterInfoList, 1);
        (*tail)->value = dev->ops->query_rx_filter(dev->opaque);
        (*tail)->value->name = g_strdup(dev->name);
        tail = &(*tail)->next;
    }
    if (name && !*list) {
        error_setg(errp, "invalid net client name: %s", name);
        return false;
    }
    return true;
}

bool net_set_link(NetBackends *nets, const char *name, bool up, GError **errp)
{
    NetBackend *net = net_backend_find(nets, name);
    bool found = net != NULL;

    if (net) {
        net->link_down = !up;
    }
    for (guint i = 0; i < nets->devices->len; i++) {
        NetDevice *dev = g_ptr_array_index(nets->devices, i);

        if (strcmp(dev->name, name) == 0 || (net && dev->net == net)) {
            dev->ops->set_link(dev->opaque, up);
            found = true;
        }
    }
    if (!found) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
    }
    return found;
}

/* ---- announcements ---- */

void net_announce_once(NetBackends *nets, const char *const *cards)
{
    for (guint i = 0; i < nets->devices->len; i++) {
        NetDevice *dev = g_ptr_array_index(nets->devices, i);

        if (!cards || g_strv_contains(cards, dev->name)) {
            dev->ops->announce(dev->opaque);
        }
    }
}

void net_announce(NetBackends *nets, const char *id, const NetAnnounceTimes *times,
                  const char *const *cards)
{
    net_announcer_start(nets->announcer, id, times, cards);
}
