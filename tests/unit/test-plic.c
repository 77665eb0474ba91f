/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/intc/plic and clint: claim order, latching, what a load does; timers against the virtual clock. */
#include <string.h>
#include "hw/intc/clint.h"
#include "hw/intc/plic.h"

#define CONTEXT_M 0
#define CONTEXT_S 1

typedef struct Outputs {
    bool level[PLIC_CONTEXTS_MAX];
} Outputs;

static void set_output(void *opaque, unsigned context, bool level)
{
    ((Outputs *)opaque)->level[context] = level;
}

static uint64_t rd(PLIC *p, uint64_t offset)
{
    uint64_t value;

    g_assert_cmpint(plic_mmio_ops.read(p, offset, 4, &value), ==, MEMTX_OK);
    return value;
}

static void wr(PLIC *p, uint64_t offset, uint64_t value)
{
    g_assert_cmpint(plic_mmio_ops.write(p, offset, 4, value), ==, MEMTX_OK);
}

static uint64_t claim(PLIC *p, unsigned context)
{
    return rd(p, 0x200004 + 0x1000 * context);
}

static void complete(PLIC *p, unsigned context, unsigned n)
{
    wr(p, 0x200004 + 0x1000 * context, n);
}

static PLIC *plic_ready(Outputs *out, unsigned harts)
{
    PLIC *p;

    memset(out, 0, sizeof(*out));
    p = plic_new(harts, set_output, out);
    for (unsigned n = 1; n < PLIC_SOURCES; n++) {
        wr(p, 4 * n, 1);
    }
    wr(p, 0x2080, 0xffffffff);      /* context 1: sources 1..31 */
    wr(p, 0x2084, 0xffffffff);
    return p;
}

static void test_claim_order(void)
{
    Outputs out;
    PLIC *p = plic_ready(&out, 1);

    plic_set_irq(p, 20, true);
    plic_set_irq(p, 5, true);
    plic_set_irq(p, 33, true);
    g_assert_true(out.level[CONTEXT_S]);
    g_assert_false(out.level[CONTEXT_M]);
    wr(p, 4 * 33, 15);              /* 15 modulo 8 */
    g_assert_cmpuint(rd(p, 4 * 33), ==, 7);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 33);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 5);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 20);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 0);
    g_assert_false(out.level[CONTEXT_S]);
    plic_free(p);
}

static void test_threshold(void)
{
    Outputs out;
    PLIC *p = plic_ready(&out, 1);

    plic_set_irq(p, 10, true);
    wr(p, 0x201000, 1);             /* priority must be above it */
    g_assert_false(out.level[CONTEXT_S]);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 0);
    wr(p, 4 * 10, 2);
    g_assert_true(out.level[CONTEXT_S]);
    plic_free(p);
}

static void test_latching(void)
{
    Outputs out;
    PLIC *p = plic_ready(&out, 1);

    plic_set_irq(p, 10, true);
    plic_set_irq(p, 10, false);     /* an edge is kept */
    g_assert_true(out.level[CONTEXT_S]);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 10);
    g_assert_cmphex(p->claimed[0], ==, 1u << 10);
    plic_set_irq(p, 10, true);      /* during the claim: latched, and hidden */
    g_assert_cmphex(p->pending[0], ==, 1u << 10);
    g_assert_false(out.level[CONTEXT_S]);
    complete(p, CONTEXT_M, 10);     /* any context may complete */
    g_assert_true(out.level[CONTEXT_S]);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 10);
    complete(p, CONTEXT_S, 10);     /* the wire is still up: again */
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 10);
    plic_set_irq(p, 10, false);
    complete(p, CONTEXT_S, 10);
    g_assert_cmpuint(claim(p, CONTEXT_S), ==, 0);
    plic_free(p);
}

static void test_bounds(void)
{
    Outputs out;
    PLIC *p = plic_ready(&out, 1);
    uint64_t value;

    plic_set_irq(p, 0, true);
    plic_set_irq(p, 96, true);
    plic_set_irq(p, UINT32_MAX, true);
    g_assert_cmphex(p->pending[0] | p->pending[1] | p->pending[2], ==, 0);
    wr(p, 0x2080, 0xffffffff);
    g_assert_cmphex(rd(p, 0x2080), ==, 0xfffffffe);
    wr(p, 0x1000, 0xff);            /* pending cannot be written */
    g_assert_cmphex(rd(p, 0x1000), ==, 0);
    complete(p, CONTEXT_S, 96);
    complete(p, CONTEXT_S, 0xffffffff);
    wr(p, 0x2100, 0xffffffff);      /* context 2 does not exist */
    g_assert_cmphex(rd(p, 0x2100), ==, 0);
    g_assert_cmphex(rd(p, 0x202000), ==, 0);
    g_assert_cmpint(plic_mmio_ops.read(p, 4, 1, &value), ==, MEMTX_ERROR);
    g_assert_cmpint(plic_mmio_ops.write(p, 6, 4, 1), ==, MEMTX_ERROR);
    plic_free(p);
}

static void test_load(void)
{
    Outputs out;
    PLIC *p = plic_ready(&out, 1);

    /* A device raised its wire before our section came and overwrote the latch. */
    plic_set_irq(p, 10, true);
    p->pending[0] = 0;
    out.level[CONTEXT_S] = false;
    plic_vmstate.post_load(p, 1, NULL);
    g_assert_true(out.level[CONTEXT_S]);
    /* But not while it is claimed. */
    p->pending[0] = 0;
    p->claimed[0] = 1u << 10;
    plic_vmstate.post_load(p, 1, NULL);
    g_assert_false(out.level[CONTEXT_S]);
    plic_free(p);
}

/* ---- CLINT: the harts are ours here ---- */

static bool wires[CLINT_HARTS_MAX][16];

void cpu_set_irq(CPUList *cpus, unsigned i, int irq, bool level)
{
    wires[i][irq] = level;
}

static void clint_wr(CLINT *c, uint64_t offset, unsigned size, uint64_t value)
{
    g_assert_cmpint(clint_mmio_ops.write(c, offset, size, value), ==, MEMTX_OK);
}

static uint64_t clint_rd(CLINT *c, uint64_t offset, unsigned size)
{
    uint64_t value;

    g_assert_cmpint(clint_mmio_ops.read(c, offset, size, &value), ==, MEMTX_OK);
    return value;
}

static void test_clint(void)
{
    MainLoop *loop = main_loop_new();
    VirtualClock *clock = virtual_clock_new(loop);
    CLINT *c;
    uint64_t value;

    bql_lock(loop);
    c = clint_new(clock, NULL, 2);
    clint_reset(c);
    g_assert_true(wires[0][IRQ_M_TIMER]);       /* timecmp 0 is due */
    clint_wr(c, 4, 4, 1);
    g_assert_true(wires[1][IRQ_M_SOFT]);
    g_assert_cmpuint(clint_rd(c, 4, 4), ==, 1);
    clint_wr(c, 4, 4, 0);
    g_assert_false(wires[1][IRQ_M_SOFT]);

    clint_wr(c, 0x4008, 4, 1000);               /* hart 1, low half; high half is 0 */
    g_assert_false(wires[1][IRQ_M_TIMER]);
    virtual_clock_step_to(clock, 99999);
    g_assert_cmpuint(clint_rd(c, 0xbff8, 8), ==, 999);
    g_assert_false(wires[1][IRQ_M_TIMER]);
    virtual_clock_step_to(clock, 100000);
    g_assert_true(wires[1][IRQ_M_TIMER]);
    clint_wr(c, 0x4008, 8, UINT64_MAX);
    g_assert_false(wires[1][IRQ_M_TIMER]);
    g_assert_cmphex(clint_rd(c, 0x400c, 4), ==, 0xffffffff);

    clint_wr(c, 0xbff8, 8, 5);                  /* time is not the guest's */
    g_assert_cmpuint(clint_rd(c, 0xbff8, 4), ==, 1000);
    g_assert_cmpint(clint_mmio_ops.read(c, 2, 2, &value), ==, MEMTX_ERROR);
    g_assert_cmpuint(clint_rd(c, 0x8000, 4), ==, 0);

    /* A load arms again: what 7.2 forgets. */
    c->timecmp[0] = 2000;
    clint_vmstate.post_load(c, 1, NULL);
    g_assert_false(wires[0][IRQ_M_TIMER]);
    virtual_clock_step_to(clock, 200000);
    g_assert_true(wires[0][IRQ_M_TIMER]);
    clint_free(c);
    virtual_clock_free(clock);
    bql_unlock(loop);
    main_loop_free(loop);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plic/claim-order", test_claim_order);
    g_test_add_func("/plic/threshold", test_threshold);
    g_test_add_func("/plic/latching", test_latching);
    g_test_add_func("/plic/bounds", test_bounds);
    g_test_add_func("/plic/load", test_load);
    g_test_add_func("/clint/timers", test_clint);
    return g_test_run();
}
