/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about the machine as a whole: run state, identity, CPUs, memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "hw/boards.h"
#include "migration/migration.h"
#include "monitor/internal.h"
#include "monitor/output-file.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"

/* ---- run state ---- */

StatusInfo *qmp_query_status(struct Machine *machine, GError **errp)
{
    (void)errp;
    StatusInfo *info = g_new0(StatusInfo, 1);
    info->running = runstate_is_running(machine->runstate);
    info->status = runstate_get(machine->runstate);
    return info;
}

bool qmp_stop(struct Machine *machine, GError **errp)
{
    if (runstate_get(machine->runstate) == RUN_STATE_INMIGRATE) {
        migration_incoming_set_autostart(machine->migration, false);
        return true;
    }
    if (!migration_guest_is_here(machine->migration, errp)) {
        return false;
    }
    dump_stay_stopped(machine);
    return vm_stop(machine->runstate, RUN_STATE_PAUSED, errp);
}

bool qmp_cont(struct Machine *machine, GError **errp)
{
    RunState state = runstate_get(machine->runstate);
    if (runstate_needs_reset(machine->runstate)) {
        error_setg(errp, "Resetting the Virtual Machine is required");
        return false;
    }
    if (dump_is_running(machine)) {
        error_setg(errp, "A memory dump is being written, the guest must stand still: wait for "
                   "DUMP_COMPLETED (query-dump tells how far it is)");
        return false;
    }
    if (state == RUN_STATE_SUSPENDED || state == RUN_STATE_RUNNING) {
        return true;
    }
    if (state == RUN_STATE_FINISH_MIGRATE) {
        g_autofree char *there = migration_running_there(machine->migration);
        error_setg(errp, "Migration is not finalized yet%s%s", there ? ": " : "",
                   there ? there : "");
        return false;
    }
    if (state == RUN_STATE_INMIGRATE) {
        migration_incoming_set_autostart(machine->migration, true);
        return true;
    }
    if (migration_memory_given_back(machine->migration)) {
        error_setg(errp, "The guest has moved, and its memory was given back to the host meanwhile "
                   "(release-ram): only system_reset starts a guest here, from the beginning");
        return false;
    }
    g_autofree char *where = migration_moved_to(machine->migration);
    if (!vm_start(machine->runstate, errp)) {
        return false;
    }
    if (where) {
        qapi_event_send_x_migration_source_continued(machine->monitors, where);
    }
    return true;
}

bool qmp_system_reset(struct Machine *machine, GError **errp)
{
    if (!migration_guest_is_here(machine->migration, errp)) {
        return false;
    }
    system_reset_request(machine->runstate, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return true;
}

bool qmp_system_powerdown(struct Machine *machine, GError **errp)
{
    if (!migration_guest_is_here(machine->migration, errp)) {
        return false;
    }
    system_powerdown_request(machine->runstate);
    return true;
}

bool qmp_system_wakeup(struct Machine *machine, GError **errp)
{
    (void)machine;
    error_setg(errp, "wake-up from suspend is not supported by this guest");
    return false;
}

bool qmp_set_action(struct Machine *machine, bool has_reboot, RebootAction reboot,
                    bool has_shutdown, ShutdownAction shutdown, bool has_panic, PanicAction panic,
                    bool has_watchdog, WatchdogAction watchdog, GError **errp)
{
    struct MachineConfig *config = machine->config;
    (void)errp;
    (void)has_panic;    /* nothing here reports panics, and no watchdog runs out */
    (void)panic;
    (void)has_watchdog;
    (void)watchdog;
    if (has_reboot) {
        config->no_reboot = reboot == REBOOT_ACTION_SHUTDOWN;
    }
    if (has_shutdown) {
        config->no_shutdown = shutdown == SHUTDOWN_ACTION_PAUSE;
    }
    runstate_set_actions(machine->runstate, config->no_reboot, config->no_shutdown);
    return true;
}

bool qmp_inject_nmi(struct Machine *machine, GError **errp)
{
    (void)machine;
    error_setg(errp, "this feature or command is not currently supported");
    return false;
}

/* ---- identity ---- */

NameInfo *qmp_query_name(struct Machine *machine, GError **errp)
{
    (void)errp;
    NameInfo *info = g_new0(NameInfo, 1);
    info->name = g_strdup(machine->config->name);
    return info;
}

UuidInfo *qmp_query_uuid(struct Machine *machine, GError **errp)
{
    (void)errp;
    const uint8_t *u = machine->config->uuid;
    UuidInfo *info = g_new0(UuidInfo, 1);
    info->UUID = g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                                 "%02x%02x%02x%02x%02x%02x",
                                 u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9],
                                 u[10], u[11], u[12], u[13], u[14], u[15]);
    return info;
}

TargetInfo *qmp_query_target(struct Machine *machine, GError **errp)
{
    (void)machine;
    (void)errp;
    TargetInfo *info = g_new0(TargetInfo, 1);
    info->arch = SYS_EMU_TARGET_RISCV64;
    return info;
}

KvmInfo *qmp_query_kvm(struct Machine *machine, GError **errp)
{
    (void)machine;
    (void)errp;
    return g_new0(KvmInfo, 1);
}

/* ---- CPUs and memory ---- */

CpuInfoFastList *qmp_query_cpus_fast(struct Machine *machine, GError **errp)
{
    CpuInfoFastList *list = NULL, **tail = &list;
    unsigned n = machine->cpus ? cpus_count(machine->cpus) : 0;
    (void)errp;
    for (unsigned i = 0; i < n; i++) {
        CpuInfoFast *cpu = g_new0(CpuInfoFast, 1);
        cpu->cpu_index = i;
        cpu->qom_path = g_strdup_printf("/machine/soc0/harts[%u]", i);
        cpu->thread_id = cpu_thread_id(machine->cpus, i);
        cpu->target = SYS_EMU_TARGET_RISCV64;
        cpu->props = g_new0(CpuInstanceProperties, 1);
        cpu->props->has_core_id = true;
        cpu->props->core_id = i;
        *tail = g_new0(CpuInfoFastList, 1);
        (*tail)->value = cpu;
        tail = &(*tail)->next;
    }
    return list;
}

MemoryInfo *qmp_query_memory_size_summary(struct Machine *machine, GError **errp)
{
    (void)errp;
    MemoryInfo *info = g_new0(MemoryInfo, 1);
    info->base_memory = machine->config->ram_bytes;
    return info;
}

/* What a guest has in its memory is for our user alone: keys, passwords. */
static int open_output(const char *filename, GError **errp)
{
    int fd = open(filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | OUTPUT_OPEN_FLAGS, 0600);
    if (fd < 0) {
        output_open_error(filename, errno, errp);
    }
    return fd;
}

static bool write_all(int fd, const uint8_t *buf, size_t len, const char *filename, GError **errp)
{
    g_autoptr(GError) err = NULL;
    bool ok = output_write(fd, buf, len, OUTPUT_PATIENCE_MS, NULL, &err);
    if (!ok) {
        error_setg(errp, "Could not write '%s': %s", filename, err->message);
    }
    return ok;
}

#define SAVE_PIECE_BYTES (256 << 10)        /* written at a time */

/* Saves size bytes from addr; cpu < 0: physical addresses. Page by page, as translation may change there. */
static bool save_range(struct Machine *machine, uint64_t addr, uint64_t size, int cpu,
                       const char *filename, GError **errp)
{
    g_autofree uint8_t *buf = g_malloc(SAVE_PIECE_BYTES);
    uint64_t start = addr, total = size, held = 0;
    int fd = open_output(filename, errp);
    bool ok = fd >= 0;
    while (ok && size) {
        uint64_t n = MIN(size, TARGET_PAGE_SIZE - addr % TARGET_PAGE_SIZE);
        MemMissing missing;
        memset(buf + held, 0, n);   /* holes read as zeros */
        switch (monitor_read_guest(machine, cpu, addr, buf + held, n, &missing)) {
        case GUEST_READ_UNMAPPED:
            error_setg(errp, "Invalid addr 0x%016" PRIx64 "/size %" PRIu64 " specified", start,
                       total);
            ok = false;
            break;
        case GUEST_READ_MISSING:
            mem_missing_error(&missing, errp);
            ok = false;
            break;
        default:
            held += n;
            break;
        }
        addr += n;
        size -= n;
        if (ok && (size == 0 || held > SAVE_PIECE_BYTES - TARGET_PAGE_SIZE)) {
            ok = write_all(fd, buf, held, filename, errp);
            held = 0;
        }
    }
    if (fd >= 0 && close(fd) < 0 && ok) {
        error_setg_errno(errp, errno, "Could not write '%s'", filename);
        ok = false;
    }
    return ok;
}

bool qmp_memsave(struct Machine *machine, int64_t val, int64_t size, const char *filename,
                 bool has_cpu_index, int64_t cpu_index, GError **errp)
{
    unsigned n = machine->cpus ? cpus_count(machine->cpus) : 0;
    if (!has_cpu_index) {
        cpu_index = 0;
    }
    if (cpu_index < 0 || cpu_index >= n) {
        error_setg(errp, "Parameter 'cpu-index' expects a CPU number");
        return false;
    }
    if (size < 0) {
        error_setg(errp, "Parameter 'size' expects a size");
        return false;
    }
    return save_range(machine, (uint64_t)val, (uint64_t)size, (int)cpu_index, filename, errp);
}

bool qmp_pmemsave(struct Machine *machine, int64_t val, int64_t size, const char *filename,
                  GError **errp)
{
    if (size < 0) {
        error_setg(errp, "Parameter 'size' expects a size");
        return false;
    }
    return save_range(machine, (uint64_t)val, (uint64_t)size, -1, filename, errp);
}

bool qmp_dumpdtb(struct Machine *machine, const char *filename, GError **errp)
{
    GBytes *fdt = board_fdt(machine->board);
    g_autoptr(GError) err = NULL;
    gsize len;

    if (!fdt) {
        error_setg(errp, "This machine doesn't have a FDT");
        return false;
    }
    const char *data = g_bytes_get_data(fdt, &len);
    if (!g_file_set_contents(filename, data, (gssize)len, &err)) {
        error_setg(errp, "Error saving FDT to file %s: %s", filename, err->message);
        return false;
    }
    return true;
}
