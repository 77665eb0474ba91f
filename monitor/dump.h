/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last dump-guest-memory of the machine; owned by Monitors. */
#ifndef MONITOR_DUMP_H
#define MONITOR_DUMP_H

#include <stdbool.h>

struct Machine;
typedef struct DumpState DumpState;

/** True while guest memory is being written: the guest must stand still. Main thread, BQL. */
bool dump_is_running(struct Machine *machine);
/** The guest is to be paused, not to go on, when the dump that runs (if any) has ended. Main thread, BQL. */
void dump_stay_stopped(struct Machine *machine);

/** Ends one that still runs. NULL is fine. Main thread. */
void dump_state_free(DumpState *d);

#endif
