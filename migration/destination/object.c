/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An incoming migration as it looks, and how its connections are cut. Any
 * thread; waits for nothing, changes nothing else.
 */
#include "migration/destination/object.h"

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
    *r = (IncomingReceived){ .ram = in->received, .us = came ? end - in->came_us : 0,
                             .file_bytes = in->file_bytes,
                             .whole = in->whole };
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

void incoming_guest_starts(Incoming *in)
{
    g_mutex_lock(&in->lock);
    in->starts++;
    g_cond_broadcast(&in->wake);
    g_mutex_unlock(&in->lock);
}

const PresentEngineOps *incoming_engine(const Incoming *in)
{
    XPostcopyEngine engine = migration_settings_params(in->settings).x_postcopy_engine;

    return engine == X_POSTCOPY_ENGINE_USERFAULTFD ? &present_engine_userfaultfd
                                                   : &present_engine_software;
}
