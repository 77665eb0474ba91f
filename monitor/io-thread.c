/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor's I/O thread. Called by monitor.c, which gives it the chardevs
 * of QMP sessions, and by qmp.c. Knows nothing of what they say.
 */
#include "monitor/io-thread.h"

#include "util/error.h"

struct MonitorIO {
    GMainContext *context;
    bool ended;         /* its own thread only */
    GThread *thread;    /* NULL: not started */
};

typedef struct Posted {
    void (*fn)(void *opaque);
    void *opaque;
} Posted;

MonitorIO *monitor_io_new(void)
{
    MonitorIO *io = g_new0(MonitorIO, 1);

    io->context = g_main_context_new();
    return io;
}

GMainContext *monitor_io_context(MonitorIO *io)
{
    return io->context;
}

static gboolean run_posted(gpointer data)
{
    Posted *p = data;

    p->fn(p->opaque);
    return G_SOURCE_REMOVE;
}

void monitor_io_post(MonitorIO *io, void (*fn)(void *opaque), void *opaque)
{
    GSource *source = g_idle_source_new();
    Posted p = { fn, opaque };

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, run_posted, g_memdup2(&p, sizeof(p)), g_free);
    g_source_attach(source, io->context);
    g_source_unref(source);
}

/*
 * The I/O thread. Owns the chardevs of QMP sessions and their readers; waits
 * for their descriptors and for what is posted; never for a lock that is held
 * long, so never for the BQL. Ends when monitor_io_free asks.
 */
static gpointer io_thread(gpointer opaque)
{
    MonitorIO *io = opaque;

    while (!io->ended) {
        g_main_context_iteration(io->context, TRUE);
    }
    return NULL;
}

bool monitor_io_start(MonitorIO *io, GError **errp)
{
    io->thread = thread_start("mon_iothread", io_thread, io, errp);
    return io->thread != NULL;
}

static void end_thread(void *opaque)
{
    ((MonitorIO *)opaque)->ended = true;
}

void monitor_io_free(MonitorIO *io)
{
    if (!io) {
        return;
    }
    if (io->thread) {
        monitor_io_post(io, end_thread, io);
        g_thread_join(io->thread);
    }
    g_main_context_unref(io->context);
    g_free(io);
}
