/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that reads and writes for QMP sessions, so that they answer while the main thread is busy. */
#ifndef MONITOR_IO_THREAD_H
#define MONITOR_IO_THREAD_H

#include <glib.h>
#include <stdbool.h>

typedef struct MonitorIO MonitorIO;

/** Not running yet: sources may be attached, nothing happens to them. Main thread. */
MonitorIO *monitor_io_new(void);
/** Does what was posted before, then ends the thread if it runs. NULL is fine. Main thread. */
void monitor_io_free(MonitorIO *io);
/** Begins. Once; after the process has gone to the background. */
bool monitor_io_start(MonitorIO *io, GError **errp);
GMainContext *monitor_io_context(MonitorIO *io);
/** Runs fn(opaque) on the thread, in the order of the calls. Any thread; does not wait. */
void monitor_io_post(MonitorIO *io, void (*fn)(void *opaque), void *opaque);

#endif
