/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packets of one channel into guest memory. Called by multifd/recv on the
 * channel's thread, and by a fuzz target. Every number is checked before it is
 * used; what a packet says about sizes takes no memory.
 */
#include "migration/multifd/unpack.h"

#include <inttypes.h>
#include "util/error.h"

struct MultifdUnpacker {
    RAMList *ram;
    const MultifdCodec *codec;
    void *state;
    MultifdPages pages;
    MultifdPacket packet;
};

MultifdUnpacker *multifd_unpacker_new(RAMList *ram, const MultifdCodec *codec, GError **errp)
{
    MultifdUnpacker *u = g_new0(MultifdUnpacker, 1);

    u->ram = ram;
    u->codec = codec;
    if (!codec->recv_new(&u->state, errp)) {
        g_free(u);
        return NULL;
    }
    return u;
}

void multifd_unpacker_free(MultifdUnpacker *u)
{
    if (u) {
        u->codec->recv_free(u->state);
        g_free(u);
    }
}

const MultifdPages *multifd_unpacker_read(MultifdUnpacker *u, StreamReader *r, GError **errp)
{
    uint8_t *bytes = (uint8_t *)&u->packet;

    if (!stream_get_buffer(r, bytes, MULTIFD_KIND_BYTES)) {
        stream_reader_ok(r, errp);
        return NULL;
    }
    if (!multifd_packet_check_kind(bytes, errp)) {
        return NULL;
    }
    if (!stream_get_buffer(r, bytes + MULTIFD_KIND_BYTES, sizeof(u->packet) - MULTIFD_KIND_BYTES)) {
        stream_reader_ok(r, errp);
        return NULL;
    }
    return multifd_packet_decode(&u->packet, &u->pages, errp) ? &u->pages : NULL;
}

/* Inside the block; alignment was looked at before. */
static bool check_offsets(const MultifdPages *p, const RAMBlock *block, GError **errp)
{
    for (unsigned i = 0; i < p->normal + p->zero; i++) {
        if (p->offset[i] >= block->used_length) {
            error_setg(errp, "multifd: offset too long 0x%" PRIx64 " (max 0x%" PRIx64 ") in RAM block "
                       "\"%s\"", p->offset[i], block->used_length, block->idstr);
            return false;
        }
    }
    return true;
}

static bool check_method(const MultifdUnpacker *u, GError **errp)
{
    uint32_t method = u->pages.flags & ~MULTIFD_FLAG_SYNC;

    if (method != u->codec->flag) {
        error_setg(errp, "multifd: flags received 0x%x, expected 0x%x: set multifd-compression to the "
                   "same on both sides ('%s' here)", method, u->codec->flag, u->codec->name);
    }
    return method == u->codec->flag;
}

static bool place_normal(MultifdUnpacker *u, StreamReader *r, RamLoader *l, size_t block, GError **errp)
{
    uint8_t *places[MULTIFD_PACKET_PAGES];
    const MultifdPages *p = &u->pages;

    for (unsigned i = 0; i < p->normal; i++) {
        places[i] = ram_load_beside_place(l, block, p->offset[i] >> STREAM_PAGE_BITS);
    }
    if (!u->codec->unpack(u->state, r, p->payload_bytes, places, p->normal, errp)) {
        return false;
    }
    for (unsigned i = 0; i < p->normal; i++) {
        if (!ram_load_beside_placed(l, block, p->offset[i] >> STREAM_PAGE_BITS, errp)) {
            return false;
        }
    }
    return true;
}

bool multifd_unpacker_place(MultifdUnpacker *u, StreamReader *r, RamLoader *l, GError **errp)
{
    const MultifdPages *p = &u->pages;
    size_t block;

    if (p->normal + p->zero == 0) {
        return true;
    }
    if (!ram_load_beside_block(l, p->block, &block, errp) ||
        !check_offsets(p, ram_list_get(u->ram, block), errp) ||
        (p->normal && (!check_method(u, errp) || !place_normal(u, r, l, block, errp)))) {
        return false;
    }
    for (unsigned i = 0; i < p->zero; i++) {
        if (!ram_load_beside_zero(l, block, p->offset[p->normal + i] >> STREAM_PAGE_BITS, errp)) {
            return false;
        }
    }
    ram_load_beside_count(l, sizeof(u->packet) + p->payload_bytes);
    return true;
}
