/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page out of the stream layout: one record a page. Called by ram/save on
 * the migration thread; decides nothing, counts nothing. Pages are queued
 * without a copy, from guest memory or from the page cache.
 */
#include "migration/ram/stream-out.h"

#include "migration/stream/format.h"
#include "util/trace-migration.h"

typedef struct StreamOut {
    RamPageOut out;
    RAMList *ram;
    const RAMBlock *sent_block;     /* of the last page record: CONTINUE means this one */
    bool cache_referenced;          /* the writer still points into the page cache */
} StreamOut;

/* Address word and, unless it is the last record's block, the block id. */
static void put_header(StreamOut *s, StreamWriter *w, const RAMBlock *block, uint64_t offset,
                       uint64_t flag)
{
    if (block == s->sent_block) {
        stream_put_be64(w, offset | flag | RAM_FLAG_CONTINUE);
    } else {
        stream_put_be64(w, offset | flag);
        stream_put_cstr(w, block->idstr);
        s->sent_block = block;
    }
}

static void put_zero(StreamOut *s, StreamWriter *w, const RAMBlock *block, uint64_t offset)
{
    put_header(s, w, block, offset, RAM_FLAG_ZERO);
    trace_ram_save_zero_page(block->idstr, offset);
    stream_put_u8(w, 0);
}

static void put_normal(StreamOut *s, StreamWriter *w, const RAMBlock *block, uint64_t offset,
                       const RamPage *content)
{
    put_header(s, w, block, offset, RAM_FLAG_PAGE);
    trace_ram_save_page(block->idstr, offset, (void *)content->data);
    stream_put_buffer_nocopy(w, content->data, content->len);
    s->cache_referenced |= content->from_cache;
}

static void put_delta(StreamOut *s, StreamWriter *w, const RAMBlock *block, uint64_t offset,
                      const RamPage *content)
{
    put_header(s, w, block, offset, RAM_FLAG_XBZRLE);
    trace_save_xbzrle_page(block->idstr, offset, content->len);
    stream_put_u8(w, XBZRLE_ENCODING_FLAG);
    stream_put_be16(w, (uint16_t)content->len);
    stream_put_buffer(w, content->data, content->len);
}

/* Name and length say it all. */
static bool stream_out_block(RamPageOut *out, StreamWriter *w, size_t block, GError **errp)
{
    return true;
}

static bool stream_out_setup_end(RamPageOut *out, StreamWriter *w, GError **errp)
{
    stream_put_be64(w, RAM_FLAG_EOS);
    return stream_writer_ok(w, errp);
}

/* What stands later in the stream comes later. */
static bool stream_out_begin_pass(RamPageOut *out, StreamWriter *w, GError **errp)
{
    return true;
}

static bool stream_out_page(RamPageOut *out, StreamWriter *w, size_t index, uint64_t page,
                            const RamPage *content, uint64_t *cost, GError **errp)
{
    StreamOut *s = (StreamOut *)out;
    const RAMBlock *block = ram_list_get(s->ram, index);
    uint64_t before = stream_writer_bytes(w), offset = page << TARGET_PAGE_BITS;

    switch (content->kind) {
    case RAM_PAGE_ZERO:
        put_zero(s, w, block, offset);
        break;
    case RAM_PAGE_NORMAL:
        put_normal(s, w, block, offset, content);
        break;
    case RAM_PAGE_DELTA:
        put_delta(s, w, block, offset, content);
        break;
    case RAM_PAGE_UNMODIFIED:
        break;
    }
    *cost = stream_writer_bytes(w) - before;
    return stream_writer_ok(w, errp);
}

static bool stream_out_settle(RamPageOut *out, StreamWriter *w, GError **errp)
{
    StreamOut *s = (StreamOut *)out;

    if (s->cache_referenced && !stream_flush(w, errp)) {
        return false;
    }
    s->cache_referenced = false;
    return true;
}

static void stream_out_restart(RamPageOut *out)
{
    ((StreamOut *)out)->sent_block = NULL;
}

static bool stream_out_part_end(RamPageOut *out, StreamWriter *w, uint64_t *cost, GError **errp)
{
    stream_put_be64(w, RAM_FLAG_EOS);
    *cost = sizeof(uint64_t);
    return stream_writer_ok(w, errp);
}

static bool stream_out_finish(RamPageOut *out, StreamWriter *w, GError **errp)
{
    stream_put_be64(w, RAM_FLAG_EOS);
    return stream_out_settle(out, w, errp) && stream_writer_ok(w, errp);
}

static void stream_out_free(RamPageOut *out)
{
    g_free(out);
}

static const RamPageOutOps stream_out_ops = {
    .block = stream_out_block,
    .setup_end = stream_out_setup_end,
    .begin_pass = stream_out_begin_pass,
    .page = stream_out_page,
    .settle = stream_out_settle,
    .restart = stream_out_restart,
    .part_end = stream_out_part_end,
    .finish = stream_out_finish,
    .free = stream_out_free,
};

RamPageOut *stream_out_new(RAMList *ram, Channel *channel, RamLayout layout, GError **errp)
{
    StreamOut *s = g_new0(StreamOut, 1);

    s->out.ops = &stream_out_ops;
    s->ram = ram;
    return &s->out;
}
