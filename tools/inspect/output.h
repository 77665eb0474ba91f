/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file that the command extract writes: positioned writes, the first failure as a sentence. */
#ifndef INSPECT_OUTPUT_H
#define INSPECT_OUTPUT_H

#include "model.h"

typedef struct Output {
    int fd;
    const char *path;
    char **error;       /* the first failure; the caller frees */
} Output;

/** All return false after a failure, with *error set. */
bool output_open(Output *o);
bool output_at(Output *o, const void *data, size_t len, uint64_t at);
/** A block as it lies in memory: pages that are not zero go to their place, the others stay holes. */
bool output_block(Output *o, const RamBlock *b, uint64_t at);
/** Closes; ok: whether all went well so far. */
bool output_close(Output *o, bool ok);
/** Sets *error from errno: "Could not WHAT 'PATH': ...". Always false. */
bool output_fail(Output *o, const char *what);

#endif
