/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our stream of an empty machine of 1 MiB, byte for byte what QEMU wrote of
 * its own (7.2: migration-stream appendix A; 10.0: captured likewise), and back. Both
 * were captured with -M none -m 1 -S, migrate exec:cat.
 */
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <string.h>
#include "../tiny-machine/tiny-machine.h"
#include "migration/destination/load.h"

static const char json_7_2[] =
    "{\"page_size\": 4096, \"devices\": [{\"name\": \"timer\", \"instance_id\": 0, "
    "\"vmsd_name\": \"timer\", \"version\": 2, \"fields\": [{\"name\": \"cpu_ticks_offset\", "
    "\"type\": \"int64\", \"size\": 8}, {\"name\": \"unused\", \"type\": \"unused_buffer\", "
    "\"size\": 8}, {\"name\": \"cpu_clock_offset\", \"type\": \"int64\", \"size\": 8}]}, "
    "{\"name\": \"globalstate\", \"instance_id\": 0, \"vmsd_name\": \"globalstate\", "
    "\"version\": 1, \"fields\": [{\"name\": \"size\", \"type\": \"uint32\", \"size\": 4}, "
    "{\"name\": \"runstate\", \"type\": \"buffer\", \"size\": 100}]}]}";
static const char json_10_0[] =
    "{\"configuration\": {\"vmsd_name\": \"configuration\", \"version\": 1, \"fields\": "
    "[{\"name\": \"len\", \"type\": \"uint32\", \"size\": 4}, {\"name\": \"name\", \"type\": "
    "\"buffer\", \"size\": 4}]}, \"page_size\": 4096, \"devices\": [{\"name\": \"timer\", "
    "\"instance_id\": 0, \"vmsd_name\": \"timer\", \"version\": 2, \"fields\": [{\"name\": "
    "\"cpu_ticks_offset\", \"type\": \"int64\", \"size\": 8}, {\"name\": \"unused\", \"type\": "
    "\"unused_buffer\", \"size\": 8}, {\"name\": \"cpu_clock_offset\", \"type\": \"int64\", "
    "\"size\": 8}]}, {\"name\": \"globalstate\", \"instance_id\": 0, \"vmsd_name\": "
    "\"globalstate\", \"version\": 1, \"fields\": [{\"name\": \"size\", \"type\": \"uint32\", "
    "\"size\": 4}, {\"name\": \"runstate\", \"type\": \"buffer\", \"size\": 32}, {\"name\": "
    "\"has_vm_was_suspended\", \"type\": \"uint8\", \"size\": 1}, {\"name\": "
    "\"vm_was_suspended\", \"type\": \"uint8\", \"size\": 1}, {\"name\": \"unused\", \"type\": "
    "\"buffer\", \"size\": 66}]}]}";

static void put(GByteArray *a, const char *hex)
{
    for (; *hex; hex++) {
        if (g_ascii_isxdigit(*hex)) {
            uint8_t b = g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]);
            g_byte_array_append(a, &b, 1);
            hex++;
        }
    }
}

static void put_text(GByteArray *a, const char *text)
{
    g_byte_array_append(a, (const uint8_t *)text, strlen(text));
}

static void put_zeros(GByteArray *a, guint n)
{
    while (n--) {
        put(a, "00");
    }
}

/* Appendix A, line by line. */
static GByteArray *qemu_stream(bool d10)
{
    GByteArray *a = g_byte_array_new();
    const char *json = d10 ? json_10_0 : json_7_2;
    const char *ram_id = d10 ? "00000001" : "00000002";

    put(a, "5145564d 00000003 07 00000004"), put_text(a, "none");
    put(a, "01"), put(a, ram_id), put(a, "03"), put_text(a, "ram");
    put(a, "00000000 00000004 0000000000100004 03"), put_text(a, "ram");
    put(a, "0000000000100000 0000000000000010 7e"), put(a, ram_id);
    put(a, "02"), put(a, ram_id), put(a, "0000000000000002 03"), put_text(a, "ram"), put(a, "00");
    for (int page = 1; page < 256; page++) {
        g_autofree char *hex = g_strdup_printf("%016x 00", page * 4096 | 0x22);
        put(a, hex);
    }
    put(a, "0000000000000010 7e"), put(a, ram_id);
    put(a, d10 ? "08 000b 0000" : "");
    put(a, "03"), put(a, ram_id), put(a, "0000000000000010 7e"), put(a, ram_id);
    put(a, "04 00000000 05"), put_text(a, "timer"), put(a, "00000000 00000002");
    put_zeros(a, 24), put(a, "7e 00000000");
    put(a, d10 ? "04 00000003 0b" : "04 00000004 0b"), put_text(a, "globalstate");
    put(a, "00000000 00000001 0000000a"), put_text(a, "prelaunch");
    put_zeros(a, 32 - 9), put(a, d10 ? "01" : "00"), put_zeros(a, 100 - 33);
    put(a, d10 ? "7e 00000003 00 06" : "7e 00000004 00 06");
    g_autofree char *len = g_strdup_printf("%08x", (unsigned)strlen(json));
    put(a, len), put_text(a, json);
    return a;
}

static void save(TinyMachine *t, const char *path)
{
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    MigrationState *s = &t->machine.migration->out_state;

    tiny_lock(t);
    g_assert_true(migration_start(t->machine.migration, uri, NULL));
    tiny_unlock(t);
    while (migration_status_is_running(migration_state_get(s))) {
        g_usleep(1000);
    }
    g_assert_cmpint(migration_state_get(s), ==, MIGRATION_STATUS_COMPLETED);
}

static void test_bytes(gconstpointer dialect)
{
    bool d10 = GPOINTER_TO_INT(dialect) == DIALECT_QEMU_10_0;
    TinyMachine *t = tiny_machine_new("none", GPOINTER_TO_INT(dialect), 256, 0);
    GByteArray *want = qemu_stream(d10);
    g_autofree char *dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "stream", NULL);
    g_autofree char *got = NULL;
    gsize len;

    g_assert_cmpuint(want->len, ==, d10 ? 3427 : 3085);
    save(t, path);
    g_assert_true(g_file_get_contents(path, &got, &len, NULL));
    g_assert_cmpmem(got, len, want->data, want->len);
    g_byte_array_unref(want);
    g_unlink(path);
    g_rmdir(dir);
    tiny_machine_free(t);
}

/* Both dialects load into both, and the run state arrives. */
static void test_loads_crosswise(void)
{
    for (int stream = 0; stream < 2; stream++) {
        for (int local = 0; local < 2; local++) {
            TinyMachine *t = tiny_machine_new("none", local ? DIALECT_QEMU_10_0 : DIALECT_QEMU_7_2,
                                              256, 0);
            GByteArray *bytes = qemu_stream(stream);
            StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
            g_autoptr(GError) err = NULL;
            IncomingLoad l;

            MigrationSettings *settings = tiny_settings(t, 0);
            incoming_load_init(&l, t->machine.migration, settings, NULL);
            g_assert_true(incoming_load_stream(&l, r, &err));
            g_assert_no_error(err);
            g_assert_cmpint(migration_sections_received(t->machine.migration), ==,
                            RUN_STATE_PRELAUNCH);
            incoming_load_clear(&l);
            migration_settings_unref(settings);
            stream_reader_free(r);
            g_byte_array_unref(bytes);
            tiny_machine_free(t);
        }
    }
}

static void put_number(void *opaque, struct json_object *obj)
{
    json_object_object_add(obj, "0", json_object_new_int(*(int *)opaque));
}

static bool get_number(void *opaque, struct json_object *obj, GError **errp)
{
    *(int *)opaque = json_object_get_int(json_object_object_get(obj, "0"));
    return true;
}

/* What only we have is in the description, and arrives. */
static void test_ferry(void)
{
    TinyMachine *src = tiny_machine_new("none", DIALECT_QEMU_7_2, 256, 0);
    TinyMachine *dst = tiny_machine_new("none", DIALECT_QEMU_7_2, 256, 0);
    g_autofree char *dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "stream", NULL);
    g_autofree char *bytes = NULL;
    g_autoptr(GError) err = NULL;
    int sent = 17, received = 0;
    IncomingLoad l;
    gsize len;

    vmstate_register_ferry(src->machine.vmstate, "number", put_number, get_number, &sent);
    vmstate_register_ferry(dst->machine.vmstate, "number", put_number, get_number, &received);
    save(src, path);
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    StreamReader *r = stream_reader_new_memory(bytes, len);
    MigrationSettings *settings = tiny_settings(dst, 0);
    incoming_load_init(&l, dst->machine.migration, settings, NULL);
    incoming_load_stream(&l, r, &err);
    g_assert_no_error(err);
    g_assert_cmpint(received, ==, 17);
    incoming_load_clear(&l);
    migration_settings_unref(settings);
    stream_reader_free(r);
    tiny_machine_free(src);
    tiny_machine_free(dst);
    g_unlink(path);
    g_rmdir(dir);
}

/* ---- mutations: migration-stream appendix B ---- */

static char *load_result(GByteArray *bytes, MigrationCaps caps)
{
    TinyMachine *t = tiny_machine_new("none", DIALECT_QEMU_7_2, 256, 0);
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    GError *err = NULL;
    IncomingLoad l;

    MigrationSettings *settings = tiny_settings(t, caps);
    incoming_load_init(&l, t->machine.migration, settings, NULL);
    bool ok = incoming_load_stream(&l, r, &err);
    char *text = g_strdup(ok ? "loads" : err->message);
    g_clear_error(&err);
    incoming_load_clear(&l);
    migration_settings_unref(settings);
    stream_reader_free(r);
    tiny_machine_free(t);
    g_byte_array_unref(bytes);
    return text;
}

/* Replaces len bytes at offset by hex; the offsets are appendix A's. */
static GByteArray *mutate(guint offset, guint len, const char *hex)
{
    GByteArray *a = qemu_stream(false), *out = g_byte_array_new();

    g_byte_array_append(out, a->data, offset);
    put(out, hex);
    g_byte_array_append(out, a->data + offset + len, a->len - offset - len);
    g_byte_array_unref(a);
    return out;
}

static void expect(GByteArray *bytes, const char *want)
{
    g_autofree char *got = load_result(bytes, 0);

    if (!strstr(got, want)) {
        g_test_message("got: %s", got);
        g_test_message("want: %s", want);
        g_test_fail();
    }
}

static const char uuid_subsection[] =
    "05 12 636f6e66696775726174696f6e2f75756964 00000001 000102030405060708090a0b0c0d0e0f";

static void test_mutations(void)
{
    expect(mutate(0xa22, 0xc0d - 0xa22, ""), "loads");              /* no description */
    expect(mutate(0xb00, 0xc0d - 0xb00, ""), "loads");              /* cut */
    expect(mutate(0xc0d, 0, "ffffffff"), "loads");                  /* bytes behind it */
    expect(mutate(0x96b, 0x99b - 0x96b, ""), "no state of device 'timer' instance 0, though its "
                                             "description lists it");
    expect(mutate(0x99b, 0, "04 00000000 05 74696d6572 00000000 00000002"
                  "000000000000000000000000000000000000000000000000 7e 00000000"),
           "the state of device 'timer' instance 0 twice");
    expect(mutate(0x9, 8, "00000003 6e6f6e"), "loads");             /* "non" */
    expect(mutate(0x9, 8, "00000000"), "loads");
    expect(mutate(0x11, 0, uuid_subsection), "loads");              /* none here: a warning */
    expect(mutate(0x11, 0, "05 1e 636f6e66696775726174696f6e2f7461726765742d706167652d62697473"
                           "00000001 0000000c"), "loads");          /* target-page-bits 12 */
    expect(mutate(0x0, 4, "5145564e"), "Not a migration stream");
    expect(mutate(0x4, 4, "00000002"), "SaveVM v2 format is obsolete");
    expect(mutate(0x4, 4, "00000004"), "Unsupported migration stream version");
    expect(mutate(0x4, 13, "00000004"), "Unsupported migration stream version");
    expect(mutate(0x8, 9, ""), "Configuration section missing");
    expect(mutate(0xd, 4, "6e6f7065"), "Machine type received is 'nope' and local is 'none'");
    expect(mutate(0x9, 4, "ffffffff"), "Machine type received is 4294967295 bytes long");
    expect(mutate(0x11, 0, "05 12 636f6e66696775726174696f6e2f75757565 00000001"),
           "unknown subsection 'configuration/uuue'");
    expect(mutate(0x11, 0, "05 1a 636f6e66696775726174696f6e2f6361706162696c6974696573 00000001"
                           "00000001 05 626f677573"), "Received unknown capability bogus");
    expect(mutate(0x11, 0, "05 1a 636f6e66696775726174696f6e2f6361706162696c6974696573 00000001"
                           "00000001 0a 6d61707065642d72616d"),
           "Capability mapped-ram is off, but received capability is on");
    expect(mutate(0x17, 3, "72616e"), "Unknown savevm section or instance 'ran' 0.");
    expect(mutate(0x44, 4, "00000007"), "Unknown savevm section 7");
    expect(mutate(0x43, 1, "09"), "Unknown savevm section type 9");
    expect(mutate(0x1e, 4, "00000005"), "ram");                     /* too new */
    expect(mutate(0x97a, 4, "00000003"), "savevm: unsupported version 3 for 'timer' v2");
    expect(mutate(0x3e, 5, ""), "Missing section footer for ram");
    expect(mutate(0x3f, 4, "00000003"),
           "Mismatched section id in footer for ram - read 0x3 expected 0x2");
    expect(mutate(0x43, 0, "08 0000 0000"), "MIG_CMD 0x0 unknown (len 0x0)");
    expect(mutate(0x43, 0, "08 007f 0001"), "MIG_CMD 0x7f unknown (len 0x1)");
    expect(mutate(0x43, 0, "08 0002 0003 000000"),
           "CMD_PING received with bad length - expecting 4, got 3");
    expect(mutate(0x43, 0, "08 0002 0004 00000007"),
           "CMD_PING (0x7) received with no return path");
    expect(mutate(0x43, 0, "08 0003 0000"),
           "CMD_POSTCOPY_ADVISE received: postcopy-ram is on at the source and off here");
    expect(mutate(0x9b8, 9, "7072656c61756e6368" "73"), "invalid parameter value: prelaunchs");
    expect(mutate(0x98e, 8, "8000000000000000"), "cpu_clock_offset");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/migration-stream/bytes/7.2", GINT_TO_POINTER(DIALECT_QEMU_7_2),
                         test_bytes);
    g_test_add_data_func("/migration-stream/bytes/10.0", GINT_TO_POINTER(DIALECT_QEMU_10_0),
                         test_bytes);
    g_test_add_func("/migration-stream/loads-crosswise", test_loads_crosswise);
    g_test_add_func("/migration-stream/ferry", test_ferry);
    g_test_add_func("/migration-stream/mutations", test_mutations);
    return g_test_run();
}
