/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs generated instruction sequences one after another and prints a hash of
 * the architectural state after each, on the UART of the virt board. The same
 * image runs on QEMU and on Ferry; run.py compares the lines.
 */
#include "runtime.h"

#define UART ((volatile u8 *)0x10000000)
#define TEST ((volatile u32 *)0x100000)
#define TRAPS_MAX 200
#define CSR_READ(name) ({ u64 v_; __asm__ volatile("csrr %0, " name : "=r"(v_)); v_; })
#define CSR_WRITE(name, v) __asm__ volatile("csrw " name ", %0" : : "r"((u64)(v)))

extern const struct sequence sequences[];
extern const u64 n_sequences, seed, verbose_sequence;
extern char code_under_test[], s_trap[];
void run(void);
void leave(void) __attribute__((noreturn));
void trap(u64 cause, u64 tval);
int main(void);

u8 stack[16384] __attribute__((aligned(16)));
extern u8 stack_top[] __asm__("stack_top");
__asm__(".globl stack_top\n.set stack_top, stack + 16384");

struct state state;
static const struct sequence *current;
static u64 hash, traps;
static int verbose;

/*
 * Memory of the code under test: x8 points into the first of 16 pages that are compared; without
 * paging, x9 reaches the others.
 */
#define SCRATCH_BYTES (16 * 4096)
u8 scratch[SCRATCH_BYTES + 18 * 4096] __attribute__((aligned(4096)));
u64 s_log[8] __attribute__((aligned(64)));
u64 pt_root[512] __attribute__((aligned(4096)));
u64 pt_mid[512] __attribute__((aligned(4096)));
u64 pt_leaf[512] __attribute__((aligned(4096)));

static void put(char c)
{
    while (!(UART[5] & 0x20)) {
    }
    UART[0] = c;
}

static void puts_(const char *s)
{
    while (*s) {
        put(*s++);
    }
}

static void hex(u64 v, int digits)
{
    while (digits--) {
        put("0123456789abcdef"[(v >> (4 * digits)) & 15]);
    }
}

static void mix(u64 v)
{
    hash = (hash ^ v) * 0x9e3779b97f4a7c15UL;
    hash ^= hash >> 29;
}

static void show(const char *name, u64 v)
{
    mix(v);
    if (verbose) {
        puts_("  ");
        puts_(name);
        put(' ');
        hex(v, 16);
        put('\n');
    }
}

static void show_n(char c, int n, u64 v)
{
    char name[4] = {c, '0' + n / 10, '0' + n % 10, 0};

    show(name, v);
}

/* ---- initial state ---- */

static u64 rng;

static u64 next(void)
{
    u64 z = rng += 0x9e3779b97f4a7c15UL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
    return z ^ z >> 31;
}

static const u64 x_values[] = {
    0, 1, 2, 0x7f, 0x80, 0xff, 0x7ff, -1UL, -2UL, 0x7fffffff, 0x80000000, 0xffffffff,
    0xffffffff80000000, 0xffffffff7fffffff, 0x7fffffffffffffff, 0x8000000000000000, 63, 64, 31, 32,
};
static const u64 d_values[] = {
    0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0xfff8000000000123, 1,
    0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff,
    0x3fe0000000000000, 0x4008000000000000, 0x41dfffffffc00000, 0x41e0000000000000,
    0xc1e0000000000000, 0x43e0000000000000, 0xc3e0000000000000, 0x43f0000000000000,
    0x3ff8000000000000, 0x4004000000000000, 0x3ca0000000000000, 0x3fefffffffffffff,
};
static const u32 s_values[] = {
    0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
    0xffc01234, 1, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x40400000,
    0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0x5f800000, 0x3fc00000, 0x40200000, 0x33800000,
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static u64 random_x(void)
{
    u64 r = next();

    switch (r & 3) {
    case 0:
        return x_values[(r >> 8) % COUNT(x_values)];
    case 1:
        return (u64)(long)(int)(r >> 16);
    default:
        return next();
    }
}

static u64 random_f(void)
{
    u64 r = next();

    switch (r & 7) {
    case 0:
    case 1:
        return d_values[(r >> 8) % COUNT(d_values)];
    case 2:
    case 3:
        return 0xffffffff00000000 | s_values[(r >> 8) % COUNT(s_values)];
    case 4:
        return 0xffffffff00000000 | (u32)next();
    case 5:     /* near one another, so that sums cancel */
        return (next() & 0x800fffffffffffff) | (0x3f8 + (r >> 8 & 15)) << 52;
    case 6:
        return 0xffffffff00000000 | (u32)((next() & 0x807fffff) | (0x78 + (r >> 8 & 15)) << 23);
    default:
        return next();
    }
}

/* The identity for S, an alias with U at 0xc0000000, single pages of all kinds at 0x100000000. */
static void build_tables(void)
{
    static const u16 kinds[] = {
        0xdf, 0xcf, 0xc7, 0xc3, 0xd3, 0x1f, 0x0f, 0x4f, 0x5f, 0xd9, 0xc9, 0xd5, 0xc5, 0xcb,
        0xdb, 0x00, 0xd7, 0x17, 0x07, 0xdd,
    };

    for (int i = 0; i < 512; i++) {
        pt_root[i] = pt_mid[i] = pt_leaf[i] = 0;
    }
    pt_root[2] = (0x80000000UL >> 12 << 10) | 0xcf;
    pt_root[3] = (0x80000000UL >> 12 << 10) | 0xdf;
    pt_root[4] = ((u64)pt_mid >> 12 << 10) | 1;
    pt_mid[0] = ((u64)pt_leaf >> 12 << 10) | 1;
    pt_mid[1] = (0x80000000UL >> 12 << 10) | 0xcf | 1UL << 10;     /* misaligned superpage */
    pt_mid[2] = ((u64)pt_leaf >> 12 << 10) | 0x41;                 /* reserved: A in a pointer */
    pt_mid[3] = (0x82000000UL >> 12 << 10) | 0x1f;                 /* superpage without A, D */
    for (int i = 0; i < 32; i++) {
        u64 kind = i < (int)COUNT(kinds) ? kinds[i] : (next() & 0xdf) | 1;

        pt_leaf[i] = (((u64)scratch >> 12) + (i & 15)) << 10 | kind;
    }
    pt_leaf[30] |= 1UL << 60;
    pt_leaf[31] |= 1UL << 63;
}

static void set_up(const struct sequence *s)
{
    u64 alias = s->mode == 0 && (s->flags & 1) ? 0x40000000 : 0;

    rng = seed * 1000003 + s->number;
    for (int i = 1; i < 32; i++) {
        state.x[i] = random_x();
    }
    for (int i = 0; i < 32; i++) {
        state.f[i] = random_f();
    }
    for (u64 i = 0; i < SCRATCH_BYTES / 8; i++) {
        ((u64 *)scratch)[i] = i < 1024 ? random_x() : i * 0x0101010101010101UL;
    }
    build_tables();
    state.x[8] = (u64)scratch + 2048 + alias;
    state.x[9] = s->flags & 1 ? 0x100000000 : (u64)scratch + 4096;
    state.pc = s->start + alias;
    state.fcsr = (next() & 0x1f) | (next() % 5) << 5;
    state.mstatus = (u64)s->mode << 11 | 0x6000 | (next() & 0xc0000);
    for (int i = 0; i < 8; i++) {
        s_log[i] = 0;
    }
    CSR_WRITE("sscratch", (u64)s_log);
    CSR_WRITE("stvec", (u64)s_trap);
    CSR_WRITE("sepc", 0);
    CSR_WRITE("scause", 0);
    CSR_WRITE("stval", 0);
    CSR_WRITE("medeleg", s->flags & 2 ? 0xb0ff : 0);
    CSR_WRITE("mideleg", s->flags & 2 ? 0x222 : 0);
    CSR_WRITE("mie", 0);
    CSR_WRITE("mip", 0);
    CSR_WRITE("mcounteren", 7);
    CSR_WRITE("scounteren", 7);
    CSR_WRITE("satp", s->flags & 1 ? 8UL << 60 | (u64)pt_root >> 12 : 0);
    CSR_WRITE("pmpaddr0", -1UL >> 10);
    CSR_WRITE("pmpcfg0", 0x1f);
    __asm__ volatile("sfence.vma\n\tfence.i" : : : "memory");
    hash = 0xcbf29ce484222325;
    traps = 0;
}

/* ---- traps of the code under test ---- */

static void finish(void)
{
    leave();
}

/* QEMU names the aligned word when an access crosses a page; the manual wants the byte. */
static u64 value_of(u64 cause, u64 tval)
{
    return cause == 5 || cause == 7 || cause == 13 || cause == 15 ? tval & ~7UL : tval;
}

void trap(u64 cause, u64 tval)
{
    u64 pc = state.pc, code = (pc & 0x3fffffff) | 0x80000000;

    if (code == current->end && cause >= 8 && cause <= 11) {
        finish();
    }
    /* QEMU 7.2 reports an AMO's faults as a load's; 10.0 and the manual as a store's */
    if ((cause == 4 || cause == 5 || cause == 13) && (*(u32 *)code & 0x7f) == 0x2f) {
        cause += 2;
    }
    traps++;
    show("cause", cause);
    show("  tval", value_of(cause, tval));
    show("  pc", pc - (u64)code_under_test);
    if (traps > TRAPS_MAX || cause == 0 || cause == 1 || cause == 12 || (long)cause < 0 ||
        code < current->start || code >= current->end) {
        finish();
    }
    state.pc += (*(u16 *)code & 3) == 3 ? 4 : 2;
    /* mstatus as it was before the trap */
    u64 mpie = state.mstatus >> 7 & 1;
    state.mstatus = (state.mstatus & ~0x88UL) | mpie << 7;
}

static void report(u64 number)
{
    /* an entry that matches only part of an access would stop M mode as well */
    CSR_WRITE("pmpcfg0", 0);
    CSR_WRITE("pmpcfg2", 0);
    for (int i = 1; i < 32; i++) {
        show_n('x', i, state.x[i]);
    }
    for (int i = 0; i < 32; i++) {
        show_n('f', i, state.f[i]);
    }
    show("fcsr", state.fcsr);
    /*
     * Without what QEMU 7.2 keeps of extensions that are off: VS, UXL, GVA, MPV; and FS as on
     * or off: 7.2 leaves it clean when only fflags change.
     */
    u64 fs = state.mstatus & 0x6000 ? 0x6000 : 0;
    show("mstatus", (state.mstatus & ~0x800000f300006600UL) | fs);
    show("sepc", CSR_READ("sepc"));
    u64 scause = CSR_READ("scause");
    show("scause", scause == 4 || scause == 5 || scause == 13 ? scause + 2 : scause);
    show("stval", value_of(scause, CSR_READ("stval")));
    show("sscratch", CSR_READ("sscratch"));
    show("mip", CSR_READ("mip") & 0xaaa);
    show("mie", CSR_READ("mie") & 0xaaa);
    show("satp", CSR_READ("satp"));
    show("s_log0", s_log[0]);
    show("s_log1", s_log[1]);
    u64 before = hash;
    for (u64 i = 0; i < SCRATCH_BYTES / 8; i++) {
        if (i % 512 == 0) {
            hash = 0;
        }
        mix(((u64 *)scratch)[i]);
        if (i % 512 == 511) {
            u64 page = hash;
            hash = before;
            show_n('m', i / 512, page);
            before = hash;
        }
    }
    for (int i = 0; i < 32; i++) {
        /* for an AMO on a page without W, QEMU sets A before it faults; both are allowed */
        show_n('p', i, pt_leaf[i] & 4 ? pt_leaf[i] : pt_leaf[i] | 0x40);
    }
    show("mid3", pt_mid[3]);
    hex(number, 5);
    put(' ');
    hex(hash, 16);
    put(' ');
    hex(traps, 2);
    put('\n');
}

int main(void)
{
    for (u64 i = 0; i < n_sequences; i++) {
        if (verbose_sequence != -1UL && verbose_sequence != i) {
            continue;
        }
        verbose = verbose_sequence == i;
        current = &sequences[i];
        set_up(current);
        run();
        report(i);
    }
    puts_("END\n");
    *TEST = 0x5555;
    for (;;) {
        /* until it takes effect */
    }
}
