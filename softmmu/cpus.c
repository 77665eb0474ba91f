/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads: start, pause, resume, kick, throttle, and the barrier of the
 * dirty log. What a vCPU does while it runs is the accelerator's business
 * (accel/accel.h), what it is, target/riscv's. Called by vl, run state,
 * devices (interrupt lines), monitors and the migration thread.
 */
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "accel/accel.h"
#include "softmmu/config.h"
#include "softmmu/cpu-list.h"
#include "target/riscv/cpu.h"
#include "util/error.h"
#include "util/log.h"
#include "util/short-turns.h"
#include "util/trace-softmmu.h"

#define THROTTLE_SLICE_MS 10

/* ---- the vCPU thread ---- */

/* Why a vCPU may not go on; its lock held. */
static bool vcpu_must_wait(RISCVCPU *cpu)
{
    return cpu->stop || cpu->page_wait || cpu->accel->idle ||
           (atomic_load(&cpu->halted) && !riscv_cpu_has_work(cpu));
}

/*
 * Waits while paused, in WFI without work or for a page. False: the thread is to end. Says "stopped"
 * once asked.
 */
static bool vcpu_wait(RISCVCPU *cpu)
{
    bool go_on;

    g_mutex_lock(&cpu->lock);
    while (!cpu->quit && vcpu_must_wait(cpu)) {
        if (cpu->stop && !cpu->stopped) {
            cpu->stopped = true;
            g_cond_broadcast(&cpu->stopped_cond);
        }
        cpu->waiting = true;
        g_cond_wait(&cpu->wake, &cpu->lock);
        cpu->waiting = false;
    }
    go_on = !cpu->quit;
    g_mutex_unlock(&cpu->lock);
    if (go_on) {
        atomic_store(&cpu->halted, false);
    }
    return go_on;
}

static void vcpu_page_came(void *opaque)
{
    RISCVCPU *cpu = opaque;

    g_mutex_lock(&cpu->lock);
    cpu->page_wait = false;
    bool waiting = cpu->waiting;
    g_mutex_unlock(&cpu->lock);
    if (waiting) {
        g_cond_broadcast(&cpu->wake);   /* not before: it would wait for the lock at once */
    }
}

/* While it may have to wait for pages: it is on its way to the next one when it has got one. */
static void vcpu_short_turns(RISCVCPU *cpu, bool on)
{
    if (cpu->short_turns != on) {
        cpu->short_turns = on;
        thread_short_turns(on);
    }
}

/* The instruction at pc needs a page that is not here: vcpu_wait will wait for it. */
static void vcpu_need_page(RISCVCPU *cpu)
{
    const RAMBlock *block = cpu->missing_block;

    cpu->missing_block = NULL;
    vcpu_short_turns(cpu, true);
    g_mutex_lock(&cpu->lock);
    cpu->page_wait = true;      /* first: it may come at once */
    g_mutex_unlock(&cpu->lock);
    if (!present_map_wait(cpu->machine->present, &cpu->page_waiter, block, cpu->missing_page)) {
        vcpu_page_came(cpu);
    }
}

/* The forced sleep of auto-converge; a pause request ends it early. */
static void vcpu_throttle(RISCVCPU *cpu)
{
    int pct = atomic_load(&cpu->list->throttle_pct);
    gint64 until;

    if (!atomic_exchange(&cpu->throttle_due, false) || pct <= 0) {
        return;
    }
    until = g_get_monotonic_time() + (gint64)THROTTLE_SLICE_MS * 1000 * pct / (100 - pct);
    g_mutex_lock(&cpu->lock);
    while (!cpu->stop && !cpu->quit && g_cond_wait_until(&cpu->wake, &cpu->lock, until)) {
        /* woken for something that can wait */
    }
    g_mutex_unlock(&cpu->lock);
}

/*
 * One vCPU. Owns: its RISCVCPU while it runs. Waits on: cpu->wake (paused,
 * in WFI, throttled, a page has not come) and, inside the accelerator, the BQL for MMIO. Ends
 * when: cpus_free sets quit. Never holds the BQL here.
 */
static void *vcpu_loop(void *opaque)
{
    RISCVCPU *cpu = opaque;

    atomic_store(&cpu->tid, (int)syscall(SYS_gettid));
    for (;;) {
        /* clear first: a request that comes after this is seen by run(), one before it below */
        atomic_store(&cpu->pending, 0);
        if (!vcpu_wait(cpu)) {
            return NULL;
        }
        vcpu_throttle(cpu);
        riscv_cpu_enter_guest(cpu);
        int irq = riscv_cpu_pending_irq(cpu);

        if (irq >= 0) {
            riscv_cpu_trap(cpu, CAUSE_INTERRUPT | (uint64_t)irq, 0);
        }
        cpu->accel->run(cpu);
        riscv_cpu_leave_guest(cpu);
        if (cpu->missing_block) {
            vcpu_need_page(cpu);
        } else if (cpu->short_turns && !present_map_active(cpu->machine->present)) {
            vcpu_short_turns(cpu, false);
        }
    }
}

/* ---- creation ---- */

static void vcpu_free(RISCVCPU *cpu)
{
    if (!cpu) {
        return;
    }
    if (cpu->thread) {
        g_mutex_lock(&cpu->lock);
        cpu->quit = true;
        g_mutex_unlock(&cpu->lock);
        riscv_cpu_kick(cpu);
        g_thread_join(cpu->thread);
    }
    present_map_forget(cpu->machine->present, &cpu->page_waiter);
    if (cpu->wire) {
        riscv_cpu_vmstate_unregister(cpu);
    }
    if (cpu->interp) {
        cpu->accel->destroy(cpu);
    }
    if (cpu->stimer) {
        clock_timer_free(cpu->stimer);
    }
    g_mutex_clear(&cpu->lock);
    g_cond_clear(&cpu->wake);
    g_cond_clear(&cpu->stopped_cond);
    g_aligned_free(cpu->tlbs);
    g_aligned_free(cpu);
}

static RISCVCPU *vcpu_new(CPUList *list, unsigned index, GError **errp)
{
    Machine *machine = list->machine;
    RISCVCPU *cpu = g_aligned_alloc0(1, sizeof(RISCVCPU), 64);

    g_mutex_init(&cpu->lock);
    g_cond_init(&cpu->wake);
    g_cond_init(&cpu->stopped_cond);
    cpu->machine = machine;
    cpu->model = list->model;
    cpu->list = list;
    cpu->accel = list->accel;
    cpu->index = index;
    cpu->start_pc = list->model->resetvec;
    cpu->has_time = !machine->config || !g_str_equal(machine->config->machine_name, "none");
    cpu->write_epoch = &list->write_epoch;
    cpu->tlbs = g_aligned_alloc0(CACHE_MODES, sizeof(TLB), 64);
    cpu->stimer = clock_timer_new(machine->clock, riscv_cpu_stimer_fired, cpu);
    cpu->stop = true;
    cpu->page_waiter = (PresentWaiter){ .woken = vcpu_page_came, .opaque = cpu, .user = (int)index };
    riscv_cpu_reset(cpu);
    if (!list->accel->init(cpu, errp)) {
        vcpu_free(cpu);
        return NULL;
    }
    if (machine->vmstate) {
        riscv_cpu_vmstate_register(cpu);
    }
    return cpu;
}

CPUList *cpus_new(Machine *machine, const char *model, unsigned count, GError **errp)
{
    StreamDialect dialect = machine->vmstate ? vmstate_dialect(machine->vmstate)
                                             : DIALECT_QEMU_10_0;
    CPUList *list = g_new0(CPUList, 1);

    g_mutex_init(&list->throttle_lock);
    g_mutex_init(&list->pause_lock);
    list->pauses = 1;   /* the machine's, until vm_start */
    list->machine = machine;
    list->accel = machine->config && machine->config->accel ? accel_find(machine->config->accel)
                                                            : &accel_interp_ops;
    if (count < 1 || count > CPUS_MAX) {
        error_setg(errp,
                   "Invalid SMP CPUs %u. The max CPUs supported by machine 'virt' is %u", count,
                   CPUS_MAX);
        cpus_free(list);
        return NULL;
    }
    list->model = cpu_model_parse(model, dialect, errp);
    if (!list->model) {
        cpus_free(list);
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        list->cpus[i] = vcpu_new(list, i, errp);
        if (!list->cpus[i]) {
            cpus_free(list);
            return NULL;
        }
        list->count = i + 1;
    }
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("CPU %u", i);

        list->cpus[i]->thread = thread_start(name, vcpu_loop, list->cpus[i], errp);
        if (!list->cpus[i]->thread) {
            cpus_free(list);
            return NULL;
        }
    }
    return list;
}

void cpus_free(CPUList *list)
{
    if (!list) {
        return;
    }
    cpus_throttle_set(list, 0);
    for (unsigned i = 0; i < list->count; i++) {
        vcpu_free(list->cpus[i]);
    }
    cpu_model_free(list->model);
    g_mutex_clear(&list->throttle_lock);
    g_mutex_clear(&list->pause_lock);
    g_free(list);
}

/* ---- running and pausing ---- */

static void vcpu_let_go(RISCVCPU *cpu)
{
    g_mutex_lock(&cpu->lock);
    cpu->stop = false;
    cpu->stopped = false;
    g_cond_broadcast(&cpu->wake);
    g_mutex_unlock(&cpu->lock);
}

/*
 * A vCPU that waits in vcpu_wait is as good as stopped: whatever wakes it, it
 * looks at stop before it goes on. On a busy host, to be woken up only to say
 * so takes milliseconds, and the guest's downtime has begun.
 */
static void vcpu_ask_to_stop(RISCVCPU *cpu)
{
    g_mutex_lock(&cpu->lock);
    cpu->stop = true;
    cpu->stopped = cpu->stopped || cpu->waiting;
    bool stopped = cpu->stopped;
    g_mutex_unlock(&cpu->lock);
    if (!stopped) {
        riscv_cpu_kick(cpu);
    }
}

void cpus_pause_begin(CPUList *list)
{
    bool held = bql_locked(list->machine->loop);

    g_mutex_lock(&list->pause_lock);
    list->pauses++;
    for (unsigned i = 0; i < list->count; i++) {
        vcpu_ask_to_stop(list->cpus[i]);
    }
    g_mutex_unlock(&list->pause_lock);
    if (held) {
        bql_unlock(list->machine->loop);    /* a vCPU may need it to finish its MMIO access */
    }
    fault_delay(&list->machine->faults, FAULT_PAUSE_ASKED);
    for (unsigned i = 0; i < list->count; i++) {
        RISCVCPU *cpu = list->cpus[i];

        g_mutex_lock(&cpu->lock);
        while (!cpu->stopped) {     /* stop stays: the pause is ours */
            g_cond_wait(&cpu->stopped_cond, &cpu->lock);
        }
        g_mutex_unlock(&cpu->lock);
    }
    fault_delay(&list->machine->faults, FAULT_PAUSE_HELD);
    if (held) {
        bql_lock(list->machine->loop);
    }
}

void cpus_pause_end(CPUList *list)
{
    g_mutex_lock(&list->pause_lock);
    g_assert_cmpuint(list->pauses, >, 0);
    list->pauses--;
    for (unsigned i = 0; !list->pauses && i < list->count; i++) {
        vcpu_let_go(list->cpus[i]);
    }
    g_mutex_unlock(&list->pause_lock);
}

/* What changes under them may only do so while somebody holds a pause. */
static void assert_paused(CPUList *list)
{
    g_mutex_lock(&list->pause_lock);
    g_assert_cmpuint(list->pauses, >, 0);
    g_mutex_unlock(&list->pause_lock);
}

void cpus_reset_all(CPUList *list)
{
    bql_assert_held(list->machine->loop);
    assert_paused(list);
    for (unsigned i = 0; i < list->count; i++) {
        if (log_wanted(LOG_CPU_RESET)) {
            g_autofree char *state = riscv_cpu_dump(list->cpus[i]);
            log_printf("CPU Reset (CPU %u)\n%s", i, state);
        }
        riscv_cpu_reset(list->cpus[i]);
        list->accel->flush(list->cpus[i]);
    }
}

void cpu_set_irq(CPUList *list, unsigned i, int irq, bool level)
{
    if (i < list->count) {
        riscv_cpu_set_line(list->cpus[i], irq, level);
    }
}

void cpu_raise_ssip(CPUList *list, unsigned i)
{
    if (i < list->count) {
        riscv_cpu_raise_ssip(list->cpus[i]);
    }
}

bool cpu_get_irq(const CPUList *list, unsigned i, int irq)
{
    return i < list->count && (riscv_cpu_mip(list->cpus[i]) >> irq) & 1;
}

/*
 * A vCPU that is outside guest code (in_exec 0) looks at the epoch when it
 * enters (riscv_cpu_enter_guest: store in_exec, then load the epoch; here:
 * store the epoch, then load in_exec; all seq_cst, so one of the two sees the
 * other). One that is inside leaves at the next block boundary because
 * pending is set, and has then dropped its write path or will on entry.
 */
void cpus_write_barrier(void *opaque)
{
    CPUList *list = opaque;
    uint64_t epoch = atomic_fetch_add(&list->write_epoch, 1) + 1;

    for (unsigned i = 0; i < list->count; i++) {
        if (atomic_load(&list->cpus[i]->in_exec)) {
            atomic_store(&list->cpus[i]->pending, 1);
        }
    }
    fault_delay(&list->machine->faults, FAULT_WRITE_BARRIER);
    for (unsigned i = 0; i < list->count; i++) {
        RISCVCPU *cpu = list->cpus[i];

        for (unsigned spins = 0;
             atomic_load(&cpu->in_exec) && atomic_load(&cpu->seen_epoch) < epoch; spins++) {
            if (spins < 64) {
                sched_yield();
            } else {
                g_usleep(20);
            }
        }
    }
}

void cpus_flush_tlb_all(CPUList *list)
{
    assert_paused(list);
    for (unsigned i = 0; i < list->count; i++) {
        list->accel->flush(list->cpus[i]);
    }
}

/* ---- throttling ---- */

static gboolean throttle_tick(gpointer opaque)
{
    CPUList *list = opaque;

    for (unsigned i = 0; i < list->count; i++) {
        atomic_store(&list->cpus[i]->throttle_due, true);
        atomic_store(&list->cpus[i]->pending, 1);
    }
    return G_SOURCE_CONTINUE;
}

void cpus_throttle_set(CPUList *list, int pct)
{
    pct = CLAMP(pct, 0, 99);
    g_mutex_lock(&list->throttle_lock);
    if (pct != atomic_load(&list->throttle_pct)) {
        trace_cpus_throttle(pct);
        atomic_store(&list->throttle_pct, pct);
        if (list->throttle_source) {
            g_source_destroy(list->throttle_source);
            g_clear_pointer(&list->throttle_source, g_source_unref);
        }
        if (pct) {
            /* a slice of running and the sleep that belongs to it */
            list->throttle_source = g_timeout_source_new(THROTTLE_SLICE_MS * 100 / (100 - pct));
            g_source_set_callback(list->throttle_source, throttle_tick, list, NULL);
            g_source_attach(list->throttle_source, main_loop_context(list->machine->loop));
            throttle_tick(list);        /* the first sleep is now */
        }
    }
    g_mutex_unlock(&list->throttle_lock);
}

int cpus_throttle_get(const CPUList *list)
{
    return atomic_load(&list->throttle_pct);
}

/* ---- for monitors and the board ---- */

int cpu_thread_id(const CPUList *list, unsigned i)
{
    while (!atomic_load(&list->cpus[i]->tid)) {
        sched_yield();      /* the thread is about to say */
    }
    return atomic_load(&list->cpus[i]->tid);
}

bool cpu_halted(const CPUList *list, unsigned i)
{
    return atomic_load(&list->cpus[i]->halted);
}

uint64_t cpu_pc(const CPUList *list, unsigned i)
{
    return list->cpus[i]->pc;
}

char *cpu_dump(const CPUList *list, unsigned i)
{
    return riscv_cpu_dump(list->cpus[i]);
}

bool cpu_translate(const CPUList *list, unsigned i, uint64_t va, uint64_t *pa, bool *missing)
{
    return riscv_mem_translate_debug(list->cpus[i], va, pa, missing);
}

void cpu_get_gregs(const CPUList *list, unsigned i, uint64_t regs[33])
{
    memcpy(regs, list->cpus[i]->x, 32 * sizeof(uint64_t));
    regs[32] = list->cpus[i]->pc;
}

void cpu_set_resetvec(CPUList *list, unsigned i, uint64_t addr)
{
    assert_paused(list);
    if (i < list->count) {
        list->cpus[i]->start_pc = addr;
        list->cpus[i]->pc = addr;
    }
}
