/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the list and the table of back ends. Called by vl,
 * devices and monitors on the main thread; no back end calls it. What one
 * device does is char-fe.c's, what bytes come from or go to the back ends'.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "util/error.h"
#include "util/near-name.h"

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

void chardevs_continued(Chardevs *chardevs)
{
    for (size_t i = 0; i < chardevs_count(chardevs); i++) {
        chardev_continued(chardevs_get(chardevs, i));
    }
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

static void error_no_backend(const char *name, GError **errp)
{
    const char *names[G_N_ELEMENTS(backends)];

    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        names[i] = backends[i]->name;
    }
    g_autofree char *hint = near_hint(names, sizeof(names[0]), G_N_ELEMENTS(names), name);
    error_setg(errp, "'%s' is not a valid char driver name%s", name, hint);
}

const char *chardev_backend_name(size_t i)
{
    return i < G_N_ELEMENTS(backends)    ? backends[i]->name
           : i == G_N_ELEMENTS(backends) ? chardev_mux_ops.name
                                         : NULL;
}

static bool log_open(Chardev *chr, Opts *opts, GError **errp)
{
    const char *path = opts_get(opts, "logfile");
    bool append = false;

    if (!opts_get_bool(opts, "logappend", &append, errp)) {
        return false;
    }
    if (path) {
        int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC) |
                    (chr->hot ? O_NONBLOCK : 0);
        chr->log_fd = open(path, flags, 0666);
        if (chr->log_fd < 0) {
            error_setg_errno(errp, errno, "Unable to open logfile %s", path);
            return false;
        }
    }
    return true;
}

/* Opens a back end that is not in the list yet; options nobody asked for are an error. */
static Chardev *backend_open(Chardevs *chardevs, const char *id, const ChardevOps *ops, bool hot,
                             Opts *opts, GError **errp)
{
    Chardev *chr = chardev_create(chardevs, id, ops);
    g_autoptr(GError) err = NULL;

    chr->hot = hot;
    if (!log_open(chr, opts, errp) || !ops->open(chr, opts, errp)) {
        chardev_free(chr);
        return NULL;
    }
    if (!opts_check_used(opts, "chardev", &err)) {
        error_setg(errp, "%s", err->message + strlen("chardev: "));
        chardev_free(chr);
        return NULL;
    }
    return chr;
}

static Chardev *backend_add(Chardevs *chardevs, const char *id, const ChardevOps *ops, bool hot,
                            Opts *opts, GError **errp)
{
    Chardev *chr = backend_open(chardevs, id, ops, hot, opts, errp);

    if (chr) {
        g_ptr_array_add(chardevs->list, chr);
    }
    return chr;
}

static Chardev *mux_create(Chardevs *chardevs, const char *id, const ChardevOps *ops, bool hot,
                           Opts *opts, GError **errp)
{
    g_autofree char *base_id = g_strdup_printf("%s-base", id);
    Chardev *base = backend_add(chardevs, base_id, ops, hot, opts, errp);

    if (!base) {
        return NULL;
    }
    Chardev *mux = chardev_create(chardevs, id, &chardev_mux_ops);
    mux->base = base;
    if (!mux->ops->open(mux, opts, errp)) {
        chardev_free(mux);
        return NULL;
    }
    g_ptr_array_add(chardevs->list, mux);
    return mux;
}

static Chardev *new_from_opts(Chardevs *chardevs, Opts *opts, bool hot, GError **errp)
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
        error_no_backend(backend, errp);
        return NULL;
    }
    if (!id) {
        error_setg(errp, "chardev: no id specified");
        return NULL;
    }
    if (!id_wellformed(id)) {
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
    return mux ? mux_create(chardevs, id, ops, hot, opts, errp)
               : backend_add(chardevs, id, ops, hot, opts, errp);
}

Chardev *chardev_new(Chardevs *chardevs, Opts *opts, GError **errp)
{
    return new_from_opts(chardevs, opts, false, errp);
}

Chardev *chardev_hot_new(Chardevs *chardevs, Opts *opts, GError **errp)
{
    return new_from_opts(chardevs, opts, true, errp);
}

Chardev *chardev_add(Chardevs *chardevs, const char *id, Opts *opts, GError **errp)
{
    const ChardevOps *ops = backend_find(opts_get(opts, "backend"));
    g_autoptr(GError) err = NULL;

    if (chardev_find(chardevs, id)) {
        error_setg(errp, "Chardev with id '%s' already exists", id);
        return NULL;
    }
    if (!ops) {
        error_setg(errp, "'%s' is not a valid char driver name", opts_get(opts, "backend"));
        return NULL;
    }
    Chardev *chr = backend_add(chardevs, id, ops, true, opts, &err);
    if (!chr) {
        error_setg(errp, "Failed to add chardev '%s': %s", id, err->message);
    }
    return chr;
}

Chardev *chardev_change(Chardevs *chardevs, const char *id, Opts *opts, GError **errp)
{
    const ChardevOps *ops = backend_find(opts_get(opts, "backend"));
    Chardev *old = chardev_find(chardevs, id);

    if (!old || !ops) {
        error_setg(errp, !old ? "Chardev '%s' does not exist"
                              : "'%s' is not a valid char driver name",
                   !old ? id : opts_get(opts, "backend"));
        return NULL;
    }
    if (old->base || opts_get(opts, "mux")) {
        error_setg(errp, "Mux device hotswap not supported yet");
        return NULL;
    }
    if (old->fe && !old->fe->change) {
        error_setg(errp, "Chardev user does not support chardev hotswap");
        return NULL;
    }
    Chardev *chr = backend_open(chardevs, id, ops, true, opts, errp);
    if (chr) {
        g_ptr_array_remove(chardevs->list, old);
        g_ptr_array_add(chardevs->list, chr);
        chardev_hand_over(old, chr);
        chardev_free(old);
    }
    return chr;
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

bool chardev_remove(Chardevs *chardevs, const char *id, GError **errp)
{
    Chardev *chr = chardev_find(chardevs, id);

    if (!chr) {
        error_setg(errp, "Chardev '%s' not found", id);
        return false;
    }
    if (chr->ops->front->is_open(chr)) {
        error_setg(errp, "Chardev '%s' is busy", id);
        return false;
    }
    g_ptr_array_remove(chardevs->list, chr);
    Chardev *base = chr->base;
    chardev_free(chr);
    if (base) {
        g_ptr_array_remove(chardevs->list, base);
        chardev_free(base);
    }
    return true;
}

bool chardev_send_break(Chardevs *chardevs, const char *id, GError **errp)
{
    Chardev *chr = chardev_find(chardevs, id);

    if (!chr) {
        error_setg(errp, "Chardev '%s' not found", id);
        return false;
    }
    if (!chr->context && chr->base) { /* a mux: its front end is that of the base */
        chr = chr->base;
    }
    if (!chr->context && chr->fe) { /* else a QMP session: its thread's, and it knows no breaks */
        chr->fe->event(chr->fe_opaque, CHARDEV_BREAK);
    }
    return true;
}
