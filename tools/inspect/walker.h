/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the walk and what its parts share. stream.c walks through the
 * sections and calls head.c (what is before them) and description.c.
 */
#ifndef INSPECT_WALKER_H
#define INSPECT_WALKER_H

#include <json-c/json.h>
#include "model.h"
#include "ram.h"
#include "source.h"

typedef struct LiveSection {
    uint32_t id;
    char *idstr;
    bool ended;
} LiveSection;

typedef struct Walker {
    Model *m;
    Source *s;
    RamReader ram;
    GPtrArray *live;                /* LiveSection */
    int footers;                    /* -1: not known yet */
    struct json_object *json;       /* the description, once it was found */
    bool looked_for_json, postcopy;
    bool advised, listening;        /* postcopy's commands so far */
    bool partial;                   /* libvirt began to save and never said that it was done */
    uint64_t header_offset;         /* where the stream begins */
    size_t next_device;
    uint64_t package_end;           /* offset; 0: not in a package */
} Walker;

/** Records that the input stops (or cannot be read) in the middle of what. Always false. */
bool walker_ends_early(Walker *w, const char *what);
Section *walker_add_section(Walker *w, SectionKind kind, uint64_t offset);
/** Sets the length: the section ends where the reader stands. */
void walker_end_section(Walker *w, Section *sec);
/** A name fit for being shown; NULL when it is none. */
char *walker_name(const uint8_t *p, size_t len);
uint32_t walker_be32(const uint8_t *p);

#endif
