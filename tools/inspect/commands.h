/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ferry-inspect does with a model once it was read. Results go to a string or a file, nothing is printed here. */
#ifndef INSPECT_COMMANDS_H
#define INSPECT_COMMANDS_H

#include "model.h"
#include "source.h"

/** The whole stream as text. name: of the file, for the first line. */
char *show_text(const Model *m, const char *name);
char *show_json(const Model *m, const char *name);
/** One line: what was checked. */
char *verify_text(const Model *m, const char *name);
char *verify_json(const Model *m, const char *name);
/** "offset 0x12: ..." of m->problem; NULL if there is none. */
char *problem_text(const Model *m);

/** Differences of a and b; *count gets how many there are. */
char *diff_text(const Model *a, const Model *b, unsigned *count);
char *diff_json(const Model *a, const Model *b, unsigned *count);

/** Writes block as it lies in memory, holes for zero pages. False with *error. */
bool extract_ram(const Model *m, const char *block, const char *path, char **error);
/** ELF core: harts' registers and all RAM with a known address. */
bool extract_elf(const Model *m, const char *path, char **error);
/** Hex dump of the page at ADDR ("0x80001000", "BLOCK+0x1000"). NULL with *error. */
char *extract_page(const Model *m, const char *addr, char **error);

typedef struct ConvertOptions {
    const char *out;
    FileLayout to;
    bool checksum, quiet;
} ConvertOptions;

/**
 * Reads s into m, a new model without RAM, and writes the same guest in another layout. False: with
 * *error (what could not be done; the caller frees), or with a problem of the input in the model. What
 * is at the place of the output is then what it was.
 */
bool convert_file(Model *m, Source *s, const ConvertOptions *o, char **error);

#endif
