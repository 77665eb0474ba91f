/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The payloads of the section "ram": records of pages, and files in which pages have their place. */
#ifndef INSPECT_RAM_H
#define INSPECT_RAM_H

#include "model.h"
#include "source.h"

typedef struct RamReader {
    Model *model;
    Source *source;
    RamBlock *last;             /* of the latest page record: "continue" refers to it */
    const char *section;        /* for messages: "start", "part", "end" */
    GArray *counts;             /* SectionRam of the section being read */
} RamReader;

/** Reads one payload up to and including its end mark; false with the model's problem set. */
bool ram_read_payload(RamReader *r, bool is_start);
/** A block without contents yet; NULL when there is no memory for it. */
RamBlock *ram_add_block(Model *m, const char *name, uint64_t length);
/** Where in a mapped file the page lies. */
uint64_t ram_page_at(const RamBlock *b, uint64_t page);
/** Pages [first, first + count) are void: the destination asks for them again (postcopy). */
void ram_discard(RamBlock *b, uint64_t start, uint64_t length);

#endif
