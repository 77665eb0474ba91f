/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of one hart and the functions that make it a RISC-V CPU. Owned by
 * the hart's thread while it runs (softmmu/cpus.c), by whoever holds the BQL
 * while it is paused. The interpreter (accel/interp) and migration state
 * (vmstate.c) work on it; devices only reach it through softmmu/cpus.h.
 */
#ifndef TARGET_RISCV_CPU_H
#define TARGET_RISCV_CPU_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "softmmu/machine.h"
#include "target/riscv/bits.h"
#include "target/riscv/model.h"

#define CACHE_MODES 8           /* data: U, S, S+SUM, M, and again with MXR */
enum { MODE_U = 0, MODE_S = 1, MODE_SUM = 2, MODE_M = 3, MODE_MXR = 4 };
#define TLB_BITS 9
#define TLB_ENTRIES (1u << TLB_BITS)
#define TLB_GEN_MAX 0xfffu
#define JUMP_CACHE_BITS 12
#define REG_SINK 32             /* x[32]: where writes to x0 go */

/*
 * One page. A tag is the virtual page address with the generation of its TLB
 * in the low 12 bits, so that dropping all entries is one addition.
 * host address = virtual address + addend.
 */
typedef struct TLBEntry {
    uint64_t tag_r, tag_w, tag_x;
    uint64_t addend;
} TLBEntry;

typedef struct TLB {
    uint64_t gen_r, gen_w;      /* 1 .. TLB_GEN_MAX; execute uses gen_r */
    TLBEntry e[TLB_ENTRIES];
} TLB;

struct Block;                   /* accel/interp */
struct InterpState;

struct RISCVCPU {
    /* hart thread only (hot) */
    uint64_t x[33];             /* x[0] is never written; x[32] is the sink */
    uint64_t pc;                /* valid outside blocks */
    uint64_t instret;           /* retired instructions since reset, whole blocks */
    TLB *tlb;                   /* data TLB of the current mode */
    uint64_t gen;               /* block generation of the current privilege */
    _Atomic uint32_t pending;   /* set by anyone: leave the blocks and look */
    uint32_t frm, fflags;       /* flags collected so far; the host's are added on read */
    uint64_t mstatus;           /* without SD */
    uint64_t f[32];
    uint8_t priv;
    /* May an FP instruction go the short way? By its rm field: FS is dirty and the host is in that mode; [8]: FS is dirty */
    uint8_t fp_fast[9];

    /* exception being raised by a helper; with EXC_MISSING the page that has not come */
    uint32_t exc_cause;
    uint64_t exc_tval;
    const RAMBlock *missing_block;  /* else NULL */
    uint64_t missing_page;

    /* LR reservation: virtual address (all ones: none) and the value read */
    uint64_t load_res, load_val;

    /* CSRs, hart thread only */
    uint64_t mie, mideleg, medeleg, satp, stval, stvec, sepc, scause, sscratch;
    uint64_t mtvec, mepc, mcause, mtval, mscratch, menvcfg, senvcfg;
    uint64_t stimecmp;
    uint64_t mcounteren, scounteren, mcountinhibit;
    uint64_t mcycle_off, minstret_off;  /* added to the running count */
    uint64_t mhpmcounter[32], mhpmevent[32];
    uint8_t pmpcfg[PMP_ENTRIES];
    uint64_t pmpaddr[PMP_ENTRIES];

    /* derived from pmpcfg/pmpaddr */
    uint64_t pmp_lo[PMP_ENTRIES], pmp_hi[PMP_ENTRIES];  /* inclusive bounds */
    unsigned pmp_active;        /* entries up to the last one that is on */

    /* Interrupts. mip = irq_lines | mip_soft; atomic, any thread */
    _Atomic uint64_t irq_lines; /* driven by devices and by the stimecmp timer (STIP with STCE) */
    _Atomic uint64_t mip_soft;  /* written by software: SSIP (set by the SSWI, too), STIP (without STCE), SEIP */

    /* Caches, hart thread only (others only while paused) */
    TLB *tlbs;                  /* [CACHE_MODES] */
    uint64_t gens[4];           /* block generation by privilege */
    uint64_t gen_counter;
    uint64_t super_lo[2], super_hi[2];  /* superpages cached, by half of the address space */
    const MemoryRegion *region; /* last one found */
    struct InterpState *interp;

    /* set once */
    Machine *machine;
    const CPUModel *model;
    unsigned index;
    uint64_t start_pc;          /* pc after reset: the model's resetvec or what a loader asked for */
    bool has_time;              /* the board has a time source */
    ClockTimer *stimer;         /* stimecmp */

    /* Dirty-log barrier (softmmu/dirty-log.h): see cpus.c */
    _Atomic uint32_t in_exec;
    _Atomic uint64_t seen_epoch;
    _Atomic uint64_t *write_epoch;

    /* Scheduling, protected by lock unless atomic */
    GMutex lock;
    GCond wake;                 /* the thread waits here: paused or in WFI */
    GCond stopped_cond;         /* cpus_pause_begin waits here */
    GThread *thread;
    bool stop, stopped, quit;   /* stopped: the thread has said so, or was waiting when asked */
    bool waiting;               /* in vcpu_wait */
    bool page_wait;             /* for the page of page_waiter */
    PresentWaiter page_waiter;  /* hart thread; others only while paused */
    bool short_turns;           /* hart thread: it has asked for them */
    _Atomic bool halted;        /* in WFI */
    _Atomic bool throttle_due;
    _Atomic int tid;
    struct CPUList *list;
    const struct AccelOps *accel;

    /* state that only travels (vmstate.c) */
    struct CPUWire *wire;
};

/* cpu.c */
/** Power-on state. Paused. */
void riscv_cpu_reset(RISCVCPU *cpu);
/** Effective mip. Any thread. */
static inline uint64_t riscv_cpu_mip(RISCVCPU *cpu)
{
    return atomic_load(&cpu->irq_lines) | atomic_load(&cpu->mip_soft);
}
/** mip & mie != 0: leaves WFI, whatever the privilege. Any thread, approximate off thread. */
bool riscv_cpu_has_work(RISCVCPU *cpu);
/** Cause of the interrupt to take now, or -1. Hart thread. */
int riscv_cpu_pending_irq(RISCVCPU *cpu);
/** mtime in ticks of 100 ns. */
uint64_t riscv_cpu_time(RISCVCPU *cpu);
/** Sets or clears STIP from stimecmp and arms the timer. Hart thread or paused. */
void riscv_cpu_update_stimer(RISCVCPU *cpu);
/** Sets mip lines (STIP) and wakes; main thread. */
void riscv_cpu_stimer_fired(void *opaque);
/** Interrupt line, any thread; wakes the hart. */
void riscv_cpu_set_line(RISCVCPU *cpu, int irq, bool level);
/** A device writes what software owns: SSIP in mip_soft. Any thread. */
void riscv_cpu_raise_ssip(RISCVCPU *cpu);
/**
 * Waits no more for a page that has not come: what it waited for is looked at again when it runs.
 * Paused; cpu->lock not held.
 */
void riscv_cpu_forget_page(RISCVCPU *cpu);
/** Makes the hart look at its requests soon; wakes it if it waits. Any thread. */
void riscv_cpu_kick(RISCVCPU *cpu);
/** Marks [in, out of] guest code for the dirty-log barrier. Hart thread. */
void riscv_cpu_enter_guest(RISCVCPU *cpu);
void riscv_cpu_leave_guest(RISCVCPU *cpu);

/* trap.c */
/** Takes the trap: cause without or with CAUSE_INTERRUPT; pc = the trapping instruction. */
void riscv_cpu_trap(RISCVCPU *cpu, uint64_t cause, uint64_t tval);
/** mret/sret: false = illegal instruction. Sets pc, privilege. */
bool riscv_cpu_mret(RISCVCPU *cpu);
bool riscv_cpu_sret(RISCVCPU *cpu);
/** Chooses TLB and block generation after priv, mstatus or satp changed. */
void riscv_cpu_mode_changed(RISCVCPU *cpu);

/* csr.c */
/** One CSR instruction. write: new = f(old) given by op 1 rw, 2 set, 3 clear. False = illegal. */
bool riscv_csr_access(RISCVCPU *cpu, unsigned csr, int op, bool does_read, bool does_write,
                      uint64_t operand, uint64_t *old);
/** Reading for dumps: no permission checks; false if it does not exist. */
bool riscv_csr_peek(RISCVCPU *cpu, unsigned csr, uint64_t *value);

/** Bits of menvcfg this model has. */
uint64_t riscv_csr_menvcfg_mask(const RISCVCPU *cpu);
/** Sets mcycle and minstret (after a load). */
void riscv_csr_set_counters(RISCVCPU *cpu, uint64_t cycle, uint64_t instret);

/* pmp.c */
void riscv_pmp_recompute(RISCVCPU *cpu);
void riscv_pmp_write_cfg(RISCVCPU *cpu, unsigned reg, uint64_t value);
void riscv_pmp_write_addr(RISCVCPU *cpu, unsigned i, uint64_t value);
/** True if every byte of [pa, pa+size) may be accessed (need: PMP_R/W/X bits) at this privilege. */
bool riscv_pmp_check(const RISCVCPU *cpu, uint64_t pa, unsigned size, int priv, unsigned need);
/** Permissions common to the whole 4 KiB page; *uniform false if parts differ. */
unsigned riscv_pmp_page(const RISCVCPU *cpu, uint64_t page, int priv, bool *uniform);

/* mmu.c */
typedef enum MemAccess { ACCESS_LOAD, ACCESS_STORE, ACCESS_FETCH } MemAccess;
/**
 * Memory access by the hart thread, all cases: misaligned, page crossing,
 * MMIO. False: exception in exc_cause, exc_tval; EXC_MISSING: nothing has happened but A and D bits,
 * missing_block and missing_page say what to wait for. Fills the TLB.
 */
bool riscv_mem_load(RISCVCPU *cpu, uint64_t va, unsigned size, uint64_t *value);
bool riscv_mem_store(RISCVCPU *cpu, uint64_t va, unsigned size, uint64_t value);
/** Host address for a read-modify-write; NULL with *fault false if it is not RAM. */
void *riscv_mem_rmw(RISCVCPU *cpu, uint64_t va, unsigned size, bool *fault);
/** Physical address and host pointer for fetching at va; host NULL: not RAM. *whole_page: cacheable. */
bool riscv_mem_fetch_page(RISCVCPU *cpu, uint64_t va, uint64_t *pa, const uint8_t **host,
                          bool *whole_page);
/**
 * Without side effects, for monitors. Paused or approximately. False: not mapped; or, with *missing
 * true, a page table has not come yet: *pa is the address of what was needed of it.
 */
bool riscv_mem_translate_debug(RISCVCPU *cpu, uint64_t va, uint64_t *pa, bool *missing);
/** Drops translations: all, or those of one page. Hart thread or paused. */
void riscv_tlb_flush(RISCVCPU *cpu);
void riscv_tlb_flush_page(RISCVCPU *cpu, uint64_t va);
/** A new generation of decoded blocks: each is compared with memory before its next use (fence.i). */
void riscv_fetch_flush(RISCVCPU *cpu);
/** Drops every fast write path. */
void riscv_tlb_drop_writes(RISCVCPU *cpu);
/** Data mode index (MODE_*) for a privilege under the current mstatus. */
unsigned riscv_data_mode(const RISCVCPU *cpu);

/* dump.c */
char *riscv_cpu_dump(RISCVCPU *cpu);

/* vmstate.c */
void riscv_cpu_vmstate_register(RISCVCPU *cpu);
void riscv_cpu_vmstate_unregister(RISCVCPU *cpu);

static inline bool riscv_raise(RISCVCPU *cpu, uint32_t cause, uint64_t tval)
{
    cpu->exc_cause = cause;
    cpu->exc_tval = tval;
    return false;
}

#endif
