/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command convert. Input with records goes to the output page by page, while it is read; of
 * input whose pages have their place they are copied once all of it was found right. Everything
 * else is copied from its place in the input afterwards. Memory: bitmaps, a few hundred pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "convert.h"
#include "ram.h"
#include "stream.h"
#include "sums.h"

#define COPY_STEP (64u << 10)

/* Always false; the first one stays. */
static bool refuse(Convert *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(Convert *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (!*c->out.error) {
        *c->out.error = g_steal_pointer(&text);
    }
    return false;
}

/* So many pages more are done. */
static void show_progress(Convert *c, uint64_t pages)
{
    c->done += pages;
    int percent = c->todo ? (int)(100.0 * c->done / c->todo) : 100;

    if (c->o->quiet || !isatty(STDERR_FILENO) || percent == c->percent) {
        return;
    }
    c->percent = percent;
    fprintf(stderr, "\r%s: %3d%%", c->o->out, percent);
}

/* ---- what is not RAM ---- */

static bool copy_bytes(Convert *c, const Section *sec)
{
    g_autofree uint8_t *buf = g_malloc(COPY_STEP);

    for (uint64_t done = 0; done < sec->length;) {
        size_t n = MIN(COPY_STEP, sec->length - done);
        if (!source_at(c->s, buf, n, sec->offset + done, c->out.error) || !convert_put(c, buf, n)) {
            return false;
        }
        done += n;
    }
    return true;
}

static bool copy_configuration(Convert *c, const Section *sec)
{
    g_autofree uint8_t *buf = g_malloc(sec->length);

    if (!source_at(c->s, buf, sec->length, sec->offset, c->out.error)) {
        return false;
    }
    GByteArray *changed = convert_configuration(buf, sec->length, c->o->to);
    bool ok = convert_put(c, changed->data, changed->len);
    g_byte_array_unref(changed);
    return ok;
}

static bool copy_description(Convert *c)
{
    static const uint8_t type = 0x06;
    g_autofree char *text = convert_description(c->m->description, c->o->to);

    return convert_put(c, &type, 1) && convert_put_be32(c, strlen(text)) &&
           convert_put(c, text, strlen(text));
}

/* All pages are in the output already. */
static bool put_ram_end(Convert *c)
{
    static const uint8_t end = 0x03;

    return convert_put(c, &end, 1) && convert_put_be32(c, c->start->id) &&
           (c->o->to == LAYOUT_FIXED_RAM || convert_put_end_mark(c)) && convert_put_footer(c);
}

static bool copy_section(Convert *c, const Section *sec)
{
    switch (sec->kind) {
    case SEC_HEAD:
        return true;            /* the new file has one place for each page */
    case SEC_CONFIG:
        return copy_configuration(c, sec);
    case SEC_DESCRIPTION:
        return copy_description(c);
    default:
        return copy_bytes(c, sec);
    }
}

/* ---- before the first page ---- */

static bool check_sections(Convert *c)
{
    bool configured = false;

    for (guint i = 0; i < c->m->sections->len; i++) {
        const Section *sec = g_ptr_array_index(c->m->sections, i);
        configured |= sec->kind == SEC_CONFIG;
        if (sec->kind == SEC_LIBVIRT) {
            return refuse(c, "An image of libvirt, whose header names its layout too: the guest in "
                          "it begins at --offset %" PRIu64, sec->offset + sec->length);
        }
        if (sec->kind == SEC_COMMAND && sec->id == 3) {
            return refuse(c, "A stream of postcopy: its order cannot be kept in a file");
        }
    }
    return configured || refuse(c, "The stream has no configuration, which is where its layout is "
                                "named (send-configuration=off)");
}

static bool check_input(Convert *c)
{
    if (c->m->layout == LAYOUT_STREAM && c->o->to == LAYOUT_STREAM) {
        return refuse(c, "It is an ordinary stream already");
    }
    for (guint i = 0; i < c->m->capabilities->len; i++) {
        const char *name = g_ptr_array_index(c->m->capabilities, i);
        if (!g_str_equal(name, "mapped-ram") && !g_str_equal(name, "fixed-ram")) {
            return refuse(c, "The stream has the capability '%s', which convert cannot keep", name);
        }
    }
    return check_sections(c);
}

/* A new file beside the output's place, which a link names as its file does. */
static bool open_output(Convert *c)
{
    struct stat st;
    char *real = realpath(c->out.path, NULL);
    const char *path = real ? real : c->out.path;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        refuse(c, "'%s' is no regular file", c->out.path);
    } else {
        g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
        c->temporary = g_strdup_printf("%s/.%s.XXXXXX", folder, name);
        c->out.fd = g_mkstemp_full(c->temporary, O_RDWR | O_CLOEXEC, 0600);
        if (c->out.fd < 0) {
            output_fail(&c->out, "create");
            g_clear_pointer(&c->temporary, g_free);
        }
    }
    free(real);
    return c->temporary != NULL;
}

/* Everything up to the first page. START is the newest section of the model, or an older one. */
static bool begin(Convert *c)
{
    static const uint8_t start = 0x01;

    if (!check_input(c) || !open_output(c)) {
        return false;
    }
    for (guint i = 0; i < c->m->sections->len && !c->start; i++) {
        const Section *sec = g_ptr_array_index(c->m->sections, i);
        if (sec->kind == SEC_START) {
            c->start = sec;
        } else if (!copy_section(c, sec)) {
            return false;
        }
    }
    const char name[] = { 3, 'r', 'a', 'm' };
    return convert_put(c, &start, 1) && convert_put_be32(c, c->start->id) &&
           convert_put(c, name, sizeof(name)) && convert_put_be32(c, c->start->instance) &&
           convert_put_be32(c, c->start->version) && convert_put_be64(c, c->m->ram_bytes | 4) &&
           c->target->begin(c);
}

/* ---- pages that are records ---- */

static unsigned index_of(const Convert *c, const RamBlock *b)
{
    unsigned i = 0;

    while (convert_block(c, i) != b) {
        i++;
    }
    return i;
}

static bool take_blocks(void *opaque)
{
    Convert *c = opaque;
    return c->m->part || c->m->layout != LAYOUT_STREAM || begin(c);
}

static bool take_read(void *opaque, const RamBlock *b, uint64_t page, uint8_t *into)
{
    return convert_read_back(opaque, index_of(opaque, b), page, into);
}

static bool take_write(void *opaque, const RamBlock *b, uint64_t page, const uint8_t *from)
{
    Convert *c = opaque;
    return c->target->pages(c, index_of(c, b), page, 1, from);
}

/* ---- pages that have their place ---- */

static bool bit_get(const uint64_t *map, uint64_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static bool check_run(Convert *c, const RamBlock *b, uint64_t first, uint64_t n,
                      const uint8_t *data)
{
    uint8_t entries[SUMS_HEAD + CONVERT_RUN * 8];

    if (!b->sums_offset || !sums_can_be_checked()) {
        return true;
    }
    /* as if it were a table that begins with this run: its head is not looked at */
    uint64_t at = b->sums_offset + first * 8;
    if (!source_at(c->s, entries, SUMS_HEAD + n * 8, at, c->out.error)) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!sums_check_page(entries, i, data + i * PAGE)) {
            uint64_t page = first + i;
            return model_problem(c->m, ram_page_at(b, page), "block '%s' page %" PRIu64
                                 " (0x%" PRIx64 "): it is not what was saved, its checksum differs",
                                 b->name, page, page * PAGE);
        }
    }
    return true;
}

static bool copy_run(Convert *c, unsigned block, uint64_t first, uint64_t n, uint8_t *data)
{
    const RamBlock *b = convert_block(c, block);

    show_progress(c, n);
    if (!bit_get(b->written, first)) {
        return c->target->zeros(c, block, first, n);
    }
    return source_at(c->s, data, n * PAGE, ram_page_at(b, first), c->out.error) &&
           check_run(c, b, first, n, data) && c->target->pages(c, block, first, n, data);
}

static bool copy_pages(Convert *c)
{
    g_autofree uint8_t *data = g_malloc(CONVERT_RUN * PAGE);

    c->todo = c->m->ram_bytes / PAGE;
    for (guint k = 0; k < c->m->blocks->len; k++) {
        const RamBlock *b = convert_block(c, k);
        for (uint64_t i = 0, n; i < b->length / PAGE; i += n) {
            for (n = 1; n < CONVERT_RUN && i + n < b->length / PAGE &&
                        bit_get(b->written, i + n) == bit_get(b->written, i) &&
                        ram_page_at(b, i + n) == ram_page_at(b, i) + n * PAGE;) {
                n++;
            }
            if (!copy_run(c, k, i, n, data)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the whole ---- */

/* What is behind START; a background snapshot has no END, it gets one before the devices. */
static bool copy_rest(Convert *c)
{
    bool after = false, ended = false;

    for (guint i = 0; i < c->m->sections->len; i++) {
        const Section *sec = g_ptr_array_index(c->m->sections, i);
        bool is_ram = sec->kind == SEC_START || sec->kind == SEC_PART || sec->kind == SEC_END;
        bool ends = sec->kind == SEC_END || sec->kind == SEC_FULL || sec->kind == SEC_EOF;
        if (after && ends && !ended) {
            ended = true;
            if (!put_ram_end(c)) {
                return false;
            }
        }
        if (after && !is_ram && !copy_section(c, sec)) {
            return false;
        }
        after |= sec == c->start;
    }
    return convert_seek(c, c->at);
}

/* Whole: it gets its name. Else it goes. */
static bool close_output(Convert *c, bool ok)
{
    if (!c->temporary) {
        return ok;
    }
    ok = ok && (fdatasync(c->out.fd) == 0 || output_fail(&c->out, "write"));
    ok = output_close(&c->out, ok);
    char *real = realpath(c->out.path, NULL);
    ok = ok && (rename(c->temporary, real ? real : c->out.path) == 0 ||
                output_fail(&c->out, "rename"));
    free(real);
    if (!ok) {
        unlink(c->temporary);
    }
    return ok;
}

static bool run(Convert *c)
{
    if (!source_has_places(c->s)) {
        return refuse(c, "convert reads its input at many places: it has to be a file, unpacked");
    }
    if (c->o->checksum && c->o->to == LAYOUT_STREAM) {
        return refuse(c, "A stream has no place for checksums: --checksum is for mapped-ram and "
                      "fixed-ram");
    }
    if (c->o->checksum && !sums_can_be_checked()) {
        return refuse(c, "This ferry-inspect was built without libxxhash: it makes no checksums");
    }
    if (!stream_read(c->m, c->s)) {
        return false;
    }
    if (c->m->channel) {
        return refuse(c, "A channel of multifd: it has pages only, no guest");
    }
    return (c->m->layout == LAYOUT_STREAM || (begin(c) && copy_pages(c))) && c->target->end(c) &&
           copy_rest(c);
}

bool convert_file(Model *m, Source *s, const ConvertOptions *o, char **error)
{
    static const RamSink sink = { take_blocks, take_read, take_write };
    Convert c = {
        .m = m, .s = s, .o = o, .out = { .path = o->out, .error = error, .fd = -1 },
        .target = o->to == LAYOUT_STREAM ? &convert_to_stream : &convert_to_places,
        .pending = g_byte_array_new(), .last_block = -1, .percent = -1,
    };

    m->sink = &sink;
    m->sink_opaque = &c;
    bool ok = close_output(&c, run(&c));
    m->sink = NULL;
    if (c.percent >= 0) {
        fprintf(stderr, "\r%*s\r", (int)strlen(o->out) + 6, "");
    }
    convert_free_places(&c);
    g_byte_array_unref(c.pending);
    g_free(c.temporary);
    return ok;
}
