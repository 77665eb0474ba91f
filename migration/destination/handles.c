/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the main thread does with an incoming migration: listen and start it,
 * end it, free it. Called by migration.c and the monitor commands; waits for
 * nothing but, when freeing, the thread's end.
 */
#include "migration/destination/incoming.h"
#include "migration/destination/postcopy.h"
#include "util/error.h"

static void choose_file_options(Migration *m, ChannelAddress *addr)
{
    MigrationSettings *s = migration_settings_take(m->options);

    addr->file.direct = migration_settings_params(s).direct_io &&
                        migration_settings_layout(s) != RAM_LAYOUT_STREAM;
    migration_settings_unref(s);
}

bool incoming_start(Migration *m, ChannelAddress *addr, bool exit_on_error, GError **errp)
{
    bql_assert_main(m->machine->loop);
    FdResolver fds = migration_fd_resolver(m);

    choose_file_options(m, addr);
    ChannelListener *listener = channel_address_take_fd(addr, &fds, false, errp)
                                    ? channel_listen(addr, errp) : NULL;

    if (!listener) {
        return false;
    }
    ram_baseline_free(g_steal_pointer(&m->baseline));   /* of a guest that is not this one */
    if (m->incoming) {
        incoming_free(g_steal_pointer(&m->incoming));
        machine_start_over(m->machine->runstate);
    }
    Incoming *in = g_new0(Incoming, 1);
    in->m = m;
    in->machine = m->machine;
    in->exit_on_error = exit_on_error;
    if (addr->kind == CHANNEL_FILE && addr->offset == 0 &&
        !g_str_has_prefix(addr->path, "/dev/fdset/")) {
        in->image = g_strdup(addr->path);
    }
    in->listener = listener;
    in->channels = channel_set_new();
    g_mutex_init(&in->lock);
    g_cond_init(&in->wake);
    m->incoming = in;
    migration_state_move(&m->in_state, MIGRATION_EVENT_START, NULL);
    in->thread = thread_start("incoming", incoming_thread, in, errp);
    if (!in->thread) {
        migration_state_move(&m->in_state, MIGRATION_EVENT_FAIL, NULL);
        m->incoming = NULL;
        channel_listener_free(in->listener);
        channel_set_free(in->channels);
        g_cond_clear(&in->wake);
        g_mutex_clear(&in->lock);
        g_free(in->image);
        g_free(in);
        return false;
    }
    return true;
}

void incoming_end(Incoming *in)
{
    g_mutex_lock(&in->lock);
    bool running = in->phase == INCOMING_RUNNING && !in->quit;
    g_mutex_unlock(&in->lock);
    if (running) {
        /* Whoever waits for a page waits for good, and nobody may go on without it. */
        cpus_pause_begin(in->machine->cpus);
    }
    g_mutex_lock(&in->lock);
    in->quit = true;
    g_cond_broadcast(&in->wake);
    g_mutex_unlock(&in->lock);
    incoming_yank(in);
}

void incoming_free(Incoming *in)
{
    if (!in) {
        return;
    }
    incoming_end(in);
    bool locked = bql_locked(in->machine->loop);
    if (locked) {
        bql_unlock(in->machine->loop);
    }
    g_thread_join(in->thread);
    if (locked) {
        bql_lock(in->machine->loop);
    }
    afterwards_free(in->after);
    g_clear_error(&in->error);
    migration_settings_unref(in->settings);
    channel_set_free(in->channels);
    wait_stats_free(in->waits);
    g_cond_clear(&in->wake);
    g_mutex_clear(&in->lock);
    g_free(in->image);
    g_free(in);
}
