/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interpreter on a tiny machine: RAM, one MMIO word that ends the test, real vCPU threads. */
#include "softmmu/guest-ram.h"
#include "softmmu/machine.h"
#include "target/riscv/cpu.h"

#define RAM_BASE 0x80000000ULL
#define RAM_BYTES (1u << 20)
#define DONE_BASE 0x100000ULL

typedef struct Rig {
    Machine machine;
    GMutex lock;
    GCond cond;
    bool done;
    uint64_t value;
    uint8_t *ram;
} Rig;

static MemTxResult done_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x1234567890abcdefULL;
    return MEMTX_OK;
}

static MemTxResult done_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->lock);
    rig->done = true;
    rig->value = value;
    g_cond_signal(&rig->cond);
    g_mutex_unlock(&rig->lock);
    return MEMTX_OK;
}

static const MemoryRegionOps done_ops = {done_read, done_write};

static Rig *rig_new(unsigned harts)
{
    Rig *rig = g_new0(Rig, 1);
    Machine *m = &rig->machine;
    GError *err = NULL;

    machine_core_init(m, NULL);
    RAMBlock *block = ram_list_add(m->ram, "ram", RAM_BYTES, NULL, &err);
    g_assert_no_error(err);
    block->guest_addr = RAM_BASE;
    g_assert_true(address_space_add_ram(m->as, "ram", RAM_BASE, block, &err));
    g_assert_true(address_space_add_io(m->as, "done", DONE_BASE, 0x1000, &done_ops, rig, &err));
    rig->ram = block->host;
    m->cpus = cpus_new(m, "rv64,resetvec=0x80000000", harts, &err);
    g_assert_no_error(err);
    return rig;
}

static void rig_free(Rig *rig)
{
    Machine *m = &rig->machine;

    cpus_pause_begin(m->cpus);
    cpus_free(m->cpus);
    m->cpus = NULL;
    machine_core_clear(m);
    g_free(rig);
}

/* Runs until the guest stores to the done word; the stored value. */
static uint64_t rig_run(Rig *rig, const uint32_t *code, size_t n)
{
    gint64 until = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

    memcpy(rig->ram, code, n * 4);
    rig->done = false;
    cpus_pause_end(rig->machine.cpus);
    g_mutex_lock(&rig->lock);
    while (!rig->done && g_cond_wait_until(&rig->cond, &rig->lock, until)) {
    }
    g_assert_true(rig->done);
    g_mutex_unlock(&rig->lock);
    cpus_pause_begin(rig->machine.cpus);
    return rig->value;
}

#define FINISH(reg) 0x001002b7, 0x0002b023 | (reg) << 20, 0x0000006f /* lui t0,0x100; sd reg; j . */

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
    Rig *rig = rig_new(1);

    g_assert_cmpuint(rig_run(rig, code, G_N_ELEMENTS(code)), ==, 500500);
    g_assert_cmpuint(cpus_get(rig->machine.cpus, 0)->instret, >=, 3004);
    rig_free(rig);
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
    Rig *rig = rig_new(1);

    g_assert_cmphex(rig_run(rig, code, G_N_ELEMENTS(code)), ==, (RAM_BASE + 12) << 8 | 2);
    rig_free(rig);
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
    Rig *rig = rig_new(1);

    g_assert_cmphex(rig_run(rig, code, G_N_ELEMENTS(code)), ==, 0x1234567890abcdefULL);
    rig_free(rig);
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
    Rig *rig = rig_new(2);

    g_assert_cmpuint(rig_run(rig, code, G_N_ELEMENTS(code)), ==, 131072);
    rig_free(rig);
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
    Rig *rig = rig_new(1);
    uint64_t bits[4] = {0};
    uint64_t *maps[] = {bits};
    const uint64_t *word = (const uint64_t *)(rig->ram + 0x1000);

    memcpy(rig->ram, code, sizeof(code));
    dirty_log_start(rig->machine.dirty);
    cpus_pause_end(rig->machine.cpus);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t seen = guest_ram_load(word);

        for (unsigned k = 0; guest_ram_load(word) == seen && k < 100000; k++) {
            g_usleep(10);
        }
        g_assert_cmpuint(guest_ram_load(word), !=, seen);      /* the guest has stored since */
        memset(bits, 0, sizeof(bits));
        dirty_log_sync(rig->machine.dirty, maps);
        g_assert_cmphex(bits[0] & 2, ==, 2);
    }
    cpus_pause_begin(rig->machine.cpus);
    dirty_log_stop(rig->machine.dirty);
    rig_free(rig);
}

/*
 * A copy kept by the log alone equals RAM at the end: two harts store all
 * over 224 pages while pages that the log names are copied, pass after pass.
 * What the fast write path kept from the log would be missing in the copy.
 */
static void test_dirty_log_copies(void)
{
    static const uint32_t code[] = {
        0xf14024f3,     /* csrr s1, mhartid */
        0x00008437, 0x0014041b, 0x01041413,     /* li s0, 0x80010000 */
        0x6c0799b7, 0x9659899b,                 /* li s3, 0x6c078965 */
        0x04d48913,     /* addi s2, s1, 77 */
        0x00349a93,     /* slli s5, s1, 3 */
        0x03390933,     /* 1: mul s2, s2, s3 */
        0x06390913,     /* addi s2, s2, 99 */
        0x00d95293,     /* srli t0, s2, 13 */
        0x00100337, 0xff03031b,                 /* li t1, 0xffff0 */
        0x0062f2b3,     /* and t0, t0, t1 */
        0x000e0337,     /* lui t1, 0xe0 */
        0xfe62f2e3,     /* bgeu t0, t1, 1b */
        0x008282b3,     /* add t0, t0, s0 */
        0x015282b3,     /* add t0, t0, s5 */
        0x0122b023,     /* sd s2, 0(t0) */
        0xfd5ff06f,     /* j 1b */
    };
    Rig *rig = rig_new(2);
    g_autofree uint8_t *copy = g_malloc(RAM_BYTES);
    uint64_t bits[RAM_BYTES >> 18];
    uint64_t *maps[] = {bits};
    uint64_t copied = 0;

    memcpy(rig->ram, code, sizeof(code));
    memcpy(copy, rig->ram, RAM_BYTES);
    dirty_log_start(rig->machine.dirty);
    cpus_pause_end(rig->machine.cpus);
    for (unsigned pass = 0; pass <= 300; pass++) {
        if (pass == 300) {
            cpus_pause_begin(rig->machine.cpus);
        } else if (pass % 4 == 0) {
            g_usleep(500);      /* let some passes find much, others little */
        }
        memset(bits, 0, sizeof(bits));
        dirty_log_sync(rig->machine.dirty, maps);
        for (unsigned page = 0; page < RAM_BYTES >> 12; page++) {
            if ((bits[page / 64] >> (page % 64)) & 1) {
                guest_ram_copy_from(copy + page * 4096, rig->ram + page * 4096, 4096);
                copied++;
            }
        }
    }
    g_assert_cmpuint(copied, >, 224);
    g_assert_cmpmem(copy, RAM_BYTES, rig->ram, RAM_BYTES);
    dirty_log_stop(rig->machine.dirty);
    rig_free(rig);
}

/* Instructions retired in about 300 ms under this throttle. */
static uint64_t run_throttled(Rig *rig, int pct)
{
    RISCVCPU *cpu = cpus_get(rig->machine.cpus, 0);
    uint64_t before = cpu->instret;
    gint64 until = g_get_monotonic_time() + 300000;

    cpus_throttle_set(rig->machine.cpus, pct);
    g_assert_cmpint(cpus_throttle_get(rig->machine.cpus), ==, pct);
    cpus_pause_end(rig->machine.cpus);
    while (g_get_monotonic_time() < until) {
        g_main_context_iteration(main_loop_context(rig->machine.loop), FALSE);
        g_usleep(1000);
    }
    cpus_pause_begin(rig->machine.cpus);
    return cpu->instret - before;
}

/* 90 percent leave about a tenth; half is what a busy machine must still show. */
static void test_throttle(void)
{
    static const uint32_t code[] = {0x0000006f};
    Rig *rig = rig_new(1);

    memcpy(rig->ram, code, sizeof(code));
    uint64_t full = run_throttled(rig, 0), slow = run_throttled(rig, 90);
    g_test_message("%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT, full, slow);
    g_assert_cmpuint(slow, <, full / 2);
    g_assert_cmpuint(slow, >, 0);
    cpus_throttle_set(rig->machine.cpus, 0);
    rig_free(rig);
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
    Rig *rig = rig_new(1);
    RISCVCPU *cpu = cpus_get(rig->machine.cpus, 0);

    memcpy(rig->ram, code, sizeof(code));
    cpus_pause_end(rig->machine.cpus);
    while (!cpu_halted(rig->machine.cpus, 0)) {
        g_usleep(1000);
    }
    unsigned sleeps = sleeps_of(cpu);
    cpus_pause_begin(rig->machine.cpus);
    g_usleep(20000);
    g_assert_cmpuint(sleeps_of(cpu), ==, sleeps);
    g_assert_cmpuint(cpu->pc - cpu->start_pc, ==, 4);

    /* Work while paused changes nothing; once it may, it runs. */
    cpu->mie = 1 << 3;
    riscv_cpu_set_line(cpu, 3, true);
    g_usleep(20000);
    g_assert_true(cpu_halted(rig->machine.cpus, 0));
    cpus_pause_end(rig->machine.cpus);
    while (cpu_halted(rig->machine.cpus, 0)) {
        g_usleep(1000);
    }
    cpus_pause_begin(rig->machine.cpus);
    g_assert_cmpuint(cpu->instret, >, 1);
    rig_free(rig);
}

/* A pause holds until its own end, whatever others begin and end. */
static void test_pauses_nest(void)
{
    static const uint32_t code[] = {0x0000006f};    /* j . */
    Rig *rig = rig_new(1);
    RISCVCPU *cpu = cpus_get(rig->machine.cpus, 0);

    memcpy(rig->ram, code, sizeof(code));
    cpus_pause_end(rig->machine.cpus);
    cpus_pause_begin(rig->machine.cpus);
    cpus_pause_begin(rig->machine.cpus);
    cpus_pause_end(rig->machine.cpus);
    uint64_t before = cpu->instret;
    g_usleep(20000);
    g_assert_cmpuint(cpu->instret, ==, before);
    cpus_pause_end(rig->machine.cpus);
    for (uint64_t now = before; now == before;) {
        g_usleep(20000);
        cpus_pause_begin(rig->machine.cpus);
        now = cpu->instret;
        cpus_pause_end(rig->machine.cpus);
    }
    rig_free(rig);
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
