/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -accel and -machine accel=: lists of which the first that works is taken;
 * what does not work is said on stderr, as QEMU says it. Called by cmdline.c;
 * only fill the CommandLine.
 */
#include <string.h>
#include "accel/accel.h"
#include "softmmu/cmdline.h"
#include "util/error.h"

#define DEFAULT_ACCEL "tcg"

bool handle_accel(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "accel", errp);

    if (!opts) {
        return false;
    }
    const char *accel = opts_get(opts, "accel");
    if (opts_ask_help(opts, "accel") || !*arg) {
        g_string_append(cl->output, "Accelerators supported in QEMU binary:\ntcg\n");
    } else if (!accel) {
        error_setg(errp, "Parameter 'accel' is missing");
    } else {
        CmdItem *item = cmd_item_new(name, arg);
        item->opts = opts;
        g_ptr_array_add(cl->accels, item);
        return true;
    }
    opts_free(opts);
    return cl->output->len > 0;
}

/* The properties of -accel tcg: known, and without effect here. */
static bool check_tcg(Opts *opts, GError **errp)
{
    static const char *const keys[] = { "accel", "thread", "tb-size", "split-wx",
                                        "one-insn-per-tb", NULL };
    static const char *const threads[] = { "single", "multi", NULL };
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (!g_strv_contains(keys, key)) {
            error_setg(errp, "Property 'tcg-accel.%s' not found", key);
            return false;
        }
    }
    value = opts_get(opts, "thread");
    if (value && !g_strv_contains(threads, value)) {
        error_setg(errp, "Invalid 'thread' setting %s", value);
        return false;
    }
    return true;
}

static bool check_qtest(Opts *opts, GError **errp)
{
    const char *key, *value;

    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (strcmp(key, "accel") != 0) {
            error_setg(errp, "Property 'qtest-accel.%s' not found", key);
            return false;
        }
    }
    return true;
}

/* A name that does not work: said, or the reason why nothing does if it was the last. */
static bool not_this_one(CommandLine *cl, const char *origin, const char *accel, bool last,
                         GError **errp)
{
    g_autofree char *text = g_strdup_printf("%s%sinvalid accelerator %s", origin,
                                            *origin ? ": " : "", accel);

    if (last) {
        error_setg(errp, "%s", text);
        return false;
    }
    g_string_append_printf(cl->warnings, "%s\n", text);
    return true;
}

static void take(CommandLine *cl, const char *accel, bool after_others)
{
    cl->config.accel = accel;
    if (after_others) {
        g_string_append_printf(cl->warnings, "falling back to %s\n", accel);
    }
}

/* -machine accel=a:b: of all names it is said whether they are any; the first that is one is taken. */
static bool choose_of_machine(CommandLine *cl, const char *list, GError **errp)
{
    g_auto(GStrv) names = g_strsplit(list, ":", -1);
    const AccelOps *found = NULL;
    bool skipped = false;

    for (char **n = names; *n; n++) {
        const AccelOps *accel = accel_find(*n);
        if (!accel && **n) {
            skipped = true;
            if (!not_this_one(cl, "", *n, !n[1] && !found, errp)) {
                return false;
            }
        }
        found = found ? found : accel;
    }
    if (!found) {
        error_setg(errp, "no accelerator found");
        return false;
    }
    take(cl, found->name, skipped);
    return true;
}

/* -accel a -accel b: in this order, no further than to the first that works. */
static bool choose_of_list(CommandLine *cl, GError **errp)
{
    for (guint i = 0; i < cl->accels->len; i++) {
        CmdItem *item = cl->accels->pdata[i];
        const char *name = opts_get(item->opts, "accel");
        const AccelOps *accel = accel_find(name);
        if (accel) {
            bool ok = strcmp(accel->name, "qtest") == 0 ? check_qtest(item->opts, errp)
                                                        : check_tcg(item->opts, errp);
            if (!ok) {
                error_prepend(errp, "%s: ", item->origin);
                return false;
            }
            take(cl, accel->name, i > 0);
            return true;
        }
        if (!not_this_one(cl, item->origin, name, i + 1 == cl->accels->len, errp)) {
            return false;
        }
    }
    return true;
}

bool cmdline_choose_accel(CommandLine *cl, GError **errp)
{
    const char *of_machine = opts_get(cl->machine, "accel");

    cl->config.accel = DEFAULT_ACCEL;
    if (of_machine && cl->accels->len) {
        error_setg(errp, "The -accel and \"-machine accel=\" options are incompatible");
        return false;
    }
    return of_machine ? choose_of_machine(cl, of_machine, errp) : choose_of_list(cl, errp);
}
