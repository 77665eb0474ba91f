/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other threads do with an incoming migration: listen and start it, look
 * at it, cut it, free it. Called by migration.c and the monitor commands; waits
 * for nothing but, when freeing, the thread's end.
 */
#include "migration/destination/incoming.h"
#include "util/error.h"

bool incoming_start(Migration *m, ChannelAddress *addr, bool exit_on_error, GError **errp)
{
    FdResolver fds = migration_fd_resolver(m);
    ChannelListener *listener = channel_address_take_fd(addr, &fds, false, errp)
                                    ? channel_listen(addr, errp) : NULL;

    if (!listener) {
        return false;
    }
    if (m->incoming) {
        incoming_free(g_steal_pointer(&m->incoming));
        machine_start_over(m->machine->runstate);
    }
    Incoming *in = g_new0(Incoming, 1);
    in->m = m;
    in->machine = m->machine;
    in->exit_on_error = exit_on_error;
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
        g_free(in);
        return false;
    }
    return true;
}

GPtrArray *incoming_addresses(Incoming *in)
{
    g_mutex_lock(&in->lock);
    ChannelListener *l = in->next_listener ? in->next_listener : in->listener;
    GPtrArray *list = l ? channel_listener_addresses(l) : g_ptr_array_new_with_free_func(NULL);
    g_mutex_unlock(&in->lock);
    return list;
}

bool incoming_exits_on_error(const Incoming *in)
{
    return in->exit_on_error;
}

char *incoming_error(Incoming *in)
{
    g_mutex_lock(&in->lock);
    char *text = in->error ? g_strdup(in->error->message) : NULL;
    g_mutex_unlock(&in->lock);
    return text;
}

int incoming_thread_id(Incoming *in)
{
    g_mutex_lock(&in->lock);
    int tid = in->tid;
    g_mutex_unlock(&in->lock);
    return tid;
}

bool incoming_received(Incoming *in, IncomingReceived *r)
{
    g_mutex_lock(&in->lock);
    bool came = in->came_us != 0;
    int64_t end = in->loaded_us ? in->loaded_us : g_get_monotonic_time();
    *r = (IncomingReceived){ .ram = in->received, .us = came ? end - in->came_us : 0 };
    if (in->phase > INCOMING_LISTENING && in->phase < INCOMING_DONE) {
        ram_loader_get_stats(in->load.ram, &r->ram);
    }
    g_mutex_unlock(&in->lock);
    return came;
}

void incoming_times(Incoming *in, SwitchoverTimes *t)
{
    g_mutex_lock(&in->lock);
    for (SwitchoverStep step = SWITCHOVER_SOURCE__END; step < SWITCHOVER__MAX; step++) {
        t->us[step] = in->times.us[step];
    }
    g_mutex_unlock(&in->lock);
}

void incoming_yank(Incoming *in)
{
    g_mutex_lock(&in->lock);
    if (in->listener) {
        channel_listener_shutdown(in->listener);
    }
    g_mutex_unlock(&in->lock);
    channel_set_shutdown_all(in->channels);
    fault_end_stalls(&in->machine->faults);
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
    g_clear_error(&in->error);
    migration_settings_unref(in->settings);
    channel_set_free(in->channels);
    wait_stats_free(in->waits);
    g_cond_clear(&in->wake);
    g_mutex_clear(&in->lock);
    g_free(in);
}
