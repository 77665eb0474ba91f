/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The switch to postcopy and what follows. On the migration thread. */
#ifndef MIGRATION_SOURCE_POSTCOPY_H
#define MIGRATION_SOURCE_POSTCOPY_H

#include "migration/source/object.h"

/** The handlers of postcopy's messages. */
void outgoing_postcopy_ops(ReturnPathOps *ops);
/** In setup: postcopy may follow. */
void outgoing_put_advise(Outgoing *o);
/** Is it time to switch to postcopy? */
bool outgoing_postcopy_due(Outgoing *o);
/**
 * From the stopped guest, its device state taken, to the destination's word that it has everything.
 * False with errp: not switched, or refused (OWNER_SOURCE), or the process ends (OWNER_UNKNOWN).
 */
bool outgoing_postcopy(Outgoing *o, GError **errp);

#endif
