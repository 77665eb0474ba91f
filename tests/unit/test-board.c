/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virt board as a whole: sections, their order and field names as QEMU
 * has them, save-load-save, device options and their errors, the reset
 * vector, and devices under random accesses.
 */
#include <string.h>
#include "hw/block-backend.h"
#include "hw/boards.h"
#include "tests/unit/board-fixture.h"

/* ---- what is in the stream ---- */

static void append_fields(GString *out, json_object *vmsd)
{
    json_object *fields, *subs;

    if (json_object_object_get_ex(vmsd, "fields", &fields)) {
        for (size_t i = 0; i < json_object_array_length(fields); i++) {
            json_object *f = json_object_array_get_idx(fields, i), *v;

            g_string_append_printf(out, " %s",
                json_object_get_string(json_object_object_get(f, "name")));
            if (json_object_object_get_ex(f, "struct", &v)) {
                g_string_append(out, "(");
                append_fields(out, v);
                g_string_append(out, " )");
            } else {
                g_string_append_printf(out, ":%s",
                    json_object_get_string(json_object_object_get(f, "type")));
            }
            if (json_object_object_get_ex(f, "array_len", &v)) {
                g_string_append_printf(out, "*%d", json_object_get_int(v));
            }
        }
    }
    if (json_object_object_get_ex(vmsd, "subsections", &subs)) {
        for (size_t i = 0; i < json_object_array_length(subs); i++) {
            json_object *s = json_object_array_get_idx(subs, i);

            g_string_append_printf(out, " [%s",
                json_object_get_string(json_object_object_get(s, "vmsd_name")));
            append_fields(out, s);
            g_string_append(out, " ]");
        }
    }
}

/* As captured from QEMU 7.2 and 10.0 (equal in both); the CPUs' are test-cpu-vmstate's. */
static const char *const expected[] = {
    "riscv_mtimer v1 timecmp:uint64",
    "riscv_sifive_plic v1 source_priority:uint32*96 target_priority:uint32*2 pending:uint32*3 "
    "claimed:uint32*3 enable:uint32*6",
    "0000:00:00.0/gpex_root v1 parent_obj( version_id:int32 le config[0]:pci config "
    "irq_state:pci irq state )",
    "PCIHost v1 config_reg:uint32",
    "PCIBUS v1 nirq:int32 equal irq_count:int32*4",
    "serial v3 serial( divider:uint16 rbr:uint8 ier:uint8 iir:uint8 lcr:uint8 mcr:uint8 lsr:uint8 "
    "msr:uint8 scr:uint8 fcr_vmstate:uint8 )",
    "goldfish_rtc v3 tick_offset_vmstate:uint64 alarm_next:uint64 alarm_running:uint32 "
    "irq_pending:uint32 irq_enabled:uint32 time_high:uint32 tick_offset:uint64",
    "pflash_cfi01 v1 wcycle:uint8 cmd:uint8 status:uint8 counter:uint64",
    "pflash_cfi01 v1 wcycle:uint8 cmd:uint8 status:uint8 counter:uint64",
    "virtio-mmio@0000000010008000/virtio-blk v2 virtio:virtio",
    "virtio-mmio@0000000010007000/virtio-net v11 virtio:virtio",
    "virtio-mmio@0000000010006000/virtio-rng v1 virtio:virtio",
    "virtio-mmio@0000000010005000/virtio-console v3 virtio:virtio",
};
static const char fw_cfg_text[] =
    "fw_cfg v2 cur_entry:uint16 cur_offset[1]:uint32 [fw_cfg/dma dma_addr:uint64 ]";

static char *section_text(json_object *section)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "%s v%d",
        json_object_get_string(json_object_object_get(section, "name")),
        json_object_get_int(json_object_object_get(section, "version")));
    append_fields(out, section);
    return g_string_free(out, FALSE);
}

static void check_sections(StreamDialect dialect, bool fw_cfg_last)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .dialect = dialect, .virtio = true });
    json_object *devices;
    GByteArray *bytes = board_fixture_save(f, &devices);
    size_t at = 2, want = 0; /* after cpu_common and cpu */
    size_t total = G_N_ELEMENTS(expected) + 1;

    g_assert_cmpuint(json_object_array_length(devices), ==, total + 2);
    for (size_t i = 0; i < total; i++) {
        g_autofree char *text = section_text(json_object_array_get_idx(devices, at + i));

        if (i == (fw_cfg_last ? total - 1 : 2)) {
            g_assert_cmpstr(text, ==, fw_cfg_text);
        } else {
            g_assert_cmpstr(text, ==, expected[want++]);
        }
    }
    json_object_put(devices);
    g_byte_array_unref(bytes);
    board_fixture_free(f);
}

static void test_sections_7_2(void)
{
    check_sections(DIALECT_QEMU_7_2, true);
}

static void test_sections_10_0(void)
{
    check_sections(DIALECT_QEMU_10_0, false);
}

/* ---- save, load into another machine, save again ---- */

static void scribble(BoardFixture *f)
{
    AddressSpace *as = f->machine.as;

    /* UART: FIFO on, interrupts on, a divisor; PLIC; CLINT; RTC alarm far away; fw_cfg selected. */
    address_space_write(as, 0x10000003, "\x83", 1);
    address_space_write(as, 0x10000000, "\x18", 1);
    address_space_write(as, 0x10000003, "\x03", 1);
    address_space_write(as, 0x10000002, "\x81", 1);
    address_space_write(as, 0x10000001, "\x05", 1);
    address_space_stx(as, 0xc000000 + 4 * 10, 4, 3);
    address_space_stx(as, 0xc002080, 4, 0x600);
    address_space_stx(as, 0xc201000, 4, 2);
    address_space_stx(as, 0x2004000, 8, 0x123456789a);
    address_space_stx(as, 0x10100000 + 8, 2, 0x0100);
    address_space_stx(as, 0x10100000, 1, 0);
    address_space_stx(as, 0x30000004, 2, 0x0007);
}

static void check_round_trip(StreamDialect dialect, bool modern, unsigned harts)
{
    BoardOptions o = { .dialect = dialect, .virtio = true, .modern = modern, .harts = harts };
    BoardFixture *a = board_fixture_new(&o), *b = NULL;
    GByteArray *first, *second;
    GError *err = NULL;

    scribble(a);
    first = board_fixture_save(a, NULL);
    bql_unlock(a->machine.loop);
    b = board_fixture_new(&o);
    board_fixture_load(b, first, &err);
    g_assert_no_error(err);
    second = board_fixture_save(b, NULL);
    g_assert_cmpmem(first->data, first->len, second->data, second->len);
    g_byte_array_unref(first);
    g_byte_array_unref(second);
    board_fixture_free(b);
    bql_lock(a->machine.loop);
    board_fixture_free(a);
}

static void test_round_trip(void)
{
    check_round_trip(DIALECT_QEMU_7_2, false, 1);
    check_round_trip(DIALECT_QEMU_10_0, false, 2);
    check_round_trip(DIALECT_QEMU_7_2, true, 2);
    check_round_trip(DIALECT_QEMU_10_0, true, 1);
}

/* ---- -device ---- */

static void test_device_errors(void)
{
    static const char *const cases[][2] = {
        { "foo", "-device foo: 'foo' is not a valid device model name" },
        { "id=3", "-device ,id=3: Parameter 'id' expects an identifier\nIdentifiers consist of "
                  "letters, digits, '-', '.', '_', starting with a letter." },
        { "virtio-rng-device,foo=1",
          "-device virtio-rng-device,foo=1: Property 'virtio-rng-device.foo' not found" },
        { "virtio-rng-device,max-bytes=abc",
          "-device virtio-rng-device,max-bytes=abc: Parameter 'max-bytes' expects integer" },
        { "virtio-rng-device,rng=zz", "-device virtio-rng-device,rng=zz: Device 'zz' not found" },
        { "virtio-rng-device,bus=foo", "-device virtio-rng-device,bus=foo: Bus 'foo' not found" },
        { "virtio-blk-device", "-device virtio-blk-device: drive property not set" },
        { "virtio-blk-device,drive=zz", "-device virtio-blk-device,drive=zz: Property "
                                        "'virtio-blk-device.drive' can't find value 'zz'" },
        { "virtio-blk-device,drive=d0", "-device virtio-blk-device,drive=d0: Drive 'd0' is already "
                                        "in use by another device" },
        { "virtio-net-device,netdev=zz", "-device virtio-net-device,netdev=zz: Property "
                                         "'virtio-net-device.netdev' can't find value 'zz'" },
        { "virtio-net-device,mac=zz", "-device virtio-net-device,mac=zz: Property "
                                      "'virtio-net-device.mac' doesn't take value 'zz'" },
        { "virtio-rng-device,id=net0",
          "-device virtio-rng-device,id=net0: Duplicate ID 'net0' for device" },
        { "virtconsole,chardev=x", "-device virtconsole,chardev=x: Property 'virtconsole.chardev' "
                                   "can't find value 'x'" },
        { "loader", "-device loader: please include valid arguments" },
        { "loader,addr=4,data=5",
          "-device loader,addr=4,data=5: Both data and data-len must be specified" },
        { "loader,addr=0x80000000", "-device loader,addr=0x80000000: cpu_num must be specified when "
                                    "setting a program counter" },
        { "loader,addr=4,cpu-num=5",
          "-device loader,addr=4,cpu-num=5: Specified boot CPU#5 is nonexistent" },
    };
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = board_fixture_device(f, cases[i][0]);

        g_assert_cmpstr(text, ==, cases[i][1]);
    }
    for (unsigned i = 0; i < 4; i++) { /* four slots are left */
        g_assert_null(board_fixture_device(f, "virtio-rng-device"));
    }
    g_autofree char *full = board_fixture_device(f, "virtio-rng-device");
    g_assert_cmpstr(full, ==, "-device virtio-rng-device: No 'virtio-bus' bus found for device "
                              "'virtio-rng-device'");
    board_fixture_free(f);
}

static void test_lists(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    const BlockNode *node = block_backends_node(board_blocks(f->board), 1);
    BlockNodeInfo info;
    bool found = false;

    for (size_t i = 0; i < board_device_count(f->board); i++) {
        const BoardDevice *dev = board_device(f->board, i);

        found |= dev->id && strcmp(dev->id, "disk0") == 0 &&
                 strcmp(dev->bus, "virtio-mmio-bus.7") == 0 && dev->mmio_base == 0x10008000;
    }
    g_assert_true(found);
    g_assert_nonnull(node);
    block_node_info(node, &info);
    g_assert_cmpstr(info.driver, ==, "raw");
    g_assert_cmpstr(info.drive_id, ==, "d0");
    g_assert_cmpstr(info.device_path, ==, "/machine/peripheral/disk0");
    g_assert_cmpuint(info.size_bytes, ==, 1 << 20);
    g_assert_cmpstr(device_type_props("loader")->name, ==, "addr");
    g_assert_null(device_type_props("nonsense"));
    board_fixture_free(f);
}

/* ---- images ---- */

static void test_reset_vector(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    uint32_t code[6];
    uint64_t data[8], fdt_magic;

    for (unsigned round = 0; round < 2; round++) {
        address_space_read(f->machine.as, 0x1000, code, sizeof(code));
        address_space_read(f->machine.as, 0x1018, data, sizeof(data));
        g_assert_cmphex(code[0], ==, 0x00000297);
        g_assert_cmphex(code[5], ==, 0x00028067);
        g_assert_cmphex(data[0], ==, 0x80000000);
        g_assert_cmphex(data[1], ==, 0x83e00000);
        g_assert_cmphex(data[2], ==, 0x4942534f);
        g_assert_cmphex(data[3], ==, 2);
        address_space_ldx(f->machine.as, data[1], 4, &fdt_magic);
        g_assert_cmphex(fdt_magic, ==, GUINT32_SWAP_LE_BE(0xd00dfeed));
        /* A reset brings it back. */
        address_space_write_rom(f->machine.as, 0x1000, "\0\0\0\0\0\0\0\0", 8);
        address_space_write(f->machine.as, data[1], "\0\0\0\0", 4);
        machine_reset_devices(f->machine.runstate);
    }
    g_assert_null(board_fixture_device(f, "loader,addr=0x80001000,data=0x1122,data-len=4,data-be=on"));
    machine_reset_devices(f->machine.runstate);
    address_space_ldx(f->machine.as, 0x80001000, 4, &fdt_magic);
    g_assert_cmphex(fdt_magic, ==, 0x22110000);
    board_fixture_free(f);
}

/* ---- any access to any register ---- */

static uint64_t random_value(GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 4)) {
    case 0:
        return g_rand_int_range(rand, 0, 16);
    case 1:
        return 1ULL << g_rand_int_range(rand, 0, 64);
    case 2:
        return 0x80000000 + (g_rand_int(rand) & 0x3ffffff);
    default:
        return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    }
}

static void random_accesses(bool modern, uint32_t seed)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = modern,
                                                         .harts = 2 });
    GRand *rand = g_rand_new_with_seed(seed);
    const MemoryRegion *regions[64];
    GByteArray *bytes;
    unsigned n = 0;

    for (size_t i = 0; address_space_get(f->machine.as, i) && n < 64; i++) {
        if (address_space_get(f->machine.as, i)->ops) {
            regions[n++] = address_space_get(f->machine.as, i);
        }
    }
    g_assert_cmpuint(n, >, 12);
    board_fixture_run(f, true);
    for (unsigned i = 0; i < 60000; i++) {
        const MemoryRegion *r = regions[g_rand_int_range(rand, 0, n)];
        unsigned size = 1u << g_rand_int_range(rand, 0, 4);
        uint64_t limit = g_rand_boolean(rand) ? MIN(r->size, 0x200) : r->size;
        uint64_t offset = (((uint64_t)g_rand_int(rand) << 32) | g_rand_int(rand)) % limit;
        uint64_t value = random_value(rand);

        if (g_rand_boolean(rand)) {
            offset &= ~(uint64_t)(size - 1);
        }
        if (offset + size > r->size) {
            continue;
        }
        if (g_rand_boolean(rand)) {
            r->ops->read(r->opaque, offset, size, &value);
        } else {
            r->ops->write(r->opaque, offset, size, value);
        }
    }
    board_fixture_run(f, false);
    bytes = board_fixture_save(f, NULL); /* still a machine */
    g_byte_array_unref(bytes);
    machine_reset_devices(f->machine.runstate);
    g_rand_free(rand);
    board_fixture_free(f);
}

static void test_random_accesses(void)
{
    uint32_t seed = g_test_rand_int();

    g_test_message("seed %u", seed);
    random_accesses(false, seed);
    random_accesses(true, seed + 1);
}

/* A machine asks its board what a hart's timer is set to. */
static void test_mtimecmp(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .harts = 2 });
    uint64_t value = 0;

    address_space_stx(f->machine.as, 0x2004008, 8, 123456789);
    g_assert_true(cpus_query_mtimecmp(f->machine.cpus, 1, &value));
    g_assert_cmpuint(value, ==, 123456789);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/sections/7.2", test_sections_7_2);
    g_test_add_func("/board/sections/10.0", test_sections_10_0);
    g_test_add_func("/board/round-trip", test_round_trip);
    g_test_add_func("/board/device-errors", test_device_errors);
    g_test_add_func("/board/lists", test_lists);
    g_test_add_func("/board/reset-vector", test_reset_vector);
    g_test_add_func("/board/random-accesses", test_random_accesses);
    g_test_add_func("/board/mtimecmp", test_mtimecmp);
    return g_test_run();
}
