/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See stream.h. One function per kind of element. The stream has no lengths:
 * what cannot be understood cannot be skipped, so the first problem ends the
 * walk.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include "layout.h"
#include "ram.h"
#include "stream.h"

#define DESCRIPTION_MAX (16u << 20)
#define LIBVIRT_HEADER 92
#define LIBVIRT_XML_MAX (64u << 20)

typedef struct LiveSection {
    uint32_t id;
    char *idstr;
    bool ended;
} LiveSection;

typedef struct Walker {
    Model *m;
    Source *s;
    RamReader ram;
    GPtrArray *live;                /* LiveSection */
    int footers;                    /* -1: not known yet */
    struct json_object *json;       /* the description, once it was found */
    bool looked_for_json, postcopy;
    size_t next_device;
    uint64_t package_end;           /* offset; 0: not in a package */
} Walker;

/* ---- small readers ---- */

static bool ends_early(Walker *w, const char *what)
{
    int err = source_errno(w->s);
    return model_problem(w->m, source_offset(w->s), "%s %s", what,
                         err == EILSEQ ? "is in a damaged gzip file"
                         : err ? g_strerror(err) : "ends early: the file stops here");
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | p[2] << 16 | p[1] << 8 | p[0];
}

/* A name fit for being shown; NULL when it is none. */
static char *name_from(const uint8_t *p, size_t len)
{
    char *name = g_strndup((const char *)p, len);

    for (size_t i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] > 0x7e) {
            g_free(name);
            return NULL;
        }
    }
    return name;
}

static Section *add_section(Walker *w, SectionKind kind, uint64_t offset)
{
    Section *sec = g_new0(Section, 1);
    sec->kind = kind;
    sec->offset = offset;
    g_ptr_array_add(w->m->sections, sec);
    return sec;
}

static void end_section(Walker *w, Section *sec)
{
    sec->length = source_offset(w->s) - sec->offset;
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
    Section *sec = add_section(w, SEC_LIBVIRT, source_offset(w->s));

    if (!p) {
        return ends_early(w, "libvirt's header");
    }
    bool partial = memcmp(p, "LibvirtQemudPart", 16) == 0;
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
        return ends_early(w, "libvirt's domain description");
    }
    g_autofree char *text = g_strndup((const char *)xml, xml_len);
    g_autofree char *name = xml_domain_name(text);
    source_take(w->s, xml_len);
    sec->text = g_strdup_printf("version %u, domain '%s', was %s, compression %u, %u bytes of XML%s",
                                version, name, running ? "running" : "paused", compression,
                                xml_len, partial ? ", SAVE NOT COMPLETED" : "");
    end_section(w, sec);
    return libvirt_compression(w, compression);
}

/* ---- header and configuration ---- */

static bool read_header(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 8);

    if (!p) {
        return ends_early(w, "the header");
    }
    if (memcmp(p, "QEVM", 4) != 0) {
        return model_problem(w->m, at, "not a migration stream: magic %02x %02x %02x %02x, "
                             "expected \"QEVM\"", p[0], p[1], p[2], p[3]);
    }
    if (be32(p + 4) != 3) {
        return model_problem(w->m, at + 4, "stream version %u, expected 3", be32(p + 4));
    }
    Section *sec = add_section(w, SEC_HEADER, at);
    sec->text = g_strdup("version 3");
    source_take(w->s, 8);
    end_section(w, sec);
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
    uint32_t count = p ? be32(p) : 0;

    if (!p) {
        return ends_early(w, "the list of capabilities");
    }
    if (count == 0 || count > G_N_ELEMENTS(known_capabilities)) {
        return model_problem(w->m, source_offset(w->s), "%u capabilities, expected 1 to %zu",
                             count, G_N_ELEMENTS(known_capabilities));
    }
    source_take(w->s, 4);
    for (uint32_t i = 0; i < count; i++) {
        p = source_peek(w->s, 1);
        if (!p || !(p = source_peek(w->s, 1 + p[0]))) {
            return ends_early(w, "a capability");
        }
        char *name = name_from(p + 1, p[0]);
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
            return ends_early(w, "the UUID");
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
            return ends_early(w, "the page size");
        }
        if (be32(p) != 12) {
            return model_problem(w->m, source_offset(w->s), "pages of 2^%u bytes, this tool knows "
                                 "4096 only", be32(p));
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
            return ends_early(w, "the configuration");
        }
        g_autofree char *name = name_from(p + 2, len);
        uint32_t version = be32(p + 2 + len);
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
        return ends_early(w, "the configuration");
    }
    uint32_t len = be32(p + 1);
    if (len == 0 || len > 255) {
        return model_problem(w->m, at, "configuration: machine name of %u bytes, expected 1 to 255",
                             len);
    }
    if (!(p = source_peek(w->s, 5 + len))) {
        return ends_early(w, "the configuration");
    }
    w->m->machine = name_from(p + 5, len);
    if (!w->m->machine) {
        return model_problem(w->m, at, "configuration: the machine's name is not text");
    }
    source_take(w->s, 5 + len);
    Section *sec = add_section(w, SEC_CONFIG, at);
    GString *text = g_string_new(NULL);
    g_string_printf(text, "machine '%s'", w->m->machine);
    bool ok = read_config_subsections(w, text);
    sec->text = g_string_free(text, FALSE);
    end_section(w, sec);
    return ok;
}

/* ---- the description ---- */

static struct json_object *parse_description(const uint8_t *p, uint32_t len)
{
    struct json_tokener *tok = json_tokener_new_ex(64);
    struct json_object *o = json_tokener_parse_ex(tok, (const char *)p, len);
    bool whole = json_tokener_get_error(tok) == json_tokener_success &&
                 json_tokener_get_parse_end(tok) == len;
    struct json_object *devices;

    json_tokener_free(tok);
    if (o && whole && json_object_object_get_ex(o, "devices", &devices) &&
        json_object_is_type(devices, json_type_array)) {
        return o;
    }
    json_object_put(o);
    return NULL;
}

/*
 * Devices can only be read with the description, which comes after them: at
 * the first device everything left is brought into the window and searched
 * from its end. What is found is checked again when the walk gets there.
 */
static void look_for_description(Walker *w)
{
    if (w->looked_for_json || w->package_end) {
        return;
    }
    w->looked_for_json = true;
    if (!source_slurp(w->s)) {
        return;
    }
    size_t size = source_window(w->s);
    const uint8_t *p = source_peek(w->s, size);
    for (size_t i = size; p && i-- > 0;) {
        if (p[i] == 0x06 && size - i > 6 && p[i + 5] == '{' && be32(p + i + 1) <= size - i - 5 &&
            be32(p + i + 1) <= DESCRIPTION_MAX) {
            w->json = parse_description(p + i + 5, be32(p + i + 1));
            if (w->json) {
                break;
            }
        }
    }
    if (w->json) {
        w->m->ferry = json_object_object_get_ex(w->json, "ferry", NULL);
        w->m->configuration_described =
            json_object_object_get_ex(w->json, "configuration", NULL);
    }
}

static struct json_object *described_devices(Walker *w)
{
    struct json_object *devices = NULL;
    if (w->json) {
        json_object_object_get_ex(w->json, "devices", &devices);
    }
    return devices;
}

/* The description's entry for this section: they come in the same order. */
static bool described_device(Walker *w, const Section *sec, struct json_object **device)
{
    struct json_object *devices = described_devices(w), *name, *instance, *version;

    *device = NULL;
    if (!devices) {
        return true;
    }
    if (w->next_device >= json_object_array_length(devices)) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u is not in the stream's "
                             "description", sec->idstr, sec->instance);
    }
    struct json_object *o = json_object_array_get_idx(devices, w->next_device++);
    if (!json_object_object_get_ex(o, "name", &name) ||
        !json_object_object_get_ex(o, "instance_id", &instance) ||
        !json_object_is_type(name, json_type_string) ||
        !json_object_is_type(instance, json_type_int)) {
        return model_problem(w->m, sec->offset, "device %zu of the description has no name or "
                             "instance", w->next_device - 1);
    }
    if (!g_str_equal(json_object_get_string(name), sec->idstr) ||
        json_object_get_int64(instance) != sec->instance) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u, the description has "
                             "'%s' instance %" PRId64 " here", sec->idstr, sec->instance,
                             json_object_get_string(name), json_object_get_int64(instance));
    }
    if (json_object_object_get_ex(o, "version", &version) &&
        json_object_get_int64(version) != sec->version) {
        return model_problem(w->m, sec->offset, "section '%s' instance %u has version %u, its "
                             "description says %" PRId64, sec->idstr, sec->instance, sec->version,
                             json_object_get_int64(version));
    }
    *device = o;
    return true;
}

static bool check_description(Walker *w, uint64_t at)
{
    struct json_object *devices = described_devices(w), *page_size;

    if (json_object_object_get_ex(w->json, "page_size", &page_size) &&
        json_object_get_int64(page_size) != PAGE) {
        return model_problem(w->m, at, "the description has page size %" PRId64 ", expected %u",
                             json_object_get_int64(page_size), PAGE);
    }
    if (w->next_device < json_object_array_length(devices)) {
        return model_problem(w->m, at, "the description has %zu devices, the stream %zu",
                             json_object_array_length(devices), w->next_device);
    }
    return true;
}

static bool read_description(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 5);

    if (!p) {
        return ends_early(w, "the description");
    }
    uint32_t len = be32(p + 1);
    if (len > DESCRIPTION_MAX) {
        return model_problem(w->m, at, "description of %u bytes, expected at most %u", len,
                             DESCRIPTION_MAX);
    }
    if (!(p = source_peek(w->s, 5 + (size_t)len))) {
        return ends_early(w, "the description");
    }
    w->m->description = g_strndup((const char *)p + 5, len);
    if (!w->json && !(w->json = parse_description(p + 5, len))) {
        return model_problem(w->m, at + 5, "the description is not a JSON object with \"devices\"");
    }
    Section *sec = add_section(w, SEC_DESCRIPTION, at);
    source_take(w->s, 5 + (size_t)len);
    sec->text = g_strdup_printf("%u bytes, %zu devices%s", len,
                                json_object_array_length(described_devices(w)),
                                w->m->ferry ? ", ferry" : "");
    end_section(w, sec);
    return check_description(w, at);
}

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
        return ends_early(w, "a section's footer");
    }
    if (p[0] != 0x7e) {
        return model_problem(w->m, at, "section '%s' (%s at 0x%" PRIx64 "): no footer: byte 0x%02x, "
                             "expected 0x7e", sec->idstr, section_kind_name(sec->kind),
                             sec->offset, p[0]);
    }
    if (be32(p + 1) != sec->id) {
        return model_problem(w->m, at, "section '%s' (%s at 0x%" PRIx64 "): footer with id %u, "
                             "expected %u", sec->idstr, section_kind_name(sec->kind), sec->offset,
                             be32(p + 1), sec->id);
    }
    source_take(w->s, 5);
    return true;
}

/* "type id idstr instance version" of START and FULL. */
static bool read_section_header(Walker *w, Section *sec)
{
    const uint8_t *p = source_peek(w->s, 6);

    if (!p || !(p = source_peek(w->s, 6 + p[5] + 8))) {
        return ends_early(w, "a section's header");
    }
    size_t len = p[5];
    sec->id = be32(p + 1);
    sec->idstr = name_from(p + 6, len);
    sec->instance = be32(p + 6 + len);
    sec->version = be32(p + 10 + len);
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
    Section *sec = add_section(w, SEC_START, source_offset(w->s));

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
    end_section(w, sec);
    return ok;
}

static bool read_part_or_end(Walker *w, SectionKind kind)
{
    Section *sec = add_section(w, kind, source_offset(w->s));
    const uint8_t *p = source_peek(w->s, 5);

    if (!p) {
        return ends_early(w, "a section's header");
    }
    sec->id = be32(p + 1);
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
    end_section(w, sec);
    return ok;
}

static bool read_full(Walker *w)
{
    struct json_object *device;
    Section *sec = add_section(w, SEC_FULL, source_offset(w->s));

    look_for_description(w);
    if (!read_section_header(w, sec)) {
        return false;
    }
    for (guint i = 0; i + 1 < w->m->sections->len; i++) {
        const Section *other = g_ptr_array_index(w->m->sections, i);
        if (other->idstr && other->kind == SEC_FULL &&
            (other->id == sec->id || (g_str_equal(other->idstr, sec->idstr) &&
                                      other->instance == sec->instance))) {
            return model_problem(w->m, sec->offset, "section '%s' instance %u id %u: '%s' instance "
                                 "%u id %u was there before", sec->idstr, sec->instance, sec->id,
                                 other->idstr, other->instance, other->id);
        }
    }
    if (g_str_equal(sec->idstr, "cpu")) {
        w->m->cpu_version = MIN(sec->version, G_MAXINT);
        w->m->harts++;
    }
    if (!described_device(w, sec, &device)) {
        return false;
    }
    sec->data_offset = source_offset(w->s);
    sec->fields = g_ptr_array_new_with_free_func(node_free);
    bool ok = layout_read_body(w->m, w->s, device, sec, sec->fields);
    sec->data_length = source_offset(w->s) - sec->data_offset;
    ok = ok && read_footer(w, sec);
    end_section(w, sec);
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
        uint64_t start = (uint64_t)be32(p + i) << 32 | be32(p + i + 4);
        uint64_t length = (uint64_t)be32(p + i + 8) << 32 | be32(p + i + 12);
        if (start % PAGE || length % PAGE || start > b->length || length > b->length - start) {
            return model_problem(w->m, at, "command POSTCOPY_RAM_DISCARD: block '%s' range 0x%"
                                 PRIx64 " + 0x%" PRIx64 " is not in it", b->name, start, length);
        }
        ram_discard(b, start, length);
    }
    return true;
}

static bool read_command(Walker *w)
{
    uint64_t at = source_offset(w->s);
    const uint8_t *p = source_peek(w->s, 5);
    unsigned cmd = p ? p[1] << 8 | p[2] : 0, len = p ? p[3] << 8 | p[4] : 0;

    if (!p || !(p = source_peek(w->s, 5 + len))) {
        return ends_early(w, "a command");
    }
    if (cmd >= G_N_ELEMENTS(commands) || !commands[cmd].name) {
        return model_problem(w->m, at, "unknown command %u of %u bytes", cmd, len);
    }
    if (commands[cmd].length >= 0 && (unsigned)commands[cmd].length != len) {
        return model_problem(w->m, at, "command %s of %u bytes, expected %d", commands[cmd].name,
                             len, commands[cmd].length);
    }
    if (cmd == 6 && !apply_discard(w, p + 5, len, at)) {
        return false;
    }
    Section *sec = add_section(w, SEC_COMMAND, at);
    sec->id = cmd;
    sec->text = len ? g_strdup_printf("%s, %u bytes", commands[cmd].name, len)
                    : g_strdup(commands[cmd].name);
    w->m->switchover_command |= cmd == 11;
    w->postcopy |= cmd == 4;
    if (cmd == 7) {
        w->package_end = at + 9 + be32(p + 5);
    }
    source_take(w->s, 5 + len);
    end_section(w, sec);
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
                             "sent, the first is page %" PRIu64 " (0x%" PRIx64 ")", b->name,
                             pages - b->seen_pages, pages, first, first * PAGE);
    }
    return true;
}

static bool read_eof(Walker *w)
{
    Section *sec = add_section(w, SEC_EOF, source_offset(w->s));

    source_take(w->s, 1);
    end_section(w, sec);
    for (guint i = 0; i < w->live->len; i++) {
        const LiveSection *l = g_ptr_array_index(w->live, i);
        if (!l->ended) {
            return model_problem(w->m, sec->offset, "the stream ends, section '%s' has not",
                                 l->idstr);
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
        return source_errno(w->s) ? ends_early(w, "what follows the stream") : true;
    }
    Section *sec = add_section(w, SEC_TRAILER, at);
    while ((p = source_peek(w->s, 1))) {
        if (*p) {
            return model_problem(w->m, source_offset(w->s), "byte 0x%02x after the end of the "
                                 "stream", *p);
        }
        source_take(w->s, 1);
    }
    end_section(w, sec);
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
            return ends_early(w, "the stream");
        }
        if (*p == 0x00) {
            return read_eof(w);
        }
        if (!read_element(w, *p)) {
            return false;
        }
    }
}

static bool read_all(Walker *w)
{
    const uint8_t *p = source_peek(w->s, 16);

    if (p && memcmp(p, "LibvirtQemud", 12) == 0 && !read_libvirt(w)) {
        return false;
    }
    if (!read_header(w) || !read_config(w) || !read_elements(w)) {
        return false;
    }
    p = source_peek(w->s, 1);
    if (p && *p == 0x06) {
        if (!read_description(w)) {
            return false;
        }
    } else if (w->json) {
        return model_problem(w->m, source_offset(w->s), "byte 0x%02x where the description "
                             "starts, expected 0x06", p ? *p : 0);
    }
    return read_trailer(w);
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
