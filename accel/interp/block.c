/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache of decoded blocks: find, check, build. Called by exec.c on its slow path. */
#include "accel/interp/block.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"
#include "util/memory-room.h"

#define HASH_BITS 14
#define ARENA_BYTES (32u << 20)
#define BLOCK_MAX_SIZE (sizeof(Block) + 2 * (BLOCK_INSNS_MAX + 1) * sizeof(Insn) + BLOCK_BYTES_MAX)

const Block block_none = {.vpc = 1};

static void forget_all(InterpState *st)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(st->jump_cache); i++) {
        st->jump_cache[i] = (Block *)&block_none;
    }
    memset(st->hash, 0, sizeof(Block *) << HASH_BITS);
    st->arena_used = 0;
    st->resets++;
}

InterpState *interp_state_new(const void *const *handlers, GError **errp)
{
    InterpState *st = g_new0(InterpState, 1);

    st->arena = memory_has_room(ARENA_BYTES) ? g_try_malloc(ARENA_BYTES) : NULL;
    if (!st->arena) {
        g_free(st);
        error_setg(errp, "no memory for decoded guest code (%u MiB for each hart); raise the limit "
                   "on memory (ulimit -v) or take fewer harts (-smp)", ARENA_BYTES >> 20);
        return NULL;
    }
    st->hash = g_new0(Block *, 1 << HASH_BITS);
    st->scratch = g_malloc0(BLOCK_MAX_SIZE);
    st->handlers = handlers;
    forget_all(st);
    return st;
}

void interp_state_free(InterpState *st)
{
    if (st) {
        g_free(st->hash);
        g_free(st->arena);
        g_free(st->scratch);
        g_free(st);
    }
}

void block_flush(RISCVCPU *cpu)
{
    forget_all(cpu->interp);
    riscv_tlb_flush(cpu);
}

unsigned block_insns_before(const Block *b, unsigned off)
{
    unsigned n = 0;

    for (unsigned at = 0; at < 2 * off; n++) {
        at += riscv_insn_length(b->raw[at]);
    }
    return n;
}

uint32_t block_raw_insn(const Block *b, unsigned off)
{
    const uint8_t *p = b->raw + 2 * off;
    uint32_t v = p[0] | p[1] << 8;

    return riscv_insn_length(v) == 2 ? v : v | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- building ---- */

typedef struct Builder {
    InterpState *st;
    const CPUModel *model;
    Block *b;
    Insn *out;
    const uint8_t *code;
    unsigned n_bytes;       /* readable at code */
    unsigned at, count;     /* bytes and instructions taken */
} Builder;

static bool ends_block(RiscvOp op)
{
    switch (op) {
    case OP_ILLEGAL:
    case OP_JAL:
    case OP_JALR:
    case OP_FENCE_I:
    case OP_PAUSE:
    case OP_WRS:
    case OP_ECALL:
    case OP_EBREAK:
    case OP_CSR:
    case OP_MRET:
    case OP_SRET:
    case OP_WFI:
    case OP_SFENCE_VMA:
        return true;
    default:
        return false;
    }
}

static bool has_link(RiscvOp op)
{
    return ends_block(op) || (op >= OP_BEQ && op <= OP_BGEU);
}

static bool writes_fp(RiscvOp op)
{
    if (op == OP_FLW || op == OP_FLD || (op >= OP_FMADD_S && op <= OP_FMAX_S) ||
        (op >= OP_FCVT_S_W && op <= OP_FMAX_D) || (op >= OP_FCVT_D_W && op <= OP_FCVT_D_S)) {
        return true;
    }
    return false;
}

static void put(Builder *w, unsigned handler, unsigned off, const Decoded *d)
{
    *w->out++ = (Insn){.h = w->st->handlers[handler],
                       .imm = d->imm,
                       .rd = writes_fp(d->op) || d->rd ? d->rd : REG_SINK,
                       .rs1 = d->rs1,
                       .rs2 = d->rs2,
                       .off = off / 2};
}

static void put_link(Builder *w)
{
    *w->out++ = (Insn){.h = &block_none, .imm = (int32_t)w->count};
}

static bool peek(const Builder *w, unsigned at, Decoded *d)
{
    uint32_t bits;

    if (at + 2 > w->n_bytes) {
        return false;
    }
    bits = w->code[at] | w->code[at + 1] << 8;
    if (riscv_insn_length(bits) == 4) {
        if (at + 4 > w->n_bytes) {
            return false;
        }
        bits |= (uint32_t)w->code[at + 2] << 16 | (uint32_t)w->code[at + 3] << 24;
    }
    riscv_decode(bits, w->model, d);
    return true;
}

/*
 * Pairs that mean one thing. Neither half can trap, and a jump to the second
 * half finds (or makes) a block that starts there. True: both are taken;
 * *ends: the block is complete.
 */
static bool fuse(Builder *w, Decoded *d, unsigned off, bool *ends)
{
    Decoded n;
    Decoded f = *d;

    if ((d->op != OP_LI && d->op != OP_AUIPC && d->op != OP_SLLI) || d->rd == 0 ||
        w->count + 2 > BLOCK_INSNS_MAX || !peek(w, w->at + d->len, &n)) {
        return false;
    }
    if (n.rs1 != d->rd) {
        return false;
    }
    if (d->op == OP_LI && (n.op == OP_ADDI || n.op == OP_ADDIW) && n.rd == d->rd) {
        int64_t sum = (int64_t)d->imm + n.imm;

        if (n.op == OP_ADDI && sum != (int32_t)sum) {
            return false;
        }
        f.imm = (int32_t)sum;
        put(w, OP_LI, off, &f);
    } else if (d->op == OP_AUIPC && n.op == OP_ADDI && n.rd == d->rd &&
               (int64_t)d->imm + n.imm == (int32_t)((int64_t)d->imm + n.imm)) {
        f.imm = d->imm + n.imm;
        put(w, XOP_PCREL, off, &f);
    } else if (d->op == OP_AUIPC && n.op == OP_JALR && !(n.imm & 1) &&
               (int64_t)d->imm + n.imm == (int32_t)((int64_t)d->imm + n.imm)) {
        /* rs1 is auipc's register, rs2 the length; the slot after the link has auipc's value */
        f.rd = n.rd;
        f.rs1 = d->rd;
        f.rs2 = d->len + n.len;
        f.imm = d->imm + n.imm;
        f.op = OP_JALR;
        put(w, XOP_CALL, off, &f);
        *ends = true;
        w->count += 2;
        w->at += d->len + n.len;
        put_link(w);
        *w->out++ = (Insn){.imm = d->imm};
        return true;
    } else if (d->op == OP_SLLI && n.op == OP_SRLI && n.rd == d->rd) {
        f.rs2 = d->imm;
        f.imm = n.imm;
        put(w, f.rs2 == 32 && f.imm == 32 ? XOP_ZEXT_W : XOP_SLLI_SRLI, off, &f);
    } else {
        return false;
    }
    w->count += 2;
    w->at += d->len + n.len;
    return true;
}

static unsigned handler_for(const Decoded *d)
{
    switch (d->op) {
    case OP_BEQ:
        return d->rs2 == 0 ? XOP_BEQZ : d->op;
    case OP_BNE:
        return d->rs2 == 0 ? XOP_BNEZ : d->op;
    case OP_JAL:
        return d->rd == 0 ? XOP_J : d->op;
    case OP_JALR:
        return d->rd == 0 && d->imm == 0 ? XOP_RET : d->op;
    case OP_ADDI:
        return d->imm == 0 ? (d->rd ? OP_MV : OP_NOP) : d->op;
    default:
        return d->op;
    }
}

static void put_insn(Builder *w, Decoded *d, unsigned off)
{
    /* operands that have no field of their own */
    if (d->op == OP_JALR) {
        d->rs2 = d->len;
    } else if (d->op == OP_CSR) {
        d->rs2 = d->rm;
    } else if (d->op == OP_JAL) {
        d->rs2 = d->len;
    } else if (d->op >= OP_FMADD_S && d->op <= OP_FCVT_D_S) {
        d->imm = d->rm | d->rs3 << 8;
    }
    put(w, handler_for(d), off, d);
    w->count++;
    w->at += d->len;
    if (has_link(d->op)) {
        put_link(w);
    }
}

static void build_insns(Builder *w)
{
    Decoded d;
    bool ends = false;

    while (!ends && w->count < BLOCK_INSNS_MAX && peek(w, w->at, &d)) {
        unsigned off = w->at;

        if (!fuse(w, &d, off, &ends)) {
            put_insn(w, &d, off);
            ends = ends_block(d.op);
        }
    }
    if (!ends) {
        Decoded end = {.op = OP_NOP};

        put(w, XOP_END, w->at, &end);
        put_link(w);
    }
}

/*
 * Decodes up to n_bytes of code into b (room for a block of the largest size).
 * Another hart may write to the code: what is decoded and what is kept to be
 * compared come from one copy, or after its FENCE.I the old meaning could go
 * with the new bytes.
 */
static void build(RISCVCPU *cpu, Block *b, const uint8_t *guest, unsigned n_bytes)
{
    uint8_t code[BLOCK_BYTES_MAX];
    Builder w = {.st = cpu->interp, .model = cpu->model, .b = b, .out = b->insns, .code = code,
                 .n_bytes = MIN(n_bytes, BLOCK_BYTES_MAX)};

    guest_ram_copy_from(code, guest, w.n_bytes);
    build_insns(&w);
    b->n_bytes = w.at;
    b->raw = (uint8_t *)w.out;
    memcpy(b->raw, code, w.at);
    b->hash_next = NULL;
}

static Block *arena_block(RISCVCPU *cpu)
{
    InterpState *st = cpu->interp;

    if (st->arena_used + BLOCK_MAX_SIZE > ARENA_BYTES) {
        block_flush(cpu);
    }
    return (Block *)(st->arena + st->arena_used);
}

static void arena_commit(InterpState *st, Block *b)
{
    size_t size = (size_t)(b->raw - (uint8_t *)b) + b->n_bytes;

    st->arena_used += (size + 63) & ~(size_t)63;
}

/* ---- finding ---- */

static unsigned hash_of(const uint8_t *host)
{
    return (((uintptr_t)host >> 1) * 0x9e3779b97f4a7c15ULL) >> (64 - HASH_BITS);
}

static bool fetch_host(RISCVCPU *cpu, uint64_t pc, const uint8_t **host, bool *whole_page)
{
    TLB *tlb = &cpu->tlbs[cpu->priv];
    TLBEntry *e = &tlb->e[(pc >> TARGET_PAGE_BITS) & (TLB_ENTRIES - 1)];
    uint64_t pa;

    if (e->tag_x == ((pc & ~(TARGET_PAGE_SIZE - 1)) | tlb->gen_r)) {
        *host = (const uint8_t *)(uintptr_t)(pc + e->addend);
        *whole_page = true;
        return true;
    }
    return riscv_mem_fetch_page(cpu, pc, &pa, host, whole_page);
}

static bool same_code(const uint8_t *raw, const uint8_t *guest, size_t len)
{
    guest_ram_shared_begin();
    bool same = memcmp(raw, guest, len) == 0;
    guest_ram_shared_end();
    return same;
}

static bool still_there(const Block *b, const uint8_t *host, const uint8_t *host2)
{
    if (b->host != host || b->host2 != host2) {
        return false;
    }
    if (host2) {
        return same_code(b->raw, host, 2) && same_code(b->raw + 2, host2, 2);
    }
    return same_code(b->raw, host, b->n_bytes);
}

static Block *hash_lookup(InterpState *st, const uint8_t *host, const uint8_t *host2)
{
    Block **link = &st->hash[hash_of(host)];

    while (*link) {
        Block *b = *link;

        if (b->host == host) {
            if (still_there(b, host, host2)) {
                return b;
            }
            *link = b->hash_next;       /* the code changed */
            b->vpc = 1;
        } else {
            link = &b->hash_next;
        }
    }
    return NULL;
}

/* Code under PMP rules finer than a page: one instruction, decoded anew each time. */
static Block *find_uncached(RISCVCPU *cpu, uint64_t pc, const uint8_t *host)
{
    Block *b = cpu->interp->scratch;
    uint8_t code[4] = {guest_ram_load(host), guest_ram_load(host + 1)};
    unsigned len = riscv_insn_length(code[0]);
    const uint8_t *second;
    bool whole;

    if (len == 4) {
        if (!fetch_host(cpu, pc + 2, &second, &whole)) {
            return NULL;
        }
        guest_ram_copy_from(code + 2, second, 2);
    }
    build(cpu, b, code, len);
    b->vpc = 1;
    return b;
}

static Block *find_slow(RISCVCPU *cpu, uint64_t pc)
{
    InterpState *st = cpu->interp;
    unsigned left = TARGET_PAGE_SIZE - (pc & (TARGET_PAGE_SIZE - 1));
    const uint8_t *host, *host2 = NULL;
    uint8_t straddle[4];
    bool whole;
    Block *b;

    if (!fetch_host(cpu, pc, &host, &whole)) {
        return NULL;
    }
    if (!whole) {
        return find_uncached(cpu, pc, host);
    }
    if (left == 2 && riscv_insn_length(guest_ram_load(host)) == 4) {
        if (!fetch_host(cpu, pc + 2, &host2, &whole)) {
            return NULL;
        }
        guest_ram_copy_from(straddle, host, 2);
        guest_ram_copy_from(straddle + 2, host2, 2);
        if (!whole) {
            return find_uncached(cpu, pc, host);
        }
    }
    b = hash_lookup(st, host, host2);
    if (!b) {
        unsigned bucket = hash_of(host);

        b = arena_block(cpu);
        build(cpu, b, host2 ? straddle : host, host2 ? 4 : left);
        arena_commit(st, b);
        b->host = host;
        b->host2 = host2;
        b->hash_next = st->hash[bucket];
        st->hash[bucket] = b;
    }
    b->vpc = pc;
    b->gen = cpu->gen;
    return b;
}

Block *block_find(RISCVCPU *cpu, uint64_t pc)
{
    Block **slot = &cpu->interp->jump_cache[block_jump_hash(pc)];
    Block *b = *slot;

    if (b->vpc == pc && b->gen == cpu->gen) {
        return b;
    }
    b = find_slow(cpu, pc);
    if (b && b->vpc == pc) {
        *slot = b;
    }
    return b;
}
