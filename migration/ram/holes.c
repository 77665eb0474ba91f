/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extents of the backing files, one remembered per block. Called by ram/save for each page. */
#include "migration/ram/holes.h"

#include <errno.h>
#include <unistd.h>
#include "migration/codec/zero-page.h"

/* Pages [first, end) are all hole or all data; first == end: nothing is known. */
typedef struct Extent {
    uint64_t first, end;
    bool hole;
} Extent;

G_STATIC_ASSERT(sizeof(zero_page) == TARGET_PAGE_SIZE);

struct RamHoles {
    RAMList *ram;
    Extent *extents;    /* by block */
};

RamHoles *ram_holes_new(RAMList *ram)
{
    RamHoles *h = g_new0(RamHoles, 1);

    h->ram = ram;
    h->extents = g_new0(Extent, ram_list_count(ram) + 1);
    return h;
}

void ram_holes_free(RamHoles *h)
{
    if (h) {
        g_free(h->extents);
        g_free(h);
    }
}

void ram_holes_forget(RamHoles *h)
{
    for (size_t i = 0; i < ram_list_count(h->ram); i++) {
        h->extents[i] = (Extent){ 0 };
    }
}

/* The extent around a page. A page that the file holds in part, or a file that cannot tell, is data. */
static Extent probe(const RAMBlock *block, uint64_t page)
{
    uint64_t pages = ram_block_pages(block);
    off_t at = (off_t)(page << TARGET_PAGE_BITS), data, hole;

    if (block->fd < 0) {
        return (Extent){ 0, pages, false };
    }
    data = lseek(block->fd, at, SEEK_DATA);
    if (data < 0) {
        return (Extent){ page, pages, errno == ENXIO };
    }
    if ((uint64_t)data >> TARGET_PAGE_BITS > page) {
        return (Extent){ page, MIN((uint64_t)data >> TARGET_PAGE_BITS, pages), true };
    }
    hole = lseek(block->fd, at, SEEK_HOLE);
    return (Extent){ page, hole < 0 ? pages
                                    : MAX((uint64_t)hole >> TARGET_PAGE_BITS, page + 1), false };
}

const uint8_t *ram_holes_page(RamHoles *h, size_t index, uint64_t page)
{
    const RAMBlock *block = ram_list_get(h->ram, index);
    Extent *e = &h->extents[index];

    if (page < e->first || page >= e->end) {
        *e = probe(block, page);
    }
    return e->hole ? zero_page : block->host + (page << TARGET_PAGE_BITS);
}
