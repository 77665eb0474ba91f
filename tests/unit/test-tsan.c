/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only in builds with ThreadSanitizer: that it sees what it has to see. Each
 * case runs in a process of its own: a race must be reported, and the same
 * thing done right must not (util/tsan-glib.c, softmmu/guest-ram.h).
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "softmmu/guest-ram.h"

typedef struct Shared {
    GMutex lock;
    GCond cond;
    GMainContext *context;
    GPtrArray *array;
    GHashTable *table;
    bool right;         /* the thing is done as it should be */
    bool ready;
    int value;
    uint64_t ram[512];
} Shared;

static void both(Shared *s, GThreadFunc there, GThreadFunc here)
{
    GThread *thread = g_thread_new("there", there, s);

    here(s);
    g_thread_join(thread);
}

static void *add_one(void *opaque)
{
    Shared *s = opaque;

    for (int i = 0; i < 1000; i++) {
        if (s->right) {
            g_mutex_lock(&s->lock);
        }
        s->value++;
        if (s->right) {
            g_mutex_unlock(&s->lock);
        }
    }
    return NULL;
}

/* Long enough for the other thread to come by: TSan forgets what a thread did that has ended. */
static void touch_for_a_while(Shared *s)
{
    for (int i = 0; i < 100 && !s->right; i++) {
        s->value = i;
        g_usleep(1000);
    }
}

static void *cond_tell(void *opaque)
{
    Shared *s = opaque;

    s->value = 1;
    g_mutex_lock(&s->lock);
    s->ready = true;
    g_cond_signal(&s->cond);
    g_mutex_unlock(&s->lock);
    touch_for_a_while(s);
    return NULL;
}

static void *cond_hear(void *opaque)
{
    Shared *s = opaque;

    g_mutex_lock(&s->lock);
    while (!s->ready) {
        g_cond_wait(&s->cond, &s->lock);
    }
    g_mutex_unlock(&s->lock);
    s->value++;
    return NULL;
}

static gboolean source_run(gpointer opaque)
{
    Shared *s = opaque;

    s->value++;
    s->ready = true;
    return G_SOURCE_REMOVE;
}

static void *source_make(void *opaque)
{
    Shared *s = opaque;
    GSource *source = g_idle_source_new();

    s->value = 1;
    g_source_set_callback(source, source_run, s, NULL);
    g_source_attach(source, s->context);
    touch_for_a_while(s);
    g_source_unref(source);
    return NULL;
}

static void *source_turn(void *opaque)
{
    Shared *s = opaque;

    while (!s->ready) {
        g_main_context_iteration(s->context, TRUE);
    }
    return NULL;
}

static void *contain(void *opaque)
{
    Shared *s = opaque;

    for (int i = 0; i < 100; i++) {
        if (s->right) {
            g_mutex_lock(&s->lock);
        }
        g_ptr_array_add(s->array, s);
        if (s->right) {
            g_mutex_unlock(&s->lock);
        }
    }
    return NULL;
}

static void *look(void *opaque)
{
    Shared *s = opaque;

    for (int i = 0; i < 100; i++) {
        if (s->right) {
            g_mutex_lock(&s->lock);
        }
        g_hash_table_lookup(s->table, s);
        if (s->right) {
            g_mutex_unlock(&s->lock);
        }
    }
    return NULL;
}

static void *change(void *opaque)
{
    Shared *s = opaque;

    for (int i = 0; i < 100; i++) {
        if (s->right) {
            g_mutex_lock(&s->lock);
        }
        g_hash_table_add(s->table, s);
        if (s->right) {
            g_mutex_unlock(&s->lock);
        }
    }
    return NULL;
}

static void *ram_write(void *opaque)
{
    Shared *s = opaque;

    for (int i = 0; i < 20000; i++) {
        guest_ram_store(&s->ram[i % 512], i);
    }
    return NULL;
}

static void *ram_read(void *opaque)
{
    Shared *s = opaque;
    uint64_t copy[512];

    for (int i = 0; i < 100; i++) {
        if (s->right) {
            guest_ram_copy_from(copy, s->ram, sizeof(copy));
        } else {
            memcpy(copy, s->ram, sizeof(copy));
        }
        s->value += copy[i] & 1;
    }
    return NULL;
}

static const struct {
    const char *name;
    GThreadFunc there, here;
} cases[] = {
    { "mutex", add_one, add_one },       { "cond", cond_tell, cond_hear },
    { "source", source_make, source_turn }, { "array", contain, contain },
    { "table", change, look },           { "guest-ram", ram_write, ram_read },
};

static void run_case(gconstpointer data)
{
    unsigned n = GPOINTER_TO_UINT(data);
    g_autofree Shared *s = g_new0(Shared, 1);

    s->right = n % 2;
    s->context = g_main_context_new();
    s->array = g_ptr_array_new();
    s->table = g_hash_table_new(NULL, NULL);
    both(s, cases[n / 2].there, cases[n / 2].here);
    g_hash_table_destroy(s->table);
    g_ptr_array_free(s->array, TRUE);
    g_main_context_unref(s->context);
}

static char *path_of(unsigned n)
{
    return g_strdup_printf("/tsan/subprocess/%s/%s", cases[n / 2].name, n % 2 ? "right" : "race");
}

static void test_case(gconstpointer data)
{
    unsigned n = GPOINTER_TO_UINT(data) * 2;
    g_autofree char *race = path_of(n), *right = path_of(n + 1);

    /* Two accesses in the same instant may go unseen: a race is found, but not every time. */
    for (int i = 0; i == 0 || (g_test_trap_has_passed() && i < 5); i++) {
        g_test_trap_subprocess(race, 0, 0);
    }
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*WARNING: ThreadSanitizer: data race*");
    g_test_trap_subprocess(right, 0, 0);
    g_test_trap_assert_stderr_unmatched("*ThreadSanitizer*");
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/tsan/%s", cases[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_case);
        for (unsigned n = 2 * i; n < 2 * i + 2; n++) {
            g_autofree char *child = path_of(n);
            g_test_add_data_func(child, GUINT_TO_POINTER(n), run_case);
        }
    }
    return g_test_run();
}
