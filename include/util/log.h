/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of -d, -D and -trace: what is written there, and where it goes.
 * Like stderr, on which it begins, there is one per process, and any thread
 * writes to it at any time: each line is a single write. (This and the
 * switches of trace events are the program's only global state: what is
 * logged where concerns no machine, and asking must cost one load.)
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <glib.h>
#include <stdbool.h>

typedef enum LogItem {
    LOG_INT = 1 << 0,               /* traps and interrupts */
    LOG_CPU_RESET = 1 << 1,
    LOG_UNIMP = 1 << 2,             /* what a guest may do, but we have not got */
    LOG_GUEST_ERROR = 1 << 3,       /* what a guest should not do */
} LogItem;

extern unsigned log_items; /* atomic; use log_wanted */

/** Any thread. */
static inline bool log_wanted(LogItem item)
{
    return G_UNLIKELY(__atomic_load_n(&log_items, __ATOMIC_RELAXED) & item);
}

/** Writes a line (fmt ends with a newline) if the item is wanted. Any thread. */
#define log_mask(item, ...) \
    do { \
        if (log_wanted(item)) { \
            log_printf(__VA_ARGS__); \
        } \
    } while (0)
void log_printf(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void log_vprintf(const char *prefix, const char *fmt, va_list ap) G_GNUC_PRINTF(2, 0);

/**
 * Sets what is logged: "int,unimp,trace:PATTERN"; "none" or "": nothing more.
 * Nothing changes if an item is unknown: false with errp, the text of which
 * ends with the list of items. Warnings about events that do not exist are
 * added to warnings (or NULL), a line each.
 */
bool log_set_items(const char *text, GString *warnings, GError **errp);
/** The list of items, as "-d help" and "log help" show it; option: "-d" or "log". */
void log_help(GString *out, const char *option);

/** Lines go to this file from now on ("%d": our process id); append: what is there stays. */
bool log_open(const char *path, bool append, GError **errp);
/** -msg timestamp=on: trace lines begin with THREAD@SECONDS.MICROSECONDS: */
void log_set_timestamps(bool on);
bool log_timestamps(void);

#endif
