/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a dirty page (migration-stream 3.4, 4.3, 4.4): zero,
 * whole, delta, or nothing. Owns the page cache and keeps its invariant:
 * what is cached for an address is what the receiver has. Migration thread
 * only.
 */
#ifndef MIGRATION_RAM_CLASSIFY_H
#define MIGRATION_RAM_CLASSIFY_H

#include "migration/ram/page-cache.h"
#include "migration/codec/simd.h"

typedef enum RamStage {
    RAM_STAGE_BULK,     /* first round: the cache is neither asked nor filled */
    RAM_STAGE_DELTA,
    RAM_STAGE_LAST,     /* guest stopped: deltas, but the cache is not changed any more */
} RamStage;

typedef enum RamPageKind {
    RAM_PAGE_ZERO,
    RAM_PAGE_NORMAL,
    RAM_PAGE_DELTA,
    RAM_PAGE_UNMODIFIED,    /* the receiver has it: nothing is sent */
} RamPageKind;

typedef enum RamCacheResult { RAM_CACHE_UNUSED, RAM_CACHE_HIT, RAM_CACHE_MISS } RamCacheResult;

typedef struct RamPage {
    RamPageKind kind;
    RamCacheResult cache;
    bool overflow;          /* a hit whose delta did not fit: NORMAL */
    bool from_cache;        /* NORMAL: data is cache memory, to be flushed before it changes */
    const uint8_t *data;    /* NORMAL: 4096 bytes; DELTA: len bytes, good until the next call */
    size_t len;
} RamPage;

typedef struct RamClassifier RamClassifier;

/** Takes the cache; NULL: no XBZRLE, every page is NORMAL or ZERO. simd: how it looks at pages. */
RamClassifier *ram_classifier_new(PageCache *cache, bool detect_zero, const RamSimd *simd);
void ram_classifier_free(RamClassifier *c);

/**
 * Looks at the page at host, which may change meanwhile. addr is its cache
 * address, pass the dirty-sync count.
 */
void ram_classify(RamClassifier *c, uint64_t addr, const uint8_t *host, RamStage stage,
                  uint64_t pass, RamPage *out);

/** Moves the pages that fit into another, empty cache. No NORMAL page may still be queued from the old one. */
void ram_classifier_set_cache(RamClassifier *c, PageCache *cache);
/** XBZRLE is over: the cache is freed. No NORMAL page may still be queued from it. */
void ram_classifier_drop_cache(RamClassifier *c);
/** For the estimate and tests; NULL without XBZRLE. */
const PageCache *ram_classifier_cache(const RamClassifier *c);

#endif
