/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ram.h. Page records are checked and applied to the model's RAM, deltas
 * to the page they belong to, so that a stream that cannot be loaded right is
 * found here. Written from the description of the format, not from Ferry's
 * own reader: it is the second opinion.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>
#include "delta.h"
#include "ram-private.h"

enum {
    W_ZERO = 0x2, W_SIZE = 0x4, W_PAGE = 0x8, W_EOS = 0x10, W_CONTINUE = 0x20, W_DELTA = 0x40,
    W_HOOK = 0x80, W_COMPRESS = 0x100, W_FLUSH = 0x200,
};
#define TOTAL_MAX ((uint64_t)16 << 40)
#define COMPRESSED_MAX 4200     /* zlib's bound for a page is below */

/* ---- blocks ---- */

static void *reserve(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/*
 * Where QEMU's riscv machines map their blocks; others have no known address.
 * machine: NULL if the stream names none.
 */
static uint64_t known_address(const char *machine, const char *name)
{
    static const struct { const char *machine, *name; uint64_t addr; } known[] = {
        { "virt", "riscv_virt_board.ram", 0x80000000 }, { "virt", "riscv_virt_board.mrom", 0x1000 },
        { "virt", "virt.flash0", 0x20000000 }, { "virt", "virt.flash1", 0x22000000 },
        { "none", "ram", 0 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_str_equal(known[i].name, name) &&
            (!machine || g_str_equal(known[i].machine, machine))) {
            return known[i].addr;
        }
    }
    return UINT64_MAX;
}

RamBlock *ram_add_block(Model *m, const char *name, uint64_t length)
{
    size_t bitmap = (length / PAGE + 63) / 64 * 8;
    RamBlock *b = g_new0(RamBlock, 1);

    b->name = g_strdup(name);
    b->length = length;
    b->guest_addr = known_address(m->machine, name);
    b->seen = reserve(bitmap);
    b->written = reserve(bitmap);
    b->data = m->keep_ram ? reserve(length) : NULL;
    if (b->data) {
        madvise(b->data, length, MADV_HUGEPAGE);    /* saves a fault for each page */
    }
    g_ptr_array_add(m->blocks, b);
    return b->seen && b->written && (b->data || !m->keep_ram) ? b : NULL;
}

static RamBlock *block_add(RamReader *r, const char *name, uint64_t length, uint64_t at)
{
    RamBlock *b = ram_add_block(r->model, name, length);

    if (!b) {
        ram_problem(r, at, "block '%s' of %" PRIu64 " bytes does not fit this machine's memory",
                     name, length);
    }
    return b;
}

void ram_discard(RamBlock *b, uint64_t start, uint64_t length)
{
    for (uint64_t page = start / PAGE; page < (start + length) / PAGE; page++) {
        if (ram_bit_get(b->seen, page)) {
            b->seen[page / 64] &= ~(1ULL << (page % 64));
            b->seen_pages--;
        }
    }
}

/* ---- page records ---- */

typedef struct PageRecord {
    RamBlock *block;
    uint64_t page, at;      /* at: offset of the record in the file */
} PageRecord;

static bool problem_page(RamReader *r, const PageRecord *p, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static bool problem_page(RamReader *r, const PageRecord *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return ram_problem(r, p->at, "block '%s' page %" PRIu64 " (0x%" PRIx64 "): %s",
                        p->block->name, p->page, p->page * PAGE, text);
}

static bool sink_failed(RamReader *r, uint64_t at)
{
    return ram_problem(r, at, "what was read could not be put where it shall go");
}

/* The page's new content goes where the contents go, if anybody wants them. */
static bool put_page(RamReader *r, const PageRecord *p, const uint8_t *content)
{
    const RamSink *sink = r->model->sink;

    if (p->block->data) {
        memcpy(p->block->data + p->page * PAGE, content, PAGE);
    }
    ram_bit_set(p->block->written, p->page);
    return !sink || sink->write(r->model->sink_opaque, p->block, p->page, content) ||
           sink_failed(r, p->at);
}

static bool read_zero(RamReader *r, const PageRecord *p)
{
    static const uint8_t zero[PAGE];
    const RamSink *sink = r->model->sink;
    const uint8_t *fill = source_peek(r->source, 1);

    if (!fill) {
        return ram_ends_early(r, "a zero page");
    }
    if (*fill) {
        return problem_page(r, p, "zero page with fill byte 0x%02x", *fill);
    }
    source_take(r->source, 1);
    if (p->block->data && ram_bit_get(p->block->written, p->page)) {
        memset(p->block->data + p->page * PAGE, 0, PAGE);
    }
    if (sink && ram_bit_get(p->block->written, p->page) &&
        !sink->write(r->model->sink_opaque, p->block, p->page, zero)) {
        return sink_failed(r, p->at);
    }
    ram_count_page(r, p->block, p->page, PAGE_ZERO);
    return true;
}

static bool read_normal(RamReader *r, const PageRecord *p)
{
    const uint8_t *content = source_peek(r->source, PAGE);

    if (!content) {
        return ram_ends_early(r, "a page");
    }
    if (!put_page(r, p, content)) {
        return false;
    }
    source_take(r->source, PAGE);
    ram_count_page(r, p->block, p->page, PAGE_NORMAL);
    return true;
}

/* It is right; to where the older page is. */
static bool apply_delta(RamReader *r, const PageRecord *p, const uint8_t *delta, size_t len)
{
    const RamSink *sink = r->model->sink;
    uint8_t page[PAGE];

    ram_bit_set(p->block->written, p->page);
    if (p->block->data) {
        delta_apply(p->block->data + p->page * PAGE, delta, len);
    }
    if (!sink) {
        return true;
    }
    if (!sink->read(r->model->sink_opaque, p->block, p->page, page)) {
        return sink_failed(r, p->at);
    }
    delta_apply(page, delta, len);
    return sink->write(r->model->sink_opaque, p->block, p->page, page) || sink_failed(r, p->at);
}

static bool read_delta(RamReader *r, const PageRecord *p)
{
    RamBlock *b = p->block;
    const uint8_t *head = source_peek(r->source, 3);

    if (!head) {
        return ram_ends_early(r, "a delta");
    }
    size_t len = head[1] << 8 | head[2];
    if (head[0] != 1) {
        return problem_page(r, p, "delta with encoding 0x%02x, expected 0x01", head[0]);
    }
    if (len == 0 || len > PAGE) {
        return problem_page(r, p, "delta of %zu bytes, expected 1 to %u", len, PAGE);
    }
    if (!ram_bit_get(b->seen, p->page)) {
        return problem_page(r, p, "delta for a page that was never sent");
    }
    const uint8_t *body = source_peek(r->source, 3 + len);
    if (!body) {
        return ram_ends_early(r, "a delta");
    }
    const char *wrong = delta_apply(NULL, body + 3, len);
    if (wrong) {
        return problem_page(r, p, "delta of %zu bytes %s", len, wrong);
    }
    if (!apply_delta(r, p, body + 3, len)) {
        return false;
    }
    source_take(r->source, 3 + len);
    b->delta_bytes += len;
    ram_count_page(r, b, p->page, PAGE_DELTA);
    return true;
}

static bool read_compressed(RamReader *r, const PageRecord *p)
{
    uint8_t page[PAGE];
    uLongf size = sizeof(page);
    const uint8_t *head = source_peek(r->source, 4);
    uint32_t len = head ? ram_be32(head) : 0;

    if (head && (len == 0 || len > COMPRESSED_MAX)) {
        return problem_page(r, p, "compressed page of %u bytes, expected 1 to %u", len,
                            COMPRESSED_MAX);
    }
    const uint8_t *body = head ? source_peek(r->source, 4 + len) : NULL;
    if (!body) {
        return ram_ends_early(r, "a compressed page");
    }
    if (uncompress(page, &size, body + 4, len) != Z_OK || size != PAGE) {
        return problem_page(r, p, "compressed page of %u bytes cannot be unpacked to %u", len,
                            PAGE);
    }
    if (!put_page(r, p, page)) {
        return false;
    }
    source_take(r->source, 4 + len);
    ram_count_page(r, p->block, p->page, PAGE_COMPRESSED);
    return true;
}

/* The block of a page record: named in it, or that of the record before. */
static RamBlock *record_block(RamReader *r, uint64_t flags, uint64_t at)
{
    if (flags & W_CONTINUE) {
        if (!r->last) {
            ram_problem(r, at, "the first page record continues no block");
        }
        return r->last;
    }
    const uint8_t *p = source_peek(r->source, 1);
    const uint8_t *name = p ? source_peek(r->source, 1 + p[0]) : NULL;
    if (!name) {
        ram_ends_early(r, "a block name");
        return NULL;
    }
    RamBlock *b = model_find_block(r->model, (const char *)name + 1, name[0]);
    if (!b) {
        g_autofree char *raw = g_strndup((const char *)name + 1, name[0]);
        g_autofree char *text = g_strescape(raw, NULL);
        ram_problem(r, at, "page of an unknown block '%s'", text);
        return NULL;
    }
    source_take(r->source, 1 + name[0]);
    r->last = b;
    return b;
}

static bool read_page_record(RamReader *r, uint64_t word, uint64_t at)
{
    uint64_t flags = word & (PAGE - 1), offset = word - flags;
    PageRecord p = { .block = record_block(r, flags, at), .page = offset / PAGE, .at = at };

    if (!p.block) {
        return false;
    }
    if (offset >= p.block->length) {
        return ram_problem(r, at, "block '%s': page offset 0x%" PRIx64 " is beyond its length 0x%"
                            PRIx64, p.block->name, offset, p.block->length);
    }
    switch (flags & ~(uint64_t)W_CONTINUE) {
    case W_ZERO:
        return read_zero(r, &p);
    case W_PAGE:
        return read_normal(r, &p);
    case W_DELTA:
        return read_delta(r, &p);
    default:
        return read_compressed(r, &p);
    }
}

/* ---- the block list ---- */

/*
 * With postcopy a block whose pages are unusual says how large they are; which do is not said. It is one
 * of the sizes of ADVISE, which neither a name (its length is not 0) nor a record (it has flags) can be.
 */
static void take_page_size(RamReader *r)
{
    const uint8_t *p = r->model->page_sizes & ~(uint64_t)PAGE ? source_peek(r->source, 8) : NULL;
    uint64_t size = p ? ram_be64(p) : 0;

    if (size > PAGE && !(size & (size - 1)) && (size & r->model->page_sizes)) {
        source_take(r->source, 8);
    }
}

static bool read_block_entry(RamReader *r, uint64_t left, uint64_t *length)
{
    uint64_t at = source_offset(r->source);
    const uint8_t *p = source_peek(r->source, 1);
    size_t need = p ? 1 + p[0] + 8 + (r->model->ignore_shared ? 8 : 0) : 1;

    if (!p || !(p = source_peek(r->source, need))) {
        return ram_ends_early(r, "the block list");
    }
    g_autofree char *name = g_strndup((const char *)p + 1, p[0]);
    if (p[0] == 0 || strlen(name) != p[0] || !g_utf8_validate(name, -1, NULL)) {
        return ram_problem(r, at, "a block's name is empty or not text");
    }
    if (g_str_has_prefix(name, "riscv_virt_board.") && r->model->machine &&
        !g_str_has_prefix(r->model->machine, "virt")) {
        return ram_problem(r, at, "block '%s' is of the machine 'virt', the configuration says '%s'",
                            name, r->model->machine);
    }
    if (model_find_block(r->model, name, p[0])) {
        return ram_problem(r, at, "block '%s' is listed twice", name);
    }
    *length = ram_be64(p + 1 + p[0]);
    if (*length == 0 || *length % PAGE || *length > left) {
        return ram_problem(r, at, "block '%s': %" PRIu64 " bytes, expected a multiple of %u, at "
                            "most %" PRIu64, name, *length, PAGE, left);
    }
    uint64_t guest_addr = r->model->ignore_shared ? ram_be64(p + 1 + p[0] + 8) : UINT64_MAX;
    source_take(r->source, need);
    take_page_size(r);
    RamBlock *b = block_add(r, name, *length, at);
    if (!b) {
        return false;
    }
    if (guest_addr != UINT64_MAX) {
        b->guest_addr = guest_addr;
    }
    return r->model->layout == LAYOUT_STREAM || ram_read_placed_block(r, b);
}

static bool read_block_list(RamReader *r, uint64_t word, uint64_t at)
{
    uint64_t left = word & ~(uint64_t)(PAGE - 1), length = 0;

    if (r->model->blocks->len) {
        return ram_problem(r, at, "a second list of blocks");
    }
    if (left > TOTAL_MAX) {
        return ram_problem(r, at, "RAM of %" PRIu64 " bytes is more than this tool believes",
                            left);
    }
    r->model->ram_bytes = left;
    while (left > 0) {
        if (!read_block_entry(r, left, &length)) {
            return false;
        }
        left -= length;
    }
    return !r->model->sink || r->model->sink->blocks(r->model->sink_opaque) || sink_failed(r, at);
}

/* ---- payload ---- */

static bool read_record(RamReader *r, uint64_t word, uint64_t at, bool is_start)
{
    uint64_t flags = word & (PAGE - 1), what = flags & ~(uint64_t)W_CONTINUE;

    if (flags == W_SIZE && is_start) {
        return read_block_list(r, word, at);
    }
    if (what == W_ZERO || what == W_PAGE || what == W_DELTA || what == W_COMPRESS) {
        if (r->model->layout != LAYOUT_STREAM) {
            return ram_problem(r, at, "a page record (flags 0x%" PRIx64 ") in a file whose pages "
                                "have their place", flags);
        }
        return read_page_record(r, word, at);
    }
    if (flags == W_FLUSH && word == W_FLUSH) {
        r->model->flushes++;
        return true;
    }
    if (what == W_HOOK) {
        return ram_problem(r, at, "a hook of RDMA (flags 0x%" PRIx64 "): pages of such a migration "
                            "are not in its stream", flags);
    }
    return ram_problem(r, at, "unknown record, word 0x%016" PRIx64 " (flags 0x%" PRIx64 ")", word,
                        flags);
}

bool ram_read_payload(RamReader *r, bool is_start)
{
    if (r->model->layout == LAYOUT_FIXED_RAM && !is_start) {
        return true;        /* nothing at all, not even an end mark */
    }
    for (;;) {
        uint64_t at = source_offset(r->source);
        const uint8_t *p = source_peek(r->source, 8);
        if (!p) {
            return ram_ends_early(r, "a record");
        }
        uint64_t word = ram_be64(p);
        source_take(r->source, 8);
        if (word == W_EOS) {
            return true;
        }
        if (!read_record(r, word, at, is_start)) {
            return false;
        }
    }
}
