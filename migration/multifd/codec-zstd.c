/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages through zstd: one frame for each channel, flushed at the end of each
 * packet and never ended (migration-stream 7.3).
 */
#include "migration/multifd/codec.h"

#include <string.h>
#include <zstd.h>
#include "softmmu/guest-ram.h"
#include "util/error.h"

typedef struct ZstdState {
    ZSTD_CStream *c;                    /* sending */
    ZSTD_DStream *d;                    /* receiving */
    uint8_t page[STREAM_PAGE_SIZE];     /* sending: a copy that stands still */
    uint8_t packed[MULTIFD_PAYLOAD_MAX];
} ZstdState;

static void zstd_free(void *state)
{
    ZstdState *s = state;

    if (s) {
        ZSTD_freeCStream(s->c);
        ZSTD_freeDStream(s->d);
        g_free(s);
    }
}

/* Takes s. */
static bool began(ZstdState *s, size_t code, void **state, GError **errp)
{
    if (ZSTD_isError(code)) {
        error_setg(errp, "multifd: zstd cannot begin: %s", ZSTD_getErrorName(code));
        zstd_free(s);
        return false;
    }
    *state = s;
    return true;
}

/* ---- sending ---- */

static bool zstd_send_new(void **state, int level, GError **errp)
{
    ZstdState *s = g_new0(ZstdState, 1);

    s->c = ZSTD_createCStream();
    return began(s, ZSTD_initCStream(s->c, level), state, errp);
}

static bool pack_page(ZstdState *s, const uint8_t *page, ZSTD_outBuffer *out, ZSTD_EndDirective op,
                      GError **errp)
{
    ZSTD_inBuffer in = { s->page, sizeof(s->page), 0 };
    size_t code;

    guest_ram_copy_from(s->page, page, sizeof(s->page));
    do {
        code = ZSTD_compressStream2(s->c, out, &in, op);
    } while (!ZSTD_isError(code) && out->pos < out->size &&
             (in.pos < in.size || (op == ZSTD_e_flush && code > 0)));
    if (ZSTD_isError(code) || out->pos == out->size) {
        error_setg(errp, "multifd: zstd cannot compress a page: %s",
                   ZSTD_isError(code) ? ZSTD_getErrorName(code) : "no room");
        return false;
    }
    return true;
}

static bool zstd_pack(void *state, const uint8_t *const *pages, unsigned n, MultifdPayload *out,
                      GError **errp)
{
    ZstdState *s = state;
    ZSTD_outBuffer packed = { s->packed, sizeof(s->packed), 0 };

    for (unsigned i = 0; i < n; i++) {
        if (!pack_page(s, pages[i], &packed, i + 1 == n ? ZSTD_e_flush : ZSTD_e_continue, errp)) {
            return false;
        }
    }
    out->bytes = packed.pos;
    out->count = 1;
    out->iov[0] = (struct iovec){ s->packed, out->bytes };
    return true;
}

/* ---- receiving ---- */

static bool zstd_recv_new(void **state, GError **errp)
{
    ZstdState *s = g_new0(ZstdState, 1);

    s->d = ZSTD_createDStream();
    return began(s, ZSTD_initDStream(s->d), state, errp);
}

static bool unpack_page(ZstdState *s, ZSTD_inBuffer *in, uint8_t *place, GError **errp)
{
    ZSTD_outBuffer out = { place, STREAM_PAGE_SIZE, 0 };
    size_t code = 0, before;

    do {
        before = in->pos + out.pos;
        code = ZSTD_decompressStream(s->d, &out, in);
    } while (!ZSTD_isError(code) && out.pos < out.size && in->pos + out.pos > before);
    if (ZSTD_isError(code) || out.pos < out.size) {
        error_setg(errp, "multifd: bytes that zstd cannot decompress: %s",
                   ZSTD_isError(code) ? ZSTD_getErrorName(code) : "too few");
        return false;
    }
    return true;
}

/* Behind the last page there may be the end of a block, but nothing that is content. */
static bool check_end(ZstdState *s, ZSTD_inBuffer *in, GError **errp)
{
    uint8_t more;
    ZSTD_outBuffer out = { &more, 1, 0 };
    size_t code = ZSTD_decompressStream(s->d, &out, in);

    if (ZSTD_isError(code) || out.pos > 0 || in->pos < in->size) {
        error_setg(errp, "multifd: a packet decompresses to more than its pages (zstd)");
        return false;
    }
    return true;
}

static bool zstd_unpack(void *state, StreamReader *r, uint32_t bytes, uint8_t *const *places,
                        unsigned n, GError **errp)
{
    ZstdState *s = state;
    ZSTD_inBuffer in = { s->packed, bytes, 0 };

    if (!stream_get_buffer(r, s->packed, bytes)) {
        return stream_reader_ok(r, errp);
    }
    for (unsigned i = 0; i < n; i++) {
        if (!unpack_page(s, &in, places[i], errp)) {
            return false;
        }
    }
    return check_end(s, &in, errp);
}

const MultifdCodec multifd_codec_zstd = {
    .name = "zstd",
    .flag = MULTIFD_FLAG_ZSTD,
    .send_new = zstd_send_new,
    .send_free = zstd_free,
    .pack = zstd_pack,
    .recv_new = zstd_recv_new,
    .recv_free = zstd_free,
    .unpack = zstd_unpack,
};
