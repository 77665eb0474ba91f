/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page out of parallel channels (migration-stream 7.4). Called by ram/save
 * on the migration thread. What is not a whole page goes into the stream, where
 * it stands between the same two sync points as the pages around it.
 *
 * A page may come again only after the dirty log was fetched (invariant 2 of
 * README.md): so a sync point at the first page behind a fetch keeps an older
 * content of it from overtaking a newer one. One more at the end of START
 * keeps pages from coming before the list of blocks, and one at the end of
 * END the guest from running before all have come.
 */
#include "migration/multifd/multifd-out.h"

#include "migration/ram/stream-out.h"
#include "migration/stream/format.h"

typedef struct MultifdOut {
    RamPageOut out;
    RamPageOut *stream;
    MultifdSend *send;
    bool flush_each_section;
} MultifdOut;

/*
 * The word leaves at once: all channels wait at the destination until it is read there, and we may
 * soon wait for a channel.
 */
static bool sync_point(MultifdOut *m, StreamWriter *w, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (!multifd_send_sync(m->send, &err)) {
        stream_writer_set_error(w, err);    /* so that whoever looks for the cause finds it broken */
        return stream_writer_ok(w, errp);
    }
    if (m->flush_each_section) {
        return true;
    }
    stream_put_be64(w, RAM_FLAG_MULTIFD_FLUSH);
    return stream_flush(w, errp);
}

static bool multifd_out_block(RamPageOut *out, StreamWriter *w, size_t block, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;

    return m->stream->ops->block(m->stream, w, block, errp);
}

static bool multifd_out_setup_end(RamPageOut *out, StreamWriter *w, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;

    multifd_send_set_counters(m->send, out->counters);
    return sync_point(m, w, errp) && m->stream->ops->setup_end(m->stream, w, errp);
}

static bool multifd_out_begin_pass(RamPageOut *out, StreamWriter *w, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;

    /* Each section has ended with one, and a pass does not begin within a section. */
    return m->flush_each_section || sync_point(m, w, errp);
}

static bool multifd_out_page(RamPageOut *out, StreamWriter *w, size_t block, uint64_t page,
                             const RamPage *content, uint64_t *cost, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;
    g_autoptr(GError) err = NULL;

    if (content->kind != RAM_PAGE_NORMAL) {
        return m->stream->ops->page(m->stream, w, block, page, content, cost, errp);
    }
    *cost = multifd_send_page_cost(m->send);
    if (!multifd_send_page(m->send, block, page, content->data, &err)) {
        stream_writer_set_error(w, err);
    }
    return stream_writer_ok(w, errp);
}

static bool multifd_out_settle(RamPageOut *out, StreamWriter *w, GError **errp)
{
    return true;    /* there is no cache: deltas and channels exclude each other */
}

static void multifd_out_restart(RamPageOut *out)
{
    MultifdOut *m = (MultifdOut *)out;

    m->stream->ops->restart(m->stream);
}

static bool multifd_out_part_end(RamPageOut *out, StreamWriter *w, uint64_t *cost, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;
    g_autoptr(GError) err = NULL;

    if (m->flush_each_section) {
        return sync_point(m, w, errp) && m->stream->ops->part_end(m->stream, w, cost, errp);
    }
    if (!multifd_send_flush(m->send, &err)) {
        stream_writer_set_error(w, err);
    }
    return m->stream->ops->part_end(m->stream, w, cost, errp);
}

static bool multifd_out_finish(RamPageOut *out, StreamWriter *w, GError **errp)
{
    MultifdOut *m = (MultifdOut *)out;

    return sync_point(m, w, errp) && m->stream->ops->finish(m->stream, w, errp);
}

static void multifd_out_free(RamPageOut *out)
{
    MultifdOut *m = (MultifdOut *)out;

    m->stream->ops->free(m->stream);
    g_free(m);
}

static const RamPageOutOps multifd_out_ops = {
    .counts_pages = true,
    .block = multifd_out_block,
    .setup_end = multifd_out_setup_end,
    .begin_pass = multifd_out_begin_pass,
    .page = multifd_out_page,
    .settle = multifd_out_settle,
    .restart = multifd_out_restart,
    .part_end = multifd_out_part_end,
    .finish = multifd_out_finish,
    .free = multifd_out_free,
};

RamPageOut *multifd_out_new(RAMList *ram, MultifdSend *send, bool flush_each_section)
{
    MultifdOut *m = g_new0(MultifdOut, 1);

    m->out.ops = &multifd_out_ops;
    m->stream = stream_out_new(ram, NULL, RAM_LAYOUT_STREAM, NULL);
    m->send = send;
    m->flush_each_section = flush_each_section;
    return &m->out;
}
