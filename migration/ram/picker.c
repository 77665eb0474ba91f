/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picker: bitmaps and walk put together. Called by ram/save; never looks at a page. */
#include "migration/ram/picker.h"

#include "migration/ram/walk.h"

struct RamPicker {
    RAMList *ram;
    RamDirty *dirty;
    RamWalk walk;
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
    return p;
}

void ram_picker_free(RamPicker *p)
{
    if (p) {
        ram_dirty_free(p->dirty);
        g_free(p);
    }
}

void ram_picker_leave_out_shared(RamPicker *p)
{
    ram_dirty_leave_out_shared(p->dirty);
}

void ram_picker_start(RamPicker *p)
{
    ram_dirty_start(p->dirty);
}

uint64_t ram_picker_sync(RamPicker *p)
{
    return ram_dirty_sync(p->dirty);
}

bool ram_picker_next(RamPicker *p, RamPick *pick)
{
    if (!ram_walk_next(&p->walk, p->dirty, &pick->block, &pick->page)) {
        return false;
    }
    pick->first_round = p->walk.rounds == 0;
    ram_dirty_clear(p->dirty, pick->block, pick->page);
    return true;
}

bool ram_picker_host_page_begun(const RamPicker *p)
{
    const RAMBlock *block = ram_list_get(p->ram, p->walk.block);
    uint64_t host_pages = block->page_size / TARGET_PAGE_SIZE, page = p->walk.page;

    if (page % host_pages == 0) {
        return false;
    }
    return ram_dirty_find(p->dirty, p->walk.block, page) < page - page % host_pages + host_pages;
}

const RamDirty *ram_picker_dirty(const RamPicker *p)
{
    return p->dirty;
}
