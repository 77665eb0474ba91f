/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff --ram: one block against its bare contents, such as pmemsave and extract --ram write them. */
#ifndef INSPECT_RAW_H
#define INSPECT_RAW_H

#include "model.h"

/** Is this a file, not "-", that begins like nothing that show can read? */
bool raw_is_bare(const char *path);
/** A model that has nothing but this block. NULL with *error. */
Model *raw_read(const char *path, const char *block, char **error);
/** Leaves only this block in the model, and no sections; false if it has none of that name. */
bool raw_keep_block(Model *m, const char *block);

#endif
