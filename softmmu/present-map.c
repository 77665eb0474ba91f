/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The present map: bits, who waits, software placing. The header has the
 * contract and the memory ordering. Asked by everybody who touches guest RAM,
 * filled by whoever fetches the pages; knows neither of them.
 *
 * The bits are kept the other way round, set for what is missing, so that
 * memory which was never touched says "here", and so does memory that was
 * given back while somebody still reads it. What will be written while the
 * guest stands still is touched before.
 */
#include "softmmu/present-map.h"

#include <string.h>
#include <sys/mman.h>
#include "softmmu/guest-ram.h"
#include "softmmu/present-engine.h"
#include "util/error.h"

#define WAIT_BUCKETS 64
/* Locks for placing, by page: of two threads with one page the second finds it here. */
#define PLACE_LOCKS 16

/* A woken() that is running; on the stack of the thread that calls it. */
typedef struct Call {
    const PresentWaiter *w;
    struct Call *next;
} Call;

/* What is laid over a page when it comes. */
typedef struct Patch {
    const RAMBlock *block;
    uint64_t offset;        /* in the block */
    GBytes *data;
} Patch;

struct PresentMap {
    PresentSwitch on;       /* first: present_map_active looks there */
    RAMList *ram;
    uint64_t missing;       /* atomic: pages */
    uint64_t unasked, useful;   /* atomic: pages that came unasked, those of them that were used */
    GMutex place_locks[PLACE_LOCKS];    /* each: content, missing bits and patches of its pages */
    GQueue patches[PLACE_LOCKS];        /* Patch*, oldest first */

    GMutex lock;            /* protects what follows; taken after a place lock, before none */
    GCond quiet;            /* a call has ended */
    unsigned awaiting_quiet;    /* who waits for it: nearly always nobody, and a signal is a system call */
    bool begun, ending;
    /* from begin to end; set by them */
    const PresentEngineOps *engine_ops;
    PresentEngine *engine;
    /* again protected by lock */
    const PresentOps *ops;
    void *opaque;
    unsigned op_calls;      /* ops that are running */
    Call *calls;            /* woken() that are running */
    PresentWaiter *waiters[WAIT_BUCKETS];
};

PresentMap *present_map_new(RAMList *ram)
{
    PresentMap *map = g_new0(PresentMap, 1);

    map->ram = ram;
    g_mutex_init(&map->lock);
    g_cond_init(&map->quiet);
    for (unsigned i = 0; i < PLACE_LOCKS; i++) {
        g_mutex_init(&map->place_locks[i]);
    }
    return map;
}

void present_map_free(PresentMap *map)
{
    if (!map) {
        return;
    }
    present_map_end(map);
    for (unsigned i = 0; i < PLACE_LOCKS; i++) {
        g_mutex_clear(&map->place_locks[i]);
    }
    g_cond_clear(&map->quiet);
    g_mutex_clear(&map->lock);
    g_free(map);
}

/* lock held. */
static void await_quiet(PresentMap *map)
{
    map->awaiting_quiet++;
    g_cond_wait(&map->quiet, &map->lock);
    map->awaiting_quiet--;
}

/* lock held. */
static void tell_quiet(PresentMap *map)
{
    if (map->awaiting_quiet) {
        g_cond_broadcast(&map->quiet);
    }
}

/* ---- bits ---- */

/* The words of a block's missing or asked bits; NULL: never begun. */
static uint64_t *words_of(uint64_t *const *bits)
{
    return __atomic_load_n(bits, __ATOMIC_ACQUIRE);
}

static bool bit_of(uint64_t *const *bits, uint64_t page, int order)
{
    const uint64_t *words = words_of(bits);

    return words && (__atomic_load_n(&words[page / 64], order) >> (page % 64)) & 1;
}

static bool is_missing(const RAMBlock *block, uint64_t page)
{
    return bit_of(&block->missing, page, __ATOMIC_SEQ_CST);
}

bool present_map_here(const PresentMap *map, const RAMBlock *block, uint64_t page)
{
    return !present_map_active(map) || !bit_of(&block->missing, page, __ATOMIC_ACQUIRE);
}

void present_map_copy_bits(const PresentMap *map, size_t index, uint64_t *out)
{
    const RAMBlock *block = ram_list_get(map->ram, index);
    const uint64_t *words = words_of(&block->missing);
    uint64_t pages = ram_block_pages(block);

    for (uint64_t w = 0; w < (pages + 63) / 64; w++) {
        uint64_t missing = words ? __atomic_load_n(&words[w], __ATOMIC_ACQUIRE) : 0;
        uint64_t in_block = pages - w * 64 >= 64 ? ~0ULL : (1ULL << (pages % 64)) - 1;
        out[w] = ~missing & in_block;
    }
}

uint64_t present_map_missing(const PresentMap *map)
{
    return __atomic_load_n(&map->missing, __ATOMIC_ACQUIRE);
}

/* Its first use, if it came unasked. The map is active: the page is here. */
static void note_used(PresentMap *map, const RAMBlock *block, uint64_t page)
{
    uint64_t bit = 1ULL << (page % 64);

    /* mostly clear, and then not written: vCPUs share the line */
    if (bit_of(&block->unasked, page, __ATOMIC_RELAXED) &&
        __atomic_fetch_and(words_of(&block->unasked) + page / 64, ~bit, __ATOMIC_ACQUIRE) & bit) {
        __atomic_fetch_add(&map->useful, 1, __ATOMIC_RELEASE);
    }
}

bool present_map_use(PresentMap *map, const RAMBlock *block, uint64_t page)
{
    if (!present_map_active(map)) {
        return true;
    }
    if (!present_map_here(map, block, page)) {
        return false;
    }
    note_used(map, block, page);
    return true;
}

void present_map_unasked(const PresentMap *map, uint64_t *came, uint64_t *useful)
{
    *useful = __atomic_load_n(&map->useful, __ATOMIC_ACQUIRE);     /* first: never more than came */
    *came = __atomic_load_n(&map->unasked, __ATOMIC_RELAXED);
}

/* ---- life ---- */

bool present_map_begin(PresentMap *map, const PresentEngineOps *engine, GError **errp)
{
    g_mutex_lock(&map->lock);
    bool in_use = map->begun;
    map->begun = true;
    g_mutex_unlock(&map->lock);
    if (in_use) {
        error_setg(errp, "guest memory is still coming in from an earlier migration");
        return false;
    }
    __atomic_store_n(&map->unasked, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&map->useful, 0, __ATOMIC_RELAXED);
    for (size_t i = 0; i < ram_list_count(map->ram); i++) {
        if (!ram_block_add_present_bits(ram_list_get(map->ram, i), errp)) {
            present_map_end(map);
            return false;
        }
    }
    map->engine_ops = engine ? engine : &present_engine_software;
    map->engine = map->engine_ops->begin(map, map->ram, errp);
    if (!map->engine) {
        present_map_end(map);
        return false;
    }
    return true;
}

/* Returns how many of the bits were not set before. Nobody else writes them yet. */
static unsigned add_missing(uint64_t *word, uint64_t bits)
{
    uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

    __atomic_store_n(word, old | bits, __ATOMIC_RELAXED);
    return (unsigned)__builtin_popcountll(bits & ~old);
}

/* The same for whole words: millions of them, and the guest stands still meanwhile. */
static uint64_t add_missing_words(uint64_t *words, uint64_t n)
{
    uint64_t before = 0;

    for (uint64_t w = 0; w < n; w++) {
        uint64_t old = __atomic_load_n(&words[w], __ATOMIC_RELAXED);
        if (old) {
            before += (uint64_t)__builtin_popcountll(old);
        }
        __atomic_store_n(&words[w], ~0ULL, __ATOMIC_RELAXED);
    }
    return n * 64 - before;
}

void present_map_set_missing(PresentMap *map, size_t index, uint64_t first, uint64_t count)
{
    RAMBlock *block = ram_list_get(map->ram, index);
    uint64_t fresh = 0, end = first + count, n;

    g_assert(block && block->missing && !present_map_active(map));
    g_assert(first <= ram_block_pages(block) && count <= ram_block_pages(block) - first);
    uint64_t *missing = block->missing;
    for (; first < end; first += n) {
        if (first % 64 == 0 && end - first >= 64) {
            n = (end - first) & ~63ULL;
            fresh += add_missing_words(&missing[first / 64], n / 64);
        } else {
            n = MIN(end - first, 64 - first % 64);
            fresh += add_missing(&missing[first / 64], ((1ULL << n) - 1) << (first % 64));
        }
    }
    __atomic_fetch_add(&map->missing, fresh, __ATOMIC_RELAXED);
}

static void set_ops(PresentMap *map, const PresentOps *ops, void *opaque)
{
    g_mutex_lock(&map->lock);
    g_assert(map->begun);
    map->ops = ops;
    map->opaque = opaque;
    __atomic_store_n(&map->on.active, ops != NULL, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&map->lock);
}

bool present_map_arm(PresentMap *map, const PresentOps *ops, void *opaque, GError **errp)
{
    g_assert(ops && ops->wanted && !present_map_active(map));
    set_ops(map, ops, opaque);      /* first: the engine asks whether pages are here */
    if (!map->engine_ops->arm(map->engine, errp)) {
        set_ops(map, NULL, NULL);
        return false;
    }
    return true;
}

/* ---- patches: of the pages of one place lock, which is held ---- */

static void patch_free(Patch *patch)
{
    g_bytes_unref(patch->data);
    g_free(patch);
}

/* The end: what is kept is written into the page as it is. */
static void patches_flush(GQueue *patches)
{
    Patch *patch;

    while ((patch = g_queue_pop_head(patches)) != NULL) {
        gsize len;
        const void *data = g_bytes_get_data(patch->data, &len);

        guest_ram_copy_to(patch->block->host + patch->offset, data, len);
        patch_free(patch);
    }
}

/* Lays what is kept for this page over to, its content (NULL: it is not needed), and forgets it. */
static void patches_take(GQueue *patches, const RAMBlock *block, uint64_t page, uint8_t *to)
{
    for (GList *at = patches->head, *next; at; at = next) {
        Patch *patch = at->data;

        next = at->next;
        if (patch->block == block && patch->offset >> TARGET_PAGE_BITS == page) {
            if (to) {
                gsize len;
                const void *data = g_bytes_get_data(patch->data, &len);
                memcpy(to + patch->offset % TARGET_PAGE_SIZE, data, len);
            }
            patch_free(patch);
            g_queue_delete_link(patches, at);
        }
    }
}

/* A reset after a reset writes the same again: that counts once. */
static void patch_add(GQueue *patches, const RAMBlock *block, uint64_t offset, GBytes *data)
{
    for (GList *at = patches->head; at; at = at->next) {
        Patch *patch = at->data;

        if (patch->block == block && patch->offset == offset &&
            g_bytes_get_size(patch->data) == g_bytes_get_size(data)) {
            patch_free(patch);
            g_queue_delete_link(patches, at);
            break;
        }
    }
    Patch *patch = g_new(Patch, 1);
    *patch = (Patch){ block, offset, data };
    g_queue_push_tail(patches, patch);
}

/* Nobody places meanwhile: a page that is placed late would be taken off the count twice. */
static void clear_bits(PresentMap *map)
{
    for (unsigned i = 0; i < PLACE_LOCKS; i++) {
        g_mutex_lock(&map->place_locks[i]);
    }
    for (size_t i = 0; i < ram_list_count(map->ram); i++) {
        ram_block_clear_present_bits(ram_list_get(map->ram, i));
    }
    __atomic_store_n(&map->missing, 0, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < PLACE_LOCKS; i++) {
        patches_flush(&map->patches[i]);
        g_mutex_unlock(&map->place_locks[i]);
    }
}

static void wake_one(PresentMap *map, PresentWaiter *w);

/* Nobody new waits: the map is off. lock held; let go meanwhile. */
static void wake_all(PresentMap *map)
{
    for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
        while (map->waiters[i]) {
            PresentWaiter *w = map->waiters[i];
            map->waiters[i] = w->next;
            wake_one(map, w);
        }
    }
}

void present_map_end(PresentMap *map)
{
    g_mutex_lock(&map->lock);
    while (map->ending) {   /* somebody else does it */
        await_quiet(map);
    }
    if (!map->begun) {
        g_mutex_unlock(&map->lock);
        return;
    }
    map->ending = true;
    __atomic_store_n(&map->on.active, false, __ATOMIC_SEQ_CST);
    wake_all(map);
    while (map->op_calls) {
        await_quiet(map);
    }
    map->ops = NULL;
    g_mutex_unlock(&map->lock);
    clear_bits(map);
    if (map->engine) {
        map->engine_ops->end(map->engine);
        map->engine = NULL;
    }
    g_mutex_lock(&map->lock);
    map->begun = map->ending = false;
    tell_quiet(map);
    g_mutex_unlock(&map->lock);
}

/* ---- asking ---- */

static size_t block_index(const PresentMap *map, const RAMBlock *block)
{
    size_t i = 0;

    while (ram_list_get(map->ram, i) != block) {
        g_assert(i < ram_list_count(map->ram));
        i++;
    }
    return i;
}

/* The ops, for a call that is over with op_end; NULL: off. lock held. */
static const PresentOps *op_begin(PresentMap *map)
{
    const PresentOps *ops = present_map_active(map) ? map->ops : NULL;

    if (ops) {
        map->op_calls++;
    }
    return ops;
}

static void op_end(PresentMap *map)
{
    map->op_calls--;
    tell_quiet(map);
}

/* As an op from the first bit on: after the end nothing is left of who asked before it. */
static void ask(PresentMap *map, const RAMBlock *block, uint64_t page, int user)
{
    uint64_t *word = words_of(&block->asked) + page / 64, bit = 1ULL << (page % 64);

    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) & bit) {
        return;
    }
    g_mutex_lock(&map->lock);
    const PresentOps *ops = op_begin(map);
    g_mutex_unlock(&map->lock);
    if (!ops) {
        return;
    }
    if (!(__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST) & bit)) {
        ops->wanted(map->opaque, block_index(map, block), page, user);
    }
    g_mutex_lock(&map->lock);
    op_end(map);
    g_mutex_unlock(&map->lock);
}

/* As ask does for one that is missing. Nobody waits for it. */
static void note_needed(const RAMBlock *block, uint64_t page)
{
    if (!bit_of(&block->asked, page, __ATOMIC_RELAXED)) {
        __atomic_fetch_or(words_of(&block->asked) + page / 64, 1ULL << (page % 64), __ATOMIC_RELAXED);
    }
}

bool present_map_need(PresentMap *map, const RAMBlock *block, uint64_t offset, uint64_t len, int user,
                      uint64_t *missing)
{
    bool all = true;

    if (!present_map_active(map) || len == 0) {
        return true;
    }
    uint64_t last = (offset + len - 1) >> TARGET_PAGE_BITS;
    for (uint64_t page = offset >> TARGET_PAGE_BITS; page <= last; page++) {
        if (present_map_here(map, block, page)) {
            note_needed(block, page);
            if (user >= PRESENT_USER_DEVICE) {
                note_used(map, block, page);
            }
            continue;
        }
        if (all && missing) {
            *missing = page;
        }
        all = false;
        ask(map, block, page, user);
    }
    return all;
}

void present_map_each_asked(PresentMap *map,
                            void (*fn)(void *opaque, size_t block, uint64_t page), void *opaque)
{
    for (size_t i = 0; i < ram_list_count(map->ram); i++) {
        const RAMBlock *block = ram_list_get(map->ram, i);
        const uint64_t *missing = words_of(&block->missing), *asked = words_of(&block->asked);
        uint64_t words = asked && missing ? (ram_block_pages(block) + 63) / 64 : 0;

        for (uint64_t w = 0; w < words; w++) {
            uint64_t bits = __atomic_load_n(&asked[w], __ATOMIC_ACQUIRE) &
                            __atomic_load_n(&missing[w], __ATOMIC_ACQUIRE);
            for (; bits; bits &= bits - 1) {
                fn(opaque, i, w * 64 + __builtin_ctzll(bits));
            }
        }
    }
}

/* ---- waiting ---- */

static PresentWaiter **bucket_of(PresentMap *map, size_t block, uint64_t page)
{
    return &map->waiters[(page + 7 * block) % WAIT_BUCKETS];
}

bool present_map_wait(PresentMap *map, PresentWaiter *w, const RAMBlock *block, uint64_t page)
{
    g_assert(w->woken);
    if (present_map_here(map, block, page)) {
        return false;
    }
    ask(map, block, page, w->user);
    g_mutex_lock(&map->lock);
    bool waits = present_map_active(map) && is_missing(block, page);
    if (waits) {
        w->block = block_index(map, block);
        w->page = page;
        w->since_us = g_get_monotonic_time();
        PresentWaiter **bucket = bucket_of(map, w->block, page);
        w->next = *bucket;
        *bucket = w;
    }
    g_mutex_unlock(&map->lock);
    return waits;
}

/* lock held. */
static bool is_called(const PresentMap *map, const PresentWaiter *w)
{
    for (const Call *call = map->calls; call; call = call->next) {
        if (call->w == w) {
            return true;
        }
    }
    return false;
}

void present_map_forget(PresentMap *map, PresentWaiter *w)
{
    if (!map) {
        return;
    }
    g_mutex_lock(&map->lock);
    /* it may have been started anew while an older woken() is still on its way out: both */
    for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
        for (PresentWaiter **link = &map->waiters[i]; *link; link = &(*link)->next) {
            if (*link == w) {
                *link = w->next;
                break;
            }
        }
    }
    while (is_called(map, w)) {
        await_quiet(map);
    }
    g_mutex_unlock(&map->lock);
}

static void call_begin(PresentMap *map, Call *call)
{
    call->next = map->calls;
    map->calls = call;
}

static void call_end(PresentMap *map, Call *call)
{
    Call **link = &map->calls;

    while (*link != call) {
        link = &(*link)->next;
    }
    *link = call->next;
    tell_quiet(map);
}

/* One waiter that is out of its bucket. lock held; let go meanwhile. After woken() *w is not ours. */
static void wake_one(PresentMap *map, PresentWaiter *w)
{
    PresentWaiter was = *w;
    Call call = { .w = w };
    const PresentOps *ops = map->ops;

    map->op_calls++;
    call_begin(map, &call);
    g_mutex_unlock(&map->lock);
    if (ops && ops->waited) {
        ops->waited(map->opaque, was.block, was.page, was.user, g_get_monotonic_time() - was.since_us);
    }
    was.woken(was.opaque);
    g_mutex_lock(&map->lock);
    call_end(map, &call);
    op_end(map);
}

/* A waiter for the page, out of its bucket; NULL: none. lock held. */
static PresentWaiter *take_waiter(PresentMap *map, size_t block, uint64_t page)
{
    for (PresentWaiter **link = bucket_of(map, block, page); *link; link = &(*link)->next) {
        PresentWaiter *w = *link;

        if (w->block == block && w->page == page) {
            *link = w->next;
            return w;
        }
    }
    return NULL;
}

static void wake(PresentMap *map, size_t block, uint64_t page)
{
    PresentWaiter *w;

    g_mutex_lock(&map->lock);
    while ((w = take_waiter(map, block, page))) {   /* the lock is let go in between */
        wake_one(map, w);
    }
    g_mutex_unlock(&map->lock);
}

/* ---- placing ---- */

/* The page's content comes in, with what is laid over it. Its place lock is held. */
static void fill(PresentMap *map, RAMBlock *block, uint64_t page, const void *content, bool whole)
{
    GQueue *patches = &map->patches[page % PLACE_LOCKS];
    uint8_t patched[TARGET_PAGE_SIZE];

    if (!g_queue_is_empty(patches)) {
        if (content) {
            memcpy(patched, content, sizeof(patched));
        } else {
            memset(patched, 0, sizeof(patched));
        }
        patches_take(patches, block, page, whole ? NULL : patched);
        content = patched;
    }
    map->engine_ops->place(map->engine, block, page, content);
}

/* The content is there: so is the page. Its place lock is held. */
static void set_here(PresentMap *map, RAMBlock *block, uint64_t page)
{
    __atomic_fetch_and(&block->missing[page / 64], ~(1ULL << (page % 64)), __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&map->missing, 1, __ATOMIC_ACQ_REL);
}

/* Before the page is here: who uses it finds the bit. Its place lock is held. */
static void note_unasked(PresentMap *map, RAMBlock *block, uint64_t page)
{
    if (!bit_of(&block->asked, page, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&map->unasked, 1, __ATOMIC_RELAXED);
        __atomic_fetch_or(&block->unasked[page / 64], 1ULL << (page % 64), __ATOMIC_RELEASE);
    }
}

bool present_map_place(PresentMap *map, size_t index, uint64_t page, const void *content)
{
    RAMBlock *block = ram_list_get(map->ram, index);
    unsigned stripe = page % PLACE_LOCKS;

    g_assert(block && page < ram_block_pages(block));
    g_mutex_lock(&map->place_locks[stripe]);
    bool placed = is_missing(block, page);
    if (placed) {
        fill(map, block, page, content, false);
        note_unasked(map, block, page);
        set_here(map, block, page);
    }
    g_mutex_unlock(&map->place_locks[stripe]);
    if (placed && bit_of(&block->asked, page, __ATOMIC_SEQ_CST)) {
        wake(map, index, page);
    }
    return placed;
}

bool present_map_overwrite(PresentMap *map, const RAMBlock *const_block, uint64_t offset,
                           const void *data, size_t len)
{
    if (!present_map_active(map)) {
        return false;
    }
    size_t index = block_index(map, const_block);
    RAMBlock *block = ram_list_get(map->ram, index);
    uint64_t page = offset >> TARGET_PAGE_BITS;
    unsigned stripe = page % PLACE_LOCKS;
    bool whole = len == TARGET_PAGE_SIZE;

    g_assert(len && (offset + len - 1) >> TARGET_PAGE_BITS == page && page < ram_block_pages(block));
    g_mutex_lock(&map->place_locks[stripe]);
    bool missing = is_missing(block, page);
    if (missing && whole) {
        fill(map, block, page, data, true);
        set_here(map, block, page);
    } else if (missing) {
        patch_add(&map->patches[stripe], block, offset, g_bytes_new(data, len));
    }
    g_mutex_unlock(&map->place_locks[stripe]);
    if (missing && whole && bit_of(&block->asked, page, __ATOMIC_SEQ_CST)) {
        wake(map, index, page);
    }
    return missing;
}
