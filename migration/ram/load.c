/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's RAM: one parser for START, PART and END payloads. Called
 * by migration/destination/incoming on the incoming thread. Every number of the stream is
 * checked before it is used; nothing is allocated by what the stream says;
 * a message names the record's place in the stream, its block and page.
 */
#include "migration/ram/load.h"
#include "migration/load-error.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "migration/mapped/mapped-layout.h"
#include "migration/ram/fresh.h"
#include "migration/ram/load-file.h"
#include "migration/codec/simd.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/size-text.h"
#include "util/trace-migration.h"

#define COUNTED_AT_ONCE 64

struct RamLoader {
    /* set once */
    RAMList *ram;
    DirtyLog *dirty;
    RamLoadOptions opt;
    const RamPageSink *sink;
    void *sink_opaque;
    RamSyncPoint *sync_point;   /* NULL: no parallel channels */
    void *sync_opaque;
    RamListedFn *listed;        /* NULL: pages of a mapped file are read at once */
    void *listed_opaque;
    /* incoming thread only */
    RamFresh *fresh;            /* NULL until the block list came; read by any thread behind that */
    RamLoadFile *file;          /* opened by mapped layouts only */
    uint64_t parts;                 /* payloads loaded */
    bool *named;                /* block i was in the block list */
    bool *came;                 /* pages of block i came */
    RAMBlock *block;            /* of the last page record: CONTINUE means this one */
    size_t index;
    uint64_t record;            /* stream offset of the record being read */
    uint64_t skipped;           /* bytes of the record that are places for pages in the file */
    bool flushed;               /* there was a word about a sync point */
    bool flush_each_section;    /* there is none: the end of each section is one */
    bool page_sizes;            /* unusual ones are told in the block list */
    bool postcopy;              /* pages are placed while the guest runs */
    bool told;                  /* listed was called */
    uint8_t delta[STREAM_PAGE_SIZE];
    RamLoadStats here;          /* of the last records, not in stats yet */
    unsigned uncounted;         /* so many records */
    /* atomic counters */
    RamLoadStats *stats;        /* own, or those of the loader this one is beside */
    RamLoadStats own;
};

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/*
 * Not with each record: an atomic addition waits until the page before it has reached the memory,
 * which a tenth of the loader's time went into.
 */
static void fold_counts(RamLoader *l)
{
    count(&l->stats->normal, l->here.normal);
    count(&l->stats->zero, l->here.zero);
    count(&l->stats->xbzrle, l->here.xbzrle);
    count(&l->stats->bytes, l->here.bytes);
    l->here = (RamLoadStats){ 0 };
    l->uncounted = 0;
}

/* ---- the direct sink: guest memory ---- */

static uint8_t *direct_place(void *opaque, size_t block, uint64_t page)
{
    RamLoader *l = opaque;

    ram_fresh_touch(l->fresh, block, page);
    return ram_list_get(l->ram, block)->host + (page << TARGET_PAGE_BITS);
}

static bool direct_placed(void *opaque, size_t block, uint64_t page, GError **errp)
{
    RamLoader *l = opaque;

    dirty_log_mark(l->dirty, ram_list_get(l->ram, block), page << TARGET_PAGE_BITS,
                   TARGET_PAGE_SIZE);
    return true;
}

static bool direct_fill(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                        GError **errp)
{
    RamLoader *l = opaque;

    if (value == 0 && !ram_fresh_zero(l->fresh, block, page, count)) {
        return true;
    }
    for (uint64_t p = page; value != 0 && p < page + count; p++) {
        memset(direct_place(l, block, p), value, TARGET_PAGE_SIZE);
    }
    dirty_log_mark(l->dirty, ram_list_get(l->ram, block), page << TARGET_PAGE_BITS,
                   count << TARGET_PAGE_BITS);
    return true;
}

static const RamPageSink direct_sink = {
    .place = direct_place,
    .placed = direct_placed,
    .fill = direct_fill,
};

/* ---- messages ---- */

/* Always false. The reader has failed: its error, and where, unless the peer just went away. */
static bool broken_off(const RamLoader *l, StreamReader *r, GError **errp)
{
    g_autoptr(GError) err = NULL;

    stream_reader_ok(r, &err);
    stream_reader_ok(r, errp);
    if (!g_error_matches(err, LOAD_ERROR, LOAD_ERROR_PEER_ENDED)) {
        error_prepend(errp, "ram: record at stream offset 0x%" PRIx64 ": ", l->record);
    }
    return false;
}

/* Always false: the sentence, then where. A stream that broke off before is the first cause. */
static bool G_GNUC_PRINTF(6, 0) refusev(RamLoader *l, StreamReader *r, GQuark domain, int code,
                                        GError **errp, const char *fmt, va_list ap)
{
    if (!stream_reader_ok(r, NULL)) {
        return broken_off(l, r, errp);
    }
    g_autofree char *what = g_strdup_vprintf(fmt, ap);
    error_set_domain(errp, domain, code, "%s (ram: record at stream offset 0x%" PRIx64 ")", what,
                     l->record);
    return false;
}

static bool G_GNUC_PRINTF(4, 5) refuse(RamLoader *l, StreamReader *r, GError **errp,
                                       const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    refusev(l, r, FERRY_ERROR, FERRY_ERROR_GENERIC, errp, fmt, ap);
    va_end(ap);
    return false;
}

/* The same where somebody can be told what to do. */
static bool G_GNUC_PRINTF(5, 6) refuse_as(RamLoader *l, StreamReader *r, LoadError code,
                                          GError **errp, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    refusev(l, r, LOAD_ERROR, code, errp, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- START: the block list ---- */

/* The local block's index, or the number of blocks. */
static size_t block_index(const RamLoader *l, const RAMBlock *block)
{
    size_t i = 0;

    while (i < ram_list_count(l->ram) && ram_list_get(l->ram, i) != block) {
        i++;
    }
    return i;
}

/* Memory that the source maps, too: it is as it has to be. */
static bool is_left_out(const RamLoader *l, const RAMBlock *block)
{
    return l->opt.ignore_shared && block->shared;
}

static void pages_came(void *opaque, uint64_t pages)
{
    ram_loader_count_late(opaque, pages);
}

static bool load_mapped_block(RamLoader *l, StreamReader *r, size_t index, GError **errp)
{
    const RamLoadFileUser user = { l->sink, l->sink_opaque, pages_came, l, l->listed != NULL };
    uint64_t start = stream_reader_offset(r), absent;

    if (!ram_load_file_block(l->file, r, index, &user, &absent, errp)) {
        return false;
    }
    /* All pages of a block that is listed might have been in the file: now it is known which are. */
    __atomic_fetch_sub(&l->stats->in_file, absent, __ATOMIC_RELAXED);
    if (!ram_load_file_pages(l->file, index, &user, errp)) {
        return false;
    }
    l->skipped += stream_reader_offset(r) - start;      /* most of them may be holes */
    return true;
}

/* Only with postcopy, and only where it is not 4096. */
static bool load_page_size(RamLoader *l, StreamReader *r, const RAMBlock *block, GError **errp)
{
    if (!l->page_sizes || block->page_size == MAX((uint64_t)sysconf(_SC_PAGESIZE), TARGET_PAGE_SIZE)) {
        return true;
    }
    uint64_t there = stream_get_be64(r);
    if (!stream_reader_ok(r, NULL)) {
        return broken_off(l, r, errp);
    }
    if (there != block->page_size) {
        return refuse(l, r, errp, "Mismatched RAM page size %s (local) %" PRIu64 " != %" PRIu64,
                      block->idstr, block->page_size, there);
    }
    return true;
}

static bool load_block(RamLoader *l, StreamReader *r, uint64_t left, uint64_t *length,
                       GError **errp)
{
    char name[256];
    const RAMBlock *block;
    uint64_t guest_addr = 0;
    size_t index;

    stream_get_cstr(r, name);
    *length = stream_get_be64(r);
    if (l->opt.ignore_shared) {
        guest_addr = stream_get_be64(r);
    }
    if (!stream_reader_ok(r, NULL)) {
        return broken_off(l, r, errp);
    }
    block = ram_list_find(l->ram, name, strlen(name));
    if (!block) {
        bool rom = g_str_has_prefix(name, "/rom@etc/acpi");
        return refuse_as(l, r, rom ? LOAD_ERROR_ROM_UNKNOWN : LOAD_ERROR_BLOCK_UNKNOWN, errp,
                         "Unknown ramblock \"%s\", cannot accept migration", name);
    }
    if (*length != block->used_length) {
        bool flash = g_str_has_prefix(name, "virt.flash");
        g_autofree char *there = size_text(*length), *here = size_text(block->used_length);
        return refuse_as(l, r, flash ? LOAD_ERROR_FLASH_SIZE : LOAD_ERROR_BLOCK_SIZE, errp,
                         "Size mismatch: %s: 0x%" PRIx64 " != 0x%" PRIx64 ": Invalid argument: %s "
                         "there, %s here", name, *length, block->used_length, there, here);
    }
    if (!load_page_size(l, r, block, errp)) {
        return false;
    }
    if (is_left_out(l, block) && guest_addr != block->guest_addr) {
        return refuse(l, r, errp, "Mismatched GPAs for block %s: 0x%" PRIx64 " there, 0x%" PRIx64
                      " here", name, guest_addr, block->guest_addr);
    }
    index = block_index(l, block);
    if (l->named[index]) {
        return refuse(l, r, errp, "RAM block \"%s\" is listed twice", name);
    }
    if (*length > left) {
        return refuse(l, r, errp, "RAM block \"%s\": 0x%" PRIx64 " bytes, but only 0x%" PRIx64
                      " are left of the announced total", name, *length, left);
    }
    l->named[index] = true;
    return l->opt.layout == RAM_LAYOUT_STREAM || load_mapped_block(l, r, index, errp);
}

static bool load_block_list(RamLoader *l, StreamReader *r, uint64_t total, GError **errp)
{
    uint64_t length;

    if (!l->fresh) {
        l->fresh = ram_fresh_new(l->ram, errp);
    }
    if (!l->fresh) {
        return false;
    }
    if (l->told) {
        return refuse(l, r, errp, "a second list of RAM blocks, and the file is being read late");
    }
    memset(l->named, 0, ram_list_count(l->ram) * sizeof(l->named[0]));
    if (l->opt.layout != RAM_LAYOUT_STREAM) {
        count(&l->stats->in_file, total >> TARGET_PAGE_BITS);
    }
    while (total > 0) {
        if (!load_block(l, r, total, &length, errp)) {
            return false;
        }
        total -= length;
    }
    MappedFile *file = ram_load_file_mapped(l->file);
    l->told = l->listed && file;
    return !l->told || l->listed(l->listed_opaque, file, errp);
}

/* ---- page records ---- */

/* Several threads may say so at once. */
static void note_came(RamLoader *l, size_t block)
{
    __atomic_store_n(&l->came[block], true, __ATOMIC_RELAXED);
}

/* Block id and offset; *page is inside l->block afterwards. */
static bool load_page_header(RamLoader *l, StreamReader *r, uint64_t word, uint64_t *page,
                             GError **errp)
{
    uint64_t offset = word & ~RAM_FLAGS_MASK;
    char name[256];

    if (word & RAM_FLAG_CONTINUE) {
        if (!l->block) {
            return refuse(l, r, errp, "Ack, bad migration stream! Illegal RAM offset %" PRIx64
                          ": CONTINUE without a block before", offset);
        }
    } else {
        if (!stream_get_cstr(r, name)) {
            return broken_off(l, r, errp);
        }
        l->block = ram_list_find(l->ram, name, strlen(name));
        if (!l->block) {
            return refuse(l, r, errp, "Can't find block %s: Illegal RAM offset %" PRIx64, name,
                          offset);
        }
        l->index = block_index(l, l->block);
    }
    if (offset >= l->block->used_length) {
        return refuse(l, r, errp, "Illegal RAM offset %" PRIx64 ": RAM block \"%s\" has 0x%" PRIx64
                      " bytes", offset, l->block->idstr, l->block->used_length);
    }
    if (!l->named[l->index]) {
        return refuse(l, r, errp, "page 0x%" PRIx64 " of RAM block \"%s\", which was not announced",
                      offset, l->block->idstr);
    }
    if (is_left_out(l, l->block)) {
        return refuse(l, r, errp, "block %s should not be migrated !: it is shared memory here, "
                      "give the source the same file with share=on", l->block->idstr);
    }
    note_came(l, l->index);
    *page = offset >> STREAM_PAGE_BITS;
    return true;
}

static bool load_zero(RamLoader *l, StreamReader *r, uint64_t page, GError **errp)
{
    uint8_t fill = stream_get_u8(r);

    if (!stream_reader_ok(r, NULL) || (fill != 0 && l->opt.zero_fill == RAM_ZERO_FILL_STRICT)) {
        return refuse(l, r, errp, "Found a zero page with value %d: RAM block \"%s\", page 0x%"
                      PRIx64, fill, l->block->idstr, page << STREAM_PAGE_BITS);
    }
    l->here.zero++;
    return l->sink->fill(l->sink_opaque, l->index, page, 1, fill, errp);
}

static bool load_normal(RamLoader *l, StreamReader *r, uint64_t page, GError **errp)
{
    uint8_t *host = l->sink->place(l->sink_opaque, l->index, page);

    if (!stream_get_buffer(r, host, STREAM_PAGE_SIZE)) {
        return broken_off(l, r, errp);
    }
    l->here.normal++;
    return l->sink->placed(l->sink_opaque, l->index, page, errp);
}

static bool refuse_delta(RamLoader *l, StreamReader *r, uint64_t page, const char *why,
                         unsigned got, unsigned expected, GError **errp)
{
    return refuse(l, r, errp, "Failed to load XBZRLE page - %s! Failed to decompress XBZRLE page "
                  "at %" PRIx64 ": RAM block \"%s\", got %u, expected %s%u", why,
                  page << STREAM_PAGE_BITS, l->block->idstr, got,
                  expected == XBZRLE_ENCODING_FLAG ? "" : "at most ", expected);
}

static bool load_delta(RamLoader *l, StreamReader *r, uint64_t page, GError **errp)
{
    uint8_t encoding = stream_get_u8(r);
    uint16_t len = stream_get_be16(r);

    if (l->postcopy) {
        return refuse(l, r, errp, "XBZRLE record after the switch to postcopy: RAM block \"%s\", "
                      "page 0x%" PRIx64, l->block->idstr, page << STREAM_PAGE_BITS);
    }
    if (!stream_reader_ok(r, NULL)) {
        return broken_off(l, r, errp);
    }
    if (encoding != XBZRLE_ENCODING_FLAG) {
        return refuse_delta(l, r, page, "wrong compression", encoding, XBZRLE_ENCODING_FLAG, errp);
    }
    if (len > STREAM_PAGE_SIZE) {
        return refuse_delta(l, r, page, "len overflow", len, STREAM_PAGE_SIZE, errp);
    }
    if (!stream_get_buffer(r, l->delta, len)) {
        return broken_off(l, r, errp);
    }
    if (l->opt.simd->decode(l->delta, len, l->sink->place(l->sink_opaque, l->index, page),
                            STREAM_PAGE_SIZE) < 0) {
        return refuse(l, r, errp, "Failed to load XBZRLE page - decode error! Failed to decompress "
                      "XBZRLE page at %" PRIx64 ": RAM block \"%s\", malformed delta of %u bytes",
                      page << STREAM_PAGE_BITS, l->block->idstr, len);
    }
    l->here.xbzrle++;
    return l->sink->placed(l->sink_opaque, l->index, page, errp);
}

static bool load_page(RamLoader *l, StreamReader *r, uint64_t word, unsigned kind, GError **errp)
{
    uint64_t page;

    if (!load_page_header(l, r, word, &page, errp)) {
        return false;
    }
    switch (kind) {
    case RAM_FLAG_ZERO:
        return load_zero(l, r, page, errp);
    case RAM_FLAG_PAGE:
        return load_normal(l, r, page, errp);
    default:
        return load_delta(l, r, page, errp);
    }
}

/* ---- the payload ---- */

/* migration-stream 7.4 */
static bool load_flush(RamLoader *l, StreamReader *r, GError **errp)
{
    if (!l->sync_point) {
        return refuse(l, r, errp, "The pages come in channels of their own, which are not expected: "
                      "the capability 'multifd' is on at the source, and has to be on here, too");
    }
    l->flushed = true;
    return l->sync_point(l->sync_opaque, errp);
}

/* QEMU 7.2 knows no such word: then START has none, and the end of each payload is a sync point. */
static bool end_section(RamLoader *l, GError **errp)
{
    if (!l->sync_point) {
        return true;
    }
    if (l->parts == 0) {
        l->flush_each_section = !l->flushed;
    }
    return !l->flush_each_section || l->sync_point(l->sync_opaque, errp);
}

static bool load_record(RamLoader *l, StreamReader *r, uint64_t word, GError **errp)
{
    unsigned kind = word & RAM_FLAGS_MASK & ~(uint64_t)RAM_FLAG_CONTINUE;

    switch (kind) {
    case RAM_FLAG_MEM_SIZE:
        if (l->postcopy) {
            return refuse(l, r, errp, "List of RAM blocks after the switch to postcopy");
        }
        return load_block_list(l, r, word & ~RAM_FLAGS_MASK, errp);
    case RAM_FLAG_ZERO:
    case RAM_FLAG_PAGE:
    case RAM_FLAG_XBZRLE:
        if (l->opt.layout != RAM_LAYOUT_STREAM) {
            return refuse(l, r, errp, "Unexpected RAM flags: %u: pages of a %s file are not in "
                          "the stream", kind, mapped_layout_name(l->opt.layout));
        }
        return load_page(l, r, word, kind, errp);
    case RAM_FLAG_MULTIFD_FLUSH:
        return load_flush(l, r, errp);
    case RAM_FLAG_HOOK:
        return refuse(l, r, errp, "RDMA record on a channel that is not RDMA (flags 0x%x)", kind);
    case RAM_FLAG_COMPRESS_PAGE:
        return refuse(l, r, errp, "Page compressed by the capability 'compress' (flags 0x%x), "
                      "which is not supported", kind);
    default:
        return refuse(l, r, errp, "Unknown combination of migration flags: 0x%x", kind);
    }
}

/* fixed-ram: PART and END are empty, the footer follows [6.6]. */
static bool payload_is_empty(const RamLoader *l)
{
    return l->opt.layout == RAM_LAYOUT_FIXED && l->fresh;
}

/* One record; *eos: it was the one that ends the payload. */
static bool load_next(RamLoader *l, StreamReader *r, bool *eos, GError **errp)
{
    l->record = stream_reader_offset(r);
    l->skipped = 0;
    uint64_t word = stream_get_be64(r);
    if (!stream_reader_ok(r, NULL)) {
        return broken_off(l, r, errp);
    }
    *eos = (word & RAM_FLAGS_MASK & ~(uint64_t)RAM_FLAG_CONTINUE) == RAM_FLAG_EOS;
    if (*eos) {
        fold_counts(l);
        return true;
    }
    if (!load_record(l, r, word, errp)) {
        fold_counts(l);
        return false;
    }
    l->here.bytes += stream_reader_offset(r) - l->record - l->skipped;
    if (++l->uncounted == COUNTED_AT_ONCE) {
        fold_counts(l);
    }
    return true;
}

bool ram_load_payload(RamLoader *l, StreamReader *r, uint32_t version_id, GError **errp)
{
    l->record = stream_reader_offset(r);
    if (version_id != RAM_SECTION_VERSION) {
        return refuse(l, r, errp, "ram section version %u, expected %u", version_id,
                      RAM_SECTION_VERSION);
    }
    if (payload_is_empty(l)) {
        return true;
    }
    for (bool eos = false; !eos;) {
        if (!load_next(l, r, &eos, errp)) {
            return false;
        }
    }
    bool ok = end_section(l, errp);
    trace_ram_load_complete(ok ? 0 : -1, ++l->parts);
    return ok;
}

bool ram_load_urgent(RamLoader *l, StreamReader *r, GError **errp)
{
    uint8_t first;

    for (bool eos = false; !eos;) {
        if (!stream_peek(r, 0, &first, 1)) {
            return stream_reader_ok(r, errp);
        }
        if (!load_next(l, r, &eos, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- beside the stream ---- */

bool ram_load_beside_block(RamLoader *l, const char *name, size_t *block, GError **errp)
{
    const RAMBlock *found = ram_list_find(l->ram, name, strlen(name));

    if (!found) {
        error_setg(errp, "multifd: unknown ram block %s", name);
        return false;
    }
    *block = block_index(l, found);
    if (!l->named[*block]) {
        error_setg(errp, "multifd: pages of RAM block \"%s\", which was not announced", name);
        return false;
    }
    if (is_left_out(l, found)) {
        error_setg(errp, "multifd: block %s should not be migrated !: it is shared memory here, give "
                   "the source the same file with share=on", name);
        return false;
    }
    note_came(l, *block);
    return true;
}

uint8_t *ram_load_beside_place(RamLoader *l, size_t block, uint64_t page)
{
    return l->sink->place(l->sink_opaque, block, page);
}

bool ram_load_beside_placed(RamLoader *l, size_t block, uint64_t page, GError **errp)
{
    count(&l->stats->normal, 1);
    return l->sink->placed(l->sink_opaque, block, page, errp);
}

bool ram_load_beside_zero(RamLoader *l, size_t block, uint64_t page, GError **errp)
{
    count(&l->stats->zero, 1);
    return l->sink->fill(l->sink_opaque, block, page, 1, 0, errp);
}

void ram_load_beside_count(RamLoader *l, uint64_t bytes)
{
    count(&l->stats->bytes, bytes);
}

/* Every page is sent once, zero or not: a block of which nothing came was left out. */
bool ram_load_check_complete(const RamLoader *l, GError **errp)
{
    for (size_t i = 0; l->opt.ignore_shared && i < ram_list_count(l->ram); i++) {
        const RAMBlock *block = ram_list_get(l->ram, i);

        if (l->named[i] && !l->came[i] && !block->shared) {
            error_setg(errp, "the source has left out the memory \"%s\", which is not shared "
                       "here: give -object memory-backend-file the same file and share=on",
                       block->idstr);
            return false;
        }
    }
    return true;
}

/* ---- life ---- */

RamLoader *ram_loader_new(RAMList *ram, DirtyLog *dirty, const RamLoadOptions *opt)
{
    RamLoader *l = g_new0(RamLoader, 1);

    l->ram = ram;
    l->dirty = dirty;
    l->opt = *opt;
    l->named = g_new0(bool, ram_list_count(ram) + 1);
    l->opt.simd = opt->simd ? opt->simd : ram_simd_best();
    l->came = g_new0(bool, ram_list_count(ram) + 1);
    l->stats = &l->own;
    l->file = ram_load_file_new(ram, opt);
    ram_loader_set_sink(l, &direct_sink, l);
    return l;
}

void ram_loader_set_sync_point(RamLoader *l, RamSyncPoint *fn, void *opaque)
{
    l->sync_point = fn;
    l->sync_opaque = opaque;
}

void ram_loader_free(RamLoader *l)
{
    if (l) {
        ram_load_file_free(l->file);
        ram_fresh_free(l->fresh);
        g_free(l->named);
        g_free(l->came);
        g_free(l);
    }
}

RamLoader *ram_loader_new_beside(const RamLoader *of)
{
    RamLoader *l = ram_loader_new(of->ram, of->dirty, &of->opt);

    memcpy(l->named, of->named, ram_list_count(l->ram) * sizeof(l->named[0]));
    l->stats = of->stats;
    return l;
}

void ram_loader_expect_page_sizes(RamLoader *l)
{
    l->page_sizes = true;
}

void ram_loader_begin_postcopy(RamLoader *l, const RamPageSink *sink, void *opaque)
{
    l->postcopy = true;
    l->block = NULL;
    ram_loader_set_sink(l, sink, opaque);
}

void ram_loader_set_late(RamLoader *l, RamListedFn *listed, void *opaque)
{
    l->listed = listed;
    l->listed_opaque = opaque;
}

void ram_loader_count_late(RamLoader *l, uint64_t pages)
{
    count(&l->stats->normal, pages);
    count(&l->stats->bytes, pages * STREAM_PAGE_SIZE);
}

MappedBase *ram_loader_base(const RamLoader *l, GError **errp)
{
    MappedFile *file = ram_load_file_mapped(l->file);

    if (!file) {
        error_setg(errp, "it comes from no file with places for pages");
        return NULL;
    }
    return mapped_file_base(file, errp);
}

void ram_loader_set_sink(RamLoader *l, const RamPageSink *sink, void *opaque)
{
    l->sink = sink;
    l->sink_opaque = opaque;
}

void ram_loader_get_stats(const RamLoader *l, RamLoadStats *out)
{
    out->normal = __atomic_load_n(&l->stats->normal, __ATOMIC_RELAXED);
    out->zero = __atomic_load_n(&l->stats->zero, __ATOMIC_RELAXED);
    out->xbzrle = __atomic_load_n(&l->stats->xbzrle, __ATOMIC_RELAXED);
    out->bytes = __atomic_load_n(&l->stats->bytes, __ATOMIC_RELAXED);
    out->in_file = __atomic_load_n(&l->stats->in_file, __ATOMIC_RELAXED);
}
