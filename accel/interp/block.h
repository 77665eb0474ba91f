/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded blocks: straight runs of guest code, translated once into an array
 * of handler addresses and operands. One cache per hart, so there is nothing
 * to lock.
 *
 *   jump cache --\                      links --\
 *   (virtual pc)  +-> Block -> insns...          +-> Block
 *   hash (host address of the code) --/
 *
 * A block is keyed by where its bytes are, and carries the virtual address
 * and generation at which it was last found to be mapped and unchanged. A
 * TLB flush, fence.i or change of address space is a new generation; the
 * next use of a block compares its bytes again. So stores into code need no
 * tracking: the guest must execute fence.i, and that is when we look.
 */
#ifndef ACCEL_INTERP_BLOCK_H
#define ACCEL_INTERP_BLOCK_H

#include "target/riscv/cpu.h"
#include "target/riscv/decode.h"

#define BLOCK_INSNS_MAX 64
#define BLOCK_BYTES_MAX (4 * BLOCK_INSNS_MAX)   /* off counts halfwords in a byte */

/*
 * One guest instruction. Those that can leave the block are followed by a
 * link slot: h = Block * of the last target, imm = instructions retired when
 * leaving there.
 */
typedef struct Insn {
    const void *h;
    int32_t imm;
    uint8_t rd, rs1, rs2;
    uint8_t off;            /* from the block's start, in halfwords */
} Insn;

typedef struct Block {
    uint64_t vpc, gen;      /* where it is valid now; vpc 1: nowhere */
    const uint8_t *host;    /* the key */
    const uint8_t *host2;   /* second page of an instruction that straddles, or NULL */
    struct Block *hash_next;
    uint8_t *raw;           /* copy of the code bytes */
    uint32_t n_bytes;
    Insn insns[];
} Block;

typedef struct InterpState {
    Block *jump_cache[1 << JUMP_CACHE_BITS];
    Block **hash;
    uint8_t *arena;
    size_t arena_used;
    uint64_t resets;        /* times the arena was emptied: links into it are void */
    Block *scratch;         /* for code that must not be cached */
    const void *const *handlers;
} InterpState;

/* Handlers beyond those of RiscvOp. */
enum {
    XOP_END = OP_COUNT,     /* block ends, execution goes on at off */
    XOP_PCREL,              /* rd = pc + imm: auipc+addi */
    XOP_CALL,               /* auipc+jalr: rs1 = auipc's register, rd, imm = whole distance */
    XOP_ZEXT_W,             /* slli 32 + srli 32 */
    XOP_SLLI_SRLI,          /* rs2 = left, imm = right */
    XOP_BEQZ,
    XOP_BNEZ,
    XOP_J,
    XOP_RET,                /* jalr x0, 0(rs1) */
    XOP_COUNT
};

extern const Block block_none;    /* matches no pc */

static inline unsigned block_jump_hash(uint64_t pc)
{
    return (pc >> 1) & ((1u << JUMP_CACHE_BITS) - 1);
}

InterpState *interp_state_new(const void *const *handlers, GError **errp);
void interp_state_free(InterpState *st);
/** The block at virtual address pc in the current mode; NULL: exception raised (exc_cause). */
Block *block_find(RISCVCPU *cpu, uint64_t pc);
/** Drops every block. */
void block_flush(RISCVCPU *cpu);
/** Guest instructions in the block before halfword off. */
unsigned block_insns_before(const Block *b, unsigned off);
/** The instruction's bits at halfword off. */
uint32_t block_raw_insn(const Block *b, unsigned off);

/* exec.c */
void interp_run(RISCVCPU *cpu);

#endif
