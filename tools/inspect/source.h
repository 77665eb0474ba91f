/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where ferry-inspect's bytes come from: a file, a pipe, memory; gzip is
 * unpacked on the way. Sequential, with a window to look ahead; skips by
 * seeking where that is possible.
 */
#ifndef INSPECT_SOURCE_H
#define INSPECT_SOURCE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Source Source;

/** path "-" is standard input. NULL with a message in *error (caller frees). */
Source *source_open(const char *path, char **error);
Source *source_open_memory(const void *data, size_t len);
void source_free(Source *s);

/** Shows progress on stderr when that is a terminal and the input is long. */
void source_set_progress(Source *s, const char *what);

/** At least n bytes (n up to SOURCE_WINDOW_MAX) at the current position, or NULL: fewer are left. */
#define SOURCE_WINDOW_MAX ((size_t)256 << 20)
const uint8_t *source_peek(Source *s, size_t n);
/** How many bytes can be looked at without reading more. */
size_t source_window(const Source *s);
/** Reads everything that is left into the window; false if that is more than SOURCE_WINDOW_MAX. */
bool source_slurp(Source *s);
/** Drops n bytes that were peeked. */
void source_take(Source *s, size_t n);
/** Reads n bytes; false when fewer are left (what was there is consumed). */
bool source_read(Source *s, void *buf, size_t n);
/** Goes n bytes ahead; false when fewer are left. */
bool source_skip(Source *s, uint64_t n);
/** Absolute position: of the file, or of the unpacked data. */
uint64_t source_offset(const Source *s);
/** errno of the first failed read, 0 if none; damaged gzip data: EILSEQ. */
int source_errno(const Source *s);
/** From here on the data is gzip. */
bool source_gunzip_from_here(Source *s);
/** How much of the file is not holes, in bytes; 0: that cannot be known (a pipe, memory, gzip). */
uint64_t source_stored_bytes(const Source *s);
/** Can source_at be used: is it a file that is not packed? */
bool source_has_places(const Source *s);
/** Reads n bytes at an absolute position, which changes nothing else. False: *error says why. */
bool source_at(const Source *s, void *buf, size_t n, uint64_t at, char **error);
/** Unpacked data has no holes to jump over; for messages. */
bool source_is_gzip(const Source *s);

#endif
