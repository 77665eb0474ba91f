/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that arrives by postcopy in a tiny machine, one connection after the
 * other from memory, and the bytes of which such streams are made. Nobody runs
 * the guest; the threads that read and ask are the real ones.
 */
#ifndef TESTS_ARRIVING_H
#define TESTS_ARRIVING_H

#include "tiny-machine.h"
#include "migration/destination/postcopy.h"

typedef struct Arriving {
    TinyMachine *t;
    Incoming in;
    MigrationSettings *settings;
    GByteArray *said;   /* to the source, over the last connection */
} Arriving;

/** In a machine of its own, of blocks as tiny_machine_new makes them. */
Arriving *arriving_new(uint64_t ram_pages, uint64_t rom_pages);
void arriving_free(Arriving *a);
/** The first connection, to its end. False with errp: not as far as the guest's start. */
bool arriving_load(Arriving *a, const void *data, size_t len, GError **errp);
/** Behind it, or behind a later one: what the rest of the stream came to. BROKEN with errp. */
PageReadersState arriving_await(Arriving *a, GError **errp);
/** Another connection, after the guest's start; to be awaited. */
void arriving_recover(Arriving *a, const void *data, size_t len);

/* ---- bytes ---- */

void put_be(GByteArray *b, unsigned bytes, uint64_t value);
void put_cstr(GByteArray *b, const char *name);
/** Type byte, number, length and data of a command. data NULL: len zeros. */
void put_command(GByteArray *b, uint16_t number, const void *data, uint16_t len);
/** Head, return path, advice, the list of the blocks, which hold 4096 * pages[i] bytes. */
void put_setup(GByteArray *b, const char *const *blocks, const unsigned *pages);
/** A discard of len bytes at start of block. */
void put_discard(GByteArray *b, const char *block, uint64_t start, uint64_t len);
/** A package that listens and runs. */
void put_switch(GByteArray *b);
/** A section of RAM, PART or END, with one whole page full of fill (0: a zero record). */
void put_page(GByteArray *b, bool end, const char *block, uint64_t offset, uint8_t fill);

#endif
