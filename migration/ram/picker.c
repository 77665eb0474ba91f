/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picker: bitmaps, walk and requests put together. Called by ram/save; never looks at a page. */
#include "migration/ram/picker.h"

#include "migration/ram/baseline.h"
#include "migration/ram/walk.h"

#define PREFAULTS 64        /* requests whose neighbours are still to come; the oldest are forgotten */
#define DUPLICATES_AT_ONCE 64   /* requests for nothing that are looked at before a background page */

/* What is left of the neighbours of a page that was asked for. */
typedef struct Prefault {
    size_t block;
    uint64_t next, forward;     /* pages [next, next + forward) */
    uint64_t before, backward;  /* pages before - 1, before - 2, ... */
} Prefault;

struct RamPicker {
    RAMList *ram;
    RamBaseline *baseline;      /* which learns, too, what was written; NULL: there is none */
    RamDirty *dirty;
    RamWalk walk;
    size_t last_block;          /* the host page that is being sent: that of the page before this one */
    uint64_t last_next;
    RamPickReason last_reason;
    /* postcopy */
    bool postcopy;
    RamPostcopyOptions opt;
    RamRequests *requests;
    RamRequest asked;           /* the one being answered; count 0: none */
    bool answered;              /* with a page at least */
    Prefault prefaults[PREFAULTS];
    unsigned prefault_first, prefault_len;
    uint64_t duplicates;
};

RamPicker *ram_picker_new(RAMList *ram, DirtyLog *log, GError **errp)
{
    RamDirty *dirty = ram_dirty_new(ram, log, errp);
    RamPicker *p;

    if (!dirty) {
        return NULL;
    }
    p = g_new0(RamPicker, 1);
    p->ram = ram;
    p->dirty = dirty;
    p->requests = ram_requests_new();
    return p;
}

void ram_picker_free(RamPicker *p)
{
    if (p) {
        ram_dirty_free(p->dirty);
        ram_requests_free(p->requests);
        g_free(p);
    }
}

void ram_picker_leave_out_shared(RamPicker *p)
{
    ram_dirty_leave_out_shared(p->dirty);
}

void ram_picker_set_baseline(RamPicker *p, RamBaseline *baseline)
{
    p->baseline = baseline;
}

void ram_picker_start(RamPicker *p)
{
    ram_dirty_start(p->dirty);
}

void ram_picker_start_again(RamPicker *p)
{
    ram_baseline_start(p->baseline, p->dirty);
}

bool ram_picker_first_round(const RamPicker *p)
{
    return p->walk.rounds == 0;
}

uint64_t ram_picker_sync(RamPicker *p)
{
    return p->baseline ? ram_baseline_sync(p->baseline, p->dirty) : ram_dirty_sync(p->dirty);
}

static uint64_t host_pages(const RamPicker *p, size_t block)
{
    return ram_list_get(p->ram, block)->page_size / TARGET_PAGE_SIZE;
}

bool ram_picker_host_page_begun(const RamPicker *p)
{
    uint64_t n = host_pages(p, p->last_block), page = p->last_next;
    uint64_t end = page - page % n + n;

    return page % n != 0 && ram_dirty_find_in(p->dirty, p->last_block, page, end) < end;
}

/* The page is dirty. */
static bool take(RamPicker *p, size_t block, uint64_t page, RamPickReason reason, RamPick *pick)
{
    *pick = (RamPick){ block, page, p->walk.rounds == 0, reason };
    ram_dirty_clear(p->dirty, block, page);
    p->last_block = block;
    p->last_next = page + 1;
    p->last_reason = reason;
    return true;
}

/* ---- what was asked for ---- */

/* The first dirty page of [*from, end), which are whole host pages; *from moves on. */
static bool find_in(const RamPicker *p, size_t block, uint64_t *from, uint64_t end)
{
    *from = ram_dirty_find_in(p->dirty, block, *from, end);
    return *from < end;
}

static void add_prefault(RamPicker *p, const RamRequest *r)
{
    uint64_t pages = ram_block_pages(ram_list_get(p->ram, r->block)), end = r->page + r->count;
    uint64_t n = host_pages(p, r->block);
    Prefault f = { .block = r->block, .next = end, .before = r->page };

    f.forward = MIN(p->opt.prefault_forward * n, pages - end);
    f.backward = MIN(p->opt.prefault_backward * n, r->page);
    if (f.forward == 0 && f.backward == 0) {
        return;
    }
    if (p->prefault_len == PREFAULTS) {
        p->prefault_first = (p->prefault_first + 1) % PREFAULTS;
        p->prefault_len--;
    }
    p->prefaults[(p->prefault_first + p->prefault_len++) % PREFAULTS] = f;
}

static bool next_asked(RamPicker *p, RamPick *pick)
{
    for (int i = 0; i < DUPLICATES_AT_ONCE; i++) {
        if (p->asked.count == 0) {
            p->answered = false;
            if (!ram_requests_take(p->requests, &p->asked)) {
                return false;
            }
        }
        uint64_t from = p->asked.page, end = from + p->asked.count;
        if (find_in(p, p->asked.block, &from, end)) {
            if (!p->answered) {
                add_prefault(p, &p->asked);
            }
            p->answered = true;
            p->asked.count = end - from - 1;
            p->asked.page = from + 1;
            if (p->opt.order == RAM_ORDER_FOLLOW_FAULT) {
                p->walk.block = p->asked.block;
                p->walk.page = from + 1;
            }
            return take(p, p->asked.block, from, RAM_PICK_REQUESTED, pick);
        }
        p->asked.count = 0;
        p->duplicates += !p->answered;
    }
    return false;
}

static bool next_prefault(RamPicker *p, RamPick *pick)
{
    while (p->prefault_len > 0) {
        Prefault *f = &p->prefaults[p->prefault_first];
        uint64_t end = f->next + f->forward, n = host_pages(p, f->block);

        if (f->forward > 0 && find_in(p, f->block, &f->next, end)) {
            f->forward = end - f->next - 1;
            return take(p, f->block, f->next++, RAM_PICK_PREFAULT, pick);
        }
        f->forward = 0;
        while (f->backward > 0) {
            f->before -= n;
            f->backward -= n;
            uint64_t from = f->before;
            if (find_in(p, f->block, &from, f->before + n)) {
                return take(p, f->block, from, RAM_PICK_PREFAULT, pick);
            }
        }
        p->prefault_first = (p->prefault_first + 1) % PREFAULTS;
        p->prefault_len--;
    }
    return false;
}

bool ram_picker_is_asked(const RamPicker *p)
{
    return p->asked.count > 0 || p->prefault_len > 0 || ram_requests_any(p->requests);
}

/* ---- the next one ---- */

static bool next_in_turn(RamPicker *p, RamPick *pick)
{
    size_t block;
    uint64_t page;

    return ram_walk_next(&p->walk, p->dirty, &block, &page) &&
           take(p, block, page, RAM_PICK_BACKGROUND, pick);
}

static bool next_of_host_page(RamPicker *p, RamPick *pick)
{
    return ram_picker_host_page_begun(p) &&
           take(p, p->last_block, ram_dirty_find(p->dirty, p->last_block, p->last_next),
                p->last_reason, pick);
}

bool ram_picker_next(RamPicker *p, RamPick *pick)
{
    if (!p->postcopy) {
        return next_in_turn(p, pick);
    }
    return next_of_host_page(p, pick) || next_asked(p, pick) || next_prefault(p, pick) ||
           (p->opt.order != RAM_ORDER_NONE && next_in_turn(p, pick));
}

const RamDirty *ram_picker_dirty(const RamPicker *p)
{
    return p->dirty;
}

/* ---- postcopy ---- */

void ram_picker_postcopy(RamPicker *p)
{
    p->postcopy = true;
    p->last_next = 0;       /* nothing is begun: what was will be thrown away there */
    ram_dirty_whole_host_pages(p->dirty);
    ram_requests_open(p->requests);
}

void ram_picker_set_postcopy(RamPicker *p, const RamPostcopyOptions *opt)
{
    p->opt = *opt;
}

RamRequests *ram_picker_requests(RamPicker *p)
{
    return p->requests;
}

void ram_picker_count_duplicate(RamPicker *p)
{
    p->duplicates++;
}

uint64_t ram_picker_duplicates(const RamPicker *p)
{
    return p->duplicates;
}

void ram_picker_restart(RamPicker *p, uint64_t *const *received)
{
    p->asked.count = 0;
    p->prefault_len = 0;
    p->last_next = 0;
    ram_dirty_add_missing(p->dirty, received);
    ram_dirty_whole_host_pages(p->dirty);
}
