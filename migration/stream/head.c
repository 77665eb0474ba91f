/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See head.h. Called by configuration.c, and by migration/mapped and ram. */
#include "migration/stream/head.h"

#include "util/error.h"

uint64_t mapped_head_sum(const MappedHead *h)
{
    return h->saves + h->stream_offset + h->room_offset + h->room_bytes;
}

bool mapped_head_check(MappedHead *head, GError **errp)
{
    MappedHead h = {
        .magic = GUINT32_FROM_BE(head->magic), .version = GUINT32_FROM_BE(head->version),
        .saves = GUINT64_FROM_BE(head->saves), .stream_offset = GUINT64_FROM_BE(head->stream_offset),
        .room_offset = GUINT64_FROM_BE(head->room_offset),
        .room_bytes = GUINT64_FROM_BE(head->room_bytes), .sum = GUINT64_FROM_BE(head->sum),
    };

    if (h.magic == STREAM_MAGIC_HEAD && h.version != MAPPED_HEAD_VERSION) {
        error_setg(errp, "This image was saved into again by a newer Ferry: version %u, %u expected", h.version,
                   MAPPED_HEAD_VERSION);
        return false;
    }
    if (h.magic != STREAM_MAGIC_HEAD || h.sum != mapped_head_sum(&h) || h.room_bytes > INT64_MAX ||
        h.room_offset > INT64_MAX || h.saves < 2 ||
        (h.stream_offset != h.room_offset && h.stream_offset != h.room_offset + h.room_bytes)) {
        error_setg(errp, "The head of this image, its first %zu bytes, is damaged", sizeof(h));
        return false;
    }
    *head = h;
    return true;
}
