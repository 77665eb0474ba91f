/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages through zlib: one deflate stream for each channel, flushed at the end
 * of each packet and never ended (migration-stream 7.3).
 */
#include "migration/multifd/codec.h"

#include <string.h>
#include <zlib.h>
#include "softmmu/guest-ram.h"
#include "util/error.h"

typedef struct ZlibState {
    z_stream z;
    uint8_t page[STREAM_PAGE_SIZE];     /* sending: a copy that stands still */
    uint8_t packed[MULTIFD_PAYLOAD_MAX];
} ZlibState;

static const char *why(const ZlibState *s, int code)
{
    return s->z.msg ? s->z.msg : zError(code);
}

/* ---- sending ---- */

static bool zlib_send_new(void **state, int level, GError **errp)
{
    ZlibState *s = g_new0(ZlibState, 1);
    int code = deflateInit(&s->z, level);

    if (code != Z_OK) {
        error_setg(errp, "multifd: zlib cannot begin: %s", why(s, code));
        g_free(s);
        return false;
    }
    *state = s;
    return true;
}

static void zlib_send_free(void *state)
{
    ZlibState *s = state;

    if (s) {
        deflateEnd(&s->z);
        g_free(s);
    }
}

static bool pack_page(ZlibState *s, const uint8_t *page, int flush, GError **errp)
{
    guest_ram_copy_from(s->page, page, sizeof(s->page));
    s->z.next_in = s->page;
    s->z.avail_in = sizeof(s->page);
    int code = deflate(&s->z, flush);
    if (code != Z_OK || s->z.avail_in > 0 || s->z.avail_out == 0) {
        error_setg(errp, "multifd: zlib cannot compress a page: %s", why(s, code));
        return false;
    }
    return true;
}

static bool zlib_pack(void *state, const uint8_t *const *pages, unsigned n, MultifdPayload *out,
                      GError **errp)
{
    ZlibState *s = state;

    s->z.next_out = s->packed;
    s->z.avail_out = sizeof(s->packed);
    for (unsigned i = 0; i < n; i++) {
        if (!pack_page(s, pages[i], i + 1 == n ? Z_SYNC_FLUSH : Z_NO_FLUSH, errp)) {
            return false;
        }
    }
    out->bytes = sizeof(s->packed) - s->z.avail_out;
    out->count = 1;
    out->iov[0] = (struct iovec){ s->packed, out->bytes };
    return true;
}

/* ---- receiving ---- */

static bool zlib_recv_new(void **state, GError **errp)
{
    ZlibState *s = g_new0(ZlibState, 1);
    int code = inflateInit(&s->z);

    if (code != Z_OK) {
        error_setg(errp, "multifd: zlib cannot begin: %s", why(s, code));
        g_free(s);
        return false;
    }
    *state = s;
    return true;
}

static void zlib_recv_free(void *state)
{
    ZlibState *s = state;

    if (s) {
        inflateEnd(&s->z);
        g_free(s);
    }
}

/* The last page takes the flush's end mark along. */
static bool unpack_page(ZlibState *s, uint8_t *place, bool last, GError **errp)
{
    s->z.next_out = place;
    s->z.avail_out = STREAM_PAGE_SIZE;
    int code = Z_OK;
    while (code == Z_OK && s->z.avail_out > 0) {
        code = inflate(&s->z, Z_NO_FLUSH);
    }
    if (s->z.avail_out > 0) {
        error_setg(errp, "multifd: bytes that zlib cannot decompress: %s", why(s, code));
        return false;
    }
    uint8_t more;
    s->z.next_out = &more;
    s->z.avail_out = last ? 1 : 0;
    code = last ? inflate(&s->z, Z_SYNC_FLUSH) : Z_OK;
    if (last && (s->z.avail_out == 0 || s->z.avail_in > 0 ||
                 (code != Z_OK && code != Z_BUF_ERROR))) {
        error_setg(errp, "multifd: a packet decompresses to more than its pages (zlib)");
        return false;
    }
    return true;
}

static bool zlib_unpack(void *state, StreamReader *r, uint32_t bytes, uint8_t *const *places,
                        unsigned n, GError **errp)
{
    ZlibState *s = state;

    if (!stream_get_buffer(r, s->packed, bytes)) {
        return stream_reader_ok(r, errp);
    }
    s->z.next_in = s->packed;
    s->z.avail_in = bytes;
    for (unsigned i = 0; i < n; i++) {
        if (!unpack_page(s, places[i], i + 1 == n, errp)) {
            return false;
        }
    }
    return true;
}

const MultifdCodec multifd_codec_zlib = {
    .name = "zlib",
    .flag = MULTIFD_FLAG_ZLIB,
    .send_new = zlib_send_new,
    .send_free = zlib_send_free,
    .pack = zlib_pack,
    .recv_new = zlib_recv_new,
    .recv_free = zlib_recv_free,
    .unpack = zlib_unpack,
};
