/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that are not run yet: whoever cancels a migration and starts one at
 * once is not to be refused, and the main loop, which all monitors and devices
 * share, must not stand still meanwhile. So the command waits, in its own
 * session, and is asked after now and then.
 */
#ifndef MONITOR_PATIENCE_H
#define MONITOR_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

struct Machine;

#define PATIENCE_LOOK_MS 2  /* so often */

/**
 * True while line, of HMP, or the name of a QMP command, has to wait. *until_us
 * is the caller's, 0 at first: two seconds are enough. Main thread, BQL.
 */
bool monitor_has_to_wait(const struct Machine *machine, const char *line, int64_t *until_us);

#endif
