/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's parallel channels (migration-stream 7): pages are handed over in
 * packets to whichever channel is free. Nothing is known of passes or of the
 * stream: whoever hands pages over says when what comes next may not be mixed
 * with what came before.
 */
#ifndef MIGRATION_MULTIFD_SEND_H
#define MIGRATION_MULTIFD_SEND_H

#include "migration/channel.h"
#include "migration/multifd/codec.h"
#include "migration/ram/counters.h"
#include "softmmu/faults.h"
#include "softmmu/ramblock.h"

typedef struct MultifdSend MultifdSend;

typedef struct MultifdSendOptions {
    unsigned channels;          /* 1 to 255 */
    const MultifdCodec *codec;
    int level;                  /* of the codec */
    bool detect_zero;           /* channels look for pages of zeros, and only name them */
    bool zero_copy;             /* content is sent from where it is: channel_begin_uncopied was called; no codec */
    uint8_t uuid[16];           /* the guest's; all zero: it has none */
    Faults *faults;
} MultifdSendOptions;

MultifdSend *multifd_send_new(RAMList *ram, const MultifdSendOptions *opt);
/**
 * Ends all threads: what is not sent is not wanted. The channels, which stay the caller's, are shut
 * down, or take what is written to them. NULL is fine.
 */
void multifd_send_free(MultifdSend *s);

/** The next channel, whose thread begins: it says who it is. All of them, before anything below. */
bool multifd_send_add(MultifdSend *s, Channel *c, GError **errp);

/** Where pages are counted when they are sent. Before the first page; must outlive the threads. */
void multifd_send_set_counters(MultifdSend *s, RamCounters *counters);
/**
 * Hands over one page, with others of its block: data may be read until the next sync is over. Waits
 * while all channels have enough to do. False with the first error of any channel. Migration thread, as
 * the next two.
 */
bool multifd_send_page(MultifdSend *s, size_t block, uint64_t page, const uint8_t *data,
                       GError **errp);
/** What was handed over may be sent, though it is no full packet. Waits as above. */
bool multifd_send_flush(MultifdSend *s, GError **errp);
/**
 * A sync point: flushes, and returns when each channel has sent all it has, and SYNC behind it. The
 * receiver takes nothing that comes later from any channel before it has all of that.
 */
bool multifd_send_sync(MultifdSend *s, GError **errp);

/** Bytes that all channels have written. Any thread. */
uint64_t multifd_send_bytes(const MultifdSend *s);
/** What a page has lately cost, in bytes. Any thread. */
uint64_t multifd_send_page_cost(const MultifdSend *s);

#endif
