/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel of urgent pages (capability postcopy-preempt, migration-stream
 * 8.8): pages that were asked for do not stand behind what is on its way
 * already. On the migration thread, which writes both; the pages are chosen in
 * ram/picker, put by ram/save.
 *
 * In the 7.2 dialect it is there from the setup on and ends with an EOS; in
 * the 10.0 dialect it comes with the switch, once the destination has
 * answered on the main one, so that it cannot be taken for that.
 */
#include "migration/source/preempt.h"
#include "util/error.h"
#include "util/trace-migration.h"

static bool is_early(const Outgoing *o)
{
    return o->dialect == DIALECT_QEMU_7_2;
}

static bool wants_preempt(const Outgoing *o)
{
    return outgoing_has_cap(o, MIGRATION_CAP(POSTCOPY_PREEMPT));
}

static bool connect_preempt(Outgoing *o, ChannelAddress *addr, GError **errp)
{
    Channel *c = channel_connect(addr, o->cancel_fd, errp);
    if (!c || !channel_set_add(o->channels, CHANNEL_ROLE_PREEMPT, 0, c, errp)) {
        return false;
    }
    trace_postcopy_preempt_new_channel();
    o->urgent = stream_writer_new(c);
    ram_save_set_urgent(o->saver, o->urgent);
    return true;
}

bool outgoing_setup_preempt(Outgoing *o, ChannelAddress *addr, GError **errp)
{
    if (!wants_preempt(o)) {
        return true;
    }
    if (addr->kind != CHANNEL_TCP && addr->kind != CHANNEL_UNIX) {
        error_setg(errp, "postcopy-preempt needs a second connection, which '%s' does not give: use "
                   "tcp: or unix:", channel_name(o->channel));
        return false;
    }
    return !is_early(o) || connect_preempt(o, addr, errp);
}

/* The destination has answered: what connects now is not the main channel. */
static bool await_first_pong(Outgoing *o, GError **errp)
{
    int64_t until = g_get_monotonic_time() + outgoing_verdict_timeout_us(o);

    g_mutex_lock(&o->lock);
    while (!o->postcopy.ponged && !o->cancelled && !o->way_back_ended &&
           g_cond_wait_until(&o->wake, &o->lock, until)) {
        /* woken for something else */
    }
    bool ok = o->postcopy.ponged;
    g_mutex_unlock(&o->lock);
    if (!ok && outgoing_check_cancelled(o, errp)) {
        error_setg(errp, "the destination has not answered the first PING (x-verdict-timeout)");
    }
    return ok;
}

bool outgoing_switch_preempt(Outgoing *o, ChannelAddress *addr, GError **errp)
{
    return !wants_preempt(o) || is_early(o) ||
           (await_first_pong(o, errp) && connect_preempt(o, addr, errp));
}

bool outgoing_end_preempt(Outgoing *o, GError **errp)
{
    return !o->urgent || !is_early(o) || ram_save_end_urgent(o->saver, errp);
}

void outgoing_drop_preempt(Outgoing *o)
{
    if (o->urgent) {
        o->bytes_base += stream_writer_bytes(o->urgent);
        if (o->saver) {
            ram_save_set_urgent(o->saver, NULL);
        }
        g_clear_pointer(&o->urgent, stream_writer_free);
    }
}
