/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading one stream: header, sections and commands to the end of the file,
 * description. Called by destination/incoming.c on the incoming thread, and by fuzz
 * targets and tests with a stream in memory. Whatever the stream holds, it
 * returns an error and no worse; it starts and ends nothing.
 */
#include <inttypes.h>
#include <string.h>
#include <json-c/json.h>
#include "migration/load-error.h"
#include "migration/stream/return-path.h"
#include "migration/destination/commands.h"
#include "migration/destination/hints.h"
#include "migration/destination/load.h"
#include "migration/migration-private.h"
#include "migration/stream/format.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define SECTIONS_MAX 4096       /* bindings of section ids; a real machine has dozens */

/* What a section id of this stream stands for. */
typedef struct SectionBinding {
    char idstr[256];
    uint32_t instance_id, version_id;
} SectionBinding;

/* ---- sections ---- */

static void load_name(IncomingLoad *l, const char *what)
{
    g_strlcpy(l->doing, what, sizeof(l->doing));
}

static bool check_footer(IncomingLoad *l, StreamReader *r, uint32_t id, const char *idstr,
                         GError **errp)
{
    if (!migration_settings_props(l->settings)->send_section_footer) {
        return true;
    }
    if (stream_get_u8(r) != SECTION_FOOTER) {
        if (stream_reader_ok(r, errp)) {
            error_set_domain(errp, LOAD_ERROR, LOAD_ERROR_FOOTER, "Missing section footer for %s",
                             idstr);
        }
        return false;
    }
    uint32_t got = stream_get_be32(r);
    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    if (got != id) {
        error_setg(errp, "Mismatched section id in footer for %s - read 0x%x expected 0x%x", idstr,
                   got, id);
        return false;
    }
    return true;
}

static void lock_bql_hook(void *opaque, bool waiting)
{
    IncomingLoad *l = opaque;

    if (!l->bql_wanted) {
        return;
    }
    if (waiting) {
        bql_unlock(l->m->machine->loop);
    } else {
        bql_lock(l->m->machine->loop);
    }
}

/* Device state is loaded under the BQL; while the peer lets us wait for bytes, the main loop has it. */
static bool load_device(IncomingLoad *l, StreamReader *r, const SectionBinding *b, GError **errp)
{
    if (!l->first_device_us) {
        l->first_device_us = g_get_monotonic_time();
        switchover_trace(SWITCHOVER_FIRST_DEVICE);
    }
    int64_t start = g_get_monotonic_time();
    bql_lock(l->m->machine->loop);
    l->bql_wanted = true;
    bool ok = vmstate_load_section(l->m->machine->vmstate, r, b->idstr, b->instance_id,
                                   b->version_id, errp);
    l->bql_wanted = false;
    bql_unlock(l->m->machine->loop);
    trace_vmstate_downtime_load("non-iterable", b->idstr, b->instance_id,
                                g_get_monotonic_time() - start);
    return ok;
}

/* Behind the switch a guest runs; and a package is read while its memory is. */
static bool check_section(const IncomingLoad *l, bool ram, GError **errp)
{
    if ((l->place == INCOMING_IN_PACKAGE && ram) || (l->place == INCOMING_IN_BACKGROUND && !ram)) {
        error_setg(errp, "Unexpected section '%s' %s", l->reading,
                   ram ? "in a package" : "after the switch to postcopy");
        return false;
    }
    return true;
}

static bool load_payload(IncomingLoad *l, StreamReader *r, uint32_t id, const SectionBinding *b,
                         GError **errp)
{
    bool ram = b->instance_id == 0 && g_str_equal(b->idstr, RAM_SECTION_IDSTR);

    l->reading = b->idstr;
    l->ram_id = ram ? id : l->ram_id;
    g_snprintf(l->doing, sizeof(l->doing), "section '%s' (id %u, version %u)", b->idstr, id,
               b->version_id);
    uint64_t start = stream_reader_offset(r);
    bool ok = check_section(l, ram, errp) &&
              fault_point(&l->m->machine->faults, FAULT_DST_SECTION, errp) &&
              (ram ? ram_load_payload(l->ram, r, b->version_id, errp)
                   : load_device(l, r, b, errp)) && check_footer(l, r, id, b->idstr, errp);
    trace_qemu_loadvm_state_section_end(id, b->idstr, stream_reader_offset(r) - start,
                                        ok ? 0 : -1);
    return ok;
}

/* START and FULL: the header binds the id. */
static bool load_start(IncomingLoad *l, StreamReader *r, GError **errp)
{
    SectionBinding *b = g_new0(SectionBinding, 1);
    uint32_t id = stream_get_be32(r);

    stream_get_cstr(r, b->idstr);
    b->instance_id = stream_get_be32(r);
    b->version_id = stream_get_be32(r);
    if (!stream_reader_ok(r, errp)) {
        g_free(b);
        return false;
    }
    if (!b->idstr[0] || g_hash_table_size(l->sections) >= SECTIONS_MAX) {
        error_setg(errp, b->idstr[0] ? "More than 4096 sections" : "Unable to read ID string");
        g_free(b);
        return false;
    }
    trace_qemu_loadvm_state_section_startfull(id, b->idstr, b->instance_id, b->version_id);
    g_hash_table_replace(l->sections, GUINT_TO_POINTER(id), b);
    return load_payload(l, r, id, b, errp);
}

/* PART and END: the id was bound before. */
static bool load_part(IncomingLoad *l, StreamReader *r, GError **errp)
{
    uint32_t id = stream_get_be32(r);

    if (!stream_reader_ok(r, errp)) {
        return false;
    }
    const SectionBinding *b = g_hash_table_lookup(l->sections, GUINT_TO_POINTER(id));
    if (!b) {
        error_setg(errp, "Unknown savevm section %u", id);
        return false;
    }
    trace_qemu_loadvm_state_section_partend(id);
    return load_payload(l, r, id, b, errp);
}

/* ---- the stream as a whole ---- */

static bool load_package(IncomingLoad *l, uint64_t at, GError **errp);

/* One element behind its type. */
static bool load_element(IncomingLoad *l, StreamReader *r, uint8_t type, GError **errp)
{
    switch (type) {
    case SECTION_START:
    case SECTION_FULL:
        load_name(l, "section header");
        return load_start(l, r, errp);
    case SECTION_PART:
    case SECTION_END:
        load_name(l, "section header");
        return load_part(l, r, errp);
    case SECTION_COMMAND:
        load_name(l, "command");
        return incoming_command(l, r, errp) &&
               (!l->package || load_package(l, stream_reader_offset(r), errp));
    default:
        load_name(l, "section type");
        error_setg(errp, "Unknown savevm section type %d", type);
        return false;
    }
}

static bool load_elements(IncomingLoad *l, StreamReader *r, GError **errp)
{
    while (!l->ran) {
        uint8_t type = stream_get_u8(r);

        if (!stream_reader_ok(r, errp)) {
            load_name(l, "section type");
            return false;
        }
        trace_qemu_loadvm_state_section(type);
        if (type == SECTION_EOF) {
            return ram_load_check_complete(l->ram, errp);
        }
        if (!load_element(l, r, type, errp)) {
            return false;
        }
    }
    return true;
}

/* It ends with the guest's start. What follows it in the stream is somebody else's to read. */
static bool load_package(IncomingLoad *l, uint64_t at, GError **errp)
{
    g_autoptr(GByteArray) bytes = g_steal_pointer(&l->package);
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);

    l->place = INCOMING_IN_PACKAGE;
    l->package_at = at;
    trace_loadvm_handle_cmd_packaged_main(bytes->len);
    bool ok = load_elements(l, r, errp);
    if (ok && !l->ran) {
        error_setg(errp, "The package does not start the guest");
        ok = false;
    }
    if (!ok) {
        error_prepend(errp, "package of %u bytes, at 0x%" PRIx64 ": ", bytes->len,
                      stream_reader_offset(r));
    }
    stream_reader_free(r);
    return ok;
}

/* A device that was left out is not found out by what came: by what is described, and by what we have. */
static bool check_complete(IncomingLoad *l, struct json_object *json, GError **errp)
{
    struct json_object *devices;

    return !json_object_object_get_ex(json, "devices", &devices) ||
           !json_object_is_type(devices, json_type_array) ||
           vmstate_load_complete(l->m->machine->vmstate, devices, errp);
}

static bool deliver_ferry(IncomingLoad *l, struct json_object *json, GError **errp)
{
    struct json_object *ferry;
    bool ok = true;

    if (json_object_object_get_ex(json, "ferry", &ferry) &&
        json_object_is_type(ferry, json_type_object)) {
        bql_lock(l->m->machine->loop);
        ok = vmstate_load_ferry(l->m->machine->vmstate, ferry, errp);
        bql_unlock(l->m->machine->loop);
    }
    return ok;
}

static bool use_description(IncomingLoad *l, const char *text, GError **errp)
{
    struct json_object *json = json_tokener_parse(text);
    bool ok;

    load_name(l, "description");
    l->reading = NULL;
    ok = !json_object_is_type(json, json_type_object) ||
         (check_complete(l, json, errp) && deliver_ferry(l, json, errp));
    json_object_put(json);
    return ok;
}

/*
 * The description is informal: absent, cut or garbled, the machine is loaded
 * all the same (migration-stream 1.6). Whole, it tells which devices were sent.
 */
static bool load_description(IncomingLoad *l, StreamReader *r, GError **errp)
{
    if (migration_settings_props(l->settings)->suppress_vmdesc) {
        return true;
    }
    uint8_t type = stream_get_u8(r);
    if (!stream_reader_ok(r, NULL) || type != SECTION_VMDESCRIPTION) {
        machine_report(l->m->machine, "Expected vmdescription section, but got %d", type);
        return true;
    }
    uint32_t len = stream_get_be32(r);
    if (len > VMDESCRIPTION_MAX) {
        stream_skip(r, len);
        return true;
    }
    g_autoptr(GByteArray) text = incoming_get_bytes(r, len);
    if (!text) {
        return true;
    }
    g_byte_array_append(text, (const uint8_t *)"", 1);
    return use_description(l, (const char *)text->data, errp);
}

static RamLoader *make_loader(Migration *m, const MigrationSettings *s)
{
    RamLoadOptions opt = {
        .zero_fill = migration_dialect(m) == DIALECT_QEMU_7_2 ? RAM_ZERO_FILL_ANY
                                                              : RAM_ZERO_FILL_STRICT,
        .ignore_shared = migration_settings_caps(s) & MIGRATION_CAP(X_IGNORE_SHARED),
        .layout = migration_settings_layout(s),
        .checksum = migration_settings_caps(s) & MIGRATION_CAP(X_RAM_CHECKSUM),
        .file_readers = migration_settings_layout(s) != RAM_LAYOUT_STREAM &&
                        migration_settings_caps(s) & MIGRATION_CAP(MULTIFD)
                            ? migration_settings_params(s).multifd_channels : 0,
        .simd = migration_settings_simd(s),
    };
    return ram_loader_new(m->machine->ram, m->machine->dirty, &opt);
}

void incoming_load_init(IncomingLoad *l, Migration *m, MigrationSettings *settings,
                        Channel *channel)
{
    *l = (IncomingLoad){ .m = m, .settings = migration_settings_ref(settings),
                         .channel = channel };
    l->ram = make_loader(m, settings);
    l->sections = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    load_name(l, "header");
}

void incoming_load_clear(IncomingLoad *l)
{
    RamLoader *ram = g_steal_pointer(&l->ram);

    if (!l->borrowed_ram) {
        ram_loader_free(ram);
    }
    g_clear_pointer(&l->package, g_byte_array_unref);
    g_clear_pointer(&l->sections, g_hash_table_unref);
    g_clear_pointer(&l->settings, migration_settings_unref);
}

static void copy_binding(gpointer id, gpointer binding, gpointer opaque)
{
    g_hash_table_insert(opaque, id, g_memdup2(binding, sizeof(SectionBinding)));
}

void incoming_load_init_background(IncomingLoad *l, const IncomingLoad *of)
{
    *l = (IncomingLoad){
        .m = of->m,
        .settings = migration_settings_ref(of->settings),
        .place = INCOMING_IN_BACKGROUND,
        .channel = of->channel,
        .answers = of->answers,
        .return_path = of->return_path,
        .ops = of->ops,
        .opaque = of->opaque,
        .ram = of->ram,
        .borrowed_ram = true,
        .ram_id = of->ram_id,
        .sections = g_hash_table_new_full(NULL, NULL, NULL, g_free),
    };
    g_hash_table_foreach(of->sections, copy_binding, l->sections);
}

static bool check_layout(IncomingLoad *l, GError **errp)
{
    if (migration_settings_layout(l->settings) != RAM_LAYOUT_STREAM && l->channel &&
        !channel_is_seekable(l->channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' is not",
                   channel_name(l->channel));
        return false;
    }
    if (migration_settings_layout(l->settings) == RAM_LAYOUT_STREAM &&
        migration_settings_caps(l->settings) & MIGRATION_CAP(X_RAM_CHECKSUM)) {
        error_setg(errp, "x-ram-checksum is on, and a stream has no checksums: set mapped-ram or "
                   "fixed-ram, as when it was saved, or x-ram-checksum to off");
        return false;
    }
    return true;
}

/* Where the package began if it was in there: what follows it is another thread's to read. */
static void explain(IncomingLoad *l, const StreamReader *r, GError **errp)
{
    uint64_t at = l->place == INCOMING_IN_PACKAGE ? l->package_at : stream_reader_offset(r);

    incoming_explain(errp, l->doing, l->reading, vmstate_received_dialect(l->m->machine->vmstate),
                     l->ram_id, at);
}

bool incoming_load_stream(IncomingLoad *l, StreamReader *r, GError **errp)
{
    bql_assert_free(l->m->machine->loop);
    g_assert(l->ram && l->place == INCOMING_IN_STREAM && !l->ran);
    stream_reader_set_wait_hook(r, lock_bql_hook, l);
    bql_lock(l->m->machine->loop);
    migration_sections_prepare_load(l->m);
    bql_unlock(l->m->machine->loop);
    trace_loadvm_state_setup();
    bool ok = check_layout(l, errp) && migration_get_header(l->m, r, l->settings, errp) &&
              load_elements(l, r, errp) && (l->ran || load_description(l, r, errp));
    trace_qemu_loadvm_state_post_main(ok ? 0 : -1);
    if (!ok) {
        explain(l, r, errp);
    }
    return ok;
}

bool incoming_load_background(IncomingLoad *l, StreamReader *r, GError **errp)
{
    bql_assert_free(l->m->machine->loop);
    g_assert(l->ram && l->place == INCOMING_IN_BACKGROUND);
    /* The hook was for who held the lock before the switch; here it is never held. */
    stream_reader_set_wait_hook(r, NULL, NULL);
    load_name(l, "section type");
    bool ok = load_elements(l, r, errp);
    if (!ok) {
        explain(l, r, errp);
    }
    return ok;
}
