/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: looks each option up in the table (options.def), hands
 * its argument to a handler, writes -help from the same table. Called by vl
 * once; creates nothing and prints nothing.
 */
#include "softmmu/cmdline.h"

#include <string.h>
#include "config-host.h"
#include "util/error.h"
#include "util/near-name.h"

typedef struct OptionDef {
    const char *section;        /* a heading: nothing else is set */
    const char *name, *arg;
    OptionHandler *handle;
    const char *help;
} OptionDef;

#define SECTION(title) { .section = title },
#define OPTION(n, a, h, t) { .name = n, .arg = a, .handle = h, .help = t },
static const OptionDef options[] = {
#include "softmmu/options.def"
    { NULL }
};
#undef SECTION
#undef OPTION

/* ---- small helpers of all handlers ---- */

static void cmd_item_free(gpointer data)
{
    CmdItem *item = data;

    opts_free(item->opts);
    g_free(item->origin);
    g_free(item->text);
    g_free(item);
}

CmdItem *cmd_item_new(const char *name, const char *arg)
{
    CmdItem *item = g_new0(CmdItem, 1);

    item->origin = g_strdup_printf("-%s %s", name, arg);
    return item;
}

bool opts_only_keys(const Opts *opts, const char *const *keys, GError **errp)
{
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (!g_strv_contains(keys, key)) {
            g_autofree char *hint = near_hint(keys, sizeof(keys[0]), g_strv_length((char **)keys), key);
            error_setg(errp, "Invalid parameter '%s'%s", key, hint);
            return false;
        }
    }
    return true;
}

bool opts_value_in(Opts *opts, const char *key, const char *const *values, GError **errp)
{
    const char *value = opts_get(opts, key);

    if (value && !g_strv_contains(values, value)) {
        g_autofree char *hint = near_hint(values, sizeof(values[0]), g_strv_length((char **)values),
                                          value);
        error_setg(errp, "Parameter '%s' does not accept value '%s'%s", key, value, hint);
        return false;
    }
    return true;
}

bool opts_ask_help(Opts *opts, const char *key)
{
    const char *value = opts_get(opts, key);

    return opts_get(opts, "help") || opts_get(opts, "?") ||
           (value && (strcmp(value, "help") == 0 || strcmp(value, "?") == 0));
}

/* ---- life ---- */

static void opts_destroy(gpointer data)
{
    opts_free(data);
}

CommandLine *cmdline_new(void)
{
    CommandLine *cl = g_new0(CommandLine, 1);
    MachineConfig *c = &cl->config;

    cl->machine = opts_new();
    cl->accels = g_ptr_array_new_with_free_func(cmd_item_free);
    cl->numa = g_ptr_array_new_with_free_func(cmd_item_free);
    cl->chardevs = g_ptr_array_new_with_free_func(cmd_item_free);
    cl->monitors = g_ptr_array_new_with_free_func(cmd_item_free);
    cl->add_fds = g_ptr_array_new_with_free_func(cmd_item_free);
    cl->output = g_string_new(NULL);
    cl->warnings = g_string_new(NULL);
    c->devices = g_ptr_array_new_with_free_func(opts_destroy);
    c->drives = g_ptr_array_new_with_free_func(opts_destroy);
    c->blockdevs = g_ptr_array_new_with_free_func(opts_destroy);
    c->netdevs = g_ptr_array_new_with_free_func(opts_destroy);
    c->objects = g_ptr_array_new_with_free_func(opts_destroy);
    c->globals = g_ptr_array_new_with_free_func(opts_destroy);
    c->serials = g_ptr_array_new_with_free_func(g_free);
    c->data_dirs = g_ptr_array_new_with_free_func(g_free);
    c->machine_opts = opts_new();
    return cl;
}

static void config_clear(MachineConfig *c)
{
    GPtrArray *arrays[] = { c->devices, c->drives, c->blockdevs, c->netdevs,
                            c->objects, c->globals, c->serials, c->data_dirs };
    char *texts[] = { c->cpu_model, c->ram_id, c->mem_path, c->name, c->bios,
                      c->kernel, c->initrd, c->append, c->dtb, c->incoming };

    for (size_t i = 0; i < G_N_ELEMENTS(arrays); i++) {
        g_ptr_array_free(arrays[i], TRUE);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(texts[i]);
    }
    opts_free(c->machine_opts);
    opts_free(c->rtc);
}

void cmdline_free(CommandLine *cl)
{
    if (!cl) {
        return;
    }
    config_clear(&cl->config);
    opts_free(cl->machine);
    opts_free(cl->sandbox);
    g_ptr_array_free(cl->accels, TRUE);
    g_ptr_array_free(cl->numa, TRUE);
    g_ptr_array_free(cl->chardevs, TRUE);
    g_ptr_array_free(cl->monitors, TRUE);
    g_ptr_array_free(cl->add_fds, TRUE);
    g_string_free(cl->output, TRUE);
    g_string_free(cl->warnings, TRUE);
    g_free(cl->pidfile);
    g_free(cl->log_file);
    g_free(cl->qtest);
    g_free(cl->qtest_log);
    if (cl->dump_vmstate) {
        fclose(cl->dump_vmstate);
    }
    g_free(cl);
}

/* ---- parsing ---- */

static const OptionDef *option_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        if (options[i].name && strcmp(options[i].name, name) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

/* One option at argv[*i]; moves *i behind it. */
static bool parse_one(CommandLine *cl, int argc, char **argv, int *i, GError **errp)
{
    const char *text = argv[(*i)++], *arg = NULL;
    g_autoptr(GError) err = NULL;

    if (text[0] != '-' || !text[1]) {
        error_setg(errp, "'%s': not an option (give disk images with -drive)", text);
        return false;
    }
    const char *name = text + (text[1] == '-' && text[2] ? 2 : 1);
    const OptionDef *def = option_find(name);
    if (!def) {
        g_autofree char *hint = near_hint(&options[0].name, sizeof(options[0]),
                                          G_N_ELEMENTS(options), name);
        error_setg(errp, "%s: invalid option%s", text, hint);
        return false;
    }
    if (def->arg) {
        if (*i >= argc) {
            error_setg(errp, "%s: requires an argument", text);
            return false;
        }
        arg = argv[(*i)++];
    }
    if (!def->handle(cl, name, arg, &err)) {
        error_setg(errp, arg ? "%s %s: %s" : "%s%s: %s", text, arg ? arg : "", err->message);
        return false;
    }
    return true;
}

bool cmdline_parse(CommandLine *cl, int argc, char **argv, GError **errp)
{
    const char *slash = strrchr(argv[0], '/');

    cl->config.program = slash ? slash + 1 : argv[0];
    for (int i = 1; i < argc;) {
        if (!parse_one(cl, argc, argv, &i, errp)) {
            return false;
        }
        if (cl->output->len) {
            return true;
        }
    }
    return true;
}

/* ---- help ---- */

void append_option_help(GString *out, const char *program)
{
    g_string_append_printf(out, "usage: %s [options]\n", program);
    for (const OptionDef *o = options; o->section || o->name; o++) {
        if (o->section) {
            g_string_append_printf(out, "\n%s:\n", o->section);
            continue;
        }
        if (!o->help) { /* shown with the option before it */
            continue;
        }
        g_auto(GStrv) lines = g_strsplit(o->help, "\n", -1);
        g_autofree char *head = g_strdup_printf("-%s%s%s", o->name, o->arg ? " " : "",
                                                o->arg ? o->arg : "");
        g_string_append(out, head);
        if (strlen(head) > 14) {
            g_string_append_printf(out, "\n%16s", "");
        } else {
            g_string_append_printf(out, "%*s", (int)(16 - strlen(head)), "");
        }
        for (char **line = lines; *line; line++) {
            g_string_append_printf(out, "%s%s", line == lines ? "" : "\n                ", *line);
        }
        g_string_append_c(out, '\n');
    }
    g_string_append(out, "\nDuring emulation, with -nographic or -serial mon:..., the following "
                         "keys are useful:\n"
                         "ctrl-a h        list all of them\n"
                         "ctrl-a c        switch between console and monitor\n"
                         "ctrl-a x        exit the emulator\n");
}

bool handle_help(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_string_append_printf(cl->output, "QEMU-compatible emulator (Ferry %s)\n", FERRY_VERSION);
    append_option_help(cl->output, cl->config.program);
    return true;
}

bool handle_version(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_string_append_printf(cl->output,
                           "QEMU emulator version 7.2.22 (Ferry %s)\n"
                           "Ferry is free software under the GNU GPL, version 2 or later.\n",
                           FERRY_VERSION);
    return true;
}
