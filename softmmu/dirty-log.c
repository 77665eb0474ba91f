/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log; the memory ordering is explained in the header. Marked by
 * every writer of guest RAM, fetched by the migration thread; never looks at
 * page contents and never takes the BQL.
 */
#include "softmmu/dirty-log.h"

#include <string.h>

/* Words tested at once when looking for dirty ones: one cache line. */
#define SCAN_WORDS 8

struct DirtyLog {
    RAMList *ram;
    void (*vcpu_barrier)(void *opaque);
    void *opaque;
    GMutex lock;        /* start and stop against each other */
    int users;          /* atomic read; written under lock */
};

static void no_barrier(void *opaque)
{
}

DirtyLog *dirty_log_new(RAMList *ram, void (*vcpu_barrier)(void *opaque), void *opaque)
{
    DirtyLog *log = g_new0(DirtyLog, 1);

    log->ram = ram;
    log->vcpu_barrier = vcpu_barrier ? vcpu_barrier : no_barrier;
    log->opaque = opaque;
    g_mutex_init(&log->lock);
    return log;
}

void dirty_log_free(DirtyLog *log)
{
    if (log) {
        g_mutex_clear(&log->lock);
        g_free(log);
    }
}

bool dirty_log_enabled(const DirtyLog *log)
{
    return __atomic_load_n(&log->users, __ATOMIC_ACQUIRE) > 0;
}

static size_t block_words(const RAMBlock *block)
{
    return (ram_block_pages(block) + 63) / 64;
}

static void clear_all(DirtyLog *log)
{
    for (size_t i = 0; i < ram_list_count(log->ram); i++) {
        RAMBlock *block = ram_list_get(log->ram, i);
        size_t words = block_words(block);
        for (size_t w = 0; w < words; w++) {
            __atomic_store_n(&block->dirty[w], 0, __ATOMIC_RELAXED);
        }
    }
}

void dirty_log_start(DirtyLog *log)
{
    g_mutex_lock(&log->lock);
    if (log->users == 0) {
        clear_all(log); /* before anybody may mark */
    }
    __atomic_store_n(&log->users, log->users + 1, __ATOMIC_SEQ_CST);
    /* Pairs with the fence in dirty_log_mark: who still saw "off" has its data visible to us. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    g_mutex_unlock(&log->lock);
    log->vcpu_barrier(log->opaque);
}

void dirty_log_stop(DirtyLog *log)
{
    g_mutex_lock(&log->lock);
    g_assert(log->users > 0);
    __atomic_store_n(&log->users, log->users - 1, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&log->lock);
}

/*
 * Plain loads, on purpose: the compiler turns them into wide ones. What is
 * missed here because it is set a moment later is found at the next sync,
 * like any other late bit; what is seen is fetched with an atomic exchange.
 */
#if defined(__clang__) || defined(__GNUC__)
__attribute__((no_sanitize("thread")))
#endif
static inline bool words_all_zero(const uint64_t *words)
{
    uint64_t any = 0;

    for (int i = 0; i < SCAN_WORDS; i++) {
        any |= words[i];
    }
    return any == 0;
}

static uint64_t fetch_word(uint64_t *word, uint64_t *into)
{
    if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0) {
        return 0;
    }
    uint64_t bits = __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
    uint64_t fresh = bits & ~*into;
    *into |= bits;
    return __builtin_popcountll(fresh);
}

static uint64_t fetch_block(RAMBlock *block, uint64_t *bitmap)
{
    size_t words = block_words(block), w = 0;
    uint64_t fresh = 0;

    for (; w + SCAN_WORDS <= words; w += SCAN_WORDS) {
        if (words_all_zero(block->dirty + w)) {
            continue;
        }
        for (size_t i = w; i < w + SCAN_WORDS; i++) {
            fresh += fetch_word(&block->dirty[i], &bitmap[i]);
        }
    }
    for (; w < words; w++) {
        fresh += fetch_word(&block->dirty[w], &bitmap[w]);
    }
    return fresh;
}

uint64_t dirty_log_sync(DirtyLog *log, uint64_t *const *bitmaps)
{
    uint64_t fresh = 0;

    for (size_t i = 0; i < ram_list_count(log->ram); i++) {
        fresh += fetch_block(ram_list_get(log->ram, i), bitmaps[i]);
    }
    log->vcpu_barrier(log->opaque);
    return fresh;
}

static void mark_bits(uint64_t *word, uint64_t bits)
{
    /* A bit that is set already must still order our data before a later exchange: no shortcut. */
    __atomic_fetch_or(word, bits, __ATOMIC_RELEASE);
}

void dirty_log_mark(DirtyLog *log, RAMBlock *block, uint64_t offset, uint64_t length)
{
    /* The data first, then the question whether anybody logs (see dirty_log_start). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!dirty_log_enabled(log) || length == 0) {
        return;
    }
    g_assert(offset < block->used_length && length <= block->used_length - offset);
    uint64_t page = offset >> TARGET_PAGE_BITS;
    uint64_t last = (offset + length - 1) >> TARGET_PAGE_BITS;

    while (page <= last) {
        unsigned from = page % 64;
        uint64_t count = MIN(last - page + 1, 64 - from);
        uint64_t bits = (count == 64 ? ~0ULL : (1ULL << count) - 1) << from;
        mark_bits(&block->dirty[page / 64], bits);
        page += count;
    }
}
