/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of the stream: magic, version and the configuration block
 * (migration-stream 1.5) with its subsections. Written by outgoing.c, read
 * and checked by incoming.c; nothing of the machine changes here.
 */
#include <json-c/json.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/load-error.h"
#include "migration/migration-private.h"
#include "migration/stream/format.h"
#include "migration/stream/head.h"
#include "softmmu/config.h"
#include "util/error.h"

#define STREAM_SEARCH_BYTES (4U << 20)     /* offsets are for headers in front, and those are small */

/* ---- writing ---- */

static void put_subsection(StreamWriter *w, const char *name)
{
    stream_put_u8(w, SECTION_SUBSECTION);
    stream_put_cstr(w, name);
    stream_put_be32(w, 1);
}

static void put_capabilities(StreamWriter *w, MigrationCaps caps)
{
    uint32_t n = 0;

    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        n += (caps >> cap) & 1;
    }
    if (n == 0) {
        return;
    }
    put_subsection(w, CONFIG_SUB_CAPABILITIES);
    stream_put_be32(w, n);
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if ((caps >> cap) & 1) {
            stream_put_cstr(w, MigrationCapability_str(cap));
        }
    }
}

void migration_put_header(Migration *m, StreamWriter *w, const MigrationSettings *s)
{
    MigrationCaps caps = migration_settings_caps(s);
    const MachineConfig *config = m->machine->config;

    stream_put_be32(w, STREAM_MAGIC);
    stream_put_be32(w, STREAM_VERSION);
    if (!migration_settings_props(s)->send_configuration) {
        return;
    }
    stream_put_u8(w, SECTION_CONFIGURATION);
    stream_put_be32(w, strlen(config->machine_name));
    stream_put_buffer(w, config->machine_name, strlen(config->machine_name));
    put_capabilities(w, caps & MIGRATION_CAPS_VALIDATED);
    if ((caps & MIGRATION_CAP(VALIDATE_UUID)) && config->uuid_set) {
        put_subsection(w, CONFIG_SUB_UUID);
        stream_put_buffer(w, config->uuid, sizeof(config->uuid));
    }
}

/* ---- describing: what was written, for the description at the stream's end ---- */

static struct json_object *describe_field(const char *name, const char *type, int array_len,
                                          int size)
{
    struct json_object *o = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(name));
    if (array_len) {
        json_object_object_add(o, "array_len", json_object_new_int(array_len));
    }
    json_object_object_add(o, "type", json_object_new_string(type));
    json_object_object_add(o, "size", json_object_new_int(size));
    return o;
}

/* {"vmsd_name", "version", "fields": []}; *fields is the list to fill. */
static struct json_object *describe_vmsd(const char *name, struct json_object **fields)
{
    struct json_object *o = json_object_new_object();

    *fields = json_object_new_array();
    json_object_object_add(o, "vmsd_name", json_object_new_string(name));
    json_object_object_add(o, "version", json_object_new_int(1));
    json_object_object_add(o, "fields", *fields);
    return o;
}

static struct json_object *describe_capabilities(MigrationCaps caps)
{
    struct json_object *fields, *o = describe_vmsd(CONFIG_SUB_CAPABILITIES, &fields);
    int n = __builtin_popcountll(caps), index = 0;

    json_object_array_add(fields, describe_field("caps_count", "uint32", 0, 4));
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if ((caps >> cap) & 1) {
            struct json_object *f = json_object_new_object();
            json_object_object_add(f, "name", json_object_new_string("capabilities"));
            if (n > 1) {
                json_object_object_add(f, "index", json_object_new_int(index++));
            }
            json_object_object_add(f, "type", json_object_new_string("capability"));
            json_object_object_add(f, "size", json_object_new_int(
                                       1 + strlen(MigrationCapability_str(cap))));
            json_object_array_add(fields, f);
        }
    }
    return o;
}

struct json_object *migration_describe_configuration(Migration *m, const MigrationSettings *s)
{
    MigrationCaps caps = migration_settings_caps(s);
    const MachineConfig *config = m->machine->config;
    struct json_object *fields, *o = describe_vmsd(CONFIG_VMSD_NAME, &fields);
    struct json_object *subsections = json_object_new_array();

    json_object_array_add(fields, describe_field("len", "uint32", 0, 4));
    json_object_array_add(fields,
                          describe_field("name", "buffer", 0, strlen(config->machine_name)));
    if (caps & MIGRATION_CAPS_VALIDATED) {
        json_object_array_add(subsections, describe_capabilities(caps & MIGRATION_CAPS_VALIDATED));
    }
    if ((caps & MIGRATION_CAP(VALIDATE_UUID)) && config->uuid_set) {
        struct json_object *uuid = describe_vmsd(CONFIG_SUB_UUID, &fields);
        json_object_array_add(fields, describe_field("uuid.data", "uint8", CONFIG_UUID_BYTES, 1));
        json_object_array_add(subsections, uuid);
    }
    if (json_object_array_length(subsections) > 0) {
        json_object_object_add(o, "subsections", subsections);
    } else {
        json_object_put(subsections);
    }
    return o;
}

/* ---- reading ---- */

/* True if what comes next is a subsection of the configuration; name is a copy, nothing is consumed. */
static bool peek_subsection(StreamReader *r, char name[256])
{
    uint8_t head[2];

    if (!stream_peek(r, 0, head, 2) || head[0] != SECTION_SUBSECTION ||
        head[1] <= strlen(CONFIG_VMSD_NAME) || !stream_peek(r, 2, name, head[1])) {
        return false;
    }
    name[head[1]] = 0;
    return g_str_has_prefix(name, CONFIG_VMSD_NAME);
}

static bool check_page_bits(StreamReader *r, GError **errp)
{
    uint32_t bits = stream_get_be32(r);

    if (stream_reader_ok(r, errp) && bits != TARGET_PAGE_BITS) {
        error_setg(errp, "Received TARGET_PAGE_BITS is %u but local is %d", bits, TARGET_PAGE_BITS);
        return false;
    }
    return stream_reader_ok(r, errp);
}

static bool get_capabilities(StreamReader *r, MigrationCaps *received, GError **errp)
{
    uint32_t n = stream_get_be32(r);
    char name[256];

    if (n > CONFIG_CAPABILITIES_MAX) {
        error_setg(errp, "%u capabilities announced, at most %d expected", n,
                   CONFIG_CAPABILITIES_MAX);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!stream_get_cstr(r, name)) {
            return stream_reader_ok(r, errp);
        }
        int cap = MigrationCapability_parse(name, NULL);
        if (cap < 0) {
            error_setg(errp, "Received unknown capability %s", name);
            return false;
        }
        *received |= UINT64_C(1) << cap;
    }
    return stream_reader_ok(r, errp);
}

static char *uuid_text(const uint8_t *u)
{
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                           u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10],
                           u[11], u[12], u[13], u[14], u[15]);
}

static bool check_uuid(Migration *m, StreamReader *r, GError **errp)
{
    const MachineConfig *config = m->machine->config;
    uint8_t uuid[CONFIG_UUID_BYTES];

    if (!stream_get_buffer(r, uuid, sizeof(uuid))) {
        return stream_reader_ok(r, errp);
    }
    if (!config->uuid_set) {
        machine_report(m->machine, "warning: UUID is received, but none is set here: not compared");
        return true;
    }
    if (memcmp(uuid, config->uuid, sizeof(uuid))) {
        g_autofree char *theirs = uuid_text(uuid), *ours = uuid_text(config->uuid);
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_UUID, "UUID received is %s and local is %s",
                         theirs, ours);
        return false;
    }
    return true;
}

/* Both directions: what they have and we lack, what we have and they lack. */
static bool check_capabilities(MigrationCaps ours, MigrationCaps theirs, GError **errp)
{
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        MigrationCaps bit = UINT64_C(1) << cap;
        if (((ours ^ theirs) & MIGRATION_CAPS_VALIDATED) & bit) {
            error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_CAPABILITY,
                             "Capability %s is %s, but received capability is %s",
                             MigrationCapability_str(cap), ours & bit ? "on" : "off",
                             theirs & bit ? "on" : "off");
            return false;
        }
    }
    return true;
}

static bool check_name(Migration *m, StreamReader *r, GError **errp)
{
    const char *local = m->machine->config->machine_name;
    char name[CONFIG_NAME_MAX + 1] = "";
    uint32_t len = stream_get_be32(r);

    if (len > CONFIG_NAME_MAX) {
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_MACHINE_TYPE,
                         "Machine type received is %u bytes long, at most %d expected", len,
                         CONFIG_NAME_MAX);
        return false;
    }
    if (!stream_get_buffer(r, name, len)) {
        return stream_reader_ok(r, errp);
    }
    if (strncmp(name, local, len)) {
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_MACHINE_TYPE,
                         "Machine type received is '%s' and local is '%s'", name, local);
        return false;
    }
    return true;
}

static bool get_subsection(Migration *m, StreamReader *r, const char *name,
                           MigrationCaps *received, GError **errp)
{
    uint32_t version;

    stream_skip(r, 2 + strlen(name));
    version = stream_get_be32(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (version != 1) {
        error_setg(errp, "%s: version %u, 1 expected", name, version);
        return false;
    }
    if (g_str_equal(name, CONFIG_SUB_PAGE_BITS)) {
        return check_page_bits(r, errp);
    }
    if (g_str_equal(name, CONFIG_SUB_CAPABILITIES)) {
        return get_capabilities(r, received, errp);
    }
    if (g_str_equal(name, CONFIG_SUB_UUID)) {
        return check_uuid(m, r, errp);
    }
    error_setg(errp, "unknown subsection '%s': No such file or directory", name);
    return false;
}

static bool get_configuration(Migration *m, StreamReader *r, MigrationCaps caps, GError **errp)
{
    MigrationCaps received = 0;
    char name[256];

    if (stream_get_u8(r) != SECTION_CONFIGURATION) {
        if (stream_reader_ok(r, errp)) {
            error_setg(errp, "Configuration section missing");
        }
        return false;
    }
    if (!check_name(m, r, errp)) {
        return false;
    }
    while (peek_subsection(r, name)) {
        if (!get_subsection(m, r, name, &received, errp)) {
            error_prepend(errp, "configuration: ");
            return false;
        }
    }
    return check_capabilities(caps, received, errp);
}

/* A file read at a wrong offset: where in its beginning a stream is; NULL: no file, or none there. */
static char *find_stream_in_file(Channel *c)
{
    static const uint8_t head[] = { 'Q', 'E', 'V', 'M', 0, 0, 0, STREAM_VERSION };

    if (!c || !channel_is_seekable(c)) {
        return NULL;
    }
    g_autofree uint8_t *data = g_try_malloc(STREAM_SEARCH_BYTES);
    ssize_t n = data ? pread(channel_fd(c), data, STREAM_SEARCH_BYTES, 0) : 0;
    const uint8_t *at = n > 0 ? memmem(data, n, head, sizeof(head)) : NULL;
    return at ? g_strdup_printf("a stream begins at byte 0x%zx of the file: read it with "
                                "file:...,offset=0x%zx", (size_t)(at - data), (size_t)(at - data))
              : NULL;
}

/* A file that a writer began and did not complete (6.7). */
static void refuse_part(Channel *c, GError **errp)
{
    struct stat st;

    if (c && channel_is_seekable(c) && fstat(channel_fd(c), &st) == 0) {
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_PART, "'%s' is a save that was not completed: %"
                         G_GINT64_MODIFIER "u KiB are there, not all of the guest",
                         channel_name(c), (guint64)st.st_blocks / 2);
    } else {
        error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_PART, "This is a save that was not completed: "
                         "not all of the guest is there");
    }
}

/* A file that was saved into again (6.10): its stream is elsewhere. *magic: what that begins with. */
static bool follow_head(StreamReader *r, uint32_t *magic, GError **errp)
{
    MappedHead head = { .magic = GUINT32_TO_BE(*magic) };

    stream_get_buffer(r, (uint8_t *)&head + sizeof(head.magic), sizeof(head) - sizeof(head.magic));
    if (!stream_reader_ok(r, errp) || !mapped_head_check(&head, errp) ||
        !stream_reader_seek(r, head.stream_offset, errp)) {
        return false;
    }
    *magic = stream_get_be32(r);
    return stream_reader_ok(r, errp);
}

bool migration_get_header(Migration *m, StreamReader *r, const MigrationSettings *s, GError **errp)
{
    uint32_t magic = stream_get_be32(r);

    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (magic == STREAM_MAGIC_HEAD && !follow_head(r, &magic, errp)) {
        return false;
    }
    if (magic == STREAM_MAGIC_PART) {
        refuse_part(stream_reader_channel(r), errp);
        return false;
    }
    if (magic != STREAM_MAGIC) {
        g_autofree char *hint = find_stream_in_file(stream_reader_channel(r));
        error_setg(errp, "Not a migration stream: it begins with 0x%08x, 0x%08x expected%s%s", magic,
                   STREAM_MAGIC, hint ? "; " : "", hint ? hint : "");
        return false;
    }
    uint32_t version = stream_get_be32(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (version == STREAM_VERSION_OBSOLETE) {
        error_setg(errp, "SaveVM v2 format is obsolete and no longer supported");
        return false;
    }
    if (version != STREAM_VERSION) {
        error_setg(errp, "Unsupported migration stream version %u, %u expected", version,
                   STREAM_VERSION);
        return false;
    }
    return !migration_settings_props(s)->send_configuration ||
           get_configuration(m, r, migration_settings_caps(s), errp);
}
