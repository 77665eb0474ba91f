/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: what a postcopy destination asks for, in any order with the
 * pages that are sent meanwhile, in blocks of small and of large host pages.
 * What is not whole host pages inside a block is refused; whatever is asked
 * for, each page goes once until all have gone, those of a large host page
 * one after the other, and none that nobody wants without a background.
 *
 * Input: a byte of settings, then steps: 'r' block, start, length (a byte, two and one, in pages and
 * odd bytes), 'p' picks, anything else changes the order.
 */
#include <stdlib.h>
#include "../unit/ram-fixture.h"
#include "migration/ram/picker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const BlockSpec specs[] = { { "big", 512 }, { "mid", 65 }, { "one", 1 } };

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

typedef struct Run {
    Side *side;
    RamSaver *saver;        /* checks and queues, as for the return path */
    RamPicker *picker;      /* answers */
    bool sent[3][512];
    bool any;
    RamPick last;
} Run;

/* The pages of one host page: nothing else comes between them. */
static void check_host_page(const Run *r, const RamPick *pick)
{
    uint64_t n = ram_list_get(r->side->ram, r->last.block)->page_size / PAGE;

    if (r->any && (r->last.page + 1) % n != 0) {
        check(pick->block == r->last.block && pick->page == r->last.page + 1);
    }
}

static bool pick_one(Run *r)
{
    RamPick pick;

    if (!ram_picker_next(r->picker, &pick)) {
        return false;
    }
    check(pick.page < ram_block_pages(ram_list_get(r->side->ram, pick.block)));
    check(!r->sent[pick.block][pick.page]);
    check_host_page(r, &pick);
    r->sent[pick.block][pick.page] = true;
    r->any = true;
    r->last = pick;
    return true;
}

static void ask(Run *r, const uint8_t *p)
{
    const char *name = p[0] % 4 < 3 ? specs[p[0] % 4].name : "none";
    uint64_t start = (uint64_t)(p[1] | (p[2] & 3) << 8) * PAGE + (p[2] >> 7);
    uint32_t len = (uint32_t)(p[3] >> 1) * PAGE + (p[3] & p[2] & 1);
    RAMBlock *block = ram_list_find(r->side->ram, name, strlen(name));
    g_autoptr(GError) err = NULL;
    bool valid = block && len && start % block->page_size == 0 && len % block->page_size == 0 &&
                 start + len <= block->used_length;

    check(ram_save_request(r->saver, name, start, len, &err) == valid);
    check(valid == !err);
    ram_save_answer_none(r->saver);     /* or its queue would fill and wait for somebody */
    for (size_t i = 0; valid && i < ram_list_count(r->side->ram); i++) {
        if (ram_list_get(r->side->ram, i) == block) {
            RamRequest request = { i, start / PAGE, len / PAGE };
            check(ram_requests_put(ram_picker_requests(r->picker), &request));
            pick_one(r);
        }
    }
}

static void run(Run *r, const uint8_t *data, size_t size)
{
    RamPostcopyOptions opt = { .order = data[0] % 3, .prefault_forward = data[0] >> 2 & 7,
                               .prefault_backward = data[0] >> 5 };

    ram_picker_set_postcopy(r->picker, &opt);
    for (size_t i = 1; i < size; i++) {
        if (data[i] == 'r' && i + 4 < size) {
            ask(r, data + i + 1);
            i += 4;
        } else if (data[i] == 'p') {
            bool asked = ram_picker_is_asked(r->picker);
            bool begun = ram_picker_host_page_begun(r->picker);
            check(!pick_one(r) || asked || begun || opt.order != RAM_ORDER_NONE);
        } else {
            opt.order = data[i] % 3;
            ram_picker_set_postcopy(r->picker, &opt);
        }
    }
    opt.order = RAM_ORDER_LINEAR;
    ram_picker_set_postcopy(r->picker, &opt);
    while (pick_one(r)) {
        /* the rest */
    }
    check(ram_picker_dirty(r->picker)->count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RamSaveOptions opt = { .postcopy = true };
    Run r = { .side = side_new(specs, 3) };
    StreamWriter *w = stream_writer_new_memory();

    side_block(r.side, "big")->page_size = 16 * PAGE;
    r.saver = ram_saver_new(r.side->ram, r.side->log, &opt, NULL);
    check(ram_save_setup(r.saver, w, NULL) && ram_save_postcopy_begin(r.saver, w, NULL));
    r.picker = ram_picker_new(r.side->ram, r.side->log, NULL);
    ram_picker_start(r.picker);
    ram_picker_postcopy(r.picker);
    if (size > 0) {
        run(&r, data, size);
    }
    ram_picker_free(r.picker);
    ram_saver_free(r.saver);
    stream_writer_free(w);
    side_free(r.side);
    return 0;
}
