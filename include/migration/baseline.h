/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file holds of this guest's memory, and which pages were written since it was saved there or
 * restored from there (capability x-incremental). From its making on it keeps the dirty log going;
 * whoever else fetches the log meanwhile, a migration, does it through here. The main thread's (BQL)
 * while no migration runs, then the migration thread's.
 */
#ifndef MIGRATION_BASELINE_H
#define MIGRATION_BASELINE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "softmmu/dirty-log.h"

typedef struct RamBaseline RamBaseline;
struct Channel;
typedef struct MappedBase MappedBase;

/**
 * base (taken) is what the file at path holds, which is as it is now: nothing was written since. NULL
 * with errp if there is no memory for it, or the file cannot be looked at within a second. Not the main
 * thread.
 */
RamBaseline *ram_baseline_new(RAMList *ram, DirtyLog *log, MappedBase *base,
                              const char *path, GError **errp);
void ram_baseline_free(RamBaseline *b);
/**
 * Is the file at path the one, and as it was left? If not, *why says so (for people, new). sums:
 * checksums are wanted. Waits for the file server, until wake_fd is readable. Not the main thread.
 */
bool ram_baseline_fits(const RamBaseline *b, const char *path, bool sums, int wake_fd, char **why);
/**
 * The file, open for it: writes go to what it does not use, until the end, when its head goes over
 * (channel_set_head). The stream belongs at *stream_offset, and ends before *stream_end. False with
 * errp: it is not the one, or there is no room. Migration thread.
 */
bool ram_baseline_begin(RamBaseline *b, struct Channel *channel, uint64_t *stream_offset,
                        uint64_t *stream_end, GError **errp);
/**
 * That save has failed; the file says what it said, if it does: else, or if that is not known within a
 * second, the baseline fits no more. Not the main thread.
 */
void ram_baseline_failed(RamBaseline *b, const char *path);

#endif
