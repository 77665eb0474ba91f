/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XBZRLE: the difference of two contents of a page (migration-stream 4.2). */
#ifndef INSPECT_DELTA_H
#define INSPECT_DELTA_H

#include "model.h"

/**
 * Applies the len bytes at p to the page, which is as it was before; page NULL: they are only looked
 * at. NULL if they are right, else what is wrong: then the page may be changed in part.
 */
const char *delta_apply(uint8_t *page, const uint8_t *p, size_t len);

#endif
