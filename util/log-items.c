/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is logged, by name (util/log.h): items of the log and trace events. Main thread. */
#include <string.h>
#include "util/error.h"
#include "util/log.h"
#include "util/trace.h"

static const struct {
    const char *name;
    LogItem item;
    const char *help;
} items[] = {
    { "int", LOG_INT, "show interrupts/exceptions in short format" },
    { "cpu_reset", LOG_CPU_RESET, "show CPU state before CPU resets" },
    { "unimp", LOG_UNIMP, "log unimplemented functionality" },
    { "guest_errors", LOG_GUEST_ERROR,
      "log when the guest OS does something invalid (eg accessing a\nnon-existent register)" },
};

void log_help(GString *out, const char *option)
{
    g_string_append(out, "Log items (comma separated):\n");
    if (g_str_equal(option, "log")) {
        g_string_append_printf(out, "%-15s %s\n", "none", "remove all logs");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(items); i++) {
        g_string_append_printf(out, "%-15s %s\n", items[i].name, items[i].help);
    }
    g_string_append_printf(out, "%-15s %s\n\nUse \"%s trace:help\" to get a list of trace events.\n",
                           "trace:PATTERN", "enable trace events", option);
}

static bool item_find(const char *name, unsigned *bits)
{
    if (g_str_equal(name, "all")) {
        *bits |= LOG_INT | LOG_CPU_RESET | LOG_UNIMP | LOG_GUEST_ERROR;
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(items); i++) {
        if (g_str_equal(items[i].name, name)) {
            *bits |= items[i].item;
            return true;
        }
    }
    return g_str_has_prefix(name, "trace:") || !*name || g_str_equal(name, "none");
}

bool log_set_items(const char *text, GString *warnings, GError **errp)
{
    g_auto(GStrv) names = g_strsplit(text, ",", -1);
    unsigned bits = 0;

    for (char **name = names; *name; name++) {
        if (!item_find(*name, &bits)) {
            g_autoptr(GString) list = g_string_new(NULL);
            log_help(list, "-d");
            error_setg(errp, "unknown log item '%s'\n%s", *name, g_strchomp(list->str));
            return false;
        }
    }
    for (char **name = names; *name; name++) {
        if (g_str_has_prefix(*name, "trace:")) {
            trace_enable(*name + strlen("trace:"), warnings);
        }
    }
    __atomic_store_n(&log_items, bits, __ATOMIC_RELAXED);
    return true;
}
