/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the three parts of the walk share: head.c (before the sections), description.c, stream.c (the sections). */
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
    size_t next_device;
    uint64_t package_end;           /* offset; 0: not in a package */
} Walker;

/* stream.c */

/** Records that the input stops (or cannot be read) in the middle of what. Always false. */
bool walker_ends_early(Walker *w, const char *what);
Section *walker_add_section(Walker *w, SectionKind kind, uint64_t offset);
/** Sets the length: the section ends where the reader stands. */
void walker_end_section(Walker *w, Section *sec);
/** A name fit for being shown; NULL when it is none. */
char *walker_name(const uint8_t *p, size_t len);
uint32_t walker_be32(const uint8_t *p);

/* head.c */

/** libvirt's header if there is one, the stream's header, the configuration block. */
bool walker_read_head(Walker *w);

/* description.c */

/**
 * Devices can only be read with the description, which comes after them: at
 * the first device everything left is brought into the window and searched
 * from its end. What is found is checked again when the walk gets there.
 */
void walker_look_for_description(Walker *w);
/** The description's entry for this section (they come in the same order); NULL if nothing is described. */
bool walker_described_device(Walker *w, const Section *sec, struct json_object **device);
/** The description where the walk has got to it. */
bool walker_read_description(Walker *w);

#endif
