/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-command-line-options: the options whose parameters clients look up
 * before they use them. Called by libvirt while it probes; "sandbox" there
 * means that -sandbox works.
 */
#include <string.h>

#include "config-host.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

typedef struct OptionParam {
    const char *option, *name;      /* name NULL: takes any, or is followed by the rest */
    CommandLineParameterType type;
} OptionParam;

#define STR(o, n) { o, n, COMMAND_LINE_PARAMETER_TYPE_STRING }
#define BOOL(o, n) { o, n, COMMAND_LINE_PARAMETER_TYPE_BOOLEAN }
#define NUM(o, n) { o, n, COMMAND_LINE_PARAMETER_TYPE_NUMBER }
#define SIZE(o, n) { o, n, COMMAND_LINE_PARAMETER_TYPE_SIZE }

/* Rows of one option stand together. */
static const OptionParam params[] = {
    STR("accel", NULL),
    NUM("add-fd", "fd"), NUM("add-fd", "set"), STR("add-fd", "opaque"),
    BOOL("boot-opts", "strict"), STR("boot-opts", "order"), STR("boot-opts", "once"),
    STR("chardev", "backend"), STR("chardev", "path"), STR("chardev", "host"),
    STR("chardev", "port"), STR("chardev", "fd"), BOOL("chardev", "server"),
    BOOL("chardev", "wait"), NUM("chardev", "reconnect"), BOOL("chardev", "telnet"),
    BOOL("chardev", "signal"), BOOL("chardev", "append"), BOOL("chardev", "mux"),
    SIZE("chardev", "size"), STR("chardev", "logfile"),
    STR("device", NULL),
    STR("drive", "file"), STR("drive", "if"), STR("drive", "format"), STR("drive", "id"),
    STR("drive", "cache"), BOOL("drive", "readonly"),
    STR("global", "driver"), STR("global", "property"), STR("global", "value"),
    STR("machine", "type"), STR("machine", "accel"), STR("machine", "memory-backend"),
    BOOL("machine", "usb"), BOOL("machine", "dump-guest-core"), BOOL("machine", "mem-merge"),
    SIZE("memory", "size"),
    STR("mon", "chardev"), STR("mon", "mode"), BOOL("mon", "pretty"),
    BOOL("msg", "timestamp"), BOOL("msg", "guest-name"),
    STR("name", "guest"), STR("name", "process"), BOOL("name", "debug-threads"),
    STR("netdev", NULL), STR("numa", NULL), STR("object", NULL),
    BOOL("overcommit", "mem-lock"), BOOL("overcommit", "cpu-pm"),
    STR("rtc", "base"), STR("rtc", "clock"), STR("rtc", "driftfix"),
#ifdef CONFIG_SECCOMP
    BOOL("sandbox", "enable"), STR("sandbox", "obsolete"), STR("sandbox", "elevateprivileges"),
    STR("sandbox", "spawn"), STR("sandbox", "resourcecontrol"),
#endif
    NUM("smp-opts", "cpus"), NUM("smp-opts", "sockets"), NUM("smp-opts", "cores"),
    NUM("smp-opts", "threads"), NUM("smp-opts", "maxcpus"),
    STR("trace", "enable"), STR("trace", "events"), STR("trace", "file"),
};

static CommandLineParameterInfoList *option_params(size_t first)
{
    CommandLineParameterInfoList *list = NULL, **tail = &list;
    for (size_t i = first; i < G_N_ELEMENTS(params) &&
                           !strcmp(params[i].option, params[first].option); i++) {
        if (params[i].name) {
            *tail = g_new0(CommandLineParameterInfoList, 1);
            (*tail)->value = g_new0(CommandLineParameterInfo, 1);
            (*tail)->value->name = g_strdup(params[i].name);
            (*tail)->value->type = params[i].type;
            tail = &(*tail)->next;
        }
    }
    return list;
}

CommandLineOptionInfoList *qmp_query_command_line_options(struct Machine *machine,
                                                          const char *option, GError **errp)
{
    CommandLineOptionInfoList *list = NULL, **tail = &list;
    (void)machine;
    for (size_t i = 0; i < G_N_ELEMENTS(params); i++) {
        bool begins = i == 0 || strcmp(params[i].option, params[i - 1].option);
        if (!begins || (option && strcmp(option, params[i].option))) {
            continue;
        }
        *tail = g_new0(CommandLineOptionInfoList, 1);
        (*tail)->value = g_new0(CommandLineOptionInfo, 1);
        (*tail)->value->option = g_strdup(params[i].option);
        (*tail)->value->parameters = option_params(i);
        tail = &(*tail)->next;
    }
    if (option && !list) {
        error_setg(errp, "invalid option name: %s", option);
    }
    return list;
}
