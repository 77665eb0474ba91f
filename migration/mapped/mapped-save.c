/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapped-ram and fixed-ram, writing. Called by ram/save; never moves the
 * stream's own position but to step over a block's regions. A zero page is
 * not written: its bit is clear. Where it was written before, its place becomes
 * a hole, if the file system can do that; the bitmap decides over what is read.
 */
#include "migration/mapped/mapped-save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "migration/mapped/mapped-layout.h"
#include "migration/mapped/mapped-sums.h"
#include "migration/stream/format.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"

#define RUN_MAX_PAGES (CHANNEL_RUN_BYTES / TARGET_PAGE_SIZE)
#define SUMS_CHUNK 65536    /* of checksums: a part in which all are 0 stays a hole */

typedef struct MappedBlock {
    MappedRegion region;
    uint64_t *bitmap;       /* host words, written little-endian */
    uint64_t *second;       /* the same: pages that are in their second place; NULL: there are none */
    size_t words;
    MappedSums *sums;       /* NULL: without */
} MappedBlock;

/* Neighbours. */
typedef struct MappedPages {
    size_t block;
    bool second;            /* in their second places */
    uint64_t first, count;
} MappedPages;

typedef struct MappedSave {
    RamPageOut out;
    RAMList *ram;
    Channel *channel;
    RamLayout layout;
    size_t count;
    MappedBlock *blocks;
    const MappedBase *base; /* what the file holds already; NULL: nothing */
    MappedPages run;        /* not yet written */
    MappedPages holes;      /* written before, and zero now: not yet holes */
    bool parallel;          /* the channel's threads write, in any order */
} MappedSave;

/* With O_APPEND the kernel ignores the position of a pwrite. */
static bool channel_positionable(Channel *channel, GError **errp)
{
    int flags;

    if (!channel || !channel_is_seekable(channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file)");
        return false;
    }
    flags = fcntl(channel_fd(channel), F_GETFL);
    if (flags < 0 || flags & O_APPEND) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' was opened for "
                   "appending", channel_name(channel));
        return false;
    }
    return true;
}

/* The header; leaves room for bitmap and pages and goes on behind. */
static bool mapped_save_block(RamPageOut *out, StreamWriter *w, size_t block, GError **errp)
{
    MappedSave *m = (MappedSave *)out;
    MappedRegion *region = &m->blocks[block].region;
    uint64_t at;

    if (!stream_writer_tell(w, &at, errp)) {
        return false;
    }
    if (m->base) {
        const MappedBaseBlock *b = &m->base->blocks[block];
        mapped_region_place_again(region, at, ram_list_get(m->ram, block), m->blocks[block].sums,
                                  b->pages_offset, b->second_offset);
    } else {
        mapped_region_place(region, m->layout, at, ram_list_get(m->ram, block), m->blocks[block].sums);
    }
    mapped_header_put(w, m->layout, region);
    return stream_writer_seek(w, region->end_offset, errp) &&
           (m->base || channel_check_room(m->channel, region->end_offset, 0, errp));
}

static bool mapped_save_setup_end(RamPageOut *out, StreamWriter *w, GError **errp)
{
    stream_put_be64(w, RAM_FLAG_EOS);
    return stream_writer_ok(w, errp);
}

/* A page that changes between this and its write is dirty: it comes again, and its sum with it. */
static void note_sums(MappedSave *m, size_t block, uint64_t first, uint64_t count)
{
    const uint8_t *host = ram_list_get(m->ram, block)->host;
    MappedSums *sums = m->blocks[block].sums;

    for (uint64_t page = first; sums && page < first + count; page++) {
        guest_ram_shared_begin();
        mapped_sums_note(sums, page, host + page * TARGET_PAGE_SIZE);
        guest_ram_shared_end();
    }
}

/* On the thread that writes: what is summed up is what is in the file. */
static void note_copied(const ChannelRun *run, const void *copy)
{
    for (size_t at = 0; at < run->len; at += TARGET_PAGE_SIZE) {
        mapped_sums_note(run->opaque, run->tag + at / TARGET_PAGE_SIZE, (const uint8_t *)copy + at);
    }
}

static bool hand_out_run(MappedSave *m, const MappedPages *pages, const uint8_t *data, uint64_t at,
                         GError **errp)
{
    MappedSums *sums = m->blocks[pages->block].sums;
    ChannelRun run = { .data = data, .len = pages->count * TARGET_PAGE_SIZE, .offset = at,
                       .copied = sums ? note_copied : NULL, .opaque = sums, .tag = pages->first };

    return channel_pwrite_run(m->channel, &run, errp);
}

static uint64_t place_of(const MappedSave *m, const MappedPages *pages)
{
    const MappedRegion *region = &m->blocks[pages->block].region;

    return (pages->second ? region->second_offset : region->pages_offset) + pages->first * TARGET_PAGE_SIZE;
}

/* Writes what is noted. */
static bool flush_run(MappedSave *m, GError **errp)
{
    const MappedPages run = m->run;
    uint64_t offset = run.first * TARGET_PAGE_SIZE, len = run.count * TARGET_PAGE_SIZE;
    const uint8_t *data = ram_list_get(m->ram, run.block)->host + offset;
    uint64_t at = place_of(m, &run);

    if (len == 0) {
        return true;
    }
    m->run.count = 0;
    /* Its error may be of what was written before: the channel says where. */
    if (m->parallel) {
        return hand_out_run(m, &run, data, at, errp);
    }
    note_sums(m, run.block, run.first, run.count);
    return channel_pwrite_all(m->channel, data, len, at, errp);
}

/* The same of holes. A page is in one pass once: whichever of the two comes first, none is undone. */
static bool flush_holes(MappedSave *m, GError **errp)
{
    uint64_t len = m->holes.count * TARGET_PAGE_SIZE;

    m->holes.count = 0;
    return len == 0 || channel_punch(m->channel, place_of(m, &m->holes), len, false, errp);
}

static bool is_next(const MappedPages *pages, size_t block, bool second, uint64_t page)
{
    return pages->count && pages->block == block && pages->second == second &&
           page == pages->first + pages->count;
}

static bool add_to_holes(MappedSave *m, size_t block, bool second, uint64_t page, GError **errp)
{
    if (!is_next(&m->holes, block, second, page)) {
        if (!flush_holes(m, errp)) {
            return false;
        }
        m->holes = (MappedPages){ .block = block, .second = second, .first = page };
    }
    m->holes.count++;
    return true;
}

/*
 * What one thread writes later lies on top. Of several the older content of a page, and its sum, may
 * come last, or a hole, unless all that was put before is in the file first.
 */
static bool mapped_save_begin_pass(RamPageOut *out, StreamWriter *w, GError **errp)
{
    MappedSave *m = (MappedSave *)out;

    return !m->parallel ||
           (flush_run(m, errp) && flush_holes(m, errp) && channel_settle(m->channel, errp));
}

/* Neighbours are written together: by the time it is, the guest may have changed the page. */
static bool add_to_run(MappedSave *m, size_t block, bool second, uint64_t page, GError **errp)
{
    if (!is_next(&m->run, block, second, page) || m->run.count == RUN_MAX_PAGES) {
        if (!flush_run(m, errp)) {
            return false;
        }
        m->run = (MappedPages){ .block = block, .second = second, .first = page };
    }
    m->run.count++;
    return true;
}

/* Which of its places is this save's to write. */
static bool new_place(const MappedSave *m, size_t block, uint64_t page)
{
    return m->base && mapped_base_new_place(&m->base->blocks[block], page);
}

/* Has this save written it? In base it was either not there, or in the other place. */
static bool was_written(const MappedSave *m, size_t block, uint64_t page)
{
    const MappedBlock *b = &m->blocks[block];
    uint64_t word = page / 64, bit = 1ULL << (page % 64);

    return b->bitmap[word] & bit &&
           (!m->base || !(m->base->blocks[block].present[word] & bit) ||
            !(b->second[word] & bit) != !(m->base->blocks[block].second[word] & bit));
}

static void set_second(MappedBlock *b, uint64_t page, bool second)
{
    uint64_t bit = 1ULL << (page % 64);

    if (b->second) {
        b->second[page / 64] = second ? b->second[page / 64] | bit : b->second[page / 64] & ~bit;
    }
}

/* Whole pages from guest memory only: the rules of the options exclude deltas here. */
static bool mapped_save_page(RamPageOut *out, StreamWriter *w, size_t block, uint64_t page,
                             const RamPage *content, uint64_t *cost, GError **errp)
{
    MappedSave *m = (MappedSave *)out;
    uint64_t *word = &m->blocks[block].bitmap[page / 64], bit = 1ULL << (page % 64);
    bool second = new_place(m, block, page);

    if (content->kind == RAM_PAGE_ZERO) {
        bool was = was_written(m, block, page);
        *word &= ~bit;
        set_second(&m->blocks[block], page, false);
        if (m->blocks[block].sums) {
            mapped_sums_clear(m->blocks[block].sums, page);
        }
        *cost = 0;
        return !was || add_to_holes(m, block, second, page, errp);
    }
    *word |= bit;
    set_second(&m->blocks[block], page, second);
    *cost = content->len;
    return add_to_run(m, block, second, page, errp);
}

static bool mapped_save_settle(RamPageOut *out, StreamWriter *w, GError **errp)
{
    return true;    /* nothing ever points into a cache */
}

/* The founding document's layout has one EOS, at the end of START. */
static bool put_eos(MappedSave *m, StreamWriter *w, uint64_t *bytes, GError **errp)
{
    *bytes = 0;
    if (m->layout != RAM_LAYOUT_FIXED) {
        stream_put_be64(w, RAM_FLAG_EOS);
        *bytes = sizeof(uint64_t);
    }
    return stream_writer_ok(w, errp);
}

/* Each page has its place: nothing refers to another. */
static void mapped_save_restart(RamPageOut *out)
{
}

/* A page is written in the pass it was sent in. */
static bool mapped_save_part_end(RamPageOut *out, StreamWriter *w, uint64_t *cost, GError **errp)
{
    MappedSave *m = (MappedSave *)out;

    return flush_run(m, errp) && flush_holes(m, errp) && put_eos(m, w, cost, errp);
}

/* The bitmap is as it will be in the file. */
static bool write_sums(MappedSave *m, size_t block, GError **errp)
{
    static const uint8_t zeros[SUMS_CHUNK];
    MappedBlock *b = &m->blocks[block];
    uint64_t at = mapped_sums_offset(b->region.bitmap_offset + b->region.bitmap_bytes);
    uint64_t left = mapped_sums_bytes(ram_block_pages(ram_list_get(m->ram, block))), n;

    mapped_sums_seal(b->sums, b->bitmap, b->region.bitmap_bytes);
    for (const uint8_t *p = mapped_sums_data(b->sums); left > 0; p += n, at += n, left -= n) {
        n = MIN(left, SUMS_CHUNK);
        if ((m->base || memcmp(p, zeros, n)) && !channel_pwrite_all(m->channel, p, n, at, errp)) {
            return false;
        }
    }
    return true;
}

/* To how it is in the file, or back. */
static void swap_words(uint64_t *bitmap, size_t words)
{
    for (size_t i = 0; bitmap && i < words; i++) {
        bitmap[i] = GUINT64_TO_LE(bitmap[i]);
    }
}

static bool write_bitmap(MappedSave *m, size_t block, GError **errp)
{
    MappedBlock *b = &m->blocks[block];

    swap_words(b->bitmap, b->words);
    swap_words(b->second, b->words);
    if (b->sums && !write_sums(m, block, errp)) {
        return false;
    }
    return channel_pwrite_all(m->channel, b->bitmap, b->region.bitmap_bytes,
                              b->region.bitmap_offset, errp) &&
           (!b->second || channel_pwrite_all(m->channel, b->second, b->region.bitmap_bytes,
                                             b->region.second_bitmap_offset, errp));
}

/* What base has in a place that is not in use any more is a hole when the file has gone over. */
static bool give_back(MappedSave *m, size_t block, GError **errp)
{
    const MappedBaseBlock *old = &m->base->blocks[block];
    uint64_t pages = ram_block_pages(ram_list_get(m->ram, block));
    MappedPages gone = { .block = block };
    bool ok = true;

    for (uint64_t page = 0; ok && page <= pages; page++) {
        uint64_t word = page / 64, bit = 1ULL << (page % 64);
        bool now = page < pages && m->blocks[block].bitmap[word] & bit;
        bool there = page < pages && old->present[word] & bit && (!now || was_written(m, block, page));
        bool second = there && old->second[word] & bit;

        if (gone.count && (!there || second != gone.second)) {
            ok = channel_punch(m->channel, place_of(m, &gone), gone.count * TARGET_PAGE_SIZE, true, errp);
            gone.count = 0;
        }
        if (there && gone.count++ == 0) {
            gone.first = page;
            gone.second = second;
        }
    }
    return ok;
}

static bool mapped_save_finish(RamPageOut *out, StreamWriter *w, GError **errp)
{
    MappedSave *m = (MappedSave *)out;
    uint64_t bytes;

    /* The sums are complete when all pages are in the file. */
    if (!flush_run(m, errp) || !flush_holes(m, errp) ||
        (m->parallel && !channel_settle(m->channel, errp))) {
        return false;
    }
    for (size_t i = 0; i < m->count; i++) {
        if ((m->base && !give_back(m, i, errp)) || !write_bitmap(m, i, errp)) {
            return false;
        }
    }
    return put_eos(m, w, &bytes, errp);
}

static void mapped_save_free(RamPageOut *out)
{
    MappedSave *m = (MappedSave *)out;

    for (size_t i = 0; i < m->count; i++) {
        g_free(m->blocks[i].bitmap);
        g_free(m->blocks[i].second);
        mapped_sums_free(m->blocks[i].sums);
    }
    g_free(m->blocks);
    g_free(m);
}

static const RamPageOutOps mapped_save_ops = {
    .block = mapped_save_block,
    .setup_end = mapped_save_setup_end,
    .begin_pass = mapped_save_begin_pass,
    .page = mapped_save_page,
    .settle = mapped_save_settle,
    .restart = mapped_save_restart,
    .part_end = mapped_save_part_end,
    .finish = mapped_save_finish,
    .free = mapped_save_free,
};

RamPageOut *mapped_save_new(RAMList *ram, Channel *channel, RamLayout layout, GError **errp)
{
    MappedSave *m;

    if (!channel_positionable(channel, errp)) {
        return NULL;
    }
    m = g_new0(MappedSave, 1);
    m->out.ops = &mapped_save_ops;
    m->ram = ram;
    m->channel = channel;
    m->layout = layout;
    m->count = ram_list_count(ram);
    m->blocks = g_new0(MappedBlock, m->count + 1);
    for (size_t i = 0; i < m->count; i++) {
        MappedBlock *b = &m->blocks[i];

        b->words = (ram_block_pages(ram_list_get(ram, i)) + 63) / 64;
        b->bitmap = g_try_new0(uint64_t, b->words);
        if (!b->bitmap) {
            error_setg(errp, "cannot allocate the page bitmap of RAM block \"%s\"",
                       ram_list_get(ram, i)->idstr);
            mapped_save_free(&m->out);
            return NULL;
        }
    }
    return &m->out;
}

/* As base has it. */
static bool copy_base(MappedSave *m, const MappedBase *base, GError **errp)
{
    m->base = base;
    for (size_t i = 0; i < m->count; i++) {
        MappedBlock *b = &m->blocks[i];

        b->second = g_try_new(uint64_t, b->words);
        if (!b->second) {
            error_setg(errp, "cannot allocate the page bitmap of RAM block \"%s\"",
                       ram_list_get(m->ram, i)->idstr);
            return false;
        }
        memcpy(b->bitmap, base->blocks[i].present, b->words * sizeof(uint64_t));
        memcpy(b->second, base->blocks[i].second, b->words * sizeof(uint64_t));
    }
    return true;
}

RamPageOut *mapped_save_new_again(RAMList *ram, Channel *channel, const MappedBase *base, GError **errp)
{
    RamPageOut *out = mapped_save_new(ram, channel, RAM_LAYOUT_MAPPED, errp);

    if (out && !copy_base((MappedSave *)out, base, errp)) {
        mapped_save_free(out);
        return NULL;
    }
    return out;
}

uint64_t mapped_save_unplaced(RamPageOut *out, uint64_t *const *dirty)
{
    const MappedSave *m = (const MappedSave *)out;
    uint64_t n = 0;

    for (size_t i = 0; i < m->count; i++) {
        for (size_t w = 0; w < m->blocks[i].words; w++) {
            uint64_t placed = m->blocks[i].bitmap[w];

            if (m->base) {  /* what is where base has it has no place of this save's yet */
                placed &= ~m->base->blocks[i].present[w] |
                          (m->blocks[i].second[w] ^ m->base->blocks[i].second[w]);
            }
            n += (uint64_t)__builtin_popcountll(dirty[i][w] & ~placed);
        }
    }
    return n;
}

MappedBase *mapped_save_take_base(RamPageOut *out, GError **errp)
{
    MappedSave *m = (MappedSave *)out;
    MappedBase *b = mapped_base_new(m->ram, errp);

    for (size_t i = 0; b && i < m->count; i++) {
        MappedBlock *from = &m->blocks[i];
        MappedBaseBlock *to = &b->blocks[i];

        swap_words(from->bitmap, from->words);
        swap_words(from->second, from->words);
        memcpy(to->present, from->bitmap, from->words * sizeof(uint64_t));
        if (from->second) {
            memcpy(to->second, from->second, from->words * sizeof(uint64_t));
        }
        to->pages_offset = from->region.pages_offset;
        to->second_offset = from->region.second_offset;
        to->sums = g_steal_pointer(&from->sums);
    }
    if (b && m->base) {
        b->stream_offset = mapped_base_next_stream(m->base);
        b->room_offset = m->base->room_offset;
        b->room_bytes = m->base->room_bytes;
    }
    if (b) {
        b->saves = m->base ? m->base->saves + 1 : 1;
    }
    return b;
}

bool mapped_save_set_checksum(RamPageOut *out, GError **errp)
{
    MappedSave *m = (MappedSave *)out;

    for (size_t i = 0; i < m->count; i++) {
        m->blocks[i].sums = m->base ? mapped_sums_copy(m->base->blocks[i].sums, errp)
                                    : mapped_sums_new(ram_list_get(m->ram, i), errp);
        if (!m->blocks[i].sums) {
            return false;
        }
    }
    return true;
}

bool mapped_save_set_writers(RamPageOut *out, unsigned n, GError **errp)
{
    MappedSave *m = (MappedSave *)out;

    m->parallel = true;
    return channel_set_writers(m->channel, n, errp);
}
