/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page records in the stream (migration-stream 3.4 to 3.6), written. */
#ifndef MIGRATION_RAM_STREAM_OUT_H
#define MIGRATION_RAM_STREAM_OUT_H

#include "migration/ram/page-out.h"

/** For RAM_LAYOUT_STREAM. Never fails; the channel is the writer's business. */
RamPageOut *stream_out_new(RAMList *ram, Channel *channel, RamLayout layout, GError **errp);

#endif
