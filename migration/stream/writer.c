/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writing half of migration/stream.h: small values are gathered in a
 * buffer, guest pages are only pointed to, and everything queued goes out
 * with one writev. Used by the outgoing story and by vmstate; knows nothing
 * of what the bytes mean.
 *
 *   buffer  [hdr][hdr]      [hdr]
 *             \    \          \
 *   iov     { hdr page  hdr page  hdr ... }   adjacent pieces become one entry
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include "migration/channel.h"
#include "migration/stream.h"
#include "migration/stream/format.h"
#include "util/error.h"

#define WRITER_BUFFER_BYTES (64U << 10)
#define WRITER_IOV 1024             /* Linux' IOV_MAX */
#define WRITER_MEMORY_MAX (1U << 30)

struct StreamWriter {
    /* set once */
    Channel *channel;               /* NULL: memory */
    /* owner thread only */
    GByteArray *memory;
    uint8_t *buffer;
    size_t used;                    /* bytes of buffer that iov entries point to */
    struct iovec iov[WRITER_IOV];
    int iovcnt;
    uint64_t bytes;
    uint64_t taken;                 /* of them by the channel */
    GError *err;
};

static StreamWriter *writer_new(Channel *channel, GByteArray *memory)
{
    StreamWriter *w = g_new0(StreamWriter, 1);
    w->channel = channel;
    w->memory = memory;
    w->buffer = memory ? NULL : g_malloc(WRITER_BUFFER_BYTES);
    return w;
}

StreamWriter *stream_writer_new(struct Channel *channel)
{
    return writer_new(channel, NULL);
}

StreamWriter *stream_writer_new_memory(void)
{
    return writer_new(NULL, g_byte_array_new());
}

void stream_writer_free(StreamWriter *w)
{
    if (!w) {
        return;
    }
    if (w->memory) {
        g_byte_array_unref(w->memory);
    }
    g_clear_error(&w->err);
    g_free(w->buffer);
    g_free(w);
}

static void writer_memory_append(StreamWriter *w, const void *buf, size_t len)
{
    if (len > WRITER_MEMORY_MAX - w->memory->len) {
        error_setg(&w->err, "A device state of more than %u MiB is not supported",
                   WRITER_MEMORY_MAX >> 20);
        return;
    }
    g_byte_array_append(w->memory, buf, len);
    w->bytes += len;
}

/* Drops the first n bytes from the queue and returns the first entry left. */
static int iov_advance(struct iovec *iov, int first, int count, size_t n)
{
    while (first < count && n >= iov[first].iov_len) {
        n -= iov[first++].iov_len;
    }
    if (n > 0) {
        iov[first].iov_base = (char *)iov[first].iov_base + n;
        iov[first].iov_len -= n;
    }
    return first;
}

static void writer_drain(StreamWriter *w)
{
    int first = 0;

    while (first < w->iovcnt && !w->err) {
        ssize_t n = channel_writev(w->channel, w->iov + first, w->iovcnt - first, &w->err);
        if (n < 0) {
            break;
        }
        w->taken += n;
        first = iov_advance(w->iov, first, w->iovcnt, n);
    }
    w->iovcnt = 0;
    w->used = 0;
}

/* Queues one piece; the caller has made sure that it stays where it is. */
static void writer_queue(StreamWriter *w, const void *p, size_t len)
{
    struct iovec *last = w->iovcnt ? &w->iov[w->iovcnt - 1] : NULL;

    w->bytes += len;
    if (last && (const char *)last->iov_base + last->iov_len == (const char *)p) {
        last->iov_len += len;
        return;
    }
    w->iov[w->iovcnt++] = (struct iovec){ .iov_base = (void *)p, .iov_len = len };
}

void stream_put_buffer(StreamWriter *w, const void *buf, size_t len)
{
    if (w->memory && !w->err) {
        writer_memory_append(w, buf, len);
        return;
    }
    while (len > 0 && !w->err) {
        if (w->used == WRITER_BUFFER_BYTES || w->iovcnt == WRITER_IOV) {
            writer_drain(w);
            continue;
        }
        size_t n = MIN(len, WRITER_BUFFER_BYTES - w->used);
        memcpy(w->buffer + w->used, buf, n);
        writer_queue(w, w->buffer + w->used, n);
        w->used += n;
        buf = (const char *)buf + n;
        len -= n;
    }
}

void stream_put_buffer_nocopy(StreamWriter *w, const void *buf, size_t len)
{
    if (w->memory) {
        stream_put_buffer(w, buf, len);
        return;
    }
    if (w->iovcnt == WRITER_IOV && !w->err) {
        writer_drain(w);
    }
    if (len > 0 && !w->err) {
        writer_queue(w, buf, len);
    }
}

void stream_put_u8(StreamWriter *w, uint8_t v)
{
    stream_put_buffer(w, &v, sizeof(v));
}

void stream_put_be16(StreamWriter *w, uint16_t v)
{
    v = GUINT16_TO_BE(v);
    stream_put_buffer(w, &v, sizeof(v));
}

void stream_put_be32(StreamWriter *w, uint32_t v)
{
    v = GUINT32_TO_BE(v);
    stream_put_buffer(w, &v, sizeof(v));
}

void stream_put_be64(StreamWriter *w, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    stream_put_buffer(w, &v, sizeof(v));
}

void stream_put_cstr(StreamWriter *w, const char *s)
{
    size_t len = strlen(s);

    if (len > STREAM_CSTR_MAX) {
        error_setg(&w->err, "Name '%.40s...' of %zu bytes does not fit the stream (at most %d)", s,
                   len, STREAM_CSTR_MAX);
        return;
    }
    stream_put_u8(w, len);
    stream_put_buffer(w, s, len);
}

bool stream_flush(StreamWriter *w, GError **errp)
{
    if (!w->memory && !w->err) {
        writer_drain(w);
    }
    return stream_writer_ok(w, errp);
}

bool stream_writer_ok(const StreamWriter *w, GError **errp)
{
    if (!w->err) {
        return true;
    }
    if (errp && !*errp) {
        *errp = g_error_copy(w->err);
    }
    return false;
}

void stream_writer_set_error(StreamWriter *w, const GError *err)
{
    if (!w->err) {
        w->err = g_error_copy(err);
    }
}

uint64_t stream_writer_bytes(const StreamWriter *w)
{
    return w->bytes;
}

uint64_t stream_writer_taken(const StreamWriter *w)
{
    return w->taken;
}

GByteArray *stream_writer_take(StreamWriter *w)
{
    if (!w->memory) {
        return NULL;
    }
    GByteArray *taken = w->memory;
    w->memory = g_byte_array_new();
    return taken;
}

static bool writer_seekable(StreamWriter *w, GError **errp)
{
    if (w->memory || !channel_is_seekable(w->channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file), '%s' is not",
                   w->memory ? "memory" : channel_name(w->channel));
        return false;
    }
    return stream_flush(w, errp) && channel_settle(w->channel, errp);
}

bool stream_writer_tell(StreamWriter *w, uint64_t *pos, GError **errp)
{
    if (!writer_seekable(w, errp)) {
        return false;
    }
    off_t at = lseek(channel_fd(w->channel), 0, SEEK_CUR);
    if (at < 0) {
        error_setg_errno(errp, errno, "Unable to find the position in '%s'",
                         channel_name(w->channel));
        return false;
    }
    *pos = at;
    return true;
}

bool stream_writer_seek(StreamWriter *w, uint64_t pos, GError **errp)
{
    if (!writer_seekable(w, errp)) {
        return false;
    }
    if (pos > INT64_MAX || lseek(channel_fd(w->channel), pos, SEEK_SET) < 0) {
        error_setg_errno(errp, pos > INT64_MAX ? EOVERFLOW : errno,
                         "Unable to seek to 0x%" G_GINT64_MODIFIER "x in '%s'", pos,
                         channel_name(w->channel));
        return false;
    }
    return true;
}

struct Channel *stream_writer_channel(StreamWriter *w)
{
    return w->channel;
}
