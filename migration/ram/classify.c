/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision for each dirty page. Called by ram/save; never writes to a
 * stream, never counts. A guest may write to the page all the while, so
 * whatever must agree with itself (delta, cache, what is sent) is taken from
 * one private copy.
 */
#include "migration/ram/classify.h"

#include <string.h>
#include "migration/codec/xbzrle.h"
#include "migration/codec/zero-page.h"
#include "softmmu/guest-ram.h"

#define PAGE PAGE_CACHE_PAGE_SIZE

struct RamClassifier {
    PageCache *cache;
    bool detect_zero;
    const RamSimd *simd;
    uint8_t copy[PAGE];
    uint8_t delta[PAGE];
};

RamClassifier *ram_classifier_new(PageCache *cache, bool detect_zero, const RamSimd *simd)
{
    RamClassifier *c = g_new0(RamClassifier, 1);

    c->cache = cache;
    c->detect_zero = detect_zero;
    c->simd = simd;
    return c;
}

void ram_classifier_free(RamClassifier *c)
{
    if (c) {
        page_cache_free(c->cache);
        g_free(c);
    }
}

/* The receiver will have zeros: what is cached for the page must say so too. */
static void zero_page_cached(RamClassifier *c, uint64_t addr, uint64_t pass)
{
    uint8_t *cached = page_cache_lookup(c->cache, addr, pass);

    if (!cached) {
        cached = page_cache_insert(c->cache, addr, pass);
    }
    if (cached) {
        memset(cached, 0, PAGE);
    }
}

static void classify_miss(RamClassifier *c, uint64_t addr, const uint8_t *host, RamStage stage,
                          uint64_t pass, RamPage *out)
{
    uint8_t *slot = stage == RAM_STAGE_LAST ? NULL : page_cache_insert(c->cache, addr, pass);

    out->cache = RAM_CACHE_MISS;
    if (slot) {
        guest_ram_copy_from(slot, host, PAGE);
        out->data = slot;
        out->from_cache = true;
    }
}

/* The page goes whole: from the cache, or from the stopped guest itself (out->data). */
static void classify_overflow(RamClassifier *c, uint8_t *cached, RamStage stage, RamPage *out)
{
    out->overflow = true;
    if (stage != RAM_STAGE_LAST) {
        memcpy(cached, c->copy, PAGE);
        out->data = cached;
        out->from_cache = true;
    }
}

static void classify_hit(RamClassifier *c, uint8_t *cached, const uint8_t *host, RamStage stage,
                         RamPage *out)
{
    int n;

    out->cache = RAM_CACHE_HIT;
    guest_ram_copy_from(c->copy, host, PAGE);
    n = c->simd->encode(cached, c->copy, PAGE, c->delta, PAGE);
    if (n == XBZRLE_OVERFLOW) {
        classify_overflow(c, cached, stage, out);
        return;
    }
    out->kind = n ? RAM_PAGE_DELTA : RAM_PAGE_UNMODIFIED;
    out->data = c->delta;
    out->len = (size_t)n;
    if (n && stage != RAM_STAGE_LAST) {
        /* Applying a short delta is cheaper than copying the page. */
        c->simd->decode(c->delta, (size_t)n, cached, PAGE);
    }
}

/* Found zero while the guest writes to it: then it is dirty again. */
static bool page_is_zero(const RamClassifier *c, const uint8_t *host)
{
    if (host == zero_page) {
        return true;    /* a hole: half of what an empty guest costs was to look */
    }
    guest_ram_shared_begin();
    bool zero = c->simd->zero(host, PAGE);
    guest_ram_shared_end();
    return zero;
}

void ram_classify(RamClassifier *c, uint64_t addr, const uint8_t *host, RamStage stage,
                  uint64_t pass, RamPage *out)
{
    bool use_cache = c->cache && stage != RAM_STAGE_BULK;
    uint8_t *cached;

    *out = (RamPage) { .kind = RAM_PAGE_NORMAL, .data = host, .len = PAGE };
    if (c->detect_zero && page_is_zero(c, host)) {
        out->kind = RAM_PAGE_ZERO;
        if (use_cache && stage != RAM_STAGE_LAST) {
            zero_page_cached(c, addr, pass);
        }
        return;
    }
    if (!use_cache) {
        return;
    }
    cached = page_cache_lookup(c->cache, addr, pass);
    if (cached) {
        classify_hit(c, cached, host, stage, out);
    } else {
        classify_miss(c, addr, host, stage, pass, out);
    }
}

void ram_classifier_set_cache(RamClassifier *c, PageCache *cache)
{
    page_cache_move(cache, c->cache);
    c->cache = cache;
}

void ram_classifier_drop_cache(RamClassifier *c)
{
    page_cache_free(g_steal_pointer(&c->cache));
}

const PageCache *ram_classifier_cache(const RamClassifier *c)
{
    return c->cache;
}
