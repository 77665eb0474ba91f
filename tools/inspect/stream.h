/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walk through a whole stream. */
#ifndef INSPECT_STREAM_H
#define INSPECT_STREAM_H

#include "model.h"
#include "source.h"

/**
 * Reads everything the source has into the model: libvirt's header if there
 * is one, the stream, its description, what follows. True if nothing is
 * wrong; else m->problem says what, and the model has what came before.
 */
bool stream_read(Model *m, Source *s);

#endif
