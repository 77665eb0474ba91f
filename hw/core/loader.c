/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in guest memory (raw, ELF64): called by the boards and the loader
 * device while the machine is built, writes them at each reset. Never maps a
 * file and never trusts a length in it.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hw/loader.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"
#include "util/error.h"
#include "util/memory-room.h"
#include "util/size-text.h"

#define IMAGE_MAX_BYTES (4ULL << 30)

typedef struct Rom {
    char *name;
    uint64_t addr;
    GBytes *bytes;
} Rom;

struct RomList {
    Machine *machine;
    GPtrArray *roms;        /* Rom* */
    bool after_first_reset;
};

static void rom_free(void *opaque)
{
    Rom *rom = opaque;

    g_free(rom->name);
    g_bytes_unref(rom->bytes);
    g_free(rom);
}

/* Power-on with -incoming: RAM comes from the stream, or is a file shared with the source. */
static bool ram_belongs_to_stream(const RomList *roms)
{
    if (!roms->machine->config->incoming) {
        return false;
    }
    return !roms->after_first_reset ||
           runstate_get(roms->machine->runstate) == RUN_STATE_INMIGRATE;
}

static void rom_list_reset(void *opaque)
{
    RomList *roms = opaque;

    if (!ram_belongs_to_stream(roms)) {
        for (guint i = 0; i < roms->roms->len; i++) {
            const Rom *rom = g_ptr_array_index(roms->roms, i);
            gsize len;
            const void *data = g_bytes_get_data(rom->bytes, &len);

            address_space_write_rom(roms->machine->as, rom->addr, data, len);
        }
    }
    roms->after_first_reset = true;
}

RomList *rom_list_new(Machine *machine)
{
    RomList *roms = g_new0(RomList, 1);

    roms->machine = machine;
    roms->roms = g_ptr_array_new_with_free_func(rom_free);
    machine_add_reset_handler(machine->runstate, rom_list_reset, roms);
    return roms;
}

void rom_list_free(RomList *roms)
{
    if (roms) {
        g_ptr_array_unref(roms->roms);
        g_free(roms);
    }
}

static bool range_is_memory(AddressSpace *as, uint64_t addr, uint64_t len)
{
    while (len) {
        const MemoryRegion *region = address_space_lookup(as, addr);

        if (!region || !region->block) {
            return false;
        }
        uint64_t part = MIN(len, region->size - (addr - region->base));
        addr += part;
        len -= part;
    }
    return true;
}

static bool rom_list_add_bytes(RomList *roms, const char *name, uint64_t addr, GBytes *bytes,
                               GError **errp)
{
    uint64_t len = g_bytes_get_size(bytes);
    Rom *rom;

    if (len == 0) {
        return true;
    }
    if (addr + len < addr || !range_is_memory(roms->machine->as, addr, len)) {
        g_autofree char *size = size_text(len);
        error_setg(errp, "%s: does not fit into the machine's memory; too large for -m, or at a wrong "
                   "address: %s at 0x%" PRIx64, name, size, addr);
        return false;
    }
    for (guint i = 0; i < roms->roms->len; i++) {
        const Rom *other = g_ptr_array_index(roms->roms, i);
        uint64_t other_end = other->addr + g_bytes_get_size(other->bytes);

        if (addr < other_end && other->addr < addr + len) {
            error_setg(errp, "Some ROM regions are overlapping: %s (addresses 0x%016" PRIx64
                       " - 0x%016" PRIx64 ") and %s (addresses 0x%016" PRIx64 " - 0x%016" PRIx64
                       ")", other->name, other->addr, other_end, name, addr, addr + len);
            return false;
        }
    }
    rom = g_new0(Rom, 1);
    rom->name = g_strdup(name);
    rom->addr = addr;
    rom->bytes = g_bytes_ref(bytes);
    g_ptr_array_add(roms->roms, rom);
    return true;
}

bool rom_list_add(RomList *roms, const char *name, uint64_t addr, const void *data, size_t len,
                  GError **errp)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, len);

    return rom_list_add_bytes(roms, name, addr, bytes, errp);
}

static bool read_all(int fd, uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = read(fd, buf, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return false;
        }
        buf += n;
        len -= n;
    }
    return true;
}

typedef struct Buffer {
    void *data;
    size_t len;
} Buffer;

static void buffer_free(void *opaque)
{
    Buffer *b = opaque;

    munmap(b->data, b->len);
    g_free(b);
}

/*
 * Memory of its own for an image, in huge pages where there are some: a
 * kernel of 30 MiB in small ones is most of the time from start to greeting.
 * A copy, not a mapping of the file: the file may change before the next reset.
 */
static GBytes *image_copy(int fd, size_t size, const char *path, GError **errp)
{
    size_t len = MAX(size, 1);
    void *data = !memory_has_room(len)
                     ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Buffer *b;

    if (data == MAP_FAILED) {
        error_setg_errno(errp, errno, "%s", path);
        return NULL;
    }
    madvise(data, len, MADV_HUGEPAGE);
    if (!read_all(fd, data, size)) {
        error_setg_errno(errp, errno, "%s", path);
        munmap(data, len);
        return NULL;
    }
    b = g_new(Buffer, 1);
    *b = (Buffer){ data, len };
    return g_bytes_new_with_free_func(data, size, buffer_free, b);
}

GBytes *image_read(const char *path, uint64_t max, GError **errp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    GBytes *bytes = NULL;

    if (fd < 0) {
        error_setg_errno(errp, errno, "%s", path);
        return NULL;
    }
    if (fstat(fd, &st) < 0) {
        error_setg_errno(errp, errno, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        error_setg(errp, "%s: not a regular file", path);
    } else if ((uint64_t)st.st_size > max) {
        g_autofree char *size = size_text(st.st_size), *room = size_text(max);
        error_setg(errp, "%s: %s are more than the %s there is room for", path, size, room);
    } else {
        bytes = image_copy(fd, st.st_size, path, errp);
    }
    close(fd);
    return bytes;
}

bool image_is_elf(GBytes *bytes)
{
    gsize len;
    const uint8_t *data = g_bytes_get_data(bytes, &len);

    return len >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

static bool elf_header_ok(const Elf64_Ehdr *eh, const char *name, GError **errp)
{
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
        GUINT16_FROM_LE(eh->e_machine) != EM_RISCV) {
        error_setg(errp, "%s: The image is from incompatible architecture", name);
        return false;
    }
    if (GUINT16_FROM_LE(eh->e_phentsize) != sizeof(Elf64_Phdr)) {
        error_setg(errp, "%s: unexpected ELF program header size %u", name,
                   GUINT16_FROM_LE(eh->e_phentsize));
        return false;
    }
    return true;
}

static bool elf_add_segment(RomList *roms, const char *name, GBytes *bytes, const Elf64_Phdr *ph,
                            LoadedImage *out, GError **errp)
{
    uint64_t size = g_bytes_get_size(bytes);
    uint64_t offset = GUINT64_FROM_LE(ph->p_offset), filesz = GUINT64_FROM_LE(ph->p_filesz);
    uint64_t memsz = GUINT64_FROM_LE(ph->p_memsz), addr = GUINT64_FROM_LE(ph->p_paddr);
    g_autoptr(GBytes) part = NULL;
    uint8_t *zeroed;

    if (GUINT32_FROM_LE(ph->p_type) != PT_LOAD || memsz == 0) {
        return true;
    }
    if (filesz > memsz || offset > size || filesz > size - offset || memsz > IMAGE_MAX_BYTES ||
        addr + memsz < addr) {
        error_setg(errp, "%s: ELF segment at file offset 0x%" PRIx64 " has impossible sizes "
                   "(file 0x%" PRIx64 ", memory 0x%" PRIx64 ")", name, offset, filesz, memsz);
        return false;
    }
    /* Checked before the buffer is made: a header must not be able to ask for gigabytes. */
    if (!range_is_memory(roms->machine->as, addr, memsz)) {
        g_autofree char *size_there = size_text(memsz);
        error_setg(errp, "%s: does not fit into the machine's memory; too large for -m, or linked for "
                   "another address: ELF segment of %s at 0x%" PRIx64, name, size_there, addr);
        return false;
    }
    /* What is past filesz must be zero again after each reset. */
    zeroed = g_try_malloc0(memsz);
    if (!zeroed) {
        error_setg_errno(errp, ENOMEM, "%s", name);
        return false;
    }
    memcpy(zeroed, (const uint8_t *)g_bytes_get_data(bytes, NULL) + offset, filesz);
    part = g_bytes_new_take(zeroed, memsz);
    out->low = MIN(out->low, addr);
    out->high = MAX(out->high, addr + memsz);
    return rom_list_add_bytes(roms, name, addr, part, errp);
}

bool rom_list_add_elf(RomList *roms, const char *name, GBytes *bytes, LoadedImage *out,
                      GError **errp)
{
    gsize len;
    const uint8_t *data = g_bytes_get_data(bytes, &len);
    Elf64_Ehdr eh;
    uint64_t phoff, phnum;

    *out = (LoadedImage){ .low = UINT64_MAX, .elf = true };
    if (len < sizeof(eh)) {
        error_setg(errp, "%s: truncated ELF header", name);
        return false;
    }
    memcpy(&eh, data, sizeof(eh));
    if (!elf_header_ok(&eh, name, errp)) {
        return false;
    }
    phoff = GUINT64_FROM_LE(eh.e_phoff);
    phnum = GUINT16_FROM_LE(eh.e_phnum);
    if (phoff > len || phnum * sizeof(Elf64_Phdr) > len - phoff) {
        error_setg(errp, "%s: ELF program headers are outside the file", name);
        return false;
    }
    for (uint64_t i = 0; i < phnum; i++) {
        Elf64_Phdr ph;

        memcpy(&ph, data + phoff + i * sizeof(ph), sizeof(ph));
        if (!elf_add_segment(roms, name, bytes, &ph, out, errp)) {
            return false;
        }
    }
    if (out->low == UINT64_MAX) {
        error_setg(errp, "%s: ELF file has nothing to load", name);
        return false;
    }
    out->entry = GUINT64_FROM_LE(eh.e_entry);
    return true;
}

bool rom_list_add_image(RomList *roms, const char *path, uint64_t addr, bool force_raw,
                        LoadedImage *out, GError **errp)
{
    g_autoptr(GBytes) bytes = image_read(path, IMAGE_MAX_BYTES, errp);

    if (!bytes) {
        return false;
    }
    if (!force_raw && image_is_elf(bytes)) {
        return rom_list_add_elf(roms, path, bytes, out, errp);
    }
    *out = (LoadedImage){ .entry = addr, .low = addr, .high = addr + g_bytes_get_size(bytes) };
    return rom_list_add_bytes(roms, path, addr, bytes, errp);
}
