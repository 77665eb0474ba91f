/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry-system-riscv64 whose guest memory can be taken away while the guest runs, and comes back late,
 * page by page and in any order: for test-late-memory.py. It listens at the UNIX socket that
 * FERRYTEST_LATE names for lines, and answers each with one:
 *
 *   take [ENGINE]      all pages of all RAM are missing from now on; what they hold is kept here
 *   give SEED DELAY    comes back: what is asked for, in any order, each DELAY us late; all the rest
 *                      in between
 *   state              "missing N vcpu N device N monitor N loader N waited N": pages not here, pages
 *                      asked for by whom, how often somebody went on
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "migration/migration.h"
#include "softmmu/guest-ram.h"
#include "softmmu/machine.h"
#include "softmmu/present-engine.h"
#include "softmmu/runstate.h"
#include "softmmu/vl.h"

typedef struct Page {
    size_t block;
    uint64_t page;
} Page;

typedef struct Late {
    Machine *machine;
    GThread *control, *giver;
    int listener, client;
    const PresentEngineOps *engine;
    uint8_t **content;      /* of each block */
    GMutex lock;
    /* protected by lock */
    GArray *wanted;         /* Page */
    uint64_t asked[4];      /* by vCPUs, devices, monitors, loader */
    uint64_t waited;
    bool quit;
    /* the giver's */
    GRand *rand;
    unsigned delay_us;
} Late;

static Late late = { .listener = -1, .client = -1 };

Migration *__real_migration_new(Machine *machine);
Migration *__wrap_migration_new(Machine *machine);
void __real_migration_free(Migration *m);
void __wrap_migration_free(Migration *m);

/* ---- asked ---- */

static void on_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    Page p = { block, page };

    g_mutex_lock(&late.lock);
    g_array_append_val(late.wanted, p);
    late.asked[user >= 0 ? 0 : -user]++;
    g_mutex_unlock(&late.lock);
}

static void on_waited(void *opaque, size_t block, uint64_t page, int user, int64_t us)
{
    g_mutex_lock(&late.lock);
    late.waited++;
    g_mutex_unlock(&late.lock);
}

static const PresentOps ops = { on_wanted, on_waited };

/* ---- taken ---- */

/* Main thread. Its pages hold something else until they come. */
static void take(void *opaque)
{
    Machine *m = late.machine;
    size_t n = ram_list_count(m->ram);
    g_autoptr(GError) err = NULL;

    if (!vm_stop(m->runstate, RUN_STATE_PAUSED, &err) ||
        !present_map_begin(m->present, late.engine, &err)) {
        g_error("%s", err->message);
    }
    late.content = g_new0(uint8_t *, n + 1);
    for (size_t i = 0; i < n; i++) {
        RAMBlock *block = ram_list_get(m->ram, i);

        late.content[i] = g_malloc(block->used_length);
        guest_ram_copy_from(late.content[i], block->host, block->used_length);
        guest_ram_shared_begin();
        memset(block->host, 0xee, block->used_length);
        guest_ram_shared_end();
        present_map_set_missing(m->present, i, 0, ram_block_pages(block));
    }
    cpus_flush_tlb_all(m->cpus);
    if (!present_map_arm(m->present, &ops, NULL, &err) || !vm_start(m->runstate, &err)) {
        g_error("%s", err->message);
    }
}

/* ---- given ---- */

static GArray *all_pages(void)
{
    GArray *pages = g_array_new(FALSE, FALSE, sizeof(Page));

    for (size_t i = 0; i < ram_list_count(late.machine->ram); i++) {
        for (uint64_t p = 0; p < ram_block_pages(ram_list_get(late.machine->ram, i)); p++) {
            g_array_append_val(pages, ((Page){ i, p }));
        }
    }
    for (guint i = pages->len; i > 1; i--) {
        guint k = g_rand_int_range(late.rand, 0, i);
        Page *a = &g_array_index(pages, Page, i - 1), *b = &g_array_index(pages, Page, k), c = *a;
        *a = *b;
        *b = c;
    }
    return pages;
}

static bool take_wanted(Page *page)
{
    g_mutex_lock(&late.lock);
    guint n = late.wanted->len;
    if (n) {
        guint i = g_rand_int_range(late.rand, 0, n);
        *page = g_array_index(late.wanted, Page, i);
        g_array_remove_index_fast(late.wanted, i);
    }
    g_mutex_unlock(&late.lock);
    return n > 0;
}

static bool asked_to_quit(void)
{
    g_mutex_lock(&late.lock);
    bool quit = late.quit;
    g_mutex_unlock(&late.lock);
    return quit;
}

/* Ends when all is here, or with the process. */
static gpointer give(gpointer opaque)
{
    PresentMap *map = late.machine->present;
    g_autoptr(GArray) rest = all_pages();
    guint next = 0;

    while (present_map_missing(map) && !asked_to_quit()) {
        Page p;

        if (take_wanted(&p)) {
            g_usleep(g_rand_int_range(late.rand, 0, (gint32)late.delay_us + 1));
        } else if (next < rest->len) {
            p = g_array_index(rest, Page, next++);
            if (next % 16 == 0) {
                g_usleep(100);
            }
        } else {
            continue;
        }
        present_map_place(map, p.block, p.page, late.content[p.block] + p.page * TARGET_PAGE_SIZE);
    }
    if (!asked_to_quit()) {
        present_map_end(map);
    }
    return NULL;
}

static void forget(void)
{
    if (late.giver) {
        g_thread_join(late.giver);
        g_rand_free(late.rand);
        late.giver = NULL;
    }
    for (size_t i = 0; late.content && i < ram_list_count(late.machine->ram); i++) {
        g_free(late.content[i]);
    }
    g_clear_pointer(&late.content, g_free);
}

/* ---- the socket ---- */

static void run_line(const char *line, GString *answer)
{
    unsigned seed, delay;

    g_string_assign(answer, "ok\n");
    if (g_str_has_prefix(line, "take")) {
        forget();
        late.engine = strstr(line, "userfaultfd") ? &present_engine_userfaultfd : NULL;
        main_loop_call(late.machine->loop, take, NULL);
    } else if (sscanf(line, "give %u %u", &seed, &delay) == 2) {
        late.rand = g_rand_new_with_seed(seed);
        late.delay_us = delay;
        late.giver = g_thread_new("give", give, NULL);
    } else {
        g_mutex_lock(&late.lock);
        g_string_printf(answer, "missing %" G_GUINT64_FORMAT " vcpu %" G_GUINT64_FORMAT " device %"
                        G_GUINT64_FORMAT " monitor %" G_GUINT64_FORMAT " loader %" G_GUINT64_FORMAT
                        " waited %" G_GUINT64_FORMAT "\n",
                        present_map_missing(late.machine->present), late.asked[0], late.asked[1],
                        late.asked[2], late.asked[3], late.waited);
        g_mutex_unlock(&late.lock);
    }
}

/* One client. Ends when it is gone. */
static gpointer control(gpointer opaque)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    char line[100];

    late.client = accept(late.listener, NULL, NULL);
    FILE *f = late.client >= 0 ? fdopen(late.client, "r") : NULL;
    while (f && fgets(line, sizeof(line), f)) {
        run_line(line, answer);
        if (send(late.client, answer->str, answer->len, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return NULL;
}

Migration *__wrap_migration_new(Machine *machine)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    late.machine = machine;
    late.wanted = g_array_new(FALSE, FALSE, sizeof(Page));
    g_strlcpy(at.sun_path, g_getenv("FERRYTEST_LATE"), sizeof(at.sun_path));
    late.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(late.listener, (struct sockaddr *)&at, sizeof(at)), ==, 0);
    g_assert_cmpint(listen(late.listener, 1), ==, 0);
    late.control = g_thread_new("control", control, NULL);
    return __real_migration_new(machine);
}

/* The process ends: before anything else of the machine goes. */
void __wrap_migration_free(Migration *m)
{
    g_mutex_lock(&late.lock);
    late.quit = true;
    g_mutex_unlock(&late.lock);
    shutdown(late.listener, SHUT_RDWR);
    if (late.client >= 0) {
        shutdown(late.client, SHUT_RDWR);
    }
    g_thread_join(late.control);
    forget();
    close(late.listener);
    g_array_unref(late.wanted);
    __real_migration_free(m);
}

int main(int argc, char **argv)
{
    return ferry_main(argc, argv);
}
