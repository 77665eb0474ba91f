/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reading half of migration/stream.h: a buffer in front of a channel (or
 * over memory), look-ahead for vmstate subsections, big reads straight to
 * where they belong. Used by the incoming story and by vmstate; knows nothing
 * of what the bytes mean. Nothing read from outside can make it abort.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "migration/channel.h"
#include "migration/load-error.h"
#include "migration/stream.h"
#include "migration/stream/format.h"
#include "util/error.h"

#define READER_BUFFER_BYTES (64U << 10)
#define READER_DIRECT_BYTES (16U << 10)     /* from here on a copy costs more than a system call */
#define READER_PEEK_MAX (32U << 10)

struct StreamReader {
    /* set once */
    Channel *channel;           /* NULL: memory */
    /* owner thread only */
    ChannelWaitHook hook;       /* fn NULL: none */
    uint8_t *own;               /* the buffer of a channel's reader */
    const uint8_t *data;        /* own, or the caller's memory */
    size_t pos, len;            /* data[pos..len) is not consumed yet */
    bool eof;
    uint64_t offset;
    GError *err;
};

StreamReader *stream_reader_new(struct Channel *channel)
{
    StreamReader *r = g_new0(StreamReader, 1);
    r->channel = channel;
    r->own = g_malloc(READER_BUFFER_BYTES);
    r->data = r->own;
    return r;
}

StreamReader *stream_reader_new_memory(const void *buf, size_t len)
{
    StreamReader *r = g_new0(StreamReader, 1);
    r->data = buf;
    r->len = len;
    r->eof = true;
    return r;
}

void stream_reader_free(StreamReader *r)
{
    if (r) {
        g_clear_error(&r->err);
        g_free(r->own);
        g_free(r);
    }
}

void stream_reader_set_wait_hook(StreamReader *r, void (*fn)(void *opaque, bool waiting),
                                 void *opaque)
{
    r->hook = (ChannelWaitHook){ fn, opaque };
}

static ssize_t reader_get(StreamReader *r, void *buf, size_t len)
{
    return channel_read_hooked(r->channel, buf, len, r->hook.fn ? &r->hook : NULL, &r->err);
}

/* Makes want bytes available at pos; false at end of stream or error. */
static bool reader_fill(StreamReader *r, size_t want)
{
    if (r->len - r->pos >= want) {
        return true;
    }
    if (!r->eof && r->pos > 0) {
        memmove(r->own, r->own + r->pos, r->len - r->pos);
        r->len -= r->pos;
        r->pos = 0;
    }
    while (r->len - r->pos < want && !r->eof && !r->err) {
        ssize_t n = reader_get(r, r->own + r->len, READER_BUFFER_BYTES - r->len);
        if (n > 0) {
            r->len += n;
        } else if (n == 0) {
            r->eof = true;
        }
    }
    return r->len - r->pos >= want;
}

static void reader_set_short(StreamReader *r, uint64_t want)
{
    g_autofree char *why = r->channel && !r->err ? channel_describe_end(r->channel) : NULL;

    if (r->channel && !channel_is_seekable(r->channel)) {
        /* Where is of no use to anybody: the peer is gone, and its messages say why. */
        error_set_domain(&r->err, LOAD_ERROR, LOAD_ERROR_PEER_ENDED,
                         "Unexpected end of migration stream%s%s", why ? ": " : "", why ? why : "");
        return;
    }
    error_setg(&r->err,
               "Unexpected end of migration stream at offset 0x%" G_GINT64_MODIFIER "x: "
               "%" G_GUINT64_FORMAT " more bytes expected%s%s", r->offset, want,
               why ? ": " : "", why ? why : "");
}

/* The buffered part of a read; returns how many bytes that were. */
static size_t reader_take(StreamReader *r, void *buf, size_t len)
{
    size_t n = MIN(len, r->len - r->pos);

    if (n > 0) {
        memcpy(buf, r->data + r->pos, n);
        r->pos += n;
        r->offset += n;
    }
    return n;
}

/* The rest of a big read, past the (now empty) buffer. */
static size_t reader_direct(StreamReader *r, uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len && !r->eof && !r->err) {
        ssize_t n = reader_get(r, buf + done, len - done);
        if (n > 0) {
            done += n;
            r->offset += n;
        } else if (n == 0) {
            r->eof = true;
        }
    }
    return done;
}

bool stream_get_buffer(StreamReader *r, void *buf, size_t len)
{
    uint8_t *p = buf;
    size_t left = len;

    if (r->err) {
        return false;
    }
    for (;;) {
        size_t n = reader_take(r, p, left);
        p += n;
        left -= n;
        if (left == 0) {
            return true;
        }
        if (left >= READER_DIRECT_BYTES && !r->eof) {
            n = reader_direct(r, p, left);
            p += n;
            left -= n;
            if (left == 0) {
                return true;
            }
        }
        if (!reader_fill(r, 1)) {
            reader_set_short(r, left);
            return false;
        }
    }
}

uint8_t stream_get_u8(StreamReader *r)
{
    uint8_t v;
    return stream_get_buffer(r, &v, sizeof(v)) ? v : 0;
}

uint16_t stream_get_be16(StreamReader *r)
{
    uint16_t v;
    return stream_get_buffer(r, &v, sizeof(v)) ? GUINT16_FROM_BE(v) : 0;
}

uint32_t stream_get_be32(StreamReader *r)
{
    uint32_t v;
    return stream_get_buffer(r, &v, sizeof(v)) ? GUINT32_FROM_BE(v) : 0;
}

uint64_t stream_get_be64(StreamReader *r)
{
    uint64_t v;
    return stream_get_buffer(r, &v, sizeof(v)) ? GUINT64_FROM_BE(v) : 0;
}

bool stream_get_cstr(StreamReader *r, char out[256])
{
    uint8_t len = stream_get_u8(r);

    out[0] = '\0';
    if (r->err || !stream_get_buffer(r, out, len)) {
        out[0] = '\0';
        return false;
    }
    out[len] = '\0';
    if (memchr(out, '\0', len)) {
        error_setg(&r->err, "Name at offset 0x%" G_GINT64_MODIFIER "x contains a NUL byte",
                   r->offset - len);
        return false;
    }
    return true;
}

bool stream_skip(StreamReader *r, uint64_t len)
{
    while (len > 0 && !r->err) {
        if (!reader_fill(r, 1)) {
            reader_set_short(r, len);
            return false;
        }
        size_t n = MIN(len, r->len - r->pos);
        r->pos += n;
        r->offset += n;
        len -= n;
    }
    return !r->err;
}

bool stream_peek(StreamReader *r, size_t offset, void *buf, size_t len)
{
    if (r->err || offset > READER_PEEK_MAX || len > READER_PEEK_MAX - offset ||
        !reader_fill(r, offset + len)) {
        return false;
    }
    memcpy(buf, r->data + r->pos + offset, len);
    return true;
}

bool stream_reader_ok(const StreamReader *r, GError **errp)
{
    if (!r->err) {
        return true;
    }
    if (errp && !*errp) {
        *errp = g_error_copy(r->err);
    }
    return false;
}

void stream_reader_set_error(StreamReader *r, const GError *err)
{
    if (!r->err) {
        r->err = g_error_copy(err);
    }
}

uint64_t stream_reader_offset(const StreamReader *r)
{
    return r->offset;
}

static bool reader_seekable(StreamReader *r, GError **errp)
{
    if (!r->channel || !channel_is_seekable(r->channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file), '%s' is not",
                   r->channel ? channel_name(r->channel) : "memory");
        return false;
    }
    return stream_reader_ok(r, errp);
}

bool stream_reader_tell(StreamReader *r, uint64_t *pos, GError **errp)
{
    if (!reader_seekable(r, errp)) {
        return false;
    }
    off_t at = lseek(channel_fd(r->channel), 0, SEEK_CUR);
    if (at < 0) {
        error_setg_errno(errp, errno, "Unable to find the position in '%s'",
                         channel_name(r->channel));
        return false;
    }
    *pos = at - (r->len - r->pos);
    return true;
}

bool stream_reader_seek(StreamReader *r, uint64_t pos, GError **errp)
{
    uint64_t before;

    if (!stream_reader_tell(r, &before, errp)) {
        return false;
    }
    if (pos > INT64_MAX || lseek(channel_fd(r->channel), pos, SEEK_SET) < 0) {
        error_setg_errno(errp, pos > INT64_MAX ? EOVERFLOW : errno,
                         "Unable to seek to 0x%" G_GINT64_MODIFIER "x in '%s'", pos,
                         channel_name(r->channel));
        return false;
    }
    r->offset += pos - before;  /* so that messages go on to name positions in the file */
    r->pos = r->len = 0;
    r->eof = false;
    return true;
}

struct Channel *stream_reader_channel(StreamReader *r)
{
    return r->channel;
}
