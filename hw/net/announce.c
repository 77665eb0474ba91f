/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling the network where the guest is: rounds of announcements by the
 * cards, with growing pauses between them. A round that is due while the
 * guest is stopped waits until it runs: a stopped guest may be running
 * elsewhere. Timers of the main loop; BQL.
 */
#include <string.h>
#include "hw/net/net-priv.h"

typedef struct Announcement {
    NetAnnouncer *owner;
    GStrv cards;                /* names; NULL: all */
    uint64_t rounds;            /* that remain */
    uint64_t pause_ms, step_ms, max_ms;
    GSource *timer;             /* NULL: due, waits for the guest to run */
} Announcement;

struct NetAnnouncer {
    NetBackends *nets;
    GMainContext *context;
    bool running;
    GHashTable *by_id;          /* char * -> Announcement *, those that have rounds left */
};

static void announcement_free(void *opaque)
{
    Announcement *a = opaque;

    net_unwatch(&a->timer);
    g_strfreev(a->cards);
    g_free(a);
}

static gboolean announcement_due(void *opaque);

static void arm(Announcement *a, uint64_t ms)
{
    a->timer = g_timeout_source_new(MIN(ms, G_MAXINT));
    g_source_set_callback(a->timer, announcement_due, a, NULL);
    g_source_attach(a->timer, a->owner->context);
}

static gboolean is_this(void *key, void *value, void *opaque)
{
    return value == opaque;
}

static gboolean announcement_due(void *opaque)
{
    Announcement *a = opaque;

    net_unwatch(&a->timer);
    if (!a->owner->running) {
        return G_SOURCE_REMOVE;
    }
    net_announce_once(a->owner->nets, (const char *const *)a->cards);
    if (--a->rounds == 0) {
        g_hash_table_foreach_remove(a->owner->by_id, is_this, a);
        return G_SOURCE_REMOVE;
    }
    arm(a, a->pause_ms);
    a->pause_ms = MIN(a->pause_ms + MIN(a->step_ms, a->max_ms), a->max_ms);
    return G_SOURCE_REMOVE;
}

static void run_state_changed(void *opaque, bool running, RunState state)
{
    NetAnnouncer *announcer = opaque;
    GHashTableIter iter;
    void *value;

    announcer->running = running;
    g_hash_table_iter_init(&iter, announcer->by_id);
    while (running && g_hash_table_iter_next(&iter, NULL, &value)) {
        Announcement *a = value;

        if (!a->timer) {
            arm(a, 0);
        }
    }
}

NetAnnouncer *net_announcer_new(NetBackends *nets)
{
    NetAnnouncer *announcer = g_new0(NetAnnouncer, 1);
    Machine *machine = net_backends_machine(nets);

    announcer->nets = nets;
    announcer->context = main_loop_context(machine->loop);
    announcer->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, announcement_free);
    runstate_add_notifier(machine->runstate, run_state_changed, announcer);
    return announcer;
}

void net_announcer_free(NetAnnouncer *announcer)
{
    if (announcer) {
        g_hash_table_unref(announcer->by_id);
        g_free(announcer);
    }
}

void net_announcer_start(NetAnnouncer *announcer, const char *id, const NetAnnounceTimes *times,
                         const char *const *cards)
{
    Announcement *a;

    g_hash_table_remove(announcer->by_id, id ? id : "");
    if (times->rounds == 0) {
        return;
    }
    a = g_new0(Announcement, 1);
    a->owner = announcer;
    a->cards = g_strdupv((GStrv)cards);
    a->rounds = times->rounds;
    a->max_ms = MIN(times->max_ms, G_MAXINT);
    a->step_ms = times->step_ms;
    a->pause_ms = MIN(times->initial_ms, a->max_ms);
    g_hash_table_insert(announcer->by_id, g_strdup(id ? id : ""), a);
    arm(a, 0);
}
