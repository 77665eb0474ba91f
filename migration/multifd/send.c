/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's parallel channels. Called by multifd/multifd-out on the
 * migration thread; source/multifd.c makes the connections and ends them.
 *
 *   migration thread                          channel thread, one per channel
 *   page, page ... batch full ---> queue ---> takes a batch, packs, writes
 *   sync: flush, then waits                   queue empty: writes SYNC, says so
 *
 * There is one queue, so no channel stands idle while another has too much; a
 * batch that was handed over before a sync is taken before any channel sends
 * its SYNC, since a channel does that only when the queue is empty, and the
 * migration thread puts nothing in before all have.
 */
#include "migration/multifd/send.h"

#include <string.h>
#include "migration/codec/zero-page.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define BATCHES_PER_CHANNEL 2   /* one under way, one waiting */
#define COST_WEIGHT 8           /* how slowly the mean cost of a page follows */

/* Pages of one block that go in one packet. */
typedef struct Batch {
    size_t block;
    uint64_t number;
    unsigned n;
    uint64_t page[MULTIFD_PACKET_PAGES];
    const uint8_t *data[MULTIFD_PACKET_PAGES];
} Batch;

typedef struct SendChannel {
    /* set once */
    MultifdSend *s;
    unsigned id;
    Channel *channel;
    GThread *thread;
    /* protected by s->lock */
    uint64_t synced;            /* SYNCs it has sent */
    /* its thread only */
    StreamWriter *w;
    void *codec;
    MultifdPages pages;
    MultifdPacket packet;
    MultifdPayload payload;
} SendChannel;

struct MultifdSend {
    /* set once */
    RAMList *ram;
    MultifdSendOptions opt;
    RamCounters *counters;
    SendChannel **channels;     /* of which `count` are there: migration thread */
    unsigned count;
    /* migration thread only */
    Batch *filling;             /* NULL: none */
    /* any thread, atomic */
    uint64_t bytes, page_cost;

    GMutex lock;
    GCond work;                 /* a batch, a sync, the end */
    GCond done;                 /* a batch is free, a SYNC is sent, an error */
    /* protected by lock */
    GQueue queue;               /* of Batch: to be sent */
    GQueue idle;                /* of Batch */
    uint64_t syncs;             /* how many each channel has to have sent */
    uint64_t number;            /* of the next packet, over all channels */
    bool ending;
    GError *error;              /* the first, of any channel */
};

/* ---- one packet: a channel's thread ---- */

static bool is_zero(const uint8_t *data)
{
    if (data == zero_page) {
        return true;
    }
    guest_ram_shared_begin();
    bool zero = zero_page_check(data, STREAM_PAGE_SIZE);
    guest_ram_shared_end();
    return zero;
}

/* Offsets, those with content first; what they point to into content. */
static void sort_pages(SendChannel *c, const Batch *b, const uint8_t **content)
{
    uint64_t zeros[MULTIFD_PACKET_PAGES];
    MultifdPages *p = &c->pages;

    p->normal = p->zero = 0;
    for (unsigned i = 0; i < b->n; i++) {
        uint64_t offset = b->page[i] << STREAM_PAGE_BITS;

        if (c->s->opt.detect_zero && is_zero(b->data[i])) {
            zeros[p->zero++] = offset;
        } else {
            content[p->normal] = b->data[i];
            p->offset[p->normal++] = offset;
        }
    }
    memcpy(p->offset + p->normal, zeros, p->zero * sizeof(zeros[0]));
}

static bool put_packet(SendChannel *c, GError **errp)
{
    uint64_t before = stream_writer_bytes(c->w);

    multifd_packet_encode(&c->pages, &c->packet);
    stream_put_buffer_nocopy(c->w, &c->packet, sizeof(c->packet));
    for (int i = 0; i < c->payload.count && !c->s->opt.zero_copy; i++) {
        stream_put_buffer_nocopy(c->w, c->payload.iov[i].iov_base, c->payload.iov[i].iov_len);
    }
    bool ok = stream_flush(c->w, errp);
    uint64_t bytes = stream_writer_bytes(c->w) - before;
    if (ok && c->s->opt.zero_copy && c->payload.count) {
        ok = channel_write_uncopied(c->channel, c->payload.iov, c->payload.count, errp);
        bytes += ok ? c->payload.bytes : 0;
    }
    __atomic_fetch_add(&c->s->bytes, bytes, __ATOMIC_RELAXED);
    if (c->s->counters) {
        ram_counter_add(&c->s->counters->now.multifd_bytes, bytes);
        ram_counter_add(&c->s->counters->now.transferred_bytes, bytes);
    }
    return ok;
}

/* Two channels at once may lose one of two changes, which a mean can bear. */
static void note_cost(MultifdSend *s, unsigned pages, uint64_t bytes)
{
    uint64_t mean = __atomic_load_n(&s->page_cost, __ATOMIC_RELAXED);

    mean = (mean * (COST_WEIGHT - 1) + bytes / pages) / COST_WEIGHT;
    __atomic_store_n(&s->page_cost, mean, __ATOMIC_RELAXED);
}

static void count_pages(SendChannel *c, uint64_t bytes)
{
    RamCounters *counters = c->s->counters;

    note_cost(c->s, c->pages.normal + c->pages.zero, bytes);
    if (counters) {
        ram_counter_add(&counters->now.normal_pages, c->pages.normal);
        ram_counter_add(&counters->now.duplicate_pages, c->pages.zero);
        ram_counter_add(&counters->handled_pages, c->pages.normal + c->pages.zero);
    }
}

static bool send_batch(SendChannel *c, const Batch *b, GError **errp)
{
    const uint8_t *content[MULTIFD_PACKET_PAGES];
    const char *block = ram_list_get(c->s->ram, b->block)->idstr;

    sort_pages(c, b, content);
    c->pages.flags = c->s->opt.codec->flag;
    c->pages.number = b->number;
    c->payload.count = c->payload.bytes = 0;
    if (!fault_point(c->s->opt.faults, FAULT_SRC_MULTIFD_PACKET, errp) ||
        (c->pages.normal && !c->s->opt.codec->pack(c->codec, content, c->pages.normal, &c->payload,
                                                   errp))) {
        return false;
    }
    c->pages.payload_bytes = c->payload.bytes;
    g_strlcpy(c->pages.block, block, sizeof(c->pages.block));
    trace_multifd_send(c->id, b->number, c->pages.normal, c->pages.zero, c->pages.flags,
                       c->payload.bytes);
    bool ok = put_packet(c, errp);
    count_pages(c, sizeof(c->packet) + c->payload.bytes);
    return ok;
}

/* What the kernel still reads belongs before the sync point. */
static bool settle_uncopied(SendChannel *c, GError **errp)
{
    bool copied = false;

    if (!c->s->opt.zero_copy) {
        return true;
    }
    bool ok = channel_settle_uncopied(c->channel, &copied, errp);
    if (copied && c->s->counters) {
        ram_counter_add(&c->s->counters->now.missed_zero_copy, 1);
    }
    return ok;
}

static bool send_sync(SendChannel *c, uint64_t number, GError **errp)
{
    c->pages.flags = MULTIFD_FLAG_SYNC;
    c->pages.number = number;
    c->pages.normal = c->pages.zero = c->pages.payload_bytes = 0;
    c->payload.count = c->payload.bytes = 0;
    trace_multifd_send_sync_main_signal(c->id);
    return fault_point(c->s->opt.faults, FAULT_SRC_MULTIFD_SYNC, errp) && settle_uncopied(c, errp) &&
           put_packet(c, errp);
}

/* ---- a channel's thread ---- */

static bool begin_channel(SendChannel *c, GError **errp)
{
    MultifdInit init;

    trace_multifd_send_thread_start(c->id);
    multifd_init_encode(c->id, c->s->opt.uuid, &init);
    stream_put_buffer(c->w, &init, sizeof(init));
    bool ok = c->s->opt.codec->send_new(&c->codec, c->s->opt.level, errp) && stream_flush(c->w, errp);
    __atomic_fetch_add(&c->s->bytes, sizeof(init), __ATOMIC_RELAXED);
    return ok;
}

/* Lock held, and let go while it writes. */
static bool send_next_batch(SendChannel *c, GError **errp)
{
    MultifdSend *s = c->s;
    Batch *b = g_queue_pop_head(&s->queue);

    g_mutex_unlock(&s->lock);
    bool ok = send_batch(c, b, errp);
    g_mutex_lock(&s->lock);
    g_queue_push_tail(&s->idle, b);
    g_cond_broadcast(&s->done);
    return ok;
}

/* The same. */
static bool send_next_sync(SendChannel *c, GError **errp)
{
    MultifdSend *s = c->s;
    uint64_t number = s->number++;

    g_mutex_unlock(&s->lock);
    bool ok = send_sync(c, number, errp);
    g_mutex_lock(&s->lock);
    c->synced++;
    g_cond_broadcast(&s->done);
    return ok;
}

/* Lock held. Takes err. */
static void fail(SendChannel *c, GError *err)
{
    MultifdSend *s = c->s;

    trace_multifd_send_error(c->id);
    error_prepend(&err, "multifd channel %u of %u: ", c->id, s->opt.channels);
    if (s->error) {
        g_error_free(err);
    } else {
        s->error = err;
    }
    g_cond_broadcast(&s->work);
    g_cond_broadcast(&s->done);
}

/*
 * A channel's thread. Owns its writer and its codec's state; reads guest RAM
 * without locks, as the migration thread does. Waits for work, which an error of
 * any channel and the end wake, and on its channel, which shutting down ends.
 * Ends with either.
 */
static gpointer channel_thread(gpointer opaque)
{
    SendChannel *c = opaque;
    MultifdSend *s = c->s;
    GError *err = NULL;
    bool ok = begin_channel(c, &err);

    g_mutex_lock(&s->lock);
    while (ok && !s->ending && !s->error) {
        if (!g_queue_is_empty(&s->queue)) {
            ok = send_next_batch(c, &err);
        } else if (c->synced < s->syncs) {
            ok = send_next_sync(c, &err);
        } else {
            g_cond_wait(&s->work, &s->lock);
        }
    }
    if (!ok) {
        fail(c, err);
    }
    g_mutex_unlock(&s->lock);
    s->opt.codec->send_free(c->codec);
    trace_multifd_send_thread_end(c->id, stream_writer_bytes(c->w));
    return NULL;
}

/* ---- the migration thread ---- */

/* Lock held. */
static bool check_error(MultifdSend *s, GError **errp)
{
    if (s->error && errp && !*errp) {
        *errp = g_error_copy(s->error);
    }
    return !s->error;
}

static bool take_idle(MultifdSend *s, GError **errp)
{
    g_mutex_lock(&s->lock);
    while (!s->error && g_queue_is_empty(&s->idle)) {
        g_cond_wait(&s->done, &s->lock);
    }
    bool ok = check_error(s, errp);
    s->filling = ok ? g_queue_pop_head(&s->idle) : NULL;
    g_mutex_unlock(&s->lock);
    return ok;
}

bool multifd_send_flush(MultifdSend *s, GError **errp)
{
    Batch *b = g_steal_pointer(&s->filling);

    g_mutex_lock(&s->lock);
    if (b) {
        b->number = s->number++;
        g_queue_push_tail(&s->queue, b);
        g_cond_signal(&s->work);
    }
    bool ok = check_error(s, errp);
    g_mutex_unlock(&s->lock);
    return ok;
}

bool multifd_send_page(MultifdSend *s, size_t block, uint64_t page, const uint8_t *data,
                       GError **errp)
{
    if (s->filling && (s->filling->block != block || s->filling->n == MULTIFD_PACKET_PAGES) &&
        !multifd_send_flush(s, errp)) {
        return false;
    }
    if (!s->filling) {
        if (!take_idle(s, errp)) {
            return false;
        }
        s->filling->block = block;
        s->filling->n = 0;
    }
    s->filling->page[s->filling->n] = page;
    s->filling->data[s->filling->n++] = data;
    return true;
}

/* Lock held. */
static bool all_synced(const MultifdSend *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->channels[i]->synced < s->syncs) {
            return false;
        }
    }
    return true;
}

bool multifd_send_sync(MultifdSend *s, GError **errp)
{
    g_assert(s->count == s->opt.channels);
    if (!multifd_send_flush(s, errp)) {
        return false;
    }
    g_mutex_lock(&s->lock);
    s->syncs++;
    g_cond_broadcast(&s->work);
    while (!s->error && !all_synced(s)) {
        g_cond_wait(&s->done, &s->lock);
    }
    bool ok = check_error(s, errp);
    trace_multifd_send_sync_main(s->number);
    g_mutex_unlock(&s->lock);
    return ok;
}

uint64_t multifd_send_bytes(const MultifdSend *s)
{
    return __atomic_load_n(&s->bytes, __ATOMIC_RELAXED);
}

uint64_t multifd_send_page_cost(const MultifdSend *s)
{
    return __atomic_load_n(&s->page_cost, __ATOMIC_RELAXED);
}

/* ---- life ---- */

MultifdSend *multifd_send_new(RAMList *ram, const MultifdSendOptions *opt)
{
    MultifdSend *s = g_new0(MultifdSend, 1);

    g_assert(opt->channels >= 1 && opt->channels <= 255);
    s->ram = ram;
    s->opt = *opt;
    s->channels = g_new0(SendChannel *, opt->channels);
    s->page_cost = STREAM_PAGE_SIZE;
    g_mutex_init(&s->lock);
    g_cond_init(&s->work);
    g_cond_init(&s->done);
    for (unsigned i = 0; i < opt->channels * BATCHES_PER_CHANNEL + 1; i++) {
        g_queue_push_tail(&s->idle, g_new(Batch, 1));
    }
    return s;
}

void multifd_send_set_counters(MultifdSend *s, RamCounters *counters)
{
    s->counters = counters;
}

bool multifd_send_add(MultifdSend *s, Channel *c, GError **errp)
{
    SendChannel *sc = g_new0(SendChannel, 1);
    g_autofree char *name = g_strdup_printf("multifdsend_%u", s->count);

    g_assert(s->count < s->opt.channels);
    sc->s = s;
    sc->id = s->count;
    sc->channel = c;
    sc->w = stream_writer_new(c);
    s->channels[s->count] = sc;
    sc->thread = thread_start(name, channel_thread, sc, errp);
    if (!sc->thread) {
        stream_writer_free(sc->w);
        g_free(sc);
        return false;
    }
    s->count++;
    return true;
}

void multifd_send_free(MultifdSend *s)
{
    if (!s) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->ending = true;
    g_cond_broadcast(&s->work);
    g_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->count; i++) {
        g_thread_join(s->channels[i]->thread);
        stream_writer_free(s->channels[i]->w);
        g_free(s->channels[i]);
    }
    g_free(s->filling);
    g_queue_clear_full(&s->queue, g_free);
    g_queue_clear_full(&s->idle, g_free);
    g_clear_error(&s->error);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->work);
    g_cond_clear(&s->done);
    g_free(s->channels);
    g_free(s);
}
