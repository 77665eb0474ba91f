/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The story of one outgoing migration. */
#ifndef MIGRATION_SOURCE_OUTGOING_H
#define MIGRATION_SOURCE_OUTGOING_H

#include "migration/source/object.h"

/** The migration thread: tells the story from connect to the final state. */
gpointer outgoing_thread(gpointer opaque);

#endif
