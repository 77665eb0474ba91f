/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -daemonize and -pidfile (daemon.c), for vl only. */
#ifndef SOFTMMU_DAEMON_H
#define SOFTMMU_DAEMON_H

#include <glib.h>
#include <stdbool.h>

/**
 * Forks into the background. The caller that returns is the daemon; the
 * started process waits in here and exits with 0 when the daemon says that it
 * is ready, with 1 if it ends before. *ready_fd is for daemon_ready. Before
 * any thread exists.
 */
bool daemon_start(int *ready_fd, GError **errp);
/** Lets go of terminal and working directory, then releases the waiting parent. */
bool daemon_ready(int ready_fd, GError **errp);

/** Creates, locks and fills path; returns its absolute name for pidfile_remove. */
char *pidfile_create(const char *path, GError **errp);
/** Unlinks and frees it; NULL is ignored. */
void pidfile_remove(char *path);

#endif
