/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The passes before the switchover. On the migration thread. */
#ifndef MIGRATION_SOURCE_PASSES_H
#define MIGRATION_SOURCE_PASSES_H

#include "migration/source/object.h"

/** Sends and looks at the dirty log until it is time to switch over. False: cancelled, or an error. */
bool outgoing_passes(Outgoing *o, GError **errp);

#endif
