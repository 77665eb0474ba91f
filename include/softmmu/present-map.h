/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The present map: which pages of guest RAM are here. Normally all of them
 * are and the map is off (one relaxed load, in slow paths only). While a guest
 * runs before its memory has come (postcopy, lazy restore) each block has one
 * bit per 4 KiB page. Whoever needs a page asks whether it is here; if not, it
 * is asked for (once) and who needs it waits in a way of its own:
 *
 *   a vCPU    abandons the instruction, leaves the guest, waits with its other conditions (cpus.c)
 *   a device  puts the work off and is called back on the main thread (never waits under the BQL)
 *   monitors  say which page is missing (it has been asked for meanwhile)
 *
 * Cached translations and host pointers are only made of pages that are here.
 *
 * Memory ordering: the content is stored first, then the bit with release; who
 * reads the bit with acquire sees the content. A page that is here stays here
 * until the map is begun anew. Whoever waits has asked before it looks at the
 * bit for the last time; whoever places sets the bit before it looks whether
 * the page was asked for (both seq_cst): so nobody waits for a page that is here.
 */
#ifndef SOFTMMU_PRESENT_MAP_H
#define SOFTMMU_PRESENT_MAP_H

#include "softmmu/ramblock.h"

typedef struct PresentMap PresentMap;   /* one in the Machine, as long as its RAM list */

/** Who needs a page: 0.. is a vCPU's index. */
enum { PRESENT_USER_DEVICE = -1, PRESENT_USER_MONITOR = -2, PRESENT_USER_LOADER = -3 };

/**
 * What the map tells whoever fetches the pages. Called on any thread, also
 * under the BQL, with no lock of the map held: must not wait, do I/O (queue it)
 * nor call present_map_end.
 */
typedef struct PresentOps {
    /** A page that nobody had asked for yet is needed. block: index as in ram_list_get. */
    void (*wanted)(void *opaque, size_t block, uint64_t page, int user);
    /** Who waited for it goes on; us: how long it stood still. May be NULL. */
    void (*waited)(void *opaque, size_t block, uint64_t page, int user, int64_t us);
} PresentOps;

/** How pages get into memory: present-engine.h. */
typedef struct PresentEngineOps PresentEngineOps;

PresentMap *present_map_new(RAMList *ram);
/** Ends it first; nobody may use it any more. */
void present_map_free(PresentMap *map);

/**
 * Makes the bits of all blocks, all pages here, nothing enforced yet; engine NULL: the software one.
 * Touches them all (a 32768th of RAM), so that to set them takes little time later.
 * Errors: no memory, in use already, the engine cannot be used here.
 */
bool present_map_begin(PresentMap *map, const PresentEngineOps *engine, GError **errp);
/** count pages from first are not here. Between begin and arm, one thread; the caller checks the range. */
void present_map_set_missing(PresentMap *map, size_t block, uint64_t first, uint64_t count);
/**
 * From now on missing pages are waited for. The vCPUs are paused and have no cached translations.
 * False: the engine could not; the map is as before.
 */
bool present_map_arm(PresentMap *map, const PresentOps *ops, void *opaque, GError **errp);
/**
 * Everything is here, or nobody shall ever wait again: all pages count as here, who waits is woken,
 * the bits' memory is given back, on return no op is running. Any thread, not under the BQL; nothing
 * if it was not begun.
 */
void present_map_end(PresentMap *map);

/** What a PresentMap begins with: all that is looked at while the map is off. */
typedef struct PresentSwitch {
    bool active;            /* atomic */
} PresentSwitch;

/** Armed. Cheap: one relaxed load. NULL: a machine without one, false. */
static inline bool present_map_active(const PresentMap *map)
{
    return map && __atomic_load_n(&((const PresentSwitch *)map)->active, __ATOMIC_RELAXED);
}

/** True if it is here (always when off). Never asks. Any thread. */
bool present_map_here(const PresentMap *map, const RAMBlock *block, uint64_t page);
/** As present_map_here, by the guest: the first use of a page that came unasked is counted. */
bool present_map_use(PresentMap *map, const RAMBlock *block, uint64_t page);
/**
 * Pages placed before anybody had asked for them, since the map was begun, and how many of those the
 * guest (vCPUs, devices) used before the map ended; both stay until it is begun anew. Any thread.
 */
void present_map_unasked(const PresentMap *map, uint64_t *came, uint64_t *useful);
/**
 * True if all of [offset, offset + len) is here; if not, all missing pages of it are asked for.
 * *missing (may be NULL) is then the first of them. Any thread.
 */
bool present_map_need(PresentMap *map, const RAMBlock *block, uint64_t offset, uint64_t len, int user,
                      uint64_t *missing);

/** Something that waits for a page; its owner sets the first three. */
typedef struct PresentWaiter {
    /**
     * Called once, on the thread that placed the page or ended the map, with no lock of the map held.
     * Short; must not wait nor call present_map_forget or present_map_end.
     */
    void (*woken)(void *opaque);
    void *opaque;
    int user;
    /* the map's */
    size_t block;
    uint64_t page;
    int64_t since_us;
    struct PresentWaiter *next;
} PresentWaiter;

/** Asks for the page and waits for it. False: it is here, woken will not be called. */
bool present_map_wait(PresentMap *map, PresentWaiter *w, const RAMBlock *block, uint64_t page);
/**
 * Does not wait any more (nothing if it is not waiting). On return woken is not running and will not
 * be called. The caller holds no lock that woken takes.
 */
void present_map_forget(PresentMap *map, PresentWaiter *w);

/**
 * Placing: content (4096 bytes; NULL: zeros) becomes the page, then it is here and who waits
 * is woken. False: it was here already, nothing was touched (a duplicate; the guest may have written
 * it). Any number of threads; of two with the same page one wins.
 */
bool present_map_place(PresentMap *map, size_t block, uint64_t page, const void *content);

/**
 * Somebody writes [offset, offset + len), in one page, whatever was there: the loader at a reset.
 * False: the page is here, nothing was done. True: a whole page becomes here; a part is kept and laid
 * over the page when it comes, before anybody sees it. Any thread.
 */
bool present_map_overwrite(PresentMap *map, const RAMBlock *block, uint64_t offset, const void *data,
                           size_t len);

/**
 * For recovery: bit n of out is set if page n is here. LSB first, (pages + 63) / 64
 * little-endian words, the bits behind the last page clear.
 */
void present_map_copy_bits(const PresentMap *map, size_t block, uint64_t *out);
/** Calls fn for each page that was asked for and is missing, in no order: to ask again after a reconnect. */
void present_map_each_asked(PresentMap *map,
                            void (*fn)(void *opaque, size_t block, uint64_t page), void *opaque);
/**
 * The first missing page of a block from page from on, *first, and how many from there are missing
 * one after the other, max at most. 0: none is missing (*first: the block's end). Any thread.
 */
uint64_t present_map_missing_run(const RAMBlock *block, uint64_t from, uint64_t max,
                                 uint64_t *first);
/** As present_map_missing_run: pages that present_map_need was asked about since the map was armed. */
uint64_t present_map_needed_run(const RAMBlock *block, uint64_t from, uint64_t max, uint64_t *first);
/** Pages not here yet, all blocks. */
uint64_t present_map_missing(const PresentMap *map);

#endif
