/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XXH3 with 64 bits, of libxxhash: finds accidents, not attackers. Without the library nothing may be
 * called but checksum_available.
 */
#ifndef UTIL_CHECKSUM_H
#define UTIL_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** This program was built with it. */
bool checksum_available(void);
/** Of len bytes. Any thread. */
uint64_t checksum_of(const void *data, size_t len);

/** One over several pieces: as of all of them one behind the other. One thread at a time. */
typedef struct Checksum Checksum;
Checksum *checksum_new(void);
void checksum_add(Checksum *c, const void *data, size_t len);
/** Of what was added so far. */
uint64_t checksum_get(const Checksum *c);
void checksum_free(Checksum *c);

#endif
