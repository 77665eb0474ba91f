/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packets of one channel into guest memory; knows nothing of threads and sync points. */
#ifndef MIGRATION_MULTIFD_UNPACK_H
#define MIGRATION_MULTIFD_UNPACK_H

#include "migration/multifd/codec.h"
#include "migration/ram/load.h"

typedef struct MultifdUnpacker MultifdUnpacker;

/** NULL with errp. */
MultifdUnpacker *multifd_unpacker_new(RAMList *ram, const MultifdCodec *codec, GError **errp);
/** NULL is fine. */
void multifd_unpacker_free(MultifdUnpacker *u);

/** Reads the head of a packet: what it says, good until the next; NULL with errp. */
const MultifdPages *multifd_unpacker_read(MultifdUnpacker *u, StreamReader *r, GError **errp);
/** Its pages, if it has any, through loader (ram_load_beside_*), whose list of blocks has come. */
bool multifd_unpacker_place(MultifdUnpacker *u, StreamReader *r, RamLoader *loader, GError **errp);

#endif
