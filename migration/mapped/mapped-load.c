/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapped-ram and fixed-ram, reading. Called by ram/load. The file is not
 * trusted: every length and position is checked against the block and the
 * file before it is used, and the only memory taken is the block's bitmap.
 */
#include "migration/mapped/mapped-load.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel.h"
#include "migration/mapped/mapped-layout.h"
#include "migration/stream/format.h"
#include "util/error.h"

typedef struct MappedLoad {
    const RAMBlock *block;
    size_t index;
    RamFresh *fresh;
    Channel *channel;
    MappedRegion region;
    uint64_t pages;         /* read so far */
} MappedLoad;

static bool file_size(Channel *channel, uint64_t *bytes, GError **errp)
{
    struct stat st;

    if (fstat(channel_fd(channel), &st) < 0) {
        error_setg_errno(errp, errno, "cannot get the size of '%s'", channel_name(channel));
        return false;
    }
    /* A block device says 0: there the short read is the check. */
    *bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : INT64_MAX;
    return true;
}

static bool read_at(MappedLoad *m, void *buf, uint64_t len, uint64_t offset, GError **errp)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pread(channel_fd(m->channel), p, MIN(len, MAPPED_RAM_READ_CHUNK),
                          (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            error_setg_errno(errp, errno, "cannot read '%s' at 0x%" PRIx64,
                             channel_name(m->channel), offset);
            return false;
        }
        if (n == 0) {
            error_setg(errp, "'%s' ends at 0x%" PRIx64 ", %" PRIu64 " more bytes expected",
                       channel_name(m->channel), offset, len);
            return false;
        }
        p += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return true;
}

static uint64_t *read_bitmap(MappedLoad *m, GError **errp)
{
    uint64_t pages = ram_block_pages(m->block), words = m->region.bitmap_bytes / 8;
    uint64_t *bitmap = g_try_new(uint64_t, words);

    if (!bitmap) {
        error_setg(errp, "cannot allocate a bitmap of %" PRIu64 " bytes", m->region.bitmap_bytes);
        return NULL;
    }
    if (!read_at(m, bitmap, m->region.bitmap_bytes, m->region.bitmap_offset, errp)) {
        g_free(bitmap);
        return NULL;
    }
    for (uint64_t i = 0; i < words; i++) {
        bitmap[i] = GUINT64_FROM_LE(bitmap[i]);
    }
    if (pages % 64 && bitmap[words - 1] >> (pages % 64)) {
        error_setg(errp, "the bitmap at 0x%" PRIx64 " has bits beyond the %" PRIu64
                   " pages of the block", m->region.bitmap_offset, pages);
        g_free(bitmap);
        return NULL;
    }
    return bitmap;
}

/* First page >= from whose bit is not `set`, or pages. */
static uint64_t run_end(const uint64_t *bitmap, uint64_t from, uint64_t pages, bool set)
{
    for (uint64_t w = from / 64; w * 64 < pages; w++) {
        uint64_t other = set ? ~bitmap[w] : bitmap[w];

        if (w == from / 64) {
            other &= ~0ULL << (from % 64);
        }
        if (other) {
            return MIN(w * 64 + (uint64_t)__builtin_ctzll(other), pages);
        }
    }
    return pages;
}

static bool load_run(MappedLoad *m, uint64_t first, uint64_t count, GError **errp)
{
    uint64_t offset = first << TARGET_PAGE_BITS;

    for (uint64_t p = first; p < first + count; p++) {
        ram_fresh_touch(m->fresh, m->index, p);
    }
    m->pages += count;
    return read_at(m, m->block->host + offset, count << TARGET_PAGE_BITS,
                   m->region.pages_offset + offset, errp);
}

static bool load_pages(MappedLoad *m, const uint64_t *bitmap, GError **errp)
{
    uint64_t pages = ram_block_pages(m->block), page = 0;

    while (page < pages) {
        bool set = bitmap[page / 64] >> (page % 64) & 1;
        uint64_t end = run_end(bitmap, page, pages, set);

        if (!set) {
            ram_fresh_zero(m->fresh, m->index, page, end - page);
        } else if (!load_run(m, page, end - page, errp)) {
            return false;
        }
        page = end;
    }
    return true;
}

static bool load_block(MappedLoad *m, StreamReader *r, RamLayout layout, GError **errp)
{
    g_autofree uint64_t *bitmap = NULL;
    uint64_t at, file_bytes;

    if (!stream_reader_tell(r, &at, errp)) {
        return false;
    }
    m->channel = stream_reader_channel(r);
    if (!file_size(m->channel, &file_bytes, errp) ||
        !mapped_header_get(r, layout, at, file_bytes, m->block, &m->region, errp)) {
        return false;
    }
    bitmap = read_bitmap(m, errp);
    return bitmap && load_pages(m, bitmap, errp) &&
           stream_reader_seek(r, m->region.end_offset, errp);
}

bool mapped_load_block(const RAMBlock *block, StreamReader *r, RamLayout layout, RamFresh *fresh,
                       size_t index, uint64_t *pages, GError **errp)
{
    MappedLoad m = { .block = block, .index = index, .fresh = fresh };

    if (!load_block(&m, r, layout, errp)) {
        error_prepend(errp, "%s: RAM block \"%s\": ", mapped_layout_name(layout), block->idstr);
        return false;
    }
    *pages = m.pages;
    return true;
}
