/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of -d, -D and -trace (util/log.h). Never fails: who logs has no use for an error. */
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "util/error.h"
#include "util/trace.h"

#define LINE_BYTES 1024

unsigned log_items;
static int log_fd = STDERR_FILENO;  /* atomic; a file once opened keeps its number (dup3) */
static int timestamps;              /* atomic */

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

void log_vprintf(const char *prefix, const char *fmt, va_list ap)
{
    char line[LINE_BYTES];
    g_autofree char *longer = NULL;
    const char *text = line;
    va_list again;
    int head = g_snprintf(line, sizeof(line), "%s", prefix), len;

    va_copy(again, ap);
    len = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
    if (len >= (int)sizeof(line) - head) {
        g_autofree char *rest = g_strdup_vprintf(fmt, again);
        text = longer = g_strconcat(prefix, rest, NULL);
    }
    va_end(again);
    ssize_t ignored = write(__atomic_load_n(&log_fd, __ATOMIC_RELAXED), text, strlen(text));
    (void)ignored; /* a full disk ends nothing */
}

void log_printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_vprintf("", fmt, ap);
    va_end(ap);
}

/* ---- what ---- */

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

/* ---- where ---- */

bool log_open(const char *path, bool append, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(path, "%d", 2);
    g_autofree char *name = parts[0] && parts[1]
        ? g_strdup_printf("%s%d%s", parts[0], (int)getpid(), parts[1]) : g_strdup(path);
    int old = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0644);

    if (fd < 0) {
        error_setg_errno(errp, errno, "Error opening logfile %s", name);
        return false;
    }
    if (old == STDERR_FILENO) {
        __atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
    } else {
        dup3(fd, old, O_CLOEXEC); /* under the feet of whoever writes just now */
        close(fd);
    }
    return true;
}

void log_set_timestamps(bool on)
{
    __atomic_store_n(&timestamps, on, __ATOMIC_RELAXED);
}

bool log_timestamps(void)
{
    return __atomic_load_n(&timestamps, __ATOMIC_RELAXED);
}
