/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoder: holes and classifier put together. Called by ram/save; never picks, never sends. */
#include "migration/ram/encoder.h"

#include "migration/ram/holes.h"

struct RamEncoder {
    RAMList *ram;
    RamClassifier *classifier;
    RamHoles *holes;
    bool bulk_rule;
};

RamEncoder *ram_encoder_new(RAMList *ram, PageCache *cache, const RamSaveOptions *opt)
{
    RamEncoder *e = g_new0(RamEncoder, 1);

    e->ram = ram;
    e->classifier = ram_classifier_new(cache, opt->detect_zero,
                                       opt->simd ? opt->simd : ram_simd_best());
    e->holes = ram_holes_new(ram);
    e->bulk_rule = opt->bulk_rule;
    return e;
}

void ram_encoder_free(RamEncoder *e)
{
    if (e) {
        ram_classifier_free(e->classifier);
        ram_holes_free(e->holes);
        g_free(e);
    }
}

static RamStage stage(const RamEncoder *e, const RamPick *pick, bool last)
{
    if (pick->first_round && e->bulk_rule) {
        return RAM_STAGE_BULK;
    }
    return last ? RAM_STAGE_LAST : RAM_STAGE_DELTA;
}

/*
 * Where to read a page. Past the first round only pages that somebody wrote
 * to are dirty, so there is no hole among them; and the question would cost
 * a walk over all memory in use for each fetch of the log, also while the
 * guest stands still (9 ms for 400 MiB).
 */
static const uint8_t *page_memory(RamEncoder *e, const RAMBlock *block, const RamPick *pick)
{
    return pick->first_round ? ram_holes_page(e->holes, pick->block, pick->page)
                             : block->host + (pick->page << TARGET_PAGE_BITS);
}

/*
 * The page behind this one is likely the next: what the zero check looks at first is on its way
 * from memory while this one is encoded. Behind the block it asks for nothing, and is not an error.
 */
static void prefetch_next(const RAMBlock *block, uint64_t page)
{
    const uint8_t *next = block->host + ((page + 1) << TARGET_PAGE_BITS);

    __builtin_prefetch(next);
    __builtin_prefetch(next + TARGET_PAGE_SIZE / 2);
    __builtin_prefetch(next + TARGET_PAGE_SIZE - 1);
}

void ram_encoder_encode(RamEncoder *e, const RamPick *pick, uint64_t pass, bool last, RamPage *out)
{
    const RAMBlock *block = ram_list_get(e->ram, pick->block);

    prefetch_next(block, pick->page);
    ram_classify(e->classifier, block->ram_offset + (pick->page << TARGET_PAGE_BITS),
                 page_memory(e, block, pick), stage(e, pick, last), pass, out);
}

void ram_encoder_sync(RamEncoder *e)
{
    ram_holes_forget(e->holes);
}

void ram_encoder_set_cache(RamEncoder *e, PageCache *cache)
{
    ram_classifier_set_cache(e->classifier, cache);
}

void ram_encoder_drop_cache(RamEncoder *e)
{
    ram_classifier_drop_cache(e->classifier);
}

const PageCache *ram_encoder_cache(const RamEncoder *e)
{
    return ram_classifier_cache(e->classifier);
}
