/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program as a list of steps: read the command line, go to the
 * background, build the machine member by member, start it, run the main
 * loop, take it down in reverse. The only file that prints a start-up error.
 *
 * Order matters twice. Sections of a stream are written in the order in which
 * they are registered, and QEMU's begins with "timer": the migration object
 * comes before CPUs and board. And a monitor greets from the main loop only,
 * so that a start-up error ends the process before it has answered anybody.
 * With -preconfig it answers earlier: the machine is built by a command.
 */
#include "softmmu/vl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "accel/accel.h"
#include "hw/boards.h"
#include "migration/migration.h"
#include "monitor/monitor.h"
#include "softmmu/cmdline.h"
#include "softmmu/daemon.h"
#include "softmmu/machine.h"
#include "softmmu/qtest.h"
#include "softmmu/runstate.h"
#include "softmmu/sandbox.h"
#include "softmmu/signals.h"
#include "util/bounded.h"
#include "util/error.h"
#include "util/log.h"
#include "util/memory-room.h"

#define SETTLE_MS 300   /* for what was let go, at the end */

typedef struct Vl {
    CommandLine *cl;
    Machine machine;
    Qtest *qtest;
    Signals *signals;   /* from before the first thread to behind the last */
    char *pidfile;
    int daemon_fd;      /* who waits for us to be ready, -1 */
} Vl;

/* ---- default devices ---- */

static void add_text_item(GPtrArray *list, const char *name, const char *text)
{
    CmdItem *item = cmd_item_new(name, text);

    item->text = g_strdup(text);
    g_ptr_array_add(list, item);
}

/* What QEMU gives who asked for nothing: with -nographic console and monitor share the terminal. */
static bool add_defaults(CommandLine *cl, GError **errp)
{
    GPtrArray *serials = cl->config.serials;

    if (cl->nodefaults) {
        return true;
    }
    if (cl->nographic && cl->daemonize && (!cl->serial_given || !cl->monitor_given)) {
        error_setg(errp, "-nographic cannot be used with -daemonize");
        return false;
    }
    if (!cl->serial_given) {
        const char *text = !cl->nographic ? "vc" : !cl->monitor_given ? "mon:stdio" : "stdio";
        g_ptr_array_add(serials, g_strdup(text));
    } else if (cl->nographic && !cl->monitor_given) {
        add_text_item(cl->monitors, "monitor", "stdio");
    }
    return true;
}

/* ---- building ---- */

static void build_core(Machine *m, MachineConfig *config)
{
    machine_core_init(m, config);
    bql_lock(m->loop);
    m->fds = fdsets_new();
    m->chardevs = chardevs_new(m);
    m->monitors = monitors_new(m);
    m->migration = migration_new(m);
}

static bool with_origin(bool ok, const CmdItem *item, GError **errp)
{
    if (!ok) {
        error_prepend(errp, "%s: ", item->origin);
    }
    return ok;
}

static bool build_fds(Vl *vl, GError **errp)
{
    for (guint i = 0; i < vl->cl->add_fds->len; i++) {
        CmdItem *item = vl->cl->add_fds->pdata[i];
        uint64_t fd = 0, set = 0;
        opts_get_u64(item->opts, "fd", &fd, NULL); /* checked when it was read */
        opts_get_u64(item->opts, "set", &set, NULL);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (!with_origin(fdset_add(vl->machine.fds, set, fd, opts_get(item->opts, "opaque"), NULL,
                                   errp), item, errp)) {
            return false;
        }
    }
    return true;
}

static bool build_chardevs(Vl *vl, GError **errp)
{
    for (guint i = 0; i < vl->cl->chardevs->len; i++) {
        CmdItem *item = vl->cl->chardevs->pdata[i];
        if (!with_origin(chardev_new(vl->machine.chardevs, item->opts, errp) != NULL, item, errp)) {
            return false;
        }
    }
    return true;
}

/* Opens the -serial chardevs and leaves "chardev:ID" for the board. */
static bool build_serials(Vl *vl, GError **errp)
{
    GPtrArray *serials = vl->cl->config.serials;

    for (guint i = 0; i < serials->len; i++) {
        g_autofree char *text = g_strdup(serials->pdata[i]);
        g_autofree char *label = g_strdup_printf("serial%u", i);
        if (strcmp(text, "none") == 0) {
            continue;
        }
        Chardev *chr = chardev_from_text(vl->machine.chardevs, label, text, errp);
        if (!chr) {
            error_prepend(errp, "-serial %s: could not connect serial device to character "
                          "backend '%s': ", text, text);
            return false;
        }
        if (g_str_has_prefix(text, "mon:") &&
            !monitor_add(vl->machine.monitors, chr, false, false, errp)) {
            return false;
        }
        g_free(serials->pdata[i]);
        serials->pdata[i] = g_strdup_printf("chardev:%s", chardev_id(chr));
    }
    return true;
}

static Chardev *monitor_chardev(Vl *vl, CmdItem *item, unsigned *legacy, GError **errp)
{
    if (item->text) {
        g_autofree char *label = g_strdup_printf("compat_monitor%u", (*legacy)++);
        return chardev_from_text(vl->machine.chardevs, label, item->text, errp);
    }
    const char *id = opts_get(item->opts, "chardev");
    Chardev *chr = chardev_find(vl->machine.chardevs, id);
    if (!chr) {
        error_setg(errp, "chardev \"%s\" not found", id);
    }
    return chr;
}

static bool build_monitors(Vl *vl, GError **errp)
{
    unsigned legacy = 0;

    for (guint i = 0; i < vl->cl->monitors->len; i++) {
        CmdItem *item = vl->cl->monitors->pdata[i];
        Chardev *chr = monitor_chardev(vl, item, &legacy, errp);
        if (!with_origin(chr && monitor_add(vl->machine.monitors, chr, item->control, item->pretty,
                                            errp), item, errp)) {
            return false;
        }
    }
    return true;
}

static bool build_qtest(Vl *vl, GError **errp)
{
    if (!vl->cl->qtest) {
        return true;
    }
    Chardev *chr = chardev_from_text(vl->machine.chardevs, "qtest", vl->cl->qtest, errp);
    vl->qtest = chr ? qtest_new(&vl->machine, chr, vl->cl->qtest_log, errp) : NULL;
    if (!vl->qtest) {
        error_prepend(errp, "-qtest %s: ", vl->cl->qtest);
    }
    return vl->qtest != NULL;
}

static bool apply_migration_globals(Vl *vl, GError **errp)
{
    GPtrArray *globals = vl->cl->config.globals;

    if (vl->cl->config.only_migratable &&
        !migration_set_global(vl->machine.migration, "only-migratable", "on", errp)) {
        return false;
    }
    for (guint i = 0; i < globals->len; i++) {
        Opts *g = globals->pdata[i];
        if (strcmp(opts_get(g, "driver"), "migration") == 0 &&
            !migration_set_global(vl->machine.migration, opts_get(g, "property"),
                                  opts_get(g, "value"), errp)) {
            error_prepend(errp, "-global migration.%s=%s: ", opts_get(g, "property"),
                          opts_get(g, "value"));
            return false;
        }
    }
    return true;
}

/* RAM, vCPUs, board: threads exist from here on. */
static bool build_machine(Vl *vl, GError **errp)
{
    Machine *m = &vl->machine;
    MachineConfig *config = m->config;
    bool none = strcmp(config->machine_name, "none") == 0;

    if (!board_init_ram(m, errp)) {
        return false;
    }
    if (!none || config->cpu_model) {
        m->cpus = cpus_new(m, config->cpu_model ?: "rv64", config->smp, errp);
        if (!m->cpus) {
            return false;
        }
    }
    if (!board_build(m->board, errp)) {
        return false;
    }
    if (vl->cl->mem_lock && mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        error_setg_errno(errp, errno, "-overcommit mem-lock=on: mlockall");
        return false;
    }
    return true;
}

/* What monitors may look at before the machine is built. */
static bool build_front(Vl *vl, GError **errp)
{
    Machine *m = &vl->machine;

    build_core(&vl->machine, &vl->cl->config);
    if (accel_find(vl->cl->config.accel)->idle) {
        virtual_clock_set_stepped(vl->machine.clock);
    }
    if (vl->cl->config.incoming) {
        runstate_set(vl->machine.runstate, RUN_STATE_INMIGRATE, NULL);
    }
    if (!build_fds(vl, errp) || !build_chardevs(vl, errp) || !build_serials(vl, errp) ||
        !build_monitors(vl, errp) || !apply_migration_globals(vl, errp)) {
        return false;
    }
    m->board = board_new(m, errp);
    if (m->board) {
        signals_watch(vl->signals);
    }
    return m->board && build_qtest(vl, errp);
}

/* ---- starting ---- */

static bool start(Vl *vl, GError **errp)
{
    Machine *m = &vl->machine;
    MachineConfig *config = m->config;

    machine_reset_devices(m->runstate);
    if (m->cpus) {
        cpus_reset_all(m->cpus);
    }
    if (config->incoming) {
        if (!migration_incoming_start(m->migration, config->incoming, !config->start_paused,
                                      errp)) {
            error_prepend(errp, "-incoming %s: ", config->incoming);
            return false;
        }
    } else if (!config->start_paused && !vm_start(m->runstate, errp)) {
        return false;
    }
    return true;
}

/* Let our parent go, and clients in. */
static bool settle(Vl *vl, GError **errp)
{
    if (vl->daemon_fd >= 0 && !daemon_ready(vl->daemon_fd, errp)) {
        return false;
    }
    return monitors_start(vl->machine.monitors, errp);
}

/* Everything is open that has to be: fence it in. */
static bool fence(Vl *vl, GError **errp)
{
    return !vl->cl->sandbox || sandbox_enter(vl->cl->sandbox, errp);
}

static Vl *vl_of(Machine *machine)
{
    return (Vl *)((char *)machine - offsetof(Vl, machine));
}

/* The command set-numa-node. */
static bool set_numa_node(Machine *machine, Opts *opts, GError **errp)
{
    return cmdline_add_numa(vl_of(machine)->cl, opts, errp);
}

/* The command x-exit-preconfig, from the main loop. There is no way back to before a failure. */
static bool exit_preconfig(Machine *machine, GError **errp)
{
    Vl *vl = vl_of(machine);
    g_autoptr(GError) err = NULL;
    bool ok = cmdline_check_numa(vl->cl, &err) && build_machine(vl, &err);

    if (ok) {
        __atomic_store_n(&machine->exit_preconfig, NULL, __ATOMIC_RELEASE);
        ok = start(vl, &err) && fence(vl, &err);
    }
    if (!ok) {
        machine_report(machine, "%s", err->message);
        main_loop_quit(machine->loop, 1);
        g_propagate_error(errp, g_steal_pointer(&err));
    }
    return ok;
}

/* -preconfig: the rest comes with x-exit-preconfig. */
static bool finish(Vl *vl, GError **errp)
{
    if (vl->cl->preconfig) {
        vl->machine.set_numa_node = set_numa_node;
        __atomic_store_n(&vl->machine.exit_preconfig, exit_preconfig, __ATOMIC_RELEASE);
        return settle(vl, errp);
    }
    return build_machine(vl, errp) && start(vl, errp) && settle(vl, errp) && fence(vl, errp);
}

/* ---- the end ---- */

static void take_down(Vl *vl)
{
    Machine *m = &vl->machine;

    if (!m->loop) {
        return;
    }
    signals_ending(vl->signals);
    bool alone = !m->migration || migration_shutdown(m->migration);
    if (m->cpus) {
        cpus_pause_begin(m->cpus);
    }
    virtual_clock_stop(m->clock);
    qtest_free(vl->qtest);
    monitors_free(m->monitors);
    m->monitors = NULL;
    if (!alone) {
        return;     /* the machine is what a thread may come back to: it ends with the process */
    }
    migration_free(m->migration);
    bounded_settle(SETTLE_MS);
    board_free(m->board);
    cpus_free(m->cpus);
    chardevs_free(m->chardevs);
    fdsets_free(m->fds);
    bql_unlock(m->loop);
    machine_core_clear(m);
}

static void print_warnings(const Vl *vl)
{
    g_auto(GStrv) lines = g_strsplit(vl->cl->warnings->str, "\n", -1);

    for (char **line = lines; *line && **line; line++) {
        machine_report(&vl->machine, "%s", *line);
    }
}

/* Somebody at a terminal who asked for no console looks at an empty screen. */
static void hint_no_window(const Vl *vl)
{
    const CommandLine *cl = vl->cl;

    if (!cl->serial_given && !cl->nographic && !cl->monitor_given && !cl->nodefaults &&
        !cl->daemonize && isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
        machine_report(&vl->machine, "hint: there is no window, and nothing of the guest is shown; "
                       "-nographic gives its console and the monitor here (Ctrl-a h helps)");
    }
}

static bool open_log(const CommandLine *cl, GError **errp)
{
    log_set_timestamps(cl->config.msg_timestamp);
    return !cl->log_file || log_open(cl->log_file, false, errp);
}

static bool go_to_background(Vl *vl, GError **errp)
{
    if (vl->cl->daemonize && !daemon_start(&vl->daemon_fd, errp)) {
        return false;
    }
    signals_block();    /* from before there is a pid file until somebody removes it */
    if (vl->cl->pidfile) {
        vl->pidfile = pidfile_create(vl->cl->pidfile, errp);
        if (!vl->pidfile) {
            return false;
        }
    }
    vl->signals = signals_new(&vl->machine, vl->pidfile, errp);
    return vl->signals != NULL;
}

/* Everything up to the main loop; *done: there is nothing to run (-help). */
static bool prepare(Vl *vl, int argc, char **argv, bool *done, GError **errp)
{
    if (!cmdline_parse(vl->cl, argc, argv, errp)) {
        return false;
    }
    if (vl->cl->output->len) {
        fputs(vl->cl->output->str, stdout);
        *done = true;
        return true;
    }
    /* Known from the start: what would be refused later is refused before a guest waits for it. */
    vl->cl->config.spawn_denied = vl->cl->sandbox && sandbox_denies_spawn(vl->cl->sandbox);
    bool complete = sandbox_possible(vl->cl->sandbox, errp) && cmdline_complete(vl->cl, errp);
    print_warnings(vl);
    if (complete) {
        hint_no_window(vl);
    }
    if (complete && vl->cl->dump_vmstate) {
        *done = true;
        return dump_vmstate(vl->cl, errp);
    }
    return complete && add_defaults(vl->cl, errp) &&
           go_to_background(vl, errp) && open_log(vl->cl, errp) && build_front(vl, errp) &&
           finish(vl, errp);
}

int ferry_main(int argc, char **argv)
{
    Vl vl = { .cl = cmdline_new(), .daemon_fd = -1 };
    g_autoptr(GError) err = NULL;
    bool done = false;
    int status = 0;

    memory_room_init();
    signal(SIGPIPE, SIG_IGN); /* a lost peer is an error code, not an end */
    signal(SIGXFSZ, SIG_IGN); /* nor is a file that may not grow (ulimit -f) */
    vl.machine.config = &vl.cl->config;
    if (!prepare(&vl, argc, argv, &done, &err)) {
        machine_report(&vl.machine, "%s", err->message);
        status = 1;
    } else if (!done) {
        signals_running(vl.signals);
        status = main_loop_run(vl.machine.loop);
    }
    take_down(&vl);
    signals_free(vl.signals);
    pidfile_remove(vl.pidfile);
    cmdline_free(vl.cl);
    return status;
}
