/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Untouched pages of the destination. Called by ram/load and mapped/. A page
 * counts as written until the opposite is sure: memory that a file system
 * cannot describe, or that firmware was loaded to, is looked at instead.
 */
#include "migration/ram/fresh.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "migration/codec/zero-page.h"
#include "util/error.h"

struct RamFresh {
    RAMList *ram;
    size_t blocks;
    uint64_t **written;     /* bit set: may hold something */
};

static void mark(RamFresh *f, size_t block, uint64_t first, uint64_t end)
{
    for (uint64_t p = first; p < end; p++) {
        f->written[block][p / 64] |= 1ULL << (p % 64);
    }
}

/* Marks the parts of the backing file that hold data. */
static void scan_block(RamFresh *f, size_t index)
{
    const RAMBlock *block = ram_list_get(f->ram, index);
    off_t length = (off_t)block->used_length, hole, data = -1;

    if (block->fd >= 0) {
        data = lseek(block->fd, 0, SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            return; /* one hole */
        }
    }
    if (data < 0) {
        mark(f, index, 0, ram_block_pages(block));
        return;
    }
    while (data >= 0 && data < length) {
        hole = lseek(block->fd, data, SEEK_HOLE);
        hole = hole < 0 || hole > length ? length : hole;
        mark(f, index, (uint64_t)data >> TARGET_PAGE_BITS,
             ((uint64_t)hole + TARGET_PAGE_SIZE - 1) >> TARGET_PAGE_BITS);
        data = lseek(block->fd, hole, SEEK_DATA);
    }
}

RamFresh *ram_fresh_new(RAMList *ram, GError **errp)
{
    RamFresh *f = g_new0(RamFresh, 1);

    f->ram = ram;
    f->blocks = ram_list_count(ram);
    f->written = g_new0(uint64_t *, f->blocks + 1);
    for (size_t i = 0; i < f->blocks; i++) {
        const RAMBlock *block = ram_list_get(ram, i);

        f->written[i] = g_try_new0(uint64_t, (ram_block_pages(block) + 63) / 64);
        if (!f->written[i]) {
            error_setg(errp, "cannot allocate a page bitmap for RAM block \"%s\"", block->idstr);
            ram_fresh_free(f);
            return NULL;
        }
        scan_block(f, i);
    }
    return f;
}

void ram_fresh_free(RamFresh *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->blocks; i++) {
        g_free(f->written[i]);
    }
    g_free(f->written);
    g_free(f);
}

void ram_fresh_touch(RamFresh *f, size_t block, uint64_t page)
{
    __atomic_fetch_or(&f->written[block][page / 64], 1ULL << (page % 64), __ATOMIC_RELAXED);
}

bool ram_fresh_zero(RamFresh *f, size_t block, uint64_t page, uint64_t count)
{
    uint8_t *host = ram_list_get(f->ram, block)->host;
    bool wrote = false;

    for (uint64_t p = page; p < page + count; p++) {
        uint8_t *at = host + (p << TARGET_PAGE_BITS);
        uint64_t written = __atomic_load_n(&f->written[block][p / 64], __ATOMIC_RELAXED);

        if (written == 0 && p % 64 == 0 && page + count - p >= 64) {
            p += 63; /* a whole word of untouched pages */
            continue;
        }
        if (written >> (p % 64) & 1 && !zero_page_check(at, TARGET_PAGE_SIZE)) {
            memset(at, 0, TARGET_PAGE_SIZE);
            wrote = true;
        }
    }
    return wrote;
}
