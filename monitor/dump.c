/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dump-guest-memory: the guest's memory as an ELF64 core file.
 *
 *   ELF header | program headers: NOTE, LOAD per region | notes: one
 *   NT_PRSTATUS per hart | memory of the regions, one after the other
 *
 * Writing happens on the caller's thread, or with detach on one of its own;
 * the guest is stopped meanwhile, so that memory can be read without a lock.
 * The stories of migrations are elsewhere; this never touches them.
 */
#include "monitor/dump.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "monitor/internal.h"
#include "monitor/output-file.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"

#ifndef EM_RISCV
#define EM_RISCV 243
#endif
/* struct elf_prstatus of riscv64 Linux: where gdb looks for the registers. */
#define PRSTATUS_SIZE 376
#define PRSTATUS_PID 32
#define PRSTATUS_REGS 112

typedef struct DumpRegion {
    uint64_t guest_addr, len;
    const RAMBlock *block;
    uint64_t offset;            /* in block */
} DumpRegion;

struct DumpState {
    /* set before the thread starts */
    struct Machine *machine;
    int fd;
    GArray *regions;        /* DumpRegion */
    uint64_t total_bytes;
    bool was_running;       /* the guest goes on afterwards; main thread */
    bool stop_asked;        /* "stop" came meanwhile; main thread */
    bool detached;          /* on a thread of its own */
    bool sparse;            /* the file began empty and has holes where memory is zero */
    GThread *thread;
    /* written by the writing thread, read by any: atomic */
    int status;             /* DumpStatus */
    uint64_t completed_bytes;
    int cancelled;
    /* the writing thread's until it has ended */
    GError *error;
};

/* A thread may wait for its reader as long as it likes; the main thread may not. */
static bool write_bytes(DumpState *d, const void *buf, size_t len)
{
    g_autoptr(GError) err = NULL;
    int patience_ms = d->detached ? -1 : OUTPUT_PATIENCE_MS;

    if (!output_write(d->fd, buf, len, patience_ms, &d->cancelled, &err)) {
        error_setg(&d->error, "dump: failed to write memory: %s", err->message);
        return false;
    }
    return true;
}

/* ---- the parts of the file ---- */

static unsigned hart_count(const DumpState *d)
{
    return d->machine->cpus ? cpus_count(d->machine->cpus) : 0;
}

/* One note: header, "CORE" padded to 8, the descriptor (a multiple of 4). */
#define NOTE_SIZE (sizeof(Elf64_Nhdr) + 8 + PRSTATUS_SIZE)

static void make_note(const DumpState *d, unsigned hart, uint8_t note[NOTE_SIZE])
{
    Elf64_Nhdr hdr = { .n_namesz = 5, .n_descsz = PRSTATUS_SIZE, .n_type = NT_PRSTATUS };
    uint64_t gregs[33], regs[32];
    uint32_t pid = hart + 1;
    cpu_get_gregs(d->machine->cpus, hart, gregs);
    regs[0] = gregs[32];                            /* pc stands where x0 would */
    memcpy(regs + 1, gregs + 1, 31 * sizeof(*regs));
    memset(note, 0, NOTE_SIZE);
    memcpy(note, &hdr, sizeof(hdr));
    memcpy(note + sizeof(hdr), "CORE", 5);
    uint8_t *desc = note + sizeof(hdr) + 8;
    memcpy(desc + PRSTATUS_PID, &pid, sizeof(pid));
    memcpy(desc + PRSTATUS_REGS, regs, sizeof(regs));
}

static bool write_headers(DumpState *d)
{
    unsigned loads = d->regions->len;
    uint64_t notes = (uint64_t)hart_count(d) * NOTE_SIZE;
    uint64_t offset = sizeof(Elf64_Ehdr) + (1 + loads) * sizeof(Elf64_Phdr);
    Elf64_Ehdr eh = {
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_CORE, .e_machine = EM_RISCV, .e_version = EV_CURRENT,
        .e_phoff = sizeof(eh), .e_ehsize = sizeof(eh), .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(1 + loads), .e_shentsize = sizeof(Elf64_Shdr),
    };
    Elf64_Phdr ph = { .p_type = PT_NOTE, .p_offset = offset, .p_filesz = notes, .p_memsz = notes };
    bool ok = write_bytes(d, &eh, sizeof(eh)) && write_bytes(d, &ph, sizeof(ph));
    offset += notes;
    for (unsigned i = 0; ok && i < loads; i++) {
        const DumpRegion *r = &g_array_index(d->regions, DumpRegion, i);
        ph = (Elf64_Phdr) {
            .p_type = PT_LOAD, .p_offset = offset, .p_vaddr = r->guest_addr,
            .p_paddr = r->guest_addr, .p_filesz = r->len, .p_memsz = r->len,
        };
        offset += r->len;
        ok = write_bytes(d, &ph, sizeof(ph));
    }
    for (unsigned i = 0; ok && i < hart_count(d); i++) {
        uint8_t note[NOTE_SIZE];
        make_note(d, i, note);
        ok = write_bytes(d, note, sizeof(note));
    }
    return ok;
}

#define DUMP_CHUNK (64u << 10)

static bool is_zero(const uint8_t *p, size_t len)
{
    return len == 0 || (p[0] == 0 && !memcmp(p, p + 1, len - 1));
}

/* Bytes from offset on that the guest has never touched: reading them would allocate them. */
static uint64_t untouched_bytes(const RAMBlock *block, uint64_t offset)
{
    off_t data = block->fd < 0 ? (off_t)offset : lseek(block->fd, (off_t)offset, SEEK_DATA);
    if (data < 0) {
        return errno == ENXIO ? block->used_length - offset : 0;
    }
    return (uint64_t)data - offset;
}

/* len zeros: a hole where the file began empty. */
static bool write_zeros(DumpState *d, uint64_t len)
{
    static const uint8_t zeros[DUMP_CHUNK];
    if (d->sparse) {
        if (lseek(d->fd, (off_t)len, SEEK_CUR) >= 0) {
            return true;
        }
        error_setg_errno(&d->error, errno, "dump: failed to write memory");
        return false;
    }
    for (; len; len -= MIN(len, DUMP_CHUNK)) {
        if (!write_bytes(d, zeros, MIN(len, DUMP_CHUNK))) {
            return false;
        }
    }
    return true;
}

static bool write_region(DumpState *d, const DumpRegion *r)
{
    for (uint64_t done = 0; done < r->len;) {
        const uint8_t *host = r->block->host + r->offset + done;
        uint64_t n = MIN(untouched_bytes(r->block, r->offset + done), r->len - done);
        bool ok;
        if (n) {
            ok = write_zeros(d, n);
        } else {
            n = MIN(r->len - done, DUMP_CHUNK);
            ok = d->sparse && is_zero(host, n) ? write_zeros(d, n) : write_bytes(d, host, n);
        }
        if (!ok) {
            return false;
        }
        done += n;
        __atomic_fetch_add(&d->completed_bytes, n, __ATOMIC_RELAXED);
    }
    return true;
}

static void write_dump(DumpState *d)
{
    bool ok = write_headers(d);
    for (guint i = 0; ok && i < d->regions->len; i++) {
        ok = write_region(d, &g_array_index(d->regions, DumpRegion, i));
    }
    if (ok && d->sparse && ftruncate(d->fd, lseek(d->fd, 0, SEEK_CUR)) < 0) {
        error_setg_errno(&d->error, errno, "dump: failed to write memory");
        ok = false;
    }
    if (close(d->fd) < 0 && ok) {
        error_setg_errno(&d->error, errno, "dump: failed to write memory");
        ok = false;
    }
    d->fd = -1;
    __atomic_store_n(&d->status, ok ? DUMP_STATUS_COMPLETED : DUMP_STATUS_FAILED,
                     __ATOMIC_RELEASE);
}

/* ---- around it ---- */

static DumpQueryResult *query(const DumpState *d)
{
    DumpQueryResult *result = g_new0(DumpQueryResult, 1);
    if (d) {
        result->status = __atomic_load_n(&d->status, __ATOMIC_ACQUIRE);
        result->completed = (int64_t)__atomic_load_n(&d->completed_bytes, __ATOMIC_RELAXED);
        result->total = (int64_t)d->total_bytes;
    }
    return result;
}

static const GuestJobKind dump_job = { "a memory dump", "query-dump tells how far it is" };

/* Lets the guest go on; main thread, BQL. */
static void finish(DumpState *d)
{
    guest_job_end(&d->machine->job, &dump_job);
    if (d->was_running && d->stop_asked) {
        runstate_set(d->machine->runstate, RUN_STATE_PAUSED, NULL);
    } else if (d->was_running) {
        vm_start(d->machine->runstate, NULL);
    }
    d->was_running = false;
}

bool dump_is_running(struct Machine *machine)
{
    return guest_job_is(&machine->job, &dump_job);
}

void dump_stay_stopped(struct Machine *machine)
{
    if (dump_is_running(machine)) {
        machine->monitors->dump->stop_asked = true;
    }
}

static void finish_detached(void *opaque)
{
    DumpState *d = opaque;
    g_thread_join(d->thread);
    d->thread = NULL;
    finish(d);
    g_autoptr(DumpQueryResult) result = query(d);
    qapi_event_send_dump_completed(d->machine->monitors, result,
                                   d->error ? d->error->message : NULL);
}

/* Owns d until it posts; reads guest memory while the guest is stopped; ends when all is written. */
static gpointer dump_thread(gpointer opaque)
{
    DumpState *d = opaque;
    write_dump(d);
    main_loop_post(d->machine->loop, finish_detached, d);
    return NULL;
}

void dump_state_free(DumpState *d)
{
    if (!d) {
        return;
    }
    if (d->thread) {
        __atomic_store_n(&d->cancelled, 1, __ATOMIC_RELAXED);
        g_thread_join(d->thread);
    }
    if (d->fd >= 0) {
        close(d->fd);
    }
    g_array_free(d->regions, TRUE);
    g_clear_error(&d->error);
    g_free(d);
}

/* RAM within [begin, begin + length), in address order. */
static void collect_regions(DumpState *d, uint64_t begin, uint64_t length)
{
    const MemoryRegion *r;
    for (size_t i = 0; (r = address_space_get(d->machine->as, i)); i++) {
        if (!r->block) {
            continue;
        }
        uint64_t first = MAX(r->base, begin), last = MIN(r->base + r->size - 1, begin + length - 1);
        if (first > last) {
            continue;
        }
        DumpRegion region = { first, last - first + 1, r->block, first - r->base };
        g_array_append_val(d->regions, region);
        d->total_bytes += region.len;
    }
}

static int open_file(struct Machine *machine, const char *path, GError **errp)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    int fd;

    if (g_str_has_prefix(path, "/dev/fdset/")) {
        return fdset_open(machine->fds, path, flags, 0400, errp);
    }
    fd = open(path, flags | O_CLOEXEC | OUTPUT_OPEN_FLAGS, 0400);
    if (fd < 0) {
        output_open_error(path, errno, errp);
    }
    return fd;
}

static int open_target(struct Machine *machine, const char *protocol, GError **errp)
{
    int fd;

    if (g_str_has_prefix(protocol, "fd:")) {
        fd = fds_take_named(machine->fds, protocol + 3, errp);
    } else if (g_str_has_prefix(protocol, "file:")) {
        fd = open_file(machine, protocol + 5, errp);
    } else {
        error_setg(errp, "Invalid parameter 'protocol'");
        return -1;
    }
    if (fd >= 0) {
        output_prepare(fd);
    }
    return fd;
}

static DumpState *dump_new(struct Machine *machine, uint64_t begin, uint64_t length, GError **errp)
{
    DumpState *d = g_new0(DumpState, 1);
    d->machine = machine;
    d->fd = -1;
    d->regions = g_array_new(FALSE, FALSE, sizeof(DumpRegion));
    collect_regions(d, begin, length);
    if (!d->total_bytes) {
        error_setg(errp, "dump: no guest memory to dump");
        dump_state_free(d);
        return NULL;
    }
    return d;
}

static bool check_arguments(struct Machine *machine, bool paging, bool has_begin, int64_t begin,
                            bool has_length, int64_t length, GError **errp)
{
    DumpState *last = machine->monitors->dump;
    if (present_map_active(machine->present)) {
        error_setg(errp, "dump: %" PRIu64 " MiB of guest memory have not come yet from where the guest "
                   "was: wait for the end of the migration",
                   ((present_map_missing(machine->present) << TARGET_PAGE_BITS) + (1 << 20) - 1) >> 20);
        return false;
    }
    if (last && last->thread) {
        error_setg(errp, "There is a dump in process, please wait.");
        return false;
    }
    if (runstate_get(machine->runstate) == RUN_STATE_INMIGRATE) {
        error_setg(errp, "Dump not allowed during incoming migration.");
        return false;
    }
    if (has_begin != has_length) {
        error_setg(errp, "Parameter '%s' is missing", has_begin ? "length" : "begin");
        return false;
    }
    if (has_begin && (begin < 0 || length <= 0)) {
        error_setg(errp, "Invalid parameter '%s'", begin < 0 ? "begin" : "length");
        return false;
    }
    if (paging) {
        error_setg(errp, "dump: paging is not supported, use physical addresses");
        return false;
    }
    return true;
}

bool qmp_dump_guest_memory(struct Machine *machine, bool paging, const char *protocol,
                           bool has_detach, bool detach, bool has_begin, int64_t begin,
                           bool has_length, int64_t length, bool has_format,
                           DumpGuestMemoryFormat format, GError **errp)
{
    (void)has_format;
    (void)format;   /* there is one */
    if (!check_arguments(machine, paging, has_begin, begin, has_length, length, errp)) {
        return false;
    }
    DumpState *d = dump_new(machine, has_begin ? (uint64_t)begin : 0,
                            has_begin ? (uint64_t)length : UINT64_MAX, errp);
    if (!d || !guest_job_begin(&machine->job, &dump_job, errp)) {
        dump_state_free(d);
        return false;
    }
    d->fd = open_target(machine, protocol, errp);
    d->sparse = d->fd >= 0 && lseek(d->fd, 0, SEEK_END) == 0;
    d->was_running = d->fd >= 0 && runstate_is_running(machine->runstate);
    if (d->fd < 0 ||
        (d->was_running && !vm_stop(machine->runstate, RUN_STATE_SAVE_VM, errp))) {
        guest_job_end(&machine->job, &dump_job);
        dump_state_free(d);
        return false;
    }
    dump_state_free(machine->monitors->dump);
    machine->monitors->dump = d;
    d->status = DUMP_STATUS_ACTIVE;
    d->detached = has_detach && detach;
    if (d->detached && (d->thread = thread_start("dump", dump_thread, d, &d->error))) {
        return true;
    }
    if (d->detached) {
        d->status = DUMP_STATUS_FAILED;
    } else {
        write_dump(d);
    }
    finish(d);
    if (d->error) {
        g_propagate_error(errp, g_error_copy(d->error));
    }
    return !d->error;
}

DumpQueryResult *qmp_query_dump(struct Machine *machine, GError **errp)
{
    (void)errp;
    return query(machine->monitors->dump);
}

DumpGuestMemoryCapability *qmp_query_dump_guest_memory_capability(struct Machine *machine,
                                                                  GError **errp)
{
    DumpGuestMemoryCapability *cap = g_new0(DumpGuestMemoryCapability, 1);
    (void)machine;
    (void)errp;
    cap->formats = g_new0(DumpGuestMemoryFormatList, 1);
    cap->formats->value = DUMP_GUEST_MEMORY_FORMAT_ELF;
    return cap;
}
