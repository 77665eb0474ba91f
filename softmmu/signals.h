/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SIGINT, SIGHUP and SIGTERM from start to end (signals.c); for vl, and for tests of a run state. */
#ifndef SOFTMMU_SIGNALS_H
#define SOFTMMU_SIGNALS_H

#include <glib.h>
#include <stdbool.h>

struct Machine;
typedef struct Signals Signals;

/**
 * The signals wait for signals_new, in this thread and all that it starts: what is made between the
 * two (a pid file) is not left behind. Main thread, behind the last fork, before any other thread
 * exists.
 */
void signals_block(void);
/**
 * Blocks the signals as signals_block does, and starts the one thread that takes
 * them. Until signals_watch they end the process at once, as by default, and take the file pidfile
 * (may be NULL; outlives this object) along. Where and when as signals_block.
 */
Signals *signals_new(struct Machine *machine, const char *pidfile, GError **errp);
/**
 * From now on a signal is a request to shut down to the machine's run state, which is met as soon as
 * the main loop runs; if it does not within a second, the process ends. Main thread.
 */
void signals_watch(Signals *s);
/** The main loop is about to run: it may take its time. Main thread. */
void signals_running(Signals *s);
/**
 * The machine is taken down: nothing is requested any more, and who signals now waits for the end
 * a while, but not for ever. After it the run state may be freed. Main thread.
 */
void signals_ending(Signals *s);
/** Ends the thread. The signals stay blocked: nothing is left that they could end. NULL is fine. */
void signals_free(Signals *s);

#endif
