/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The story of one incoming migration. */
#ifndef MIGRATION_DESTINATION_INCOMING_H
#define MIGRATION_DESTINATION_INCOMING_H

#include "migration/destination/object.h"

/** The loop of the incoming thread. */
gpointer incoming_thread(gpointer opaque);

#endif
