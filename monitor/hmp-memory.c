/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP commands that look at memory: x, xp, print, memsave, pmemsave, info mtree, info ramblock. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "monitor/hmp-handlers.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"

/* ---- x, xp, print ---- */

static void print_char(HMPMonitor *mon, uint64_t v)
{
    static const char special[] = "'\\\n\r", name[] = "'\\nr";
    const char *at = v && v < 128 ? strchr(special, (int)v) : NULL;
    if (at) {
        monitor_printf(mon, "'\\%c'", name[at - special]);
    } else if (v >= 32 && v <= 126) {
        monitor_printf(mon, "'%c'", (int)v);
    } else {
        monitor_printf(mon, "'\\x%02x'", (unsigned)v);
    }
}

static uint64_t load_le(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

/* One value of size bytes, padded to the widest of its kind. */
static void print_value(HMPMonitor *mon, char format, unsigned size, uint64_t v)
{
    static const int decimal[] = { [1] = 3, [2] = 5, [4] = 10, [8] = 20 };
    monitor_puts(mon, " ");
    if (format == 'c') {
        print_char(mon, v);
    } else if (format == 'o') {
        monitor_printf(mon, "%#*" PRIo64, (int)(size * 8 + 2) / 3, v);
    } else if (format == 'x') {
        monitor_printf(mon, "0x%0*" PRIx64, (int)size * 2, v);
    } else if (format == 'u' || size < 8) {
        monitor_printf(mon, "%*" PRIu64, decimal[size], v);
    } else {
        monitor_printf(mon, "%*" PRId64, decimal[size], (int64_t)v);
    }
}

/* Guest memory at a physical (cpu < 0) or virtual address, not across a page. False, and a message. */
static bool read_guest(HMPMonitor *mon, int cpu, uint64_t addr, void *buf, size_t len)
{
    MemMissing missing;
    g_autoptr(GError) err = NULL;

    switch (monitor_read_guest(hmp_machine(mon), cpu, addr, buf, len, &missing)) {
    case GUEST_READ_OK:
        return true;
    case GUEST_READ_MISSING:
        mem_missing_error(&missing, &err);
        monitor_printf(mon, " %s\n", err->message);
        return false;
    default:
        monitor_puts(mon, " Cannot access memory\n");
        return false;
    }
}

/* False (and a message) at the first value that cannot be read. */
static bool dump_line(HMPMonitor *mon, int cpu, uint64_t addr, char format, unsigned size,
                      unsigned values)
{
    monitor_printf(mon, "%016" PRIx64 ":", addr);
    for (unsigned i = 0; i < values; i++, addr += size) {
        uint8_t buf[8];
        for (unsigned k = 0; k < size;) {
            unsigned n = (unsigned)MIN(size - k, TARGET_PAGE_SIZE - (addr + k) % TARGET_PAGE_SIZE);
            if (!read_guest(mon, cpu, addr + k, buf + k, n)) {
                return false;
            }
            k += n;
        }
        print_value(mon, format, size, load_le(buf, size));
    }
    monitor_puts(mon, "\n");
    return true;
}

/* Instruction words without their meaning: there is no disassembler here. */
static void dump_instructions(HMPMonitor *mon, int cpu, uint64_t addr, int64_t count)
{
    for (; count > 0; count--) {
        uint8_t buf[4];
        monitor_printf(mon, "0x%016" PRIx64 ": ", addr);
        if (!read_guest(mon, cpu, addr, buf, 2) ||
            ((buf[0] & 3) == 3 && !read_guest(mon, cpu, addr + 2, buf + 2, 2))) {
            return;
        }
        unsigned len = (buf[0] & 3) == 3 ? 4 : 2;
        monitor_printf(mon, " %0*" PRIx64 "\n", (int)len * 2, load_le(buf, len));
        addr += len;
    }
}

#define DUMP_VALUES_MAX (1 << 20)

static void memory_dump(HMPMonitor *mon, int cpu, const HMPArgs *args)
{
    int64_t count = hmp_arg_int(args, "count", 1);
    char format = (char)hmp_arg_int(args, "format", 'x');
    unsigned size = format == 'c' ? 1 : (unsigned)hmp_arg_int(args, "size", 4);
    uint64_t addr = (uint64_t)hmp_arg_int(args, "addr", 0);
    unsigned per_line = format == 'c' ? 16 : size == 1 ? 8 : 16 / size;
    if (count > DUMP_VALUES_MAX) {
        monitor_printf(mon, "at most %d values at a time\n", DUMP_VALUES_MAX);
        return;
    }
    if (format == 'i') {
        dump_instructions(mon, cpu, addr, count);
        return;
    }
    while (count > 0) {
        unsigned n = (unsigned)MIN(count, (int64_t)per_line);
        if (!dump_line(mon, cpu, addr, format, size, n)) {
            return;
        }
        addr += (uint64_t)n * size;
        count -= n;
    }
}

void hmp_x(HMPMonitor *mon, const HMPArgs *args)
{
    int cpu = hmp_cpu_index(mon);
    if (cpu >= 0) {
        memory_dump(mon, cpu, args);
    }
}

void hmp_xp(HMPMonitor *mon, const HMPArgs *args)
{
    memory_dump(mon, -1, args);
}

void hmp_print(HMPMonitor *mon, const HMPArgs *args)
{
    int64_t v = hmp_arg_int(args, "val", 0);
    switch (hmp_arg_int(args, "format", 'x')) {
    case 'o':
        monitor_printf(mon, "%#" PRIo64, (uint64_t)v);
        break;
    case 'u':
        monitor_printf(mon, "%" PRIu64, (uint64_t)v);
        break;
    case 'c':
        print_char(mon, (uint64_t)v);
        break;
    case 'd':
        monitor_printf(mon, "%" PRId64, v);
        break;
    default:
        monitor_printf(mon, "%#" PRIx64, (uint64_t)v);
        break;
    }
    monitor_puts(mon, "\n");
}

void hmp_memsave(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    int cpu = hmp_cpu_index(mon);
    if (cpu >= 0) {
        qmp_memsave(hmp_machine(mon), hmp_arg_int(args, "val", 0), hmp_arg_int(args, "size", 0),
                    hmp_arg_str(args, "filename"), true, cpu, &err);
        hmp_handle_error(mon, err);
    }
}

void hmp_pmemsave(HMPMonitor *mon, const HMPArgs *args)
{
    GError *err = NULL;
    qmp_pmemsave(hmp_machine(mon), hmp_arg_int(args, "val", 0), hmp_arg_int(args, "size", 0),
                 hmp_arg_str(args, "filename"), &err);
    hmp_handle_error(mon, err);
}

void hmp_dumpdtb(HMPMonitor *mon, const HMPArgs *args)
{
    const char *filename = hmp_arg_str(args, "filename");
    GError *err = NULL;

    if (qmp_dumpdtb(hmp_machine(mon), filename, &err)) {
        monitor_printf(mon, "info: dtb dumped to %s\n", filename);
    }
    hmp_handle_error(mon, err);
}

/* ---- info mtree, info ramblock ---- */

static const char *region_kind(const MemoryRegion *r)
{
    return !r->block ? "i/o" : r->readonly ? "rom" : "ram";
}

static void print_regions(HMPMonitor *mon, const char *indent)
{
    const MemoryRegion *r;
    for (size_t i = 0; (r = address_space_get(hmp_machine(mon)->as, i)); i++) {
        monitor_printf(mon, "%s%016" PRIx64 "-%016" PRIx64 " (prio 0, %s): %s\n", indent, r->base,
                       r->base + r->size - 1, region_kind(r), r->name);
    }
}

void hmp_info_mtree(HMPMonitor *mon, const HMPArgs *args)
{
    if (hmp_arg_flag(args, "flatview")) {
        monitor_puts(mon, "FlatView #0\n AS \"memory\", root: system\n"
                          " Root memory region: system\n");
        print_regions(mon, "  ");
    } else {
        monitor_puts(mon, "address-space: memory\n"
                          "  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n");
        print_regions(mon, "    ");
    }
    monitor_puts(mon, "\n");
}

static char *size_text(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
    size_t u = 0;
    while (u + 1 < G_N_ELEMENTS(units) && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        u++;
    }
    return g_strdup_printf("%" PRIu64 " %s", bytes, units[u]);
}

void hmp_info_ramblock(HMPMonitor *mon, const HMPArgs *args)
{
    RAMList *ram = hmp_machine(mon)->ram;
    (void)args;
    monitor_printf(mon, "%24s %8s  %18s %18s %18s\n", "Block Name", "PSize", "Offset", "Used",
                   "Total");
    for (size_t i = 0; i < ram_list_count(ram); i++) {
        const RAMBlock *b = ram_list_get(ram, i);
        g_autofree char *page = size_text(b->page_size);
        monitor_printf(mon, "%24s %8s  0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n",
                       b->idstr, page, b->ram_offset, b->used_length, b->used_length);
    }
}
