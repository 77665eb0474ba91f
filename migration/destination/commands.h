/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands in the stream (migration-stream 8.1): what they look like, where they may stand, who obeys. */
#ifndef MIGRATION_DESTINATION_COMMANDS_H
#define MIGRATION_DESTINATION_COMMANDS_H

#include "migration/destination/load.h"

/**
 * Reads one command, behind its type byte, and does what it says. A package
 * is only read, into l->package: whoever called runs it.
 */
bool incoming_command(IncomingLoad *l, StreamReader *r, GError **errp);

/** len bytes; the memory grows with what arrives: an announced length allocates nothing. NULL: not there. */
GByteArray *incoming_get_bytes(StreamReader *r, uint32_t len);

#endif
