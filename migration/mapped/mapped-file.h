/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mapped file that is read: where each block's pages lie and which of them
 * are there. It owns a descriptor of its own and reads by position, so it
 * does not need the stream after the block list, nor the stream it. One
 * thread opens blocks; afterwards any may ask and read.
 */
#ifndef MIGRATION_MAPPED_MAPPED_FILE_H
#define MIGRATION_MAPPED_MAPPED_FILE_H

#include <stdbool.h>
#include "migration/channel.h"
#include "migration/mapped/mapped-base.h"
#include "migration/stream.h"
#include "softmmu/ramblock.h"
#include "util/file-ring.h"

typedef struct MappedFile MappedFile;

/** Neighbouring pages that are all in the file, or all not. */
typedef struct MappedRun {
    uint64_t first, count;
    bool present;
} MappedRun;

/** channel may be NULL (memory stream): refused, as what cannot be read by position. */
MappedFile *mapped_file_open(RAMList *ram, Channel *channel, RamLayout layout, GError **errp);
void mapped_file_close(MappedFile *f);

/**
 * After name and used_length (which the caller has compared with the block):
 * header and bitmap of the block. Leaves the stream behind the page region.
 */
bool mapped_file_open_block(MappedFile *f, StreamReader *r, size_t block, GError **errp);
/** The run that starts at page from; false at the block's end, or if it is not open. */
bool mapped_file_run(const MappedFile *f, size_t block, uint64_t from, MappedRun *run);
/** Its pages will be checked as they are read. The block is open. */
bool mapped_file_has_sums(const MappedFile *f, size_t block);
/** Reads pages that are present into buf; with checksums: as they were saved, or false. The block is open. */
bool mapped_file_read(const MappedFile *f, size_t block, uint64_t first, uint64_t count, void *buf,
                      GError **errp);
/** The same for a thread that has a ring of its own, if the file is direct. */
bool mapped_file_read_by(const MappedFile *f, FileRing *ring, size_t block, uint64_t first,
                         uint64_t count, void *buf, GError **errp);
/** Is it read around the page cache? */
bool mapped_file_is_direct(const MappedFile *f);

/**
 * What the file holds, for who saves into it again (migration-stream 6.10): all blocks are open, the file
 * begins with this stream, or with a head. NULL with errp otherwise.
 */
MappedBase *mapped_file_base(const MappedFile *f, GError **errp);

/**
 * False with errp if somebody has written to the file since it was opened, or since
 * mapped_file_accept. What cannot be asked (a device) counts as unchanged. Any thread.
 */
bool mapped_file_unchanged(const MappedFile *f, GError **errp);
/** As it is now it is right: somebody has said so. No other thread is in mapped_file_unchanged. */
void mapped_file_accept(MappedFile *f);

#endif
