/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A capture of one multifd channel. */
#ifndef INSPECT_MULTIFD_H
#define INSPECT_MULTIFD_H

#include "walker.h"

/** Whether what begins with these 8 bytes is one. */
bool multifd_looks_like(const uint8_t *p);
/** All of it. False with the problem in the model. */
bool multifd_read(Walker *w);

#endif
