/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter on a tiny machine: RAM, one MMIO word that ends the test, real vCPU threads. */
#include <string.h>
#include "migration/source/object.h"
#include "migration/source/pace.h"
#include "softmmu/guest-ram.h"
#include "tests/unit/hart-machine.h"

/* What the guest stores to the done word. */
static uint64_t run(HartMachine *h, const uint32_t *code, size_t n)
{
    hart_machine_load(h, code, n);
    return hart_machine_run(h);
}

static void test_loop(void)
{
    static const uint32_t code[] = {
        0x00000513,     /* li a0, 0 */
        0x3e800593,     /* li a1, 1000 */
        0x00b50533,     /* 1: add a0, a0, a1 */
        0xfff58593,     /* addi a1, a1, -1 */
        0xfe059ce3,     /* bnez a1, 1b */
        FINISH(10),
    };
    HartMachine h;

    hart_machine_init(&h, 1);
    g_assert_cmpuint(run(&h, code, G_N_ELEMENTS(code)), ==, 500500);
    g_assert_cmpuint(cpus_get(h.machine.cpus, 0)->instret, >=, 3004);
    hart_machine_clear(&h);
}

static void test_trap(void)
{
    static const uint32_t code[] = {
        0x00000297,     /* auipc t0, 0 */
        0x01428293,     /* addi t0, t0, 20: handler */
        0x30529073,     /* csrw mtvec, t0 */
        0x00000000,     /* illegal */
        0x0000006f,
        0x34202573,     /* handler: csrr a0, mcause */
        0x341025f3,     /* csrr a1, mepc */
        0x00859593,     /* slli a1, a1, 8 */
        0x00b50533,     /* add a0, a0, a1 */
        FINISH(10),
    };
    HartMachine h;

    hart_machine_init(&h, 1);
    g_assert_cmphex(run(&h, code, G_N_ELEMENTS(code)), ==, (RAM_BASE + 12) << 8 | 2);
    hart_machine_clear(&h);
}

static void test_mmio_and_misaligned(void)
{
    static const uint32_t code[] = {
        0x00100337,     /* lui t1, 0x100 */
        0x00033503,     /* ld a0, 0(t1) */
        0x80001437,     /* lui s0, 0x80001: sign-extended, so clear the top */
        0x02041413,     /* slli s0, s0, 32 */
        0x02045413,     /* srli s0, s0, 32 */
        0xfea43ea3,     /* sd a0, -3(s0): crosses the page */
        0xffd43583,     /* ld a1, -3(s0) */
        0xffb44603,     /* lbu a2, -5(s0): 0 */
        0x00c58533,     /* add a0, a1, a2 */
        FINISH(10),
    };
    HartMachine h;

    hart_machine_init(&h, 1);
    g_assert_cmphex(run(&h, code, G_N_ELEMENTS(code)), ==, DONE_READS);
    hart_machine_clear(&h);
}

/* Two harts add to one word atomically; the first waits for the second's flag. */
static void test_two_harts(void)
{
    static const uint32_t code[] = {
        0xf14024f3,     /* csrr s1, mhartid */
        0x80001437,     /* lui s0, 0x80001 */
        0x02041413, 0x02045413,
        0x000105b7,     /* lui a1, 0x10: 65536 times */
        0x00100613,     /* li a2, 1 */
        0x00c4302f,     /* 1: amoadd.d zero, a2, (s0) */
        0xfff58593,     /* addi a1, a1, -1 */
        0xfe059ce3,     /* bnez a1, 1b */
        0x00840913,     /* addi s2, s0, 8 */
        0x00c9302f,     /* amoadd.d zero, a2, (s2): finished */
        0x00049a63,     /* bnez s1, 2f (+20) */
        0x00093503,     /* 3: ld a0, 0(s2) */
        0xffe50513,     /* addi a0, a0, -2 */
        0xfe051ce3,     /* bnez a0, 3b */
        0x0080006f,     /* j 4f */
        0x0000006f,     /* 2: j . */
        0x00043503,     /* 4: ld a0, 0(s0) */
        FINISH(10),
    };
    HartMachine h;

    hart_machine_init(&h, 2);
    g_assert_cmpuint(run(&h, code, G_N_ELEMENTS(code)), ==, 131072);
    hart_machine_clear(&h);
}

/* Every page the guest writes after a sync is in the next one. */
static void test_dirty_log(void)
{
    static const uint32_t code[] = {
        0x80001437,     /* lui s0, 0x80001 */
        0x02041413, 0x02045413,
        0x00148493,     /* 1: addi s1, s1, 1 */
        0x00943023,     /* sd s1, 0(s0) */
        0xff9ff06f,     /* j 1b */
    };
    HartMachine h;
    uint64_t bits[4] = {0};
    uint64_t *maps[] = {bits};

    hart_machine_init(&h, 1);
    const uint64_t *word = (const uint64_t *)(h.block->host + 0x1000);
    hart_machine_load(&h, code, G_N_ELEMENTS(code));
    dirty_log_start(h.machine.dirty);
    cpus_pause_end(h.machine.cpus);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t seen = guest_ram_load(word);

        for (unsigned k = 0; guest_ram_load(word) == seen && k < 100000; k++) {
            g_usleep(10);
        }
        g_assert_cmpuint(guest_ram_load(word), !=, seen);      /* the guest has stored since */
        memset(bits, 0, sizeof(bits));
        dirty_log_sync(h.machine.dirty, maps);
        g_assert_cmphex(bits[0] & 2, ==, 2);
    }
    cpus_pause_begin(h.machine.cpus);
    dirty_log_stop(h.machine.dirty);
    hart_machine_clear(&h);
}

/*
 * A copy kept by the log alone equals RAM at the end: two harts store all
 * over 224 pages while pages that the log names are copied, pass after pass.
 * What the fast write path kept from the log would be missing in the copy.
 */
static void test_dirty_log_copies(void)
{
    HartMachine h;
    g_autofree uint8_t *copy = g_malloc(RAM_BYTES);
    uint64_t bits[RAM_BYTES >> 18];
    uint64_t *maps[] = {bits};
    uint64_t copied = 0;

    hart_machine_init(&h, 2);
    hart_machine_load_scribbler(&h);
    memcpy(copy, h.block->host, RAM_BYTES);
    dirty_log_start(h.machine.dirty);
    cpus_pause_end(h.machine.cpus);
    for (unsigned pass = 0; pass <= 300; pass++) {
        if (pass == 300) {
            cpus_pause_begin(h.machine.cpus);
        } else if (pass % 4 == 0) {
            g_usleep(500);      /* let some passes find much, others little */
        }
        memset(bits, 0, sizeof(bits));
        dirty_log_sync(h.machine.dirty, maps);
        for (unsigned page = 0; page < RAM_BYTES >> 12; page++) {
            if ((bits[page / 64] >> (page % 64)) & 1) {
                guest_ram_copy_from(copy + page * 4096, h.block->host + page * 4096, 4096);
                copied++;
            }
        }
    }
    g_assert_cmpuint(copied, >, 224);
    g_assert_cmpmem(copy, RAM_BYTES, h.block->host, RAM_BYTES);
    dirty_log_stop(h.machine.dirty);
    hart_machine_clear(&h);
}

/* Instructions retired in about 300 ms under this throttle. */
static uint64_t run_throttled(HartMachine *h, int pct)
{
    RISCVCPU *cpu = cpus_get(h->machine.cpus, 0);
    Outgoing o = { .machine = &h->machine };
    uint64_t before = cpu->instret;
    gint64 until = g_get_monotonic_time() + 300000;

    outgoing_set_throttle(&o, pct);     /* as auto-converge does */
    g_assert_cmpint(cpus_throttle_get(h->machine.cpus), ==, pct);
    cpus_pause_end(h->machine.cpus);
    while (g_get_monotonic_time() < until) {
        g_main_context_iteration(main_loop_context(h->machine.loop), FALSE);
        g_usleep(1000);
    }
    cpus_pause_begin(h->machine.cpus);
    return cpu->instret - before;
}

/* 90 percent leave about a tenth; half is what a busy machine must still show. */
static void test_throttle(void)
{
    static const uint32_t code[] = {0x0000006f};
    HartMachine h;

    hart_machine_init(&h, 1);
    hart_machine_load(&h, code, G_N_ELEMENTS(code));
    uint64_t full = run_throttled(&h, 0), slow = run_throttled(&h, 90);
    g_test_message("%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, full, slow);
    g_assert_cmpuint(slow, <, full / 2);
    g_assert_cmpuint(slow, >, 0);
    cpus_throttle_set(h.machine.cpus, 0);
    hart_machine_clear(&h);
}

/* Waits until the vCPU's thread sleeps; how often it has gone to sleep by itself. */
static unsigned sleeps_of(RISCVCPU *cpu)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/status", atomic_load(&cpu->tid));
    g_autofree char *text = NULL;

    do {
        g_free(text);
        g_usleep(1000);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    } while (!strstr(text, "State:\tS"));
    const char *line = strstr(text, "\nvoluntary_ctxt_switches:");
    g_assert_nonnull(line);
    return (unsigned)strtoul(line + strlen("\nvoluntary_ctxt_switches:"), NULL, 10);
}

/* A vCPU in WFI is stopped without being woken up to say so, and goes on when it is to. */
static void test_pause_in_wfi(void)
{
    static const uint32_t code[] = {
        0x10500073,     /* wfi: nothing is enabled, it waits for ever */
        0x0000006f,     /* j . */
    };
    HartMachine h;

    hart_machine_init(&h, 1);
    RISCVCPU *cpu = cpus_get(h.machine.cpus, 0);
    hart_machine_load(&h, code, G_N_ELEMENTS(code));
    cpus_pause_end(h.machine.cpus);
    while (!cpu_halted(h.machine.cpus, 0)) {
        g_usleep(1000);
    }
    unsigned sleeps = sleeps_of(cpu);
    cpus_pause_begin(h.machine.cpus);
    g_usleep(20000);
    g_assert_cmpuint(sleeps_of(cpu), ==, sleeps);
    g_assert_cmpuint(cpu->pc - cpu->start_pc, ==, 4);

    /* Work while paused changes nothing; once it may, it runs. */
    cpu->mie = 1 << 3;
    riscv_cpu_set_line(cpu, 3, true);
    g_usleep(20000);
    g_assert_true(cpu_halted(h.machine.cpus, 0));
    cpus_pause_end(h.machine.cpus);
    while (cpu_halted(h.machine.cpus, 0)) {
        g_usleep(1000);
    }
    cpus_pause_begin(h.machine.cpus);
    g_assert_cmpuint(cpu->instret, >, 1);
    hart_machine_clear(&h);
}

/* A pause holds until its own end, whatever others begin and end. */
static void test_pauses_nest(void)
{
    static const uint32_t code[] = {0x0000006f};    /* j . */
    HartMachine h;

    hart_machine_init(&h, 1);
    RISCVCPU *cpu = cpus_get(h.machine.cpus, 0);
    hart_machine_load(&h, code, G_N_ELEMENTS(code));
    cpus_pause_end(h.machine.cpus);
    cpus_pause_begin(h.machine.cpus);
    cpus_pause_begin(h.machine.cpus);
    cpus_pause_end(h.machine.cpus);
    uint64_t before = cpu->instret;
    g_usleep(20000);
    g_assert_cmpuint(cpu->instret, ==, before);
    cpus_pause_end(h.machine.cpus);
    for (uint64_t now = before; now == before;) {
        g_usleep(20000);
        cpus_pause_begin(h.machine.cpus);
        now = cpu->instret;
        cpus_pause_end(h.machine.cpus);
    }
    hart_machine_clear(&h);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/interp/loop", test_loop);
    g_test_add_func("/interp/trap", test_trap);
    g_test_add_func("/interp/mmio-and-misaligned", test_mmio_and_misaligned);
    g_test_add_func("/interp/two-harts", test_two_harts);
    g_test_add_func("/interp/dirty-log", test_dirty_log);
    g_test_add_func("/interp/dirty-log-copies", test_dirty_log_copies);
    g_test_add_func("/interp/throttle", test_throttle);
    g_test_add_func("/interp/pause-in-wfi", test_pause_in_wfi);
    g_test_add_func("/interp/pauses-nest", test_pauses_nest);
    return g_test_run();
}
