/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pages as they are: from guest memory to guest memory, neighbours in one piece. */
#include "migration/multifd/codec.h"

#include "util/error.h"

static bool none_new_send(void **state, int level, GError **errp)
{
    *state = NULL;
    return true;
}

static bool none_new_recv(void **state, GError **errp)
{
    *state = NULL;
    return true;
}

static void none_free(void *state)
{
}

static bool none_pack(void *state, const uint8_t *const *pages, unsigned n, MultifdPayload *out,
                      GError **errp)
{
    out->count = 0;
    out->bytes = n * STREAM_PAGE_SIZE;
    for (unsigned i = 0; i < n; i++) {
        struct iovec *last = out->count ? &out->iov[out->count - 1] : NULL;

        if (last && (const uint8_t *)last->iov_base + last->iov_len == pages[i]) {
            last->iov_len += STREAM_PAGE_SIZE;
        } else {
            out->iov[out->count++] = (struct iovec){ (void *)pages[i], STREAM_PAGE_SIZE };
        }
    }
    return true;
}

static bool none_unpack(void *state, StreamReader *r, uint32_t bytes, uint8_t *const *places,
                        unsigned n, GError **errp)
{
    if (bytes != n * STREAM_PAGE_SIZE) {
        error_setg(errp, "multifd: %u bytes for %u pages that are not compressed", bytes, n);
        return false;
    }
    for (unsigned i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && places[i + run] == places[i] + run * STREAM_PAGE_SIZE; run++) {
            /* neighbours */
        }
        if (!stream_get_buffer(r, places[i], run * STREAM_PAGE_SIZE)) {
            return stream_reader_ok(r, errp);
        }
    }
    return true;
}

const MultifdCodec multifd_codec_none = {
    .name = "none",
    .flag = 0,
    .send_new = none_new_send,
    .send_free = none_free,
    .pack = none_pack,
    .recv_new = none_new_recv,
    .recv_free = none_free,
    .unpack = none_unpack,
};
