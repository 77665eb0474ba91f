/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the main thread does with a postcopy: ask for it, pause it, resume it,
 * give it up. Called by migration.c under the BQL; never waits.
 */
#include <unistd.h>
#include "migration/source/object.h"
#include "util/error.h"

void outgoing_start_postcopy(Outgoing *o)
{
    bql_assert_main(o->machine->loop);
    g_mutex_lock(&o->lock);
    o->postcopy.wanted = o->kicked = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
}

void outgoing_pause(Outgoing *o)
{
    g_mutex_lock(&o->lock);
    o->postcopy.paused_by_user = true;
    g_mutex_unlock(&o->lock);
    outgoing_yank(o);
}

void outgoing_abandon(Outgoing *o)
{
    bql_assert_main(o->machine->loop);
    g_mutex_lock(&o->lock);
    o->postcopy.abandoned = true;
    g_cond_broadcast(&o->wake);
    g_mutex_unlock(&o->lock);
    outgoing_yank(o);
}

bool outgoing_give_up(Outgoing *o)
{
    bql_assert_main(o->machine->loop);
    g_mutex_lock(&o->lock);
    bool may = migration_state_get(&o->m->out_state) == MIGRATION_STATUS_POSTCOPY_PAUSED &&
               !o->postcopy.loaded && !o->postcopy.has_answered && !o->postcopy.resume;
    if (may) {
        o->postcopy.abandoned = o->postcopy.given_up = true;
        g_cond_broadcast(&o->wake);
    }
    g_mutex_unlock(&o->lock);
    return may;
}

/* A descriptor that was handed in is the monitor's: taken here, where it is safe. */
static bool take_channel(Outgoing *o, ChannelAddress *addr, Channel **c, GError **errp)
{
    FdResolver fds = migration_fd_resolver(o->m);

    *c = NULL;
    if (!channel_address_take_fd(addr, &fds, true, errp)) {
        return false;
    }
    if (addr->kind == CHANNEL_FD) {
        *c = channel_connect(addr, -1, errp);
        return *c != NULL;
    }
    return true;
}

/*
 * What cut the connections that are gone is not to cut those to come. Here, as whoever cut them may
 * have been slower than the migration thread was with its pause.
 */
static void forget_cuts(Outgoing *o)
{
    uint64_t used;

    channel_set_reopen(o->channels);
    if (read(o->cancel_fd, &used, sizeof(used)) < 0) {
        /* nobody had */
    }
    o->postcopy.paused_by_user = false;
}

bool outgoing_resume(Outgoing *o, ChannelAddress *addr, GError **errp)
{
    bql_assert_main(o->machine->loop);
    Channel *c;

    if (outgoing_has_cap(o, MIGRATION_CAP(RELEASE_RAM))) {
        error_setg(errp, "Postcopy recovery cannot work when release-ram capability is set");
        channel_address_free(addr);
        return false;
    }
    if (!take_channel(o, addr, &c, errp)) {
        channel_address_free(addr);
        return false;
    }
    g_mutex_lock(&o->lock);
    forget_cuts(o);
    bool ok = migration_state_move(&o->m->out_state, MIGRATION_EVENT_RESUME, errp);
    if (ok) {
        o->postcopy.resume = g_steal_pointer(&addr);
        o->postcopy.resume_channel = g_steal_pointer(&c);
        g_cond_broadcast(&o->wake);
    }
    g_mutex_unlock(&o->lock);
    if (c) {
        channel_close(c, NULL);
    }
    channel_address_free(addr);
    return ok;
}
