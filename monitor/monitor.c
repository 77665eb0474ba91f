/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The set of monitor sessions and the way of events into them. Events may
 * come from any thread: they are queued with their time stamp and written on
 * the main thread, in the order in which they were emitted. Called by vl
 * (monitor_add) and by the generated event functions. Kinds of sessions are
 * rows of a table; what they need themselves is in session.c.
 */
#include "monitor/fdsets.h"
#include "monitor/internal.h"

#include <json-c/json.h>

#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/trace-monitor.h"

static size_t session_can_read(void *opaque)
{
    Session *s = opaque;
    return s->ops->can_read(s);
}

static void session_read(void *opaque, const uint8_t *buf, size_t len)
{
    Session *s = opaque;
    s->ops->read(s, buf, len);
}

static void session_open(Session *s)
{
    if (!session_is_open(s)) {
        __atomic_store_n(&s->is_open, true, __ATOMIC_RELEASE);
        s->ops->opened(s);
    }
}

static bool any_open(const Monitors *monitors)
{
    for (guint i = 0; i < monitors->sessions->len; i++) {
        const Session *s = g_ptr_array_index(monitors->sessions, i);
        if (session_is_open(s)) {
            return true;
        }
    }
    return false;
}

/*
 * As QEMU 7.2 (10.0 keeps them for ever): sets that clients passed go with the last of them while
 * the guest runs. A guest that waits may be waiting for the client that comes next.
 */
static void drop_sets(void *opaque)
{
    Monitors *monitors = opaque;
    struct Machine *machine = monitors->machine;

    if (machine->fds && runstate_is_running(machine->runstate)) {
        fdsets_drop_passed(machine->fds);
    }
}

static void session_close(Session *s)
{
    __atomic_store_n(&s->is_open, false, __ATOMIC_RELEASE);
    s->ops->closed(s);
    if (!any_open(s->monitors)) {
        main_loop_post(s->monitors->machine->loop, drop_sets, s->monitors);
    }
}

static void session_event(void *opaque, ChardevEvent event)
{
    Session *s = opaque;
    if (event == CHARDEV_OPENED) {
        session_open(s);
    } else if (event == CHARDEV_CLOSED && session_is_open(s)) {
        session_close(s);
    } else if (event == CHARDEV_WRITABLE) {
        chardev_accept_input(s->chr);
    } else if (event == CHARDEV_MUX_IN && session_is_open(s)) {
        s->ops->focused(s);
    }
}

static const ChardevFrontend session_frontend = {
    .can_read = session_can_read,
    .read = session_read,
    .event = session_event,
};

/* By what monitor_add's control says. */
static const SessionOps *const session_kinds[] = {
    [false] = &hmp_session_ops,
    [true] = &qmp_session_ops,
};

bool monitor_add(Monitors *monitors, Chardev *chr, bool control, bool pretty, GError **errp)
{
    Session *s = session_kinds[control]->new(monitors, chr, pretty);
    if (control && chardev_set_context(chr, monitor_io_context(monitors->io))) {
        s->io = monitors->io;
    }
    if (!chardev_attach(chr, &session_frontend, s, errp)) {
        s->ops->free(s);
        return false;
    }
    g_ptr_array_add(monitors->sessions, s);
    return true;
}

/* ---- events ---- */

/* Writes out what is queued. Main thread, BQL. */
static void flush_events(void *opaque)
{
    Monitors *monitors = opaque;
    for (;;) {
        g_mutex_lock(&monitors->lock);
        struct json_object *event = g_queue_pop_head(&monitors->events);
        g_mutex_unlock(&monitors->lock);
        if (!event) {
            return;
        }
        const char *name = json_object_get_string(json_object_object_get(event, "event"));
        for (guint i = 0; i < monitors->sessions->len; i++) {
            Session *s = g_ptr_array_index(monitors->sessions, i);
            s->ops->event(s, name, event);
        }
        json_object_put(event);
    }
}

void qmp_event_emit(Monitors *monitors, const char *name, struct json_object *data)
{
    if (!monitors) { /* a test without monitors, or the end of the process */
        json_object_put(data);
        return;
    }
    int64_t now_us = g_get_real_time();
    struct json_object *stamp = json_object_new_object(), *event = json_object_new_object();
    json_object_object_add(stamp, "seconds", json_object_new_int64(now_us / G_USEC_PER_SEC));
    json_object_object_add(stamp, "microseconds", json_object_new_int64(now_us % G_USEC_PER_SEC));
    json_object_object_add(event, "timestamp", stamp);
    json_object_object_add(event, "event", json_object_new_string(name));
    if (data) {
        json_object_object_add(event, "data", data);
    }
    if (trace_monitor_protocol_event_emit_on()) {
        trace_monitor_protocol_event_emit(name, data ? json_object_to_json_string(data) : "{}");
    }
    g_mutex_lock(&monitors->lock);
    g_queue_push_tail(&monitors->events, event);
    g_mutex_unlock(&monitors->lock);
    if (g_thread_self() == monitors->main_thread) {
        flush_events(monitors); /* so that RESUME comes before cont's return */
    } else {
        main_loop_post(monitors->machine->loop, flush_events, monitors);
    }
}

/* ---- life ---- */

Monitors *monitors_new(struct Machine *machine)
{
    Monitors *monitors = g_new0(Monitors, 1);
    monitors->machine = machine;
    monitors->main_thread = g_thread_self();
    monitors->sessions = g_ptr_array_new();
    g_mutex_init(&monitors->lock);
    g_queue_init(&monitors->events);
    monitors->io = monitor_io_new();
    return monitors;
}

bool monitors_start(Monitors *monitors, GError **errp)
{
    return monitor_io_start(monitors->io, errp);
}

void monitors_free(Monitors *monitors)
{
    if (!monitors) {
        return;
    }
    dump_state_free(monitors->dump);
    flush_events(monitors);
    monitor_io_free(monitors->io);  /* from here on the chardevs are ours */
    for (guint i = 0; i < monitors->sessions->len; i++) {
        Session *s = g_ptr_array_index(monitors->sessions, i);
        chardev_detach(s->chr, s);
        s->ops->free(s);
    }
    g_ptr_array_free(monitors->sessions, TRUE);
    g_mutex_clear(&monitors->lock);
    g_free(monitors);
}
