/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the destination. On the migration thread. */
#ifndef MIGRATION_SOURCE_CONNECT_H
#define MIGRATION_SOURCE_CONNECT_H

#include "migration/source/object.h"

/** Connects to addr, unless a channel was handed in, and makes the writer. */
bool outgoing_open_channel(Outgoing *o, ChannelAddress *addr, GError **errp);

/** The first connection, to the address that was asked for; checks that it can do what is needed. */
bool outgoing_connect(Outgoing *o, GError **errp);

#endif
