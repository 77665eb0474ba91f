/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffered writer and reader of a migration stream over a channel: integers
 * big-endian, counted strings, scatter-gather for guest pages, byte counts,
 * sticky first error. One thread at a time uses a stream.
 */
#ifndef MIGRATION_STREAM_H
#define MIGRATION_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Channel; /* migration/channel.h */
typedef struct StreamWriter StreamWriter;
typedef struct StreamReader StreamReader;

/** Where the pages of the ram section lie (migration-stream 3, 6). */
typedef enum RamLayout {
    RAM_LAYOUT_STREAM,      /* records among the section's bytes */
    RAM_LAYOUT_MAPPED,      /* mapped-ram: fixed places in a file; QEMU 9.0 and newer */
    RAM_LAYOUT_FIXED,       /* fixed-ram: the founding document's; one EOS, at the end of START */
} RamLayout;

/* ---- writer ---- */

/** Takes no ownership of the channel. */
StreamWriter *stream_writer_new(struct Channel *channel);
/** A writer into memory (device state blobs, tests); bytes with stream_writer_take. */
StreamWriter *stream_writer_new_memory(void);
void stream_writer_free(StreamWriter *w);       /* does not flush */

void stream_put_u8(StreamWriter *w, uint8_t v);
void stream_put_be16(StreamWriter *w, uint16_t v);
void stream_put_be32(StreamWriter *w, uint32_t v);
void stream_put_be64(StreamWriter *w, uint64_t v);
void stream_put_buffer(StreamWriter *w, const void *buf, size_t len);   /* copied */
void stream_put_cstr(StreamWriter *w, const char *s);                   /* u8 length + bytes */
/**
 * Queues len bytes without copying: they must stay readable until the next
 * stream_flush returned. The bytes sent are those at the time of the write.
 */
void stream_put_buffer_nocopy(StreamWriter *w, const void *buf, size_t len);

/** Writes out everything queued; false with the sticky error. May block. */
bool stream_flush(StreamWriter *w, GError **errp);
/** False (with the first error) once anything failed; puts are then no-ops. */
bool stream_writer_ok(const StreamWriter *w, GError **errp);
void stream_writer_set_error(StreamWriter *w, const GError *err);
/** Bytes put so far (sent or queued). */
uint64_t stream_writer_bytes(const StreamWriter *w);
/** Those that the channel has taken; where they went after that nobody here knows. */
uint64_t stream_writer_taken(const StreamWriter *w);
/** Bytes of a memory writer; NULL for a channel's. Caller owns. */
GByteArray *stream_writer_take(StreamWriter *w);

/* Seekable channels only (mapped-ram); errors name a non-seekable target. */
/** Flushes, then the position in the file (absolute). */
bool stream_writer_tell(StreamWriter *w, uint64_t *pos, GError **errp);
/** Flushes, then continues at absolute position pos. */
bool stream_writer_seek(StreamWriter *w, uint64_t pos, GError **errp);
struct Channel *stream_writer_channel(StreamWriter *w);

/* ---- reader ---- */

StreamReader *stream_reader_new(struct Channel *channel);
StreamReader *stream_reader_new_memory(const void *buf, size_t len);    /* buf must outlive it */
void stream_reader_free(StreamReader *r);
/**
 * fn(opaque, true) before this reader has to wait for the peer and fn(opaque,
 * false) when it need not any more, both on the reading thread: to let go of
 * a lock meanwhile. fn NULL: none. Readers of memory never wait.
 */
void stream_reader_set_wait_hook(StreamReader *r, void (*fn)(void *opaque, bool waiting),
                                 void *opaque);

/** All return 0 after an error or at end of stream, and set the sticky error. */
uint8_t stream_get_u8(StreamReader *r);
uint16_t stream_get_be16(StreamReader *r);
uint32_t stream_get_be32(StreamReader *r);
uint64_t stream_get_be64(StreamReader *r);
/** Reads exactly len bytes; on a short stream sets the error and returns false. Bulk reads go straight to buf. */
bool stream_get_buffer(StreamReader *r, void *buf, size_t len);
/** Counted string into out[256], NUL terminated; false on error. An embedded NUL is an error. */
bool stream_get_cstr(StreamReader *r, char out[256]);
bool stream_skip(StreamReader *r, uint64_t len);
/** Looks ahead without consuming: copies len bytes at distance offset (offset+len <= 32 KiB); false if not there (not an error). */
bool stream_peek(StreamReader *r, size_t offset, void *buf, size_t len);

bool stream_reader_ok(const StreamReader *r, GError **errp);
void stream_reader_set_error(StreamReader *r, const GError *err);
/** Bytes consumed so far: the offset that error messages name. */
uint64_t stream_reader_offset(const StreamReader *r);
bool stream_reader_tell(StreamReader *r, uint64_t *pos, GError **errp);     /* absolute file position */
bool stream_reader_seek(StreamReader *r, uint64_t pos, GError **errp);
struct Channel *stream_reader_channel(StreamReader *r);

#endif
