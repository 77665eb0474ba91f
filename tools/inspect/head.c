/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See head.h. Called by stream.c. */
#include <inttypes.h>
#include <string.h>
#include "head.h"

#define LIBVIRT_HEADER 92
#define LIBVIRT_XML_MAX (64u << 20)

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

/* ---- libvirt's header ---- */

static char *xml_domain_name(const char *xml)
{
    const char *open = strstr(xml, "<name>"), *close = open ? strstr(open, "</name>") : NULL;
    return close ? g_strndup(open + 6, close - open - 6) : g_strdup("?");
}

static bool libvirt_compression(Walker *w, uint32_t kind)
{
    static const char *const tools[] = { NULL, NULL, "bzip2 -dc", "xz -dc", "lzop -dc" };

    if (kind == 0) {
        return true;
    }
    if (kind == 1) {
        return source_gunzip_from_here(w->s) ||
               model_problem(w->m, source_offset(w->s), "gzip inside gzip");
    }
    if (kind < G_N_ELEMENTS(tools)) {
        return model_problem(w->m, source_offset(w->s), "the stream is compressed: unpack it with "
                             "\"tail -c +%" PRIu64 " FILE | %s | ferry-inspect ... -\"",
                             source_offset(w->s) + 1, tools[kind]);
    }
    return model_problem(w->m, source_offset(w->s), "libvirt header: compression %u is not known",
                         kind);
}

static bool read_libvirt(Walker *w)
{
    const uint8_t *p = source_peek(w->s, LIBVIRT_HEADER);
    Section *sec = walker_add_section(w, SEC_LIBVIRT, source_offset(w->s));

    if (!p) {
        return walker_ends_early(w, "libvirt's header");
    }
    w->partial = memcmp(p, "LibvirtQemudPart", 16) == 0;
    uint32_t version = le32(p + 16), xml_len = le32(p + 20), running = le32(p + 24);
    uint32_t compression = le32(p + 28);
    if (version != 2 || xml_len > LIBVIRT_XML_MAX) {
        return model_problem(w->m, sec->offset, "libvirt header: version %u, %u bytes of XML, "
                             "expected version 2 and at most %u", version, xml_len,
                             LIBVIRT_XML_MAX);
    }
    source_take(w->s, LIBVIRT_HEADER);
    const uint8_t *xml = source_peek(w->s, xml_len);
    if (!xml) {
        return walker_ends_early(w, "libvirt's domain description");
    }
    g_autofree char *text = g_strndup((const char *)xml, xml_len);
    g_autofree char *name = xml_domain_name(text);
    source_take(w->s, xml_len);
    sec->text = g_strdup_printf("version %u, domain '%s', was %s, compression %u, %u bytes of XML%s",
                                version, name, running ? "running" : "paused", compression,
                                xml_len, w->partial ? ", SAVE NOT COMPLETED" : "");
    walker_end_section(w, sec);
    return libvirt_compression(w, compression);
}

/* ---- header and configuration ---- */

/* Other things that travel between two machines, and what people confuse them with. */
static bool is_something_else(Walker *w, const uint8_t *p, uint64_t at)
{
    if (p[0] == 0x08 && p[1] == 0 && (p[2] == 9 || p[2] == 10)) {
        model_problem(w->m, at, "the continuation of a paused postcopy migration (command %s): it "
                      "has no header, what it continues came before",
                      p[2] == 9 ? "POSTCOPY_RESUME" : "RECV_BITMAP");
    } else if (memcmp(p, "\177ELF", 4) == 0 || memcmp(p, "QFI\xfb", 4) == 0) {
        model_problem(w->m, at, "%s, not a migration stream",
                      p[0] == 'Q' ? "a qcow2 image" : "an ELF file");
    } else if (memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0) {
        model_problem(w->m, at, "packed with zstd: unpack it first, \"zstd -dc FILE | ferry-inspect "
                      "verify -\"");
    } else {
        return false;
    }
    return true;
}

static uint64_t big(const uint8_t *p)
{
    return (uint64_t)walker_be32(p) << 32 | walker_be32(p + 4);
}

/* A file that was saved into again says where its stream is. */
static bool follow_head(Walker *w, const uint8_t *p)
{
    uint64_t at = source_offset(w->s), saves = big(p + 8), stream = big(p + 16), room = big(p + 24);
    uint64_t bytes = big(p + 32), sum = big(p + 40);

    if (walker_be32(p + 4) != 1) {
        return model_problem(w->m, at + 4, "a file that was saved into again, version %u, expected 1",
                             walker_be32(p + 4));
    }
    if (sum != saves + stream + room + bytes || (stream != room && stream != room + bytes) ||
        stream < at + 48 || saves < 2) {
        return model_problem(w->m, at, "a file that was saved into again: its head is damaged");
    }
    if (!source_has_places(w->s)) {
        return model_problem(w->m, at, "a file that was saved into again (x-incremental): it can only be read "
                             "as a file that is not packed");
    }
    Section *sec = walker_add_section(w, SEC_HEAD, at);
    sec->text = g_strdup_printf("saved %" PRIu64 " times, the stream is at 0x%" PRIx64, saves, stream);
    source_take(w->s, 48);
    walker_end_section(w, sec);
    w->m->saves = saves;
    return source_skip(w->s, stream - at - 48) || walker_ends_early(w, "what is before the stream");
}

static bool read_header(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 8);

    if (!p) {
        return walker_ends_early(w, "the header");
    }
    if (is_something_else(w, p, at)) {
        return false;
    }
    p = source_peek(w->s, 8);
    w->m->part = memcmp(p, "part", 4) == 0;
    if (!w->m->part && memcmp(p, "QEVM", 4) != 0) {
        return model_problem(w->m, at, "not a migration stream: magic %02x %02x %02x %02x, "
                             "expected \"QEVM\"", p[0], p[1], p[2], p[3]);
    }
    if (walker_be32(p + 4) != 3) {
        return model_problem(w->m, at + 4, "stream version %u, expected 3", walker_be32(p + 4));
    }
    Section *sec = walker_add_section(w, SEC_HEADER, at);
    w->header_offset = at;
    sec->text = g_strdup_printf("version 3%s", w->m->part ? ", SAVE NOT COMPLETED" : "");
    source_take(w->s, 8);
    walker_end_section(w, sec);
    return true;
}

static const char *const known_capabilities[] = {
    "xbzrle", "rdma-pin-all", "auto-converge", "zero-blocks", "compress", "events",
    "postcopy-ram", "x-colo", "release-ram", "block", "return-path",
    "pause-before-switchover", "multifd", "dirty-bitmaps", "postcopy-blocktime",
    "late-block-activate", "x-ignore-shared", "validate-uuid", "background-snapshot",
    "zero-copy-send", "postcopy-preempt", "switchover-ack", "dirty-limit", "mapped-ram",
    "fixed-ram",
};

static bool capability_known(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(known_capabilities); i++) {
        if (g_str_equal(known_capabilities[i], name)) {
            return true;
        }
    }
    return false;
}

static bool read_capabilities(Walker *w)
{
    const uint8_t *p = source_peek(w->s, 4);
    uint32_t count = p ? walker_be32(p) : 0;

    if (!p) {
        return walker_ends_early(w, "the list of capabilities");
    }
    if (count == 0 || count > G_N_ELEMENTS(known_capabilities)) {
        return model_problem(w->m, source_offset(w->s), "%u capabilities, expected 1 to %zu",
                             count, G_N_ELEMENTS(known_capabilities));
    }
    source_take(w->s, 4);
    for (uint32_t i = 0; i < count; i++) {
        p = source_peek(w->s, 1);
        if (!p || !(p = source_peek(w->s, 1 + p[0]))) {
            return walker_ends_early(w, "a capability");
        }
        char *name = walker_name(p + 1, p[0]);
        if (!name || !capability_known(name)) {
            model_problem(w->m, source_offset(w->s), "unknown capability '%s'",
                          name ? name : "(not text)");
            g_free(name);
            return false;
        }
        g_ptr_array_add(w->m->capabilities, name);
        source_take(w->s, 1 + p[0]);
        w->m->ignore_shared |= g_str_equal(name, "x-ignore-shared");
        w->m->layout = g_str_equal(name, "mapped-ram")  ? LAYOUT_MAPPED_RAM
                       : g_str_equal(name, "fixed-ram") ? LAYOUT_FIXED_RAM
                                                        : w->m->layout;
    }
    return true;
}

static bool read_config_subsection(Walker *w, const char *name, GString *text)
{
    const uint8_t *p;

    if (g_str_equal(name, "configuration/capabilities")) {
        if (!read_capabilities(w)) {
            return false;
        }
        for (guint i = 0; i < w->m->capabilities->len; i++) {
            g_string_append_printf(text, ", %s",
                                   (char *)g_ptr_array_index(w->m->capabilities, i));
        }
        return true;
    }
    if (g_str_equal(name, "configuration/uuid")) {
        if (!(p = source_peek(w->s, 16))) {
            return walker_ends_early(w, "the UUID");
        }
        g_string_append(text, ", UUID ");
        for (int i = 0; i < 16; i++) {
            g_string_append_printf(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                                   p[i]);
        }
        source_take(w->s, 16);
        return true;
    }
    if (g_str_equal(name, "configuration/target-page-bits")) {
        if (!(p = source_peek(w->s, 4))) {
            return walker_ends_early(w, "the page size");
        }
        if (walker_be32(p) != 12) {
            return model_problem(w->m, source_offset(w->s), "pages of 2^%u bytes, this tool knows "
                                 "4096 only", walker_be32(p));
        }
        source_take(w->s, 4);
        return true;
    }
    return model_problem(w->m, source_offset(w->s), "unknown configuration subsection '%s'", name);
}

static bool read_config_subsections(Walker *w, GString *text)
{
    const uint8_t *p;

    while ((p = source_peek(w->s, 2)) && p[0] == 0x05) {
        uint64_t at = source_offset(w->s);
        size_t len = p[1];
        if (!(p = source_peek(w->s, 6 + len))) {
            return walker_ends_early(w, "the configuration");
        }
        g_autofree char *name = walker_name(p + 2, len);
        uint32_t version = walker_be32(p + 2 + len);
        if (!name || version != 1) {
            return model_problem(w->m, at, "configuration subsection '%s' version %u, expected 1",
                                 name ? name : "(not text)", version);
        }
        source_take(w->s, 6 + len);
        if (!read_config_subsection(w, name, text)) {
            return false;
        }
    }
    return true;
}

static bool read_config(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 1);

    if (p && p[0] != 0x07) {
        return true;    /* send-configuration=off; a wrong byte is found as an unknown section */
    }
    if (!p || !(p = source_peek(w->s, 5))) {
        return walker_ends_early(w, "the configuration");
    }
    uint32_t len = walker_be32(p + 1);
    if (len == 0 || len > 255) {
        return model_problem(w->m, at, "configuration: machine name of %u bytes, expected 1 to 255",
                             len);
    }
    if (!(p = source_peek(w->s, 5 + len))) {
        return walker_ends_early(w, "the configuration");
    }
    w->m->machine = walker_name(p + 5, len);
    if (!w->m->machine) {
        return model_problem(w->m, at, "configuration: the machine's name is not text");
    }
    source_take(w->s, 5 + len);
    Section *sec = walker_add_section(w, SEC_CONFIG, at);
    GString *text = g_string_new(NULL);
    g_string_printf(text, "machine '%s'", w->m->machine);
    bool ok = read_config_subsections(w, text);
    sec->text = g_string_free(text, FALSE);
    walker_end_section(w, sec);
    return ok;
}

bool head_read(Walker *w)
{
    const uint8_t *p = source_peek(w->s, 16);

    if (p && memcmp(p, "LibvirtQemud", 12) == 0 && !read_libvirt(w)) {
        return false;
    }
    p = source_peek(w->s, 48);
    if (p && memcmp(p, "Finc", 4) == 0 && !follow_head(w, p)) {
        return false;
    }
    return read_header(w) && read_config(w);
}
