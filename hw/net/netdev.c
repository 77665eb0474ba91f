/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev: the kinds of back end there are, the set that the command line
 * asks for, and what comes and goes later. Called by the board and monitors.
 */
#include <string.h>
#include "config-host.h"
#include "hw/net/net-priv.h"
#include "util/near-name.h"

#ifndef CONFIG_SLIRP
NetBackend *net_slirp_open(NetBackends *nets, const char *id, Opts *opts, GError **errp)
{
    error_setg(errp, "network backend 'user' is not compiled into this binary");
    return NULL;
}
#endif

static const struct Kind {
    const char *type;
    NetBackend *(*open)(NetBackends *nets, const char *id, Opts *opts, GError **errp);
} kinds[] = {
    { "user", net_slirp_open }, { "tap", net_tap_open }, { "socket", net_socket_open },
    { "stream", net_stream_open }, { "dgram", net_dgram_open }, { "hubport", net_hub_open },
};

static const struct Kind *kind_find(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].type, type) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool netdev_add(NetBackends *nets, Opts *opts, GError **errp)
{
    const char *type = opts_get(opts, "type"), *id = opts_get(opts, "id");
    const struct Kind *kind = type ? kind_find(type) : NULL;
    NetBackend *net;

    if (!type || !id) {
        error_setg(errp, "Parameter '%s' is missing", id ? "type" : "id");
        return false;
    }
    if (!kind) {
        g_autofree char *hint = near_hint(&kinds[0].type, sizeof(kinds[0]), G_N_ELEMENTS(kinds), type);
        error_setg(errp, "Parameter 'type' does not accept value '%s'%s", type, hint);
        return false;
    }
    if (!id_wellformed(id)) {
        error_setg(errp, "Parameter 'id' expects an identifier");
        return false;
    }
    if (net_backend_find(nets, id)) {
        error_setg(errp, "Duplicate ID '%s' for netdev", id);
        return false;
    }
    net = kind->open(nets, id, opts, errp);
    if (!net) {
        return false;
    }
    if (!opts_check_used(opts, NULL, errp)) {
        net_backend_free(net);
        return false;
    }
    g_ptr_array_add(nets->list, net);
    return true;
}

bool netdev_del(NetBackends *nets, const char *id, GError **errp)
{
    NetBackend *net = net_backend_find(nets, id);

    if (!net) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
        return false;
    }
    net_set_link(nets, id, false, NULL);
    g_ptr_array_remove(nets->list, net);
    if (net->fe) {
        net_backend_close(net);
        g_ptr_array_add(nets->gone, net);
    } else {
        net_backend_free(net);
    }
    return true;
}

void netdev_types_help(GString *out)
{
    g_string_append(out, "Available netdev backend types:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_string_append_printf(out, "%s\n", kinds[i].type);
    }
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
    nets->list = g_ptr_array_new();
    nets->gone = g_ptr_array_new_with_free_func(net_backend_free);
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
        while (nets->list->len) { /* the last first: a hub's port lets go of what is plugged in */
            net_backend_free(g_ptr_array_steal_index(nets->list, nets->list->len - 1));
        }
        g_ptr_array_unref(nets->list);
        g_ptr_array_unref(nets->gone);
        g_free(nets);
    }
}

void net_announce(NetBackends *nets, const char *id, const NetAnnounceTimes *times,
                  const char *const *cards)
{
    net_announcer_start(nets->announcer, id, times, cards);
}
