/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the list, the front end's side and the output queue.
 * Called by vl, devices and monitors on the main thread; what bytes come
 * from or go to is the back ends' business.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "util/error.h"

/* A monitor client that does not read may make us keep this much, then output is dropped. */
#define QUEUE_MAX_BYTES (64u << 20)

static const ChardevOps *const backends[] = {
    &chardev_socket_ops, &chardev_file_ops, &chardev_stdio_ops, &chardev_pty_ops,
    &chardev_pipe_ops, &chardev_null_ops, &chardev_ringbuf_ops, &chardev_memory_ops,
    &chardev_fd_ops, &chardev_vc_ops,
};

/* ---- the list ---- */

Chardevs *chardevs_new(struct Machine *machine)
{
    Chardevs *chardevs = g_new0(Chardevs, 1);

    chardevs->machine = machine;
    chardevs->list = g_ptr_array_new();
    return chardevs;
}

static void opened_cancel(Chardev *chr)
{
    if (chr->opened_source) {
        g_source_destroy(chr->opened_source);
        g_source_unref(chr->opened_source);
        chr->opened_source = NULL;
    }
}

static void chardev_free(Chardev *chr)
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

void chardevs_free(Chardevs *chardevs)
{
    if (!chardevs) {
        return;
    }
    while (chardevs->list->len) { /* newest first: a mux before its base */
        Chardev *chr = chardevs->list->pdata[chardevs->list->len - 1];
        g_ptr_array_remove_index(chardevs->list, chardevs->list->len - 1);
        chardev_free(chr);
    }
    g_ptr_array_free(chardevs->list, TRUE);
    g_free(chardevs);
}

Chardev *chardev_find(Chardevs *chardevs, const char *id)
{
    for (guint i = 0; i < chardevs->list->len; i++) {
        Chardev *chr = chardevs->list->pdata[i];
        if (strcmp(chr->id, id) == 0) {
            return chr;
        }
    }
    return NULL;
}

size_t chardevs_count(const Chardevs *chardevs)
{
    return chardevs->list->len;
}

Chardev *chardevs_get(const Chardevs *chardevs, size_t i)
{
    return i < chardevs->list->len ? chardevs->list->pdata[i] : NULL;
}

/* ---- creation ---- */

static const ChardevOps *backend_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        if (strcmp(backends[i]->name, name) == 0) {
            return backends[i];
        }
    }
    return NULL;
}

static bool log_open(Chardev *chr, Opts *opts, GError **errp)
{
    const char *path = opts_get(opts, "logfile");
    bool append = false;

    if (!opts_get_bool(opts, "logappend", &append, errp)) {
        return false;
    }
    if (path) {
        int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC);
        chr->log_fd = open(path, flags, 0666);
        if (chr->log_fd < 0) {
            error_setg_errno(errp, errno, "Unable to open logfile %s", path);
            return false;
        }
    }
    return true;
}

static Chardev *chardev_create(Chardevs *chardevs, const char *id, const ChardevOps *ops)
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

/* Opens a back end under the id; options nobody asked for are an error. */
static Chardev *backend_open(Chardevs *chardevs, const char *id, const ChardevOps *ops, Opts *opts,
                             GError **errp)
{
    Chardev *chr = chardev_create(chardevs, id, ops);
    g_autoptr(GError) err = NULL;

    if (!log_open(chr, opts, errp) || !ops->open(chr, opts, errp)) {
        chardev_free(chr);
        return NULL;
    }
    if (!opts_check_used(opts, "chardev", &err)) {
        error_setg(errp, "%s", err->message + strlen("chardev: "));
        chardev_free(chr);
        return NULL;
    }
    g_ptr_array_add(chardevs->list, chr);
    return chr;
}

static Chardev *mux_open(Chardevs *chardevs, const char *id, const ChardevOps *ops, Opts *opts,
                         GError **errp)
{
    g_autofree char *base_id = g_strdup_printf("%s-base", id);
    Chardev *base = backend_open(chardevs, base_id, ops, opts, errp);

    if (!base) {
        return NULL;
    }
    Chardev *mux = chardev_create(chardevs, id, &chardev_mux_ops);
    if (!chardev_mux_wrap(mux, base, errp)) {
        chardev_free(mux);
        return NULL;
    }
    g_ptr_array_add(chardevs->list, mux);
    return mux;
}

static bool id_is_wellformed(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    for (; *id; id++) {
        if (!g_ascii_isalnum(*id) && !strchr("-._", *id)) {
            return false;
        }
    }
    return true;
}

Chardev *chardev_new(Chardevs *chardevs, Opts *opts, GError **errp)
{
    const char *backend = opts_get(opts, "backend");
    const char *id = opts_get(opts, "id");
    bool mux = false;

    if (!backend || !*backend) {
        error_setg(errp, "chardev: no backend specified");
        return NULL;
    }
    const ChardevOps *ops = backend_find(backend);
    if (!ops) {
        error_setg(errp, "'%s' is not a valid char driver name", backend);
        return NULL;
    }
    if (!id) {
        error_setg(errp, "chardev: no id specified");
        return NULL;
    }
    if (!id_is_wellformed(id)) {
        error_setg(errp, "Parameter 'id' expects an identifier, got '%s'", id);
        return NULL;
    }
    if (chardev_find(chardevs, id)) {
        error_setg(errp, "Duplicate ID '%s' for chardev", id);
        return NULL;
    }
    if (!opts_get_bool(opts, "mux", &mux, errp)) {
        return NULL;
    }
    return mux ? mux_open(chardevs, id, ops, opts, errp)
               : backend_open(chardevs, id, ops, opts, errp);
}

Chardev *chardev_from_text(Chardevs *chardevs, const char *label, const char *text, GError **errp)
{
    const char *id;

    if (g_str_has_prefix(text, "chardev:")) {
        id = text + strlen("chardev:");
        Chardev *chr = chardev_find(chardevs, id);
        if (!chr) {
            error_setg(errp, "chardev \"%s\" not found", id);
        }
        return chr;
    }
    Opts *opts = chardev_text_to_opts(label, text, errp);
    if (!opts) {
        return NULL;
    }
    Chardev *chr = chardev_new(chardevs, opts, errp);
    opts_free(opts);
    return chr;
}

static bool has_frontend(const Chardev *chr)
{
    return chr->ops == &chardev_mux_ops ? chardev_mux_has_frontend(chr) : chr->fe != NULL;
}

bool chardev_remove(Chardevs *chardevs, const char *id, GError **errp)
{
    Chardev *chr = chardev_find(chardevs, id);

    if (!chr) {
        error_setg(errp, "Chardev '%s' not found", id);
        return false;
    }
    if (has_frontend(chr)) {
        error_setg(errp, "Chardev '%s' is busy", id);
        return false;
    }
    g_ptr_array_remove(chardevs->list, chr);
    Chardev *base = chr->ops == &chardev_mux_ops ? chardev_mux_base(chr) : NULL;
    chardev_free(chr);
    if (base) {
        g_ptr_array_remove(chardevs->list, base);
        chardev_free(base);
    }
    return true;
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

bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, void *opaque, GError **errp)
{
    if (chr->ops == &chardev_mux_ops) {
        return chardev_mux_attach(chr, fe, opaque, errp);
    }
    if (chr->fe) {
        error_setg(errp, "Device '%s' is in use", chr->id);
        return false;
    }
    chr->fe = fe;
    chr->fe_opaque = opaque;
    opened_post(chr);
    return true;
}

void chardev_detach(Chardev *chr, void *opaque)
{
    if (chr->ops == &chardev_mux_ops) {
        chardev_mux_detach(chr, opaque);
    } else if (chr->fe && chr->fe_opaque == opaque) {
        chr->fe = NULL;
        chr->fe_opaque = NULL;
        chr->guest_closed = false;
        chr->opened_sent = false;
        chr->fe_blocked = false;
        opened_cancel(chr);
        chr->ops->update_input(chr);
    }
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
    return has_frontend(chr) && !chr->guest_closed;
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
    if (chr->ops == &chardev_mux_ops) {
        return chardev_is_tty(chardev_mux_base(chr));
    }
    return chr->ops == &chardev_stdio_ops && isatty(STDIN_FILENO);
}

unsigned chardev_columns(const Chardev *chr)
{
    struct winsize size;
    if (chr->ops == &chardev_mux_ops) {
        return chardev_columns(chardev_mux_base(chr));
    }
    int fd = chr->ops == &chardev_stdio_ops ? STDOUT_FILENO
             : chr->ops == &chardev_pty_ops ? chardev_pty_fd(chr) : -1;
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

    if (chr->ops == &chardev_mux_ops) {
        return chardev_write(chardev_mux_base(chr), buf, len);
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
    if (chr->ops == &chardev_mux_ops) {
        chardev_write_all(chardev_mux_base(chr), buf, len);
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
