/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's part for files in which each page has its place: opens the file with the first block
 * and reads each block's pages, by itself or with threads. Used by ram/load on the incoming thread.
 */
#ifndef MIGRATION_RAM_LOAD_FILE_H
#define MIGRATION_RAM_LOAD_FILE_H

#include "migration/mapped/mapped-load.h"
#include "migration/ram.h"

typedef struct RamLoadFile RamLoadFile;

/** Where pages go, and who is told how many have come. */
typedef struct RamLoadFileUser {
    const RamPageSink *sink;
    void *sink_opaque;
    MappedCameFn *came;     /* on whichever thread reads */
    void *came_opaque;
    bool late;              /* not now: only the pages that are not in the file are said to be zero */
} RamLoadFileUser;

/** Of the options layout, checksum and file_readers count. Opens nothing. */
RamLoadFile *ram_load_file_new(RAMList *ram, const RamLoadOptions *opt);
/** Ends the threads. NULL is fine. */
void ram_load_file_free(RamLoadFile *f);
/**
 * One block, behind its name and length: what is said about its pages. *absent: so many of them are not in
 * the file. False with errp: it cannot be read, or has no checksums and must.
 */
bool ram_load_file_block(RamLoadFile *f, StreamReader *r, size_t index, const RamLoadFileUser *user,
                         uint64_t *absent, GError **errp);
/** Then its pages. */
bool ram_load_file_pages(RamLoadFile *f, size_t index, const RamLoadFileUser *user, GError **errp);
/** NULL before the first block. */
MappedFile *ram_load_file_mapped(const RamLoadFile *f);

#endif
