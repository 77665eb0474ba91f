/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The saver of guest memory, shared by ram/save (the passes) and ram/save-postcopy. */
#ifndef MIGRATION_RAM_SAVE_PRIVATE_H
#define MIGRATION_RAM_SAVE_PRIVATE_H

#include "migration/ram/cost.h"
#include "migration/ram/counters.h"
#include "migration/ram/encoder.h"
#include "migration/ram/page-out.h"
#include "migration/ram/picker.h"

struct RamSaver {
    /* set once */
    RAMList *ram;
    RamSaveOptions opt;
    /* migration thread only */
    RamPicker *picker;
    RamEncoder *encoder;
    RamCost cost;
    RamPageOut *out;                /* from setup on; before, if ram_saver_set_out was called */
    RamPageOut *urgent_out;         /* on a channel of its own, urgent; NULL: there is none */
    StreamWriter *urgent;
    uint64_t urgent_bytes;          /* of pages that were asked for, wherever they went */
    bool last_stage;
    bool postcopy;                  /* since the switch */
    uint64_t settled_in_pass;
    GArray *sent;                   /* RamRequest: what went since ram_save_release; NULL: it was not called */
    /* any thread, atomically */
    PageCache *wanted_cache;        /* handed in by ram_saver_set_cache_size */
    RamCounters counters;
    bool takes_requests;            /* set once, at the switch */
    /* after a cut: return path thread, then the migration thread */
    uint64_t **received;            /* by block; NULL: not there */
    size_t receiving;               /* block of the last room */
};

/** What is left of a recovery. */
void ram_saver_free_received(RamSaver *s);

#endif
