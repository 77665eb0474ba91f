/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitors: QMP and HMP sessions over chardevs, the event sink, fds passed
 * in. Main thread, BQL; qmp_event_emit from any thread. QMP is read and
 * written by a thread of its own (docs/devel/monitor.md).
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "chardev/char.h"

struct Machine;
struct json_object;
typedef struct Monitors Monitors;

Monitors *monitors_new(struct Machine *machine);
/** Begins to serve QMP sessions on a thread of their own. After the process went to the background. */
bool monitors_start(Monitors *monitors, GError **errp);
void monitors_free(Monitors *monitors);
/** control: QMP, else HMP with the prompt "(qemu) ". */
bool monitor_add(Monitors *monitors, Chardev *chr, bool control, bool pretty, GError **errp);
/** Sends an event to every negotiated QMP session, with the timestamp of the call. Takes data (may be NULL). Any thread. */
void qmp_event_emit(Monitors *monitors, const char *name, struct json_object *data);

/* ---- HMP command side: handlers named in hmp-commands.hx ---- */

typedef struct HMPMonitor HMPMonitor;
typedef struct HMPArgs HMPArgs;

struct Machine *hmp_machine(const HMPMonitor *mon);
void monitor_printf(HMPMonitor *mon, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void monitor_puts(HMPMonitor *mon, const char *text);
/** "Error: <desc>\n" and frees err; no-op if err is NULL. */
void hmp_handle_error(HMPMonitor *mon, GError *err);
/**
 * A long command (migrate without -d): input is held back until hmp_resume, and Ctrl-C is a key.
 * False if this monitor cannot suspend (human-monitor-command).
 */
bool hmp_suspend(HMPMonitor *mon);
/** Whether Ctrl-C or Esc was typed since hmp_suspend or the last call: the command is to end. Main thread. */
bool hmp_interrupted(HMPMonitor *mon);
void hmp_resume(HMPMonitor *mon);
/** Rewrites the current line (live progress): CR + text + erase to end of line; on a non-terminal one line per call. */
void hmp_progress(HMPMonitor *mon, const char *text);

const char *hmp_arg_str(const HMPArgs *args, const char *name);     /* NULL if absent */
bool hmp_arg_has(const HMPArgs *args, const char *name);
int64_t hmp_arg_int(const HMPArgs *args, const char *name, int64_t dflt);
bool hmp_arg_flag(const HMPArgs *args, const char *name);           /* -d and the like */

/** Runs one HMP line and returns its output (human-monitor-command). */
char *hmp_run_captured(Monitors *monitors, const char *line, int cpu_index, GError **errp);

/* ---- fds: getfd, closefd, add-fd ---- */
typedef struct FdSets FdSets;
FdSets *fdsets_new(void);
void fdsets_free(FdSets *fds);
bool fds_put_named(FdSets *fds, const char *name, int fd, GError **errp);   /* replaces; "...must not begin with a digit" */
int fds_take_named(FdSets *fds, const char *name, GError **errp);           /* "File descriptor named '%s' has not been found" */
/** -add-fd set=,fd=,opaque= and QMP add-fd. set < 0: a new set. Takes fd. */
bool fdset_add(FdSets *fds, int64_t set, int fd, const char *opaque, int64_t *set_out, GError **errp);
/** open() that understands /dev/fdset/N (dup of the fd with matching access mode). */
int fdset_open(FdSets *fds, const char *path, int flags, mode_t mode, GError **errp);

#endif
