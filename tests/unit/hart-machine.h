/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of RAM and harts: vCPU threads that run, 1 MiB at 0x80000000 where they start, and one
 * MMIO word with which the guest says that it is done. For tests of the interpreter and of what
 * stands between it and memory. Nobody runs its main loop. It begins paused.
 */
#ifndef TESTS_HART_MACHINE_H
#define TESTS_HART_MACHINE_H

#include "softmmu/machine.h"
#include "target/riscv/cpu.h"

#define RAM_BASE 0x80000000ULL
#define RAM_BYTES (1u << 20)
#define RAM_PAGES (RAM_BYTES >> 12)
#define DONE_BASE 0x100000ULL
#define DONE_READS 0x1234567890abcdefULL    /* what the guest finds there */
/* Stores a register there and stands: lui t0,0x100; sd reg,0(t0); j . */
#define FINISH(reg) 0x001002b7, 0x0002b023 | (reg) << 20, 0x0000006f

typedef struct HartMachine {
    Machine machine;
    RAMBlock *block;
    GMutex lock;
    GCond cond;
    /* protected by lock */
    bool done;
    uint64_t value;
} HartMachine;

/** In place, so that it can be a member of a test's rig. */
void hart_machine_init(HartMachine *h, unsigned harts);
/** Ends the harts, also those that wait. Paused or not. */
void hart_machine_clear(HartMachine *h);
/**
 * Ends one pause, runs until the guest has stored to the done word (since the last call of
 * hart_machine_load, if any), pauses again; what was stored. Fails the test after a minute.
 */
uint64_t hart_machine_run(HartMachine *h);
/** Paused: code at the start of RAM; nothing is done yet. */
void hart_machine_load(HartMachine *h, const uint32_t *code, size_t n);
/** The same with code of which each hart stores all over the 224 pages from the 16th on, for ever. */
void hart_machine_load_scribbler(HartMachine *h);

#endif
