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

/** Where commands and sections stand. */
typedef enum IncomingPlace {
    INCOMING_IN_STREAM,         /* no vCPU runs: anything */
    INCOMING_IN_PACKAGE,        /* the state of devices, at the switch to postcopy */
    INCOMING_IN_BACKGROUND,     /* the guest may run: the rest of its memory */
} IncomingPlace;

/**
 * What the commands of postcopy mean to whoever the guest will run at
 * (destination/postcopy.c), where their order is checked. Called on the
 * thread that reads them, not under the BQL; all members are required.
 */
typedef struct IncomingPostcopyOps {
    /** The source may switch: page sizes of all its blocks, ORed, and of the target. */
    bool (*advise)(void *opaque, uint64_t page_sizes, uint64_t target_page, GError **errp);
    /** What came of these bytes of block is not the newest. block is this call's; nothing is checked. */
    bool (*discard)(void *opaque, const char *block, uint64_t start, uint64_t len, GError **errp);
    /** What follows the package in the stream is yours to read. */
    bool (*listen)(void *opaque, GError **errp);
    /** The package is loaded: the guest may start. */
    bool (*run)(void *opaque, GError **errp);
    /** Answer with what is here of block. */
    bool (*recv_bitmap)(void *opaque, const char *block, GError **errp);
    /** The source has all answers. */
    bool (*resume)(void *opaque, GError **errp);
    /** From now on the source asks for a word each second, as long as the stream goes on. */
    void (*talks)(void *opaque);
} IncomingPostcopyOps;

/** State of one load; the loading thread's. Where it reads is an argument: packages are nested. */
typedef struct IncomingLoad {
    struct Migration *m;
    MigrationSettings *settings;
    Channel *channel;           /* NULL when reading from memory */
    ReturnPathWriter *answers;  /* over the same; the caller's, set after init; NULL as channel */
    const IncomingPostcopyOps *ops; /* the caller's, set after init, with opaque; NULL: postcopy is off */
    void *opaque;
    IncomingPlace place;
    GByteArray *package;        /* read, not loaded yet; else NULL */
    uint64_t package_at;        /* where in the stream it ended */
    bool ran;                   /* the guest may start, though not all of its memory is here */
    bool return_path;           /* the source has opened it: it reads the answers */
    RamLoader *ram;
    bool borrowed_ram;          /* it is another load's */
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

/**
 * Another load of the same guest, for a thread of its own, which reads what
 * follows the package: its RAM loader, sections and answers are those of of,
 * which must outlive it.
 */
void incoming_load_init_background(IncomingLoad *l, const IncomingLoad *of);
/** To the end of the stream, or of one of the connections that replace it after a cut. */
bool incoming_load_background(IncomingLoad *l, StreamReader *r, GError **errp);

#endif
