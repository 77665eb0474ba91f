/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about network cards and back ends, QMP and HMP: views of hw/net-backend.h. */
#include <json-c/json.h>
#include <string.h>

#include "hw/boards.h"
#include "hw/net-backend.h"
#include "migration/migration.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "softmmu/machine.h"
#include "util/error.h"

bool qmp_set_link(struct Machine *machine, const char *name, bool up, GError **errp)
{
    if (!machine->board) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return false;
    }
    return migration_guest_is_here(machine->migration, errp) &&
           net_set_link(board_nets(machine->board), name, up, errp);
}

bool qmp_netdev_add(struct Machine *machine, Netdev *arg, GError **errp)
{
    NetBackends *nets = board_nets(machine->board);

    if (net_backend_find(nets, arg->id)) {
        error_setg(errp, "Duplicate ID '%s'", arg->id);
        return false;
    }
    struct json_object *json = qapi_output(&qapi_type_Netdev, arg);
    Opts *opts = opts_parse(json_object_to_json_string(json), NULL, errp);
    bool ok = opts && netdev_add(nets, opts, errp);
    opts_free(opts);
    json_object_put(json);
    return ok;
}

bool qmp_netdev_del(struct Machine *machine, const char *id, GError **errp)
{
    return netdev_del(board_nets(machine->board), id, errp);
}

void hmp_netdev_add(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    const char *text = hmp_arg_str(args, "netdev");
    Opts *opts = opts_parse(text ? text : "", "type", &err);

    if (opts && !g_strcmp0(opts_get(opts, "type"), "help")) {
        g_autoptr(GString) text = g_string_new(NULL);
        netdev_types_help(text);
        monitor_puts(mon, text->str);
    } else if (opts) {
        netdev_add(board_nets(hmp_machine(mon)->board), opts, &err);
    }
    opts_free(opts);
    hmp_handle_error(mon, err);
}

void hmp_netdev_del(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_netdev_del(hmp_machine(mon), hmp_arg_str(args, "id"), &err);
    hmp_handle_error(mon, err);
}

static bool not_negative(const char *name, int64_t value, GError **errp)
{
    if (value < 0) {
        error_setg(errp, "Parameter '%s' expects a number that is not negative", name);
    }
    return value >= 0;
}

bool qmp_announce_self(struct Machine *machine, AnnounceParameters *arg, GError **errp)
{
    NetAnnounceTimes times = {
        .rounds = arg->rounds,
        .initial_ms = arg->initial,
        .step_ms = arg->step,
        .max_ms = arg->max,
    };

    if (!not_negative("initial", arg->initial, errp) || !not_negative("max", arg->max, errp) ||
        !not_negative("rounds", arg->rounds, errp) || !not_negative("step", arg->step, errp) ||
        !migration_guest_is_here(machine->migration, errp)) {
        return false;
    }
    if (machine->board) {
        g_autoptr(GPtrArray) cards = g_ptr_array_new();

        for (strList *l = arg->interfaces; l; l = l->next) {
            g_ptr_array_add(cards, l->value);
        }
        g_ptr_array_add(cards, NULL);
        net_announce(board_nets(machine->board), arg->id, &times,
                     arg->interfaces ? (const char *const *)cards->pdata : NULL);
    }
    return true;
}

RxFilterInfoList *qmp_query_rx_filter(struct Machine *machine, const char *name, GError **errp)
{
    RxFilterInfoList *list = NULL;
    if (machine->board) {
        net_query_rx_filters(board_nets(machine->board), name, &list, errp);
    }
    return list;
}

/* ---- network ---- */

/* Value of "key = value" among a device's properties, without quotes; NULL if absent. */
static char *device_prop(const BoardDevice *d, const char *key)
{
    g_autofree char *start = g_strconcat(key, " = ", NULL);
    for (char *const *p = d->props; p && *p; p++) {
        if (g_str_has_prefix(*p, start)) {
            char *value = g_strdup(*p + strlen(start));
            if (value[0] == '"') {
                memmove(value, value + 1, strlen(value));
                value[strcspn(value, "\"")] = 0;
            }
            return value;
        }
    }
    return NULL;
}

static void print_backend(HMPMonitor *mon, const char *lead, NetBackend *net)
{
    const char *info = net_backend_info(net);
    monitor_printf(mon, "%s%s: index=0,type=%s,%s\n", lead, net_backend_id(net),
                   net_backend_type(net), info);
}

void hmp_info_network(HMPMonitor *mon, const HMPArgs *args)
{
    Board *board = hmp_machine(mon)->board;
    (void)args;
    if (!board) {
        return;
    }
    NetBackend *net;
    size_t card = 0;
    g_autoptr(GHashTable) used = g_hash_table_new(NULL, NULL);
    for (size_t i = 0; i < board_device_count(board); i++) {
        const BoardDevice *d = board_device(board, i);
        if (strcmp(d->driver, "virtio-net-device")) {
            continue;
        }
        g_autofree char *mac = device_prop(d, "mac");
        monitor_printf(mon, "%s: index=0,type=nic,model=%s,macaddr=%s\n",
                       net_device_name(board_nets(board), card), d->driver, mac ? mac : "?");
        net = net_device_backend(board_nets(board), card++);
        if (net) {
            print_backend(mon, " \\ ", net);
            g_hash_table_add(used, net);
        }
    }
    for (size_t i = 0; (net = net_backends_get(board_nets(board), i)); i++) {
        if (!g_hash_table_contains(used, net)) {
            print_backend(mon, "", net);
        }
    }
}

void hmp_set_link(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_set_link(hmp_machine(mon), hmp_arg_str(args, "name"), hmp_arg_flag(args, "up"), &err);
    hmp_handle_error(mon, err);
}

void hmp_announce_self(HMPMonitor *mon, const HMPArgs *args)
{
    Machine *machine = hmp_machine(mon);
    GError *err = NULL;
    const char *cards = hmp_arg_str(args, "interfaces");
    g_auto(GStrv) names = cards && *cards ? g_strsplit(cards, ",", -1) : NULL;
    MigrationParameters *p = qmp_query_migrate_parameters(machine, NULL);
    NetAnnounceTimes times = {
        .rounds = p->announce_rounds,
        .initial_ms = p->announce_initial,
        .step_ms = p->announce_step,
        .max_ms = p->announce_max,
    };

    if (migration_guest_is_here(machine->migration, &err) && machine->board) {
        net_announce(board_nets(machine->board), hmp_arg_str(args, "id"), &times,
                     (const char *const *)names);
    }
    hmp_handle_error(mon, err);
    qapi_free_MigrationParameters(p);
}

void hmp_netdev_complete(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    NetBackend *net;
    for (size_t i = 0; nb == 1 && machine->board &&
                       (net = net_backends_get(board_nets(machine->board), i)); i++) {
        if (g_str_has_prefix(net_backend_id(net), text)) {
            g_ptr_array_add(out, g_strdup(net_backend_id(net)));
        }
    }
}

void hmp_set_link_complete(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    static const char *const on_off[] = { "off", "on" };
    for (size_t i = 0; nb == 2 && i < G_N_ELEMENTS(on_off); i++) {
        if (g_str_has_prefix(on_off[i], text)) {
            g_ptr_array_add(out, g_strdup(on_off[i]));
        }
    }
    if (nb == 1) {
        hmp_netdev_complete(machine, nb, text, out);
        hmp_device_complete(machine, nb, text, out);
    }
}
