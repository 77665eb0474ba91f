/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a multifd channel begins with and the packets on it, to bytes and back
 * (migration-stream 7.2, 7.3). No channel, no memory of a guest: the one place
 * that reads these bytes, so that it can be fed with anything.
 */
#ifndef MIGRATION_MULTIFD_PACKET_H
#define MIGRATION_MULTIFD_PACKET_H

#include <stdbool.h>
#include "migration/stream/format.h"

/** How many bytes of a packet say what kind it is. */
#define MULTIFD_KIND_BYTES 12

/** A packet, in this host's integers. */
typedef struct MultifdPages {
    uint32_t flags;             /* enum MultifdFlag */
    uint64_t number;
    uint32_t normal, zero;      /* pages that follow, and pages that are all zero */
    uint32_t payload_bytes;     /* 0 without normal pages */
    char block[256];            /* "" without pages */
    /* in the block: normal ones, then zero ones; multiples of the page size */
    uint64_t offset[MULTIFD_PACKET_PAGES];
} MultifdPages;

void multifd_init_encode(uint8_t id, const uint8_t uuid[16], MultifdInit *out);
/** Checks magic and version; whose id and uuid it is, the caller knows. */
bool multifd_init_decode(const MultifdInit *in, uint8_t *id, uint8_t uuid[16], GError **errp);

void multifd_packet_encode(const MultifdPages *pages, MultifdPacket *out);
/** The first MULTIFD_KIND_BYTES of a packet: whether it is one that multifd_packet_decode knows. */
bool multifd_packet_check_kind(const uint8_t kind[MULTIFD_KIND_BYTES], GError **errp);
/**
 * All that can be checked without the guest: counts, sizes, the name's end, alignment. What the
 * offsets lie in is the caller's to check. flags have one method at most.
 */
bool multifd_packet_decode(const MultifdPacket *in, MultifdPages *out, GError **errp);

#endif
