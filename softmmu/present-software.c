/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages are copied into the mapping: the way that needs nothing of the host. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "softmmu/guest-ram.h"
#include "softmmu/present-engine.h"

static PresentEngine *software_begin(PresentMap *map, RAMList *ram, GError **errp)
{
    return (PresentEngine *)map;        /* has nothing of its own */
}

static bool software_arm(PresentEngine *engine, GError **errp)
{
    return true;
}

/* Nothing was ever written there: reading it would make memory of it, as writing zeros does. */
static bool is_hole(const RAMBlock *block, uint64_t page)
{
    off_t at = page << TARGET_PAGE_BITS;

    if (block->fd < 0 || block->named_file) {
        return false;       /* not every file system tells */
    }
    off_t data = lseek(block->fd, at, SEEK_DATA);
    return data < 0 ? errno == ENXIO : data >= at + (off_t)TARGET_PAGE_SIZE;
}

/*
 * Through the descriptor behind the shared mapping: the host need neither clear a page that was never
 * touched nor take a fault for it. Where memory cannot be written so (hugetlbfs) it is copied.
 */
static bool write_page(const RAMBlock *block, uint64_t page, const void *content)
{
    ssize_t n = -1;

    if (block->fd >= 0) {
        n = pwrite(block->fd, content, TARGET_PAGE_SIZE, (off_t)(page << TARGET_PAGE_BITS));
    }
    return n == (ssize_t)TARGET_PAGE_SIZE;
}

static void software_place(PresentEngine *engine, RAMBlock *block, uint64_t page, const void *content)
{
    uint8_t *host = block->host + (page << TARGET_PAGE_BITS);

    if (content) {
        if (!write_page(block, page, content)) {
            guest_ram_copy_to(host, content, TARGET_PAGE_SIZE);
        }
        return;
    }
    if (is_hole(block, page)) {
        return;
    }
    guest_ram_shared_begin();
    memset(host, 0, TARGET_PAGE_SIZE);
    guest_ram_shared_end();
}

static void software_end(PresentEngine *engine)
{
}

const PresentEngineOps present_engine_software = {
    .name = "software",
    .begin = software_begin,
    .arm = software_arm,
    .place = software_place,
    .end = software_end,
};
