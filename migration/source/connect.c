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

/* Why it cannot be, new, for people; NULL: it can. */
static char *why_in_full(Outgoing *o)
{
    RamBaseline *b = o->m->baseline;
    char *why;

    if (o->addr->kind != CHANNEL_FILE || o->addr->offset || g_str_has_prefix(o->addr->path, "/dev/fdset/")) {
        return g_strdup("that needs a path, without an offset");
    }
    if (!b) {
        return g_strdup("this process has not saved this guest to a file yet, or restored it from one, with "
                        "x-incremental on");
    }
    ram_baseline_fits(b, o->addr->path, outgoing_has_cap(o, MIGRATION_CAP(X_RAM_CHECKSUM)), o->cancel_fd, &why);
    return why;
}

/* Saved again into the file that this guest is in already: only what is new. */
static void choose_incremental(Outgoing *o)
{
    if (!outgoing_has_cap(o, MIGRATION_CAP(X_INCREMENTAL))) {
        return;
    }
    char *why = why_in_full(o);
    g_mutex_lock(&o->lock);
    o->note = why;
    o->incremental = !why;
    g_mutex_unlock(&o->lock);
    if (o->incremental) {
        o->addr->file.again = true;
        o->addr->file.beside = o->addr->file.marked = false;
    }
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
    choose_incremental(o);
    return outgoing_check_cancelled(o, errp) && outgoing_open_channel(o, o->addr, errp) && outgoing_check_cancelled(o, errp) &&
           check_channel(o, o->channel, errp) && (!o->incremental || begin_again(o, errp));
}
