/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapped-ram and fixed-ram, writing. Called by ram/save; never moves the
 * stream's own position but to step over a block's regions. A zero page is
 * not written: its bit is clear, also when it was written before, for the
 * bitmap decides over what lies in the file.
 */
#include "migration/mapped/mapped-save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>
#include "migration/mapped/mapped-layout.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"

#define RUN_MAX_PAGES 256   /* 1 MiB */

typedef struct MappedBlock {
    MappedRegion region;
    uint64_t *bitmap;       /* host words, written little-endian */
    size_t words;
} MappedBlock;

struct MappedSave {
    RAMList *ram;
    Channel *channel;
    MappedLayout layout;
    size_t count;
    MappedBlock *blocks;
    /* neighbours not yet written */
    size_t run_block;
    uint64_t run_first, run_pages;
};

/* With O_APPEND the kernel ignores the position of a pwrite. */
static bool channel_positionable(Channel *channel, GError **errp)
{
    int flags;

    if (!channel || !channel_is_seekable(channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file)");
        return false;
    }
    flags = fcntl(channel_fd(channel), F_GETFL);
    if (flags < 0 || flags & O_APPEND) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' was opened for "
                   "appending", channel_name(channel));
        return false;
    }
    return true;
}

MappedSave *mapped_save_new(RAMList *ram, Channel *channel, bool fixed, GError **errp)
{
    MappedSave *m;

    if (!channel_positionable(channel, errp)) {
        return NULL;
    }
    m = g_new0(MappedSave, 1);
    m->ram = ram;
    m->channel = channel;
    m->layout = fixed ? MAPPED_LAYOUT_FIXED_RAM : MAPPED_LAYOUT_MAPPED_RAM;
    m->count = ram_list_count(ram);
    m->blocks = g_new0(MappedBlock, m->count + 1);
    for (size_t i = 0; i < m->count; i++) {
        MappedBlock *b = &m->blocks[i];

        b->words = (ram_block_pages(ram_list_get(ram, i)) + 63) / 64;
        b->bitmap = g_try_new0(uint64_t, b->words);
        if (!b->bitmap) {
            error_setg(errp, "cannot allocate the page bitmap of RAM block \"%s\"",
                       ram_list_get(ram, i)->idstr);
            mapped_save_free(m);
            return NULL;
        }
    }
    return m;
}

void mapped_save_free(MappedSave *m)
{
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        g_free(m->blocks[i].bitmap);
    }
    g_free(m->blocks);
    g_free(m);
}

bool mapped_save_block(MappedSave *m, StreamWriter *w, size_t block, GError **errp)
{
    MappedRegion *region = &m->blocks[block].region;
    uint64_t at;

    if (!stream_writer_tell(w, &at, errp)) {
        return false;
    }
    mapped_region_place(region, m->layout, at, ram_list_get(m->ram, block));
    mapped_header_put(w, m->layout, region);
    return stream_writer_seek(w, region->end_offset, errp);
}

static bool write_at(MappedSave *m, size_t block, const void *buf, uint64_t len, uint64_t offset,
                     GError **errp)
{
    const uint8_t *p = buf;

    while (len > 0) {
        guest_ram_shared_begin(); /* the pages are written from where they are */
        ssize_t n = pwrite(channel_fd(m->channel), p, len, (off_t)offset);
        guest_ram_shared_end();

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            error_setg_errno(errp, n < 0 ? errno : ENOSPC, "cannot write RAM block \"%s\" to '%s' "
                             "at 0x%" PRIx64, ram_list_get(m->ram, block)->idstr,
                             channel_name(m->channel), offset);
            return false;
        }
        p += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return true;
}

bool mapped_save_flush(MappedSave *m, GError **errp)
{
    uint64_t offset = m->run_first * TARGET_PAGE_SIZE, len = m->run_pages * TARGET_PAGE_SIZE;

    if (len == 0) {
        return true;
    }
    m->run_pages = 0;
    return write_at(m, m->run_block, ram_list_get(m->ram, m->run_block)->host + offset, len,
                    m->blocks[m->run_block].region.pages_offset + offset, errp);
}

bool mapped_save_page(MappedSave *m, size_t block, uint64_t page, bool zero, GError **errp)
{
    uint64_t *word = &m->blocks[block].bitmap[page / 64], bit = 1ULL << (page % 64);

    if (zero) {
        *word &= ~bit;
        return true;
    }
    *word |= bit;
    if (m->run_pages && (m->run_block != block || page != m->run_first + m->run_pages ||
                         m->run_pages == RUN_MAX_PAGES) && !mapped_save_flush(m, errp)) {
        return false;
    }
    if (m->run_pages == 0) {
        m->run_block = block;
        m->run_first = page;
    }
    m->run_pages++;
    return true;
}

static bool write_bitmap(MappedSave *m, size_t block, GError **errp)
{
    MappedBlock *b = &m->blocks[block];

    for (size_t i = 0; i < b->words; i++) {
        b->bitmap[i] = GUINT64_TO_LE(b->bitmap[i]);
    }
    return write_at(m, block, b->bitmap, b->region.bitmap_bytes, b->region.bitmap_offset, errp);
}

bool mapped_save_finish(MappedSave *m, GError **errp)
{
    if (!mapped_save_flush(m, errp)) {
        return false;
    }
    for (size_t i = 0; i < m->count; i++) {
        if (!write_bitmap(m, i, errp)) {
            return false;
        }
    }
    return true;
}
