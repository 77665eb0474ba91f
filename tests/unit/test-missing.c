/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs whose memory has not come (softmmu/present-map.h): every page is missing under running
 * harts and is placed late, in any order. The guest must compute what it computes with all of its
 * memory here; while all harts wait they can be paused, reset, reloaded and ended.
 */
#include <string.h>
#include "softmmu/guest-ram.h"
#include "tests/unit/hart-machine.h"
#include "util/error.h"

#define HARTS_AT 0xf0008    /* where the guest finds how many harts there are */

typedef struct Rig {
    HartMachine h;
    /* protected by h.lock */
    int wanted[RAM_PAGES];
    int wanted_total, waited_total;
    GQueue queue;           /* pages asked for, GUINT_TO_POINTER(page + 1) */
    bool placer_quit;
    /* the placer's */
    const uint8_t *content;
    GRand *rand;
} Rig;

static Rig *rig_new(unsigned harts)
{
    Rig *rig = g_new0(Rig, 1);

    hart_machine_init(&rig->h, harts);
    return rig;
}

static void rig_free(Rig *rig)
{
    hart_machine_clear(&rig->h);
    g_queue_clear(&rig->queue);
    g_free(rig);
}

static void on_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->h.lock);
    rig->wanted[page]++;
    rig->wanted_total++;
    g_queue_push_tail(&rig->queue, GUINT_TO_POINTER(page + 1));
    g_cond_broadcast(&rig->h.cond);
    g_mutex_unlock(&rig->h.lock);
}

static void on_waited(void *opaque, size_t block, uint64_t page, int user, int64_t us)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->h.lock);
    rig->waited_total++;
    g_mutex_unlock(&rig->h.lock);
}

static const PresentOps ops = { on_wanted, on_waited };

/* From now on nothing is here; content is what will come. Paused. */
static void rig_take_all(Rig *rig, const uint8_t *content)
{
    GError *err = NULL;

    rig->content = content;
    guest_ram_shared_begin();
    memset(rig->h.block->host, 0xee, RAM_BYTES);  /* who looks too early computes something else */
    guest_ram_shared_end();
    g_assert_true(present_map_begin(rig->h.machine.present, NULL, &err));
    present_map_set_missing(rig->h.machine.present, 0, 0, RAM_PAGES);
    cpus_flush_tlb_all(rig->h.machine.cpus);
    g_assert_true(present_map_arm(rig->h.machine.present, &ops, rig, NULL));
}

static void place(Rig *rig, uint64_t page)
{
    present_map_place(rig->h.machine.present, 0, page, rig->content + page * TARGET_PAGE_SIZE);
}

/* Gives what is asked for, late and not in order, and now and then a page that nobody asked for. */
static gpointer placer(gpointer opaque)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->h.lock);
    while (!rig->placer_quit) {
        guint n = g_queue_get_length(&rig->queue);
        if (n == 0) {
            g_cond_wait(&rig->h.cond, &rig->h.lock);
            continue;
        }
        g_mutex_unlock(&rig->h.lock);
        g_usleep(g_rand_int_range(rig->rand, 0, 300));
        g_mutex_lock(&rig->h.lock);
        n = g_queue_get_length(&rig->queue);
        uint64_t page =
            GPOINTER_TO_UINT(g_queue_pop_nth(&rig->queue, g_rand_int_range(rig->rand, 0, n))) - 1;
        g_mutex_unlock(&rig->h.lock);
        place(rig, page);
        if (g_rand_int_range(rig->rand, 0, 8) == 0) {
            place(rig, g_rand_int_range(rig->rand, 0, RAM_PAGES));
        }
        g_mutex_lock(&rig->h.lock);
    }
    g_mutex_unlock(&rig->h.lock);
    return NULL;
}

static GThread *placer_start(Rig *rig, guint32 seed)
{
    rig->rand = g_rand_new_with_seed(seed);
    rig->placer_quit = false;
    return g_thread_new("placer", placer, rig);
}

static void placer_stop(Rig *rig, GThread *thread)
{
    g_mutex_lock(&rig->h.lock);
    rig->placer_quit = true;
    g_cond_broadcast(&rig->h.cond);
    g_mutex_unlock(&rig->h.lock);
    g_thread_join(thread);
    g_rand_free(rig->rand);
}

/* Until n pages have been asked for, and the harts that need them sleep. */
static void wait_for_wanted(Rig *rig, int n)
{
    gint64 until = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    g_mutex_lock(&rig->h.lock);
    while (rig->wanted_total < n) {
        g_assert_true(g_cond_wait_until(&rig->h.cond, &rig->h.lock, until));
    }
    g_mutex_unlock(&rig->h.lock);
    g_usleep(20000);
}

/* ---- the same result ---- */

/*
 * Each hart works through 28 pages of its own: loads and stores across pages, AMO, a load from a
 * page further on between LR and SC, FP loads and stores; then calls code that crosses a page. Hart
 * 0 waits for the others and reports the sum.
 */
static const uint32_t work[] = {
    0xf14024f3, /* csrrs s1,mhartid,zero */
    0x000062b7, /* lui t0,0x6 */
    0x3002a073, /* csrrs zero,mstatus,t0 */
    0x00010437, /* lui s0,0x10 */
    0x0014041b, /* addiw s0,s0,1 */
    0x00f41413, /* slli s0,s0,0xf */
    0x000082b7, /* lui t0,0x8 */
    0x40540433, /* sub s0,s0,t0 */
    0x000102b7, /* lui t0,0x10 */
    0x00540433, /* add s0,s0,t0 */
    0x01149313, /* slli t1,s1,0x11 */
    0x00640433, /* add s0,s0,t1 */
    0x01c00993, /* addi s3,zero,28 */
    0x00001a37, /* lui s4,0x1 */
    0x00001ab7, /* lui s5,0x1 */
    0xffda8a9b, /* addiw s5,s5,-3 */
    0x00843283, /* ld t0,8(s0) */
    0x00550533, /* add a0,a0,t0 */
    0x01540333, /* add t1,s0,s5 */
    0x00033283, /* ld t0,0(t1) */
    0x00550533, /* add a0,a0,t0 */
    0x00a33023, /* sd a0,0(t1) */
    0x013432af, /* amoadd.d t0,s3,(s0) */
    0x00550533, /* add a0,a0,t0 */
    0x04040e13, /* addi t3,s0,64 */
    0x100e3eaf, /* lr.d t4,(t3) */
    0x014e0f33, /* add t5,t3,s4 */
    0x014f0f33, /* add t5,t5,s4 */
    0x000f3f03, /* ld t5,0(t5) */
    0x19ee3faf, /* sc.d t6,t5,(t3) */
    0x028f9f93, /* slli t6,t6,0x28 */
    0x01f50533, /* add a0,a0,t6 */
    0x01043007, /* fld ft0,16(s0) */
    0xe20002d3, /* fmv.x.d t0,ft0 */
    0x00554533, /* xor a0,a0,t0 */
    0x00043c27, /* fsd ft0,24(s0) */
    0x01440433, /* add s0,s0,s4 */
    0xfff98993, /* addi s3,s3,-1 */
    0xfa0994e3, /* bne s3,zero,40 */
    0x000102b7, /* lui t0,0x10 */
    0x0012829b, /* addiw t0,t0,1 */
    0x00f29293, /* slli t0,t0,0xf */
    0x00007337, /* lui t1,0x7 */
    0x0083031b, /* addiw t1,t1,8 */
    0x406282b3, /* sub t0,t0,t1 */
    0x000280e7, /* jalr ra,0(t0) */
    0x00010437, /* lui s0,0x10 */
    0x0014041b, /* addiw s0,s0,1 */
    0x00f41413, /* slli s0,s0,0xf */
    0x000082b7, /* lui t0,0x8 */
    0x40540433, /* sub s0,s0,t0 */
    0x000f02b7, /* lui t0,0xf0 */
    0x00540433, /* add s0,s0,t0 */
    0x01040293, /* addi t0,s0,16 */
    0x00a2b02f, /* amoadd.d zero,a0,(t0) */
    0x00100313, /* addi t1,zero,1 */
    0x0064302f, /* amoadd.d zero,t1,(s0) */
    0x00049e63, /* bne s1,zero,100 */
    0x00843303, /* ld t1,8(s0) */
    0x00043283, /* ld t0,0(s0) */
    0xfe629ee3, /* bne t0,t1,ec */
    0x01043503, /* ld a0,16(s0) */
    0x001002b7, /* lui t0,0x100 */
    0x00a2b023, /* sd a0,0(t0) */
    0x0000006f, /* jal zero,100 */
};
/* At 0xff8: addi a0,a0,1; c.nop; addi a0,a0,2, half of it in the next page; ret. */
static const uint16_t crossing[] = { 0x0513, 0x0015, 0x0001, 0x0513, 0x0025, 0x8082 };

static uint8_t *work_memory(unsigned harts, guint32 seed)
{
    uint8_t *memory = g_malloc0(RAM_BYTES);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    uint64_t n = harts;

    for (unsigned at = 0x10000; at < 0x90000; at += 4) {
        guint32 word = g_rand_int(rand);
        memcpy(memory + at, &word, 4);
    }
    memcpy(memory, work, sizeof(work));
    memcpy(memory + 0xff8, crossing, sizeof(crossing));
    memcpy(memory + HARTS_AT, &n, 8);
    return memory;
}

/* With all of memory here. */
static uint64_t reference(unsigned harts, const uint8_t *memory, uint8_t *after, uint64_t *instret)
{
    Rig *rig = rig_new(harts);

    memcpy(rig->h.block->host, memory, RAM_BYTES);
    uint64_t value = hart_machine_run(&rig->h);
    memcpy(after, rig->h.block->host, RAM_BYTES);
    *instret = cpus_get(rig->h.machine.cpus, 0)->instret;
    rig_free(rig);
    return value;
}

static void test_same_result(gconstpointer data)
{
    unsigned harts = GPOINTER_TO_UINT(data);
    guint32 seed = g_test_rand_int();
    g_autofree uint8_t *memory = work_memory(harts, seed), *after = g_malloc(RAM_BYTES);
    uint64_t instret, value = reference(harts, memory, after, &instret);
    Rig *rig = rig_new(harts);
    int asked = 0;

    rig_take_all(rig, memory);
    GThread *thread = placer_start(rig, seed);
    g_assert_cmphex(hart_machine_run(&rig->h), ==, value);
    placer_stop(rig, thread);
    for (uint64_t page = 0; page < RAM_PAGES; page++) {
        g_assert_cmpint(rig->wanted[page], <=, 1);
        asked += rig->wanted[page];
        place(rig, page);
    }
    g_assert_cmpint(asked, >, 20);
    g_assert_cmpint(rig->waited_total, >, 20);
    g_assert_cmpuint(present_map_missing(rig->h.machine.present), ==, 0);
    g_assert_cmpmem(rig->h.block->host, RAM_BYTES, after, RAM_BYTES);
    rig_free(rig);
}

/* An instruction that waits is counted once. */
static void test_instret(void)
{
    static const uint32_t code[] = {
        0x00008437, 0x0014041b, 0x01041413,     /* li s0, 0x80010000 */
        0x00043503,     /* ld a0, 0(s0) */
        0x000015b7,     /* lui a1, 1 */
        0x00b40433,     /* add s0, s0, a1 */
        0x00a43023,     /* sd a0, 0(s0) */
        0x00a43423,     /* sd a0, 8(s0) */
        0xb0202573,     /* csrr a0, minstret */
        0x001002b7, 0x00a2b023,     /* lui t0, 0x100; sd a0, 0(t0) */
        0x0000006f,     /* j . */
    };
    g_autofree uint8_t *memory = g_malloc0(RAM_BYTES);
    Rig *rig = rig_new(1);

    memcpy(memory, code, sizeof(code));
    rig_take_all(rig, memory);
    GThread *thread = placer_start(rig, 4);
    g_assert_cmpuint(hart_machine_run(&rig->h), ==, 8);
    g_assert_cmpint(rig->waited_total, ==, 3);
    placer_stop(rig, thread);
    rig_free(rig);
}

/* ---- while all harts wait ---- */

static void test_pause(void)
{
    g_autofree uint8_t *memory = work_memory(2, 1), *after = g_malloc(RAM_BYTES);
    uint64_t instret, value = reference(2, memory, after, &instret);
    Rig *rig = rig_new(2);

    rig_take_all(rig, memory);
    cpus_pause_end(rig->h.machine.cpus);
    wait_for_wanted(rig, 1);                /* both for the same page: their first instruction */
    g_assert_cmpint(rig->wanted[0], ==, 1);
    for (int i = 0; i < 20; i++) {
        cpus_pause_begin(rig->h.machine.cpus);
        g_assert_cmphex(cpu_pc(rig->h.machine.cpus, i % 2), ==, RAM_BASE);
        g_autofree char *text = cpu_dump(rig->h.machine.cpus, i % 2);
        g_assert_nonnull(text);
        cpus_write_barrier(rig->h.machine.cpus);
        cpus_pause_end(rig->h.machine.cpus);
    }
    g_assert_cmpint(rig->wanted_total, ==, 1);

    /* the page comes while they are paused: nobody runs before the end of the pause */
    cpus_pause_begin(rig->h.machine.cpus);
    place(rig, 0);
    g_usleep(20000);
    g_assert_cmpuint(cpus_get(rig->h.machine.cpus, 0)->instret, ==, 0);
    g_assert_cmpint(rig->wanted_total, ==, 1);
    GThread *thread = placer_start(rig, 1);
    g_assert_cmphex(hart_machine_run(&rig->h), ==, value);
    placer_stop(rig, thread);
    rig_free(rig);
}

static void test_reset(void)
{
    g_autofree uint8_t *memory = work_memory(1, 2), *after = g_malloc(RAM_BYTES);
    uint64_t instret, value = reference(1, memory, after, &instret);
    Rig *rig = rig_new(1);
    RISCVCPU *cpu = cpus_get(rig->h.machine.cpus, 0);

    rig_take_all(rig, memory);
    place(rig, 0);
    cpus_pause_end(rig->h.machine.cpus);
    wait_for_wanted(rig, 1);                /* the first data page: 16 */
    g_assert_cmpint(rig->wanted[16], ==, 1);
    cpus_pause_begin(rig->h.machine.cpus);
    g_assert_cmphex(cpu->pc, ==, RAM_BASE + 0x40);
    g_assert_cmpuint(cpu->instret, ==, 16); /* what came before it in its block counts, it does not */
    bql_lock(rig->h.machine.loop);
    cpus_reset_all(rig->h.machine.cpus);
    bql_unlock(rig->h.machine.loop);
    g_assert_cmphex(cpu->pc, ==, RAM_BASE);
    g_assert_false(cpu->page_wait);
    cpus_pause_end(rig->h.machine.cpus);      /* does not wait for that page: runs to it again */
    g_usleep(20000);
    cpus_pause_begin(rig->h.machine.cpus);
    g_assert_cmphex(cpu->pc, ==, RAM_BASE + 0x40);
    g_assert_cmpint(rig->wanted_total, ==, 1);
    GThread *thread = placer_start(rig, 2);
    g_assert_cmphex(hart_machine_run(&rig->h), ==, value);
    placer_stop(rig, thread);
    rig_free(rig);
}

/* The end of everything, also with harts that wait. */
static void test_end(void)
{
    for (int how = 0; how < 2; how++) {
        g_autofree uint8_t *memory = work_memory(4, 3);
        Rig *rig = rig_new(4);

        rig_take_all(rig, memory);
        cpus_pause_end(rig->h.machine.cpus);
        wait_for_wanted(rig, 1);
        if (how == 1) {
            cpus_throttle_set(rig->h.machine.cpus, 90);
            memcpy(rig->h.block->host, memory, RAM_BYTES);
            present_map_end(rig->h.machine.present);  /* all is here: they go on */
            cpus_pause_begin(rig->h.machine.cpus);
            hart_machine_run(&rig->h);
            cpus_pause_end(rig->h.machine.cpus);
        }
        rig_free(rig);
    }
}

/* ---- interrupts ---- */

/* One that comes while the hart waits is taken when it goes on, before the instruction that waited. */
static void test_interrupt(void)
{
    static const uint32_t code[] = {
        0x00000297,     /* auipc t0, 0 */
        0x02c28293,     /* addi t0, t0, 44: handler */
        0x30529073,     /* csrw mtvec, t0 */
        0x00800293,     /* li t0, 8 */
        0x30429073,     /* csrw mie, t0: MSIE */
        0x30029073,     /* csrw mstatus, t0: MIE */
        0x00008437, 0x0014041b, 0x01041413,     /* li s0, 0x80010000 */
        0x00043503,     /* ld a0, 0(s0): waits, at 36 */
        0x0000006f,     /* j . */
        0x341025f3,     /* handler: csrr a1, mepc */
        0x00b50533,     /* add a0, a0, a1: a0 is still 0 */
        0x001002b7, 0x00a2b023,     /* lui t0, 0x100; sd a0, 0(t0) */
        0x0000006f,     /* j . */
    };
    g_autofree uint8_t *memory = g_malloc0(RAM_BYTES);
    Rig *rig = rig_new(1);

    memcpy(memory, code, sizeof(code));
    memset(memory + 0x10000, 0x55, 8);
    rig_take_all(rig, memory);
    place(rig, 0);
    cpus_pause_end(rig->h.machine.cpus);
    wait_for_wanted(rig, 1);
    g_assert_cmpint(rig->wanted[16], ==, 1);
    cpu_set_irq(rig->h.machine.cpus, 0, IRQ_M_SOFT, true);
    g_usleep(20000);
    g_assert_false(rig->h.done);
    place(rig, 16);
    cpus_pause_begin(rig->h.machine.cpus);
    g_assert_cmphex(hart_machine_run(&rig->h), ==, RAM_BASE + 36);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/missing/same-result/1", GUINT_TO_POINTER(1), test_same_result);
    g_test_add_data_func("/missing/same-result/2", GUINT_TO_POINTER(2), test_same_result);
    g_test_add_data_func("/missing/same-result/4", GUINT_TO_POINTER(4), test_same_result);
    g_test_add_func("/missing/instret", test_instret);
    g_test_add_func("/missing/pause", test_pause);
    g_test_add_func("/missing/reset", test_reset);
    g_test_add_func("/missing/end", test_end);
    g_test_add_func("/missing/interrupt", test_interrupt);
    return g_test_run();
}
