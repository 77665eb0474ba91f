/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last dump-guest-memory of the machine; owned by Monitors. */
#ifndef MONITOR_DUMP_H
#define MONITOR_DUMP_H

typedef struct DumpState DumpState;

/** Ends one that still runs. NULL is fine. Main thread. */
void dump_state_free(DumpState *d);

#endif
