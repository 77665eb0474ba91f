/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the pages of a packet travel: as they are, or compressed (migration-stream
 * 7.3). A codec is a leaf behind these operations; each channel has one state
 * of its own, which its thread alone uses, for the whole migration: what one
 * packet has told is context for the next.
 */
#ifndef MIGRATION_MULTIFD_CODEC_H
#define MIGRATION_MULTIFD_CODEC_H

#include <sys/uio.h>
#include "migration/multifd/packet.h"
#include "migration/stream.h"

/** What goes behind the header of a packet; points into guest memory or into the codec's state. */
typedef struct MultifdPayload {
    struct iovec iov[MULTIFD_PACKET_PAGES];
    int count;
    uint32_t bytes;
} MultifdPayload;

/** All members are required. A state is whatever new has returned, also NULL. */
typedef struct MultifdCodec {
    const char *name;           /* as in multifd-compression */
    uint32_t flag;              /* in each packet */
    /** *state for sending at level; false with errp if it cannot be had. */
    bool (*send_new)(void **state, int level, GError **errp);
    void (*send_free)(void *state);
    /**
     * n (>0) pages of guest memory, which may change meanwhile: what is sent of a page is then any
     * mixture of it, and all of it can be decoded. *out is good until the next call.
     */
    bool (*pack)(void *state, const uint8_t *const *pages, unsigned n, MultifdPayload *out,
                 GError **errp);
    bool (*recv_new)(void **state, GError **errp);
    void (*recv_free)(void *state);
    /**
     * Reads bytes from r and makes n (>0) pages of them, each at its place. False with errp, also if
     * they are not exactly n pages; some of the places are written then.
     */
    bool (*unpack)(void *state, StreamReader *r, uint32_t bytes, uint8_t *const *places, unsigned n,
                   GError **errp);
} MultifdCodec;

/** By MultiFDCompression (settings know it to be there). */
const MultifdCodec *multifd_codec(int method);

extern const MultifdCodec multifd_codec_none, multifd_codec_zlib, multifd_codec_zstd;

#endif
