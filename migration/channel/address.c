/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a migration goes to or comes from: URI text to ChannelAddress and
 * back. Called by the monitor commands and by -incoming. Resolves and opens
 * nothing.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "migration/channel.h"
#include "util/error.h"
#include "util/near-name.h"
#include "util/opts.h"
#include "util/port.h"

ChannelAddress *channel_address_new(void)
{
    ChannelAddress *a = g_new0(ChannelAddress, 1);

    a->fd = a->direct_fd = -1;
    return a;
}

ChannelAddress *channel_address_copy(const ChannelAddress *a)
{
    ChannelAddress *copy = channel_address_new();

    *copy = *a;
    copy->fd = copy->direct_fd = -1;
    copy->host = g_strdup(a->host);
    copy->port = g_strdup(a->port);
    copy->path = g_strdup(a->path);
    return copy;
}

void channel_address_free(ChannelAddress *a)
{
    if (a) {
        if (a->fd >= 0) {
            close(a->fd);
        }
        if (a->direct_fd >= 0) {
            close(a->direct_fd);
        }
        g_free(a->host);
        g_free(a->port);
        g_free(a->path);
        g_free(a);
    }
}

/* QEMU's sentence, and what was expected. */
static bool refuse_tcp(const char *text, GError **errp)
{
    error_setg(errp, "error parsing address '%s': HOST:PORT is expected, such as localhost:4444 or "
               "[::1]:4444", text);
    return false;
}

/* "name", "name=on" or "name=off". */
static bool parse_switch(const char *value, const char *name, ChannelSwitch *out, GError **errp)
{
    bool on = true;

    if (value && !parse_bool(value, &on)) {
        error_setg(errp, "error parsing '%s' flag '=%s': expected on or off", name, value);
        return false;
    }
    *out = on ? CHANNEL_ON : CHANNEL_OFF;
    return true;
}

static bool parse_last_port(const char *value, uint16_t *out, GError **errp)
{
    if (!value || !port_parse(value, out) || *out == 0) {
        error_setg(errp, "error parsing to= argument: '%s' is not a port number", value ? value : "");
        return false;
    }
    return true;
}

static bool parse_tcp_option(ChannelAddress *a, const char *name, const char *value, GError **errp)
{
    const struct {
        const char *name;
        ChannelSwitch *out;
    } switches[] = {
        { "ipv4", &a->ipv4 }, { "ipv6", &a->ipv6 }, { "keep-alive", &a->keep_alive },
        { "mptcp", &a->mptcp },
    };
    ChannelSwitch numeric;

    for (size_t i = 0; i < G_N_ELEMENTS(switches); i++) {
        if (g_str_equal(name, switches[i].name)) {
            return parse_switch(value, name, switches[i].out, errp);
        }
    }
    if (g_str_equal(name, "numeric")) {
        bool ok = parse_switch(value, name, &numeric, errp);
        a->numeric = ok && numeric == CHANNEL_ON;
        return ok;
    }
    if (g_str_equal(name, "to")) {
        return parse_last_port(value, &a->to, errp);
    }
    error_setg(errp, "Invalid option '%s' in address: expected to, ipv4, ipv6, keep-alive, mptcp or "
               "numeric", name);
    return false;
}

static bool parse_tcp_options(ChannelAddress *a, const char *options, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(options, ",", -1);

    for (char **o = list; *o; o++) {
        char *value = strchr(*o, '=');
        if (value) {
            *value++ = '\0';
        }
        if (!parse_tcp_option(a, *o, value, errp)) {
            return false;
        }
    }
    return true;
}

static bool parse_port(ChannelAddress *a, const char *text, GError **errp)
{
    return *a->port ? port_check(a->port, text, errp) : refuse_tcp(text, errp);
}

/* host:port, :port, [v6]:port, each with options behind. */
static bool parse_tcp(ChannelAddress *a, const char *text, GError **errp)
{
    const char *options = strchr(text, ',');
    g_autofree char *address = options ? g_strndup(text, options - text) : g_strdup(text);
    char *colon;

    if (address[0] == '[') {
        char *close = strchr(address, ']');
        if (!close || close[1] != ':') {
            error_setg(errp, "error parsing IPv6 address '%s': [ADDRESS]:PORT is expected", text);
            return false;
        }
        a->host = g_strndup(address + 1, close - address - 1);
        a->port = g_strdup(close + 2);
        return parse_port(a, text, errp) && (!options || parse_tcp_options(a, options + 1, errp));
    }
    colon = strchr(address, ':');
    if (!colon) {
        return refuse_tcp(text, errp);
    }
    if (address[0] == ':' && !address[1]) {
        error_setg(errp, "error parsing port in address '%s': a number or a service's name is "
                   "expected", text);
        return false;
    }
    if (strchr(colon + 1, ':')) {
        return refuse_tcp(text, errp);
    }
    a->host = g_strndup(address, colon - address);
    a->port = g_strdup(colon + 1);
    return parse_port(a, text, errp) && (!options || parse_tcp_options(a, options + 1, errp));
}

/* 0, or the errno that says what is wrong. */
static int parse_offset(const char *text, uint64_t *offset)
{
    const char *digits = text + (*text == '-');

    if (!parse_size(digits, 1, offset)) {
        /* Half a number is none; one that is a number but for its size is out of range. */
        size_t n = strspn(digits, "0123456789");
        return n > 0 && (!digits[n] || (strchr("kKmMgGtTpPeE", digits[n]) && !digits[n + 1]))
                   ? ERANGE : EINVAL;
    }
    return *text == '-' || *offset > INT64_MAX ? ERANGE : 0;
}

static bool parse_file(ChannelAddress *a, const char *text, GError **errp)
{
    static const char key[] = ",offset=";
    const char *option = strstr(text, key);

    a->path = option ? g_strndup(text, option - text) : g_strdup(text);
    if (option) {
        int err = parse_offset(option + strlen(key), &a->offset);
        if (err) {
            error_setg(errp, "file URI has bad offset %s: %s: bytes are expected, such as 4096 or 1M",
                       option + strlen(key), g_strerror(err));
            return false;
        }
    }
    return true;
}

static bool parse_path(ChannelAddress *a, const char *text, const char *if_empty, GError **errp)
{
    if (!*text && if_empty) {
        error_setg(errp, "%s", if_empty);
        return false;
    }
    a->path = g_strdup(text);
    return true;
}

/* What was meant, if that is plain: a near miss of a scheme, one left out. Caller frees; or NULL. */
static char *meant_uri(const char *uri)
{
    static const char *const schemes[] = { "tcp", "unix", "fd", "exec", "file", NULL };
    const char *colon = strchr(uri, ':'), *last = strrchr(uri, ':');
    g_autofree char *scheme = g_strndup(uri, colon ? (size_t)(colon - uri) : strlen(uri));
    const char *near = colon ? near_name(schemes, scheme) : NULL;

    if (near) {
        return g_strdup_printf("'%s%s'", near, colon);
    }
    if (*uri == '/' || *uri == '.') {
        return g_strdup_printf("'unix:%s' or 'file:%s'", uri, uri);
    }
    bool port = last && last[1] && !last[1 + strspn(last + 1, "0123456789")];
    return port && (last == colon || *uri == '[') ? g_strdup_printf("'tcp:%s'", uri) : NULL;
}

static void refuse_protocol(const char *uri, GError **errp)
{
    g_autofree char *meant = meant_uri(uri);

    if (meant) {
        error_setg(errp, "unknown migration protocol: %s: did you mean %s?", uri, meant);
    } else {
        error_setg(errp, "unknown migration protocol: %s: use tcp:HOST:PORT, unix:PATH, fd:NAME, "
                   "exec:COMMAND or file:PATH", uri);
    }
}

static bool parse_uri(ChannelAddress *a, const char *uri, GError **errp)
{
    if (g_str_has_prefix(uri, "tcp:")) {
        a->kind = CHANNEL_TCP;
        return parse_tcp(a, uri + 4, errp);
    }
    if (g_str_has_prefix(uri, "unix:")) {
        a->kind = CHANNEL_UNIX;
        return parse_path(a, uri + 5, "invalid Unix socket address: unix:PATH is expected", errp);
    }
    if (g_str_has_prefix(uri, "fd:")) {
        a->kind = CHANNEL_FD;
        return parse_path(a, uri + 3, "invalid file descriptor address: fd:NAME or fd:NUMBER is "
                          "expected", errp);
    }
    if (g_str_has_prefix(uri, "exec:")) {
        a->kind = CHANNEL_EXEC;
        return parse_path(a, uri + 5, NULL, errp);
    }
    if (g_str_has_prefix(uri, "file:")) {
        a->kind = CHANNEL_FILE;
        return parse_file(a, uri + 5, errp);
    }
    refuse_protocol(uri, errp);
    return false;
}

ChannelAddress *channel_address_parse(const char *uri, GError **errp)
{
    ChannelAddress *a = channel_address_new();

    if (!parse_uri(a, uri, errp) || !channel_address_check(a, errp)) {
        channel_address_free(a);
        return NULL;
    }
    return a;
}

bool channel_address_check(const ChannelAddress *a, GError **errp)
{
    uint16_t port;

    if (a->ipv4 == CHANNEL_OFF && a->ipv6 == CHANNEL_OFF) {
        error_setg(errp, "Cannot disable IPv4 and IPv6 at same time");
        return false;
    }
    if (a->kind == CHANNEL_TCP) {
        g_autofree char *address = g_strdup_printf("%s:%s", a->host, a->port);
        if (!port_check(a->port, address, errp)) {
            return false;
        }
    }
    if (a->to && (!port_parse(a->port, &port) || port > a->to)) {
        error_setg(errp, "The ports from %s to %u are none: 'to' is the last of a range that begins "
                   "with the port's number", a->port, a->to);
        return false;
    }
    return true;
}

static void append_switch(GString *text, const char *name, ChannelSwitch value)
{
    if (value) {
        g_string_append_printf(text, ",%s=%s", name, value == CHANNEL_ON ? "on" : "off");
    }
}

static char *tcp_to_string(const ChannelAddress *a)
{
    GString *text = g_string_new(NULL);

    g_string_printf(text, strchr(a->host, ':') ? "tcp:[%s]:%s" : "tcp:%s:%s", a->host, a->port);
    if (a->to) {
        g_string_append_printf(text, ",to=%u", a->to);
    }
    append_switch(text, "ipv4", a->ipv4);
    append_switch(text, "ipv6", a->ipv6);
    append_switch(text, "keep-alive", a->keep_alive);
    append_switch(text, "mptcp", a->mptcp);
    append_switch(text, "numeric", a->numeric ? CHANNEL_ON : CHANNEL_UNSAID);
    return g_string_free(text, FALSE);
}

char *channel_address_to_string(const ChannelAddress *a)
{
    switch (a->kind) {
    case CHANNEL_TCP:
        return tcp_to_string(a);
    case CHANNEL_UNIX:
        return g_strdup_printf("unix:%s", a->path);
    case CHANNEL_FD:
        return g_strdup_printf("fd:%s", a->path);
    case CHANNEL_EXEC:
        return g_strdup_printf("exec:%s", a->path);
    case CHANNEL_FILE:
        return a->offset ? g_strdup_printf("file:%s,offset=0x%" G_GINT64_MODIFIER "x", a->path,
                                           a->offset)
                         : g_strdup_printf("file:%s", a->path);
    }
    return NULL;
}
