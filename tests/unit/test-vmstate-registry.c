/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/vmstate/registry: order, ids and layout by dialect; recognition on load; refusals; ferry object. */
#include <json-c/json.h>
#include <string.h>
#include "migration/stream/format.h"
#include "migration/vmstate.h"
#include "util/error.h"

typedef struct Thing {
    uint32_t a;
    uint64_t b;
    bool absent;
} Thing;

static bool thing_needed(void *opaque)
{
    return !((Thing *)opaque)->absent;
}

static const VMStateField narrow_fields[] = { VMSTATE_UINT32(a, Thing), VMSTATE_END_OF_LIST() };
static const VMStateField wide_fields[] = {
    VMSTATE_UINT32(a, Thing), VMSTATE_UINT64(b, Thing), VMSTATE_END_OF_LIST()
};
static const VMStateDescription narrow = {
    .name = "cpu", .version_id = 5, .minimum_version_id = 5, .fields = narrow_fields };
static const VMStateDescription wide = {
    .name = "cpu", .version_id = 10, .minimum_version_id = 10, .fields = wide_fields };
static const VMStateDescription plain = {
    .name = "plain", .version_id = 1, .minimum_version_id = 1, .fields = narrow_fields,
    .needed = thing_needed };
static const VMStateDescription same_a = {
    .name = "globalstate", .version_id = 1, .minimum_version_id = 1, .fields = narrow_fields };
static const VMStateDescription same_b = {
    .name = "globalstate", .version_id = 1, .minimum_version_id = 1, .fields = wide_fields };

typedef struct Rig {
    VMStateRegistry *reg;
    Thing timer, cpu, fw, last;
} Rig;

static void rig_init(Rig *g)
{
    static const VMStateDescription *const cpus[] = { &narrow, &wide, NULL };
    static const VMStateDescription *const fws[] = { &plain, NULL };
    static const VMStateDescription *const lasts[] = { &same_a, &same_b, NULL };

    memset(g, 0, sizeof(*g));
    g->reg = vmstate_registry_new();
    vmstate_register_versions(g->reg, "globalstate", 0, lasts, &g->last, 9000, 9000);
    vmstate_register_versions(g->reg, "timer", 0, fws, &g->timer, 0, 0);
    vmstate_register_versions(g->reg, "fw_cfg", 0, fws, &g->fw, 800, 300);
    vmstate_register_versions(g->reg, "cpu", 0, cpus, &g->cpu, 500, 500);
}

/* "type:id:idstr:version " of every section written, and the description's device names. */
static char *save_shape(Rig *g, bool footers, struct json_object *devices)
{
    StreamWriter *w = stream_writer_new_memory();
    GString *shape = g_string_new(NULL);
    char name[256];

    g_assert_true(vmstate_save_all(g->reg, w, footers, devices, NULL));
    g_autoptr(GByteArray) a = stream_writer_take(w);
    stream_writer_free(w);
    StreamReader *r = stream_reader_new_memory(a->data, a->len);
    while (stream_reader_offset(r) < a->len) {
        uint8_t type = stream_get_u8(r);
        uint32_t id = stream_get_be32(r);
        if (type == SECTION_FOOTER) {
            g_string_append_printf(shape, "f%u ", id);
            continue;
        }
        g_assert_cmphex(type, ==, SECTION_FULL);
        g_assert_true(stream_get_cstr(r, name));
        stream_get_be32(r);
        uint32_t version = stream_get_be32(r);
        g_string_append_printf(shape, "%u:%s:%u ", id, name, version);
        bool has_b = version == 10 || (g_str_equal(name, "globalstate") &&
                                       vmstate_dialect(g->reg) == DIALECT_QEMU_10_0);
        stream_skip(r, has_b ? 12 : 4);
    }
    g_assert_true(stream_reader_ok(r, NULL));
    stream_reader_free(r);
    return g_string_free(shape, FALSE);
}

static void test_order_and_ids(void)
{
    Rig g;
    rig_init(&g);
    vmstate_set_dialect(g.reg, DIALECT_QEMU_7_2);
    g_autofree char *d7 = save_shape(&g, true, NULL);
    g_assert_cmpstr(d7, ==, "0:timer:1 f0 4:cpu:5 f4 5:fw_cfg:1 f5 6:globalstate:1 f6 ");
    vmstate_set_dialect(g.reg, DIALECT_QEMU_10_0);
    g_autofree char *d10 = save_shape(&g, true, NULL);
    g_assert_cmpstr(d10, ==, "0:timer:1 f0 3:fw_cfg:1 f3 4:cpu:10 f4 5:globalstate:1 f5 ");
    g_assert_cmpuint(vmstate_section_id(g.reg, "cpu", 0), ==, 4);
    g_assert_cmpuint(vmstate_section_id(g.reg, "cpu", 1), ==, UINT32_MAX);

    /* what is not needed is not written, but keeps its number */
    g.fw.absent = true;
    struct json_object *devices = json_object_new_array();
    g_autofree char *less = save_shape(&g, false, devices);
    g_assert_cmpstr(less, ==, "0:timer:1 4:cpu:10 5:globalstate:1 ");
    g_autofree char *text = vmstate_json_text(devices);
    g_assert_true(g_str_has_prefix(text,
        "[{\"name\": \"timer\", \"instance_id\": 0, \"vmsd_name\": \"plain\", \"version\": 1, "
        "\"fields\": [{\"name\": \"a\", \"type\": \"uint32\", \"size\": 4}]}, {\"name\": \"cpu\""));
    json_object_put(devices);
    vmstate_unregister(g.reg, "cpu", 0);
    g_autofree char *gone = save_shape(&g, false, NULL);
    g_assert_cmpstr(gone, ==, "0:timer:1 4:globalstate:1 ");
    vmstate_registry_free(g.reg);
}

static bool load(Rig *g, const char *idstr, uint32_t instance, uint32_t version, size_t len,
                 GError **errp)
{
    static const uint8_t body[12] = { 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9 };
    StreamReader *r = stream_reader_new_memory(body, len);
    bool ok = vmstate_load_section(g->reg, r, idstr, instance, version, errp);
    stream_reader_free(r);
    return ok;
}

static void test_recognise(void)
{
    Rig g;
    rig_init(&g);
    g_assert_cmpint(vmstate_received_dialect(g.reg), ==, -1);
    g_assert_true(load(&g, "timer", 0, 1, 4, NULL));
    g_assert_cmpint(vmstate_received_dialect(g.reg), ==, -1);
    g_assert_true(load(&g, "cpu", 0, 5, 4, NULL));
    g_assert_cmpuint(g.cpu.a, ==, 7);
    g_assert_cmpint(vmstate_received_dialect(g.reg), ==, DIALECT_QEMU_7_2);
    g_assert_true(load(&g, "globalstate", 0, 1, 4, NULL));     /* the narrow one of two equals */
    g_assert_cmpuint(g.last.b, ==, 0);
    vmstate_load_begin(g.reg);
    g_assert_true(load(&g, "cpu", 0, 10, 12, NULL));
    g_assert_cmpint(vmstate_received_dialect(g.reg), ==, DIALECT_QEMU_10_0);
    g_assert_true(load(&g, "globalstate", 0, 1, 12, NULL));
    g_assert_cmpuint(g.last.b, ==, 9);
    vmstate_load_begin(g.reg);
    g_assert_cmpint(vmstate_received_dialect(g.reg), ==, -1);
    vmstate_registry_free(g.reg);
}

static void assert_complete(Rig *g, const char *devices, const char *message)
{
    g_autoptr(GError) err = NULL;
    struct json_object *json = json_tokener_parse(devices);
    bool ok = vmstate_load_complete(g->reg, json, &err);

    json_object_put(json);
    g_assert_cmpstr(ok ? NULL : err->message, ==, message);
}

/* What came twice or not at all; "timer" and "fw_cfg" may be left out by who sends. */
static void test_complete(void)
{
    g_autoptr(GError) err = NULL;
    Rig g;

    rig_init(&g);
    vmstate_load_begin(g.reg);
    g_assert_true(load(&g, "globalstate", 0, 1, 12, NULL));
    assert_complete(&g, "[]", "The stream has no state of device 'cpu' instance 0: start this side "
                    "with the devices that the source has");
    assert_complete(&g, "[{\"name\": \"cpu\", \"instance_id\": 0}]",
                    "The stream has no state of device 'cpu' instance 0, though its description "
                    "lists it: it is damaged");
    g_assert_true(load(&g, "cpu", 0, 5, 4, NULL));
    assert_complete(&g, "[]", NULL);
    assert_complete(&g, "[7, {}, {\"name\": null, \"instance_id\": []}, {\"name\": \"fw_cfg\"},"
                    "{\"name\": \"fw_cfg\", \"instance_id\": 1}]", NULL);
    assert_complete(&g, "[{\"name\": \"fw_cfg\", \"instance_id\": 0}]",
                    "The stream has no state of device 'fw_cfg' instance 0, though its description "
                    "lists it: it is damaged");
    g_assert_false(load(&g, "cpu", 0, 5, 4, &err));
    g_assert_cmpstr(err->message, ==,
                    "The stream has the state of device 'cpu' instance 0 twice: it is damaged");
    vmstate_load_begin(g.reg);
    g_assert_true(load(&g, "cpu", 0, 5, 4, NULL));
    vmstate_registry_free(g.reg);
}

/* "idstr:instance " of every section, as written and as described. */
static char *save_instances(Rig *g)
{
    struct json_object *devices = json_object_new_array();
    StreamWriter *w = stream_writer_new_memory();
    GString *found = g_string_new(NULL);
    char name[256];

    g_assert_true(vmstate_save_all(g->reg, w, false, devices, NULL));
    g_autoptr(GByteArray) a = stream_writer_take(w);
    stream_writer_free(w);
    StreamReader *r = stream_reader_new_memory(a->data, a->len);
    for (size_t i = 0; i < json_object_array_length(devices); i++) {
        struct json_object *number = json_object_object_get(json_object_array_get_idx(devices, i),
                                                            "instance_id");
        stream_skip(r, 5);
        g_assert_true(stream_get_cstr(r, name));
        uint32_t instance = stream_get_be32(r);
        g_assert_cmpint(json_object_get_int64(number), ==, instance);
        g_string_append_printf(found, "%s:%u ", name, instance);
        stream_skip(r, 8);
    }
    g_assert_cmpuint(stream_reader_offset(r), ==, a->len);
    stream_reader_free(r);
    json_object_put(devices);
    return g_string_free(found, FALSE);
}

/* QEMU 7.2 calls all of one name instance 0, 10.0 counts them. */
static void test_alike(void)
{
    static const VMStateDescription *const versions[] = { &plain, NULL };
    g_autoptr(GError) err = NULL;
    Thing net[3] = { { .a = 1 }, { .a = 2 }, { .a = 3 } };
    Rig g = { .reg = vmstate_registry_new() };

    for (uint32_t i = 0; i < 3; i++) {
        vmstate_register_versions(g.reg, "net", i, versions, &net[i], 100, 100);
        vmstate_alike_in_7_2(g.reg, "net", i);
    }
    g_autofree char *d10 = save_instances(&g);
    g_assert_cmpstr(d10, ==, "net:0 net:1 net:2 ");
    vmstate_set_dialect(g.reg, DIALECT_QEMU_7_2);
    g_autofree char *d7 = save_instances(&g);
    g_assert_cmpstr(d7, ==, "net:0 net:0 net:0 ");
    vmstate_unregister(g.reg, "net", 0);
    vmstate_load_begin(g.reg);
    g_assert_true(load(&g, "net", 0, 1, 4, NULL));      /* in the order in which they were made */
    g_assert_cmpuint(net[1].a, ==, 7);
    g_assert_cmpuint(net[2].a, ==, 3);
    assert_complete(&g, "[{\"name\": \"net\", \"instance_id\": 0}]", NULL);
    g_assert_true(load(&g, "net", 0, 1, 4, NULL));
    g_assert_cmpuint(net[2].a, ==, 7);
    g_assert_false(load(&g, "net", 0, 1, 4, &err));
    vmstate_load_begin(g.reg);
    g_assert_true(load(&g, "net", 2, 1, 4, NULL));      /* numbers, where they are sent, are obeyed */
    g_clear_error(&err);
    g_assert_false(load(&g, "net", 2, 1, 4, &err));
    g_assert_cmpstr(err->message, ==,
                    "The stream has the state of device 'net' instance 2 twice: it is damaged");
    vmstate_registry_free(g.reg);
}

static void test_refusals(void)
{
    static const struct {
        const char *idstr; uint32_t instance, version; size_t len; const char *message;
    } bad[] = {
        { "slirp", 0, 1, 4, "Unknown savevm section or instance 'slirp' 0. Make sure that your "
          "current VM setup matches your saved VM setup, including any hotplugged devices" },
        { "cpu", 1, 5, 4, "Unknown savevm section or instance 'cpu' 1. Make sure that your "
          "current VM setup matches your saved VM setup, including any hotplugged devices" },
        { "cpu", 0, 11, 12, "savevm: unsupported version 11 for 'cpu' v10" },
        { "cpu", 0, 4, 4, "error while loading state for instance 0x0 of device 'cpu': "
          "cpu: incoming version_id 4 is too old for local minimum version_id 5" },
        { "cpu", 0, 7, 4, "error while loading state for instance 0x0 of device 'cpu': "
          "cpu: incoming version_id 7 is too old for local minimum version_id 10" },
        { "timer", 0, UINT32_MAX, 4, "savevm: unsupported version 4294967295 for 'timer' v1" },
        { "timer", 0, 1, 3, "error while loading state for instance 0x0 of device 'timer': "
          "Failed to load plain:a: Unexpected end of migration stream at offset 0x3: "
          "1 more bytes expected" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Rig g;
        g_autoptr(GError) err = NULL;
        rig_init(&g);
        g_assert_false(load(&g, bad[i].idstr, bad[i].instance, bad[i].version, bad[i].len, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
        vmstate_registry_free(g.reg);
    }
}

static void flags_put(void *opaque, struct json_object *obj)
{
    if (*(int *)opaque) {
        json_object_object_add(obj, "0", json_object_new_int(*(int *)opaque));
    }
}

static bool flags_get(void *opaque, struct json_object *obj, GError **errp)
{
    struct json_object *v;
    if (!json_object_object_get_ex(obj, "0", &v) || !json_object_is_type(v, json_type_int)) {
        error_setg(errp, "hart 0 is missing");
        return false;
    }
    *(int *)opaque = json_object_get_int(v);
    return true;
}

static void test_ferry(void)
{
    VMStateRegistry *reg = vmstate_registry_new();
    int flags = 0;
    g_autoptr(GError) err = NULL;

    g_assert_null(vmstate_save_ferry(reg));
    vmstate_register_ferry(reg, "fflags", flags_put, flags_get, &flags);
    g_assert_null(vmstate_save_ferry(reg));
    flags = 17;
    struct json_object *o = vmstate_save_ferry(reg);
    g_autofree char *text = vmstate_json_text(o);
    g_assert_cmpstr(text, ==, "{\"fflags\": {\"0\": 17}}");
    flags = 0;
    g_assert_true(vmstate_load_ferry(reg, o, NULL));
    g_assert_cmpint(flags, ==, 17);
    json_object_put(o);

    static const char *bad[] = { "{\"fflags\": 3}", "{\"fflags\": {}}", "{\"fflags\": null}" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        o = json_tokener_parse(bad[i]);
        g_clear_error(&err);
        g_assert_false(vmstate_load_ferry(reg, o, &err));
        g_assert_true(g_str_has_prefix(err->message, "ferry description: 'fflags'"));
        json_object_put(o);
    }
    o = json_tokener_parse("[1]");
    g_assert_true(vmstate_load_ferry(reg, o, NULL));    /* nothing of ours in it */
    json_object_put(o);
    vmstate_registry_free(reg);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmstate-registry/order-and-ids", test_order_and_ids);
    g_test_add_func("/vmstate-registry/recognise", test_recognise);
    g_test_add_func("/vmstate-registry/refusals", test_refusals);
    g_test_add_func("/vmstate-registry/complete", test_complete);
    g_test_add_func("/vmstate-registry/alike", test_alike);
    g_test_add_func("/vmstate-registry/ferry", test_ferry);
    return g_test_run();
}
