/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of an image a restored guest needed first, in their order: a text beside the image
 * (migration-stream 6.8). Only a hint: whatever it says, a page is read once and right. One thread.
 */
#ifndef MIGRATION_MAPPED_WORKING_SET_H
#define MIGRATION_MAPPED_WORKING_SET_H

#include <stdbool.h>
#include "softmmu/ramblock.h"

typedef struct WorkingSet WorkingSet;

/** count pages of a block (its index) from first on. */
typedef struct WorkingRun {
    size_t block;
    uint64_t first, count;
} WorkingRun;

/** An empty one. */
WorkingSet *working_set_new(void);
void working_set_free(WorkingSet *s);
/** At its end; what does not fit any more is left out. */
void working_set_add(WorkingSet *s, size_t block, uint64_t first, uint64_t count);
/** The same, but only what is not in it already. */
void working_set_add_new(WorkingSet *s, const RAMList *ram, size_t block, uint64_t first, uint64_t count);
uint64_t working_set_pages(const WorkingSet *s);
size_t working_set_runs(const WorkingSet *s);
/** i < working_set_runs. */
WorkingRun working_set_get(const WorkingSet *s, size_t i);

/** NULL with errp: it is no such text, or not of this RAM. */
WorkingSet *working_set_parse(const RAMList *ram, const char *text, size_t len, GError **errp);
/** Caller frees. */
char *working_set_text(const WorkingSet *s, const RAMList *ram);

/** Of the image at path: NULL with errp as above, or if there is none. Reads a small file. */
WorkingSet *working_set_load(const RAMList *ram, const char *image, GError **errp);
/** Beside the image, in place of what was there, whole or not at all. */
bool working_set_save(const WorkingSet *s, const RAMList *ram, const char *image, GError **errp);

#endif
