/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One character device: its birth and end, the front end's side, the queue
 * of output, and what back ends tell it. Called by char.c, back ends, devices
 * and monitors on the thread of its context; knows no back end by name.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "util/error.h"

/* A monitor client that does not read may make us keep this much, then output is dropped. */
#define QUEUE_MAX_BYTES (64u << 20)

/* ---- birth and end ---- */

Chardev *chardev_create(Chardevs *chardevs, const char *id, const ChardevOps *ops)
{
    Chardev *chr = g_new0(Chardev, 1);

    chr->owner = chardevs;
    chr->id = g_strdup(id);
    chr->ops = ops;
    chr->queue = g_byte_array_new();
    chr->log_fd = -1;
    g_mutex_init(&chr->lock);
    return chr;
}

static void opened_cancel(Chardev *chr)
{
    if (chr->opened_source) {
        g_source_destroy(chr->opened_source);
        g_source_unref(chr->opened_source);
        chr->opened_source = NULL;
    }
}

void chardev_free(Chardev *chr)
{
    if (chr->queue->len) {
        chr->ops->write(chr, chr->queue->data, chr->queue->len); /* last words, as far as they go */
    }
    opened_cancel(chr);
    chr->fe = NULL;
    chr->opened_sent = false; /* whoever was in front has gone before us */
    chr->ops->close(chr);
    if (chr->log_fd >= 0) {
        close(chr->log_fd);
    }
    g_byte_array_free(chr->queue, TRUE);
    g_mutex_clear(&chr->lock);
    g_free(chr->id);
    g_free(chr);
}

/* ---- the front end ---- */

static gboolean opened_send(gpointer user_data)
{
    Chardev *chr = user_data;

    g_source_unref(chr->opened_source);
    chr->opened_source = NULL;
    if (chr->fe && chr->connected && !chr->opened_sent) {
        chr->opened_sent = true;
        chr->fe->event(chr->fe_opaque, CHARDEV_OPENED);
    }
    chr->ops->update_input(chr);
    return G_SOURCE_REMOVE;
}

/*
 * OPENED is sent by the main loop: no monitor greets and no device talks
 * before the machine is complete, or a start-up error could not be the last
 * word.
 */
static void opened_post(Chardev *chr)
{
    if (chr->fe && chr->connected && !chr->opened_sent && !chr->opened_source) {
        chr->opened_source = g_idle_source_new();
        g_source_set_priority(chr->opened_source, G_PRIORITY_DEFAULT);
        g_source_set_callback(chr->opened_source, opened_send, chr, NULL);
        g_source_attach(chr->opened_source, chardev_context(chr));
    }
}

static bool one_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp)
{
    if (chr->fe) {
        error_setg(errp, "Device '%s' is in use", chr->id);
        return false;
    }
    chr->fe = fe;
    chr->fe_opaque = opaque;
    opened_post(chr);
    return true;
}

static void one_detach(Chardev *chr, void *opaque)
{
    if (chr->fe && chr->fe_opaque == opaque) {
        chr->fe = NULL;
        chr->fe_opaque = NULL;
        chr->guest_closed = false;
        chr->opened_sent = false;
        chr->fe_blocked = false;
        opened_cancel(chr);
        chr->ops->update_input(chr);
    }
}

/*
 * The front end is told of the new one first, so that it writes there. What it
 * knows of the far end stays true: it hears CLOSED, nothing, or OPENED later.
 */
void chardev_hand_over(Chardev *old, Chardev *chr)
{
    const ChardevFrontend *fe = old->fe;
    void *opaque = old->fe_opaque;
    bool knew = old->opened_sent;

    if (!fe) {
        return;
    }
    fe->change(opaque, chr);
    chr->fe = fe;
    chr->fe_opaque = opaque;
    chr->guest_closed = old->guest_closed;
    chr->fe_blocked = old->fe_blocked;
    chr->opened_sent = knew && chr->connected;
    one_detach(old, opaque);
    if (knew && !chr->connected) {
        fe->event(opaque, CHARDEV_CLOSED);
    }
    opened_post(chr);
    chardev_output_ready(chr); /* the new one has room for who waits */
    chr->ops->update_input(chr);
}

GMainContext *chardev_context(const Chardev *chr)
{
    return chr->context ? chr->context : main_loop_context(chr->owner->machine->loop);
}

bool chardev_set_context(Chardev *chr, GMainContext *context)
{
    if (!chr->ops->update_context || chr->fe) {
        return false;
    }
    chr->context = context;
    chr->ops->update_context(chr);
    return true;
}

static bool one_is_open(const Chardev *chr)
{
    return chr->fe != NULL;
}

const ChardevFront chardev_one_front = { one_attach, one_detach, one_is_open };

bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp)
{
    return chr->ops->front->attach(chr, fe, opaque, errp);
}

void chardev_detach(Chardev *chr, void *opaque)
{
    chr->ops->front->detach(chr, opaque);
}

void chardev_accept_input(Chardev *chr)
{
    chr->ops->update_input(chr);
}

const char *chardev_id(const Chardev *chr)
{
    return chr->id;
}

char *chardev_filename(const Chardev *chr)
{
    return chr->ops->filename(chr);
}

bool chardev_frontend_open(const Chardev *chr)
{
    return chr->ops->front->is_open(chr) && !chr->guest_closed;
}

void chardev_set_frontend_open(Chardev *chr, bool open)
{
    chr->guest_closed = !open;
}

bool chardev_is_connected(const Chardev *chr)
{
    return chr->connected;
}

bool chardev_is_tty(const Chardev *chr)
{
    return chr->base ? chardev_is_tty(chr->base) : chr->ops->is_tty(chr);
}

unsigned chardev_columns(const Chardev *chr)
{
    struct winsize size;
    int fd = chr->base ? chr->base->ops->terminal(chr->base) : chr->ops->terminal(chr);

    return fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* ---- output ---- */

static void log_write(Chardev *chr, const void *buf, size_t len)
{
    if (chr->log_fd >= 0) {
        ssize_t ignored = write(chr->log_fd, buf, len);
        (void)ignored;
    }
}

size_t chardev_write(Chardev *chr, const void *buf, size_t len)
{
    size_t done = 0;

    if (chr->base) {
        return chardev_write(chr->base, buf, len);
    }
    if (chr->queue->len == 0 && len) {
        done = chr->ops->write(chr, buf, len);
    }
    log_write(chr, buf, done);
    if (done < len) {
        chr->fe_blocked = true;
    }
    return done;
}

void chardev_write_all(Chardev *chr, const void *buf, size_t len)
{
    if (chr->base) {
        chardev_write_all(chr->base, buf, len);
        return;
    }
    size_t done = chr->queue->len == 0 ? chr->ops->write(chr, buf, len) : 0;
    log_write(chr, buf, len);
    if (done < len && chr->queue->len + (len - done) <= QUEUE_MAX_BYTES) {
        g_byte_array_append(chr->queue, (const uint8_t *)buf + done, len - done);
    }
}

size_t chardev_pending(Chardev *chr)
{
    if (chr->queue->len) {
        chr->fe_blocked = true;
    }
    return chr->queue->len;
}

void chardev_output_ready(Chardev *chr)
{
    if (chr->queue->len) {
        size_t done = chr->ops->write(chr, chr->queue->data, chr->queue->len);
        g_byte_array_remove_range(chr->queue, 0, done);
        if (chr->queue->len == 0) { /* what one answer needed is given back */
            g_byte_array_free(chr->queue, TRUE);
            chr->queue = g_byte_array_new();
        }
    }
    if (chr->queue->len == 0 && chr->fe_blocked) {
        chr->fe_blocked = false;
        if (chr->fe) {
            chr->fe->event(chr->fe_opaque, CHARDEV_WRITABLE);
        }
    }
}

/* ---- for back ends ---- */

size_t chardev_can_read(Chardev *chr)
{
    return chr->fe && chr->opened_sent ? chr->fe->can_read(chr->fe_opaque) : 0;
}

void chardev_input(Chardev *chr, const uint8_t *buf, size_t len)
{
    if (chr->fe && len) {
        chr->fe->read(chr->fe_opaque, buf, len);
    }
}

void chardev_set_connected(Chardev *chr, bool connected)
{
    if (chr->connected == connected) {
        return;
    }
    chr->connected = connected;
    if (connected) {
        opened_post(chr);
        return;
    }
    g_byte_array_set_size(chr->queue, 0); /* meant for who has gone */
    opened_cancel(chr);
    if (chr->opened_sent) {
        chr->opened_sent = false;
        chr->fe->event(chr->fe_opaque, CHARDEV_CLOSED);
    }
    chardev_output_ready(chr); /* who waited for room may go on: output is dropped now */
}

void chardev_no_input(Chardev *chr)
{
}

char *chardev_plain_filename(const Chardev *chr)
{
    return g_strdup(chr->ops->name);
}

int chardev_take_fd(Chardev *chr)
{
    return chr->base ? chardev_take_fd(chr->base) : chr->ops->take_fd(chr);
}

int chardev_no_fd(Chardev *chr)
{
    return -1;
}

int chardev_no_terminal(const Chardev *chr)
{
    return -1;
}

bool chardev_no_tty(const Chardev *chr)
{
    return false;
}
