/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See lazy.h. All of it on the incoming thread but what the present map calls,
 * which puts a page in the queue and goes.
 */
#include "migration/destination/lazy.h"
#include "migration/mapped/mapped-file.h"
#include "migration/mapped/working-set.h"
#include "migration/ram/load.h"
#include "util/error.h"
#include "util/trace-migration.h"

/* So much is read for somebody who waits: with a page those behind it, which are often next. */
#define WANTED_PAGES 16
/* So much in turn; somebody who waits waits for no more than that. */
#define TURN_PAGES 64
/* So long the guest's start waits for what it will need first; so long that is noted. */
#define HEAD_START_US (20 * G_TIME_SPAN_MILLISECOND)
#define RECORD_US (10 * G_USEC_PER_SEC)

typedef struct WantedPage {
    size_t block;
    uint64_t page;
} WantedPage;

struct Lazy {
    /* set once */
    Incoming *in;
    PresentMap *map;
    uint8_t *buffer;        /* of TURN_PAGES */
    /* incoming thread */
    MappedFile *file;       /* the loader's; NULL: no list of blocks has come */
    size_t block;           /* where the turn is */
    uint64_t page;
    WorkingSet *set;        /* of the last restores, then what is new; NULL: nobody names the image */
    uint64_t set_pages;     /* of the last restores */
    size_t set_old, set_at; /* runs that are there from the last restores; read already */
    int64_t record_until_us;
    /* protected by in->lock */
    GArray *wanted;         /* of WantedPage, oldest first; each page is asked for once */
};

/* ---- what the map calls: any thread ---- */

static void page_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    Lazy *z = opaque;
    WantedPage w = { block, page };

    __atomic_fetch_add(&z->in->requests, 1, __ATOMIC_RELAXED);
    g_mutex_lock(&z->in->lock);
    g_array_append_val(z->wanted, w);
    g_mutex_unlock(&z->in->lock);
}

static void page_waited(void *opaque, size_t block, uint64_t page, int user, int64_t us)
{
    trace_mark_postcopy_blocktime_end(block, page, user, us);
    wait_stats_add(((Lazy *)opaque)->in->waits, user, g_get_monotonic_time(), us);
}

static const PresentOps present_ops = { .wanted = page_wanted, .waited = page_waited };

/* ---- the list of blocks has come ---- */

static void set_missing(Lazy *z)
{
    RAMList *ram = z->in->machine->ram;
    MappedRun run;

    for (size_t i = 0; i < ram_list_count(ram); i++) {
        for (uint64_t from = 0; mapped_file_run(z->file, i, from, &run); from += run.count) {
            if (run.present) {
                present_map_set_missing(z->map, i, run.first, run.count);
            }
        }
    }
}

static void load_set(Lazy *z)
{
    if (z->in->image) {
        z->set = working_set_load(z->in->machine->ram, z->in->image, NULL);
        z->set = z->set ? z->set : working_set_new();
        z->set_old = working_set_runs(z->set);
        z->set_pages = working_set_pages(z->set);
    }
}

static bool listed(void *opaque, MappedFile *file, GError **errp)
{
    Lazy *z = opaque;

    if (!fault_point(&z->in->machine->faults, FAULT_DST_LAZY_LISTED, errp) ||
        !present_map_begin(z->map, incoming_engine(z->in), errp)) {
        return false;
    }
    z->file = file;
    set_missing(z);
    load_set(z);
    g_mutex_lock(&z->in->lock);
    z->in->switched = true;
    g_mutex_unlock(&z->in->lock);
    return present_map_arm(z->map, &present_ops, z, errp);
}

/* ---- reading ---- */

/* count pages of a block that are missing. */
static bool read_run(Lazy *z, size_t block, uint64_t first, uint64_t count, GError **errp)
{
    if (!fault_point(&z->in->machine->faults, FAULT_DST_LAZY_READ, errp) ||
        !mapped_file_read(z->file, block, first, count, z->buffer, errp) ||
        !mapped_file_unchanged(z->file, errp)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        trace_postcopy_place_page(block, first + i, false);
        present_map_place(z->map, block, first + i, z->buffer + i * TARGET_PAGE_SIZE);
    }
    ram_loader_count_late(z->in->load.ram, count);
    return true;
}

static bool take_wanted(Lazy *z, WantedPage *w)
{
    g_mutex_lock(&z->in->lock);
    bool any = z->wanted->len > 0;
    if (any) {
        *w = g_array_index(z->wanted, WantedPage, 0);
        g_array_remove_index(z->wanted, 0);
    }
    g_mutex_unlock(&z->in->lock);
    return any;
}

static bool read_wanted(Lazy *z, const WantedPage *w, GError **errp)
{
    const RAMBlock *block = ram_list_get(z->in->machine->ram, w->block);
    uint64_t first, n = present_map_missing_run(block, w->page, WANTED_PAGES, &first);

    if (n == 0 || first != w->page) {
        return true;    /* it has come meanwhile */
    }
    if (!read_run(z, w->block, first, n, errp)) {
        return false;
    }
    if (z->set && g_get_monotonic_time() < z->record_until_us) {
        working_set_add_new(z->set, z->in->machine->ram, w->block, first, n);
    }
    return true;
}

/* What was needed first the last times. Of a run that is all here nothing is read. */
static bool read_in_set(Lazy *z, GError **errp)
{
    WorkingRun run = working_set_get(z->set, z->set_at);
    const RAMBlock *block = ram_list_get(z->in->machine->ram, run.block);
    uint64_t first, n = present_map_missing_run(block, run.first, MIN(run.count, TURN_PAGES), &first);
    uint64_t end = run.first + run.count;

    if (n == 0 || first >= end) {
        z->set_at++;
        return true;
    }
    return read_run(z, run.block, first, MIN(n, end - first), errp);
}

static bool in_set(const Lazy *z)
{
    return z->set && z->set_at < z->set_old;
}

/* Block after block; a page that came out of turn is not met again. */
static bool read_in_turn(Lazy *z, GError **errp)
{
    const RAMList *ram = z->in->machine->ram;
    uint64_t first, n = 0;

    while (z->block < ram_list_count(ram) &&
           (n = present_map_missing_run(ram_list_get(ram, z->block), z->page, TURN_PAGES,
                                        &first)) == 0) {
        z->block++;
        z->page = 0;
    }
    if (n == 0 || !read_run(z, z->block, first, n, errp)) {
        return n == 0;
    }
    z->page = first + n;
    return true;
}

static bool read_some(Lazy *z, GError **errp)
{
    WantedPage w;

    return take_wanted(z, &w) ? read_wanted(z, &w, errp)
           : in_set(z)        ? read_in_set(z, errp) : read_in_turn(z, errp);
}

void lazy_give_head_start(Lazy *z)
{
    int64_t until = g_get_monotonic_time() + HEAD_START_US;

    while (in_set(z) && g_get_monotonic_time() < until && read_in_set(z, NULL)) {
        /* the next one */
    }
    z->record_until_us = g_get_monotonic_time() + RECORD_US;
}

/* What came before anybody had to wait for it: the next time it might not. */
static void add_needed(Lazy *z)
{
    RAMList *ram = z->in->machine->ram;
    uint64_t first, n;

    for (size_t i = 0; i < ram_list_count(ram); i++) {
        for (uint64_t from = 0;
             (n = present_map_needed_run(ram_list_get(ram, i), from, UINT32_MAX, &first)) > 0;
             from = first + n) {
            working_set_add_new(z->set, ram, i, first, n);
        }
    }
}

/* Beside the image, for the next time. That it cannot be written there is nobody's trouble. */
static void save_set(Lazy *z)
{
    if (z->set && g_get_monotonic_time() < z->record_until_us) {
        add_needed(z);
    }
    if (z->set && working_set_pages(z->set) > z->set_pages) {
        working_set_save(z->set, z->in->machine->ram, z->in->image, NULL);
    }
}

/* ---- what cannot be read ---- */

/* Takes err. The guest stands still; if it did already, it stays as it is. */
static void stop_guest(Lazy *z, GError *err)
{
    Incoming *in = z->in;

    error_prepend(&err, "The guest is stopped, %" PRIu64 " KiB of its memory cannot be read: ",
                  present_map_missing(z->map) << (TARGET_PAGE_BITS - 10));
    g_mutex_lock(&in->lock);
    g_clear_error(&in->error);
    in->error = g_error_copy(err);
    g_mutex_unlock(&in->lock);
    bql_lock(in->machine->loop);
    vm_stop(in->machine->runstate, RUN_STATE_IO_ERROR, NULL);
    bql_unlock(in->machine->loop);
    machine_report(in->machine, "%s. 'cont' tries again", err->message);
    g_error_free(err);
}

static void ask_again(void *opaque, size_t block, uint64_t page)
{
    page_wanted(opaque, block, page, PRESENT_USER_LOADER);
}

/* Until somebody continues the guest, and says thereby that the file is right. starts: before the stop. */
static void await_mended(Lazy *z, unsigned starts)
{
    Incoming *in = z->in;

    g_mutex_lock(&in->lock);
    while (in->starts == starts && !in->quit) {
        g_cond_wait(&in->wake, &in->lock);
    }
    g_mutex_unlock(&in->lock);
    mapped_file_accept(z->file);
    g_mutex_lock(&in->lock);
    g_array_set_size(z->wanted, 0);
    g_mutex_unlock(&in->lock);
    present_map_each_asked(z->map, ask_again, z);
}

static bool look(Incoming *in, unsigned *starts)
{
    g_mutex_lock(&in->lock);
    *starts = in->starts;
    bool quit = in->quit;
    g_mutex_unlock(&in->lock);
    return !quit;
}

static void forget_error(Incoming *in)
{
    g_mutex_lock(&in->lock);
    g_clear_error(&in->error);
    g_mutex_unlock(&in->lock);
}

/*
 * The loop of a lazy restore, on the incoming thread. Owns the file and where the
 * turn is; waits for the file, which nothing can end, and after an error for
 * somebody to continue the guest, or the process to end. Ends when nothing is missing.
 */
bool lazy_await(Lazy *z, GError **errp)
{
    bool failed = false;
    unsigned starts;

    while (present_map_missing(z->map)) {
        GError *err = NULL;

        if (!look(z->in, &starts)) {
            error_setg(errp, "the process ends, and not all of the guest's memory was here");
            return false;
        }
        if (!read_some(z, &err)) {
            stop_guest(z, err);
            await_mended(z, starts);
            failed = true;
        } else if (failed) {
            forget_error(z->in);
            failed = false;
        }
    }
    save_set(z);
    fault_delay(&z->in->machine->faults, FAULT_DST_LAZY_END);
    present_map_end(z->map);
    return true;
}

/* ---- life ---- */

Lazy *lazy_new(Incoming *in)
{
    Lazy *z = g_new0(Lazy, 1);

    z->in = in;
    z->map = in->machine->present;
    z->buffer = g_malloc(TURN_PAGES * TARGET_PAGE_SIZE);
    z->wanted = g_array_new(FALSE, FALSE, sizeof(WantedPage));
    g_mutex_lock(&in->lock);
    in->waits = wait_stats_new(in->machine->cpus ? cpus_count(in->machine->cpus) : 0);
    g_mutex_unlock(&in->lock);
    ram_loader_set_late(in->load.ram, listed, z);
    return z;
}

void lazy_free(Lazy *z)
{
    if (!z) {
        return;
    }
    if (z->file) {
        present_map_end(z->map);
    }
    working_set_free(z->set);
    g_array_unref(z->wanted);
    g_free(z->buffer);
    g_free(z);
}
