/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands about the log and trace events: thin layers over
 * util/log.h and util/trace.h. Texts are QEMU's. Main thread.
 */
#include <string.h>

#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"

/* A name has to exist, a pattern may match nothing; no event knows vCPUs. */
static bool check_name(const char *name, bool has_vcpu, bool may_be_missing, GError **errp)
{
    if (trace_is_pattern(name)) {
        return true;
    }
    if (!trace_event_find(name)) {
        if (!may_be_missing) {
            error_setg(errp, "unknown event \"%s\"", name);
        }
        return may_be_missing;
    }
    if (has_vcpu) {
        error_setg(errp, "event \"%s\" is not vCPU-specific", name);
        return false;
    }
    return true;
}

TraceEventInfoList *qmp_trace_event_get_state(struct Machine *machine, const char *name,
                                              bool has_vcpu, int64_t vcpu, GError **errp)
{
    TraceEventInfoList *list = NULL, **tail = &list;

    (void)machine;
    if (!check_name(name, has_vcpu, false, errp)) {
        return NULL;
    }
    for (size_t i = 0; trace_events[i] && !has_vcpu; i++) {
        if (trace_matches(name, trace_events[i]->name)) {
            *tail = g_new0(TraceEventInfoList, 1);
            (*tail)->value = g_new0(TraceEventInfo, 1);
            (*tail)->value->name = g_strdup(trace_events[i]->name);
            (*tail)->value->state = trace_event_on(trace_events[i]) ? TRACE_EVENT_STATE_ENABLED
                                                                    : TRACE_EVENT_STATE_DISABLED;
            tail = &(*tail)->next;
        }
    }
    return list;
}

bool qmp_trace_event_set_state(struct Machine *machine, const char *name, bool enable,
                               bool has_ignore_unavailable, bool ignore_unavailable, bool has_vcpu,
                               int64_t vcpu, GError **errp)
{
    (void)machine;
    if (!check_name(name, has_vcpu, has_ignore_unavailable && ignore_unavailable, errp)) {
        return false;
    }
    for (size_t i = 0; trace_events[i] && !has_vcpu; i++) {
        if (trace_matches(name, trace_events[i]->name)) {
            trace_event_set(trace_events[i], enable);
        }
    }
    return true;
}

void hmp_trace_event(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    qmp_trace_event_set_state(hmp_machine(mon), hmp_arg_str(args, "name"),
                              hmp_arg_int(args, "option", 0), true, false,
                              hmp_arg_has(args, "vcpu"), 0, &err);
    hmp_handle_error(mon, err);
}

void hmp_info_trace_events(HMPMonitor *mon, const HMPArgs *args)
{
    const char *name = hmp_arg_str(args, "name");
    GError *err = NULL;
    TraceEventInfoList *list = qmp_trace_event_get_state(hmp_machine(mon), name ? name : "*",
                                                         hmp_arg_has(args, "vcpu"), 0, &err);

    for (TraceEventInfoList *e = list; e; e = e->next) {
        monitor_printf(mon, "%s : state %d\n", e->value->name,
                       e->value->state == TRACE_EVENT_STATE_ENABLED);
    }
    qapi_free_TraceEventInfoList(list);
    hmp_handle_error(mon, err);
}

void hmp_log(HMPMonitor *mon, const HMPArgs *args)
{
    const char *items = hmp_arg_str(args, "items");
    g_autoptr(GString) text = g_string_new(NULL);

    if (strcmp(items, "trace:help") == 0) {
        trace_list(text);
    } else if (strcmp(items, "help") == 0 || !log_set_items(items, text, NULL)) {
        g_string_truncate(text, 0);
        log_help(text, "log");
    }
    monitor_puts(mon, text->str);
}

void hmp_logfile(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    log_open(hmp_arg_str(args, "filename"), true, &err);
    hmp_handle_error(mon, err);
}

void hmp_trace_event_complete(struct Machine *machine, unsigned nb, const char *text,
                              GPtrArray *out)
{
    static const char *const states[] = { "on", "off" };

    (void)machine;
    for (size_t i = 0; nb == 1 && trace_events[i]; i++) {
        if (g_str_has_prefix(trace_events[i]->name, text)) {
            g_ptr_array_add(out, g_strdup(trace_events[i]->name));
        }
    }
    for (size_t i = 0; nb == 2 && i < G_N_ELEMENTS(states); i++) {
        if (g_str_has_prefix(states[i], text)) {
            g_ptr_array_add(out, g_strdup(states[i]));
        }
    }
}
