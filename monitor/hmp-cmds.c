/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP commands about the machine: thin layers over the QMP commands, and
 * "info" for what QMP has. Texts are QEMU's. Migration's are in migration/.
 */
#include <inttypes.h>
#include <string.h>

#include "chardev/char.h"
#include "migration/migration.h"
#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"

/* ---- commands ---- */

void hmp_quit(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    (void)args;
    qmp_quit(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_exit_preconfig(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    (void)args;
    qmp_x_exit_preconfig(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_stop(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    (void)args;
    qmp_stop(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_cont(HMPMonitor *mon, const HMPArgs *args)
{
    g_autofree char *where = migration_moved_to(hmp_machine(mon)->migration);
    GError *err = NULL;

    if (where && !hmp_arg_flag(args, "force")) {
        monitor_printf(mon, migration_was_confirmed(hmp_machine(mon)->migration)
                       ? "Warning: the guest has moved to %s and runs there; with \"cont -f\" it "
                         "runs here as well, on the same disks\n"
                       : "Warning: the guest was sent to %s; whether it runs there is not known "
                         "here (no return-path). If it does, with \"cont -f\" it runs "
                         "here as well, on the same disks\n", where);
        return;
    }
    qmp_cont(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_system_reset(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    (void)args;
    qmp_system_reset(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_system_powerdown(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;

    (void)args;
    qmp_system_powerdown(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_system_wakeup(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    (void)args;
    qmp_system_wakeup(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_nmi(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    (void)args;
    qmp_inject_nmi(hmp_machine(mon), &err);
    hmp_handle_error(mon, err);
}

void hmp_cpu(HMPMonitor *mon, const HMPArgs *args)
{
    int64_t index = hmp_arg_int(args, "index", 0);
    CPUList *cpus = hmp_machine(mon)->cpus;
    if (!cpus || index < 0 || index >= cpus_count(cpus)) {
        monitor_puts(mon, "invalid CPU index\n");
        return;
    }
    mon->cpu_index = (int)index;
}

void hmp_getfd(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_getfd(hmp_machine(mon), hmp_arg_str(args, "fdname"), &err);
    hmp_handle_error(mon, err);
}

void hmp_closefd(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_closefd(hmp_machine(mon), hmp_arg_str(args, "fdname"), &err);
    hmp_handle_error(mon, err);
}

/* ---- info ---- */

void hmp_info_version(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    monitor_printf(mon, "%d.%d.%d %s\n", MONITOR_QEMU_MAJOR, MONITOR_QEMU_MINOR,
                   MONITOR_QEMU_MICRO, MONITOR_PACKAGE);
}

void hmp_info_status(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    RunState state = runstate_get(hmp_machine(mon)->runstate);
    bool running = runstate_is_running(hmp_machine(mon)->runstate);
    monitor_printf(mon, "VM status: %s", running ? "running" : "paused");
    if (!running && state != RUN_STATE_PAUSED) {
        monitor_printf(mon, " (%s)", RunState_str(state));
    }
    monitor_puts(mon, "\n");
}

void hmp_info_name(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(NameInfo) info = qmp_query_name(hmp_machine(mon), NULL);
    if (info->name) {
        monitor_printf(mon, "%s\n", info->name);
    }
}

void hmp_info_uuid(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(UuidInfo) info = qmp_query_uuid(hmp_machine(mon), NULL);
    monitor_printf(mon, "%s\n", info->UUID);
}

/* The board has one node or none. */
void hmp_info_numa(HMPMonitor *mon, const HMPArgs *args)
{
    struct Machine *machine = hmp_machine(mon);
    const struct MachineConfig *config = machine->config;
    (void)args;
    if (!config->numa) {
        monitor_puts(mon, "0 nodes\n");
        return;
    }
    monitor_puts(mon, "1 nodes\nnode 0 cpus:");
    for (unsigned i = 0; machine->cpus && i < cpus_count(machine->cpus); i++) {
        monitor_printf(mon, " %u", i);
    }
    monitor_printf(mon, "\nnode 0 size: %" PRIu64 " MB\nnode 0 plugged: 0 MB\n",
                   config->ram_bytes >> 20);
}

void hmp_info_cpus(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    CPUList *cpus = hmp_machine(mon)->cpus;
    for (unsigned i = 0; cpus && i < cpus_count(cpus); i++) {
        monitor_printf(mon, "%c CPU #%u: thread_id=%d\n", (int)i == MAX(mon->cpu_index, 0) ? '*' : ' ',
                       i, cpu_thread_id(cpus, i));
    }
}

static void print_registers(HMPMonitor *mon, unsigned i)
{
    g_autofree char *text = cpu_dump(hmp_machine(mon)->cpus, i);
    monitor_printf(mon, "\nCPU#%u\n%s", i, text);
}

/* The registers of one moment: the harts from first on stand still for it. */
static void print_paused(HMPMonitor *mon, unsigned first, unsigned n)
{
    CPUList *cpus = hmp_machine(mon)->cpus;

    cpus_pause_begin(cpus);
    for (unsigned i = first; i < first + n; i++) {
        print_registers(mon, i);
    }
    cpus_pause_end(cpus);
}

void hmp_info_registers(HMPMonitor *mon, const HMPArgs *args)
{
    CPUList *cpus = hmp_machine(mon)->cpus;
    unsigned n = cpus ? cpus_count(cpus) : 0;
    if (hmp_arg_flag(args, "cpustate_all")) {
        if (n > 0) {
            print_paused(mon, 0, n);
        }
        return;
    }
    int64_t vcpu = hmp_arg_int(args, "vcpu", MAX(mon->cpu_index, 0));
    if (vcpu < 0 || vcpu >= n) {
        monitor_puts(mon, hmp_arg_has(args, "vcpu") ? "CPU#" : "No CPU available\n");
        if (hmp_arg_has(args, "vcpu")) {
            monitor_printf(mon, "%" PRId64 " not available\n", vcpu);
        }
        return;
    }
    print_paused(mon, (unsigned)vcpu, 1);
}

void hmp_info_memory_size_summary(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(MemoryInfo) info = qmp_query_memory_size_summary(hmp_machine(mon), NULL);
    monitor_printf(mon, "base memory: %" PRIu64 "\n", info->base_memory);
}

void hmp_info_chardev(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(ChardevInfoList) list = qmp_query_chardev(hmp_machine(mon), NULL);
    for (ChardevInfoList *l = list; l; l = l->next) {
        monitor_printf(mon, "%s: filename=%s\n", l->value->label, l->value->filename);
    }
}

void hmp_info_history(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    g_autoptr(GPtrArray) history = mon->editor ? line_editor_history(mon->editor) : NULL;
    for (guint i = 0; history && i < history->len; i++) {
        monitor_printf(mon, "%u: '%s'\n", i, (char *)g_ptr_array_index(history, i));
    }
}

void hmp_info_kvm(HMPMonitor *mon, const HMPArgs *args)
{
    (void)args;
    monitor_puts(mon, "kvm support: not compiled\n");
}
