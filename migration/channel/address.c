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

ChannelAddress *channel_address_new(void)
{
    ChannelAddress *a = g_new0(ChannelAddress, 1);

    a->fd = -1;
    return a;
}

ChannelAddress *channel_address_copy(const ChannelAddress *a)
{
    ChannelAddress *copy = channel_address_new();

    *copy = *a;
    copy->fd = -1;
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
        g_free(a->host);
        g_free(a->port);
        g_free(a->path);
        g_free(a);
    }
}

static bool parse_switch(const char *option, const char *name, bool *on)
{
    size_t len = strlen(name);

    if (strncmp(option, name, len) != 0) {
        return false;
    }
    if (option[len] == '\0' || g_str_equal(option + len, "=on")) {
        *on = true;
        return true;
    }
    *on = false;
    return g_str_equal(option + len, "=off");
}

/* ",ipv4[=on|off]" and ",ipv6[=on|off]"; refusing one family asks for the other. */
static bool parse_tcp_options(ChannelAddress *a, const char *options, GError **errp)
{
    g_auto(GStrv) list = g_strsplit(options, ",", -1);

    for (char **o = list; *o; o++) {
        bool on;
        if (parse_switch(*o, "ipv4", &on)) {
            a->ipv4 |= on;
            a->ipv6 |= !on;
        } else if (parse_switch(*o, "ipv6", &on)) {
            a->ipv6 |= on;
            a->ipv4 |= !on;
        } else {
            error_setg(errp, "Invalid option '%s' in address: expected ipv4 or ipv6", *o);
            return false;
        }
    }
    return true;
}

static bool parse_port(ChannelAddress *a, const char *text, GError **errp)
{
    char *end;
    unsigned long port = strtoul(a->port, &end, 10);

    if (!*a->port) {
        error_setg(errp, "error parsing address '%s'", text);
        return false;
    }
    if (*end == '\0' && port > 65535) {
        error_setg(errp, "Port number %s in address '%s' is not in the range 0..65535", a->port,
                   text);
        return false;
    }
    return true;
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
            error_setg(errp, "error parsing IPv6 address '%s'", text);
            return false;
        }
        a->host = g_strndup(address + 1, close - address - 1);
        a->port = g_strdup(close + 2);
        return parse_port(a, text, errp) && (!options || parse_tcp_options(a, options + 1, errp));
    }
    colon = strchr(address, ':');
    if (!colon) {
        error_setg(errp, "error parsing address '%s'", text);
        return false;
    }
    if (address[0] == ':' && !address[1]) {
        error_setg(errp, "error parsing port in address '%s'", text);
        return false;
    }
    if (strchr(colon + 1, ':')) {
        error_setg(errp, "error parsing address '%s'", text);
        return false;
    }
    a->host = g_strndup(address, colon - address);
    a->port = g_strdup(colon + 1);
    return parse_port(a, text, errp) && (!options || parse_tcp_options(a, options + 1, errp));
}

/* Decimal or 0x..., with an optional size suffix. 0, or the errno that says what is wrong. */
static int parse_offset(const char *text, uint64_t *offset)
{
    static const char suffixes[] = "BKMGTPE";
    char *end;

    if (*text == '-') {
        return ERANGE;
    }
    if (!g_ascii_isdigit(*text)) {
        return EINVAL;
    }
    errno = 0;
    *offset = g_ascii_strtoull(text, &end, g_str_has_prefix(text, "0x") ? 16 : 10);
    if (errno) {
        return errno;
    }
    if (*end) {
        const char *s = strchr(suffixes, g_ascii_toupper(*end));
        if (!s || end[1]) {
            return EINVAL;
        }
        unsigned shift = 10 * (s - suffixes);
        if (shift && *offset >> (64 - shift)) {
            return ERANGE;
        }
        *offset <<= shift;
    }
    return *offset > INT64_MAX ? ERANGE : 0;
}

static bool parse_file(ChannelAddress *a, const char *text, GError **errp)
{
    static const char key[] = ",offset=";
    const char *option = strstr(text, key);

    a->path = option ? g_strndup(text, option - text) : g_strdup(text);
    if (option) {
        int err = parse_offset(option + strlen(key), &a->offset);
        if (err) {
            error_setg_errno(errp, err, "file URI has bad offset %s", option + strlen(key));
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

static bool parse_uri(ChannelAddress *a, const char *uri, GError **errp)
{
    if (g_str_has_prefix(uri, "tcp:")) {
        a->kind = CHANNEL_TCP;
        return parse_tcp(a, uri + 4, errp);
    }
    if (g_str_has_prefix(uri, "unix:")) {
        a->kind = CHANNEL_UNIX;
        return parse_path(a, uri + 5, "invalid Unix socket address", errp);
    }
    if (g_str_has_prefix(uri, "fd:")) {
        a->kind = CHANNEL_FD;
        return parse_path(a, uri + 3, "invalid file descriptor address", errp);
    }
    if (g_str_has_prefix(uri, "exec:")) {
        a->kind = CHANNEL_EXEC;
        return parse_path(a, uri + 5, NULL, errp);
    }
    if (g_str_has_prefix(uri, "file:")) {
        a->kind = CHANNEL_FILE;
        return parse_file(a, uri + 5, errp);
    }
    error_setg(errp, "unknown migration protocol: %s", uri);
    return false;
}

ChannelAddress *channel_address_parse(const char *uri, GError **errp)
{
    ChannelAddress *a = channel_address_new();

    if (!parse_uri(a, uri, errp)) {
        channel_address_free(a);
        return NULL;
    }
    return a;
}

char *channel_address_to_string(const ChannelAddress *a)
{
    switch (a->kind) {
    case CHANNEL_TCP:
        return g_strdup_printf(strchr(a->host, ':') ? "tcp:[%s]:%s%s%s" : "tcp:%s:%s%s%s", a->host,
                               a->port, a->ipv4 ? ",ipv4=on" : "", a->ipv6 ? ",ipv6=on" : "");
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
