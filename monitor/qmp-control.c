/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about the monitor itself: version, lists, schema, quit, human-monitor-command. */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "monitor/internal.h"
#include "qapi/introspect.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"
#include "util/opts.h"

bool qmp_qmp_capabilities(struct Machine *machine, QMPCapabilityList *enable, GError **errp)
{
    return qmp_session_negotiate(machine->monitors->current, enable, errp);
}

VersionInfo *qmp_query_version(struct Machine *machine, GError **errp)
{
    (void)machine;
    (void)errp;
    VersionInfo *info = g_new0(VersionInfo, 1);
    info->qemu = g_new0(VersionTriple, 1);
    info->qemu->major = MONITOR_QEMU_MAJOR;
    info->qemu->minor = MONITOR_QEMU_MINOR;
    info->qemu->micro = MONITOR_QEMU_MICRO;
    info->package = g_strdup(MONITOR_PACKAGE);
    return info;
}

CommandInfoList *qmp_query_commands(struct Machine *machine, GError **errp)
{
    CommandInfoList *list = NULL, **tail = &list;
    (void)machine;
    (void)errp;
    for (const QapiCommand *c = qapi_commands; c->name; c++) {
        *tail = g_new0(CommandInfoList, 1);
        (*tail)->value = g_new0(CommandInfo, 1);
        (*tail)->value->name = g_strdup(c->name);
        tail = &(*tail)->next;
    }
    return list;
}

EventInfoList *qmp_query_events(struct Machine *machine, GError **errp)
{
    EventInfoList *list = NULL, **tail = &list;
    (void)machine;
    (void)errp;
    for (const char *const *name = qapi_event_names; *name; name++) {
        *tail = g_new0(EventInfoList, 1);
        (*tail)->value = g_new0(EventInfo, 1);
        (*tail)->value->name = g_strdup(*name);
        tail = &(*tail)->next;
    }
    return list;
}

anyList *qmp_query_qmp_schema(struct Machine *machine, GError **errp)
{
    anyList *list = NULL, **tail = &list;
    (void)machine;
    (void)errp;
    for (const char *const *row = qapi_schema_rows; *row; row++) {
        *tail = g_new0(anyList, 1);
        (*tail)->value = json_tokener_parse(*row);
        tail = &(*tail)->next;
    }
    return list;
}

/* Bytes here, MiB in -numa. */
static void mem_in_bytes(Opts *opts, const NumaOptions *arg)
{
    if (arg->type == NUMA_OPTIONS_TYPE_NODE && arg->u.node.has_mem) {
        g_autofree char *text = g_strdup_printf("%" PRIu64 "B", arg->u.node.mem);
        opts_set(opts, "mem", text);
    }
}

bool qmp_set_numa_node(struct Machine *machine, NumaOptions *arg, GError **errp)
{
    if (machine_is_built(machine)) {
        error_setg(errp, "The command is permitted only before the machine has been created");
        return false;
    }
    struct json_object *json = qapi_output(&qapi_type_NumaOptions, arg);
    Opts *opts = opts_parse(json_object_to_json_string(json), NULL, errp);
    if (opts) {
        mem_in_bytes(opts, arg);
    }
    bool ok = opts && machine->set_numa_node(machine, opts, errp);
    opts_free(opts);
    json_object_put(json);
    return ok;
}

bool qmp_x_exit_preconfig(struct Machine *machine, GError **errp)
{
    if (machine_is_built(machine)) {
        error_setg(errp, "The command is permitted only before machine initialization");
        return false;
    }
    return machine->exit_preconfig(machine, errp);
}

bool qmp_quit(struct Machine *machine, GError **errp)
{
    (void)errp;
    system_shutdown_request(machine->runstate, SHUTDOWN_CAUSE_HOST_QMP_QUIT, 0);
    return true;
}

char *qmp_human_monitor_command(struct Machine *machine, const char *command_line,
                                bool has_cpu_index, int64_t cpu_index, GError **errp)
{
    if (has_cpu_index && (cpu_index < 0 || cpu_index > INT_MAX)) {
        error_setg(errp, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    return hmp_run_captured(machine->monitors, command_line, has_cpu_index ? (int)cpu_index : -1,
                            errp);
}
