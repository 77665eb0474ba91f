/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest runs here while its memory comes: the connection is watched, and when
 * it breaks the migration pauses and another one is waited for, as often as it
 * takes (migration-stream 8.7). Told by the incoming thread; the handles at the
 * end are the monitors'.
 */
#include "migration/destination/postcopy.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* So long urgent pages may be under way when the stream has ended. */
#define STRAGGLERS_US (30 * G_USEC_PER_SEC)
#define STRAGGLERS_STEP_US (20 * G_TIME_SPAN_MILLISECOND)

/* How often the incoming thread looks whether the source still says something. */
#define LOOK_US (G_USEC_PER_SEC / 2)

/* ---- silence ---- */

static void note_asked(void *opaque, size_t block, uint64_t page)
{
    *(bool *)opaque = true;
}

static uint32_t silence_limit(const Incoming *in)
{
    return migration_settings_params(in->settings).x_postcopy_silence_limit;
}

/* Is it the source's turn to say something? in->lock held. */
static bool expects_a_word(Postcopy *pc)
{
    bool asked = false;

    if (pc->in->source_talks ||
        migration_state_get(&pc->in->m->in_state) == MIGRATION_STATUS_POSTCOPY_RECOVER) {
        return true;
    }
    present_map_each_asked(pc->map, note_asked, &asked);
    return asked;
}

/*
 * Nothing has come for too long, though something should have: a link that swallows everything ends no
 * connection for a long time. A time in which this process stood still does not count. in->lock held.
 */
static bool is_silent(Postcopy *pc, uint32_t limit_ms)
{
    int64_t now = g_get_monotonic_time();
    bool slept = now - pc->looked_us > 4 * LOOK_US;

    pc->looked_us = now;
    if (limit_ms == 0 || slept || channel_set_heard_us(pc->in->channels) >= pc->talked_us ||
        !expects_a_word(pc)) {
        pc->talked_us = now;
    }
    return now - pc->talked_us > limit_ms * INT64_C(1000);
}

/* in->lock held. */
static void check_silence(Postcopy *pc)
{
    uint32_t ms = silence_limit(pc->in);

    if (is_silent(pc, ms)) {
        page_readers_give_up(pc->readers, g_error_new(FERRY_ERROR, 0, "the source has given no sign of "
                             "life for %.1f s (x-postcopy-silence-limit)", ms / 1000.0));
    }
}

/* ---- one connection ---- */

/* The stream has ended; the last urgent pages may still be in the other channel. in->lock held. */
static void await_stragglers(Postcopy *pc)
{
    Incoming *in = pc->in;
    int64_t now = g_get_monotonic_time(), until = now + STRAGGLERS_US;

    while (present_map_missing(pc->map) && page_readers_urgent(pc->readers) && !in->quit &&
           page_readers_state(pc->readers) == PAGE_READERS_ENDED && now < until &&
           !is_silent(pc, silence_limit(in))) {
        g_cond_wait_until(&in->wake, &in->lock, now + STRAGGLERS_STEP_US);
        now = g_get_monotonic_time();
    }
}

/* True: all is here. False: the connection is of no use any more. */
static bool await_memory(Postcopy *pc)
{
    Incoming *in = pc->in;

    g_mutex_lock(&in->lock);
    while (page_readers_state(pc->readers) == PAGE_READERS_READ && !in->quit) {
        if (!g_cond_wait_until(&in->wake, &in->lock, g_get_monotonic_time() + LOOK_US)) {
            check_silence(pc);
        }
    }
    await_stragglers(pc);
    bool ended = page_readers_state(pc->readers) == PAGE_READERS_ENDED;
    g_mutex_unlock(&in->lock);
    if (ended) {
        incoming_point(in, FAULT_DST_POSTCOPY_ENDED, NULL);
    }
    /* Who has come back and ends before he has gone on is not the source, or has not heard of us. */
    return ended && !present_map_missing(pc->map) &&
           migration_state_get(&in->m->in_state) == MIGRATION_STATUS_POSTCOPY_ACTIVE;
}

/* Nobody reads, writes or listens any more. */
static void disconnect(Postcopy *pc)
{
    Incoming *in = pc->in;

    page_requests_close(pc->requests);
    incoming_yank(in);
    page_readers_stop(pc->readers);
    return_path_writer_replace(in->answers, NULL);
    g_clear_pointer(&in->reader, stream_reader_free);
    in->channel = NULL;
    channel_set_close_all(in->channels, NULL);
    g_mutex_lock(&in->lock);
    ChannelListener *l = g_steal_pointer(&in->listener);
    g_mutex_unlock(&in->lock);
    channel_listener_free(l);
}

/* ---- the pause ---- */

static bool quits(Incoming *in)
{
    g_mutex_lock(&in->lock);
    bool quit = in->quit;
    g_mutex_unlock(&in->lock);
    return quit;
}

/* cause is of the last connection; NULL: the source has ended it too early. */
static void pause_migration(Postcopy *pc, const GError *cause)
{
    Incoming *in = pc->in;
    uint64_t missing = present_map_missing(pc->map);
    g_autofree char *why = cause ? g_strdup(cause->message)
                                 : g_strdup("the source has ended the stream too early");

    incoming_point(in, FAULT_DST_POSTCOPY_PAUSED, NULL);
    trace_postcopy_pause_incoming();
    g_mutex_lock(&in->lock);
    bool asked = in->paused_by_user;
    in->paused_by_user = false;
    if (!in->error) {
        in->error = g_error_new_literal(FERRY_ERROR, 0, why);
    }
    g_mutex_unlock(&in->lock);
    migration_state_move(&in->m->in_state, MIGRATION_EVENT_BREAK, NULL);
    machine_report(in->machine, "%s The guest runs on "
                   "without %" PRIu64 " KiB of its memory: 'migrate_recover' here and 'migrate -r' at "
                   "the source fetch them.%s%s",
                   asked ? "Postcopy is paused, as asked."
                         : "Detected IO failure for postcopy. Migration paused.",
                   missing << (TARGET_PAGE_BITS - 10), asked ? "" : " ", asked ? "" : why);
}

/* NULL: the process ends. */
static ChannelListener *await_listener(Incoming *in)
{
    g_mutex_lock(&in->lock);
    while (!in->listener && !in->quit) {
        g_cond_wait(&in->wake, &in->lock);
    }
    ChannelListener *l = in->quit ? NULL : in->listener;
    g_mutex_unlock(&in->lock);
    return l;
}

/* True: it has failed by itself. Else there is a newer one, or the process ends. */
static bool drop_listener(Incoming *in, ChannelListener *l)
{
    g_mutex_lock(&in->lock);
    in->listener = g_steal_pointer(&in->next_listener);
    bool failed = !in->listener && !in->quit;
    g_mutex_unlock(&in->lock);
    channel_listener_free(l);
    return failed;
}

/*
 * Who comes is taken for the source, unless somewhere else is listened by now: what comes from an
 * address that was given up is what is left of an attempt that is over. The lock makes it one step: a
 * migrate-recover comes before it, or is refused. Takes c.
 */
static bool adopt(Incoming *in, Channel *c)
{
    fault_delay(&in->machine->faults, FAULT_DST_POSTCOPY_CONNECTED);
    channel_set_reopen(in->channels);
    g_mutex_lock(&in->lock);
    bool ours = !in->next_listener && !in->quit &&
                migration_state_move(&in->m->in_state, MIGRATION_EVENT_RESUME, NULL);
    if (ours) {
        channel_set_add(in->channels, CHANNEL_ROLE_MAIN, 0, c, NULL);   /* it is empty */
        g_clear_error(&in->error);
        in->source_talks = false;
    }
    g_mutex_unlock(&in->lock);
    if (!ours) {
        channel_close(c, NULL);
        return false;
    }
    in->channel = c;
    in->reader = stream_reader_new(c);
    return_path_writer_replace(in->answers, c);
    trace_postcopy_pause_incoming_continued();
    return true;
}

/* False: the process ends. */
static bool await_source(Incoming *in)
{
    ChannelListener *l;

    while ((l = await_listener(in))) {
        g_autoptr(GError) err = NULL;
        Channel *c = channel_listener_accept(l, &err);

        if (c && adopt(in, c)) {
            return true;
        }
        if (drop_listener(in, l)) {
            machine_report(in->machine, "migrate_recover: %s", err ? err->message : "no channel");
        }
    }
    return false;
}

/* Also a link over which nothing is said. */
static void watch_link(Incoming *in)
{
    uint32_t ms = silence_limit(in);

    if (ms) {
        channel_sharpen_liveness(in->channel, ms);
    }
}

bool postcopy_await(Postcopy *pc, GError **errp)
{
    Incoming *in = pc->in;
    bool reading = true;
    GError *cause = NULL;

    g_assert(pc->step == POSTCOPY_RUNNING);
    watch_link(in);
    while (!reading || !await_memory(pc)) {
        disconnect(pc);
        if (reading) {
            page_readers_error(pc->readers, &cause);
        }
        bool quit = quits(in);
        if (!quit) {
            pause_migration(pc, cause);
        }
        g_clear_error(&cause);
        if (quit || !await_source(in)) {
            error_setg(errp, "the process ends, and not all of the guest's memory was here");
            return false;
        }
        watch_link(in);
        channel_keep_queue_short(in->channel);
        reading = incoming_point(in, FAULT_DST_POSTCOPY_READS, &cause) &&
                  page_readers_start(pc->readers, in->reader, &cause);
    }
    return true;
}

/* ---- for monitors ---- */

static bool is_paused(const Incoming *in, GError **errp)
{
    if (migration_state_get(&in->m->in_state) != MIGRATION_STATUS_POSTCOPY_PAUSED) {
        error_setg(errp, "Migrate recover can only be run when postcopy is paused.");
        return false;
    }
    return true;
}

/* Takes *l, and leaves there what nobody needs. False: the source has come at this very moment. */
static bool listen_to(Incoming *in, ChannelListener **l, GError **errp)
{
    g_mutex_lock(&in->lock);
    bool ok = is_paused(in, errp);
    if (ok) {
        in->paused_by_user = false;
    }
    if (ok && in->listener) {
        ChannelListener *stale = in->next_listener;
        in->next_listener = *l;
        *l = stale;
        channel_listener_shutdown(in->listener);
    } else if (ok) {
        in->listener = g_steal_pointer(l);
    }
    g_cond_broadcast(&in->wake);
    g_mutex_unlock(&in->lock);
    return ok;
}

/* NULL: the postcopy is not completed. */
static Afterwards *after_of(Incoming *in)
{
    g_mutex_lock(&in->lock);
    Afterwards *after = in->after;
    g_mutex_unlock(&in->lock);
    return after;
}

bool incoming_recover(Incoming *in, const char *uri, GError **errp)
{
    FdResolver fds = migration_fd_resolver(in->m);
    Afterwards *after = after_of(in);
    ChannelAddress *addr = after || is_paused(in, errp) ? channel_address_parse(uri, errp) : NULL;
    ChannelListener *l = addr && channel_address_take_fd(addr, &fds, false, errp)
                             ? channel_listen(addr, errp) : NULL;

    channel_address_free(addr);
    if (!l) {
        return false;
    }
    if (after) {
        return afterwards_listen(after, l, errp);
    }
    bool ok = listen_to(in, &l, errp);
    channel_listener_free(l);
    return ok;
}

void incoming_pause(Incoming *in)
{
    g_mutex_lock(&in->lock);
    in->paused_by_user = true;
    g_mutex_unlock(&in->lock);
    channel_set_shutdown_all(in->channels);
}
