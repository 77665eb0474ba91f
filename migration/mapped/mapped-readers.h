/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that read runs of a mapped file's pages to where they belong, check them, and hand them to
 * the loader's sink. Made and used by the thread that loads.
 */
#ifndef MIGRATION_MAPPED_MAPPED_READERS_H
#define MIGRATION_MAPPED_MAPPED_READERS_H

#include "migration/mapped/mapped-file.h"
#include "migration/ram/load.h"

typedef struct MappedReaders MappedReaders;

/** Hears, on any thread, that so many more pages have come. */
typedef void MappedCameFn(void *opaque, uint64_t pages);

/** n threads, 1 to 255, which call the sink's `placed`, and came, several at once. NULL with errp. */
MappedReaders *mapped_readers_new(const MappedFile *file, unsigned n, const RamPageSink *sink,
                                  void *sink_opaque, MappedCameFn *came, void *came_opaque,
                                  GError **errp);
/** How many pages are worth handing out at a time. */
uint64_t mapped_readers_at_once(const MappedReaders *r);
/**
 * Pages of an open block that are in the file, to be read to `at`. Waits while many are waiting. False:
 * an earlier one could not be read; after that only mapped_readers_free.
 */
bool mapped_readers_add(MappedReaders *r, size_t block, uint64_t first, uint64_t count, uint8_t *at,
                        GError **errp);
/** Waits until all that was added is in place. False as above. */
bool mapped_readers_settle(MappedReaders *r, GError **errp);
/** Waits for reads that are under way, which nothing but the kernel ends. NULL is fine. */
void mapped_readers_free(MappedReaders *r);

#endif
