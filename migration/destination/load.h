/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading one stream, apart from listening, threads and starting the guest:
 * what destination/load.c does for destination/incoming.c between accept and the end, and
 * what the fuzz target and the in-process tests call with a stream in memory.
 */
#ifndef MIGRATION_DESTINATION_LOAD_H
#define MIGRATION_DESTINATION_LOAD_H

#include "migration/channel.h"
#include "migration/settings/settings.h"
#include "migration/stream/return-path.h"
#include "migration/ram.h"
#include "migration/stream.h"

/** State of one load; the loading thread's. Where it reads is an argument: packages are nested. */
typedef struct IncomingLoad {
    struct Migration *m;
    MigrationSettings *settings;
    Channel *channel;           /* NULL when reading from memory */
    ReturnPathWriter *answers;  /* over the same; the caller's, set after init; NULL as channel */
    bool return_path;           /* the source has opened it: it reads the answers */
    RamLoader *ram;
    GHashTable *sections;       /* id -> SectionBinding */
    int64_t first_device_us;    /* monotonic, when device state began; 0: not yet */
    bool bql_wanted;            /* a device is loading: hold the BQL except while waiting */
    char doing[320];            /* what an error message names first */
    const char *reading;        /* the name of the latest section, NULL: none yet */
    uint32_t ram_id;            /* of the section "ram": which QEMU numbers so? 0: not seen */
} IncomingLoad;

void incoming_load_init(IncomingLoad *l, struct Migration *m, MigrationSettings *settings,
                        Channel *channel);
/** Frees what init made; channel is the caller's. Nothing to do for one that is all zero. */
void incoming_load_clear(IncomingLoad *l);
/** Header to description from r, the caller's. Not under the BQL, which it takes. Error: what, offset, cause. */
bool incoming_load_stream(IncomingLoad *l, StreamReader *r, GError **errp);

#endif
