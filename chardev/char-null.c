/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Back ends without a far end: null, vc (there is no display), and the ring buffer. */
#include <string.h>
#include "chardev/char-private.h"
#include "util/error.h"

/* ---- null and vc ---- */

static bool null_open(Chardev *chr, Opts *opts, GError **errp)
{
    chardev_set_connected(chr, true);
    return true;
}

static bool vc_open(Chardev *chr, Opts *opts, GError **errp)
{
    static const char *const ignored[] = { "width", "height", "cols", "rows" };

    for (size_t i = 0; i < G_N_ELEMENTS(ignored); i++) {
        opts_get(opts, ignored[i]);
    }
    return null_open(chr, opts, errp);
}

static void null_close(Chardev *chr)
{
}

static size_t null_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return len;
}

const ChardevOps chardev_null_ops = {
    "null", null_open, null_close, null_write, chardev_no_input, chardev_plain_filename,
    NULL, chardev_no_fd, chardev_no_terminal, chardev_no_tty, &chardev_one_front,
};

const ChardevOps chardev_vc_ops = {
    "vc", vc_open, null_close, null_write, chardev_no_input, chardev_plain_filename,
    NULL, chardev_no_fd, chardev_no_terminal, chardev_no_tty, &chardev_one_front,
};

/* ---- ringbuf ---- */

#define RINGBUF_DEFAULT_BYTES 65536
#define RINGBUF_MAX_BYTES (1u << 30)

typedef struct RingBuf {
    uint8_t *data;
    size_t size;            /* power of two */
    uint64_t produced, consumed;
} RingBuf;

static bool ringbuf_open(Chardev *chr, Opts *opts, GError **errp)
{
    uint64_t size = RINGBUF_DEFAULT_BYTES;

    if (!opts_get_size(opts, "size", &size, errp)) {
        return false;
    }
    if (size == 0 || (size & (size - 1))) {
        error_setg(errp, "size of ringbuf chardev must be power of two");
        return false;
    }
    uint8_t *data = size <= RINGBUF_MAX_BYTES ? g_try_malloc0(size) : NULL;
    if (!data) {
        error_setg(errp, "ringbuf chardev: size=%" G_GUINT64_FORMAT " KiB are %s", size >> 10,
                   size > RINGBUF_MAX_BYTES ? "too many" : "more memory than there is");
        return false;
    }
    RingBuf *ring = g_new0(RingBuf, 1);
    ring->data = data;
    ring->size = size;
    chr->priv = ring;
    chardev_set_connected(chr, true);
    return true;
}

static void ringbuf_close(Chardev *chr)
{
    RingBuf *ring = chr->priv;

    if (ring) {
        g_free(ring->data);
        g_free(ring);
    }
}

static size_t ringbuf_store(Chardev *chr, const uint8_t *buf, size_t len)
{
    RingBuf *ring = chr->priv;

    for (size_t i = 0; i < len; i++) {
        ring->data[ring->produced++ & (ring->size - 1)] = buf[i];
    }
    if (ring->produced - ring->consumed > ring->size) { /* the oldest are lost */
        ring->consumed = ring->produced - ring->size;
    }
    return len;
}

const ChardevOps chardev_ringbuf_ops = {
    "ringbuf", ringbuf_open, ringbuf_close, ringbuf_store, chardev_no_input,
    chardev_plain_filename,
    NULL, chardev_no_fd, chardev_no_terminal, chardev_no_tty, &chardev_one_front,
};

const ChardevOps chardev_memory_ops = { /* its old name */
    "memory", ringbuf_open, ringbuf_close, ringbuf_store, chardev_no_input, chardev_plain_filename,
    NULL, chardev_no_fd, chardev_no_terminal, chardev_no_tty, &chardev_one_front,
};

static RingBuf *ringbuf_of(Chardev *chr, GError **errp)
{
    if (chr->ops != &chardev_ringbuf_ops && chr->ops != &chardev_memory_ops) {
        error_setg(errp, "%s is not a ringbuf device", chr->id);
        return NULL;
    }
    return chr->priv;
}

uint8_t *chardev_ringbuf_read(Chardev *chr, size_t size, size_t *len, GError **errp)
{
    RingBuf *ring = ringbuf_of(chr, errp);

    if (!ring) {
        return NULL;
    }
    *len = MIN(size, ring->produced - ring->consumed);
    uint8_t *out = g_try_malloc(*len + 1);
    if (!out) {
        error_setg(errp, "not enough memory for %zu KiB of %s; read less at a time", *len >> 10,
                   chr->id);
        return NULL;
    }
    for (size_t i = 0; i < *len; i++) {
        out[i] = ring->data[ring->consumed++ & (ring->size - 1)];
    }
    out[*len] = 0;
    return out;
}

bool chardev_ringbuf_write(Chardev *chr, const void *buf, size_t len, GError **errp)
{
    if (!ringbuf_of(chr, errp)) {
        return false;
    }
    ringbuf_store(chr, buf, len);
    return true;
}
