/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu/dirty-log: bits, counts, and the ordering rule under stress: two
 * writers with a fast path like a vCPU's, one reader that copies dirty pages;
 * after the writers stop and one last sync, copy and memory are equal.
 */
#include <string.h>
#include "softmmu/dirty-log.h"

#define PAGES 512

typedef struct Fixture {
    RAMList *ram;
    DirtyLog *log;
    RAMBlock *a, *b;
    uint64_t *bitmaps[2];
    int barriers;
} Fixture;

static void count_barrier(void *opaque)
{
    ((Fixture *)opaque)->barriers++;
}

static void fixture_init(Fixture *f, uint64_t pages_a, uint64_t pages_b)
{
    *f = (Fixture){ .ram = ram_list_new() };
    f->a = ram_list_add(f->ram, "a", pages_a * TARGET_PAGE_SIZE, NULL, NULL);
    f->b = ram_list_add(f->ram, "b", pages_b * TARGET_PAGE_SIZE, NULL, NULL);
    g_assert_true(ram_list_get(f->ram, 0) == f->a);
    f->log = dirty_log_new(f->ram, count_barrier, f);
    f->bitmaps[0] = g_new0(uint64_t, (pages_a + 63) / 64);
    f->bitmaps[1] = g_new0(uint64_t, (pages_b + 63) / 64);
}

static void fixture_clear(Fixture *f)
{
    dirty_log_free(f->log);
    ram_list_free(f->ram);
    g_free(f->bitmaps[0]);
    g_free(f->bitmaps[1]);
}

static bool bit(const uint64_t *map, uint64_t n)
{
    return map[n / 64] >> (n % 64) & 1;
}

static void test_bits(void)
{
    Fixture f;

    fixture_init(&f, 1000, 70);
    g_assert_false(dirty_log_enabled(f.log));
    dirty_log_mark(f.log, f.a, 0, 1); /* off: ignored */
    dirty_log_start(f.log);
    g_assert_cmpint(f.barriers, ==, 1);
    g_assert_true(dirty_log_enabled(f.log));
    dirty_log_mark(f.log, f.a, 4095, 2);                    /* pages 0, 1 */
    dirty_log_mark(f.log, f.a, 62 * 4096, 130 * 4096);      /* 62..191: over three words */
    dirty_log_mark(f.log, f.a, 999 * 4096 + 4095, 1);       /* the last */
    dirty_log_mark(f.log, f.a, 300 * 4096, 0);              /* nothing */
    dirty_log_mark(f.log, f.b, 69 * 4096, 4096);
    g_assert_cmpuint(dirty_log_sync(f.log, f.bitmaps), ==, 2 + 130 + 1 + 1);
    g_assert_cmpint(f.barriers, ==, 2);
    for (uint64_t i = 0; i < 1000; i++) {
        g_assert_cmpint(bit(f.bitmaps[0], i), ==, i < 2 || (i >= 62 && i < 192) || i == 999);
    }
    g_assert_true(bit(f.bitmaps[1], 69));

    /* Bits the caller has already are not counted again; fetched bits are gone. */
    dirty_log_mark(f.log, f.a, 0, 3 * 4096);
    g_assert_cmpuint(dirty_log_sync(f.log, f.bitmaps), ==, 1);
    memset(f.bitmaps[0], 0, 1000 / 8);
    g_assert_cmpuint(dirty_log_sync(f.log, f.bitmaps), ==, 0);
    g_assert_false(bit(f.bitmaps[0], 0));

    /* Counted start and stop; a fresh start begins clean. */
    dirty_log_start(f.log);
    dirty_log_stop(f.log);
    g_assert_true(dirty_log_enabled(f.log));
    dirty_log_mark(f.log, f.a, 0, 1);
    dirty_log_stop(f.log);
    g_assert_false(dirty_log_enabled(f.log));
    dirty_log_start(f.log);
    g_assert_cmpuint(dirty_log_sync(f.log, f.bitmaps), ==, 0);
    dirty_log_stop(f.log);
    fixture_clear(&f);
}

/* ---- stress: fake vCPUs ---- */

#define WRITERS 2

typedef struct FakeVcpu {
    struct Stress *stress;
    unsigned id;
    unsigned epoch_seen;        /* atomic; what the barrier waits for */
    bool running;               /* atomic */
    bool fast[PAGES];           /* own thread: page is known dirty, skip the log */
} FakeVcpu;

typedef struct Stress {
    RAMBlock *block;
    DirtyLog *log;
    unsigned epoch;             /* atomic */
    bool stop;                  /* atomic */
    bool break_rule;            /* the fast path survives a sync: must be caught */
    FakeVcpu cpus[WRITERS];
} Stress;

static void stress_barrier(void *opaque)
{
    Stress *s = opaque;
    unsigned epoch = __atomic_add_fetch(&s->epoch, 1, __ATOMIC_SEQ_CST);

    for (unsigned i = 0; i < WRITERS; i++) {
        while (__atomic_load_n(&s->cpus[i].running, __ATOMIC_SEQ_CST) &&
               (int)(__atomic_load_n(&s->cpus[i].epoch_seen, __ATOMIC_SEQ_CST) - epoch) < 0) {
            g_thread_yield();
        }
    }
}

static void vcpu_safe_point(FakeVcpu *cpu)
{
    unsigned epoch = __atomic_load_n(&cpu->stress->epoch, __ATOMIC_SEQ_CST);

    if (epoch != cpu->epoch_seen) {
        if (!cpu->stress->break_rule) {
            memset(cpu->fast, 0, sizeof(cpu->fast));
        }
        __atomic_store_n(&cpu->epoch_seen, epoch, __ATOMIC_SEQ_CST);
    }
}

static gpointer vcpu_loop(gpointer opaque)
{
    FakeVcpu *cpu = opaque;
    Stress *s = cpu->stress;
    uint32_t rnd = 12345 + cpu->id;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        vcpu_safe_point(cpu);
        for (int i = 0; i < 32; i++) {
            rnd = rnd * 1664525 + 1013904223;
            unsigned page = (rnd >> 16) % PAGES;
            /* Each writer owns one half of the page's words, so stores do not race. */
            uint64_t *word = (uint64_t *)(s->block->host + page * TARGET_PAGE_SIZE) +
                             cpu->id * 256 + (rnd >> 8) % 256;
            __atomic_store_n(word, rnd, __ATOMIC_RELAXED);
            if (!cpu->fast[page]) {
                dirty_log_mark(s->log, s->block, page * TARGET_PAGE_SIZE, 1);
                cpu->fast[page] = true;
            }
        }
    }
    __atomic_store_n(&cpu->running, false, __ATOMIC_SEQ_CST);
    return NULL;
}

static void copy_dirty(Stress *s, uint64_t *bitmap, uint8_t *copy)
{
    for (unsigned page = 0; page < PAGES; page++) {
        if (bit(bitmap, page)) {
            uint64_t *from = (uint64_t *)(s->block->host + page * TARGET_PAGE_SIZE);
            uint64_t *to = (uint64_t *)(copy + page * TARGET_PAGE_SIZE);
            for (int i = 0; i < 512; i++) {
                to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
            }
        }
    }
    memset(bitmap, 0, PAGES / 8);
}

/* Returns true if the copy equals memory at the end. */
static bool stress_run(bool break_rule)
{
    RAMList *ram = ram_list_new();
    Stress *s = g_new0(Stress, 1);
    uint64_t bitmap[PAGES / 64] = { 0 };
    uint64_t *bitmaps[] = { bitmap };
    g_autofree uint8_t *copy = g_malloc0(PAGES * TARGET_PAGE_SIZE);
    GThread *threads[WRITERS];

    s->block = ram_list_add(ram, "ram", PAGES * TARGET_PAGE_SIZE, NULL, NULL);
    s->log = dirty_log_new(ram, stress_barrier, s);
    s->break_rule = break_rule;
    dirty_log_start(s->log);
    for (unsigned i = 0; i < WRITERS; i++) {
        s->cpus[i] = (FakeVcpu){ .stress = s, .id = i, .running = true, .epoch_seen = s->epoch };
        threads[i] = g_thread_new("fake-vcpu", vcpu_loop, &s->cpus[i]);
    }
    for (int pass = 0; pass < 200; pass++) {
        dirty_log_sync(s->log, bitmaps);
        copy_dirty(s, bitmap, copy);
    }
    __atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WRITERS; i++) {
        g_thread_join(threads[i]);
    }
    dirty_log_sync(s->log, bitmaps);
    copy_dirty(s, bitmap, copy);
    bool equal = memcmp(copy, s->block->host, PAGES * TARGET_PAGE_SIZE) == 0;
    dirty_log_stop(s->log);
    dirty_log_free(s->log);
    ram_list_free(ram);
    g_free(s);
    return equal;
}

static void test_two_writers(void)
{
    g_assert_true(stress_run(false));
}

static void test_stress_can_fail(void)
{
    g_assert_false(stress_run(true));
}

static void test_64_gib_is_quick(void)
{
    Fixture f;

    fixture_init(&f, 16 << 20, 1);
    dirty_log_start(f.log);
    for (uint64_t i = 0; i < 1000; i++) {
        dirty_log_mark(f.log, f.a, i * 60 * TARGET_PAGE_SIZE * 256, 1);
    }
    g_assert_cmpuint(dirty_log_sync(f.log, f.bitmaps), ==, 1000);
    gint64 start = g_get_monotonic_time();
    for (int i = 0; i < 10; i++) {
        dirty_log_sync(f.log, f.bitmaps);
    }
    gint64 us = (g_get_monotonic_time() - start) / 10;
    g_test_message("sync of 64 GiB, nothing dirty: %" G_GINT64_FORMAT " us", us);
    g_assert_cmpint(us, <, 20000);
    dirty_log_stop(f.log);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-log/bits", test_bits);
    g_test_add_func("/dirty-log/two-writers", test_two_writers);
    g_test_add_func("/dirty-log/stress-can-fail", test_stress_can_fail);
    g_test_add_func("/dirty-log/64-gib", test_64_gib_is_quick);
    return g_test_run();
}
