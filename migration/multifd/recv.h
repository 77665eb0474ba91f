/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's connections when there are parallel channels
 * (migration-stream 7): which of them is the stream is told by what it begins
 * with; the others are read by a thread each, straight into guest memory,
 * between sync points.
 */
#ifndef MIGRATION_MULTIFD_RECV_H
#define MIGRATION_MULTIFD_RECV_H

#include "migration/channel-set.h"
#include "migration/multifd/codec.h"
#include "migration/ram/load.h"
#include "softmmu/faults.h"

typedef struct MultifdRecv MultifdRecv;

typedef struct MultifdRecvOptions {
    unsigned channels;          /* 1 to 255; as many have to come */
    const MultifdCodec *codec;
    uint8_t uuid[16];           /* the guest's; all zero: it has none */
    Faults *faults;
    ChannelListener *listener;  /* the caller's; accepted from until the end */
    ChannelSet *set;            /* has the connections that came, as MULTIFD, by when they came */
} MultifdRecvOptions;

/**
 * Takes first, the connection that came first, and waits for the others in threads of its own. NULL
 * with errp.
 */
MultifdRecv *multifd_recv_new(RAMList *ram, const MultifdRecvOptions *opt, Channel *first,
                              GError **errp);
/**
 * Waits for the stream's connection, which is MAIN in the set then; nothing of it was consumed from
 * the reader, which is the caller's. NULL with the first error of any connection, or if none has come
 * in time, or the listener was shut down.
 */
StreamReader *multifd_recv_stream(MultifdRecv *r, GError **errp);
/** Where pages go; before anything of the stream is loaded. */
void multifd_recv_set_loader(MultifdRecv *r, RamLoader *loader);
/** RamSyncPoint; opaque is the MultifdRecv. On the thread that has called multifd_recv_stream. */
bool multifd_recv_sync(void *opaque, GError **errp);
/**
 * After the load has failed: if a channel has failed before, that is the cause. Replaces *err then.
 */
void multifd_recv_cause(MultifdRecv *r, GError **err);
/**
 * Ends the threads: shuts the listener and the parallel channels down, which stay the set's, but not the
 * stream. From here on nobody places pages. NULL is fine.
 */
void multifd_recv_free(MultifdRecv *r);

#endif
