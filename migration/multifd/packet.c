/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multifd's packets to bytes and back. Called by multifd/send, multifd/recv
 * and a fuzz target; reads and writes nothing but what it is handed.
 */
#include "migration/multifd/packet.h"

#include <string.h>
#include "util/error.h"

/* ---- the first bytes of a channel ---- */

static bool check_magic(uint32_t magic, uint32_t version, GError **errp)
{
    if (magic != MULTIFD_MAGIC) {
        error_setg(errp, "multifd: received packet magic %x and expected magic %x", magic,
                   MULTIFD_MAGIC);
        return false;
    }
    if (version != MULTIFD_VERSION) {
        error_setg(errp, "multifd: received packet version %u and expected version %u", version,
                   MULTIFD_VERSION);
        return false;
    }
    return true;
}

void multifd_init_encode(uint8_t id, const uint8_t uuid[16], MultifdInit *out)
{
    memset(out, 0, sizeof(*out));
    out->magic = GUINT32_TO_BE(MULTIFD_MAGIC);
    out->version = GUINT32_TO_BE(MULTIFD_VERSION);
    memcpy(out->uuid, uuid, sizeof(out->uuid));
    out->id = id;
}

bool multifd_init_decode(const MultifdInit *in, uint8_t *id, uint8_t uuid[16], GError **errp)
{
    if (!check_magic(GUINT32_FROM_BE(in->magic), GUINT32_FROM_BE(in->version), errp)) {
        return false;
    }
    *id = in->id;
    memcpy(uuid, in->uuid, sizeof(in->uuid));
    return true;
}

/* ---- packets ---- */

void multifd_packet_encode(const MultifdPages *pages, MultifdPacket *out)
{
    bool any = pages->normal || pages->zero;

    memset(out, 0, sizeof(*out));
    out->magic = GUINT32_TO_BE(MULTIFD_MAGIC);
    out->version = GUINT32_TO_BE(MULTIFD_VERSION);
    out->flags = GUINT32_TO_BE(pages->flags);
    out->pages_alloc = GUINT32_TO_BE(any ? MULTIFD_PACKET_PAGES : 0);
    out->normal_pages = GUINT32_TO_BE(pages->normal);
    out->next_packet_size = GUINT32_TO_BE(pages->payload_bytes);
    out->packet_num = GUINT64_TO_BE(pages->number);
    out->zero_pages = GUINT32_TO_BE(pages->zero);
    if (any) {
        g_strlcpy(out->ramblock, pages->block, sizeof(out->ramblock));
    }
    for (uint32_t i = 0; i < pages->normal + pages->zero; i++) {
        out->offset[i] = GUINT64_TO_BE(pages->offset[i]);
    }
}

static uint32_t kind_word(const uint8_t *kind, unsigned i)
{
    uint32_t v;

    memcpy(&v, kind + i * sizeof(v), sizeof(v));
    return GUINT32_FROM_BE(v);
}

bool multifd_packet_check_kind(const uint8_t kind[MULTIFD_KIND_BYTES], GError **errp)
{
    uint32_t flags = kind_word(kind, 2);

    if (!check_magic(kind_word(kind, 0), kind_word(kind, 1), errp)) {
        return false;
    }
    if (flags & MULTIFD_FLAG_DEVICE_STATE) {
        error_setg(errp, "multifd: device state in a channel (flags 0x%x), which no device here has",
                   flags);
        return false;
    }
    return true;
}

static bool check_counts(const MultifdPages *p, uint32_t alloc, GError **errp)
{
    if (alloc > MULTIFD_PACKET_PAGES) {
        error_setg(errp, "multifd: received packet with size %u and expected a size of %u", alloc,
                   MULTIFD_PACKET_PAGES);
        return false;
    }
    if (p->normal > alloc || p->zero > alloc - p->normal) {
        error_setg(errp, "multifd: received packet with %u pages and %u zero pages, but room for %u",
                   p->normal, p->zero, alloc);
        return false;
    }
    if (p->payload_bytes > MULTIFD_PAYLOAD_MAX) {
        error_setg(errp, "multifd: received packet of %u bytes, expected at most %u",
                   p->payload_bytes, MULTIFD_PAYLOAD_MAX);
        return false;
    }
    return true;
}

static bool decode_pages(const MultifdPacket *in, MultifdPages *out, GError **errp)
{
    if (!memchr(in->ramblock, '\0', sizeof(in->ramblock))) {
        error_setg(errp, "multifd: received packet with a block name that does not end");
        return false;
    }
    memcpy(out->block, in->ramblock, sizeof(out->block));
    for (uint32_t i = 0; i < out->normal + out->zero; i++) {
        out->offset[i] = GUINT64_FROM_BE(in->offset[i]);
        if (out->offset[i] & RAM_FLAGS_MASK) {
            error_setg(errp, "multifd: page at 0x%" G_GINT64_MODIFIER "x of block \"%s\": no multiple "
                       "of %u", out->offset[i], out->block, STREAM_PAGE_SIZE);
            return false;
        }
    }
    return true;
}

bool multifd_packet_decode(const MultifdPacket *in, MultifdPages *out, GError **errp)
{
    if (!multifd_packet_check_kind((const uint8_t *)in, errp)) {
        return false;
    }
    out->flags = GUINT32_FROM_BE(in->flags);
    out->number = GUINT64_FROM_BE(in->packet_num);
    out->normal = GUINT32_FROM_BE(in->normal_pages);
    out->zero = GUINT32_FROM_BE(in->zero_pages);
    /* Without pages QEMU 7.2 leaves the size of the packet before it there, and sends nothing. */
    out->payload_bytes = out->normal ? GUINT32_FROM_BE(in->next_packet_size) : 0;
    out->block[0] = '\0';
    return check_counts(out, GUINT32_FROM_BE(in->pages_alloc), errp) &&
           (out->normal + out->zero == 0 || decode_pages(in, out, errp));
}
