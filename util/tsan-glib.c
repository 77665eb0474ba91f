/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ThreadSanitizer has to know about GLib, in builds with it only
 * (--enable-tsan). The distribution's GLib is not instrumented, so TSan sees
 * neither its locks (futexes) nor its main context's, nor that it writes to
 * a container. The functions here take the place of GLib's for Ferry's own
 * calls; GLib itself is linked so that it keeps calling its own. Called by
 * everything; never part of a normal build.
 *
 *   GMutex, GCond      are a pthread mutex and condition, which TSan knows
 *   GMainContext       attach, destroy and wake-up come before the next turn
 *   g_once_init        leave comes before enter
 *   containers         a call that changes one writes to it, one that looks reads it
 *
 * Only edges are drawn that GLib's own locks make: an edge too many would
 * hide a race. tests/unit/test-tsan.c shows that races are found and locks
 * are seen; test-tsan-names.py fails when something is called that has to be
 * added here.
 */
#include <dlfcn.h>
#include <glib.h>
#include <pthread.h>
#include <sanitizer/tsan_interface.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* In the runtime, but not in its header. */
void __tsan_read_range(void *at, long size);
void __tsan_write_range(void *at, long size);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
const char *__tsan_default_options(void);

/* TSAN_OPTIONS adds to these. */
const char *__tsan_default_options(void)
{
    return "exitcode=66:second_deadlock_stack=1:history_size=4";
}

/*
 * GLib's slices hand memory from thread to thread in a way that TSan cannot
 * follow. GLib asks the environment before anything of ours runs: so the
 * program starts once more.
 */
static void __attribute__((constructor)) no_slices(int argc, char **argv)
{
    if (!getenv("G_SLICE")) {
        setenv("G_SLICE", "always-malloc", 1);
        execv("/proc/self/exe", argv);
    }
}

/* GLib's function behind ours. */
#define REAL(name) \
    static __typeof__(&name) real; \
    __typeof__(real) call = __atomic_load_n(&real, __ATOMIC_RELAXED); \
    if (!call) { \
        call = (__typeof__(real))dlsym(RTLD_NEXT, #name); \
        __atomic_store_n(&real, call, __ATOMIC_RELAXED); \
    }

/* ---- locks ---- */

/* A GMutex may be all zero and never initialised: the pthread mutex comes with its first use. */
static pthread_mutex_t *mutex_of(GMutex *mutex)
{
    pthread_mutex_t *m = __atomic_load_n((pthread_mutex_t **)&mutex->p, __ATOMIC_ACQUIRE);

    if (!m) {
        pthread_mutex_t *fresh = malloc(sizeof(*fresh));
        pthread_mutex_init(fresh, NULL);
        if (__atomic_compare_exchange_n((pthread_mutex_t **)&mutex->p, &m, fresh, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return fresh;
        }
        pthread_mutex_destroy(fresh);
        free(fresh);
    }
    return m;
}

void g_mutex_init(GMutex *mutex)
{
    mutex->p = NULL;
}

void g_mutex_clear(GMutex *mutex)
{
    pthread_mutex_t *m = mutex->p;

    if (m) {
        pthread_mutex_destroy(m);
        free(m);
        mutex->p = NULL;
    }
}

void g_mutex_lock(GMutex *mutex)
{
    pthread_mutex_lock(mutex_of(mutex));
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    return pthread_mutex_trylock(mutex_of(mutex)) == 0;
}

void g_mutex_unlock(GMutex *mutex)
{
    pthread_mutex_unlock(mutex_of(mutex));
}

static pthread_cond_t *cond_of(GCond *cond)
{
    pthread_cond_t *c = __atomic_load_n((pthread_cond_t **)&cond->p, __ATOMIC_ACQUIRE);

    if (!c) {
        pthread_cond_t *fresh = malloc(sizeof(*fresh));
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(fresh, &attr);
        pthread_condattr_destroy(&attr);
        if (__atomic_compare_exchange_n((pthread_cond_t **)&cond->p, &c, fresh, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return fresh;
        }
        pthread_cond_destroy(fresh);
        free(fresh);
    }
    return c;
}

void g_cond_init(GCond *cond)
{
    cond->p = NULL;
}

void g_cond_clear(GCond *cond)
{
    pthread_cond_t *c = cond->p;

    if (c) {
        pthread_cond_destroy(c);
        free(c);
        cond->p = NULL;
    }
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    pthread_cond_wait(cond_of(cond), mutex_of(mutex));
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    struct timespec until = { end_time / G_USEC_PER_SEC, end_time % G_USEC_PER_SEC * 1000 };

    return pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), &until) == 0;
}

void g_cond_signal(GCond *cond)
{
    pthread_cond_signal(cond_of(cond));
}

void g_cond_broadcast(GCond *cond)
{
    pthread_cond_broadcast(cond_of(cond));
}

/* ---- the main context: its lock is taken by each of these ---- */

guint g_source_attach(GSource *source, GMainContext *context)
{
    REAL(g_source_attach)
    __tsan_release(context);
    /* The list nodes that it makes are the context's, under its lock. Nothing of ours is called. */
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    guint id = call(source, context);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    return id;
}

void g_source_destroy(GSource *source)
{
    REAL(g_source_destroy)
    if (!g_source_is_destroyed(source) && g_source_get_context(source)) {
        __tsan_release(g_source_get_context(source));
    }
    call(source);
}

void g_main_context_wakeup(GMainContext *context)
{
    REAL(g_main_context_wakeup)
    __tsan_release(context);
    call(context);
}

gboolean g_main_context_prepare(GMainContext *context, gint *priority)
{
    REAL(g_main_context_prepare)
    gboolean ready = call(context, priority);
    __tsan_acquire(context);
    return ready;
}

gint g_main_context_query(GMainContext *context, gint max_priority, gint *timeout, GPollFD *fds,
                          gint n_fds)
{
    REAL(g_main_context_query)
    gint n = call(context, max_priority, timeout, fds, n_fds);
    __tsan_write_range(timeout, sizeof(*timeout));
    __tsan_acquire(context);
    return n;
}

gboolean g_main_context_check(GMainContext *context, gint max_priority, GPollFD *fds, gint n_fds)
{
    REAL(g_main_context_check)
    gboolean ready = call(context, max_priority, fds, n_fds);
    __tsan_acquire(context);
    return ready;
}

/* GLib's would call its own functions: the same turn, made of ours. */
gboolean g_main_context_iteration(GMainContext *context, gboolean may_block)
{
    GPollFD stack[64];
    g_autofree GPollFD *heap = NULL;
    GPollFD *fds = stack;
    gint priority, timeout, n, size = G_N_ELEMENTS(stack);
    gboolean ready;

    context = context ? context : g_main_context_default();
    if (!g_main_context_acquire(context)) {
        return FALSE;
    }
    g_main_context_prepare(context, &priority);
    while ((n = g_main_context_query(context, priority, &timeout, fds, size)) > size) {
        g_free(heap);
        fds = heap = g_new(GPollFD, n);
        size = n;
    }
    g_poll(fds, n, may_block ? timeout : 0);
    ready = g_main_context_check(context, priority, fds, n);
    if (ready) {
        g_main_context_dispatch(context);
    }
    g_main_context_release(context);
    return ready;
}

/* ---- once ---- */

#undef g_once_init_enter
#undef g_once_init_leave

gboolean(g_once_init_enter)(volatile void *location)
{
    REAL(g_once_init_enter)
    gboolean first = call(location);
    __tsan_acquire((void *)location);
    return first;
}

void(g_once_init_leave)(volatile void *location, gsize result)
{
    REAL(g_once_init_leave)
    __tsan_release((void *)location);
    call(location, result);
}

/* ---- containers ---- */

/* The members that callers look at themselves; a table has none and is known by its address. */
#define SHOWN(object) \
    _Generic((object), GPtrArray *: sizeof(GPtrArray), GArray *: sizeof(GArray), \
             GByteArray *: sizeof(GByteArray), GQueue *: sizeof(GQueue), \
             GString *: sizeof(GString), GHashTable *: 8)
#define CHANGES(result, name, object, params, ...) \
    result name params \
    { \
        REAL(name) \
        __tsan_write_range((void *)(object), SHOWN(object)); \
        return call(__VA_ARGS__); \
    }
#define LOOKS(result, name, object, params, ...) \
    result name params \
    { \
        REAL(name) \
        __tsan_read_range((void *)(object), SHOWN(object)); \
        return call(__VA_ARGS__); \
    }

CHANGES(void, g_ptr_array_add, a, (GPtrArray *a, gpointer p), a, p)
CHANGES(void, g_ptr_array_insert, a, (GPtrArray *a, gint at, gpointer p), a, at, p)
CHANGES(gboolean, g_ptr_array_remove, a, (GPtrArray *a, gpointer p), a, p)
CHANGES(gpointer, g_ptr_array_remove_index, a, (GPtrArray *a, guint at), a, at)
CHANGES(gpointer, g_ptr_array_steal_index, a, (GPtrArray *a, guint at), a, at)
CHANGES(void, g_ptr_array_set_size, a, (GPtrArray *a, gint size), a, size)
CHANGES(void, g_ptr_array_sort, a, (GPtrArray *a, GCompareFunc f), a, f)
CHANGES(void, g_ptr_array_sort_with_data, a, (GPtrArray *a, GCompareDataFunc f, gpointer p), a, f,
        p)
CHANGES(gpointer *, g_ptr_array_free, a, (GPtrArray *a, gboolean all), a, all)

CHANGES(GArray *, g_array_append_vals, a, (GArray *a, gconstpointer p, guint n), a, p, n)
CHANGES(GArray *, g_array_set_size, a, (GArray *a, guint n), a, n)
CHANGES(void, g_array_sort_with_data, a, (GArray *a, GCompareDataFunc f, gpointer p), a, f, p)
CHANGES(gchar *, g_array_free, a, (GArray *a, gboolean all), a, all)
CHANGES(GByteArray *, g_byte_array_append, a, (GByteArray *a, const guint8 *p, guint n), a, p, n)
CHANGES(GByteArray *, g_byte_array_set_size, a, (GByteArray *a, guint n), a, n)
CHANGES(GByteArray *, g_byte_array_remove_range, a, (GByteArray *a, guint at, guint n), a, at, n)
CHANGES(guint8 *, g_byte_array_free, a, (GByteArray *a, gboolean all), a, all)

CHANGES(gboolean, g_hash_table_insert, t, (GHashTable *t, gpointer k, gpointer v), t, k, v)
CHANGES(gboolean, g_hash_table_replace, t, (GHashTable *t, gpointer k, gpointer v), t, k, v)
CHANGES(gboolean, g_hash_table_add, t, (GHashTable *t, gpointer k), t, k)
CHANGES(gboolean, g_hash_table_remove, t, (GHashTable *t, gconstpointer k), t, k)
CHANGES(gboolean, g_hash_table_steal_extended, t,
        (GHashTable *t, gconstpointer k, gpointer *ok, gpointer *ov), t, k, ok, ov)
CHANGES(void, g_hash_table_destroy, t, (GHashTable *t), t)
LOOKS(gpointer, g_hash_table_lookup, t, (GHashTable *t, gconstpointer k), t, k)
LOOKS(gboolean, g_hash_table_contains, t, (GHashTable *t, gconstpointer k), t, k)
LOOKS(guint, g_hash_table_size, t, (GHashTable *t), t)

CHANGES(void, g_queue_push_tail, q, (GQueue *q, gpointer p), q, p)
CHANGES(gpointer, g_queue_pop_head, q, (GQueue *q), q)
CHANGES(void, g_queue_clear_full, q, (GQueue *q, GDestroyNotify f), q, f)
LOOKS(gboolean, g_queue_is_empty, q, (GQueue *q), q)
LOOKS(guint, g_queue_get_length, q, (GQueue *q), q)

CHANGES(GString *, g_string_append, s, (GString *s, const gchar *t), s, t)
CHANGES(GString *, g_string_append_len, s, (GString *s, const gchar *t, gssize n), s, t, n)
CHANGES(GString *, g_string_append_unichar, s, (GString *s, gunichar c), s, c)
CHANGES(GString *, g_string_prepend, s, (GString *s, const gchar *t), s, t)
CHANGES(GString *, g_string_insert_c, s, (GString *s, gssize at, gchar c), s, at, c)
CHANGES(GString *, g_string_insert_len, s, (GString *s, gssize at, const gchar *t, gssize n), s, at,
        t, n)
CHANGES(GString *, g_string_erase, s, (GString *s, gssize at, gssize n), s, at, n)
CHANGES(GString *, g_string_truncate, s, (GString *s, gsize n), s, n)
CHANGES(GString *, g_string_assign, s, (GString *s, const gchar *t), s, t)
CHANGES(void, g_string_append_vprintf, s, (GString *s, const gchar *fmt, va_list ap), s, fmt, ap)

void g_string_append_printf(GString *s, const gchar *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_append_vprintf(s, fmt, ap);
    va_end(ap);
}
