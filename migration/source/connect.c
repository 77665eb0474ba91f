/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection of an outgoing migration: opens it, checks that it can do
 * what is needed, makes the writer. On the migration thread, at the start and
 * after each cut of a postcopy; what is said over it is not known here.
 */
#include "migration/source/connect.h"
#include "util/error.h"
#include "util/trace-migration.h"

static bool check_channel(Outgoing *o, Channel *c, GError **errp)
{
    if (outgoing_is_mapped(o) && !channel_is_seekable(c)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' is not",
                   channel_name(c));
        return false;
    }
    if (outgoing_is_answered(o) && !channel_has_return_path(c)) {
        error_setg(errp, "Unable to open return-path: nothing comes back from '%s'; use tcp: or "
                   "unix:, or switch return-path off", channel_name(c));
        return false;
    }
    return true;
}

bool outgoing_open_channel(Outgoing *o, ChannelAddress *addr, GError **errp)
{
    if (!outgoing_point(o, FAULT_SRC_CONNECT, errp)) {
        return false;
    }
    if (!o->channel) {
        o->channel = channel_connect(addr, o->cancel_fd, errp);
        if (!o->channel ||
            !channel_set_add(o->channels, CHANNEL_ROLE_MAIN, 0, o->channel, errp)) {
            return false;
        }
    }
    if (addr->keep_alive != CHANNEL_OFF) {
        channel_set_liveness(o->channel, &channel_liveness);
    }
    trace_migration_set_outgoing_channel(channel_type(o->channel), channel_name(o->channel));
    o->w = stream_writer_new(o->channel);
    g_mutex_lock(&o->lock);
    o->to_file = channel_is_seekable(o->channel);
    g_mutex_unlock(&o->lock);
    return true;
}

/* Into a file that holds this guest already: the stream goes where the file says nothing. */
static bool begin_again(Outgoing *o, GError **errp)
{
    uint64_t stream;

    return ram_baseline_begin(o->m->baseline, o->channel, &stream, &o->stream_end, errp) &&
           stream_writer_seek(o->w, stream, errp);
}

bool outgoing_connect(Outgoing *o, GError **errp)
{
    outgoing_assert(o, OUTGOING_SENDS, OWNER_SOURCE);
    return outgoing_open_channel(o, o->addr, errp) && outgoing_check_cancelled(o, errp) &&
           check_channel(o, o->channel, errp) && (!o->incremental || begin_again(o, errp));
}
