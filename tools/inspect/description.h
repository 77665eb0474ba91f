/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON description behind the sections. */
#ifndef INSPECT_DESCRIPTION_H
#define INSPECT_DESCRIPTION_H

#include "walker.h"

/**
 * Devices can only be read with the description, which comes after them: at
 * the first device everything left is brought into the window and searched
 * from its end. What is found is checked again when the walk gets there.
 */
void description_look_ahead(Walker *w);
/** The description's entry for this section (they come in the same order); NULL if nothing is described. */
bool description_of_device(Walker *w, const Section *sec, struct json_object **device);
/** The description where the walk has got to it. */
bool description_read(Walker *w);

#endif
