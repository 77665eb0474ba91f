/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device tree of the virt board in both forms (machine-virt 4.2), images and where they go. */
#include <libfdt.h>
#include <string.h>
#include <unistd.h>
#include "hw/riscv/fdt.h"
#include "tests/unit/board-fixture.h"

static GBytes *build(BoardFixture *f)
{
    VirtBoot boot = { .initrd_start = 0x84200000, .initrd_end = 0x84300000 };
    GError *err = NULL;
    GBytes *bytes = virt_fdt_build(f->board, &boot, &err);

    g_assert_no_error(err);
    g_assert_cmpint(fdt_check_full(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)), ==, 0);
    return bytes;
}

/* Property as text: strings as they are, cells in hex. */
static char *prop(GBytes *bytes, const char *path, const char *name)
{
    const void *blob = g_bytes_get_data(bytes, NULL);
    int node = fdt_path_offset(blob, path), len;
    const uint8_t *p = node < 0 ? NULL : fdt_getprop(blob, node, name, &len);
    GString *out;

    if (!p) {
        return NULL;
    }
    out = g_string_new(NULL);
    if (len > 1 && p[len - 1] == 0 && g_ascii_isprint(p[0])) {
        for (int i = 0; i < len - 1; i++) {
            g_string_append_c(out, p[i] ? p[i] : '|');
        }
    } else {
        for (int i = 0; i + 4 <= len; i += 4) {
            g_string_append_printf(out, i ? " %x" : "%x", fdt32_ld((const fdt32_t *)(p + i)));
        }
    }
    return g_string_free(out, FALSE);
}

static void expect(GBytes *bytes, const char *path, const char *name, const char *want)
{
    g_autofree char *text = prop(bytes, path, name);

    g_assert_cmpstr(text, ==, want);
}

static void test_7_2(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .harts = 2, .append = "console=ttyS0" });
    GBytes *t = build(f);

    expect(t, "/", "compatible", "riscv-virtio");
    expect(t, "/cpus", "timebase-frequency", "989680");
    expect(t, "/cpus/cpu@1", "phandle", "1");
    expect(t, "/cpus/cpu@0", "phandle", "3");
    expect(t, "/cpus/cpu@0/interrupt-controller", "phandle", "4");
    expect(t, "/cpus/cpu@0", "riscv,isa-base", NULL);
    expect(t, "/cpus/cpu-map/cluster0/core1", "cpu", "1");
    expect(t, "/memory@80000000", "reg", "0 80000000 0 4000000");
    expect(t, "/soc/clint@2000000", "interrupts-extended", "4 3 4 7 2 3 2 7");
    expect(t, "/cpus/cpu@0", "numa-node-id", NULL);
    expect(t, "/soc/plic@c000000", "interrupts-extended", "4 b 4 9 2 b 2 9");
    expect(t, "/soc/plic@c000000", "compatible", "sifive,plic-1.0.0|riscv,plic0");
    expect(t, "/soc/plic@c000000", "riscv,ndev", "60");
    expect(t, "/soc/plic@c000000", "phandle", "5");
    expect(t, "/soc/test@100000", "phandle", "6");
    expect(t, "/poweroff", "value", "5555");
    expect(t, "/reboot", "regmap", "6");
    expect(t, "/soc/serial@10000000", "interrupts", "a");
    expect(t, "/soc/rtc@101000", "interrupts", "b");
    expect(t, "/soc/virtio_mmio@10008000", "interrupts", "8");
    expect(t, "/soc/virtio_mmio@10001000", "reg", "0 10001000 0 1000");
    expect(t, "/soc/pci@30000000", "interrupt-map-mask", "1800 0 0 7");
    expect(t, "/flash@20000000", "reg", "0 20000000 0 2000000 0 22000000 0 2000000");
    expect(t, "/chosen", "bootargs", "console=ttyS0");
    expect(t, "/chosen", "stdout-path", "/soc/serial@10000000");
    expect(t, "/chosen", "linux,initrd-start", "84200000");
    expect(t, "/aliases", "serial0", NULL);
    g_bytes_unref(t);
    board_fixture_free(f);
}

static void test_10_0(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .dialect = DIALECT_QEMU_10_0 });
    GBytes *t = build(f);

    expect(t, "/cpus/cpu@0", "riscv,isa-base", "rv64i");
    expect(t, "/soc/plic@c000000", "riscv,ndev", "5f");
    expect(t, "/aliases", "serial0", "/soc/serial@10000000");
    expect(t, "/chosen", "linux,initrd-start", "0 84200000");
    expect(t, "/chosen", "linux,initrd-end", "0 84300000");
    g_bytes_unref(t);
    board_fixture_free(f);
}

/* The nodes of QEMU's dumpdtb with aclint=on and two harts; the others are as without. */
static void test_aclint(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .harts = 2, .aclint = true });
    f->config.numa = true; /* -numa node,memdev=... */
    GBytes *t = build(f);

    static const char *const in_node[] = {
        "/cpus/cpu@0", "/cpus/cpu@1", "/memory@80000000", "/soc/plic@c000000", "/soc/sswi@2f00000",
        "/soc/mtimer@2004000", "/soc/mswi@2000000",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(in_node); i++) {
        expect(t, in_node[i], "numa-node-id", "0");
    }
    expect(t, "/soc/serial@10000000", "numa-node-id", NULL);

    expect(t, "/soc/clint@2000000", "reg", NULL);
    expect(t, "/soc/mswi@2000000", "compatible", "riscv,aclint-mswi");
    expect(t, "/soc/mswi@2000000", "reg", "0 2000000 0 4000");
    expect(t, "/soc/mswi@2000000", "interrupts-extended", "4 3 2 3");
    expect(t, "/soc/mswi@2000000", "#interrupt-cells", "0");
    expect(t, "/soc/mtimer@2004000", "compatible", "riscv,aclint-mtimer");
    expect(t, "/soc/mtimer@2004000", "reg", "0 200bff8 0 4008 0 2004000 0 7ff8");
    expect(t, "/soc/mtimer@2004000", "interrupts-extended", "4 7 2 7");
    expect(t, "/soc/sswi@2f00000", "compatible", "riscv,aclint-sswi");
    expect(t, "/soc/sswi@2f00000", "reg", "0 2f00000 0 4000");
    expect(t, "/soc/sswi@2f00000", "interrupts-extended", "4 1 2 1");
    expect(t, "/soc/plic@c000000", "phandle", "5");
    g_bytes_unref(t);
    board_fixture_free(f);
}

/* The guest numbers its disks in the order of the slots in the tree: the highest first. */
static void test_slot_order(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    GBytes *t = build(f);
    const void *blob = g_bytes_get_data(t, NULL);
    int soc = fdt_path_offset(blob, "/soc"), node;
    unsigned long last = ULONG_MAX;

    fdt_for_each_subnode(node, blob, soc) {
        const char *name = fdt_get_name(blob, node, NULL);

        if (g_str_has_prefix(name, "virtio_mmio@")) {
            unsigned long base = strtoul(strchr(name, '@') + 1, NULL, 16);

            g_assert_cmphex(base, <, last);
            last = base;
        }
    }
    g_assert_cmphex(last, ==, 0x10001000);
    g_bytes_unref(t);
    board_fixture_free(f);
}

static void test_user_tree(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .append = "hello" });
    GBytes *t = build(f), *again;
    g_autofree char *path = NULL;
    GError *err = NULL;
    VirtBoot boot = { 0 };
    gsize len;
    const char *data = g_bytes_get_data(t, &len);

    close(g_file_open_tmp("ferry-dtb-XXXXXX", &path, NULL));
    g_file_set_contents(path, data, len, NULL);
    f->config.dtb = path;
    f->config.append = (char *)"other";
    again = build(f);
    expect(again, "/chosen", "bootargs", "other");
    expect(again, "/soc/test@100000", "phandle", "4");
    for (gsize cut = 0; cut < len; cut += 37) { /* any broken file is an error, not a crash */
        g_file_set_contents(path, data, cut, NULL);
        g_assert_null(virt_fdt_build(f->board, &boot, &err));
        g_assert_nonnull(strstr(err->message, "device tree file"));
        g_clear_error(&err);
    }
    unlink(path);
    g_assert_null(virt_fdt_build(f->board, &boot, &err));
    g_assert_nonnull(strstr(err->message, "Unable to get size of device tree file"));
    g_clear_error(&err);
    f->config.dtb = NULL;
    g_bytes_unref(t);
    g_bytes_unref(again);
    board_fixture_free(f);
}

/* ---- ELF ---- */

static GBytes *small_elf(void)
{
    static const uint8_t header[] = {
        0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 0xf3, 0, 1, 0, 0, 0, 0x10, 0, 0x10, 0x80, 0, 0, 0, 0, /* entry 0x80100010 */
        64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 1, 0,
        0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 7, 0, 0, 0, 120, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0x10, 0x80, 0, 0, 0, 0, 0, 0, 0x10, 0x80, 0, 0, 0, 0,
        4, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0,
        0xde, 0xad, 0xbe, 0xef,
    };

    return g_bytes_new_static(header, sizeof(header));
}

static void test_elf(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    GBytes *elf = small_elf();
    gsize len;
    const uint8_t *data = g_bytes_get_data(elf, &len);
    g_autofree uint8_t *copy = g_memdup2(data, len);
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    LoadedImage image;
    GError *err = NULL;
    uint64_t value;

    g_assert_true(rom_list_add_elf(f->board->roms, "x", elf, &image, &err));
    g_assert_cmphex(image.entry, ==, 0x80100010);
    g_assert_cmphex(image.low, ==, 0x80100000);
    g_assert_cmphex(image.high, ==, 0x80100010);
    address_space_stx(f->machine.as, 0x80100008, 8, UINT64_MAX);
    machine_reset_devices(f->machine.runstate);
    address_space_ldx(f->machine.as, 0x80100000, 8, &value);
    g_assert_cmphex(value, ==, 0xefbeadde);
    address_space_ldx(f->machine.as, 0x80100008, 8, &value);
    g_assert_cmphex(value, ==, 0); /* past the file part: zero at each reset */
    for (unsigned i = 0; i < 3000; i++) {
        g_autoptr(GBytes) bad = NULL;
        gsize n = g_rand_int_range(rand, 0, 4) ? len : (gsize)g_rand_int_range(rand, 0, len);

        memcpy(copy, data, len);
        for (unsigned k = g_rand_int_range(rand, 1, 5); k; k--) {
            copy[g_rand_int_range(rand, 16, len)] = g_rand_int(rand);
        }
        bad = g_bytes_new(copy, n);
        rom_list_add_elf(f->board->roms, "bad", bad, &image, NULL);
    }
    g_rand_free(rand);
    g_bytes_unref(elf);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fdt/7.2", test_7_2);
    g_test_add_func("/fdt/10.0", test_10_0);
    g_test_add_func("/fdt/aclint", test_aclint);
    g_test_add_func("/fdt/slot-order", test_slot_order);
    g_test_add_func("/fdt/user-tree", test_user_tree);
    g_test_add_func("/fdt/elf", test_elf);
    return g_test_run();
}
