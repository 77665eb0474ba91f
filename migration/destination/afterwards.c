/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After the end of a postcopy: the guest is here as a whole, but the last word
 * to the source may have been lost with the connection, and then the source
 * waits, paused, and cannot know. migrate-recover makes this side listen
 * again; whoever resumes is told that every page is here, and hears the last
 * word once more. Nothing that comes is put anywhere.
 */
#include "migration/destination/postcopy.h"
#include "migration/ram/load.h"
#include "migration/stream/format.h"
#include "util/error.h"

struct Afterwards {
    Incoming *in;
    GMutex handles;             /* migrate-recover, which may be called out of band, and the end */
    GThread *thread;            /* protected by handles */
    /* the thread's, or nobody's */
    IncomingLoad load;          /* taken over from the migration that is over */
    ReturnPathWriter *answers;
    uint8_t page[TARGET_PAGE_SIZE];     /* where pages go that are here already */
};

/* ---- what the source says ---- */

static bool recv_bitmap(void *opaque, const char *name, GError **errp)
{
    Afterwards *a = opaque;

    return postcopy_send_bitmap(a->in, a->answers, name, errp);
}

static bool resume(void *opaque, GError **errp)
{
    return return_path_send_resume_ack(((Afterwards *)opaque)->answers, MIG_RESUME_ACK_VALUE, errp);
}

static void talks(void *opaque)
{
}

/* The commands before the switch have no place here (load.c looks at that). */
static const IncomingPostcopyOps after_ops = {
    .recv_bitmap = recv_bitmap,
    .resume = resume,
    .talks = talks,
};

static uint8_t *drop_place(void *opaque, size_t block, uint64_t page)
{
    return ((Afterwards *)opaque)->page;
}

static bool drop_placed(void *opaque, size_t block, uint64_t page, GError **errp)
{
    return true;
}

static bool drop_fill(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                      GError **errp)
{
    return true;
}

static const RamPageSink drop_sink = {
    .place = drop_place,
    .placed = drop_placed,
    .fill = drop_fill,
};

/* ---- the thread ---- */

/* True: it knows now. */
static bool tell(Afterwards *a, Channel *c, GError **errp)
{
    StreamReader *r = stream_reader_new(c);

    channel_set_patience(c, migration_settings_params(a->load.settings).x_postcopy_silence_limit);
    return_path_writer_replace(a->answers, c);
    ram_loader_begin_postcopy(a->load.ram, &drop_sink, a);
    bool ok = incoming_load_background(&a->load, r, errp) &&
              incoming_point(a->in, FAULT_DST_POSTCOPY_AFTER, errp) &&
              return_path_send_shut(a->answers, NULL, errp);
    return_path_writer_replace(a->answers, NULL);
    stream_reader_free(r);
    return ok;
}

/* One that connects; false: the listener is of no use any more. */
static bool take_one(Afterwards *a, ChannelListener *l, bool *told)
{
    g_autoptr(GError) err = NULL;
    Channel *c = channel_listener_accept(l, &err);

    if (!c || !channel_set_add(a->in->channels, CHANNEL_ROLE_MAIN, 0, c, &err)) {
        return false;
    }
    *told = tell(a, c, &err);
    channel_set_close_all(a->in->channels, NULL);
    if (*told) {
        machine_report(a->in->machine, "The source has heard once more that the guest is here as a "
                       "whole");
    } else {
        machine_report(a->in->machine, "migrate_recover: %s", err->message);
    }
    return true;
}

/*
 * Owns the listener and what connects to it; waits on both, which
 * incoming_yank ends; takes no lock that is held for long. Ends when a source was told, or the
 * listener is shut.
 */
static gpointer after_thread(gpointer opaque)
{
    Afterwards *a = opaque;
    bool told = false;

    while (!told && take_one(a, a->in->listener, &told)) {
        /* the next one */
    }
    g_mutex_lock(&a->in->lock);
    ChannelListener *l = g_steal_pointer(&a->in->listener);
    g_mutex_unlock(&a->in->lock);
    channel_listener_free(l);
    return NULL;
}

/* ---- life ---- */

/* handles held. */
static void stop(Afterwards *a)
{
    if (a->thread) {
        incoming_yank(a->in);
        g_thread_join(g_steal_pointer(&a->thread));
    }
}

/* handles held. */
static bool start(Afterwards *a, ChannelListener *l, GError **errp)
{
    channel_set_reopen(a->in->channels);
    g_mutex_lock(&a->in->lock);
    a->in->listener = l;
    g_mutex_unlock(&a->in->lock);
    a->thread = thread_start("incoming/after", after_thread, a, errp);
    if (!a->thread) {
        g_mutex_lock(&a->in->lock);
        a->in->listener = NULL;
        g_mutex_unlock(&a->in->lock);
        channel_listener_free(l);
    }
    return a->thread;
}

bool afterwards_listen(Afterwards *a, ChannelListener *l, GError **errp)
{
    g_mutex_lock(&a->handles);
    stop(a);
    bool ok = start(a, l, errp);
    g_mutex_unlock(&a->handles);
    return ok;
}

Afterwards *afterwards_new(Incoming *in)
{
    Afterwards *a = g_new0(Afterwards, 1);

    a->in = in;
    g_mutex_init(&a->handles);
    a->answers = return_path_writer_new(NULL);
    a->load = in->load;
    in->load = (IncomingLoad){ 0 };
    a->load.place = INCOMING_IN_BACKGROUND;
    a->load.ran = false;
    a->load.channel = NULL;
    a->load.answers = a->answers;
    a->load.ops = &after_ops;
    a->load.opaque = a;
    return a;
}

void afterwards_free(Afterwards *a)
{
    if (a) {
        stop(a);
        g_mutex_clear(&a->handles);
        incoming_load_clear(&a->load);
        return_path_writer_free(a->answers);
        g_free(a);
    }
}
