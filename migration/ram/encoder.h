/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who encodes: what a picked page goes as. Owns the classifier with its cache
 * and scratch memory, and what is known of holes. One per thread that encodes;
 * an encoder is used by one thread.
 */
#ifndef MIGRATION_RAM_ENCODER_H
#define MIGRATION_RAM_ENCODER_H

#include "migration/ram.h"
#include "migration/ram/classify.h"
#include "migration/ram/picker.h"

typedef struct RamEncoder RamEncoder;

/** Takes the cache; NULL: no XBZRLE. Of opt it keeps what concerns pages: zero check, bulk rule, x-simd. */
RamEncoder *ram_encoder_new(RAMList *ram, PageCache *cache, const RamSaveOptions *opt);
void ram_encoder_free(RamEncoder *e);

/** Reads the page, which may change meanwhile. pass: the dirty-sync count; last: the guest stands still. */
void ram_encoder_encode(RamEncoder *e, const RamPick *pick, uint64_t pass, bool last,
                        RamPage *out);
/** After each fetch of the dirty log: what was a hole may be one no more. */
void ram_encoder_sync(RamEncoder *e);
/** Moves the pages that fit into another, empty cache. Nothing may point into the old one (RamPageOut.settle). */
void ram_encoder_set_cache(RamEncoder *e, PageCache *cache);
/** XBZRLE is over. Nothing may point into the cache (RamPageOut.settle). */
void ram_encoder_drop_cache(RamEncoder *e);
/** For the estimate; NULL without XBZRLE. */
const PageCache *ram_encoder_cache(const RamEncoder *e);

#endif
