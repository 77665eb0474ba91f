/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one parser for the ram section's records, and the sinks it feeds. A
 * sink decides where a page belongs: direct (guest memory), postcopy (a place
 * to be moved in atomically) and check (compare, change nothing).
 */
#ifndef MIGRATION_RAM_LOAD_H
#define MIGRATION_RAM_LOAD_H

#include "migration/mapped/mapped-file.h"
#include "migration/ram.h"

/** All members are required. block is the index in the RAM list; page is inside it (checked). */
typedef struct RamPageSink {
    /** 4096 bytes to read the page into, or to apply a delta to; content as the stream left it. */
    uint8_t *(*place)(void *opaque, size_t block, uint64_t page);
    /** The bytes are in place. */
    bool (*placed)(void *opaque, size_t block, uint64_t page, GError **errp);
    /** count pages from page on are full of this byte. */
    bool (*fill)(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                 GError **errp);
} RamPageSink;

/** Replaces the direct sink for what follows; opaque is handed to each call. */
void ram_loader_set_sink(RamLoader *l, const RamPageSink *sink, void *opaque);

/**
 * Pages that come beside the stream, in parallel channels (migration-stream 7): where they go, and what
 * is counted, as if they had come in it. Any thread, between the sync points that the page belongs to;
 * several threads at once for different pages. The first finds a block that was announced: false with
 * errp if there is none. page is the caller's to check.
 */
bool ram_load_beside_block(RamLoader *l, const char *name, size_t *block, GError **errp);
uint8_t *ram_load_beside_place(RamLoader *l, size_t block, uint64_t page);
bool ram_load_beside_placed(RamLoader *l, size_t block, uint64_t page, GError **errp);
bool ram_load_beside_zero(RamLoader *l, size_t block, uint64_t page, GError **errp);
/** Bytes of a parallel channel were read. */
void ram_load_beside_count(RamLoader *l, uint64_t bytes);

/** ADVISE has come: a block whose pages are not the host's usual ones tells how large they are. */
void ram_loader_expect_page_sizes(RamLoader *l);
/**
 * The switch to postcopy, and each new connection after it: pages go to sink
 * from here on, which never sees a delta; the first one names its block.
 */
void ram_loader_begin_postcopy(RamLoader *l, const RamPageSink *sink, void *opaque);
/**
 * Another loader for the same guest's memory, to be used on a thread of its
 * own at the same time; counts with the first one, which must outlive it.
 */
RamLoader *ram_loader_new_beside(const RamLoader *of);
/**
 * The bare page records of the urgent channel (migration-stream 8.8), until
 * EOS or until the channel ends between two of them: true.
 */
bool ram_load_urgent(RamLoader *l, StreamReader *r, GError **errp);

/** The block list of a mapped file has been read. Loading thread; false with errp refuses it. */
typedef bool RamListedFn(void *opaque, MappedFile *file, GError **errp);
/**
 * The mapped layouts, read late: pages that are in the file are not read, listed is told instead.
 * The file is the loader's and lives as long.
 */
void ram_loader_set_late(RamLoader *l, RamListedFn *listed, void *opaque);
/** So many of those pages have been read by now. Any thread. */
void ram_loader_count_late(RamLoader *l, uint64_t pages);

#endif
