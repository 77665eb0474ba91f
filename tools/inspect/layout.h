/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of device state to named fields: by a stream's description, or by our own tables. */
#ifndef INSPECT_LAYOUT_H
#define INSPECT_LAYOUT_H

#include <json-c/json.h>
#include "model.h"
#include "source.h"

/**
 * Reads the body of a FULL section and consumes it. device: its entry of the
 * description, NULL to use our tables. Fields go to *fields (Node, may be
 * filled in part when it fails); false with the model's problem set.
 */
bool layout_read_body(Model *m, Source *s, struct json_object *device, const Section *section,
                      GPtrArray *fields);

#endif
