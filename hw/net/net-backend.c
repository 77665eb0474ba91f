/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What network back ends share, and who is in the set of them: the ground
 * that the kinds (tap.c, socket.c, ...) and netdev.c stand on.
 */
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include "hw/net/net-priv.h"
#include "monitor/monitor.h"

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
    net->type = ops->type;
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

static void closed_send(NetBackend *net, const uint8_t *packet, size_t len)
{
}

static void closed_nothing(NetBackend *net)
{
}

static const NetBackendOps closed_ops = { "closed", closed_send, closed_nothing, closed_nothing };

void net_backend_close(NetBackend *net)
{
    net->ops->close(net);
    net->ops = &closed_ops;
}

void net_backend_free(void *opaque)
{
    NetBackend *net = opaque;

    net_backend_close(net);
    g_free(net->id);
    g_free(net->info);
    g_free(net);
}

/* ---- the set ---- */

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
    return net->type;
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

void net_backend_detach(NetBackend *net)
{
    net->fe = NULL;
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

NetBackend *net_device_backend(NetBackends *nets, size_t i)
{
    const NetDevice *dev = i < nets->devices->len ? g_ptr_array_index(nets->devices, i) : NULL;

    return dev ? dev->net : NULL;
}

const char *net_device_name(NetBackends *nets, size_t i)
{
    return ((NetDevice *)g_ptr_array_index(nets->devices, i))->name;
}

void net_register_device(NetBackends *nets, const char *id, NetBackend *net,
                         const NetDeviceOps *ops, void *opaque)
{
    NetDevice *dev = g_new0(NetDevice, 1);

    dev->name = id ? g_strdup(id) : g_strdup_printf("%s.%u", ops->model, nets->devices->len);
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

void net_announce_once(NetBackends *nets, const char *const *cards)
{
    for (guint i = 0; i < nets->devices->len; i++) {
        NetDevice *dev = g_ptr_array_index(nets->devices, i);

        if (!cards || g_strv_contains(cards, dev->name)) {
            dev->ops->announce(dev->opaque);
        }
    }
}
