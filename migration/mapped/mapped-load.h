/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading a mapped file's pages through the loader's sink. Incoming thread only. */
#ifndef MIGRATION_MAPPED_MAPPED_LOAD_H
#define MIGRATION_MAPPED_MAPPED_LOAD_H

#include "migration/mapped/mapped-file.h"
#include "migration/mapped/mapped-readers.h"
#include "migration/ram/load.h"

/**
 * Hands every page of an open block to the sink: what is in the file is
 * placed, what is not is filled with zero. A page may be asked for twice
 * before it is placed. came is told, with came_opaque, how many more were read, every few MiB.
 */
bool mapped_load_block(const MappedFile *file, size_t block, const RamPageSink *sink, void *opaque,
                       MappedCameFn *came, void *came_opaque, GError **errp);
/**
 * The same, but that readers read what is in the file and tell the sink and whoever wants to hear of it:
 * those that they were made with. The sink is this one.
 */
bool mapped_load_block_by(MappedReaders *readers, const MappedFile *file, size_t block,
                          const RamPageSink *sink, void *opaque, GError **errp);

/** Only the latter: what is in the file is left as it is, for whoever reads it later. */
bool mapped_load_absent(const MappedFile *file, size_t block, const RamPageSink *sink, void *opaque,
                        GError **errp);

#endif
