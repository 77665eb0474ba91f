/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where pages go: the saving side's counterpart of RamPageSink. ram/save says
 * which page and as what, a page out puts it somewhere: ram/stream-out as a
 * record among the section's bytes, mapped/mapped-save to its place in a file.
 * One thread at a time uses a page out.
 */
#ifndef MIGRATION_RAM_PAGE_OUT_H
#define MIGRATION_RAM_PAGE_OUT_H

#include "migration/channel.h"
#include "migration/ram/classify.h"
#include "migration/ram/counters.h"
#include "migration/stream.h"
#include "softmmu/ramblock.h"

typedef struct RamPageOut RamPageOut;

/**
 * All members are required. block is the index in the RAM list. Each returns
 * false with the first error; then only free may follow. In the order of use:
 * block for each block, setup_end, then begin_pass, page, settle and part_end as
 * often as needed, finish once.
 */
typedef struct RamPageOutOps {
    /**
     * What becomes of a NORMAL page is found out after `page` has returned: the page out counts it
     * then, in counters, and *cost of `page` is what it expects.
     */
    bool counts_pages;
    /** In START, after the block's name and length are put: what the layout adds for it. */
    bool (*block)(RamPageOut *out, StreamWriter *w, size_t block, GError **errp);
    /** The end of the START payload, behind all blocks. */
    bool (*setup_end)(RamPageOut *out, StreamWriter *w, GError **errp);
    /** The dirty log was fetched: the next page may be a newer content of one that was put before. */
    bool (*begin_pass)(RamPageOut *out, StreamWriter *w, GError **errp);
    /**
     * Takes one page of any kind but UNMODIFIED. Its bytes may be read until
     * part_end or finish: guest memory may change before (then it is dirty
     * again), cache memory only after settle. *cost: the bytes the page adds
     * to what is transferred.
     */
    bool (*page)(RamPageOut *out, StreamWriter *w, size_t block, uint64_t page,
                 const RamPage *content, uint64_t *cost, GError **errp);
    /** Afterwards nothing points into the page cache any more. Cheap if nothing did. */
    bool (*settle)(RamPageOut *out, StreamWriter *w, GError **errp);
    /** The receiver knows of no page before: the next record refers to none. */
    void (*restart)(RamPageOut *out);
    /** The end of a PART payload. *cost: the bytes its end mark took. */
    bool (*part_end)(RamPageOut *out, StreamWriter *w, uint64_t *cost, GError **errp);
    /** The end of the END payload, with all that the layout writes last. Guest stopped. Settles. */
    bool (*finish)(RamPageOut *out, StreamWriter *w, GError **errp);
    void (*free)(RamPageOut *out);
} RamPageOutOps;

/** The first member of each page out. */
struct RamPageOut {
    const RamPageOutOps *ops;
    RamCounters *counters;      /* its user's, from setup on */
};

/** Makes a page out; channel may be NULL (a stream in memory). Error if it cannot write there. */
typedef RamPageOut *RamPageOutNew(RAMList *ram, Channel *channel, RamLayout layout, GError **errp);

#endif
