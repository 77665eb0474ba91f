/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs as the rest of the machine sees them. One thread per hart; accel/
 * supplies how it runs, behind AccelOps. The CPU state itself belongs to
 * target/riscv and is touched by others only while the vCPUs are paused.
 */
#ifndef SOFTMMU_CPUS_H
#define SOFTMMU_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>

struct Machine;
typedef struct CPUList CPUList;
typedef struct RISCVCPU RISCVCPU; /* target/riscv/cpu.h */

/** Interrupt inputs of a hart that devices drive, as bit numbers of mip. */
enum { IRQ_S_SOFT = 1, IRQ_M_SOFT = 3, IRQ_S_TIMER = 5, IRQ_M_TIMER = 7, IRQ_S_EXT = 9, IRQ_M_EXT = 11 };

/**
 * Creates count harts (1..8) for the cpu model text ("rv64,h=off,...").
 * Threads exist and are paused. Registers "cpu_common" and "cpu" sections.
 */
CPUList *cpus_new(struct Machine *machine, const char *model, unsigned count, GError **errp);
void cpus_free(CPUList *cpus);           /* joins the threads */
unsigned cpus_count(const CPUList *cpus);
RISCVCPU *cpus_get(const CPUList *cpus, unsigned i);

/**
 * Pauses are counted: vCPUs run only while nobody holds one. cpus_new makes them with one, the
 * machine's, which vm_start ends and vm_stop begins again. begin returns when each vCPU is outside
 * guest code, and none enters it before the matching end, whatever others begin and end meanwhile.
 * BQL held or not; where it is held begin drops it while it waits: the pause holds then, but what
 * the caller has read of the run state must be read again.
 */
void cpus_pause_begin(CPUList *cpus);
void cpus_pause_end(CPUList *cpus);
/** Puts every hart into its reset state (pc = resetvec, a0..). Paused, BQL. */
void cpus_reset_all(CPUList *cpus);

/** Drives an interrupt input of hart i (bit of mip). Any thread; wakes a hart in WFI. */
void cpu_set_irq(CPUList *cpus, unsigned i, int irq, bool level);
/** Makes hart i's SSIP pending, until its software clears it. As cpu_set_irq. */
void cpu_raise_ssip(CPUList *cpus, unsigned i);

/** That bit of mip as the hart sees it (a device without a section of its own restores its line from it). */
bool cpu_get_irq(const CPUList *cpus, unsigned i, int irq);

/**
 * The board says where mtimecmp is: false if hart i has none. Main thread,
 * once. Saving needs it (machine-virt 3.4).
 */
typedef bool CpuMtimecmpQuery(void *opaque, unsigned i, uint64_t *timecmp);
void cpus_set_mtimecmp_query(CPUList *cpus, CpuMtimecmpQuery *fn, void *opaque);
bool cpus_query_mtimecmp(const CPUList *cpus, unsigned i, uint64_t *timecmp);
/**
 * "Kick timers" (machine-virt 3.4), on by default: a stream for a receiver that does
 * not arm timers from the compare values carries the interrupt as pending.
 */
void cpus_set_kick_timers(CPUList *cpus, bool on);
bool cpus_kick_timers(const CPUList *cpus);

/** Step 2 of dirty_log_sync: returns when every hart dropped its fast write path. Any thread, no BQL needed. */
void cpus_write_barrier(void *cpus);
/** Drops all cached translations (after load, after RAM changed behind the CPU). Paused. */
void cpus_flush_tlb_all(CPUList *cpus);

/** Auto-converge: each hart sleeps pct/(100-pct) * 10 ms per 10 ms of run; 0 = off. Any thread. */
void cpus_throttle_set(CPUList *cpus, int pct);
int cpus_throttle_get(const CPUList *cpus);

/** For monitors, all valid while paused or running: */
int cpu_thread_id(const CPUList *cpus, unsigned i);        /* host tid */
bool cpu_halted(const CPUList *cpus, unsigned i);           /* in WFI */
uint64_t cpu_pc(const CPUList *cpus, unsigned i);
/** "info registers" text for hart i in QEMU's style; caller frees. */
char *cpu_dump(const CPUList *cpus, unsigned i);
/**
 * Virtual to physical for "x"/memsave with hart i's current MMU; false if unmapped, or, with *missing
 * true, if a page table has not come yet (softmmu/present-map.h): *pa is in it, nothing is asked for.
 */
bool cpu_translate(const CPUList *cpus, unsigned i, uint64_t va, uint64_t *pa, bool *missing);
/** x0..x31, pc for core files: 32 + 1 words. */
void cpu_get_gregs(const CPUList *cpus, unsigned i, uint64_t regs[33]);
/** Sets pc at reset for hart i (loader device: resetvec). Paused. */
void cpu_set_resetvec(CPUList *cpus, unsigned i, uint64_t addr);
/** riscv,isa string, riscv,isa-extensions (NULL-terminated, caller frees with g_strfreev), mmu-type text for the FDT. */
const char *cpus_isa_string(const CPUList *cpus);
char **cpus_isa_extensions(const CPUList *cpus);
const char *cpus_mmu_type(const CPUList *cpus);

#endif
