/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -readconfig: options out of a file in QEMU's form. A group is an option
 * without its dash, or the longer name that QEMU has for it:
 *
 *   [chardev "c0"]          -chardev id=c0,backend=null
 *     backend = "null"
 *
 * Called by cmdline.c; each group goes through the handler of its option.
 */
#include <stdio.h>
#include <string.h>
#include "softmmu/cmdline.h"
#include "util/error.h"

typedef struct Group {
    const char *name;       /* in the file */
    const char *option;
    OptionHandler *handle;
} Group;

static const Group groups[] = {
    { "accel", "accel", handle_accel }, { "add-fd", "add-fd", handle_add_fd },
    { "boot-opts", "boot", handle_boot }, { "chardev", "chardev", handle_chardev },
    { "device", "device", handle_device }, { "drive", "drive", handle_drive },
    { "global", "global", handle_global }, { "machine", "machine", handle_machine },
    { "memory", "m", handle_m }, { "mon", "mon", handle_mon }, { "msg", "msg", handle_msg },
    { "name", "name", handle_name }, { "netdev", "netdev", handle_netdev },
    { "numa", "numa", handle_numa }, { "object", "object", handle_object },
    { "overcommit", "overcommit", handle_overcommit }, { "rtc", "rtc", handle_rtc },
    { "sandbox", "sandbox", handle_sandbox }, { "smp-opts", "smp", handle_smp },
    { "trace", "trace", handle_trace },
};

/* The group that is being read. */
typedef struct Reading {
    CommandLine *cl;
    const Group *group;     /* NULL before the first */
    unsigned line;          /* where it began */
    GString *text;          /* "key=value,..." */
} Reading;

static void add_pair(Reading *r, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", parts);

    g_string_append_printf(r->text, "%s%s=%s", r->text->len ? "," : "", key, doubled);
}

/* What has been gathered goes to its handler. */
static bool finish_group(Reading *r, GError **errp)
{
    if (!r->group) {
        return true;
    }
    if (!r->group->handle(r->cl, r->group->option, r->text->str, errp)) {
        error_prepend(errp, "line %u: [%s]: ", r->line, r->group->name);
        return false;
    }
    return true;
}

static bool begin_group(Reading *r, const char *line, unsigned number, GError **errp)
{
    char name[64] = "", id[128] = "";
    int used = 0;

    if (sscanf(line, "[%63[^] \"] \"%127[^\"]\"] %n", name, id, &used) != 2 || !used || line[used]) {
        used = 0;
        *id = 0;
        if (sscanf(line, "[%63[^] \"]] %n", name, &used) != 1 || !used || line[used]) {
            error_setg(errp, "line %u: expected [GROUP] or [GROUP \"ID\"], got '%s'", number, line);
            return false;
        }
    }
    r->group = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (strcmp(groups[i].name, name) == 0) {
            r->group = &groups[i];
        }
    }
    if (!r->group) {
        error_setg(errp, "line %u: There is no option group '%s'", number, name);
        return false;
    }
    r->line = number;
    g_string_truncate(r->text, 0);
    if (*id) {
        add_pair(r, "id", id);
    }
    return true;
}

/* key = "value" */
static bool read_pair(Reading *r, char *line, unsigned number, GError **errp)
{
    char *equals = strchr(line, '='), *value = equals ? g_strstrip(equals + 1) : NULL;
    size_t len = value ? strlen(value) : 0;

    if (!r->group) {
        error_setg(errp, "line %u: no group defined", number);
        return false;
    }
    if (!equals || equals == line || len < 2 || value[0] != '"' || value[len - 1] != '"') {
        error_setg(errp, "line %u: expected KEY = \"VALUE\", got '%s'", number, line);
        return false;
    }
    value[len - 1] = 0;
    *equals = 0;
    add_pair(r, g_strchomp(line), value + 1);
    return true;
}

static bool read_lines(Reading *r, char *content, GError **errp)
{
    g_auto(GStrv) lines = g_strsplit(content, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]);
        bool ok = true;
        if (*line == '[') {
            ok = finish_group(r, errp) && begin_group(r, line, i + 1, errp);
        } else if (*line && *line != '#') {
            ok = read_pair(r, line, i + 1, errp);
        }
        if (!ok) {
            return false;
        }
    }
    return finish_group(r, errp);
}

bool handle_readconfig(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Reading r = { .cl = cl, .text = g_string_new(NULL) };
    g_autofree char *content = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;
    bool ok = false;

    if (!g_file_get_contents(arg, &content, &len, &err)) {
        error_setg(errp, "Could not open '%s': %s", arg, err->message);
    } else if (strlen(content) != len) {
        error_setg(errp, "a NUL character at offset %zu", strlen(content));
    } else {
        ok = read_lines(&r, content, errp);
    }
    g_string_free(r.text, TRUE);
    return ok;
}
