/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the view of a migration says about its end. Pure functions; any thread. */
#ifndef MIGRATION_SOURCE_OUTLOOK_H
#define MIGRATION_SOURCE_OUTLOOK_H

#include "migration/migration-private.h"
#include "migration/policy/policy.h"

/** Bytes on the wire that are left of this pass; in the first one zero pages are taken to be as frequent as so far. */
double outgoing_pass_wire_bytes(const OutgoingView *v);
/**
 * Fills *o for policy_verdict and policy_outlook. False where there is nothing to say: no migration is active, or nothing has been decided yet.
 */
bool outgoing_outlook(const OutgoingView *v, PolicyOutlook *o);
/** The same for programs; NULL where there is nothing to say. Caller frees with qapi_free_XMigrationOutlook. */
XMigrationOutlook *outgoing_outlook_info(const OutgoingView *v);

#endif
