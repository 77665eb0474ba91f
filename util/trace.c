/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trace events by name and pattern, and their lines in the log (util/trace.h). */
#include "util/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "util/error.h"
#include "util/log.h"

#define LIST_FILE_MAX (1 << 20)

void trace_print(const TraceEvent *event, const char *fmt, ...)
{
    char prefix[128];
    int head = 0;
    va_list ap;

    if (log_timestamps()) {
        gint64 us = g_get_real_time();
        head = g_snprintf(prefix, sizeof(prefix), "%ld@%" PRId64 ".%06d:", syscall(SYS_gettid),
                          us / G_USEC_PER_SEC, (int)(us % G_USEC_PER_SEC));
    }
    g_snprintf(prefix + head, sizeof(prefix) - head, "%s ", event->name);
    va_start(ap, fmt);
    log_vprintf(prefix, fmt, ap);
    va_end(ap);
}

TraceEvent *trace_event_find(const char *name)
{
    for (size_t i = 0; trace_events[i]; i++) {
        if (strcmp(trace_events[i]->name, name) == 0) {
            return trace_events[i];
        }
    }
    return NULL;
}

bool trace_is_pattern(const char *text)
{
    return strchr(text, '*') != NULL;
}

bool trace_matches(const char *pattern, const char *name)
{
    return g_pattern_match_simple(pattern, name);
}

static void enable(const char *text, const char *where, GString *warnings)
{
    bool on = *text != '-', known = trace_is_pattern(text);

    text += !on;
    for (size_t i = 0; trace_events[i]; i++) {
        if (trace_matches(text, trace_events[i]->name)) {
            trace_event_set(trace_events[i], on);
            known = true;
        }
    }
    if (!known && warnings) {
        g_string_append_printf(warnings, "%swarning: trace event '%s' does not exist\n", where,
                               text);
    }
}

void trace_enable(const char *text, GString *warnings)
{
    enable(text, "", warnings);
}

bool trace_enable_file(const char *path, GString *warnings, GError **errp)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;

    if (!g_file_get_contents(path, &text, &len, &err)) {
        error_setg(errp, "%s", err->message);
        return false;
    }
    if (len > LIST_FILE_MAX) {
        error_setg(errp, "'%s' is no list of trace events: %zu bytes", path, (size_t)len);
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        if (*line && *line != '#') {
            g_autofree char *where = g_strdup_printf("%s:%u: ", path, i + 1);
            enable(line, where, warnings);
        }
    }
    return true;
}

void trace_list(GString *out)
{
    for (size_t i = 0; trace_events[i]; i++) {
        g_string_append_printf(out, "%s\n", trace_events[i]->name);
    }
}
