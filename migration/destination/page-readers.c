/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See page-readers.h. Started and stopped by destination/postcopy.c for each
 * connection; what the connection means for the migration is decided there.
 */
#include <string.h>
#include "migration/destination/page-readers.h"
#include "migration/ram/load.h"
#include "util/error.h"
#include "util/short-turns.h"
#include "util/trace-migration.h"

/* Where one reader's pages go. */
typedef struct Placer {
    PageReaders *p;
    uint64_t pages;                     /* that came on this channel */
    uint8_t page[TARGET_PAGE_SIZE];     /* as it comes */
} Placer;

struct PageReaders {
    /* set once */
    Incoming *in;
    PresentMap *map;
    /* whoever starts and stops them */
    GThread *stream_thread, *urgent_thread;
    StreamReader *r;
    /* each its thread's */
    IncomingLoad load;          /* of the stream; lives from connection to connection */
    RamLoader *urgent;
    Placer stream_placer, urgent_placer;
    /* protected by in->lock */
    PageReadersState state;
    bool urgent_open;
    GError *error;
};

/* ---- the sink ---- */

static uint8_t *placer_place(void *opaque, size_t block, uint64_t page)
{
    return ((Placer *)opaque)->page;
}

static void put(Placer *placer, size_t block, uint64_t page, const void *content)
{
    trace_postcopy_place_page(block, page, !content);
    placer->pages++;
    if (!present_map_place(placer->p->map, block, page, content)) {
        __atomic_fetch_add(&placer->p->in->duplicates, 1, __ATOMIC_RELAXED);
    }
}

static bool placer_placed(void *opaque, size_t block, uint64_t page, GError **errp)
{
    Placer *placer = opaque;

    if (!incoming_point(placer->p->in, FAULT_DST_POSTCOPY_PAGE, errp)) {
        return false;
    }
    put(placer, block, page, placer->page);
    return true;
}

static bool placer_fill(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                        GError **errp)
{
    Placer *placer = opaque;

    memset(placer->page, value, sizeof(placer->page));
    for (uint64_t i = 0; i < count; i++) {
        put(placer, block, page + i, value ? placer->page : NULL);
    }
    return true;
}

static const RamPageSink placer_sink = {
    .place = placer_place,
    .placed = placer_placed,
    .fill = placer_fill,
};

/* ---- the threads ---- */

/* Takes err. in->lock held. */
static void set_state_locked(PageReaders *p, PageReadersState state, GError *err)
{
    if (state > p->state) {
        p->state = state;
    }
    if (!p->error) {
        p->error = g_steal_pointer(&err);
    }
    g_cond_broadcast(&p->in->wake);
    g_clear_error(&err);
}

static void set_state(PageReaders *p, PageReadersState state, GError *err)
{
    g_mutex_lock(&p->in->lock);
    set_state_locked(p, state, err);
    g_mutex_unlock(&p->in->lock);
}

void page_readers_give_up(PageReaders *p, GError *cause)
{
    set_state_locked(p, PAGE_READERS_BROKEN, cause);
}

/*
 * The thread that reads what follows the package, or a later connection. Owns
 * the stream and its load; waits on the main channel, which channel_shutdown
 * ends. Ends with the stream.
 */
static gpointer stream_thread(gpointer opaque)
{
    PageReaders *p = opaque;
    GError *err = NULL;

    trace_postcopy_ram_listen_thread_start();
    bool ok = incoming_load_background(&p->load, p->r, &err);
    trace_postcopy_ram_listen_thread_exit();
    set_state(p, ok ? PAGE_READERS_ENDED : PAGE_READERS_BROKEN, err);
    return NULL;
}

static bool read_urgent(PageReaders *p, Channel *c, GError **errp)
{
    StreamReader *r = stream_reader_new(c);

    p->urgent_placer.pages = 0;
    ram_loader_begin_postcopy(p->urgent, &placer_sink, &p->urgent_placer);
    bool ok = incoming_point(p->in, FAULT_DST_POSTCOPY_URGENT, errp) &&
              ram_load_urgent(p->urgent, r, errp);
    stream_reader_free(r);
    error_prepend(errp, "the channel of urgent pages: ");
    return ok;
}

static void set_urgent_open(PageReaders *p, bool open)
{
    g_mutex_lock(&p->in->lock);
    p->urgent_open = open;
    g_cond_broadcast(&p->in->wake);
    g_mutex_unlock(&p->in->lock);
}

/* To the end of the channel; false: none came, or will come. */
static bool take_urgent(PageReaders *p)
{
    GError *err = NULL;
    Channel *c = channel_listener_accept(p->in->listener, NULL);

    if (!c || !channel_set_add(p->in->channels, CHANNEL_ROLE_PREEMPT, 0, c, NULL)) {
        return false;
    }
    set_urgent_open(p, true);
    bool ok = read_urgent(p, c, &err);
    if (p->urgent_placer.pages == 0) {
        g_clear_error(&err);        /* whoever it was has nothing to do with us */
        ok = true;
    }
    set_state(p, ok ? PAGE_READERS_READ : PAGE_READERS_BROKEN, err);
    set_urgent_open(p, false);
    channel_close(channel_set_take(p->in->channels, CHANNEL_ROLE_PREEMPT, 0), NULL);
    return ok;
}

/*
 * The thread that waits for channels of urgent pages and reads them, one at a
 * time: most sources open none, others one, and a stranger may have knocked
 * before. Owns that channel; waits on the listener and on the channel, both of
 * which shutting down ends. Ends with the listener, or with a channel that fails.
 */
static gpointer urgent_thread(gpointer opaque)
{
    PageReaders *p = opaque;

    trace_postcopy_preempt_thread_entry();
    thread_short_turns(true);
    while (take_urgent(p)) {
        /* the next one */
    }
    trace_postcopy_preempt_thread_exit();
    return NULL;
}

/* ---- life ---- */

PageReaders *page_readers_new(Incoming *in)
{
    PageReaders *p = g_new0(PageReaders, 1);

    p->in = in;
    p->map = in->machine->present;
    p->stream_placer.p = p->urgent_placer.p = p;
    p->urgent = ram_loader_new_beside(in->load.ram);
    incoming_load_init_background(&p->load, &in->load);
    return p;
}

void page_readers_free(PageReaders *p)
{
    if (p) {
        incoming_load_clear(&p->load);
        ram_loader_free(p->urgent);
        g_clear_error(&p->error);
        g_free(p);
    }
}

bool page_readers_start(PageReaders *p, StreamReader *r, GError **errp)
{
    g_assert(!p->stream_thread && !p->urgent_thread);
    p->r = r;
    p->state = PAGE_READERS_READ;
    p->urgent_open = false;
    g_clear_error(&p->error);
    ram_loader_begin_postcopy(p->load.ram, &placer_sink, &p->stream_placer);
    p->stream_thread = thread_start("postcopy/listen", stream_thread, p, errp);
    if (p->stream_thread && p->in->listener) {
        p->urgent_thread = thread_start("postcopy/fast", urgent_thread, p, errp);
    }
    return p->stream_thread && (p->urgent_thread || !p->in->listener);
}

void page_readers_stop(PageReaders *p)
{
    if (p->stream_thread) {
        g_thread_join(g_steal_pointer(&p->stream_thread));
    }
    if (p->urgent_thread) {
        g_thread_join(g_steal_pointer(&p->urgent_thread));
    }
}

PageReadersState page_readers_state(PageReaders *p)
{
    return p->state;
}

bool page_readers_urgent(PageReaders *p)
{
    return p->urgent_open;
}

void page_readers_error(PageReaders *p, GError **errp)
{
    g_assert(!p->stream_thread);
    if (p->error) {
        g_propagate_error(errp, g_steal_pointer(&p->error));
    }
}
