/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option handlers for what is put into and around the machine: devices and
 * their back ends, chardevs, monitors, fds. Called by cmdline.c; nothing is
 * opened here.
 */
#include <fcntl.h>
#include <string.h>
#include "hw/boards.h"
#include "softmmu/cmdline.h"
#include "softmmu/objects.h"
#include "util/error.h"

/* ---- -device ---- */

static void device_help(CommandLine *cl)
{
    g_string_append(cl->output, "Available devices:\n");
    for (const DeviceTypeInfo *t = device_types(); t->name; t++) {
        g_string_append_printf(cl->output, "name \"%s\"", t->name);
        if (t->bus) {
            g_string_append_printf(cl->output, ", bus %s", t->bus);
        }
        if (t->desc) {
            g_string_append_printf(cl->output, ", desc \"%s\"", t->desc);
        }
        g_string_append_c(cl->output, '\n');
    }
}

static bool device_prop_help(CommandLine *cl, const char *driver, GError **errp)
{
    const DevicePropInfo *props = device_type_props(driver);

    if (!props) {
        device_type_error(driver, errp);
        return false;
    }
    g_string_append_printf(cl->output, "%s options:\n", driver);
    for (; props->name; props++) {
        g_string_append_printf(cl->output, "  %s=<%s>\n", props->name, props->type);
    }
    return true;
}

bool handle_device(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "driver", errp);

    if (!opts) {
        return false;
    }
    const char *driver = opts_get(opts, "driver");
    bool ok = true, keep = false;
    if (!driver) {
        error_setg(errp, "Parameter 'driver' is missing");
        ok = false;
    } else if (strcmp(driver, "help") == 0 || strcmp(driver, "?") == 0) {
        device_help(cl);
    } else if (opts_ask_help(opts, "driver")) {
        ok = device_prop_help(cl, driver, errp);
    } else if (!device_type_props(driver)) {
        device_type_error(driver, errp);
        ok = false;
    } else {
        keep = true;
        g_ptr_array_add(cl->config.devices, opts);
    }
    if (!keep) {
        opts_free(opts);
    }
    return ok;
}

/* ---- -object ---- */

bool handle_object(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "qom-type", errp);
    bool ok = opts != NULL;

    if (ok && opts_ask_help(opts, "qom-type")) {
        object_types_help(cl->output);
    } else if (ok && (ok = object_check(cl->config.objects, opts, errp))) {
        g_ptr_array_add(cl->config.objects, opts);
        return true;
    }
    opts_free(opts);
    return ok;
}

/* ---- block and net: their own code knows the keys ---- */

bool handle_blockdev(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "driver", errp);

    if (opts && !opts_get(opts, "driver")) {
        error_setg(errp, "Parameter 'driver' is missing");
        opts_free(opts);
        return false;
    }
    if (opts) {
        g_ptr_array_add(cl->config.blockdevs, opts);
    }
    return opts != NULL;
}

bool handle_drive(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, NULL, errp);

    if (opts) {
        g_ptr_array_add(cl->config.drives, opts);
    }
    return opts != NULL;
}

bool handle_netdev(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const types[] = { "user", "tap", "socket", "dgram", "stream", "hubport",
                                         NULL };
    Opts *opts = opts_parse(arg, "type", errp);
    bool ok = false;

    if (!opts) {
        return false;
    }
    if (opts_ask_help(opts, "type")) {
        g_string_append(cl->output, "Available netdev backend types:\n"
                                    "socket\nstream\ndgram\ntap\nuser\n");
        ok = true;
    } else if (!opts_get(opts, "type")) {
        error_setg(errp, "Parameter 'type' is missing");
    } else if (!opts_value_in(opts, "type", types, errp)) {
    } else if (!opts_get(opts, "id")) {
        error_setg(errp, "Parameter 'id' is missing");
    } else {
        g_ptr_array_add(cl->config.netdevs, opts);
        return true;
    }
    opts_free(opts);
    return ok;
}

bool handle_nic(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "none") != 0) {
        error_setg(errp, "Parameter 'type' does not accept value '%s' (only 'none'; network cards "
                   "are given with -netdev and -device)", arg);
        return false;
    }
    return true;
}

bool handle_global(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "driver", "property", "value", NULL };
    const char *dot = strchr(arg, '.'), *equals = strchr(arg, '=');
    Opts *opts;

    if (dot && equals && dot < equals && dot > arg && equals > dot + 1) {
        g_autofree char *driver = g_strndup(arg, dot - arg);
        g_autofree char *property = g_strndup(dot + 1, equals - dot - 1);
        opts = opts_new();
        opts_set(opts, "driver", driver);
        opts_set(opts, "property", property);
        opts_set(opts, "value", equals + 1);
    } else if (!(opts = opts_parse(arg, NULL, errp))) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (!opts_only_keys(opts, keys, errp)) {
            opts_free(opts);
            return false;
        }
        if (!opts_get(opts, keys[i])) {
            error_setg(errp, "Parameter '%s' is missing", keys[i]);
            opts_free(opts);
            return false;
        }
    }
    g_ptr_array_add(cl->config.globals, opts);
    return true;
}

/* ---- chardevs and who uses them ---- */

static bool item_with_opts(GPtrArray *list, const char *name, const char *arg, const char *implied,
                           GError **errp)
{
    Opts *opts = opts_parse(arg, implied, errp);

    if (!opts) {
        return false;
    }
    CmdItem *item = cmd_item_new(name, arg);
    item->opts = opts;
    g_ptr_array_add(list, item);
    return true;
}

bool handle_chardev(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0) {
        g_string_append(cl->output, "Available chardev backend types:\n"
                                    "  fd\n  file\n  null\n  pipe\n  pty\n  ringbuf\n  socket\n"
                                    "  stdio\n  vc\n");
        return true;
    }
    return item_with_opts(cl->chardevs, name, arg, "backend", errp);
}

bool handle_serial(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    cl->serial_given = true;
    if (g_str_has_prefix(arg, "mon:")) {
        cl->monitor_given = true;
    }
    g_ptr_array_add(cl->config.serials, g_strdup(arg));
    return true;
}

static bool add_monitor(CommandLine *cl, const char *name, const char *arg, bool control,
                        bool pretty)
{
    cl->monitor_given = true;
    if (strcmp(arg, "none") != 0) {
        CmdItem *item = cmd_item_new(name, arg);
        item->text = g_strdup(arg);
        item->control = control;
        item->pretty = pretty;
        g_ptr_array_add(cl->monitors, item);
    }
    return true;
}

bool handle_monitor(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return add_monitor(cl, name, arg, false, false);
}

/* A QMP monitor beside the default one: as in QEMU it takes the place of the default. */
bool handle_qmp(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return add_monitor(cl, name, arg, true, false);
}

bool handle_qmp_pretty(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return add_monitor(cl, name, arg, true, true);
}

bool handle_mon(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "chardev", "id", "mode", "pretty", NULL };
    static const char *const modes[] = { "readline", "control", NULL };
    CmdItem *item;

    if (!item_with_opts(cl->monitors, name, arg, "chardev", errp)) {
        return false;
    }
    item = cl->monitors->pdata[cl->monitors->len - 1];
    if (!opts_only_keys(item->opts, keys, errp) || !opts_value_in(item->opts, "mode", modes, errp) ||
        !opts_get_bool(item->opts, "pretty", &item->pretty, errp)) {
        return false;
    }
    if (!opts_get(item->opts, "chardev")) {
        error_setg(errp, "Parameter 'chardev' is missing");
        return false;
    }
    item->control = g_strcmp0(opts_get(item->opts, "mode"), "control") == 0;
    if (item->pretty && !item->control) {
        error_setg(errp, "'pretty' is not compatible with HMP monitors");
        return false;
    }
    cl->monitor_given = true;
    return true;
}

bool handle_qtest(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_free(cl->qtest);
    cl->qtest = g_strdup(arg);
    return true;
}

bool handle_qtest_log(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    g_free(cl->qtest_log);
    cl->qtest_log = g_strdup(arg);
    return true;
}

/* ---- what the board does not have ---- */

static bool only_none(const char *arg, GError **errp)
{
    if (strcmp(arg, "none") != 0) {
        error_setg(errp, "Parameter 'type' does not accept value '%s'", arg);
        return false;
    }
    return true;
}

bool handle_display(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "help") == 0) {
        g_string_append(cl->output, "Available display backend types:\nnone\n");
        return true;
    }
    return only_none(arg, errp);
}

bool handle_vga(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    if (strcmp(arg, "none") != 0) {
        error_setg(errp, "unknown vga type: %s", arg);
        return false;
    }
    return true;
}

bool handle_parallel(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    return only_none(arg, errp);
}

/* What both options take for the one driver there is; "in." and "out." shape streams nobody hears. */
static bool audio_check(Opts *opts, bool with_model, GError **errp)
{
    static const char *const drivers[] = { "none", NULL };
    static const char *const keys[] = { "driver", "id", "timer-period", NULL };
    const char *key, *value;

    if (!opts_get(opts, "driver")) {
        error_setg(errp, "Parameter 'driver' is missing");
        return false;
    }
    if (!opts_value_in(opts, "driver", drivers, errp)) {
        return false;
    }
    for (size_t i = 0; opts_nth(opts, i, &key, &value); i++) {
        if (with_model && strcmp(key, "model") == 0) {
            if (strcmp(value, "none") != 0) {
                error_setg(errp, "Unknown sound card name `%s' (the board has none)", value);
                return false;
            }
        } else if (!g_strv_contains(keys, key) && !g_str_has_prefix(key, "in.") &&
                   !g_str_has_prefix(key, "out.")) {
            error_setg(errp, "Parameter '%s' is unexpected", key);
            return false;
        }
    }
    return true;
}

static bool audio_help(CommandLine *cl, Opts *opts)
{
    if (!opts || !opts_ask_help(opts, "driver")) {
        return false;
    }
    g_string_append(cl->output, "Available audio drivers:\nnone\n");
    return true;
}

bool handle_audiodev(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "driver", errp);
    bool ok = audio_help(cl, opts) || (opts && audio_check(opts, false, errp));

    if (ok && !cl->output->len && !opts_get(opts, "id")) {
        error_setg(errp, "Parameter 'id' is missing");
        ok = false;
    }
    opts_free(opts);
    return ok;
}

bool handle_audio(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    Opts *opts = opts_parse(arg, "driver", errp);
    bool ok = audio_help(cl, opts) || (opts && audio_check(opts, true, errp));

    opts_free(opts);
    return ok;
}

/* ---- -add-fd: checked now, while no fd of ours can be mistaken for one ---- */

bool handle_add_fd(CommandLine *cl, const char *name, const char *arg, GError **errp)
{
    static const char *const keys[] = { "fd", "set", "opaque", NULL };
    Opts *opts = opts_parse(arg, NULL, errp);
    uint64_t fd = UINT64_MAX, set = UINT64_MAX;
    bool ok = opts && opts_only_keys(opts, keys, errp) && opts_get_u64(opts, "fd", &fd, errp) &&
              opts_get_u64(opts, "set", &set, errp);

    if (ok && fd > INT_MAX) {
        error_setg(errp, "fd option is required and must be non-negative");
        ok = false;
    } else if (ok && fd <= 2) {
        error_setg(errp, "fd cannot be a standard I/O stream");
        ok = false;
    } else if (ok && set > INT_MAX) {
        error_setg(errp, "set option is required and must be non-negative");
        ok = false;
    } else if (ok && fcntl(fd, F_GETFD) < 0) {
        error_setg(errp, "fd is not valid or already in use");
        ok = false;
    }
    opts_free(opts);
    return ok && item_with_opts(cl->add_fds, name, arg, NULL, errp);
}
