/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session: greeting, negotiation, one reply per request, events.
 *
 *   connect -> greeting -> [negotiating] --qmp_capabilities--> [command mode]
 *
 * Two threads work on it. The thread of its chardev (the monitor's I/O
 * thread; the main thread behind a mux) reads, parses, and writes. It runs
 * what was sent with exec-oob at once; all else waits in a queue for the main
 * thread, which runs commands under the BQL, in order.
 *
 *   I/O thread:  bytes -> reader -> request --exec-oob--> run -> out -> chardev
 *                                      |                         ^       ^
 *                                   requests                     |     flush
 *   main thread:                       +--> run one at a time ---+-------+
 *
 * Without the capability oob no request is read before the last one was
 * answered; with it as long as fewer than REQUESTS_MAX wait. A lock is held
 * to move things between the two, never while a command runs.
 */
#include <json-c/json.h>
#include <string.h>

#include "monitor/internal.h"
#include "monitor/json-text.h"
#include "monitor/patience.h"
#include "monitor/qmp-request.h"
#include "softmmu/machine.h"
#include "util/error.h"
#include "util/trace-monitor.h"

#define REQUESTS_MAX 8

typedef struct QMPSession {
    Session base;
    bool pretty;                /* set once */

    /* the chardev's thread only */
    JsonReader *reader;
    GByteArray *unread;         /* came behind a request that has to be answered first */
    bool suspended;             /* reading waits for answers */

    /* main thread only */
    QMPRequest *running;
    GSource *later;             /* the next request has to wait; else NULL */

    GMutex lock;
    /* protected by lock */
    GQueue requests;            /* QMPRequest*, oldest first; not the running one */
    bool busy;                  /* one is running or about to, its answer is not in out yet */
    GString *out;               /* text for the chardev, in order */
    unsigned client;            /* counts them, from 1: who has gone gets no answers */
    unsigned negotiated;        /* the client that has sent qmp_capabilities */
    unsigned oob;               /* the client that may send exec-oob */
    bool connected;
} QMPSession;

/* ---- output ---- */

/* Hands out to the chardev. Its thread. */
static void flush(void *opaque)
{
    QMPSession *q = opaque;
    g_mutex_lock(&q->lock);
    GString *text = q->out->len ? q->out : NULL;
    if (text) {
        q->out = g_string_new(NULL);
    }
    g_mutex_unlock(&q->lock);
    if (text) {
        chardev_write_all(q->base.chr, text->str, text->len);
        g_string_free(text, TRUE);
    }
}

static void flush_soon(QMPSession *q)
{
    if (q->base.io) {
        monitor_io_post(q->base.io, flush, q);
    } else {
        flush(q);
    }
}

/* Lock held. */
static void put_json(QMPSession *q, struct json_object *value)
{
    json_write(q->out, value, q->pretty);
    g_string_append(q->out, "\r\n");
}

/* Takes reply, which may be NULL. Any thread. */
static void answer(QMPSession *q, const QMPRequest *r, struct json_object *reply)
{
    g_mutex_lock(&q->lock);
    if (reply && q->connected && r->client == q->client) {
        put_json(q, reply);
    }
    g_mutex_unlock(&q->lock);
    json_object_put(reply);
}

/* ---- requests, main thread ---- */

static void resume(void *opaque);
static void run_next(void *opaque);

/* Lock held: the next in the queue gets its turn. */
static void schedule(QMPSession *q)
{
    if (!q->busy && q->requests.length) {
        q->busy = true;
        main_loop_post(q->base.monitors->machine->loop, run_next, q);
    }
}

static void run_one(QMPSession *q, QMPRequest *r)
{
    Monitors *monitors = q->base.monitors;
    Session *outer = monitors->current;
    QMPRequest *outer_request = q->running;
    g_mutex_lock(&q->lock);
    bool negotiated = r->client == q->negotiated;
    g_mutex_unlock(&q->lock);
    monitors->current = &q->base;
    q->running = r;
    struct json_object *reply = qmp_request_run(r, monitors->machine, negotiated);
    q->running = outer_request;
    monitors->current = outer;
    answer(q, r, reply);
}

static gboolean run_later(gpointer opaque)
{
    QMPSession *q = opaque;
    g_clear_pointer(&q->later, g_source_unref);
    run_next(q);
    return G_SOURCE_REMOVE;
}

/* It keeps its turn: what was sent behind it waits, other sessions go on. */
static bool put_off(QMPSession *q)
{
    struct Machine *machine = q->base.monitors->machine;
    g_mutex_lock(&q->lock);
    QMPRequest *r = g_queue_peek_head(&q->requests);
    g_mutex_unlock(&q->lock);
    if (!r || !qmp_request_has_to_wait(r, machine)) {
        return false;
    }
    q->later = g_timeout_source_new(PATIENCE_LOOK_MS);
    g_source_set_callback(q->later, run_later, q, NULL);
    g_source_attach(q->later, main_loop_context(machine->loop));
    return true;
}

/* Main thread, BQL. One a turn, so that other sources have theirs. */
static void run_next(void *opaque)
{
    QMPSession *q = opaque;
    if (put_off(q)) {
        return;
    }
    g_mutex_lock(&q->lock);
    QMPRequest *r = g_queue_pop_head(&q->requests);
    g_mutex_unlock(&q->lock);
    if (r) {
        run_one(q, r);
        qmp_request_free(r);
    }
    g_mutex_lock(&q->lock);
    q->busy = false;
    schedule(q);
    g_mutex_unlock(&q->lock);
    if (q->base.io) {
        monitor_io_post(q->base.io, resume, q);
    } else {
        resume(q);
    }
}

bool qmp_session_negotiate(Session *s, QMPCapabilityList *enable, GError **errp)
{
    QMPSession *q = (QMPSession *)s;
    if (!s || s->ops != &qmp_session_ops) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
        return false;
    }
    bool oob = enable != NULL;  /* there is no other */
    unsigned client = q->running->client;
    g_mutex_lock(&q->lock);
    bool again = client == q->negotiated;
    if (!again && (!oob || s->io)) {
        q->negotiated = client;
        q->oob = oob ? client : 0;
    }
    g_mutex_unlock(&q->lock);
    if (again) {
        error_set_class(errp, FERRY_ERROR_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
    } else if (oob && !s->io) {
        error_setg(errp, "This monitor shares its character device: it cannot do 'oob'");
    }
    return !again && (!oob || s->io);
}

static int qmp_take_fd(Session *s)
{
    QMPRequest *r = ((QMPSession *)s)->running;
    int fd = r ? r->fd : -1;
    if (r) {
        r->fd = -1;
    }
    return fd;
}

/* ---- requests, the chardev's thread ---- */

static void enqueue(QMPSession *q, QMPRequest *r)
{
    g_mutex_lock(&q->lock);
    g_queue_push_tail(&q->requests, r);
    q->suspended = q->oob != q->client || q->requests.length >= REQUESTS_MAX;
    schedule(q);
    g_mutex_unlock(&q->lock);
}

static void handle_message(void *opaque, struct json_object *value, const GError *parse_error)
{
    QMPSession *q = opaque;
    if (value && trace_handle_qmp_command_on()) {
        trace_handle_qmp_command(q, json_object_to_json_string(value));
    }
    g_mutex_lock(&q->lock);
    bool oob = q->oob == q->client;
    unsigned client = q->client;
    g_mutex_unlock(&q->lock);
    QMPRequest *r = qmp_request_new(value, parse_error, oob);
    r->client = client;
    if (qmp_request_takes_fd(r)) {
        r->fd = chardev_take_fd(q->base.chr);
    }
    if (r->oob) {
        answer(q, r, qmp_request_run(r, q->base.monitors->machine, true));
        qmp_request_free(r);
        flush(q);
    } else {
        enqueue(q, r);
    }
}

/* Byte by byte, as each may complete a request after which nothing may be looked at. */
static void feed(QMPSession *q, const uint8_t *buf, size_t len)
{
    size_t i = 0;
    while (i < len && !q->suspended) {
        json_reader_feed(q->reader, buf + i++, 1);
    }
    g_byte_array_append(q->unread, buf + i, (guint)(len - i));
}

static void feed_unread(QMPSession *q)
{
    GByteArray *bytes = q->unread;
    q->unread = g_byte_array_new();
    feed(q, bytes->data, bytes->len);
    g_byte_array_unref(bytes);
}

/* A request was answered: write that, and read on if that may be. */
static void resume(void *opaque)
{
    QMPSession *q = opaque;
    flush(q);
    g_mutex_lock(&q->lock);
    bool idle = !q->busy && !q->requests.length;
    q->suspended = q->oob == q->client ? q->requests.length >= REQUESTS_MAX : !idle;
    bool go_on = !q->suspended;
    g_mutex_unlock(&q->lock);
    if (go_on) {
        feed_unread(q);
        chardev_accept_input(q->base.chr);
    }
}

/* ---- the session as monitor.c sees it ---- */

static struct json_object *greeting(const QMPSession *q)
{
    struct json_object *top = json_object_new_object(), *qmp = json_object_new_object();
    struct json_object *version = json_object_new_object(), *qemu = json_object_new_object();
    struct json_object *capabilities = json_object_new_array();
    json_object_object_add(qemu, "micro", json_object_new_int(MONITOR_QEMU_MICRO));
    json_object_object_add(qemu, "minor", json_object_new_int(MONITOR_QEMU_MINOR));
    json_object_object_add(qemu, "major", json_object_new_int(MONITOR_QEMU_MAJOR));
    json_object_object_add(version, "qemu", qemu);
    json_object_object_add(version, "package", json_object_new_string(MONITOR_PACKAGE));
    json_object_object_add(qmp, "version", version);
    if (q->base.io) {
        json_object_array_add(capabilities, json_object_new_string("oob"));
    }
    json_object_object_add(qmp, "capabilities", capabilities);
    json_object_object_add(top, "QMP", qmp);
    return top;
}

static void qmp_opened(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    struct json_object *hello = greeting(q);
    json_reader_reset(q->reader);
    g_mutex_lock(&q->lock);
    q->client++;
    q->connected = true;
    q->suspended = q->busy || q->requests.length;   /* what the last one left has its turn first */
    put_json(q, hello);
    g_mutex_unlock(&q->lock);
    json_object_put(hello);
    flush(q);
}

/* What was received is carried out, though nobody waits for the answers any more. */
static void qmp_closed(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    json_reader_feed(q->reader, q->unread->data, q->unread->len);
    g_byte_array_set_size(q->unread, 0);
    json_reader_reset(q->reader);
    g_mutex_lock(&q->lock);
    q->connected = q->suspended = false;
    g_string_truncate(q->out, 0);
    g_mutex_unlock(&q->lock);
}

static size_t qmp_can_read(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    return session_is_backed_up(s) || q->suspended ? 0 : 4096;
}

static void qmp_read(Session *s, const uint8_t *buf, size_t len)
{
    feed((QMPSession *)s, buf, len);
}

static void qmp_event(Session *s, const char *name, struct json_object *event)
{
    QMPSession *q = (QMPSession *)s;
    (void)name;
    g_mutex_lock(&q->lock);
    bool wanted = q->connected && q->negotiated == q->client;
    if (wanted) {
        put_json(q, event);
    }
    g_mutex_unlock(&q->lock);
    if (wanted) {
        flush_soon(q);
    }
}

static void qmp_free(Session *s)
{
    QMPSession *q = (QMPSession *)s;
    if (q->later) {
        g_source_destroy(q->later);
        g_source_unref(q->later);
    }
    g_queue_clear_full(&q->requests, (GDestroyNotify)qmp_request_free);
    json_reader_free(q->reader);
    g_byte_array_unref(q->unread);
    g_string_free(q->out, TRUE);
    g_mutex_clear(&q->lock);
    g_free(q);
}

static void qmp_focused(Session *s)
{
    (void)s; /* a program at the other end has nothing to look at */
}

static Session *qmp_new(Monitors *monitors, Chardev *chr, bool pretty)
{
    QMPSession *q = g_new0(QMPSession, 1);
    q->base = (Session) { .ops = &qmp_session_ops, .monitors = monitors, .chr = chr };
    q->pretty = pretty;
    q->reader = json_reader_new(handle_message, q);
    q->unread = g_byte_array_new();
    q->out = g_string_new(NULL);
    g_mutex_init(&q->lock);
    g_queue_init(&q->requests);
    return &q->base;
}

const SessionOps qmp_session_ops = {
    .kind = "control", .new = qmp_new, .can_read = qmp_can_read, .read = qmp_read,
    .opened = qmp_opened, .closed = qmp_closed, .focused = qmp_focused, .take_fd = qmp_take_fd,
    .event = qmp_event, .free = qmp_free,
};
