/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A postcopy whose connection has ended. On the migration thread. */
#ifndef MIGRATION_SOURCE_POSTCOPY_RECOVER_H
#define MIGRATION_SOURCE_POSTCOPY_RECOVER_H

#include "migration/source/object.h"

/** The handlers of the messages that belong to a recovery. */
void outgoing_recovery_ops(ReturnPathOps *ops);
/** The destination may be silent for x-postcopy-silence-limit, over any channel, and no longer. */
void outgoing_set_patience(Outgoing *o);
/** After an error, *err, taken: pauses until it goes on (true), is the source's again, or the process ends. */
bool outgoing_recover(Outgoing *o, GError **err);

#endif
