/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel for unit tests: reads from a byte string in pieces of at most
 * piece bytes, writes into a GByteArray in pieces of at most piece bytes, and
 * fails after fail_after bytes. Counts system-call-like operations.
 */
#ifndef TESTS_FAKE_CHANNEL_H
#define TESTS_FAKE_CHANNEL_H

#include <string.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

typedef struct FakeChannel {
    Channel base;
    const uint8_t *in;
    size_t in_len, in_pos;
    GByteArray *out;
    size_t piece;
    size_t fail_after;      /* bytes; SIZE_MAX: never */
    unsigned calls;
    int max_iovcnt;
} FakeChannel;

static ssize_t fake_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    FakeChannel *f = (FakeChannel *)c;
    size_t fail_after = __atomic_load_n(&f->fail_after, __ATOMIC_RELAXED);
    size_t room = MIN(f->piece, fail_after - MIN(fail_after, f->out->len)), done = 0;

    __atomic_fetch_add(&f->calls, 1, __ATOMIC_RELAXED);     /* one thread may read, one write */
    f->max_iovcnt = MAX(f->max_iovcnt, iovcnt);
    if (room == 0) {
        error_setg(errp, "Unable to write to socket: Broken pipe");
        return -1;
    }
    for (int i = 0; i < iovcnt && done < room; i++) {
        size_t n = MIN(iov[i].iov_len, room - done);
        g_byte_array_append(f->out, iov[i].iov_base, n);
        done += n;
    }
    return done;
}

/* Always has to wait, for as long as nothing. */
static ssize_t fake_read(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                         GError **errp)
{
    FakeChannel *f = (FakeChannel *)c;
    size_t n = MIN(MIN(len, f->piece), f->in_len - f->in_pos);

    if (hook) {
        hook->fn(hook->opaque, true);
        hook->fn(hook->opaque, false);
    }
    __atomic_fetch_add(&f->calls, 1, __ATOMIC_RELAXED);
    if (f->in_pos >= __atomic_load_n(&f->fail_after, __ATOMIC_RELAXED)) {
        error_setg(errp, "Unable to read from socket: Connection reset by peer");
        return -1;
    }
    memcpy(buf, f->in + f->in_pos, n);
    f->in_pos += n;
    return n;
}

static ssize_t fake_pwrite(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp)
{
    g_assert_not_reached();
}

static bool fake_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp)
{
    g_assert_not_reached();
}

static bool fake_settle(Channel *c, GError **errp)
{
    return true;
}

static bool fake_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp)
{
    return true;
}

static void fake_shutdown(Channel *c)
{
    __atomic_store_n(&((FakeChannel *)c)->fail_after, 0, __ATOMIC_RELAXED);
}

static ChannelEnd fake_complete(Channel *c, int ms, GError **errp)
{
    return CHANNEL_END_TAKEN;
}

static char *fake_describe_end(Channel *c)
{
    return NULL;
}

static bool fake_close(Channel *c, GError **errp)
{
    g_byte_array_unref(((FakeChannel *)c)->out);
    g_free(c);
    return true;
}

static inline FakeChannel *fake_channel_new(const void *in, size_t len, size_t piece)
{
    static const ChannelOps ops = { "fake", fake_writev, fake_pwrite, fake_punch, fake_settle,
                                    fake_room, fake_read, fake_complete, fake_describe_end, fake_shutdown,
                                    fake_close };
    FakeChannel *f = g_new0(FakeChannel, 1);

    f->base.ops = &ops;
    f->base.name = (char *)"fake";
    f->base.rfd = f->base.wfd = f->base.wake_fd = -1;
    f->in = in;
    f->in_len = len;
    f->out = g_byte_array_new();
    f->piece = piece;
    f->fail_after = SIZE_MAX;
    return f;
}

#endif
