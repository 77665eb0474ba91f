/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The write guard; the header says who asks it and why. Knows neither writers nor who guards. */
#include "softmmu/write-guard.h"

#include "util/error.h"

/* Locks for opening, by page: while the hook looks at it nobody writes. */
#define OPEN_LOCKS 16

struct WriteGuard {
    WriteGuardSwitch on;    /* first: write_guard_active looks there */
    RAMList *ram;
    GMutex open_locks[OPEN_LOCKS];  /* each: the guarded bits of its pages, and the hook for them */
    GMutex lock;            /* protects begun */
    bool begun;
    /* set by arm, under all open locks */
    WriteGuardHook *before;
    void *opaque;
};

WriteGuard *write_guard_new(RAMList *ram)
{
    WriteGuard *guard = g_new0(WriteGuard, 1);

    guard->ram = ram;
    g_mutex_init(&guard->lock);
    for (unsigned i = 0; i < OPEN_LOCKS; i++) {
        g_mutex_init(&guard->open_locks[i]);
    }
    return guard;
}

void write_guard_free(WriteGuard *guard)
{
    if (!guard) {
        return;
    }
    write_guard_end(guard);
    for (unsigned i = 0; i < OPEN_LOCKS; i++) {
        g_mutex_clear(&guard->open_locks[i]);
    }
    g_mutex_clear(&guard->lock);
    g_free(guard);
}

/* ---- life ---- */

static void lock_all(WriteGuard *guard)
{
    for (unsigned i = 0; i < OPEN_LOCKS; i++) {
        g_mutex_lock(&guard->open_locks[i]);
    }
}

static void unlock_all(WriteGuard *guard)
{
    for (unsigned i = 0; i < OPEN_LOCKS; i++) {
        g_mutex_unlock(&guard->open_locks[i]);
    }
}

bool write_guard_begin(WriteGuard *guard, GError **errp)
{
    g_mutex_lock(&guard->lock);
    bool in_use = guard->begun;
    guard->begun = true;
    g_mutex_unlock(&guard->lock);
    if (in_use) {
        error_setg(errp, "guest memory is being saved already");
        return false;
    }
    for (size_t i = 0; i < ram_list_count(guard->ram); i++) {
        if (!ram_block_add_guard_bits(ram_list_get(guard->ram, i), errp)) {
            write_guard_end(guard);
            return false;
        }
    }
    return true;
}

void write_guard_add(WriteGuard *guard, size_t index, uint64_t first, uint64_t count)
{
    RAMBlock *block = ram_list_get(guard->ram, index);

    g_assert(!write_guard_active(guard));
    while (count > 0) {
        unsigned from = first % 64;
        uint64_t n = MIN(count, 64 - from);
        uint64_t bits = (n == 64 ? ~0ULL : (1ULL << n) - 1) << from;
        __atomic_fetch_or(&block->guarded[first / 64], bits, __ATOMIC_RELAXED);
        first += n;
        count -= n;
    }
}

void write_guard_arm(WriteGuard *guard, WriteGuardHook *before, void *opaque)
{
    lock_all(guard);
    guard->before = before;
    guard->opaque = opaque;
    __atomic_store_n(&guard->on.active, true, __ATOMIC_SEQ_CST);
    unlock_all(guard);
}

void write_guard_end(WriteGuard *guard)
{
    lock_all(guard);    /* no hook is running */
    __atomic_store_n(&guard->on.active, false, __ATOMIC_SEQ_CST);
    guard->before = NULL;
    for (size_t i = 0; i < ram_list_count(guard->ram); i++) {
        ram_block_clear_guard_bits(ram_list_get(guard->ram, i));
    }
    unlock_all(guard);
    g_mutex_lock(&guard->lock);
    guard->begun = false;
    g_mutex_unlock(&guard->lock);
}

/* ---- asking ---- */

static bool is_guarded(const RAMBlock *block, uint64_t page)
{
    const uint64_t *words = __atomic_load_n(&block->guarded, __ATOMIC_ACQUIRE);

    return words && (__atomic_load_n(&words[page / 64], __ATOMIC_ACQUIRE) >> (page % 64)) & 1;
}

bool write_guard_open(const WriteGuard *guard, const RAMBlock *block, uint64_t page)
{
    return !write_guard_active(guard) || !is_guarded(block, page);
}

static size_t block_index(const WriteGuard *guard, const RAMBlock *block)
{
    size_t i = 0;

    while (ram_list_get(guard->ram, i) != block) {
        g_assert(i < ram_list_count(guard->ram));
        i++;
    }
    return i;
}

/* Opens the page, after the hook if there is to be one. False: it was open. */
static bool open_page(WriteGuard *guard, RAMBlock *block, size_t index, uint64_t page, bool hook)
{
    GMutex *lock = &guard->open_locks[page % OPEN_LOCKS];

    g_mutex_lock(lock);
    bool was_guarded = write_guard_active(guard) && is_guarded(block, page);
    if (was_guarded) {
        if (hook) {
            guard->before(guard->opaque, index, page);
        }
        __atomic_fetch_and(&block->guarded[page / 64], ~(1ULL << (page % 64)), __ATOMIC_RELEASE);
    }
    g_mutex_unlock(lock);
    return was_guarded;
}

void write_guard_before(WriteGuard *guard, const RAMBlock *block, uint64_t offset, uint64_t len)
{
    if (!write_guard_active(guard) || len == 0) {
        return;
    }
    uint64_t last = (offset + len - 1) >> TARGET_PAGE_BITS;
    for (uint64_t page = offset >> TARGET_PAGE_BITS; page <= last; page++) {
        if (is_guarded(block, page)) {
            size_t index = block_index(guard, block);
            open_page(guard, ram_list_get(guard->ram, index), index, page, true);
        }
    }
}

bool write_guard_release(WriteGuard *guard, size_t index, uint64_t page)
{
    return open_page(guard, ram_list_get(guard->ram, index), index, page, false);
}
