/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: what a destination says, read by the source's side of the
 * return path; the first byte says whether a postcopy listens. Whatever comes,
 * the talk ends with a state and, unless it was a yes, a reason; a page
 * request has a block, a bitmap gets no more room than it is allowed.
 */
#include <stdlib.h>
#include "../unit/fake-channel.h"
#include "migration/stream/return-path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static bool on_page_request(void *opaque, const char *block, uint64_t start, uint32_t len,
                            GError **errp)
{
    check(*block && strlen(block) < 256);
    return true;
}

static void *on_bitmap_room(void *opaque, const char *block, uint64_t bytes, GError **errp)
{
    static uint8_t room[64];

    if (bytes > sizeof(room)) {
        error_setg(errp, "too long");
        return NULL;
    }
    return room;
}

static bool on_bitmap_done(void *opaque, const char *block, GError **errp)
{
    return true;
}

static bool on_resume_ack(void *opaque, uint32_t value, GError **errp)
{
    return value == 1;      /* without a reason: must not matter */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ReturnPathOps ops = {
        .page_request = on_page_request,
        .bitmap_room = on_bitmap_room,
        .bitmap_done = on_bitmap_done,
        .resume_ack = on_resume_ack,
    };
    g_autoptr(GError) err = NULL;

    if (size == 0) {
        return 0;
    }
    FakeChannel *f = fake_channel_new(data + 1, size - 1, 1 + (data[0] >> 1));
    ReturnPath *rp = return_path_new(&f->base, data[0] & 1 ? &ops : NULL, NULL);
    ReturnPathState state = return_path_wait(rp, -1);
    check(state != RETURN_PATH_OPEN);
    return_path_error(rp, &err);
    check(state == RETURN_PATH_ACCEPTED ? !err : state != RETURN_PATH_REFUSED || err != NULL);
    return_path_free(rp);
    channel_close(&f->base, NULL);
    return 0;
}
