/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two file layouts: all that differs between mapped-ram and fixed-ram.
 * Called by mapped-save and mapped-load; never touches a file position.
 */
#include "migration/mapped/mapped-layout.h"

#include <inttypes.h>
#include "migration/mapped/mapped-sums.h"
#include "migration/stream/format.h"
#include "util/error.h"

static uint64_t header_bytes(RamLayout layout)
{
    return layout == RAM_LAYOUT_FIXED ? sizeof(FixedRamHeader) : sizeof(MappedRamHeader);
}

const char *mapped_layout_name(RamLayout layout)
{
    return layout == RAM_LAYOUT_FIXED ? CAPABILITY_FIXED_RAM : CAPABILITY_MAPPED_RAM;
}

void mapped_region_place(MappedRegion *region, RamLayout layout, uint64_t header_offset,
                         const RAMBlock *block, bool sums)
{
    uint64_t align = MAPPED_RAM_PAGES_ALIGN, pages = ram_block_pages(block), end;

    region->bitmap_offset = header_offset + header_bytes(layout);
    region->bitmap_bytes = MAPPED_RAM_BITMAP_BYTES(pages);
    end = region->bitmap_offset + region->bitmap_bytes;
    if (sums) {
        end = mapped_sums_offset(end) + mapped_sums_bytes(pages);
    }
    region->pages_offset = (end + align - 1) / align * align;
    region->end_offset = region->pages_offset + block->used_length;
    region->second_offset = region->second_bitmap_offset = 0;
}

void mapped_region_place_again(MappedRegion *region, uint64_t header_offset, const RAMBlock *block, bool sums,
                               uint64_t pages_offset, uint64_t second_offset)
{
    uint64_t pages = ram_block_pages(block), end;

    region->bitmap_offset = header_offset + sizeof(MappedRamHeaderTwo);
    region->bitmap_bytes = MAPPED_RAM_BITMAP_BYTES(pages);
    end = mapped_sums_offset(region->bitmap_offset + region->bitmap_bytes);
    region->second_bitmap_offset = mapped_sums_offset(end + (sums ? mapped_sums_bytes(pages) : 0));
    region->end_offset = region->second_bitmap_offset + region->bitmap_bytes;
    region->pages_offset = pages_offset;
    region->second_offset = second_offset;
}

void mapped_header_put(StreamWriter *w, RamLayout layout, const MappedRegion *region)
{
    if (layout == RAM_LAYOUT_FIXED) {
        stream_put_be32(w, (uint32_t)region->bitmap_bytes);
    } else {
        stream_put_be32(w, region->second_offset ? MAPPED_RAM_VERSION_TWO : MAPPED_RAM_VERSION);
        stream_put_be64(w, STREAM_PAGE_SIZE);
        stream_put_be64(w, region->bitmap_offset);
    }
    stream_put_be64(w, region->pages_offset);
    if (region->second_offset) {
        stream_put_be64(w, region->second_offset);
        stream_put_be64(w, region->second_bitmap_offset);
        stream_put_be64(w, region->end_offset);
    }
}

static bool get_mapped(StreamReader *r, MappedRegion *region, bool *two, GError **errp)
{
    uint32_t version = stream_get_be32(r);
    uint64_t page_size = stream_get_be64(r);

    region->bitmap_offset = stream_get_be64(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    *two = version == MAPPED_RAM_VERSION_TWO;
    if (version > MAPPED_RAM_VERSION_TWO) {
        error_setg(errp, "Migration mapped-ram capability version not supported "
                   "(expected <= %u, got %u)", MAPPED_RAM_VERSION_TWO, version);
        return false;
    }
    if (page_size != STREAM_PAGE_SIZE) {
        error_setg(errp, "page size %" PRIu64 " in the mapped-ram header, expected %u", page_size,
                   STREAM_PAGE_SIZE);
        return false;
    }
    return true;
}

static bool get_fixed(StreamReader *r, uint64_t header_offset, MappedRegion *region, GError **errp)
{
    uint32_t bytes = stream_get_be32(r);

    region->bitmap_offset = header_offset + header_bytes(RAM_LAYOUT_FIXED);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (bytes != region->bitmap_bytes) {
        error_setg(errp, "bitmap of %u bytes in the fixed-ram header, expected %" PRIu64, bytes,
                   region->bitmap_bytes);
        return false;
    }
    return true;
}

static bool inside_file(const char *what, uint64_t offset, uint64_t bytes, uint64_t file_bytes,
                        GError **errp)
{
    if (offset > file_bytes || bytes > file_bytes - offset) {
        error_setg(errp, "%s: 0x%" PRIx64 " bytes at 0x%" PRIx64 " do not lie in the file of 0x%"
                   PRIx64 " bytes", what, bytes, offset, file_bytes);
        return false;
    }
    return true;
}

/* What version 2 has behind pages_offset. */
static bool get_second(StreamReader *r, uint64_t header_offset, uint64_t file_bytes, const RAMBlock *block,
                       MappedRegion *region, GError **errp)
{
    region->second_offset = stream_get_be64(r);
    region->second_bitmap_offset = stream_get_be64(r);
    region->end_offset = stream_get_be64(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (region->second_offset == 0 || region->second_offset % STREAM_PAGE_SIZE) {
        error_setg(errp, "the second page region has bad alignment: 0x%" PRIx64 " is not a multiple of %u",
                   region->second_offset, STREAM_PAGE_SIZE);
        return false;
    }
    if (region->end_offset <= header_offset) {
        error_setg(errp, "the next block is at 0x%" PRIx64 ", before this one", region->end_offset);
        return false;
    }
    return inside_file("second bitmap", region->second_bitmap_offset, region->bitmap_bytes, file_bytes,
                       errp) &&
           inside_file("second page region", region->second_offset, block->used_length, file_bytes, errp) &&
           inside_file("next block", region->end_offset, 0, file_bytes, errp);
}

bool mapped_header_get(StreamReader *r, RamLayout layout, uint64_t header_offset,
                       uint64_t file_bytes, const RAMBlock *block, MappedRegion *region,
                       GError **errp)
{
    bool two = false;

    region->bitmap_bytes = MAPPED_RAM_BITMAP_BYTES(ram_block_pages(block));
    region->second_offset = region->second_bitmap_offset = 0;
    if (!(layout == RAM_LAYOUT_FIXED ? get_fixed(r, header_offset, region, errp)
                                     : get_mapped(r, region, &two, errp))) {
        return false;
    }
    region->pages_offset = stream_get_be64(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (region->pages_offset % STREAM_PAGE_SIZE) {
        error_setg(errp, "the page region has bad alignment: 0x%" PRIx64 " is not a multiple of %u",
                   region->pages_offset, STREAM_PAGE_SIZE);
        return false;
    }
    if (!inside_file("bitmap", region->bitmap_offset, region->bitmap_bytes, file_bytes, errp) ||
        !inside_file("page region", region->pages_offset, block->used_length, file_bytes, errp)) {
        return false;
    }
    region->end_offset = region->pages_offset + block->used_length;
    return !two || get_second(r, header_offset, file_bytes, block, region, errp);
}
