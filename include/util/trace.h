/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events. Each folder that has some declares them in its trace-events;
 * scripts/tracetool.py makes util/trace-FOLDER.h of it, with a function
 * trace_NAME(arguments) for each, to be called from any thread: one load and
 * a branch while the event is off, a line in the log (util/log.h) while it
 * is on. docs/devel/tracing.md has the whole story.
 */
#ifndef UTIL_TRACE_H
#define UTIL_TRACE_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>

typedef struct TraceEvent {
    const char *name;
    int on;             /* atomic */
} TraceEvent;

/** All events, in the order of the tables; ends with NULL. */
extern TraceEvent *const trace_events[];

static inline bool trace_event_on(const TraceEvent *event)
{
    return G_UNLIKELY(__atomic_load_n(&event->on, __ATOMIC_RELAXED));
}

static inline void trace_event_set(TraceEvent *event, bool on)
{
    __atomic_store_n(&event->on, on, __ATOMIC_RELAXED);
}

/** What the generated functions call. */
void trace_print(const TraceEvent *event, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/** By its name, or NULL. */
TraceEvent *trace_event_find(const char *name);
/** "migrate_*": has a '*'. What has none is the name of one event. */
bool trace_is_pattern(const char *text);
bool trace_matches(const char *pattern, const char *name);

/**
 * Switches what a name or a pattern says on, with a '-' in front of it off.
 * A name that does not exist is a warning line ("warning: trace event 'x'
 * does not exist"); a pattern may match nothing. warnings may be NULL.
 */
void trace_enable(const char *text, GString *warnings);
/** A file with one of these per line; '#' begins a comment line. Warnings begin with "FILE:LINE: ". */
bool trace_enable_file(const char *path, GString *warnings, GError **errp);
/** The names, a line each. */
void trace_list(GString *out);

#endif
