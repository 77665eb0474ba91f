/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mapped-ram file holds of a guest's memory, and where, for who saves into it again
 * (migration-stream 6.10): which pages, in which of their two places, and where the next stream goes.
 * One thread at a time.
 */
#ifndef MIGRATION_MAPPED_MAPPED_BASE_H
#define MIGRATION_MAPPED_MAPPED_BASE_H

#include <stdbool.h>
#include "migration/mapped/mapped-sums.h"
#include "migration/stream.h"
#include "migration/stream/head.h"

typedef struct MappedBase MappedBase;

typedef struct MappedBaseBlock {
    uint64_t pages_offset;
    uint64_t second_offset;         /* 0: there is no second place yet */
    uint64_t *present, *second;     /* host words, as ram_list_get */
    MappedSums *sums;               /* NULL: the file has none */
} MappedBaseBlock;

struct MappedBase {
    RAMList *ram;
    size_t count;
    MappedBaseBlock *blocks;
    uint64_t saves;                 /* how often it was saved to: 1, in full */
    uint64_t stream_offset;         /* of what it says now */
    uint64_t room_offset, room_bytes;   /* 0: no rooms yet */
};

/** Of nothing; NULL with errp: no memory. */
MappedBase *mapped_base_new(RAMList *ram, GError **errp);
void mapped_base_free(MappedBase *b);
/** A page's place, of the two, for a content that is new: none that the file refers to. */
static inline bool mapped_base_new_place(const MappedBaseBlock *b, uint64_t page)
{
    uint64_t word = page / 64, bit = 1ULL << (page % 64);

    return b->present[word] & bit && !(b->second[word] & bit);
}

/** Where the next save's stream goes; there are rooms. */
uint64_t mapped_base_next_stream(const MappedBase *b);
/**
 * The next save: gives pages second places and streams their rooms, behind file_bytes, if they have none.
 * Fills *head, as it will be in the file, and says in which room the stream goes.
 */
void mapped_base_plan(MappedBase *b, uint64_t file_bytes, MappedHead *head, uint64_t *stream_offset);
#endif
