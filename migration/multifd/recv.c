/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's connections when there are parallel channels. Called by
 * destination/incoming on the incoming thread.
 *
 *   accepting thread      a thread for each connection           incoming thread
 *   accepts, starts ----> "QEVM": it is the stream, ends ------> multifd_recv_stream
 *   until the end         else says which channel it is
 *                         pages -> guest memory
 *                         SYNC: waits ............ <------------ multifd_recv_sync: all have sent
 *                         goes on                                SYNC, so all may go on
 *
 * A channel that has read SYNC reads nothing before it is let go on, so no page
 * of a later pass is placed before all of an earlier one are; and the stream's
 * own records, which the incoming thread reads, stand between the same points.
 */
#include "migration/multifd/recv.h"

#include <string.h>
#include "migration/multifd/unpack.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* From the first connection on: by then all have to have come. Nobody knows how many a source opens. */
#define ARRIVAL_US (60 * G_USEC_PER_SEC)
/* What has been connected when the source went may still be on its way to us. */
#define GONE_US (5 * G_USEC_PER_SEC)
#define LOOK_US (200 * G_TIME_SPAN_MILLISECOND)
#define STRANGERS 16                /* so many more connections than are needed are looked at */
#define TELL_US G_USEC_PER_SEC      /* so long an error waits for a source that can be told */

typedef struct Connection {
    /* set once */
    MultifdRecv *r;
    unsigned number;            /* by when it came; its index in the set */
    Channel *channel;
    GThread *thread;
    /* protected by r->lock */
    int id;                     /* of the channel; -1: it has not said so, or is the stream */
    uint64_t synced;            /* SYNCs read */
    bool meant;                 /* it is a channel, for this guest */
    bool ended;
    /* its thread only; the reader of the stream is handed on */
    StreamReader *reader;
    MultifdUnpacker *unpacker;  /* NULL: it has not said that it is a channel */
} Connection;

struct MultifdRecv {
    /* set once */
    RAMList *ram;
    MultifdRecvOptions opt;
    int64_t came_us;            /* the first connection */
    GThread *accepting;

    GMutex lock;
    GCond changed;              /* anything below, or of a connection */
    /* protected by lock */
    GPtrArray *connections;     /* of Connection */
    unsigned channels;          /* of them, that have said who they are */
    Connection *stream;
    StreamReader *stream_reader; /* until it is handed on */
    RamLoader *loader;          /* read without the lock behind a sync point */
    uint64_t released;          /* SYNCs behind which channels may go on */
    bool ending;
    GError *error;              /* the first, of any connection */
};

/* Lock held. All that has to come is here. */
static bool is_here(const MultifdRecv *r)
{
    return r->stream && r->channels == r->opt.channels;
}

/* ---- errors ---- */

/* Lock held. Takes err. */
static void fail_locked(MultifdRecv *r, GError *err)
{
    if (r->error || r->ending) {
        g_error_free(err);
        return;
    }
    r->error = err;
    if (r->stream) {
        channel_end_reading(r->stream->channel);    /* whoever reads it looks for the cause here */
    }
    g_cond_broadcast(&r->changed);
}

/* Lock held. */
static bool check_error(const MultifdRecv *r, GError **errp)
{
    if (r->error && errp && !*errp) {
        *errp = g_error_copy(r->error);
    }
    return !r->error;
}

/* ---- a connection says what it is ---- */

static char *uuid_text(const uint8_t *u)
{
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                           u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10],
                           u[11], u[12], u[13], u[14], u[15]);
}

static bool check_uuid(const MultifdRecv *r, uint8_t id, const uint8_t *uuid, GError **errp)
{
    if (memcmp(uuid, r->opt.uuid, sizeof(r->opt.uuid)) == 0) {
        return true;
    }
    g_autofree char *theirs = uuid_text(uuid), *ours = uuid_text(r->opt.uuid);
    error_setg(errp, "multifd: received uuid '%s' and expected uuid '%s' for channel %u: give both "
               "sides the same -uuid", theirs, ours, id);
    return false;
}

/* Lock held. */
static bool register_id(Connection *c, uint8_t id, GError **errp)
{
    MultifdRecv *r = c->r;

    c->meant = true;
    if (id >= r->opt.channels) {
        error_setg(errp, "multifd: received channel id %u, but there are %u channels here: set "
                   "multifd-channels to the same number on both sides", id, r->opt.channels);
        return false;
    }
    for (unsigned i = 0; i < r->connections->len; i++) {
        const Connection *other = r->connections->pdata[i];
        if (other->id == id) {
            error_setg(errp, "multifd: channel %u has come twice", id);
            return false;
        }
    }
    c->id = id;
    r->channels++;
    trace_multifd_recv_new_channel(id);
    return true;
}

static bool begin_channel(Connection *c, GError **errp)
{
    MultifdInit init;
    uint8_t id, uuid[16];

    if (!stream_get_buffer(c->reader, &init, sizeof(init))) {
        return stream_reader_ok(c->reader, errp);
    }
    if (!multifd_init_decode(&init, &id, uuid, errp) || !check_uuid(c->r, id, uuid, errp)) {
        return false;
    }
    c->unpacker = multifd_unpacker_new(c->r->ram, c->r->opt.codec, errp);
    if (!c->unpacker) {
        return false;
    }
    g_mutex_lock(&c->r->lock);
    bool ok = register_id(c, id, errp);
    g_cond_broadcast(&c->r->changed);
    g_mutex_unlock(&c->r->lock);
    return ok;
}

/* The set knows it as the stream from here on. False: there is one already, or we end. */
static bool become_stream(Connection *c, GError **errp)
{
    MultifdRecv *r = c->r;

    g_mutex_lock(&r->lock);
    bool ok = !r->stream && !r->ending;
    if (!ok) {
        error_setg(errp, "a second connection brings a migration stream");
    } else {
        channel_set_take(r->opt.set, CHANNEL_ROLE_MULTIFD, c->number);
        ok = channel_set_add(r->opt.set, CHANNEL_ROLE_MAIN, 0, c->channel, errp);
    }
    if (ok) {
        r->stream = c;
        r->stream_reader = g_steal_pointer(&c->reader);
        g_cond_broadcast(&r->changed);
    }
    g_mutex_unlock(&r->lock);
    return ok;
}

/* ---- packets ---- */

/* What comes behind it waits until all channels are here, and the stream. False: we end. */
static bool wait_for_release(Connection *c)
{
    MultifdRecv *r = c->r;

    g_mutex_lock(&r->lock);
    c->synced++;
    trace_multifd_recv_sync_main_signal(c->id);
    g_cond_broadcast(&r->changed);
    while (r->released < c->synced && !r->ending && !r->error) {
        g_cond_wait(&r->changed, &r->lock);
    }
    bool on = r->released >= c->synced;
    g_mutex_unlock(&r->lock);
    return on;
}

/* The loader is there behind the first sync point, and so is the list of blocks. */
static bool place_pages(Connection *c, GError **errp)
{
    if (c->synced == 0) {
        error_setg(errp, "multifd: pages before the list of RAM blocks");
        return false;
    }
    return multifd_unpacker_place(c->unpacker, c->reader, c->r->loader, errp);
}

/* Pages first, then SYNC: QEMU 7.2 sends both in one packet. */
static bool take_packet(Connection *c, bool *on, GError **errp)
{
    const MultifdPages *p = fault_point(c->r->opt.faults, FAULT_DST_MULTIFD_PACKET, errp)
                                ? multifd_unpacker_read(c->unpacker, c->reader, errp) : NULL;

    if (!p) {
        return false;
    }
    trace_multifd_recv(c->id, p->number, p->normal, p->zero, p->flags, p->payload_bytes);
    if ((p->normal || p->zero) && !place_pages(c, errp)) {
        return false;
    }
    *on = !(p->flags & MULTIFD_FLAG_SYNC) || wait_for_release(c);
    return true;
}

/* To the end of the channel between two packets, which may be anywhere for all that can be told here. */
static bool read_channel(Connection *c, GError **errp)
{
    bool on = begin_channel(c, errp), ok = on;
    uint8_t first;

    if (ok) {
        trace_multifd_recv_thread_start(c->id);
    }
    while (ok && on) {
        if (!stream_peek(c->reader, 0, &first, 1)) {
            return stream_reader_ok(c->reader, errp);
        }
        ok = take_packet(c, &on, errp);
    }
    return ok;
}

/* ---- a connection's thread ---- */

static bool read_connection(Connection *c, GError **errp)
{
    uint32_t magic;

    if (!stream_peek(c->reader, 0, &magic, sizeof(magic))) {
        if (stream_reader_ok(c->reader, errp)) {
            error_setg(errp, "Unexpected end of migration stream: a connection has ended before it "
                       "said what it is");
        }
        return false;
    }
    if (GUINT32_FROM_BE(magic) == STREAM_MAGIC) {
        return become_stream(c, errp);
    }
    return read_channel(c, errp);
}

/* Lock held. Takes err. When all are here, whoever else knocks and has no channel for us is nobody's affair. */
static void connection_failed(Connection *c, GError *err)
{
    if (is_here(c->r) && c->id < 0 && !c->meant) {
        channel_shutdown(c->channel);
        g_error_free(err);
        return;
    }
    if (c->id >= 0) {
        error_prepend(&err, "multifd channel %d of %u: ", c->id, c->r->opt.channels);
    }
    fail_locked(c->r, err);
}

/*
 * The thread of a connection. Owns its reader and unpacker; writes guest memory
 * without locks (no vCPU runs, and no other thread has the same page between
 * two sync points). Waits on the channel, which shutting down ends, and at sync
 * points for the incoming thread, which an error and the end wake. Ends with
 * the channel, or as soon as it is known to be the stream.
 */
static gpointer connection_thread(gpointer opaque)
{
    Connection *c = opaque;
    GError *err = NULL;
    bool ok = read_connection(c, &err);

    g_mutex_lock(&c->r->lock);
    c->ended = c->r->stream != c;
    if (!ok) {
        connection_failed(c, err);
    }
    g_cond_broadcast(&c->r->changed);
    g_mutex_unlock(&c->r->lock);
    multifd_unpacker_free(c->unpacker);
    trace_multifd_recv_thread_end(c->id);
    return NULL;
}

/* Takes c. */
static bool add_connection(MultifdRecv *r, Channel *channel, GError **errp)
{
    Connection *c = g_new0(Connection, 1);

    c->r = r;
    c->id = -1;
    c->channel = channel;
    g_mutex_lock(&r->lock);
    c->number = r->connections->len;
    bool ok = channel_set_add(r->opt.set, CHANNEL_ROLE_MULTIFD, c->number, channel, errp);
    if (ok) {
        c->reader = stream_reader_new(channel);
        c->thread = thread_start("multifdrecv", connection_thread, c, errp);
        ok = c->thread != NULL;
    }
    if (ok) {
        g_ptr_array_add(r->connections, c);
    } else {
        stream_reader_free(c->reader);
        g_free(c);
    }
    g_mutex_unlock(&r->lock);
    return ok;
}

/* ---- accepting ---- */

static bool accept_next(MultifdRecv *r)
{
    GError *err = NULL;
    Channel *c = channel_listener_accept(r->opt.listener, &err);
    bool ok = c && add_connection(r, c, &err);

    g_mutex_lock(&r->lock);
    if (!ok && is_here(r)) {
        g_error_free(err);      /* nobody is missed */
    } else if (!ok) {
        fail_locked(r, err);
    }
    ok = ok && r->connections->len <= r->opt.channels + STRANGERS;
    g_mutex_unlock(&r->lock);
    return ok;
}

/*
 * The accepting thread. Waits on the listener, which shutting down ends. Goes on
 * when all are there: a source that has more channels would not know that they
 * are too many.
 */
static gpointer accepting_thread(gpointer opaque)
{
    while (accept_next(opaque)) {
        /* the next one */
    }
    return NULL;
}

/* ---- the incoming thread ---- */

/* Lock held. Sets the error of who waits for connections that have not come until `until`. */
static bool check_arrival(MultifdRecv *r, int64_t now, int64_t *until, GError **errp)
{
    if (is_here(r) || now < *until) {
        if (r->stream && !is_here(r) && channel_peer_ended(r->stream->channel)) {
            *until = MIN(*until, now + GONE_US);
        }
        return true;
    }
    bool gone = r->stream && channel_peer_ended(r->stream->channel);
    error_setg(errp, "multifd: %u of %u channels have come%s%s: the capability multifd has to be on at "
               "the source, too, with the same multifd-channels", r->channels, r->opt.channels,
               r->stream ? "" : ", and no migration stream",
               gone ? ", and the source has ended the connection" : " within a minute");
    return false;
}

/* Lock held. Waits for a change, or for the next look at who has come. */
static bool wait_for_change(MultifdRecv *r, int64_t *until, GError **errp)
{
    int64_t now = g_get_monotonic_time();

    if (is_here(r)) {
        g_cond_wait(&r->changed, &r->lock);
        return true;
    }
    if (!check_arrival(r, now, until, errp)) {
        return false;
    }
    g_cond_wait_until(&r->changed, &r->lock, now + LOOK_US);
    return true;
}

/* Lock held. Is anybody there who may turn out to be the stream? */
static bool any_unknown(const MultifdRecv *r)
{
    for (unsigned i = 0; i < r->connections->len; i++) {
        const Connection *c = r->connections->pdata[i];

        if (c->id < 0 && !c->ended) {
            return true;
        }
    }
    return false;
}

/* Lock held. A channel has failed before the stream has said that it is one: over that the source hears why. */
static void await_stream_to_tell(MultifdRecv *r)
{
    int64_t until = g_get_monotonic_time() + TELL_US;

    while (!r->stream && any_unknown(r) && g_cond_wait_until(&r->changed, &r->lock, until)) {
        /* somebody has said something */
    }
}

StreamReader *multifd_recv_stream(MultifdRecv *r, GError **errp)
{
    int64_t until = r->came_us + ARRIVAL_US;
    bool ok = true;

    g_mutex_lock(&r->lock);
    while (ok && !r->stream && !r->error) {
        ok = wait_for_change(r, &until, errp);
    }
    if (!check_error(r, errp)) {
        await_stream_to_tell(r);
        ok = false;
    }
    StreamReader *reader = ok ? g_steal_pointer(&r->stream_reader) : NULL;
    g_mutex_unlock(&r->lock);
    return reader;
}

void multifd_recv_set_loader(MultifdRecv *r, RamLoader *loader)
{
    g_mutex_lock(&r->lock);
    r->loader = loader;
    g_mutex_unlock(&r->lock);
}

/* Lock held. How many channels have read this SYNC; -1 with errp: one never will. */
static int count_synced(const MultifdRecv *r, uint64_t sync, GError **errp)
{
    int n = 0;

    for (unsigned i = 0; i < r->connections->len; i++) {
        const Connection *c = r->connections->pdata[i];

        if (c->id >= 0 && c->synced >= sync) {
            n++;
        } else if (c->id >= 0 && c->ended) {
            error_setg(errp, "multifd channel %d of %u: the channel has ended, and the stream has not",
                       c->id, r->opt.channels);
            return -1;
        }
    }
    return n;
}

bool multifd_recv_sync(void *opaque, GError **errp)
{
    MultifdRecv *r = opaque;
    int64_t until = r->came_us + ARRIVAL_US;
    int n = 0;
    bool ok = true;

    if (!fault_point(r->opt.faults, FAULT_DST_MULTIFD_SYNC, errp)) {
        return false;
    }
    g_mutex_lock(&r->lock);
    uint64_t sync = r->released + 1;
    while (ok && check_error(r, errp) &&
           (n = count_synced(r, sync, errp)) >= 0 && n < (int)r->opt.channels) {
        ok = wait_for_change(r, &until, errp);
    }
    ok = ok && n == (int)r->opt.channels && check_error(r, errp);
    if (ok) {
        r->released = sync;
        g_cond_broadcast(&r->changed);
    }
    trace_multifd_recv_sync_main(sync);
    g_mutex_unlock(&r->lock);
    return ok;
}

void multifd_recv_cause(MultifdRecv *r, GError **err)
{
    g_mutex_lock(&r->lock);
    if (r->error) {
        g_clear_error(err);
        *err = g_error_copy(r->error);
    }
    g_mutex_unlock(&r->lock);
}

/* ---- life ---- */

static void free_connection(void *connection)
{
    Connection *c = connection;

    stream_reader_free(c->reader);
    g_free(c);
}

MultifdRecv *multifd_recv_new(RAMList *ram, const MultifdRecvOptions *opt, Channel *first,
                              GError **errp)
{
    MultifdRecv *r = g_new0(MultifdRecv, 1);

    r->ram = ram;
    r->opt = *opt;
    r->came_us = g_get_monotonic_time();
    r->connections = g_ptr_array_new_with_free_func(free_connection);
    g_mutex_init(&r->lock);
    g_cond_init(&r->changed);
    if (add_connection(r, first, errp)) {
        r->accepting = thread_start("multifdaccept", accepting_thread, r, errp);
    }
    if (!r->accepting) {
        multifd_recv_free(r);
        return NULL;
    }
    return r;
}

/* The stream is its reader's to end. */
static void end_connection(void *connection, void *opaque)
{
    Connection *c = connection;

    if (c != c->r->stream) {
        channel_shutdown(c->channel);
    }
    g_thread_join(c->thread);
}

void multifd_recv_free(MultifdRecv *r)
{
    if (!r) {
        return;
    }
    g_mutex_lock(&r->lock);
    r->ending = true;
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
    if (r->accepting) {
        channel_listener_shutdown(r->opt.listener);
        g_thread_join(r->accepting);
    }
    g_ptr_array_foreach(r->connections, end_connection, NULL);
    g_ptr_array_free(r->connections, TRUE);
    stream_reader_free(r->stream_reader);
    g_clear_error(&r->error);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r);
}
