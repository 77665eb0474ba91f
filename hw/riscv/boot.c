/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware, kernel, initrd, device tree and reset vector of the virt board
 * (machine-virt 4.3). Called once by virt.c; the images are written at
 * each reset by the loader.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "hw/riscv/boot.h"
#include "util/size-text.h"

#define IMAGE_ALIGN 0x200000ULL
#define FDT_RESERVE_7_2 0x100000ULL     /* 7.2 places its tree as if it had this size */
#define FDT_CAP_7_2 0xc0000000ULL
#define FW_DYNAMIC_MAGIC 0x4942534fULL
#define FW_DYNAMIC_VERSION 2
#define FW_DYNAMIC_MODE_S 1
#define DEFAULT_FIRMWARE "opensbi-riscv64-generic-fw_dynamic.bin"

static const char *const firmware_paths[] = {
    "/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin",
    "/usr/share/qemu/" DEFAULT_FIRMWARE,
    "/usr/local/share/qemu/" DEFAULT_FIRMWARE,
    "/usr/share/opensbi/lp64/generic/firmware/fw_dynamic.bin",
};

static uint64_t ram_end(const Board *board)
{
    return virt_memmap[VIRT_DRAM].base + board->machine->config->ram_bytes;
}

/* A file of this name in the folders of -L; NULL if there is none. */
static char *find_in_data_dirs(const MachineConfig *config, const char *name)
{
    for (guint i = 0; config->data_dirs && i < config->data_dirs->len; i++) {
        char *path = g_build_filename(g_ptr_array_index(config->data_dirs, i), name, NULL);

        if (access(path, R_OK) == 0) {
            return path;
        }
        g_free(path);
    }
    return NULL;
}

/* OpenSBI from -L or as installed; NULL if there is none. */
static char *find_default_firmware(const MachineConfig *config)
{
    char *path = find_in_data_dirs(config, DEFAULT_FIRMWARE);

    for (size_t i = 0; !path && i < G_N_ELEMENTS(firmware_paths); i++) {
        if (access(firmware_paths[i], R_OK) == 0) {
            path = g_strdup(firmware_paths[i]);
        }
    }
    return path;
}

static bool load_firmware(Board *board, uint64_t *end, GError **errp)
{
    MachineConfig *config = board->machine->config;
    const char *bios = config->bios;
    g_autofree char *found = NULL;
    g_autoptr(GError) err = NULL;
    LoadedImage image;

    *end = virt_memmap[VIRT_DRAM].base;
    if (bios && strcmp(bios, "none") == 0) {
        return true;
    }
    if (!bios || strcmp(bios, "default") == 0) {
        found = find_default_firmware(config);
        if (!found) {
            if (config->incoming && !bios) {
                return true; /* the stream brings the firmware; only a later reset would miss it */
            }
            error_setg(errp, "Unable to load the RISC-V firmware \"%s\"", DEFAULT_FIRMWARE);
            return false;
        }
        bios = found;
    } else if (access(bios, F_OK) != 0 && (found = find_in_data_dirs(config, bios))) {
        bios = found;
    }
    if (!rom_list_add_image(board->roms, bios, *end, false, &image, &err)) {
        error_setg(errp, "Unable to load the RISC-V firmware \"%s\": %s", bios, err->message);
        return false;
    }
    *end = image.high;
    return true;
}

static bool load_kernel(Board *board, VirtBoot *boot, uint64_t firmware_end, uint64_t *start,
                        GError **errp)
{
    const char *kernel = board->machine->config->kernel;
    g_autoptr(GError) err = NULL;
    LoadedImage image;

    *start = (firmware_end + IMAGE_ALIGN - 1) & ~(IMAGE_ALIGN - 1);
    if (!kernel) {
        return true;
    }
    if (!rom_list_add_image(board->roms, kernel, *start, false, &image, &err)) {
        error_setg(errp, "could not load kernel '%s': %s", kernel, err->message);
        return false;
    }
    boot->kernel_entry = image.elf ? image.low : image.entry;
    *start = boot->kernel_entry;
    return true;
}

static bool load_initrd(Board *board, VirtBoot *boot, uint64_t kernel_start, GError **errp)
{
    MachineConfig *config = board->machine->config;
    uint64_t most = config->dialect == DIALECT_QEMU_7_2 ? 128ULL << 20 : 512ULL << 20;
    g_autoptr(GError) err = NULL;
    LoadedImage image;

    if (!config->initrd) {
        return true;
    }
    if (!config->kernel) {
        error_setg(errp, "-initrd only allowed with -kernel option");
        return false;
    }
    boot->initrd_start = kernel_start + MIN(config->ram_bytes / 2, most);
    if (!rom_list_add_image(board->roms, config->initrd, boot->initrd_start, true, &image, &err)) {
        error_setg(errp, "could not load ramdisk '%s': %s", config->initrd, err->message);
        return false;
    }
    boot->initrd_end = image.high;
    return true;
}

bool boot_load_images(Board *board, VirtBoot *boot, GError **errp)
{
    uint64_t firmware_end, kernel_start;

    boot->start_addr = virt_memmap[VIRT_DRAM].base;
    return load_firmware(board, &firmware_end, errp) &&
           load_kernel(board, boot, firmware_end, &kernel_start, errp) &&
           load_initrd(board, boot, kernel_start, errp);
}

/* All harts jump to start_addr with a0 = mhartid, a1 = FDT, a2 = the fw_dynamic info behind the code. */
static bool load_reset_vector(Board *board, const VirtBoot *boot, GError **errp)
{
    static const uint32_t code[6] = {
        0x00000297, /* auipc t0, 0 */
        0x02828613, /* addi  a2, t0, 0x28 */
        0xf1402573, /* csrr  a0, mhartid */
        0x0202b583, /* ld    a1, 32(t0) */
        0x0182b283, /* ld    t0, 24(t0) */
        0x00028067, /* jr    t0 */
    };
    const uint64_t data[8] = {
        boot->start_addr, boot->fdt_addr,
        FW_DYNAMIC_MAGIC, FW_DYNAMIC_VERSION, boot->kernel_entry, FW_DYNAMIC_MODE_S, 0, 0,
    };
    uint8_t rom[sizeof(code) + sizeof(data)];

    for (size_t i = 0; i < G_N_ELEMENTS(code); i++) {
        uint32_t word = GUINT32_TO_LE(code[i]);

        memcpy(rom + 4 * i, &word, 4);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(data); i++) {
        uint64_t word = GUINT64_TO_LE(data[i]);

        memcpy(rom + sizeof(code) + 8 * i, &word, 8);
    }
    return rom_list_add(board->roms, "mrom.reset", virt_memmap[VIRT_MROM].base, rom, sizeof(rom),
                        errp);
}

static uint64_t fdt_address(const Board *board, size_t fdt_bytes)
{
    uint64_t end = ram_end(board);

    if (board->machine->config->dialect == DIALECT_QEMU_7_2) {
        end = MIN(end, FDT_CAP_7_2);
        fdt_bytes = MAX(fdt_bytes, FDT_RESERVE_7_2);
    }
    if (end - virt_memmap[VIRT_DRAM].base < fdt_bytes) {
        return 0;
    }
    return (end - fdt_bytes) & ~(IMAGE_ALIGN - 1);
}

bool boot_load_fdt(Board *board, VirtBoot *boot, GBytes *fdt, GError **errp)
{
    gsize len;
    const void *data = g_bytes_get_data(fdt, &len);

    boot->fdt_addr = fdt_address(board, len);
    if (boot->fdt_addr < virt_memmap[VIRT_DRAM].base) {
        g_autofree char *size = size_text(len), *ram = size_text(board->machine->config->ram_bytes);
        error_setg(errp, "Not enough space to store device-tree: %s do not fit into %s of RAM; give "
                   "the machine more (-m)", size, ram);
        return false;
    }
    return rom_list_add(board->roms, "fdt", boot->fdt_addr, data, len, errp) &&
           load_reset_vector(board, boot, errp);
}
