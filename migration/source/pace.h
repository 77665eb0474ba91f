/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast it goes: the rate limit, and the share that vCPUs give up. On the migration thread. */
#ifndef MIGRATION_SOURCE_PACE_H
#define MIGRATION_SOURCE_PACE_H

#include "migration/source/object.h"

/** Sleeps off what the rate limit, bytes per second, has against going on; kicks and cancel end it. */
void outgoing_keep_rate(Outgoing *o, uint64_t limit);
/** auto-converge's share of a vCPU's time, 0 to 99. */
void outgoing_set_throttle(Outgoing *o, int percent);

#endif
