/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See board-fixture.h. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "chardev/char.h"
#include "hw/core/device.h"
#include "tests/unit/board-fixture.h"

#define RAM_BYTES (64ULL << 20)
#define DISK_BYTES (1 << 20)
#define SECTION_FULL 4
#define SECTION_FOOTER 0x7e

static void add(GPtrArray *list, const char *text, const char *implied)
{
    GError *err = NULL;
    Opts *opts = opts_parse(text, implied, &err);

    g_assert_no_error(err);
    g_ptr_array_add(list, opts);
}

static void config_devices(BoardFixture *f)
{
    MachineConfig *c = &f->config;
    g_autofree char *drive = g_strdup_printf("if=none,id=d0,format=raw,file=%s", f->disk);

    add(c->drives, drive, NULL);
    add(c->netdevs, "hubport,id=n0,hubid=0", "type");
    add(c->devices, "virtio-blk-device,drive=d0,id=disk0", "driver");
    add(c->devices, "virtio-net-device,netdev=n0,id=net0", "driver");
    add(c->devices, "virtio-rng-device", "driver");
    add(c->devices, "virtio-serial-device", "driver");
    add(c->devices, "virtconsole", "driver");
}

static void config_init(BoardFixture *f, const BoardOptions *o)
{
    MachineConfig *c = &f->config;

    c->program = "test";
    c->machine_name = "virt";
    c->dialect = o->dialect;
    c->cpu_model = "rv64";
    c->smp = o->harts ? o->harts : 1;
    c->ram_bytes = RAM_BYTES;
    c->bios = "none";
    c->append = (char *)o->append;
    c->aclint = o->aclint;
    c->devices = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    c->drives = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    c->netdevs = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    c->globals = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    if (o->modern) {
        Opts *g = opts_new();

        opts_set(g, "driver", "virtio-mmio");
        opts_set(g, "property", "force-legacy");
        opts_set(g, "value", "off");
        g_ptr_array_add(c->globals, g);
    }
    if (o->virtio) {
        config_devices(f);
    }
}

static void make_disk(BoardFixture *f)
{
    int fd = g_file_open_tmp("ferry-disk-XXXXXX", &f->disk, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, DISK_BYTES), ==, 0);
    close(fd);
}

BoardFixture *board_fixture_new(const BoardOptions *o)
{
    BoardFixture *f = g_new0(BoardFixture, 1);
    Machine *m = &f->machine;
    GError *err = NULL;

    make_disk(f);
    config_init(f, o);
    machine_core_init(m, &f->config);
    bql_lock(m->loop);
    m->chardevs = chardevs_new(m);
    m->board = f->board = board_new(m, &err);
    g_assert_no_error(err);
    board_init_ram(m, &err);
    g_assert_no_error(err);
    m->cpus = cpus_new(m, f->config.cpu_model, f->config.smp, &err);
    g_assert_no_error(err);
    board_build(f->board, &err);
    g_assert_no_error(err);
    machine_reset_devices(m->runstate);
    return f;
}

void board_fixture_free(BoardFixture *f)
{
    Machine *m = &f->machine;

    board_free(f->board);
    cpus_free(m->cpus);
    chardevs_free(m->chardevs);
    bql_unlock(m->loop);
    machine_core_clear(m);
    g_ptr_array_unref(f->config.devices);
    g_ptr_array_unref(f->config.drives);
    g_ptr_array_unref(f->config.netdevs);
    g_ptr_array_unref(f->config.globals);
    unlink(f->disk);
    g_free(f->disk);
    g_free(f);
}

char *board_fixture_device(BoardFixture *f, const char *text)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = opts_parse(text, "driver", &err);
    bool ok = opts && device_create(f->board, opts, &err);

    if (opts) {
        opts_free(opts);
    }
    g_assert_cmpint(ok, ==, err == NULL);
    return ok ? NULL : g_strdup(err->message);
}

void board_fixture_run(BoardFixture *f, bool running)
{
    for (unsigned i = 0; i < f->board->slot_count; i++) {
        if (f->board->slots[i]->dev) {
            virtio_run_state(f->board->slots[i]->dev, running);
        }
    }
}

GByteArray *board_fixture_save(BoardFixture *f, json_object **description)
{
    StreamWriter *w = stream_writer_new_memory();
    json_object *devices = json_object_new_array();
    GError *err = NULL;
    GByteArray *bytes;

    vmstate_save_all(f->machine.vmstate, w, true, devices, &err);
    g_assert_no_error(err);
    bytes = stream_writer_take(w);
    stream_writer_free(w);
    if (description) {
        *description = devices;
    } else {
        json_object_put(devices);
    }
    return bytes;
}

bool board_fixture_load(BoardFixture *f, const GByteArray *bytes, GError **errp)
{
    StreamReader *r = stream_reader_new_memory(bytes->data, bytes->len);
    bool ok = true;

    vmstate_load_begin(f->machine.vmstate);
    while (ok && stream_reader_offset(r) < bytes->len) {
        char idstr[256];
        uint32_t id, instance, version;

        g_assert_cmpint(stream_get_u8(r), ==, SECTION_FULL);
        id = stream_get_be32(r);
        g_assert_true(stream_get_cstr(r, idstr));
        instance = stream_get_be32(r);
        version = stream_get_be32(r);
        ok = vmstate_load_section(f->machine.vmstate, r, idstr, instance, version, errp);
        if (ok && (stream_get_u8(r) != SECTION_FOOTER || stream_get_be32(r) != id)) {
            error_setg(errp, "%s: no footer after the section", idstr);
            ok = false;
        }
    }
    stream_reader_free(r);
    return ok;
}

VirtIODevice *board_fixture_virtio(BoardFixture *f, const char *name)
{
    for (unsigned i = 0; i < f->board->slot_count; i++) {
        VirtIODevice *dev = f->board->slots[i]->dev;

        if (dev && strcmp(dev->ops->name, name) == 0) {
            return dev;
        }
    }
    return NULL;
}
