/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What runtime.c and entry.S share: the state of the code under test. Offsets are fixed for entry.S. */
#ifndef RUNTIME_H
#define RUNTIME_H

#define STATE_X 0           /* x0..x31 */
#define STATE_PC 256
#define STATE_F 264         /* f0..f31 */
#define STATE_FCSR 520
#define STATE_MSTATUS 528
#define STATE_STACK 536     /* runtime's stack pointer */

#ifndef __ASSEMBLER__
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

struct state {
    u64 x[32], pc, f[32], fcsr, mstatus, stack;
};

/* One sequence, made by generate.py. */
struct sequence {
    u64 start, end;         /* code addresses; end holds an ecall, which is never delegated */
    u32 mode;               /* 0 U, 1 S, 3 M */
    u32 flags;              /* 1 paging, 2 delegate to S */
    u64 number;             /* chooses the initial state */
};
#endif
#endif
