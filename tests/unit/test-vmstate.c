/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/vmstate: every field kind there and back, description, versions, subsections, bad input. */
#include <json-c/json.h>
#include <string.h>
#include "migration/stream/format.h"
#include "migration/vmstate.h"
#include "util/error.h"

/* Stand-ins for the clock: the tables under test know timers by this name only. */
#include "softmmu/clock.h"
struct ClockTimer { int64_t expire; };
void clock_timer_mod(ClockTimer *t, int64_t ns) { t->expire = ns; }
void clock_timer_del(ClockTimer *t) { t->expire = -1; }
int64_t clock_timer_expire_ns(ClockTimer *t) { return t->expire; }

typedef struct Entry {
    uint64_t addr;
    uint8_t cfg;
} Entry;

typedef struct Device {
    bool b;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    int64_t i64;
    uint32_t late;
    uint8_t raw[5];
    uint32_t words[3];
    Entry one, entries[2];
    uint32_t count;
    uint32_t *list;
    Entry *entry_list;
    int32_t nirq;
    int32_t limit;
    ClockTimer *timer;
    bool with_sub;
    uint32_t sub_value;
    int pre_saves, post_loads;
} Device;

static const VMStateField entry_fields[] = {
    VMSTATE_UINT64(addr, Entry),
    VMSTATE_UINT8(cfg, Entry),
    VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_entry = {
    .name = "dev/entry", .version_id = 1, .minimum_version_id = 1, .fields = entry_fields,
};

static bool sub_needed(void *opaque)
{
    return ((Device *)opaque)->with_sub;
}

static bool dev_pre_save(void *opaque, GError **errp)
{
    ((Device *)opaque)->pre_saves++;
    return true;
}

static bool dev_post_load(void *opaque, int version_id, GError **errp)
{
    Device *d = opaque;
    d->post_loads++;
    if (d->u8 == 0xee) {
        error_setg(errp, "dev: u8 0xee is reserved");
        return false;
    }
    return true;
}

static bool never(void *opaque, int version_id)
{
    return false;
}

static const VMStateField sub_fields[] = {
    VMSTATE_UINT32(sub_value, Device),
    VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_sub = {
    .name = "dev/sub", .version_id = 1, .minimum_version_id = 1, .fields = sub_fields,
    .needed = sub_needed,
};
static const VMStateDescription *const dev_subsections[] = { &vmstate_sub, NULL };

static const VMStateField dev_fields[] = {
    VMSTATE_BOOL(b, Device),
    VMSTATE_UINT8(u8, Device),
    VMSTATE_UINT16(u16, Device),
    { .name = "u32", .size = 4, .info = &vmstate_info_uint32, .exists = never },
    VMSTATE_UINT32(u32, Device),
    VMSTATE_UINT64(u64, Device),
    VMSTATE_INT32(i32, Device),
    VMSTATE_INT64(i64, Device),
    VMSTATE_UINT32_V(late, Device, 3),
    VMSTATE_BUFFER(raw, Device),
    VMSTATE_UNUSED(65),
    VMSTATE_UINT32_ARRAY(words, Device, 3),
    VMSTATE_STRUCT(one, Device, vmstate_entry, Entry),
    VMSTATE_STRUCT_ARRAY(entries, Device, 2, vmstate_entry, Entry),
    VMSTATE_UINT32(count, Device),
    VMSTATE_VARRAY_PTR(list, Device, count, 4, uint32_t, vmstate_info_uint32),
    VMSTATE_STRUCT_VARRAY_PTR(entry_list, Device, count, 4, vmstate_entry, Entry),
    { .name = "nirq", .offset = offsetof(Device, nirq), .size = 4,
      .info = &vmstate_info_int32_equal },
    { .name = "limit", .offset = offsetof(Device, limit), .size = 4,
      .info = &vmstate_info_int32_le },
    VMSTATE_TIMER_PTR(timer, Device),
    VMSTATE_END_OF_LIST()
};
static const VMStateDescription vmstate_dev = {
    .name = "dev", .version_id = 3, .minimum_version_id = 2, .fields = dev_fields,
    .subsections = dev_subsections, .pre_save = dev_pre_save, .post_load = dev_post_load,
};

/* An object with room for what its pointers point to. */
typedef struct Rig {
    Device d;
    uint32_t list[4];
    Entry entry_list[4];
    ClockTimer timer;
} Rig;

static void rig_init(Rig *g)
{
    memset(g, 0, sizeof(*g));
    g->d.list = g->list;
    g->d.entry_list = g->entry_list;
    g->d.timer = &g->timer;
    g->d.nirq = 4;
    g->d.limit = 2;
    g->timer.expire = -1;
}

static void rig_fill(Rig *g)
{
    Device *d = &g->d;
    rig_init(g);
    d->b = true;
    d->u8 = 0x81;
    d->u16 = 0x8182;
    d->u32 = 0x81828384;
    d->u64 = 0x8182838485868788ULL;
    d->i32 = -2;
    d->i64 = -3;
    d->late = 77;
    memcpy(d->raw, "\x05\x01\x02\x03\x04", 5);
    d->words[2] = 9;
    d->one.addr = 1;
    d->entries[1].cfg = 0x9f;
    d->count = 3;
    g->list[2] = 0xdeadbeef;
    g->entry_list[2].addr = 0x1122;
    g->timer.expire = 12345;
    d->with_sub = true;
    d->sub_value = 0x55667788;
}

static GByteArray *save_dev(Rig *g, struct json_object *json)
{
    StreamWriter *w = stream_writer_new_memory();
    g_autoptr(GError) err = NULL;
    bool ok = vmstate_save_body(w, &vmstate_dev, &g->d, json, &err);
    g_assert_no_error(err);
    g_assert_true(ok);
    GByteArray *a = stream_writer_take(w);
    stream_writer_free(w);
    return a;
}

static bool load_dev(Rig *g, const void *buf, size_t len, int version, size_t *used, GError **errp)
{
    StreamReader *r = stream_reader_new_memory(buf, len);
    bool ok = vmstate_load_body(r, &vmstate_dev, &g->d, version, errp);
    if (used) {
        *used = stream_reader_offset(r);
    }
    stream_reader_free(r);
    return ok;
}

static void test_round_trip(void)
{
    Rig a, b;
    rig_fill(&a);
    rig_init(&b);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    g_autoptr(GError) err = NULL;
    size_t used;

    g_assert_true(load_dev(&b, bytes->data, bytes->len, 3, &used, &err));
    g_assert_no_error(err);
    g_assert_cmpuint(used, ==, bytes->len);
    g_assert_cmpint(a.d.pre_saves, ==, 1);
    g_assert_cmpint(b.d.post_loads, ==, 1);
    g_assert_true(b.d.b);
    g_assert_cmphex(b.d.u64, ==, a.d.u64);
    g_assert_cmpint(b.d.i32, ==, -2);
    g_assert_cmpint(b.d.i64, ==, -3);
    g_assert_cmpmem(b.d.raw, 5, a.d.raw, 5);
    g_assert_cmphex(b.list[2], ==, 0xdeadbeef);
    g_assert_cmphex(b.entry_list[2].addr, ==, 0x1122);
    g_assert_cmpint(b.timer.expire, ==, 12345);
    g_assert_cmphex(b.d.sub_value, ==, 0x55667788);

    b.d.with_sub = true;
    g_autoptr(GByteArray) again = save_dev(&b, NULL);
    g_assert_cmpmem(again->data, again->len, bytes->data, bytes->len);
}

static void test_bytes(void)
{
    Rig a;
    rig_fill(&a);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    static const uint8_t head[] = {
        1, 0x81, 0x81, 0x82, 0x81, 0x82, 0x83, 0x84, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
        0x88, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd, 0, 0, 0, 77,
        5, 1, 2, 3, 4,
    };
    static const uint8_t tail[] = {
        0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x30, 0x39,
        0x05, 7, 'd', 'e', 'v', '/', 's', 'u', 'b', 0, 0, 0, 1, 0x55, 0x66, 0x77, 0x88,
    };
    g_assert_cmpmem(bytes->data, sizeof(head), head, sizeof(head));
    g_assert_cmpmem(bytes->data + bytes->len - sizeof(tail), sizeof(tail), tail, sizeof(tail));
    g_assert_cmpuint(bytes->len, ==, sizeof(head) + 65 + 12 + 9 + 18 + 4 + 12 + 27 + sizeof(tail));
}

static void test_timer_not_armed(void)
{
    Rig a, b;
    rig_fill(&a);
    a.timer.expire = -1;
    a.d.with_sub = false;
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    g_assert_cmpmem(bytes->data + bytes->len - 8, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    rig_fill(&b);
    g_assert_true(load_dev(&b, bytes->data, bytes->len, 3, NULL, NULL));
    g_assert_cmpint(b.timer.expire, ==, -1);
}

static void test_description(void)
{
    Rig a;
    rig_fill(&a);
    struct json_object *json = json_object_new_object();
    g_autoptr(GByteArray) bytes = save_dev(&a, json);
    g_autofree char *text = vmstate_json_text(json);
    json_object_put(json);
#define ENTRY "{\"vmsd_name\": \"dev/entry\", \"version\": 1, \"fields\": [" \
        "{\"name\": \"addr\", \"type\": \"uint64\", \"size\": 8}, " \
        "{\"name\": \"cfg\", \"type\": \"uint8\", \"size\": 1}]}"
    g_assert_cmpstr(text, ==,
        "{\"vmsd_name\": \"dev\", \"version\": 3, \"fields\": ["
        "{\"name\": \"b\", \"type\": \"bool\", \"size\": 1}, "
        "{\"name\": \"u8\", \"type\": \"uint8\", \"size\": 1}, "
        "{\"name\": \"u16\", \"type\": \"uint16\", \"size\": 2}, "
        "{\"name\": \"u32[1]\", \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"u64\", \"type\": \"uint64\", \"size\": 8}, "
        "{\"name\": \"i32\", \"type\": \"int32\", \"size\": 4}, "
        "{\"name\": \"i64\", \"type\": \"int64\", \"size\": 8}, "
        "{\"name\": \"late\", \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"raw\", \"type\": \"buffer\", \"size\": 5}, "
        "{\"name\": \"unused\", \"type\": \"unused_buffer\", \"size\": 65}, "
        "{\"name\": \"words\", \"array_len\": 3, \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"one\", \"type\": \"struct\", \"struct\": " ENTRY ", \"size\": 9}, "
        "{\"name\": \"entries\", \"array_len\": 2, \"type\": \"struct\", \"struct\": " ENTRY
        ", \"size\": 9}, "
        "{\"name\": \"count\", \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"list\", \"array_len\": 3, \"type\": \"uint32\", \"size\": 4}, "
        "{\"name\": \"entry_list\", \"array_len\": 3, \"type\": \"struct\", \"struct\": " ENTRY
        ", \"size\": 9}, "
        "{\"name\": \"nirq\", \"type\": \"int32 equal\", \"size\": 4}, "
        "{\"name\": \"limit\", \"type\": \"int32 le\", \"size\": 4}, "
        "{\"name\": \"timer\", \"type\": \"timer\", \"size\": 8}], "
        "\"subsections\": [{\"vmsd_name\": \"dev/sub\", \"version\": 1, \"fields\": ["
        "{\"name\": \"sub_value\", \"type\": \"uint32\", \"size\": 4}]}]}");
#undef ENTRY
}

/* Elements that can differ in layout are described one by one, with "index". */
static void test_description_index(void)
{
    typedef struct Two { Rig r[2]; Device d[2]; } Two;
    static const VMStateField fields[] = {
        { .name = "d", .offset = offsetof(Two, d), .size = sizeof(Device), .num = 2,
          .vmsd = &vmstate_dev, .flags = VMS_STRUCT | VMS_ARRAY },
        VMSTATE_END_OF_LIST()
    };
    static const VMStateDescription two = { .name = "two", .fields = fields };
    Two *t = g_new0(Two, 1);
    for (int i = 0; i < 2; i++) {
        rig_fill(&t->r[i]);
        t->d[i] = t->r[i].d;
    }
    t->d[1].with_sub = false;
    StreamWriter *w = stream_writer_new_memory();
    struct json_object *json = json_object_new_object();
    g_assert_true(vmstate_save_body(w, &two, t, json, NULL));
    g_autofree char *text = vmstate_json_text(json);
    g_assert_nonnull(strstr(text, "{\"name\": \"d\", \"index\": 0, \"type\": \"struct\", "));
    g_assert_nonnull(strstr(text, "{\"name\": \"d\", \"index\": 1, \"type\": \"struct\", "));
    g_assert_nonnull(strstr(text, "\"size\": 217}, {"));    /* with dev/sub */
    g_assert_true(g_str_has_suffix(text, "\"size\": 200}]}"));
    json_object_put(json);
    stream_writer_free(w);
    g_free(t);
}

static void test_json_text(void)
{
    struct json_object *o = json_object_new_object(), *a = json_object_new_array();
    json_object_object_add(o, "a/b", json_object_new_string("q\"\\/\n"));
    json_object_object_add(o, "n", json_object_new_int64(-5));
    json_object_object_add(o, "t", json_object_new_boolean(true));
    json_object_object_add(o, "z", NULL);
    json_object_array_add(a, json_object_new_object());
    json_object_object_add(o, "l", a);
    g_autofree char *text = vmstate_json_text(o);
    g_assert_cmpstr(text, ==, "{\"a/b\": \"q\\\"\\\\/\\u000a\", \"n\": -5, \"t\": true, "
                              "\"z\": null, \"l\": [{}]}");
    json_object_put(o);
}

static void test_versions(void)
{
    Rig a, b;
    rig_fill(&a);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    g_byte_array_remove_range(bytes, 28, 4);    /* "late" is not in version 2 */
    rig_init(&b);
    g_assert_true(load_dev(&b, bytes->data, bytes->len, 2, NULL, NULL));
    g_assert_cmpuint(b.d.late, ==, 0);
    g_assert_cmphex(b.d.sub_value, ==, 0x55667788);

    static const struct { int version; const char *message; } bad[] = {
        { 4, "dev: incoming version_id 4 is too new for local version_id 3" },
        { 1, "dev: incoming version_id 1 is too old for local minimum version_id 2" },
        { INT32_MAX, "dev: incoming version_id 2147483647 is too new for local version_id 3" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_false(load_dev(&b, bytes->data, bytes->len, bad[i].version, NULL, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
    }
}

static void test_truncated_everywhere(void)
{
    Rig a, b;
    rig_fill(&a);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    size_t sub_at = bytes->len - 17;

    for (size_t len = 0; len < bytes->len; len++) {
        g_autoptr(GError) err = NULL;
        g_autofree uint8_t *copy = len ? g_memdup2(bytes->data, len) : g_malloc(1);
        rig_init(&b);
        bool ok = load_dev(&b, copy, len, 3, NULL, &err);
        if (len >= sub_at && len < sub_at + 9) {
            g_assert_true(ok);      /* what remains is not a whole subsection name: not ours */
            continue;
        }
        g_assert_false(ok);
        g_assert_nonnull(strstr(err->message, "Unexpected end of migration stream"));
        g_assert_true(g_str_has_prefix(err->message, "Failed to load dev"));
        g_assert_cmpint(b.d.post_loads, ==, 0);
    }
}

static void test_bad_values(void)
{
    static const struct { size_t from_end; uint8_t value; const char *message; } bad[] = {
        { 30, 5, "Failed to load dev:nirq: 5 != 4" },
        { 26, 3, "Failed to load dev:limit: Invalid value 3 expecting positive value <= 2" },
        { 29, 0x80, "Failed to load dev:limit: Invalid value -2147483646 expecting positive value "
                    "<= 2" },
        { 73, 5, "Failed to load dev:list: 5 elements, at most 4 are possible" },
        { 76, 0xff, "Failed to load dev:list: 4278190083 elements, at most 4 are possible" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Rig a, b;
        g_autoptr(GError) err = NULL;
        rig_fill(&a);
        rig_init(&b);
        g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
        bytes->data[bytes->len - bad[i].from_end] = bad[i].value;
        g_assert_false(load_dev(&b, bytes->data, bytes->len, 3, NULL, &err));
        g_assert_cmpstr(err->message, ==, bad[i].message);
    }
}

static void test_post_load_refuses(void)
{
    Rig a, b;
    g_autoptr(GError) err = NULL;
    rig_fill(&a);
    a.d.u8 = 0xee;
    rig_init(&b);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    g_assert_false(load_dev(&b, bytes->data, bytes->len, 3, NULL, &err));
    g_assert_cmpstr(err->message, ==, "dev: u8 0xee is reserved");
}

static void test_subsections(void)
{
    Rig a, b;
    rig_fill(&a);
    g_autoptr(GByteArray) bytes = save_dev(&a, NULL);
    size_t sub_at = bytes->len - 17, used;
    g_autoptr(GError) err = NULL;

    /* absent: the default stays */
    rig_init(&b);
    g_assert_true(load_dev(&b, bytes->data, sub_at, 3, &used, NULL));
    g_assert_cmpuint(b.d.sub_value, ==, 0);

    /* a name of our family that we do not have: fatal */
    rig_init(&b);
    bytes->data[sub_at + 8] = 'x';
    g_assert_false(load_dev(&b, bytes->data, bytes->len, 3, NULL, &err));
    g_assert_cmpstr(err->message, ==, "Unknown subsection 'dev/sux' of 'dev' at offset 0xc8: "
                    "No such file or directory");

    /* somebody else's name: left alone */
    bytes->data[sub_at + 2] = 'X';
    rig_init(&b);
    g_assert_true(load_dev(&b, bytes->data, bytes->len, 3, &used, NULL));
    g_assert_cmpuint(used, ==, sub_at);

    /* our own name without a suffix is too short to be ours */
    uint8_t own[] = { 0x05, 3, 'd', 'e', 'v', 0, 0, 0, 1 };
    g_byte_array_set_size(bytes, sub_at);
    g_byte_array_append(bytes, own, sizeof(own));
    rig_init(&b);
    g_assert_true(load_dev(&b, bytes->data, bytes->len, 3, &used, NULL));
    g_assert_cmpuint(used, ==, sub_at);

    /* too new */
    g_autoptr(GByteArray) newer = save_dev(&a, NULL);
    newer->data[sub_at + 12] = 2;
    rig_init(&b);
    g_clear_error(&err);
    g_assert_false(load_dev(&b, newer->data, newer->len, 3, NULL, &err));
    g_assert_cmpstr(err->message, ==,
                    "dev/sub: incoming version_id 2 is too new for local version_id 1");
}

static bool count_is_even(void *opaque, int version_id)
{
    return ((Device *)opaque)->count % 2 == 0;
}

static void test_validate(void)
{
    static const VMStateField fields[] = {
        VMSTATE_UINT32(count, Device),
        VMSTATE_VALIDATE("even-count", count_is_even),
        VMSTATE_END_OF_LIST()
    };
    static const VMStateDescription vmsd = { .name = "even", .fields = fields };
    Device d = { 0 };
    static const uint8_t even[] = { 0, 0, 0, 2 }, odd[] = { 0, 0, 0, 3 };
    g_autoptr(GError) err = NULL;

    StreamReader *r = stream_reader_new_memory(even, 4);
    g_assert_true(vmstate_load_body(r, &vmsd, &d, 0, NULL));
    stream_reader_free(r);
    r = stream_reader_new_memory(odd, 4);
    g_assert_false(vmstate_load_body(r, &vmsd, &d, 0, &err));
    g_assert_cmpstr(err->message, ==, "Input validation failed: even/even-count");
    stream_reader_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmstate/round-trip", test_round_trip);
    g_test_add_func("/vmstate/bytes", test_bytes);
    g_test_add_func("/vmstate/timer-not-armed", test_timer_not_armed);
    g_test_add_func("/vmstate/description", test_description);
    g_test_add_func("/vmstate/description-index", test_description_index);
    g_test_add_func("/vmstate/json-text", test_json_text);
    g_test_add_func("/vmstate/versions", test_versions);
    g_test_add_func("/vmstate/truncated-everywhere", test_truncated_everywhere);
    g_test_add_func("/vmstate/bad-values", test_bad_values);
    g_test_add_func("/vmstate/post-load-refuses", test_post_load_refuses);
    g_test_add_func("/vmstate/subsections", test_subsections);
    g_test_add_func("/vmstate/validate", test_validate);
    return g_test_run();
}
