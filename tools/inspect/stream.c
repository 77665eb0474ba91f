/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See stream.h. One function per kind of element. The stream has no lengths:
 * what cannot be understood cannot be skipped, so the first problem ends the
 * walk.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include "description.h"
#include "head.h"
#include "layout.h"
#include "multifd.h"
#include "stream.h"

/* ---- sections ---- */

static LiveSection *live_find(Walker *w, uint32_t id)
{
    for (guint i = 0; i < w->live->len; i++) {
        LiveSection *l = g_ptr_array_index(w->live, i);
        if (l->id == id) {
            return l;
        }
    }
    return NULL;
}

static void live_free(gpointer p)
{
    g_free(((LiveSection *)p)->idstr);
    g_free(p);
}

static bool read_footer(Walker *w, const Section *sec)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 1);

    if (w->footers < 0 && p) {
        w->footers = p[0] == 0x7e;      /* the writer's choice, for the whole stream */
    }
    if (w->footers == 0) {
        return true;
    }
    if (!p || (p[0] == 0x7e && !(p = source_peek(w->s, 5)))) {
        return walker_ends_early(w, "a section's footer");
    }
    if (p[0] != 0x7e) {
        return model_problem(w->m, at, "section '%s' (%s at 0x%" PRIx64 "): no footer: byte 0x%02x, "
                             "expected 0x7e", sec->idstr, section_kind_name(sec->kind),
                             sec->offset, p[0]);
    }
    if (walker_be32(p + 1) != sec->id) {
        return model_problem(w->m, at, "section '%s' (%s at 0x%" PRIx64 "): footer with id %u, "
                             "expected %u", sec->idstr, section_kind_name(sec->kind), sec->offset,
                             walker_be32(p + 1), sec->id);
    }
    source_take(w->s, 5);
    return true;
}

/* "type id idstr instance version" of START and FULL. */
static bool read_section_header(Walker *w, Section *sec)
{
    const uint8_t *p = source_peek(w->s, 6);

    if (!p || !(p = source_peek(w->s, 6 + p[5] + 8))) {
        return walker_ends_early(w, "a section's header");
    }
    size_t len = p[5];
    sec->id = walker_be32(p + 1);
    sec->idstr = walker_name(p + 6, len);
    sec->instance = walker_be32(p + 6 + len);
    sec->version = walker_be32(p + 10 + len);
    if (!sec->idstr || len == 0) {
        g_free(sec->idstr);
        sec->idstr = g_strdup("?");
        return model_problem(w->m, sec->offset, "a section whose name is empty or not text");
    }
    source_take(w->s, 6 + len + 8);
    return true;
}

static bool read_ram(Walker *w, Section *sec)
{
    sec->ram = g_array_new(false, false, sizeof(SectionRam));
    w->ram.section = section_kind_name(sec->kind);
    w->ram.counts = sec->ram;
    return ram_read_payload(&w->ram, sec->kind == SEC_START);
}

static bool read_start(Walker *w)
{
    Section *sec = walker_add_section(w, SEC_START, source_offset(w->s));

    if (!read_section_header(w, sec)) {
        return false;
    }
    if (!g_str_equal(sec->idstr, "ram")) {
        return model_problem(w->m, sec->offset, "live section '%s' is not known", sec->idstr);
    }
    if (live_find(w, sec->id) || w->live->len) {
        return model_problem(w->m, sec->offset, "section 'ram' starts twice");
    }
    if (sec->instance != 0 || sec->version != 4) {
        return model_problem(w->m, sec->offset, "section 'ram' instance %u version %u, expected 0 "
                             "and 4", sec->instance, sec->version);
    }
    LiveSection *l = g_new0(LiveSection, 1);
    l->id = sec->id;
    l->idstr = g_strdup(sec->idstr);
    g_ptr_array_add(w->live, l);
    bool ok = read_ram(w, sec) && read_footer(w, sec);
    walker_end_section(w, sec);
    return ok;
}

static bool read_part_or_end(Walker *w, SectionKind kind)
{
    Section *sec = walker_add_section(w, kind, source_offset(w->s));
    const uint8_t *p = source_peek(w->s, 5);

    if (!p) {
        return walker_ends_early(w, "a section's header");
    }
    sec->id = walker_be32(p + 1);
    LiveSection *l = live_find(w, sec->id);
    if (!l || l->ended) {
        return model_problem(w->m, sec->offset, "%s of section id %u, which %s",
                             section_kind_name(kind), sec->id,
                             l ? "has ended" : "was never started");
    }
    sec->idstr = g_strdup(l->idstr);
    source_take(w->s, 5);
    bool ok = read_ram(w, sec) && read_footer(w, sec);
    l->ended = kind == SEC_END;
    walker_end_section(w, sec);
    return ok;
}

/* QEMU 7.2 calls every one of these instance 0 (machine-virt 2.1). */
static bool may_be_alike(const Section *sec)
{
    return sec->instance == 0 && g_str_equal(sec->idstr, "slirp");
}

static bool is_repeated(const Section *sec, const Section *before)
{
    return before->id == sec->id ||
           (g_str_equal(before->idstr, sec->idstr) && before->instance == sec->instance &&
            !may_be_alike(sec));
}

static bool read_full(Walker *w)
{
    struct json_object *device;
    Section *sec = walker_add_section(w, SEC_FULL, source_offset(w->s));

    description_look_ahead(w);
    if (!read_section_header(w, sec)) {
        return false;
    }
    for (guint i = 0; i + 1 < w->m->sections->len; i++) {
        const Section *other = g_ptr_array_index(w->m->sections, i);
        if (other->idstr && other->kind == SEC_FULL && is_repeated(sec, other)) {
            return model_problem(w->m, sec->offset, "section '%s' instance %u id %u: '%s' instance "
                                 "%u id %u was there before", sec->idstr, sec->instance, sec->id,
                                 other->idstr, other->instance, other->id);
        }
    }
    if (g_str_equal(sec->idstr, "cpu")) {
        w->m->cpu_version = MIN(sec->version, G_MAXINT);
        w->m->harts++;
    }
    if (!description_of_device(w, sec, &device)) {
        return false;
    }
    sec->data_offset = source_offset(w->s);
    sec->fields = g_ptr_array_new_with_free_func(node_free);
    bool ok = layout_read_body(w->m, w->s, device, sec, sec->fields);
    sec->data_length = source_offset(w->s) - sec->data_offset;
    ok = ok && read_footer(w, sec);
    walker_end_section(w, sec);
    return ok;
}

/* ---- commands ---- */

static const struct { const char *name; int length; } commands[] = {
    [1] = { "OPEN_RETURN_PATH", 0 }, [2] = { "PING", 4 }, [3] = { "POSTCOPY_ADVISE", -1 },
    [4] = { "POSTCOPY_LISTEN", 0 }, [5] = { "POSTCOPY_RUN", 0 },
    [6] = { "POSTCOPY_RAM_DISCARD", -1 }, [7] = { "PACKAGED", 4 }, [8] = { "ENABLE_COLO", 0 },
    [9] = { "POSTCOPY_RESUME", 0 }, [10] = { "RECV_BITMAP", -1 }, [11] = { "SWITCHOVER_START", 0 },
};

/* version, counted block name, 0, then ranges of 16 bytes. */
static bool apply_discard(Walker *w, const uint8_t *p, unsigned len, uint64_t at)
{
    RamBlock *b = len > 3 && p[1] + 3u <= len
                      ? model_find_block(w->m, (const char *)p + 2, p[1]) : NULL;

    if (!b || p[0] != 0 || p[2 + p[1]] != 0 || (len - 3 - p[1]) % 16 || len - 3 == p[1]) {
        return model_problem(w->m, at, "command POSTCOPY_RAM_DISCARD: not a list of page ranges "
                             "of a known block");
    }
    for (unsigned i = 3 + p[1]; i < len; i += 16) {
        uint64_t start = (uint64_t)walker_be32(p + i) << 32 | walker_be32(p + i + 4);
        uint64_t length = (uint64_t)walker_be32(p + i + 8) << 32 | walker_be32(p + i + 12);
        if (start % PAGE || length % PAGE || start > b->length || length > b->length - start) {
            return model_problem(w->m, at, "command POSTCOPY_RAM_DISCARD: block '%s' range 0x%"
                                 PRIx64 " + 0x%" PRIx64 " is not in it", b->name, start, length);
        }
        ram_discard(b, start, length);
    }
    return true;
}

/* Each command has its time; NULL if it is now, else what is wrong with it. */
static const char *command_out_of_order(Walker *w, unsigned cmd, unsigned len)
{
    switch (cmd) {
    case 1:
    case 8:
        return w->live->len ? "after the setup" : NULL;
    case 3:
        w->advised |= !w->live->len;
        return w->live->len ? "after the setup" : len != 0 && len != 16 ? "of a wrong length" : NULL;
    case 4:
        w->listening |= w->advised;
        return w->advised ? NULL : "without POSTCOPY_ADVISE";
    case 5:
        return w->listening ? NULL : "without POSTCOPY_LISTEN";
    case 6:
    case 7:
        return w->advised ? NULL : "without POSTCOPY_ADVISE";
    case 9:
    case 10:
        return "in a stream with a header: only the continuation of a paused one has it";
    case 11:
        return w->live->len ? NULL : "before the setup";
    default:
        return NULL;
    }
}

/* "POSTCOPY_ADVISE pages of 4096, RAM of 4096": a command and what it carries. */
static char *command_text(unsigned cmd, const uint8_t *data, unsigned len)
{
    const char *name = commands[cmd].name;

    switch (cmd) {
    case 2:
        return g_strdup_printf("%s %u", name, walker_be32(data));
    case 3:
        return len == 16 ? g_strdup_printf("%s page sizes 0x%x, target page %u", name,
                                           walker_be32(data + 4), walker_be32(data + 12))
                         : g_strdup_printf("%s, %u bytes", name, len);
    case 6: {
        g_autofree char *block = walker_name(data + 2, data[1]);    /* apply_discard() has looked */
        return g_strdup_printf("%s block '%s', %u ranges", name, block ? block : "?",
                               (len - 3 - data[1]) / 16);
    }
    case 7:
        return g_strdup_printf("%s %u bytes", name, walker_be32(data));
    default:
        return len ? g_strdup_printf("%s, %u bytes", name, len) : g_strdup(name);
    }
}

static bool read_command(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 5);
    unsigned cmd = p ? p[1] << 8 | p[2] : 0, len = p ? p[3] << 8 | p[4] : 0;

    if (!p || !(p = source_peek(w->s, 5 + len))) {
        return walker_ends_early(w, "a command");
    }
    if (cmd >= G_N_ELEMENTS(commands) || !commands[cmd].name) {
        return model_problem(w->m, at, "unknown command %u of %u bytes", cmd, len);
    }
    if (commands[cmd].length >= 0 && (unsigned)commands[cmd].length != len) {
        return model_problem(w->m, at, "command %s of %u bytes, expected %d", commands[cmd].name,
                             len, commands[cmd].length);
    }
    const char *wrong = command_out_of_order(w, cmd, len);
    if (wrong) {
        return model_problem(w->m, at, "command %s %s", commands[cmd].name, wrong);
    }
    if (cmd == 6 && !apply_discard(w, p + 5, len, at)) {
        return false;
    }
    if (cmd == 3 && len == 16) {
        w->m->page_sizes = (uint64_t)walker_be32(p + 5) << 32 | walker_be32(p + 9);
    }
    Section *sec = walker_add_section(w, SEC_COMMAND, at);
    sec->id = cmd;
    sec->text = command_text(cmd, p + 5, len);
    w->m->switchover_command |= cmd == 11;
    w->postcopy |= cmd == 4;
    if (cmd == 7) {
        w->package_end = at + 9 + walker_be32(p + 5);
    }
    source_take(w->s, 5 + len);
    walker_end_section(w, sec);
    return true;
}

/* ---- the whole ---- */

/* Before a switchover without postcopy every page goes at least once: one that did not was lost. */
static bool check_all_pages(Walker *w, uint64_t at)
{
    if (w->postcopy || w->m->ignore_shared || w->m->layout != LAYOUT_STREAM) {
        return true;
    }
    for (guint i = 0; i < w->m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(w->m->blocks, i);
        uint64_t pages = b->length / PAGE, first = 0;
        if (b->seen_pages == pages) {
            continue;
        }
        while (b->seen[first / 64] >> (first % 64) & 1) {
            first++;
        }
        return model_problem(w->m, at, "block '%s': %" PRIu64 " of %" PRIu64 " pages were never "
                             "sent, the first is page %" PRIu64 " (0x%" PRIx64 ")%s", b->name,
                             pages - b->seen_pages, pages, first, first * PAGE,
                             w->m->flushes ? ": they went through multifd channels, which are not "
                                             "in this file"
                                           : " (multifd would have them in channels of its own)");
    }
    return true;
}

/*
 * QEMU's background snapshots have no END: each page went once, as it was at the start, and the
 * devices behind them. In any other stream the pages that were dirty at the switchover are missing.
 */
static bool ram_may_lack_end(Walker *w, uint64_t at, const char *name)
{
    uint64_t repeated = 0;

    for (guint i = 0; i < w->m->blocks->len; i++) {
        const RamBlock *b = g_ptr_array_index(w->m->blocks, i);
        repeated += b->repeated + b->records[PAGE_DELTA];
    }
    if (repeated || w->postcopy) {
        return model_problem(w->m, at, "the stream ends, section '%s' has not", name);
    }
    w->m->ram_without_end = true;
    return true;
}

static bool read_eof(Walker *w)
{
    Section *sec = walker_add_section(w, SEC_EOF, source_offset(w->s));

    source_take(w->s, 1);
    walker_end_section(w, sec);
    for (guint i = 0; i < w->live->len; i++) {
        const LiveSection *l = g_ptr_array_index(w->live, i);
        if (!l->ended && !ram_may_lack_end(w, sec->offset, l->idstr)) {
            return false;
        }
    }
    if (w->live->len == 0) {
        return model_problem(w->m, sec->offset, "there is no section 'ram'");
    }
    return check_all_pages(w, sec->offset);
}

/* Zeros are padding (of savers that write whole blocks); anything else should not be there. */
static bool read_trailer(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p;

    if (!source_peek(w->s, 1)) {
        return source_errno(w->s) ? walker_ends_early(w, "what follows the stream") : true;
    }
    Section *sec = walker_add_section(w, SEC_TRAILER, at);
    while ((p = source_peek(w->s, 1))) {
        if (*p) {
            return model_problem(w->m, source_offset(w->s), "byte 0x%02x after the end of the "
                                 "stream", *p);
        }
        source_take(w->s, 1);
    }
    walker_end_section(w, sec);
    sec->text = g_strdup_printf("%" PRIu64 " zero bytes", sec->length);
    return true;
}

static bool read_element(Walker *w, uint8_t type)
{
    switch (type) {
    case 0x01:
        return read_start(w);
    case 0x02:
        return read_part_or_end(w, SEC_PART);
    case 0x03:
        return read_part_or_end(w, SEC_END);
    case 0x04:
        return read_full(w);
    case 0x08:
        return read_command(w);
    default:
        return model_problem(w->m, source_offset(w->s), "unknown section type 0x%02x", type);
    }
}

static bool read_elements(Walker *w)
{
    for (;;) {
        const uint8_t *p = source_peek(w->s, 1);
        if (w->package_end && source_offset(w->s) >= w->package_end) {
            if (source_offset(w->s) > w->package_end) {
                return model_problem(w->m, source_offset(w->s), "the package ends at 0x%" PRIx64
                                     ", inside an element", w->package_end);
            }
            w->package_end = 0;
            w->ram.last = NULL;     /* the next page names its block */
        }
        if (!p) {
            return walker_ends_early(w, "the stream");
        }
        if (w->m->part && w->live->len) {
            return true;        /* the list of blocks was read, the rest is not worth the time */
        }
        if (*p == 0x00) {
            return read_eof(w);
        }
        if (!read_element(w, *p)) {
            return false;
        }
    }
}

/* What it is, before all that is wrong with it because of that. */
static bool part_problem(Walker *w)
{
    w->m->stored_bytes = source_stored_bytes(w->s);
    g_autofree char *stored = w->m->stored_bytes
                                  ? g_strdup_printf("%" PRIu64 " KiB", w->m->stored_bytes >> 10)
                                  : g_strdup("a part");
    g_clear_pointer(&w->m->problem.text, g_free);
    return model_problem(w->m, w->header_offset, "a save that was not completed: the file holds %s "
                         "of it, the guest has %" PRIu64 " KiB of memory; it cannot be restored",
                         stored, w->m->ram_bytes >> 10);
}

static bool read_all(Walker *w)
{
    const uint8_t *begin = source_peek(w->s, 8);

    if (begin && multifd_looks_like(begin)) {
        return multifd_read(w);
    }
    if (!head_read(w) || !read_elements(w) || w->m->part) {
        return w->m->part && part_problem(w);
    }
    const uint8_t *p = source_peek(w->s, 1);
    if (p && *p == 0x06) {
        if (!description_read(w)) {
            return false;
        }
    } else if (w->json) {
        return model_problem(w->m, source_offset(w->s), "byte 0x%02x where the description "
                             "starts, expected 0x06", p ? *p : 0);
    }
    if (!w->m->saves && !read_trailer(w)) {
        return false;
    }
    return !w->partial || model_problem(w->m, 0, "libvirt's header says that the save was not "
                                        "completed: the stream is whole, but virsh restore refuses "
                                        "it");
}

bool stream_read(Model *m, Source *s)
{
    Walker w = {
        .m = m, .s = s, .footers = -1, .ram = { .model = m, .source = s },
        .live = g_ptr_array_new_with_free_func(live_free),
    };
    bool ok = read_all(&w);

    g_ptr_array_unref(w.live);
    json_object_put(w.json);
    return ok;
}
