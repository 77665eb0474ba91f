/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RAM save and load path (migration-stream 3, 4, 6) as the two
 * stories see it. RamSaver belongs to one outgoing migration, RamLoader to
 * one incoming; they share formats only.
 */
#ifndef MIGRATION_RAM_H
#define MIGRATION_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/stream.h"
#include "softmmu/dirty-log.h"
#include "softmmu/ramblock.h"

/** Counters, migration-stream 4.7, 5.7. Written by the migration thread with relaxed atomics, read by any. */
typedef struct RamStats {
    uint64_t transferred_bytes;     /* page records and EOS words of this section (7.2 rule), and multifd */
    uint64_t multifd_bytes;         /* what went over parallel channels */
    uint64_t missed_zero_copy;      /* sync points of one of them before which the kernel has copied all */
    uint64_t duplicate_pages, normal_pages;
    uint64_t dirty_sync_count;
    uint64_t dirty_pages_rate;      /* pages/s */
    uint64_t remaining_pages;       /* dirty pages now */
    uint64_t sync_pending_bytes;    /* what they would have cost at the last sync */
    uint64_t pages_per_second;
    uint64_t xbzrle_bytes, xbzrle_pages, xbzrle_cache_miss, xbzrle_overflow;
    uint64_t xbzrle_unmodified;     /* hits that sent nothing (part of xbzrle_pages) */
    double xbzrle_cache_miss_rate, xbzrle_encoding_rate;
    uint64_t bytes_dirty_period, bytes_xfer_period; /* of the last period, for auto-converge */
    uint64_t periods;               /* how many periods of over 1 s have ended (at a sync) */
    /* postcopy */
    uint64_t postcopy_requests;     /* that came, whatever for */
    uint64_t postcopy_duplicates;   /* of which for pages that were sent already */
    uint64_t postcopy_requested_pages, postcopy_prefault_pages, postcopy_background_pages;
} RamStats;

/** What the saver is told at setup; the live ones are re-read through ram_saver_set_*. */
typedef struct RamSaveOptions {
    bool xbzrle;
    uint64_t xbzrle_cache_bytes;
    bool bulk_rule;             /* XBZRLE only after the bulk stage (always on but for demo --bulk-rule) */
    bool detect_zero;           /* zero-page-detection != none */
    RamLayout layout;
    bool ignore_shared;         /* blocks that are shared are announced, not sent */
    bool postcopy;              /* it may follow: blocks of large host pages say so */
    bool checksum;              /* of each page; mapped layouts only */
    unsigned file_writers;      /* threads that write pages, 255 at most; mapped layouts only; 0: the file's */
    struct RamBaseline *baseline;   /* what a file holds: learns what is written meanwhile; NULL: none */
    bool again;                 /* only what is not in that file is saved, into it */
    const struct RamSimd *simd; /* how pages are looked at; NULL: as well as this CPU can */
} RamSaveOptions;

typedef struct RamSaver RamSaver;
typedef struct MappedBase MappedBase;   /* mapped/mapped-base.h */

/** Allocates bitmaps and cache; error if the cache cannot be had. Starts nothing. */
RamSaver *ram_saver_new(RAMList *ram, DirtyLog *dirty, const RamSaveOptions *opt, GError **errp);
/** Stops dirty logging if it runs. */
void ram_saver_free(RamSaver *s);

struct RamPageOut;
/** Pages go to out (taken), not where the layout says (ram/page-out.h). Before setup. */
void ram_saver_set_out(RamSaver *s, struct RamPageOut *out);
/** START payload (3.2 or 6.1): starts dirty logging, first sync (count 1), block list, EOS. */
bool ram_save_setup(RamSaver *s, StreamWriter *w, GError **errp);

/** Asked before each page: true = end this PART (budget used up, cancelled). */
typedef bool RamBudgetExhausted(void *opaque);

/**
 * One PART payload (3.5): pages until nothing is dirty, the budget is used up
 * or 50 ms passed, then EOS. What is left dirty then: ram_save_pending.
 */
bool ram_save_iterate(RamSaver *s, StreamWriter *w, RamBudgetExhausted *exhausted, void *opaque,
                      GError **errp);
/**
 * END payload: final sync, unless ram_save_last_sync has done it, all that
 * is left, bitmaps of the mapped layouts, EOS. VM stopped.
 */
bool ram_save_complete(RamSaver *s, StreamWriter *w, GError **errp);

/**
 * After ram_save_complete, with RAM_LAYOUT_MAPPED: what the file holds now, for a next save into it; once.
 * NULL with errp: no memory.
 */
MappedBase *ram_save_take_base(RamSaver *s, GError **errp);

/** Dirty sync (5.4): fetches the log, updates counters and rates. */
void ram_save_sync(RamSaver *s);
/** The final one, apart from ram_save_complete for who wants to know when it was. VM stopped. */
void ram_save_last_sync(RamSaver *s);
/**
 * Estimate in bytes of what sending everything dirty now would put on the
 * wire: cached pages at the mean that such pages cost in the last pass, others
 * at theirs, of which some turned out zero (the mean rises at once and falls
 * by half; 4096 + record until the first round is over).
 * *dirty_bytes (may be NULL) gets pages * 4096.
 */
uint64_t ram_save_pending(RamSaver *s, uint64_t *dirty_bytes);

/**
 * The mapped layouts: how many bytes of what is dirty now take room in the file that it has not taken yet. 0
 * before all was looked at once: until then it may be zero. Migration thread.
 */
uint64_t ram_save_unplaced(RamSaver *s);

/** Live cache resize (keeps the pages that fit); takes effect before the next page, in the last stage never. Any thread. */
bool ram_saver_set_cache_size(RamSaver *s, uint64_t bytes, GError **errp);
/** Any thread. */
void ram_saver_get_stats(RamSaver *s, RamStats *out);

/* ---- postcopy, the source's side (8) ---- */

/** In which order pages go that nobody has asked for. */
typedef enum RamOrder { RAM_ORDER_NONE, RAM_ORDER_LINEAR, RAM_ORDER_FOLLOW_FAULT } RamOrder;

typedef struct RamPostcopyOptions {
    RamOrder order;
    uint64_t prefault_forward, prefault_backward;   /* host pages that come with one that was asked for */
} RamPostcopyOptions;

/**
 * The guest stands still and the last sync is done: no more differences, host pages that are
 * dirty in part are dirty as a whole, requests are taken. Migration thread.
 */
bool ram_save_postcopy_begin(RamSaver *s, StreamWriter *w, GError **errp);
/** Live. Migration thread, from ram_save_postcopy_begin on. */
void ram_save_set_postcopy(RamSaver *s, const RamPostcopyOptions *opt);

/** length bytes from start of the block are dirty. False ends the walk. */
typedef bool RamRangeFn(void *opaque, const RAMBlock *block, uint64_t start, uint64_t length);
/** All dirty ranges, block by block, ascending. False if fn was. Migration thread. */
bool ram_save_each_range(RamSaver *s, RamRangeFn *fn, void *opaque);
/** The OR of all blocks' page sizes, for ADVISE. */
uint64_t ram_save_page_sizes(const RamSaver *s);

/**
 * postcopy-preempt: from the next page on those that are asked for go to w, which has no sections
 * (NULL: where the others go). w stays the caller's, until this is called again. Migration thread.
 */
void ram_save_set_urgent(RamSaver *s, StreamWriter *w);
/** Its end, as a word of EOS. */
bool ram_save_end_urgent(RamSaver *s, GError **errp);

/**
 * release-ram: gives the memory of all pages back to the host that are not dirty, which the
 * destination has or is being sent. Between two parts of a host page's pages, everything put is
 * flushed; there is no way back. Migration thread.
 */
void ram_save_release(RamSaver *s);

/**
 * The destination asks for len bytes from start of a block. False with errp if there is no such
 * memory, before the switch or if requests are closed. Waits while too many are unanswered, until
 * ram_save_close_requests. Return path thread.
 */
bool ram_save_request(RamSaver *s, const char *block, uint64_t start, uint32_t len, GError **errp);
/** Bytes of the pages that went because they were asked for. Migration thread; no lock. */
uint64_t ram_save_urgent_bytes(const RamSaver *s);
/** Is anything asked for that goes before the background? Migration thread; no lock. */
bool ram_save_is_asked(const RamSaver *s);
/** All pages are sent: takes requests out that came nevertheless. Migration thread. */
void ram_save_answer_none(RamSaver *s);
/** A cut: forgets what was asked for, lets go of who waits in ram_save_request. Any thread. */
void ram_save_close_requests(RamSaver *s);

/**
 * RECV_BITMAP after a cut (8.7): where the bits of a block are to be put, NULL with errp if there is
 * no such block or bytes is not its size; then that they are there: false with errp if they speak of
 * pages that were never sent, so of another guest. Return path thread.
 */
void *ram_save_bitmap_room(RamSaver *s, const char *block, uint64_t bytes, GError **errp);
bool ram_save_bitmap_done(RamSaver *s, GError **errp);
/** Before they are asked for: what came in an attempt that failed is nothing. No return path thread. */
void ram_save_forget_bitmaps(RamSaver *s);
/**
 * All bits are there: what the destination does not have is dirty, requests are taken again, the
 * next page names its block. Migration thread, while no return path thread is in the calls above.
 */
void ram_save_postcopy_resume(RamSaver *s);

/* ---- load ---- */

typedef struct RamLoadOptions {
    enum { RAM_ZERO_FILL_ANY, RAM_ZERO_FILL_STRICT } zero_fill; /* 7.2 accepts any byte */
    bool ignore_shared;         /* as when it was saved */
    RamLayout layout;
    bool checksum;              /* a file without is refused; what is there is checked anyway */
    unsigned file_readers;      /* threads that read pages, 255 at most; mapped layouts only; 0: who loads */
    const struct RamSimd *simd; /* NULL: as well as this CPU can */
} RamLoadOptions;

/**
 * A sync point of a stream with parallel channels (7.4), which is in the stream: returns when each of
 * them has brought what belongs before it. On the thread that loads; false with errp ends the load.
 */
typedef bool RamSyncPoint(void *opaque, GError **errp);

typedef struct RamLoader RamLoader;

RamLoader *ram_loader_new(RAMList *ram, DirtyLog *dirty, const RamLoadOptions *opt);
void ram_loader_free(RamLoader *l);
/** The stream has parallel channels. Else it may not have a word about them. Before the first payload. */
void ram_loader_set_sync_point(RamLoader *l, RamSyncPoint *fn, void *opaque);
/** One START, PART or END payload up to and including its EOS. */
bool ram_load_payload(RamLoader *l, StreamReader *r, uint32_t version_id, GError **errp);
/** After the last payload: with x-ignore-shared, what is not shared here must have come. */
bool ram_load_check_complete(const RamLoader *l, GError **errp);
/** Pages received so far by kind; for info migrate on the destination and for progress. */
typedef struct RamLoadStats {
    uint64_t normal, zero, xbzrle, bytes;
    uint64_t in_file;           /* pages that a mapped file has; until its list of blocks is read, at most; else 0 */
} RamLoadStats;
/** The mapped layouts, after all was read: what the file holds. NULL with errp. */
MappedBase *ram_loader_base(const RamLoader *l, GError **errp);
void ram_loader_get_stats(const RamLoader *l, RamLoadStats *out);

#endif
