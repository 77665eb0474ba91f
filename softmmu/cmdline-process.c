/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option handlers for the process: start, end, messages, logs. Called by cmdline.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "softmmu/cmdline.h"
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"

bool handle_accept(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return true;
}

bool handle_accept_arg(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return true;
}

bool handle_nographic(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->nographic = true;
    return true;
}

bool handle_nodefaults(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->nodefaults = true;
    return true;
}

bool handle_daemonize(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->daemonize = true;
    return true;
}

bool handle_S(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->config.start_paused = true;
    return true;
}

bool handle_incoming(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_free(cl->config.incoming);
    cl->config.incoming = g_strdup(arg);
    return true;
}

bool handle_pidfile(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_free(cl->pidfile);
    cl->pidfile = g_strdup(arg);
    return true;
}

/* ---- what a reset or a shutdown does ---- */

bool handle_no_reboot(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->config.no_reboot = true;
    return true;
}

bool handle_only_migratable(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->config.only_migratable = true;
    return true;
}

bool handle_dump_vmstate(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (cl->dump_vmstate) {
        error_setg(errp, "only one '-dump-vmstate' option may be given");
        return false;
    }
    cl->dump_vmstate = fopen(arg, "we");
    if (!cl->dump_vmstate) {
        error_setg(errp, "open %s: %s", arg, g_strerror(errno));
    }
    return cl->dump_vmstate != NULL;
}

bool handle_preconfig(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->preconfig = true;
    return true;
}

bool handle_no_shutdown(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->config.no_shutdown = true;
    return true;
}

bool handle_action(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "reboot", "shutdown", "panic", "watchdog", NULL };
    static const char *const reboots[] = { "reset", "shutdown", NULL };
    static const char *const shutdowns[] = { "poweroff", "pause", NULL };
    static const char *const panics[] = { "none", "pause", "shutdown", "exit-failure", NULL };
    static const char *const watchdogs[] = { "reset", "shutdown", "poweroff", "pause", "debug",
                                             "none", "inject-nmi", NULL };
    Opts *opts = opts_parse(arg, NULL, errp);
    bool ok = opts && opts_only_keys(opts, keys, errp) &&
              opts_value_in(opts, "reboot", reboots, errp) &&
              opts_value_in(opts, "shutdown", shutdowns, errp) &&
              opts_value_in(opts, "panic", panics, errp) &&
              opts_value_in(opts, "watchdog", watchdogs, errp);

    if (ok && opts_get(opts, "reboot")) {
        cl->config.no_reboot = strcmp(opts_get(opts, "reboot"), "shutdown") == 0;
    }
    if (ok && opts_get(opts, "shutdown")) {
        cl->config.no_shutdown = strcmp(opts_get(opts, "shutdown"), "pause") == 0;
    }
    opts_free(opts);
    return ok;
}

/* ---- messages and logs ---- */

bool handle_msg(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "timestamp", "guest-name", NULL };
    Opts *opts = opts_parse(arg, NULL, errp);
    bool ok = opts && opts_only_keys(opts, keys, errp) &&
              opts_get_bool(opts, "timestamp", &cl->config.msg_timestamp, errp) &&
              opts_get_bool(opts, "guest-name", &cl->config.msg_guest_name, errp);

    opts_free(opts);
    return ok;
}

bool handle_d(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        log_help(cl->output, "-d");
        return true;
    }
    if (strcmp(arg, "trace:help") == 0) {
        trace_list(cl->output);
        return true;
    }
    return log_set_items(arg, cl->warnings, errp);
}

bool handle_D(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_free(cl->log_file);
    cl->log_file = g_strdup(arg);
    return true;
}

bool handle_trace(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "enable", "events", "file", NULL };
    Opts *opts = opts_parse(arg, "enable", errp);

    if (opts && opts_ask_help(opts, "enable")) {
        trace_list(cl->output);
        opts_free(opts);
        return true;
    }
    bool ok = opts && opts_only_keys(opts, keys, errp);
    if (ok && opts_get(opts, "events")) {
        ok = trace_enable_file(opts_get(opts, "events"), cl->warnings, errp);
    }
    if (ok && opts_get(opts, "enable")) {
        g_autoptr(GString) warnings = g_string_new(NULL);
        trace_enable(opts_get(opts, "enable"), warnings);
        if (warnings->len) {
            g_string_append_printf(cl->warnings, "-trace %s: %s", arg, warnings->str);
        }
    }
    if (ok && opts_get(opts, "file")) {
        handle_D(cl, name, opts_get(opts, "file"), errp);
    }
    opts_free(opts);
    return ok;
}

/* ---- confinement ---- */

bool handle_overcommit(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "mem-lock", "cpu-pm", NULL };
    Opts *opts = opts_parse(arg, NULL, errp);
    bool cpu_pm = false;
    bool ok = opts && opts_only_keys(opts, keys, errp) &&
              opts_get_bool(opts, "mem-lock", &cl->mem_lock, errp) &&
              opts_get_bool(opts, "cpu-pm", &cpu_pm, errp);

    opts_free(opts);
    return ok;
}

bool handle_sandbox(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "enable", "obsolete", "elevateprivileges", "spawn",
                                        "resourcecontrol", NULL };
    static const char *const allow_deny[] = { "allow", "deny", NULL };
    static const char *const with_children[] = { "allow", "deny", "children", NULL };
    Opts *opts = opts_parse(arg, "enable", errp);
    bool enable = false;

    if (!opts || !opts_only_keys(opts, keys, errp) ||
        !opts_get_bool(opts, "enable", &enable, errp) ||
        !opts_value_in(opts, "obsolete", allow_deny, errp) ||
        !opts_value_in(opts, "elevateprivileges", with_children, errp) ||
        !opts_value_in(opts, "spawn", allow_deny, errp) ||
        !opts_value_in(opts, "resourcecontrol", allow_deny, errp)) {
        opts_free(opts);
        return false;
    }
    opts_free(cl->sandbox);
    cl->sandbox = enable ? opts : NULL;
    if (!enable) {
        opts_free(opts);
    }
    return true;
}
