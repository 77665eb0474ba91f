/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the last page to whose the guest is. On the migration thread. */
#ifndef MIGRATION_SOURCE_HANDOVER_H
#define MIGRATION_SOURCE_HANDOVER_H

#include "migration/source/object.h"

/** From the last page to whose the guest is then (owner). False with errp: not the destination's, or not known to be. */
bool outgoing_complete(Outgoing *o, GError **errp);

#endif
