/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the engine's two halves (vmstate-save.c, vmstate-load.c) agree on. */
#ifndef MIGRATION_VMSTATE_PRIVATE_H
#define MIGRATION_VMSTATE_PRIVATE_H

#include "migration/vmstate.h"

/** Is the field on the wire in this version of the body (migration-stream 2.1)? */
bool vmstate_field_exists(const VMStateField *f, void *opaque, int version_id);
/** Elements the field has now; false with errp when a counted array claims more than its capacity. */
bool vmstate_field_elements(const VMStateField *f, void *opaque, uint32_t *n, GError **errp);
/** First element in memory. */
void *vmstate_field_base(const VMStateField *f, void *opaque);

#endif
