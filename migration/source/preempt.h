/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The channel of urgent pages: nothing to do without postcopy-preempt. On the migration thread. */
#ifndef MIGRATION_SOURCE_PREEMPT_H
#define MIGRATION_SOURCE_PREEMPT_H

#include "migration/source/object.h"

/**
 * Right behind the main channel, and with the switch, before the guest is stopped; after a cut: before
 * and after the bitmaps. Connects it when its time is in the dialect.
 */
bool outgoing_setup_preempt(Outgoing *o, ChannelAddress *addr, GError **errp);
bool outgoing_switch_preempt(Outgoing *o, ChannelAddress *addr, GError **errp);
/** All pages are sent. */
bool outgoing_end_preempt(Outgoing *o, GError **errp);
/** Its channel is shut and about to be closed. */
void outgoing_drop_preempt(Outgoing *o);

#endif
