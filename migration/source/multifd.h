/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source's parallel channels: nothing to do without the capability multifd. On the migration thread. */
#ifndef MIGRATION_SOURCE_MULTIFD_H
#define MIGRATION_SOURCE_MULTIFD_H

#include "migration/source/object.h"

/** Behind the stream's header, which is sent first: connects the channels. The saver is there. */
bool outgoing_setup_multifd(Outgoing *o, GError **errp);
/** Their threads end; the channels are shut down, or everything is sent. Before the saver is freed. */
void outgoing_drop_multifd(Outgoing *o);
/** How many threads write the pages of a mapped file; 0: the file's own one alone. */
unsigned outgoing_file_writers(const Outgoing *o);
/** Do channels look for pages of zeros? Else the migration thread does, if anybody. */
bool outgoing_channels_detect_zero(const Outgoing *o);

#endif
