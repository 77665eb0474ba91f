/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The short texts of -serial, -monitor and -qmp ("unix:PATH,server=on"),
 * turned into the options of -chardev. Called by char.c; opens nothing.
 */
#include <string.h>
#include "chardev/char-private.h"
#include "util/error.h"

/* Everything behind the first single comma is options already; *head gets what is before. */
static Opts *split_options(const char *rest, char **head, GError **errp)
{
    g_autoptr(GString) text = g_string_new("\x01=");

    g_string_append(text, rest);
    Opts *parsed = opts_parse(text->str, NULL, errp);
    if (!parsed) {
        return NULL;
    }
    *head = g_strdup(opts_get(parsed, "\x01"));
    Opts *opts = opts_new();
    const char *key, *value;
    for (size_t i = 1; opts_nth(parsed, i, &key, &value); i++) {
        opts_set(opts, key, value);
    }
    opts_free(parsed);
    return opts;
}

/* "host:port", "[v6]:port", ":port" */
static bool set_host_port(Opts *opts, const char *text, GError **errp)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !colon[1] || (*text == '[' && (colon == text || colon[-1] != ']'))) {
        error_setg(errp, "'%s' is not HOST:PORT", text);
        return false;
    }
    bool bracket = *text == '[';
    g_autofree char *host = g_strndup(text + bracket, colon - text - 2 * bracket);
    opts_set(opts, "host", host);
    opts_set(opts, "port", colon + 1);
    return true;
}

static Opts *socket_opts(const char *rest, bool is_unix, bool telnet, GError **errp)
{
    g_autofree char *head = NULL;
    Opts *opts = split_options(rest, &head, errp);

    if (!opts) {
        return NULL;
    }
    opts_set(opts, "backend", "socket");
    if (telnet) {
        opts_set(opts, "telnet", "on");
    }
    if (is_unix) {
        opts_set(opts, "path", head);
    } else if (!set_host_port(opts, head, errp)) {
        opts_free(opts);
        return NULL;
    }
    return opts;
}

static Opts *with_backend(const char *backend, const char *key, const char *value)
{
    Opts *opts = opts_new();

    opts_set(opts, "backend", backend);
    if (key) {
        opts_set(opts, key, value);
    }
    return opts;
}

/* -serial vc:80Cx24C */
static bool is_word(const char *text, const char *word)
{
    size_t len = strlen(word);

    return strncmp(text, word, len) == 0 && (text[len] == 0 || text[len] == ':');
}

static Opts *text_to_backend(const char *text, GError **errp)
{
    static const char *const plain[] = { "null", "pty", "stdio", "ringbuf", "memory" };
    static const struct { const char *prefix, *backend, *key; } keyed[] = {
        { "file:", "file", "path" },
        { "pipe:", "pipe", "path" },
        { "fd:", "fd", "fd" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(plain); i++) {
        if (strcmp(text, plain[i]) == 0) {
            return with_backend(plain[i], NULL, NULL);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(keyed); i++) {
        if (g_str_has_prefix(text, keyed[i].prefix)) {
            return with_backend(keyed[i].backend, keyed[i].key, text + strlen(keyed[i].prefix));
        }
    }
    if (is_word(text, "vc")) {
        return with_backend("vc", NULL, NULL);
    }
    if (g_str_has_prefix(text, "unix:")) {
        return socket_opts(text + 5, true, false, errp);
    }
    if (g_str_has_prefix(text, "tcp:")) {
        return socket_opts(text + 4, false, false, errp);
    }
    if (g_str_has_prefix(text, "telnet:")) {
        return socket_opts(text + 7, false, true, errp);
    }
    error_setg(errp, "'%s' is not a valid char driver", text);
    return NULL;
}

Opts *chardev_text_to_opts(const char *label, const char *text, GError **errp)
{
    bool mux = g_str_has_prefix(text, "mon:");
    Opts *opts = text_to_backend(mux ? text + 4 : text, errp);

    if (opts) {
        opts_set(opts, "id", label);
        if (mux) {
            opts_set(opts, "mux", "on");
        }
        if (mux && strcmp(text + 4, "stdio") == 0) {
            opts_set(opts, "signal", "off"); /* Ctrl-c is for the guest */
        }
    }
    return opts;
}
