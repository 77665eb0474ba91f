/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device tree of the virt board (machine-virt 4.2), in the form of
 * the QEMU generation the machine stands for, or the user's (-dtb) with
 * /chosen filled in. Called once by virt.c. Never describes what is not
 * mapped.
 */
#include <libfdt.h>
#include <stdarg.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include "hw/riscv/fdt.h"

#define FDT_BUFFER_BYTES 0x10000
#define FDT_SLACK_BYTES 0x4000      /* room for /chosen */
#define DTB_MAX_BYTES 0x100000
#define UART_CLOCK_HZ 3686400
#define TIMEBASE_HZ 10000000
/* The CLINT's parts, as an ACLINT names them. */
#define CLINT_SWI_BYTES 0x4000
#define CLINT_MTIMER_BYTES 0xc000
#define CLINT_MTIME_OFFSET 0x7ff8

/* A tree being written: the first error sticks. */
typedef struct Tree {
    void *blob;
    int err;
    Board *board;
    bool qemu10;
    unsigned harts;
    uint32_t plic_phandle, test_phandle;
} Tree;

static void tree_try(Tree *t, int ret)
{
    if (t->err == 0 && ret < 0) {
        t->err = ret;
    }
}

static void node_begin(Tree *t, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void node_begin(Tree *t, const char *fmt, ...)
{
    g_autofree char *name = NULL;
    va_list ap;

    va_start(ap, fmt);
    name = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    tree_try(t, fdt_begin_node(t->blob, name));
}

static void node_end(Tree *t)
{
    tree_try(t, fdt_end_node(t->blob));
}

static void prop_empty(Tree *t, const char *name)
{
    tree_try(t, fdt_property(t->blob, name, NULL, 0));
}

static void prop_string(Tree *t, const char *name, const char *value)
{
    tree_try(t, fdt_property_string(t->blob, name, value));
}

/* A string list: value holds the strings with their NULs, len counts the last one's too. */
static void prop_bytes(Tree *t, const char *name, const void *value, size_t len)
{
    tree_try(t, fdt_property(t->blob, name, value, len));
}

static void prop_cells_array(Tree *t, const char *name, const uint32_t *cells, size_t count)
{
    g_autofree uint32_t *be = g_new(uint32_t, count);

    for (size_t i = 0; i < count; i++) {
        be[i] = cpu_to_fdt32(cells[i]);
    }
    prop_bytes(t, name, be, count * sizeof(*be));
}

#define prop_cells(t, name, ...)                                                       \
    prop_cells_array((t), (name), (const uint32_t[]){ __VA_ARGS__ },                   \
                     sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void prop_reg(Tree *t, uint64_t base, uint64_t size)
{
    prop_cells(t, "reg", base >> 32, (uint32_t)base, size >> 32, (uint32_t)size);
}

static void prop_numa(Tree *t)
{
    if (t->board->machine->config->numa) {
        prop_cells(t, "numa-node-id", 0);
    }
}

static uint32_t cpu_phandle(const Tree *t, unsigned hart)
{
    return 2 * (t->harts - 1 - hart) + 1; /* handed out from the last hart to the first */
}

static uint32_t intc_phandle(const Tree *t, unsigned hart)
{
    return cpu_phandle(t, hart) + 1;
}

static void write_isa(Tree *t)
{
    CPUList *cpus = t->board->machine->cpus;
    g_auto(GStrv) extensions = NULL;
    GString *list;

    prop_string(t, "riscv,isa", cpus_isa_string(cpus));
    if (!t->qemu10) {
        return;
    }
    extensions = cpus_isa_extensions(cpus);
    list = g_string_new(NULL);
    for (size_t i = 0; extensions && extensions[i]; i++) {
        g_string_append_len(list, extensions[i], strlen(extensions[i]) + 1);
    }
    prop_string(t, "riscv,isa-base", "rv64i");
    prop_bytes(t, "riscv,isa-extensions", list->str, list->len);
    if (extensions) {
        static const char *const blocks[][2] = {
            { "zicbom", "riscv,cbom-block-size" }, { "zicboz", "riscv,cboz-block-size" },
            { "zicbop", "riscv,cbop-block-size" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
            if (g_strv_contains((const char *const *)extensions, blocks[i][0])) {
                prop_cells(t, blocks[i][1], 64);
            }
        }
    }
    g_string_free(list, TRUE);
}

static void write_cpus(Tree *t)
{
    node_begin(t, "cpus");
    prop_cells(t, "#address-cells", 1);
    prop_cells(t, "#size-cells", 0);
    prop_cells(t, "timebase-frequency", TIMEBASE_HZ);
    for (unsigned i = 0; i < t->harts; i++) {
        node_begin(t, "cpu@%x", i);
        prop_cells(t, "phandle", cpu_phandle(t, i));
        prop_string(t, "device_type", "cpu");
        prop_cells(t, "reg", i);
        prop_string(t, "status", "okay");
        prop_string(t, "compatible", "riscv");
        write_isa(t);
        prop_string(t, "mmu-type", cpus_mmu_type(t->board->machine->cpus));
        prop_numa(t);
        node_begin(t, "interrupt-controller");
        prop_cells(t, "#interrupt-cells", 1);
        prop_empty(t, "interrupt-controller");
        prop_string(t, "compatible", "riscv,cpu-intc");
        prop_cells(t, "phandle", intc_phandle(t, i));
        node_end(t);
        node_end(t);
    }
    node_begin(t, "cpu-map");
    node_begin(t, "cluster0");
    for (unsigned i = 0; i < t->harts; i++) {
        node_begin(t, "core%u", i);
        prop_cells(t, "cpu", cpu_phandle(t, i));
        node_end(t);
    }
    node_end(t);
    node_end(t);
    node_end(t);
}

static void write_memory(Tree *t)
{
    uint64_t base = virt_memmap[VIRT_DRAM].base;

    node_begin(t, "memory@%" PRIx64, base);
    prop_string(t, "device_type", "memory");
    prop_reg(t, base, t->board->machine->config->ram_bytes);
    prop_numa(t);
    node_end(t);
}

/* <intc a> for each hart */
static void prop_interrupt_extended(Tree *t, uint32_t a)
{
    g_autofree uint32_t *cells = g_new(uint32_t, 2 * t->harts);

    for (unsigned i = 0; i < t->harts; i++) {
        cells[2 * i] = intc_phandle(t, i);
        cells[2 * i + 1] = a;
    }
    prop_cells_array(t, "interrupts-extended", cells, 2 * t->harts);
}

/* <intc a, intc b> for each hart */
static void prop_interrupts_extended(Tree *t, uint32_t a, uint32_t b)
{
    g_autofree uint32_t *cells = g_new(uint32_t, 4 * t->harts);

    for (unsigned i = 0; i < t->harts; i++) {
        cells[4 * i] = cells[4 * i + 2] = intc_phandle(t, i);
        cells[4 * i + 1] = a;
        cells[4 * i + 3] = b;
    }
    prop_cells_array(t, "interrupts-extended", cells, 4 * t->harts);
}

static void write_clint(Tree *t)
{
    static const char clint[] = "sifive,clint0\0riscv,clint0";

    node_begin(t, "clint@%" PRIx64, virt_memmap[VIRT_CLINT].base);
    prop_bytes(t, "compatible", clint, sizeof(clint));
    prop_reg(t, virt_memmap[VIRT_CLINT].base, virt_memmap[VIRT_CLINT].size);
    prop_interrupts_extended(t, 3, 7);
    prop_numa(t);
    node_end(t);
}

static void write_software_interrupts(Tree *t, const char *name, const char *compatible,
                                      uint64_t base, uint32_t irq)
{
    node_begin(t, "%s@%" PRIx64, name, base);
    prop_string(t, "compatible", compatible);
    prop_reg(t, base, CLINT_SWI_BYTES);
    prop_interrupt_extended(t, irq);
    prop_empty(t, "interrupt-controller");
    prop_cells(t, "#interrupt-cells", 0);
    prop_numa(t);
    node_end(t);
}

/* The same registers under their newer names, and the supervisor's software interrupts. */
static void write_aclint(Tree *t)
{
    uint64_t base = virt_memmap[VIRT_CLINT].base, timecmp = base + CLINT_SWI_BYTES;
    uint64_t mtime = timecmp + CLINT_MTIME_OFFSET;

    write_software_interrupts(t, "sswi", "riscv,aclint-sswi", virt_memmap[VIRT_SSWI].base, 1);
    node_begin(t, "mtimer@%" PRIx64, timecmp);
    prop_string(t, "compatible", "riscv,aclint-mtimer");
    prop_cells(t, "reg", mtime >> 32, (uint32_t)mtime, 0, CLINT_MTIMER_BYTES - CLINT_MTIME_OFFSET,
               timecmp >> 32, (uint32_t)timecmp, 0, CLINT_MTIME_OFFSET);
    prop_interrupt_extended(t, 7);
    prop_numa(t);
    node_end(t);
    write_software_interrupts(t, "mswi", "riscv,aclint-mswi", base, 3);
}

static void write_interrupt_controllers(Tree *t)
{
    static const char plic[] = "sifive,plic-1.0.0\0riscv,plic0";

    if (t->board->machine->config->aclint) {
        write_aclint(t);
    } else {
        write_clint(t);
    }
    node_begin(t, "plic@%" PRIx64, virt_memmap[VIRT_PLIC].base);
    prop_cells(t, "phandle", t->plic_phandle);
    prop_bytes(t, "compatible", plic, sizeof(plic));
    prop_cells(t, "#interrupt-cells", 1);
    prop_cells(t, "#address-cells", 0);
    prop_empty(t, "interrupt-controller");
    prop_reg(t, virt_memmap[VIRT_PLIC].base, virt_memmap[VIRT_PLIC].size);
    prop_cells(t, "riscv,ndev", t->qemu10 ? 95 : 96);
    prop_interrupts_extended(t, 11, 9);
    prop_numa(t);
    node_end(t);
}

static void write_device(Tree *t, const char *name, uint64_t base, uint64_t size,
                         const char *compatible, uint32_t irq)
{
    node_begin(t, "%s@%" PRIx64, name, base);
    prop_string(t, "compatible", compatible);
    prop_reg(t, base, size);
    prop_cells(t, "interrupts", irq);
    prop_cells(t, "interrupt-parent", t->plic_phandle);
    node_end(t);
}

static void write_small_devices(Tree *t)
{
    static const char test[] = "sifive,test1\0sifive,test0\0syscon";
    const MemMapEntry *uart = &virt_memmap[VIRT_UART0], *virtio = &virt_memmap[VIRT_VIRTIO];

    node_begin(t, "serial@%" PRIx64, uart->base);
    prop_string(t, "compatible", "ns16550a");
    prop_reg(t, uart->base, uart->size);
    prop_cells(t, "clock-frequency", UART_CLOCK_HZ);
    prop_cells(t, "interrupts", UART0_IRQ);
    prop_cells(t, "interrupt-parent", t->plic_phandle);
    node_end(t);

    write_device(t, "rtc", virt_memmap[VIRT_RTC].base, virt_memmap[VIRT_RTC].size,
                 "google,goldfish-rtc", RTC_IRQ);
    /* From the highest down, as QEMU's tree: the guest numbers vda, vdb in this order. */
    for (unsigned i = VIRTIO_COUNT; i > 0; i--) {
        write_device(t, "virtio_mmio", virtio->base + (i - 1) * virtio->size, virtio->size,
                     "virtio,mmio", VIRTIO_IRQ + i - 1);
    }

    node_begin(t, "test@%" PRIx64, virt_memmap[VIRT_TEST].base);
    prop_cells(t, "phandle", t->test_phandle);
    prop_bytes(t, "compatible", test, sizeof(test));
    prop_reg(t, virt_memmap[VIRT_TEST].base, virt_memmap[VIRT_TEST].size);
    node_end(t);
}

static void write_pci(Tree *t)
{
    const MemMapEntry *ecam = &virt_memmap[VIRT_PCIE_ECAM];
    uint64_t pio = virt_memmap[VIRT_PCIE_PIO].base, mmio = virt_memmap[VIRT_PCIE_MMIO].base;
    uint64_t high = virt_pcie64_base(t->board->machine->config->ram_bytes);
    uint32_t map[16 * 6], *m = map;

    node_begin(t, "pci@%" PRIx64, ecam->base);
    prop_cells(t, "#address-cells", 3);
    prop_cells(t, "#interrupt-cells", 1);
    prop_cells(t, "#size-cells", 2);
    prop_string(t, "compatible", "pci-host-ecam-generic");
    prop_string(t, "device_type", "pci");
    prop_cells(t, "linux,pci-domain", 0);
    prop_cells(t, "bus-range", 0, 255);
    prop_empty(t, "dma-coherent");
    prop_reg(t, ecam->base, ecam->size);
    prop_cells(t, "ranges",
               0x1000000, 0, 0, pio >> 32, (uint32_t)pio, 0, virt_memmap[VIRT_PCIE_PIO].size,
               0x2000000, mmio >> 32, (uint32_t)mmio, mmio >> 32, (uint32_t)mmio,
               0, virt_memmap[VIRT_PCIE_MMIO].size,
               0x3000000, high >> 32, (uint32_t)high, high >> 32, (uint32_t)high,
               VIRT_PCIE64_BYTES >> 32, (uint32_t)VIRT_PCIE64_BYTES);
    for (unsigned dev = 0; dev < 4; dev++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            *m++ = dev << 11;
            *m++ = 0;
            *m++ = 0;
            *m++ = pin + 1;
            *m++ = t->plic_phandle;
            *m++ = PCIE_IRQ + (pin + dev) % 4;
        }
    }
    prop_cells_array(t, "interrupt-map", map, G_N_ELEMENTS(map));
    prop_cells(t, "interrupt-map-mask", 0x1800, 0, 0, 7);
    node_end(t);
}

static void write_power(Tree *t, const char *name, const char *compatible, uint32_t value)
{
    node_begin(t, "%s", name);
    prop_string(t, "compatible", compatible);
    prop_cells(t, "regmap", t->test_phandle);
    prop_cells(t, "offset", 0);
    prop_cells(t, "value", value);
    node_end(t);
}

static void write_flash_and_fw_cfg(Tree *t)
{
    uint64_t flash = virt_memmap[VIRT_FLASH].base, second = flash + VIRT_FLASH_BANK_BYTES;

    node_begin(t, "flash@%" PRIx64, flash);
    prop_string(t, "compatible", "cfi-flash");
    prop_cells(t, "reg", flash >> 32, (uint32_t)flash, 0, VIRT_FLASH_BANK_BYTES,
               second >> 32, (uint32_t)second, 0, VIRT_FLASH_BANK_BYTES);
    prop_cells(t, "bank-width", 4);
    node_end(t);

    node_begin(t, "fw-cfg@%" PRIx64, virt_memmap[VIRT_FW_CFG].base);
    prop_string(t, "compatible", "qemu,fw-cfg-mmio");
    prop_reg(t, virt_memmap[VIRT_FW_CFG].base, virt_memmap[VIRT_FW_CFG].size);
    prop_empty(t, "dma-coherent");
    node_end(t);
}

static void write_platform_bus(Tree *t)
{
    static const char compatible[] = "qemu,platform\0simple-bus";
    const MemMapEntry *bus = &virt_memmap[VIRT_PLATFORM_BUS];

    node_begin(t, "platform-bus@%" PRIx64, bus->base);
    prop_bytes(t, "compatible", compatible, sizeof(compatible));
    prop_cells(t, "#address-cells", 1);
    prop_cells(t, "#size-cells", 1);
    prop_cells(t, "ranges", 0, bus->base >> 32, (uint32_t)bus->base, bus->size);
    prop_cells(t, "interrupt-parent", t->plic_phandle);
    node_end(t);
}

static void write_tree(Tree *t)
{
    g_autofree char *stdout_path = g_strdup_printf("/soc/serial@%" PRIx64,
                                                   virt_memmap[VIRT_UART0].base);

    tree_try(t, fdt_finish_reservemap(t->blob));
    node_begin(t, "%s", "");
    prop_cells(t, "#address-cells", 2);
    prop_cells(t, "#size-cells", 2);
    prop_string(t, "compatible", "riscv-virtio");
    prop_string(t, "model", "riscv-virtio,qemu");
    write_cpus(t);
    write_memory(t);
    write_flash_and_fw_cfg(t);
    write_platform_bus(t);
    write_power(t, "reboot", "syscon-reboot", 0x7777);
    write_power(t, "poweroff", "syscon-poweroff", 0x5555);
    node_begin(t, "soc");
    prop_cells(t, "#address-cells", 2);
    prop_cells(t, "#size-cells", 2);
    prop_string(t, "compatible", "simple-bus");
    prop_empty(t, "ranges");
    write_interrupt_controllers(t);
    write_small_devices(t);
    write_pci(t);
    node_end(t);
    if (t->qemu10) {
        node_begin(t, "aliases");
        prop_string(t, "serial0", stdout_path);
        node_end(t);
    }
    node_begin(t, "chosen");
    prop_string(t, "stdout-path", stdout_path);
    node_end(t);
    node_end(t);
    tree_try(t, fdt_finish(t->blob));
}

/* The generated tree, or NULL with the libfdt error in *err. */
static void *generate_tree(Board *board, int *err)
{
    Tree t = {
        .blob = g_malloc0(FDT_BUFFER_BYTES),
        .board = board,
        .qemu10 = board->machine->config->dialect == DIALECT_QEMU_10_0,
        .harts = cpus_count(board->machine->cpus),
    };

    t.plic_phandle = 2 * t.harts + 1;
    t.test_phandle = t.plic_phandle + 1;
    tree_try(&t, fdt_create(t.blob, FDT_BUFFER_BYTES));
    write_tree(&t);
    *err = t.err;
    if (t.err) {
        g_clear_pointer(&t.blob, g_free);
    }
    return t.blob;
}

static GBytes *read_user_tree(const char *path, GError **errp)
{
    g_autoptr(GError) err = NULL;
    GBytes *bytes = image_read(path, DTB_MAX_BYTES, &err);
    int ret;

    if (!bytes) {
        error_setg(errp, "Unable to get size of device tree file '%s': %s", path, err->message);
        return NULL;
    }
    ret = fdt_check_full(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (ret < 0) {
        error_setg(errp, "device tree file '%s': %s", path, fdt_strerror(ret));
        g_clear_pointer(&bytes, g_bytes_unref);
    }
    return bytes;
}

static int set_initrd(void *blob, int chosen, const VirtBoot *boot, bool wide)
{
    int ret;

    if (wide) {
        ret = fdt_setprop_u64(blob, chosen, "linux,initrd-start", boot->initrd_start);
        return ret < 0 ? ret : fdt_setprop_u64(blob, chosen, "linux,initrd-end", boot->initrd_end);
    }
    ret = fdt_setprop_u32(blob, chosen, "linux,initrd-start", boot->initrd_start);
    return ret < 0 ? ret : fdt_setprop_u32(blob, chosen, "linux,initrd-end", boot->initrd_end);
}

static int fill_chosen(void *blob, const Board *board, const VirtBoot *boot)
{
    const MachineConfig *config = board->machine->config;
    int chosen = fdt_path_offset(blob, "/chosen"), ret = 0;
    uint8_t seed[32];

    if (chosen == -FDT_ERR_NOTFOUND) {
        chosen = fdt_add_subnode(blob, 0, "chosen");
    }
    if (chosen < 0) {
        return chosen;
    }
    if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed)) {
        ret = fdt_setprop(blob, chosen, "rng-seed", seed, sizeof(seed));
    }
    if (ret >= 0 && config->append && *config->append) {
        ret = fdt_setprop_string(blob, chosen, "bootargs", config->append);
    }
    if (ret >= 0 && boot->initrd_end) {
        ret = set_initrd(blob, chosen, boot, config->dialect == DIALECT_QEMU_10_0);
    }
    return ret;
}

GBytes *virt_fdt_build(Board *board, const VirtBoot *boot, GError **errp)
{
    const MachineConfig *config = board->machine->config;
    g_autoptr(GBytes) user = NULL;
    g_autofree void *generated = NULL;
    size_t room = FDT_SLACK_BYTES + (config->append ? strlen(config->append) : 0);
    void *blob;
    int ret = 0;

    if (config->dtb) {
        user = read_user_tree(config->dtb, errp);
        if (!user) {
            return NULL;
        }
    } else {
        generated = generate_tree(board, &ret);
    }
    if (ret == 0) {
        const void *base = user ? g_bytes_get_data(user, NULL) : generated;

        room += fdt_totalsize(base);
        blob = g_malloc0(room);
        ret = fdt_open_into(base, blob, room);
        if (ret == 0) {
            ret = fill_chosen(blob, board, boot);
        }
        if (ret >= 0 && (ret = fdt_pack(blob)) == 0) {
            return g_bytes_new_take(blob, fdt_totalsize(blob));
        }
        g_free(blob);
    }
    error_setg(errp, "device tree: %s", fdt_strerror(ret));
    return NULL;
}
