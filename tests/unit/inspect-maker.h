/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams for test-inspect, written byte by byte: every byte has a class,
 * part of the structure or a value that can be anything.
 */
#ifndef TESTS_INSPECT_MAKER_H
#define TESTS_INSPECT_MAKER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { BLOCK_PAGES = 40, ROM_PAGES = 2 };   /* of the blocks "ram" and "rom" */

typedef struct Maker {
    GByteArray *bytes, *structure;      /* structure[i]: a change of byte i has to be found */
} Maker;

/** The JSON at the end of maker_stream. */
extern const char maker_description[];

/** Empty. */
Maker maker_new(void);
void maker_free(Maker *k);
/** len bytes. structure: a change of one of them has to be found. */
void maker_put(Maker *k, bool structure, const void *p, size_t len);
/** v in so many bytes, the most significant first. */
void maker_put_be(Maker *k, bool structure, uint64_t v, int bytes);
/** A length byte and the text. */
void maker_put_name(Maker *k, const char *s);
/** Magic, version and configuration. */
void maker_put_header(Maker *k);
/** The header of the ram section's START, PART or END; a footer; EOS and footer. */
void maker_put_start(Maker *k);
void maker_put_part(Maker *k, uint8_t type);
void maker_put_footer(Maker *k, uint32_t id);
void maker_put_eos(Maker *k, uint32_t id);
/** The sections that maker_description describes. */
void maker_put_devices(Maker *k);
/** A whole stream, right in every byte. */
Maker maker_stream(void);

#endif
