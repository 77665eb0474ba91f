/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP's JSON as bytes: an incremental reader that answers malformed text with
 * QEMU's words and goes on, and a writer that prints as QEMU prints. The
 * values in between are json-c's. Private to monitor/ and its tests.
 */
#ifndef MONITOR_JSON_TEXT_H
#define MONITOR_JSON_TEXT_H

#include <glib.h>
#include <stdbool.h>

struct json_object;

#define JSON_DEPTH_MAX 1024
#define JSON_TOKENS_MAX (2u << 20)
#define JSON_BYTES_MAX (64u << 20)

typedef struct JsonReader JsonReader;

/**
 * One message is complete (value may be NULL: the JSON null) or the text is
 * broken (err set: message "JSON parse error, ..."). The value is given away:
 * json-c counts its users without a lock, so a reader that let go of it later
 * would do so beside the thread it was handed to. The error is not.
 */
typedef void JsonEmit(void *opaque, struct json_object *value, const GError *err);

JsonReader *json_reader_new(JsonEmit *emit, void *opaque);
void json_reader_free(JsonReader *r);
/** Takes the next bytes; calls emit for everything that they complete. */
void json_reader_feed(JsonReader *r, const void *buf, size_t len);
/** Forgets a half message (the peer went away). */
void json_reader_reset(JsonReader *r);

/** Appends value as text; pretty: one member per line, four spaces a level. */
void json_write(GString *out, struct json_object *value, bool pretty);

#endif
