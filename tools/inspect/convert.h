/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the command convert share: convert.c calls the others. */
#ifndef INSPECT_CONVERT_H
#define INSPECT_CONVERT_H

#include "commands.h"
#include "output.h"

#define CONVERT_RUN 256u        /* pages that are read and written together */

/* Of a block in an output whose pages have their place. */
typedef struct Place {
    uint64_t bitmap_at, sums_at, pages_at;      /* sums_at 0: none */
    uint8_t *bitmap;            /* as it will be in the file */
} Place;

typedef struct Convert Convert;

/* How one layout is written. All return false after a failure, with *error set. */
typedef struct ConvertTarget {
    /* The list of blocks; the head of the section is written. */
    bool (*begin)(Convert *c);
    /* Pages [first, first + n) of a block. A page may come again, if the target has its place. */
    bool (*pages)(Convert *c, unsigned block, uint64_t first, uint64_t n, const uint8_t *data);
    /* Pages that are zero and were not there before. */
    bool (*zeros)(Convert *c, unsigned block, uint64_t first, uint64_t n);
    /* All pages came: up to where the next section begins. */
    bool (*end)(Convert *c);
} ConvertTarget;

extern const ConvertTarget convert_to_stream, convert_to_places;

struct Convert {
    Model *m;
    Source *s;
    const ConvertOptions *o;
    const ConvertTarget *target;
    Output out;
    char *temporary;            /* its name until it is whole; NULL: there is none yet */
    uint64_t at;                /* where the next byte of what is written in a row goes */
    GByteArray *pending;        /* of that, not written yet; ends at `at` */
    Place *places;              /* for each block; NULL if the output has none */
    const Section *start;       /* of the section ram in the input */
    int last_block;             /* of the latest page record; -1: none */
    uint64_t done, todo;        /* pages, for the progress */
    int percent;                /* the last one shown; -1: none */
};

/* ---- convert-row.c: in a row ---- */

bool convert_put(Convert *c, const void *data, size_t len);
bool convert_put_be32(Convert *c, uint32_t v);
bool convert_put_be64(Convert *c, uint64_t v);
/** An entry of the list of blocks. */
bool convert_put_block(Convert *c, const RamBlock *b);
/** The word that ends a payload. */
bool convert_put_end_mark(Convert *c);
bool convert_put_footer(Convert *c);
/** Writes what is pending; then goes on at another place. */
bool convert_seek(Convert *c, uint64_t at);
RamBlock *convert_block(const Convert *c, unsigned index);

/* ---- convert-head.c ---- */

/** The configuration section (its bytes) with the capabilities of the layout. */
GByteArray *convert_configuration(const uint8_t *section, size_t len, FileLayout to);
/** The description's text with what it says of the configuration changed likewise, if it does. */
char *convert_description(const char *text, FileLayout to);

/* ---- convert-places.c ---- */

/** The page as it is in the output so far. */
bool convert_read_back(Convert *c, unsigned block, uint64_t page, uint8_t *into);
void convert_free_places(Convert *c);

#endif
