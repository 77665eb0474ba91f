/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See mapped-base.h. Called by mapped-save, mapped-file, the header's reader and the source's story. */
#include "migration/mapped/mapped-base.h"

#include "util/error.h"

#define STREAM_ROOM (16u << 20)     /* for devices and their description, which nobody knows beforehand */
#define NAME_ROOM 512u              /* of a block: its name, length and header */

MappedBase *mapped_base_new(RAMList *ram, GError **errp)
{
    MappedBase *b = g_new0(MappedBase, 1);

    b->ram = ram;
    b->count = ram_list_count(ram);
    b->blocks = g_new0(MappedBaseBlock, b->count + 1);
    for (size_t i = 0; i < b->count; i++) {
        uint64_t words = (ram_block_pages(ram_list_get(ram, i)) + 63) / 64;

        b->blocks[i].present = g_try_new0(uint64_t, words);
        b->blocks[i].second = g_try_new0(uint64_t, words);
        if (!b->blocks[i].present || !b->blocks[i].second) {
            error_setg(errp, "not enough memory for what is known of RAM block \"%s\"",
                       ram_list_get(ram, i)->idstr);
            mapped_base_free(b);
            return NULL;
        }
    }
    return b;
}

void mapped_base_free(MappedBase *b)
{
    if (!b) {
        return;
    }
    for (size_t i = 0; i < b->count; i++) {
        g_free(b->blocks[i].present);
        g_free(b->blocks[i].second);
        mapped_sums_free(b->blocks[i].sums);
    }
    g_free(b->blocks);
    g_free(b);
}

static uint64_t aligned(uint64_t at)
{
    return (at + MAPPED_RAM_PAGES_ALIGN - 1) / MAPPED_RAM_PAGES_ALIGN * MAPPED_RAM_PAGES_ALIGN;
}

static void make_rooms(MappedBase *b, uint64_t file_bytes)
{
    uint64_t at = aligned(file_bytes), room = STREAM_ROOM;

    for (size_t i = 0; i < b->count; i++) {
        const RAMBlock *block = ram_list_get(b->ram, i);
        uint64_t pages = ram_block_pages(block);

        b->blocks[i].second_offset = at;
        at = aligned(at + block->used_length);
        room += NAME_ROOM + 2 * MAPPED_RAM_BITMAP_BYTES(pages) + mapped_sums_bytes(pages);
    }
    b->room_offset = at;
    b->room_bytes = aligned(room);
}

uint64_t mapped_base_next_stream(const MappedBase *b)
{
    return b->stream_offset == b->room_offset ? b->room_offset + b->room_bytes : b->room_offset;
}

void mapped_base_plan(MappedBase *b, uint64_t file_bytes, MappedHead *head, uint64_t *stream_offset)
{
    if (!b->room_bytes) {
        make_rooms(b, file_bytes);
    }
    *stream_offset = mapped_base_next_stream(b);
    MappedHead h = {
        .magic = STREAM_MAGIC_HEAD, .version = MAPPED_HEAD_VERSION, .saves = b->saves + 1,
        .stream_offset = *stream_offset, .room_offset = b->room_offset, .room_bytes = b->room_bytes,
    };
    *head = (MappedHead){
        .magic = GUINT32_TO_BE(h.magic), .version = GUINT32_TO_BE(h.version),
        .saves = GUINT64_TO_BE(h.saves), .stream_offset = GUINT64_TO_BE(h.stream_offset),
        .room_offset = GUINT64_TO_BE(h.room_offset), .room_bytes = GUINT64_TO_BE(h.room_bytes),
        .sum = GUINT64_TO_BE(mapped_head_sum(&h)),
    };
}
