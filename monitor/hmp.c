/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor: sessions, dispatch, help and completion over the tables
 * generated from hmp-commands.hx and hmp-commands-info.hx. What the commands
 * do is elsewhere (hmp-cmds*.c and the owners' folders). Main thread, BQL.
 */
#include <stdlib.h>
#include <string.h>

#include "config-host.h"
#include "chardev/char.h"
#include "monitor/hmp-internal.h"
#include "monitor/patience.h"
#include "softmmu/machine.h"
#include "util/near-name.h"
#include "util/error.h"

#include "monitor/hmp-handlers.h"
#include "monitor/hmp-commands-info.h"
#include "monitor/hmp-commands.h"
#include "util/trace-monitor.h"

const HMPCommand *const hmp_commands = hmp_main_table;
const HMPCommand *const hmp_info_commands = hmp_info_table;

/* ---- output ---- */

struct Machine *hmp_machine(const HMPMonitor *mon)
{
    return mon->base.monitors->machine;
}

#define HELD_MAX 4096           /* bytes typed ahead while a command runs */
#define ESCAPE_US 100000        /* Esc with nothing behind it for so long is the key itself */
#define KEY_CTRL_C 0x03
#define KEY_CTRL_Z 0x1a
#define KEY_CTRL_BACKSLASH 0x1c
#define KEY_ESCAPE 0x1b

static void hmp_read(Session *s, const uint8_t *buf, size_t len);
static void add_names(const HMPCommand *table, const char *prefix, GPtrArray *out);

static void raw_output(HMPMonitor *mon, const char *text, size_t len)
{
    if (mon->capture) {
        g_string_append_len(mon->capture, text, (gssize)len);
    } else {
        chardev_write_all(mon->base.chr, text, len);
    }
}

void monitor_puts(HMPMonitor *mon, const char *text)
{
    if (mon->progress_open) {
        mon->progress_open = false;
        raw_output(mon, "\r\033[K", 4);
    }
    while (*text) {
        size_t len = strcspn(text, "\n");
        raw_output(mon, text, len);
        text += len;
        if (*text == '\n') {
            raw_output(mon, "\r\n", 2);
            text++;
        }
    }
}

void monitor_printf(HMPMonitor *mon, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    monitor_puts(mon, text);
}

void hmp_handle_error(HMPMonitor *mon, GError *err)
{
    if (err) {
        monitor_printf(mon, "Error: %s\n", err->message);
        g_error_free(err);
    }
}

bool hmp_suspend(HMPMonitor *mon)
{
    if (mon->capture) {
        return false;
    }
    mon->suspended = true;
    mon->interrupted = false;
    mon->escape_us = 0;
    chardev_set_signals(mon->base.chr, false);  /* Ctrl-C is for the command, not for the process */
    return true;
}

/* What was typed while a command ran; it may begin with another such command. */
static void read_held(HMPMonitor *mon)
{
    g_autoptr(GByteArray) held = mon->held;

    mon->held = g_byte_array_new();
    hmp_read(&mon->base, held->data, held->len);
}

void hmp_resume(HMPMonitor *mon)
{
    if (!mon->suspended) {
        return;
    }
    mon->suspended = false;
    chardev_set_signals(mon->base.chr, true);
    if (session_is_open(&mon->base)) {
        monitor_puts(mon, "");  /* ends a progress line */
        line_editor_start(mon->editor);
        read_held(mon);
        chardev_accept_input(mon->base.chr);
    }
}

bool hmp_interrupted(HMPMonitor *mon)
{
    /* a lone Esc: the keys that send more after it do so at once */
    bool escape = mon->escape_us && g_get_monotonic_time() - mon->escape_us > ESCAPE_US;
    bool yes = mon->interrupted || escape;

    if (escape) {
        g_byte_array_set_size(mon->held, mon->held->len - 1);
        mon->escape_us = 0;
    }
    mon->interrupted = false;
    return yes;
}

void hmp_progress(HMPMonitor *mon, const char *text)
{
    if (mon->capture || !chardev_is_tty(mon->base.chr)) {
        monitor_printf(mon, "%s\n", text);
        return;
    }
    unsigned columns = chardev_columns(mon->base.chr);
    size_t len = strlen(text);
    raw_output(mon, "\r", 1);
    raw_output(mon, text, columns ? MIN(len, columns - 1) : len);   /* a second row would stay */
    raw_output(mon, "\033[K", 3);
    mon->progress_open = true;
}

/* ---- tables ---- */

bool hmp_name_is(const char *alternatives, const char *name, size_t len)
{
    for (const char *p = alternatives; *p; p += *p == '|') {
        size_t n = strcspn(p, "|");
        if (n == len && !strncmp(p, name, len)) {
            return true;
        }
        p += n;
    }
    return false;
}

const HMPCommand *hmp_find(const HMPCommand *table, const char *name, size_t len)
{
    for (const HMPCommand *c = table; c->name; c++) {
        if (hmp_name_is(c->name, name, len)) {
            return c;
        }
    }
    return NULL;
}

/* The deepest command that the line names; *rest is what follows its name. */
static const HMPCommand *find_in_line(const char *line, const char **rest, size_t *name_len)
{
    const HMPCommand *found = NULL, *table = hmp_commands;
    const char *p = line + strspn(line, " \t");
    *rest = p;
    *name_len = 0;
    while (table) {
        /* "xp/4xw" is "xp /4xw" */
        size_t len = strcspn(p, " \t/");
        const HMPCommand *c = len ? hmp_find(table, p, len) : NULL;
        if (!c) {
            if (len) {
                *name_len = (size_t)(p + len - (line + strspn(line, " \t")));
                return NULL;
            }
            return found;
        }
        found = c;
        *name_len = (size_t)(p + len - (line + strspn(line, " \t")));
        *rest = p + len;
        p = *rest + strspn(*rest, " \t");
        table = c->sub;
        if (table && !*p) {
            return found;   /* "info" alone */
        }
    }
    return found;
}

/* ---- near misses ---- */

void hmp_did_you_mean(HMPMonitor *mon, const char *const *names, const char *typed)
{
    const char *name = near_name(names, typed);

    if (name) {
        monitor_printf(mon, "Did you mean '%s'?\n", name);
    }
}

/* line begins with a command that is unknown, or with "info" and an unknown word. */
static void print_unknown(HMPMonitor *mon, const char *line, size_t len)
{
    const char *sub = g_str_has_prefix(line, "info ") ? line + strlen("info ") : NULL;
    g_autofree char *typed = sub && len > strlen("info ")
                                 ? g_strndup(sub, len - strlen("info ")) : g_strndup(line, len);
    const HMPCommand *table = sub && len > strlen("info ") ? hmp_info_commands : hmp_commands;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    monitor_printf(mon, "unknown command: '%.*s'\n", (int)len, line);
    add_names(table, "", names);
    g_ptr_array_add(names, NULL);
    hmp_did_you_mean(mon, (const char *const *)names->pdata, g_strstrip(typed));
}

/* ---- help ---- */

static gint compare_commands(gconstpointer a, gconstpointer b)
{
    const HMPCommand *x = *(const HMPCommand *const *)a, *y = *(const HMPCommand *const *)b;
    return strcmp(x->name, y->name);
}

static void print_help_line(HMPMonitor *mon, const char *prefix, const HMPCommand *c)
{
    monitor_printf(mon, "%s%s %s -- %s\n", prefix, c->name, c->params, c->help);
}

static void print_help_table(HMPMonitor *mon, const char *prefix, const HMPCommand *table)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (const HMPCommand *c = table; c->name; c++) {
        if (c->preconfig || machine_is_built(hmp_machine(mon))) {
            g_ptr_array_add(list, (gpointer)c);
        }
    }
    g_ptr_array_sort(list, compare_commands);
    for (guint i = 0; i < list->len; i++) {
        print_help_line(mon, prefix, g_ptr_array_index(list, i));
    }
}

void hmp_help(HMPMonitor *mon, const HMPArgs *args)
{
    const char *name = hmp_arg_str(args, "name"), *rest;
    size_t len;
    if (!name) {
        print_help_table(mon, "", hmp_commands);
        return;
    }
    const HMPCommand *c = find_in_line(name, &rest, &len);
    if (!c) {
        print_unknown(mon, name, len);
    } else if (c->sub) {
        print_help_table(mon, "info ", c->sub);
    } else {
        bool info = c >= hmp_info_table && c < hmp_info_table + G_N_ELEMENTS(hmp_info_table);
        print_help_line(mon, info ? "info " : "", c);
    }
}

void hmp_info(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    print_help_table(mon, "info ", hmp_info_commands);
}

/* ---- dispatch ---- */

static void run_line(HMPMonitor *mon, const char *line)
{
    const char *rest, *start = line + strspn(line, " \t");
    size_t len;
    if (!*start || *start == '#') {
        return;
    }
    trace_handle_hmp_command(mon, line);
    const HMPCommand *c = find_in_line(line, &rest, &len);
    if (!c) {
        print_unknown(mon, start, len);
        return;
    }
    if (!c->preconfig && !machine_is_built(hmp_machine(mon))) {
        monitor_printf(mon, "Command '%.*s' not available until machine initialization has "
                       "completed.\n", (int)len, start);
        return;
    }
    g_autoptr(GError) err = NULL;
    HMPArgs *args = hmp_args_parse(c, rest, &mon->format, &err);
    if (!args) {
        monitor_printf(mon, "%s\nTry \"help %.*s\" for more information\n", err->message,
                       (int)len, start);
        return;
    }
    Session *outer = mon->base.monitors->current;
    if (!mon->capture) {
        mon->base.monitors->current = &mon->base;
    }
    c->cmd(mon, args);
    mon->base.monitors->current = outer;
    hmp_args_free(args);
}

char *hmp_run_captured(Monitors *monitors, const char *line, int cpu_index, GError **errp)
{
    struct Machine *machine = monitors->machine;
    HMPMonitor mon = {
        .base = { .monitors = monitors }, .format = { 'x', 4 }, .cpu_index = cpu_index,
    };
    if (cpu_index >= 0 && (!machine->cpus || (unsigned)cpu_index >= cpus_count(machine->cpus))) {
        error_setg(errp, "Parameter 'cpu-index' expects a CPU number");
        return NULL;
    }
    mon.capture = g_string_new(NULL);
    run_line(&mon, line);
    return g_string_free(mon.capture, FALSE);
}

int hmp_cpu_index(HMPMonitor *mon)
{
    CPUList *cpus = hmp_machine(mon)->cpus;
    if (!cpus || !cpus_count(cpus)) {
        monitor_puts(mon, "No CPU available\n");
        return -1;
    }
    return MAX(mon->cpu_index, 0);
}

/* ---- completion ---- */

static void add_names(const HMPCommand *table, const char *prefix, GPtrArray *out)
{
    for (const HMPCommand *c = table; c->name; c++) {
        g_auto(GStrv) names = g_strsplit(c->name, "|", -1);
        for (char **n = names; *n; n++) {
            if (g_str_has_prefix(*n, prefix)) {
                g_ptr_array_add(out, g_strdup(*n));
            }
        }
    }
}

static void add_files(const char *prefix, GPtrArray *out)
{
    g_autofree char *dir = g_path_get_dirname(prefix);
    const char *slash = strrchr(prefix, '/'), *base = slash ? slash + 1 : prefix, *name;
    GDir *d = g_dir_open(slash == prefix ? "/" : dir, 0, NULL);
    while (d && (name = g_dir_read_name(d))) {
        if (g_str_has_prefix(name, base)) {
            char *full = g_strdup_printf("%.*s%s", (int)(base - prefix), prefix, name);
            bool is_dir = g_file_test(full, G_FILE_TEST_IS_DIR);
            g_ptr_array_add(out, is_dir ? g_strconcat(full, "/", NULL) : g_strdup(full));
            g_free(full);
        }
    }
    if (d) {
        g_dir_close(d);
    }
}

/* "memsave": address, size, file. */
void hmp_complete_memsave(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    (void)machine;
    if (nb == 3) {
        add_files(text, out);
    }
}

/* What a migration's address begins with, and the path in one that has a path. */
void hmp_complete_uri(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    static const char *const schemes[] = { "exec:", "fd:", "file:", "tcp:", "unix:" };
    (void)machine;
    for (size_t i = 0; nb == 1 && i < G_N_ELEMENTS(schemes); i++) {
        if (!strchr(text, ':') && g_str_has_prefix(schemes[i], text)) {
            g_ptr_array_add(out, g_strdup(schemes[i]));
        }
    }
    if (nb != 1 || (!g_str_has_prefix(text, "file:") && !g_str_has_prefix(text, "unix:"))) {
        return;
    }
    add_files(text + 5, out);
    for (guint i = 0; i < out->len; i++) {
        char *path = g_ptr_array_index(out, i);
        out->pdata[i] = g_strdup_printf("%.5s%s", text, path);
        g_free(path);
    }
}

void hmp_complete_chardev(struct Machine *machine, unsigned nb, const char *text, GPtrArray *out)
{
    size_t n = nb == 1 && machine->chardevs ? chardevs_count(machine->chardevs) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *id = chardev_id(chardevs_get(machine->chardevs, i));
        if (id && g_str_has_prefix(id, text)) {
            g_ptr_array_add(out, g_strdup(id));
        }
    }
}

/* Type letter of positional argument nb (1 is the first), flags not counted. */
static char arg_type(const HMPCommand *c, unsigned nb)
{
    g_auto(GStrv) specs = g_strsplit(c->args_type, ",", -1);
    for (char **s = specs; *s; s++) {
        const char *colon = strchr(*s, ':');
        if (colon && colon[1] != '-' && --nb == 0) {
            return colon[1];
        }
    }
    return 0;
}

static void complete_arg(struct Machine *machine, const HMPCommand *c, unsigned nb,
                         const char *text, GPtrArray *out)
{
    static const char *const on_off[] = { "off", "on" };
    if (c->complete) {
        c->complete(machine, nb, text, out);
        return;
    }
    char type = arg_type(c, nb);
    if (type == 'F') {
        add_files(text, out);
    }
    for (size_t i = 0; type == 'b' && i < G_N_ELEMENTS(on_off); i++) {
        if (g_str_has_prefix(on_off[i], text)) {
            g_ptr_array_add(out, g_strdup(on_off[i]));
        }
    }
}

GPtrArray *hmp_complete_line(struct Machine *machine, const char *text, size_t *word_start)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    const HMPCommand *table = hmp_commands, *c = NULL;
    unsigned nb = 0;
    const char *p = text;
    for (;;) {
        p += strspn(p, " \t");
        size_t len = strcspn(p, " \t");
        *word_start = (size_t)(p - text);
        if (!p[len]) {
            break;      /* the word to complete, maybe empty */
        }
        if (table) {
            c = hmp_find(table, p, len);
            if (!c) {
                return out;
            }
            /* help's arguments are command names again */
            table = c->cmd == hmp_help ? hmp_commands : c->sub;
            nb = 1;
        } else if (*p != '-') {
            nb++;
        }
        p += len;
    }
    if (table) {
        add_names(table, p, out);
    } else if (c && *p != '-') {
        complete_arg(machine, c, nb, p, out);
    }
    return out;
}

/* ---- the session as monitor.c and the line editor see it ---- */

static void editor_write(void *opaque, const char *text, size_t len)
{
    raw_output(opaque, text, len);
}

/* A line that cannot be run yet. */
typedef struct LateLine {
    HMPMonitor *mon;
    char *line;
    int64_t until_us;
} LateLine;

static gboolean run_late(gpointer opaque)
{
    LateLine *late = opaque;
    HMPMonitor *mon = late->mon;

    if (monitor_has_to_wait(hmp_machine(mon), late->line, &late->until_us)) {
        return G_SOURCE_CONTINUE;
    }
    mon->suspended = false;     /* the command may want to hold the monitor itself */
    if (session_is_open(&mon->base)) {
        run_line(mon, late->line);
    }
    if (!mon->suspended) {
        mon->suspended = true;
        hmp_resume(mon);
    }
    g_free(late->line);
    g_free(late);
    return G_SOURCE_REMOVE;
}

static bool put_off(HMPMonitor *mon, const char *line)
{
    struct Machine *machine = hmp_machine(mon);
    int64_t until_us = 0;

    if (!monitor_has_to_wait(machine, line, &until_us) || !hmp_suspend(mon)) {
        return false;
    }
    LateLine *late = g_new(LateLine, 1);
    *late = (LateLine){ .mon = mon, .line = g_strdup(line), .until_us = until_us };
    GSource *timer = g_timeout_source_new(PATIENCE_LOOK_MS);
    g_source_set_callback(timer, run_late, late, NULL);
    g_source_attach(timer, main_loop_context(machine->loop));
    g_source_unref(timer);
    return true;
}

static void editor_line(void *opaque, const char *line)
{
    HMPMonitor *mon = opaque;
    if (!put_off(mon, line)) {
        run_line(mon, line);
    }
    if (!mon->suspended && session_is_open(&mon->base)) {
        line_editor_start(mon->editor);
    }
}

static GPtrArray *editor_complete(void *opaque, const char *text, size_t *word_start)
{
    return hmp_complete_line(hmp_machine(opaque), text, word_start);
}

static unsigned editor_columns(void *opaque)
{
    return chardev_columns(((HMPMonitor *)opaque)->base.chr);
}

static const LineEditorOps editor_ops = {
    .write = editor_write, .line = editor_line, .complete = editor_complete, .columns = editor_columns,
};

static size_t hmp_can_read(Session *s)
{
    /* one byte at a time: what follows a command that suspends is held back */
    HMPMonitor *mon = (HMPMonitor *)s;
    return (mon->suspended && mon->held->len >= HELD_MAX) || session_is_backed_up(s) ? 0 : 1;
}

static void hold(HMPMonitor *mon, uint8_t c)
{
    if (c == KEY_CTRL_C) {
        mon->interrupted = true;
        return;
    }
    if (c == KEY_CTRL_Z || c == KEY_CTRL_BACKSLASH) {
        return; /* would stop or end the process, and with it the guest: no part of the next line */
    }
    mon->escape_us = c == KEY_ESCAPE ? g_get_monotonic_time() : 0;
    g_byte_array_append(mon->held, &c, 1);
}

static void hmp_read(Session *s, const uint8_t *buf, size_t len)
{
    HMPMonitor *mon = (HMPMonitor *)s;
    for (size_t i = 0; i < len; i++) {
        if (mon->suspended) {
            hold(mon, buf[i]);
        } else {
            line_editor_byte(mon->editor, buf[i]);
        }
    }
}

static void hmp_opened(Session *s)
{
    HMPMonitor *mon = (HMPMonitor *)s;
    monitor_printf(mon, "QEMU %d.%d.%d monitor - type 'help' for more information (this is Ferry "
                   FERRY_VERSION ")\n",
                   MONITOR_QEMU_MAJOR, MONITOR_QEMU_MINOR, MONITOR_QEMU_MICRO);
    line_editor_start(mon->editor);
}

static void hmp_closed(Session *s)
{
    HMPMonitor *mon = (HMPMonitor *)s;
    mon->progress_open = false;
    g_byte_array_set_size(mon->held, 0);
    mon->escape_us = 0;
    line_editor_reset(mon->editor);
}

/* The console has been on the screen since: show where we are. */
static void hmp_focused(Session *s)
{
    HMPMonitor *mon = (HMPMonitor *)s;
    if (!mon->suspended) {
        monitor_puts(mon, "\n");
        line_editor_start(mon->editor);
    }
}

static int hmp_take_fd(Session *s)
{
    return chardev_take_fd(s->chr);
}

static void hmp_event(Session *s, const char *name, struct json_object *event)
{
    /* people read states with "info"; events would break their line */
    (void)s;
    (void)name;
    (void)event;
}

static void hmp_free(Session *s)
{
    HMPMonitor *mon = (HMPMonitor *)s;
    line_editor_free(mon->editor);
    g_byte_array_unref(mon->held);
    g_free(mon);
}

static Session *hmp_new(Monitors *monitors, Chardev *chr, bool pretty)
{
    (void)pretty;
    HMPMonitor *mon = g_new0(HMPMonitor, 1);
    mon->base = (Session) { .ops = &hmp_session_ops, .monitors = monitors, .chr = chr };
    mon->format = (HMPFormat) { 'x', 4 };
    mon->cpu_index = -1;
    mon->held = g_byte_array_new();
    mon->editor = line_editor_new(&editor_ops, mon, "(qemu) ");
    return &mon->base;
}

const SessionOps hmp_session_ops = {
    .kind = "readline", .new = hmp_new, .can_read = hmp_can_read, .read = hmp_read,
    .opened = hmp_opened, .closed = hmp_closed, .focused = hmp_focused, .take_fd = hmp_take_fd, .event = hmp_event, .free = hmp_free,
};
