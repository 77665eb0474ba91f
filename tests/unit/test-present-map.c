/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu/present-map: bits and counts, each page asked for once, who waits is
 * woken with the content in place, of two that place a page one wins, the end
 * wakes all; and everything at once from several threads. With both engines.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "softmmu/guest-ram.h"
#include "softmmu/present-engine.h"
#include "util/error.h"

#define PAGES_A 200
#define PAGES_B 70

typedef struct Fixture {
    RAMList *ram;
    PresentMap *map;
    RAMBlock *a, *b;
    GMutex lock;
    GCond cond;
    /* protected by lock */
    int wanted[2][PAGES_A];     /* how often each page was asked for */
    int last_user;
    int waited, woken;
} Fixture;

static void on_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    Fixture *f = opaque;

    g_mutex_lock(&f->lock);
    f->wanted[block][page]++;
    f->last_user = user;
    g_cond_broadcast(&f->cond);
    g_mutex_unlock(&f->lock);
}

static void on_waited(void *opaque, size_t block, uint64_t page, int user, int64_t us)
{
    Fixture *f = opaque;

    g_assert_cmpint(us, >=, 0);
    g_mutex_lock(&f->lock);
    f->waited++;
    g_mutex_unlock(&f->lock);
}

static const PresentOps ops = { .wanted = on_wanted, .waited = on_waited };

static void on_woken(void *opaque)
{
    Fixture *f = opaque;

    g_mutex_lock(&f->lock);
    f->woken++;
    g_cond_broadcast(&f->cond);
    g_mutex_unlock(&f->lock);
}

static void fixture_init(Fixture *f)
{
    memset(f, 0, sizeof(*f));
    g_mutex_init(&f->lock);
    g_cond_init(&f->cond);
    f->ram = ram_list_new();
    f->a = ram_list_add(f->ram, "a", PAGES_A * TARGET_PAGE_SIZE, NULL, NULL);
    f->b = ram_list_add(f->ram, "b", PAGES_B * TARGET_PAGE_SIZE, NULL, NULL);
    f->map = present_map_new(f->ram);
}

static void fixture_clear(Fixture *f)
{
    present_map_free(f->map);
    ram_list_free(f->ram);
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->cond);
}

static void begin(Fixture *f)
{
    GError *err = NULL;

    g_assert_true(present_map_begin(f->map, NULL, &err));
    g_assert_no_error(err);
}

/* Who may use userfaultfd is a matter of the kernel's settings and of containers. False: skipped. */
static bool begin_with(Fixture *f, const PresentEngineOps *engine)
{
    g_autoptr(GError) err = NULL;

    if (present_map_begin(f->map, engine, &err)) {
        return true;
    }
    g_assert_true(engine == &present_engine_userfaultfd);
    g_assert_nonnull(strstr(err->message, "x-postcopy-engine=software"));
    g_test_skip(err->message);
    return false;
}

static void test_off(void)
{
    Fixture f;
    GError *err = NULL;
    uint64_t bits[(PAGES_A + 63) / 64];

    fixture_init(&f);
    g_assert_false(present_map_active(f.map));
    g_assert_false(present_map_active(NULL));
    g_assert_true(present_map_here(f.map, f.a, 3));
    g_assert_true(present_map_need(f.map, f.a, 0, PAGES_A * TARGET_PAGE_SIZE, 0, NULL));
    present_map_copy_bits(f.map, 0, bits);
    g_assert_cmphex(bits[0], ==, ~0ULL);
    g_assert_cmphex(bits[3], ==, 0xff);
    present_map_end(f.map);     /* never begun: nothing */
    begin(&f);
    g_assert_false(present_map_begin(f.map, NULL, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
    present_map_set_missing(f.map, 0, 3, 1);
    g_assert_true(present_map_here(f.map, f.a, 3));     /* not armed */
    g_assert_false(present_map_active(f.map));
    fixture_clear(&f);
}

static void test_bits(void)
{
    Fixture f;
    uint64_t bits[(PAGES_A + 63) / 64], missing = 0;

    fixture_init(&f);
    begin(&f);
    present_map_set_missing(f.map, 0, 62, 130);     /* over three words */
    present_map_set_missing(f.map, 0, 60, 4);       /* two of them again */
    present_map_set_missing(f.map, 1, PAGES_B - 1, 1);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    g_assert_true(present_map_active(f.map));
    g_assert_cmpuint(present_map_missing(f.map), ==, 130 + 2 + 1);
    present_map_copy_bits(f.map, 0, bits);
    for (uint64_t i = 0; i < PAGES_A; i++) {
        bool here = i < 60 || i >= 192;
        g_assert_cmpint(present_map_here(f.map, f.a, i), ==, here);
        g_assert_cmpint(bits[i / 64] >> (i % 64) & 1, ==, here);
    }
    g_assert_cmphex(bits[3], ==, 0xff);             /* nothing behind the last page */

    /* asked for once, each of a range, the first one told; looking does not ask */
    g_assert_true(present_map_need(f.map, f.a, 0, 60 * TARGET_PAGE_SIZE, 1, &missing));
    g_assert_false(present_map_need(f.map, f.a, 60 * TARGET_PAGE_SIZE - 1, 2, 1, &missing));
    g_assert_cmpuint(missing, ==, 60);
    g_assert_false(present_map_need(f.map, f.a, 59 * TARGET_PAGE_SIZE, 3 * TARGET_PAGE_SIZE,
                                    PRESENT_USER_MONITOR, NULL));
    g_assert_cmpint(f.last_user, ==, PRESENT_USER_MONITOR);
    g_assert_cmpint(f.wanted[0][59], ==, 0);
    g_assert_cmpint(f.wanted[0][60], ==, 1);
    g_assert_cmpint(f.wanted[0][61], ==, 1);
    g_assert_cmpint(f.wanted[0][62], ==, 0);
    present_map_end(f.map);
    g_assert_true(present_map_here(f.map, f.a, 60));
    g_assert_cmpuint(present_map_missing(f.map), ==, 0);

    /* a second use knows nothing of the first one's questions */
    begin(&f);
    present_map_set_missing(f.map, 0, 60, 1);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    g_assert_false(present_map_need(f.map, f.a, 60 * TARGET_PAGE_SIZE, 1, 0, NULL));
    g_assert_cmpint(f.wanted[0][60], ==, 2);
    fixture_clear(&f);
}

/* A guest with much memory and little in it costs little. */
static void expect_run(const RAMBlock *b, uint64_t from, uint64_t max, uint64_t first, uint64_t count)
{
    uint64_t at;

    g_assert_cmpuint(present_map_missing_run(b, from, max, &at), ==, count);
    g_assert_cmpuint(at, ==, first);
}

static void test_runs(void)
{
    Fixture f;

    fixture_init(&f);
    expect_run(f.a, 0, 8, PAGES_A, 0);      /* never begun */
    begin(&f);
    expect_run(f.a, 0, 8, PAGES_A, 0);
    present_map_set_missing(f.map, 0, 60, 10);
    present_map_set_missing(f.map, 0, PAGES_A - 1, 1);
    expect_run(f.a, 0, 64, 60, 10);
    expect_run(f.a, 0, 10, 60, 10);
    expect_run(f.a, 0, 7, 60, 7);           /* over the edge of a word, and not */
    expect_run(f.a, 0, 3, 60, 3);
    expect_run(f.a, 63, 64, 63, 7);
    expect_run(f.a, 69, 64, 69, 1);
    expect_run(f.a, 70, 64, PAGES_A - 1, 1);
    expect_run(f.a, PAGES_A, 64, PAGES_A, 0);
    present_map_place(f.map, 0, 62, NULL);
    expect_run(f.a, 0, 64, 60, 2);
    expect_run(f.a, 62, 64, 63, 7);
    /* what was needed, here or not */
    uint64_t at;
    g_assert_cmpuint(present_map_needed_run(f.a, 0, 64, &at), ==, 0);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    present_map_need(f.map, f.a, 61 * TARGET_PAGE_SIZE, 3 * TARGET_PAGE_SIZE, 0, NULL);
    present_map_need(f.map, f.a, 5 * TARGET_PAGE_SIZE + 1, 1, 0, NULL);
    g_assert_cmpuint(present_map_needed_run(f.a, 0, 64, &at), ==, 1);
    g_assert_cmpuint(at, ==, 5);
    g_assert_cmpuint(present_map_needed_run(f.a, 6, 64, &at), ==, 3);
    g_assert_cmpuint(at, ==, 61);
    fixture_clear(&f);
}

static void test_zero_pages(void)
{
    static const uint8_t zeros[TARGET_PAGE_SIZE];
    Fixture f;

    fixture_init(&f);
    guest_ram_copy_to(f.a->host + 7 * TARGET_PAGE_SIZE, "old", 3);
    g_assert_true(present_map_begin(f.map, NULL, NULL));
    present_map_set_missing(f.map, 0, 0, PAGES_A);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    for (uint64_t page = 0; page < PAGES_A; page++) {
        g_assert_true(present_map_place(f.map, 0, page, NULL));
    }
    g_assert_cmpuint(present_map_missing(f.map), ==, 0);
    g_assert_cmpint(lseek(f.a->fd, 0, SEEK_DATA), ==, 7 * TARGET_PAGE_SIZE);
    g_assert_cmpint(lseek(f.a->fd, 8 * TARGET_PAGE_SIZE, SEEK_DATA), ==, -1);
    g_assert_cmpmem(f.a->host + 7 * TARGET_PAGE_SIZE, TARGET_PAGE_SIZE, zeros, TARGET_PAGE_SIZE);
    present_map_end(f.map);
    fixture_clear(&f);
}

static void test_place(void)
{
    Fixture f;
    g_autofree uint8_t *page = g_malloc(TARGET_PAGE_SIZE);

    fixture_init(&f);
    begin(&f);
    present_map_set_missing(f.map, 1, 0, 2);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    memset(f.b->host, 0x77, 3 * TARGET_PAGE_SIZE);
    memset(page, 0x11, TARGET_PAGE_SIZE);
    g_assert_true(present_map_place(f.map, 1, 0, page));
    g_assert_cmpint(f.b->host[0], ==, 0x11);
    g_assert_cmpint(f.b->host[TARGET_PAGE_SIZE - 1], ==, 0x11);
    g_assert_true(present_map_place(f.map, 1, 1, NULL));
    g_assert_cmpint(f.b->host[TARGET_PAGE_SIZE], ==, 0);
    g_assert_cmpint(f.b->host[2 * TARGET_PAGE_SIZE - 1], ==, 0);
    g_assert_cmpint(f.b->host[2 * TARGET_PAGE_SIZE], ==, 0x77);

    /* what the guest has written since stays */
    f.b->host[0] = 0x22;
    g_assert_false(present_map_place(f.map, 1, 0, page));
    g_assert_false(present_map_place(f.map, 1, 2, page));
    g_assert_cmpint(f.b->host[0], ==, 0x22);
    g_assert_cmpint(f.b->host[2 * TARGET_PAGE_SIZE], ==, 0x77);
    g_assert_cmpuint(present_map_missing(f.map), ==, 0);
    fixture_clear(&f);
}

/* A loader does not wait: whole pages are here at once, parts when the rest comes. */
static void test_overwrite(void)
{
    Fixture f;
    g_autofree uint8_t *page = g_malloc(TARGET_PAGE_SIZE);

    fixture_init(&f);
    g_assert_false(present_map_overwrite(f.map, f.a, 0, "x", 1));
    begin(&f);
    present_map_set_missing(f.map, 0, 0, 4);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    memset(f.a->host, 0x77, 5 * TARGET_PAGE_SIZE);
    memset(page, 0x11, TARGET_PAGE_SIZE);
    g_assert_false(present_map_overwrite(f.map, f.a, 4 * TARGET_PAGE_SIZE, "x", 1));
    g_assert_true(present_map_overwrite(f.map, f.a, 100, "old", 3));
    g_assert_true(present_map_overwrite(f.map, f.a, 100, "new", 3));
    g_assert_true(present_map_overwrite(f.map, f.a, 200, "other", 5));
    g_assert_true(present_map_overwrite(f.map, f.a, TARGET_PAGE_SIZE + 4, "gone", 4));
    g_assert_true(present_map_overwrite(f.map, f.a, TARGET_PAGE_SIZE, page, TARGET_PAGE_SIZE));
    g_assert_true(present_map_overwrite(f.map, f.a, 3 * TARGET_PAGE_SIZE, "end", 3));
    g_assert_cmpint(f.a->host[100], ==, 0x77);      /* nothing yet */
    g_assert_false(present_map_here(f.map, f.a, 0));
    g_assert_true(present_map_here(f.map, f.a, 1));
    g_assert_cmpint(f.a->host[TARGET_PAGE_SIZE + 4], ==, 0x11);
    g_assert_false(present_map_place(f.map, 0, 1, NULL));

    g_assert_true(present_map_place(f.map, 0, 0, page));
    g_assert_cmpmem(f.a->host + 99, 5, "\x11new\x11", 5);
    g_assert_cmpmem(f.a->host + 199, 7, "\x11other\x11", 7);
    g_assert_true(present_map_place(f.map, 0, 2, page));
    g_assert_cmpmem(f.a->host + 2 * TARGET_PAGE_SIZE + 100, 3, "\x11\x11\x11", 3);
    present_map_end(f.map);
    g_assert_cmpmem(f.a->host + 3 * TARGET_PAGE_SIZE, 4, "end\x77", 4);
    fixture_clear(&f);
}

static PresentWaiter waiter(Fixture *f, int user)
{
    return (PresentWaiter){ .woken = on_woken, .opaque = f, .user = user };
}

static void test_wait(gconstpointer engine)
{
    Fixture f;

    fixture_init(&f);
    if (!begin_with(&f, engine)) {
        fixture_clear(&f);
        return;
    }
    present_map_set_missing(f.map, 0, 0, PAGES_A);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    PresentWaiter w[] = { waiter(&f, 0), waiter(&f, 1), waiter(&f, PRESENT_USER_DEVICE) };

    g_assert_true(present_map_wait(f.map, &w[0], f.a, 5));
    g_assert_true(present_map_wait(f.map, &w[1], f.a, 5));
    g_assert_true(present_map_wait(f.map, &w[2], f.a, 5 + 64));     /* the same bucket */
    g_assert_cmpint(f.wanted[0][5], ==, 1);
    g_assert_true(present_map_place(f.map, 0, 6, NULL));
    g_assert_cmpint(f.woken, ==, 0);
    g_assert_true(present_map_place(f.map, 0, 5, NULL));
    g_assert_cmpint(f.woken, ==, 2);
    g_assert_cmpint(f.waited, ==, 2);
    g_assert_false(present_map_wait(f.map, &w[0], f.a, 5));         /* is here */
    present_map_forget(f.map, &w[0]);                               /* not waiting: nothing */

    /* forgotten: not woken, but still asked for */
    present_map_forget(f.map, &w[2]);
    g_assert_true(present_map_place(f.map, 0, 5 + 64, NULL));
    g_assert_cmpint(f.woken, ==, 2);

    g_assert_true(present_map_wait(f.map, &w[0], f.a, 7));
    g_assert_true(present_map_wait(f.map, &w[1], f.a, 8));
    present_map_end(f.map);
    g_assert_cmpint(f.woken, ==, 4);
    g_assert_false(present_map_wait(f.map, &w[0], f.a, 9));
    fixture_clear(&f);
}

static void note_asked(void *opaque, size_t block, uint64_t page)
{
    g_string_append_printf(opaque, "%zu:%d ", block, (int)page);
}

static void test_each_asked(void)
{
    Fixture f;
    g_autoptr(GString) seen = g_string_new(NULL);

    fixture_init(&f);
    begin(&f);
    present_map_set_missing(f.map, 0, 0, PAGES_A);
    present_map_set_missing(f.map, 1, 0, PAGES_B);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    present_map_need(f.map, f.a, 70 * TARGET_PAGE_SIZE, 2 * TARGET_PAGE_SIZE, 0, NULL);
    present_map_need(f.map, f.b, 69 * TARGET_PAGE_SIZE, 1, 0, NULL);
    present_map_place(f.map, 0, 71, NULL);
    present_map_each_asked(f.map, note_asked, seen);
    g_assert_cmpstr(seen->str, ==, "0:70 1:69 ");
    fixture_clear(&f);
}

/* ---- many threads ---- */

#define STRESS_PAGES PAGES_A
#define STRESS_ROUNDS 20

typedef struct Stress {
    Fixture *f;
    unsigned seed;
    int placed;         /* out */
    GMutex lock;
    GCond cond;
    bool woken;
} Stress;

static uint8_t pattern(uint64_t page)
{
    return 1 + page % 250;
}

static gpointer place_all(gpointer opaque)
{
    Stress *s = opaque;
    uint8_t page[TARGET_PAGE_SIZE];

    for (uint64_t i = 0; i < STRESS_PAGES; i++) {
        uint64_t n = (i * 37 + s->seed * 61) % STRESS_PAGES;    /* 37 and 200 have no common factor */
        memset(page, pattern(n), sizeof(page));
        s->placed += present_map_place(s->f->map, 0, n, page);
    }
    return NULL;
}

static void stress_woken(void *opaque)
{
    Stress *s = opaque;

    g_mutex_lock(&s->lock);
    s->woken = true;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->lock);
}

/* Reads every page as soon as it is here, as a vCPU would; now and then changes its mind. */
static gpointer read_all(gpointer opaque)
{
    Stress *s = opaque;
    PresentWaiter w = { .woken = stress_woken, .opaque = s };
    RAMBlock *block = s->f->a;

    for (uint64_t i = 0; i < STRESS_PAGES; i++) {
        uint64_t n = (i * 7 + s->seed) % STRESS_PAGES;
        g_mutex_lock(&s->lock);
        s->woken = false;
        g_mutex_unlock(&s->lock);
        if (present_map_wait(s->f->map, &w, block, n)) {
            if (i % 5 == 0) {
                present_map_forget(s->f->map, &w);
                continue;
            }
            g_mutex_lock(&s->lock);
            while (!s->woken) {
                g_cond_wait(&s->cond, &s->lock);
            }
            g_mutex_unlock(&s->lock);
        }
        g_assert_true(present_map_here(s->f->map, block, n));
        const uint8_t *host = block->host + n * TARGET_PAGE_SIZE;
        g_assert_cmpint(guest_ram_load(host), ==, pattern(n));
        g_assert_cmpint(guest_ram_load(host + TARGET_PAGE_SIZE - 1), ==, pattern(n));
    }
    present_map_forget(s->f->map, &w);
    return NULL;
}

static void test_threads(gconstpointer engine)
{
    Fixture f;

    fixture_init(&f);
    for (int round = 0; round < STRESS_ROUNDS; round++) {
        Stress s[5];
        GThread *threads[5];

        memset(f.wanted, 0, sizeof(f.wanted));
        if (!begin_with(&f, engine)) {
            break;
        }
        present_map_set_missing(f.map, 0, 0, STRESS_PAGES);
        g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
        for (unsigned i = 0; i < 5; i++) {
            s[i] = (Stress){ .f = &f, .seed = i + (unsigned)round };
            g_mutex_init(&s[i].lock);
            g_cond_init(&s[i].cond);
            threads[i] = g_thread_new("stress", i < 2 ? place_all : read_all, &s[i]);
        }
        for (unsigned i = 0; i < 5; i++) {
            g_thread_join(threads[i]);
            g_mutex_clear(&s[i].lock);
            g_cond_clear(&s[i].cond);
        }
        g_assert_cmpint(s[0].placed + s[1].placed, ==, STRESS_PAGES);
        g_assert_cmpuint(present_map_missing(f.map), ==, 0);
        for (unsigned i = 0; i < STRESS_PAGES; i++) {
            g_assert_cmpint(f.wanted[0][i], <=, 1);
        }
        present_map_end(f.map);
    }
    fixture_clear(&f);
}

/* The end comes while pages are placed and waited for. */
static void test_end_meanwhile(gconstpointer engine)
{
    Fixture f;

    fixture_init(&f);
    for (int round = 0; round < STRESS_ROUNDS; round++) {
        Stress place = { .f = &f, .seed = (unsigned)round };
        PresentWaiter w = waiter(&f, 0);

        if (!begin_with(&f, engine)) {
            break;
        }
        present_map_set_missing(f.map, 0, 0, STRESS_PAGES);
        present_map_set_missing(f.map, 1, 0, 1);
        g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
        f.woken = 0;
        g_assert_true(present_map_wait(f.map, &w, f.b, 0));     /* nobody places this one */
        GThread *placer = g_thread_new("place", place_all, &place);
        if (round % 2) {
            g_thread_yield();
        }
        present_map_end(f.map);
        g_assert_cmpint(f.woken, ==, 1);
        g_assert_cmpuint(present_map_missing(f.map), ==, 0);
        g_thread_join(placer);
        g_assert_cmpuint(present_map_missing(f.map), ==, 0);
    }
    fixture_clear(&f);
}

/* ---- userfaultfd: who touches memory without asking ---- */

typedef struct Toucher {
    const uint8_t *at;
    uint8_t value;
} Toucher;

static gpointer touch(gpointer opaque)
{
    Toucher *t = opaque;

    t->value = guest_ram_load(t->at);
    return NULL;
}

static void wait_wanted(Fixture *f, uint64_t page)
{
    gint64 until = g_get_monotonic_time() + 30 * G_TIME_SPAN_SECOND;

    g_mutex_lock(&f->lock);
    while (!f->wanted[0][page]) {
        g_assert_true(g_cond_wait_until(&f->cond, &f->lock, until));
    }
    g_mutex_unlock(&f->lock);
}

static void test_touched(void)
{
    Fixture f;
    g_autofree uint8_t *page = g_malloc(TARGET_PAGE_SIZE);

    fixture_init(&f);
    if (!begin_with(&f, &present_engine_userfaultfd)) {
        fixture_clear(&f);
        return;
    }
    Toucher t[] = { { f.a->host + 3 * TARGET_PAGE_SIZE + 9, 0 },
                    { f.a->host + 4 * TARGET_PAGE_SIZE, 0 }, { f.a->host + 6 * TARGET_PAGE_SIZE, 0 } };
    GThread *threads[3];
    memset(f.a->host, 0x77, 8 * TARGET_PAGE_SIZE);     /* loaded as ever, before it is armed */
    present_map_set_missing(f.map, 0, 3, 4);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));

    /* here: what it was, zeros where nobody has been; nobody is asked */
    g_assert_cmpint(guest_ram_load(f.a->host), ==, 0x77);
    g_assert_cmpint(guest_ram_load(f.a->host + 100 * TARGET_PAGE_SIZE), ==, 0);
    guest_ram_store(f.a->host + 101 * TARGET_PAGE_SIZE, 5);
    g_assert_cmpint(guest_ram_load(f.a->host + 101 * TARGET_PAGE_SIZE), ==, 5);

    for (unsigned i = 0; i < 3; i++) {
        threads[i] = g_thread_new("touch", touch, &t[i]);
    }
    wait_wanted(&f, 3);
    wait_wanted(&f, 4);
    wait_wanted(&f, 6);
    memset(page, 0x11, TARGET_PAGE_SIZE);
    g_assert_true(present_map_overwrite(f.map, f.a, 3 * TARGET_PAGE_SIZE + 9, "x", 1));
    g_assert_true(present_map_place(f.map, 0, 3, page));
    g_assert_true(present_map_place(f.map, 0, 4, NULL));
    g_assert_false(present_map_place(f.map, 0, 4, page));
    g_assert_true(present_map_overwrite(f.map, f.a, 5 * TARGET_PAGE_SIZE, page, TARGET_PAGE_SIZE));
    g_thread_join(threads[0]);
    g_thread_join(threads[1]);
    g_assert_cmpint(t[0].value, ==, 'x');
    g_assert_cmpint(t[1].value, ==, 0);
    g_assert_cmpint(f.a->host[3 * TARGET_PAGE_SIZE], ==, 0x11);
    g_assert_cmpint(f.a->host[5 * TARGET_PAGE_SIZE], ==, 0x11);
    for (unsigned i = 0; i < PAGES_A; i++) {
        g_assert_cmpint(f.wanted[0][i], ==, i == 3 || i == 4 || i == 6);
    }
    present_map_end(f.map);     /* who still waits goes on */
    g_thread_join(threads[2]);
    g_assert_cmpint(f.a->host[101 * TARGET_PAGE_SIZE], ==, 5);
    fixture_clear(&f);
}

static void check_unasked(Fixture *f, uint64_t came, uint64_t useful)
{
    uint64_t c, u;

    present_map_unasked(f->map, &c, &u);
    g_assert_cmpuint(c, ==, came);
    g_assert_cmpuint(u, ==, useful);
}

/* Only what came unasked counts, once, and only when the guest uses it while pages are missing. */
static void test_unasked(void)
{
    Fixture f;
    g_autofree uint8_t *page = g_malloc0(TARGET_PAGE_SIZE);

    fixture_init(&f);
    begin(&f);
    present_map_set_missing(f.map, 0, 1, 10);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    g_assert_true(present_map_use(f.map, f.a, 0));      /* was never missing */
    g_assert_false(present_map_use(f.map, f.a, 2));
    g_assert_false(present_map_need(f.map, f.a, TARGET_PAGE_SIZE, 1, 0, NULL));
    for (uint64_t i = 1; i <= 8; i++) {
        g_assert_true(present_map_place(f.map, 0, i, page));
    }
    g_assert_false(present_map_place(f.map, 0, 2, page));   /* twice: not again */
    g_assert_true(present_map_overwrite(f.map, f.a, 9 * TARGET_PAGE_SIZE, page, TARGET_PAGE_SIZE));
    check_unasked(&f, 7, 0);
    g_assert_true(present_map_use(f.map, f.a, 1));      /* was asked for */
    g_assert_true(present_map_use(f.map, f.a, 9));      /* did not come: written here */
    g_assert_true(present_map_here(f.map, f.a, 2));     /* a look is no use */
    g_assert_true(present_map_need(f.map, f.a, 2 * TARGET_PAGE_SIZE, 1, PRESENT_USER_MONITOR, NULL));
    check_unasked(&f, 7, 0);
    g_assert_true(present_map_use(f.map, f.a, 2));
    g_assert_true(present_map_use(f.map, f.a, 2));
    g_assert_true(present_map_need(f.map, f.a, 2 * TARGET_PAGE_SIZE, 2 * TARGET_PAGE_SIZE,
                                   PRESENT_USER_DEVICE, NULL));     /* the second is new */
    check_unasked(&f, 7, 2);
    present_map_end(f.map);
    g_assert_true(present_map_use(f.map, f.a, 4));      /* too late */
    check_unasked(&f, 7, 2);
    begin(&f);
    check_unasked(&f, 0, 0);
    fixture_clear(&f);
}

typedef struct User {
    Fixture *f;
    bool places;
} User;

static gpointer place_or_use(gpointer opaque)
{
    User *u = opaque;
    static const uint8_t page[TARGET_PAGE_SIZE];

    for (uint64_t i = 0; i < PAGES_A; i++) {
        if (u->places) {
            present_map_place(u->f->map, 0, i, page);
        } else {
            while (!present_map_use(u->f->map, u->f->a, i)) {
                g_thread_yield();
            }
        }
    }
    return NULL;
}

/* Two use each page as soon as it is here, two place it: each counts once. */
static void test_unasked_threads(void)
{
    Fixture f;
    User users[4];
    GThread *threads[4];

    fixture_init(&f);
    begin(&f);
    present_map_set_missing(f.map, 0, 0, PAGES_A);
    g_assert_true(present_map_arm(f.map, &ops, &f, NULL));
    for (unsigned i = 0; i < 4; i++) {
        users[i] = (User){ &f, i % 2 };
        threads[i] = g_thread_new("use", place_or_use, &users[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        g_thread_join(threads[i]);
    }
    check_unasked(&f, PAGES_A, PAGES_A);
    fixture_clear(&f);
}

/* Refused at the start, and the map is as if it had not been begun. */
static void test_engine_refused(void)
{
    Fixture f;
    struct rlimit limit, none;
    g_autoptr(GError) err = NULL;

    fixture_init(&f);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    none = limit;
    none.rlim_cur = 0;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    bool ok = present_map_begin(f.map, &present_engine_userfaultfd, &err);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    g_assert_false(ok);
    g_assert_nonnull(strstr(err->message, "use x-postcopy-engine=software"));
    begin(&f);
    fixture_clear(&f);
}

/* Missing memory that cannot be given back (here: it is a device's): nothing is armed. */
static void test_cannot_punch(void)
{
    g_autoptr(GError) err = NULL;
    Fixture f;

    fixture_init(&f);
    if (!begin_with(&f, &present_engine_userfaultfd)) {
        fixture_clear(&f);
        return;
    }
    int file = dup(f.a->fd), device = open("/dev/null", O_RDWR | O_CLOEXEC);
    present_map_set_missing(f.map, 0, 3, 4);
    g_assert_cmpint(dup2(device, f.a->fd), ==, f.a->fd);
    g_assert_false(present_map_arm(f.map, &ops, &f, &err));
    g_assert_true(g_str_has_prefix(err->message, "cannot give back missing memory of RAM block 'a'"));
    g_assert_false(present_map_active(f.map));
    g_assert_cmpint(dup2(file, f.a->fd), ==, f.a->fd);
    close(file);
    close(device);
    present_map_end(f.map);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/present-map/off", test_off);
    g_test_add_func("/present-map/bits", test_bits);
    g_test_add_func("/present-map/place", test_place);
    g_test_add_func("/present-map/zero-pages", test_zero_pages);
    g_test_add_func("/present-map/overwrite", test_overwrite);
    g_test_add_data_func("/present-map/wait", &present_engine_software, test_wait);
    g_test_add_data_func("/present-map/wait/userfaultfd", &present_engine_userfaultfd, test_wait);
    g_test_add_func("/present-map/each-asked", test_each_asked);
    g_test_add_data_func("/present-map/threads", &present_engine_software, test_threads);
    g_test_add_data_func("/present-map/threads/userfaultfd", &present_engine_userfaultfd, test_threads);
    g_test_add_data_func("/present-map/end-meanwhile", &present_engine_software, test_end_meanwhile);
    g_test_add_data_func("/present-map/end-meanwhile/userfaultfd", &present_engine_userfaultfd, test_end_meanwhile);
    g_test_add_func("/present-map/touched", test_touched);
    g_test_add_func("/present-map/unasked", test_unasked);
    g_test_add_func("/present-map/unasked/threads", test_unasked_threads);
    g_test_add_func("/present-map/runs", test_runs);
    g_test_add_func("/present-map/engine-refused", test_engine_refused);
    g_test_add_func("/present-map/cannot-punch", test_cannot_punch);
    return g_test_run();
}
