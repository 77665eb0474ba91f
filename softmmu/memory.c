/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical address space: a sorted table of regions, filled while
 * the machine is built and then read without locks. Called by the CPU, by
 * DMA, monitors and qtest; never knows what a device is.
 */
#include "softmmu/memory.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include "softmmu/guest-ram.h"
#include "util/error.h"
#include "util/log.h"

/* From this size on a write has its pages made in one go: a kernel image would cost 8,000 faults. */
#define POPULATE_MIN_BYTES (1u << 20)

struct AddressSpace {
    MainLoop *loop;
    DirtyLog *log;
    PresentMap *present;
    WriteGuard *guard;
    GPtrArray *regions;     /* MemoryRegion*, by base */
};

AddressSpace *address_space_new(MainLoop *loop, DirtyLog *log, PresentMap *present,
                                WriteGuard *guard)
{
    AddressSpace *as = g_new0(AddressSpace, 1);

    as->loop = loop;
    as->log = log;
    as->present = present;
    as->guard = guard;
    as->regions = g_ptr_array_new_with_free_func(g_free);
    return as;
}

void address_space_free(AddressSpace *as)
{
    if (as) {
        g_ptr_array_free(as->regions, TRUE);
        g_free(as);
    }
}

/* ---- building ---- */

static bool add_region(AddressSpace *as, const MemoryRegion *region, GError **errp)
{
    uint64_t last = region->base + (region->size - 1);
    guint at = 0;

    if (region->size == 0 || last < region->base) {
        error_setg(errp, "memory region '%s': size 0x%" PRIx64 " at 0x%" PRIx64 " is impossible",
                   region->name, region->size, region->base);
        return false;
    }
    for (guint i = 0; i < as->regions->len; i++) {
        const MemoryRegion *other = as->regions->pdata[i];
        uint64_t other_last = other->base + (other->size - 1);
        if (region->base <= other_last && other->base <= last) {
            error_setg(errp,
                       "memory region '%s' (0x%" PRIx64 "-0x%" PRIx64 ") overlaps '%s' (0x%" PRIx64
                       "-0x%" PRIx64 ")",
                       region->name, region->base, last, other->name, other->base, other_last);
            return false;
        }
        if (other->base < region->base) {
            at = i + 1;
        }
    }
    g_ptr_array_insert(as->regions, at, g_memdup2(region, sizeof(*region)));
    return true;
}

bool address_space_add_ram(AddressSpace *as, const char *name, uint64_t base, RAMBlock *block,
                           GError **errp)
{
    MemoryRegion region = {
        .name = name, .base = base, .size = block->used_length,
        .block = block, .readonly = block->readonly,
    };

    if (!add_region(as, &region, errp)) {
        return false;
    }
    block->guest_addr = base;
    return true;
}

bool address_space_add_io(AddressSpace *as, const char *name, uint64_t base, uint64_t size,
                          const MemoryRegionOps *ops, void *opaque, GError **errp)
{
    MemoryRegion region = { .name = name, .base = base, .size = size, .ops = ops, .opaque = opaque };

    return add_region(as, &region, errp);
}

/* ---- looking up ---- */

const MemoryRegion *address_space_lookup(const AddressSpace *as, uint64_t addr)
{
    guint low = 0, high = as->regions->len;

    while (low < high) {
        guint mid = (low + high) / 2;
        const MemoryRegion *region = as->regions->pdata[mid];
        if (addr < region->base) {
            high = mid;
        } else if (addr - region->base >= region->size) {
            low = mid + 1;
        } else {
            return region;
        }
    }
    return NULL;
}

const MemoryRegion *address_space_get(const AddressSpace *as, size_t i)
{
    return i < as->regions->len ? as->regions->pdata[i] : NULL;
}

/* ---- MMIO ---- */

/* The largest naturally aligned access at offset that fits into len. */
static unsigned access_size(uint64_t offset, size_t len)
{
    unsigned size = 8;

    while (size > len || (offset & (size - 1))) {
        size /= 2;
    }
    return size;
}

void memory_log_invalid(const MemoryRegion *region, uint64_t addr, unsigned size, bool is_write)
{
    log_mask(LOG_GUEST_ERROR, "Invalid %s at addr 0x%" PRIX64 ", size %u, region '%s', "
             "reason: rejected\n", is_write ? "write" : "read",
             region ? addr - region->base : addr, size, region ? region->name : "(null)");
}

static MemTxResult io_access(const MemoryRegion *region, uint64_t offset, uint8_t *buf, size_t len,
                             bool is_write)
{
    while (len > 0) {
        unsigned size = access_size(offset, len);
        uint64_t value = 0;
        MemTxResult res;
        if (is_write) {
            memcpy(&value, buf, size); /* guest and host are little endian */
            res = region->ops->write(region->opaque, offset, size, value);
        } else {
            res = region->ops->read(region->opaque, offset, size, &value);
            memcpy(buf, &value, size);
        }
        if (res != MEMTX_OK) {
            memory_log_invalid(region, region->base + offset, size, is_write);
            return res;
        }
        offset += size;
        buf += size;
        len -= size;
    }
    return MEMTX_OK;
}

static MemTxResult io_access_locked(AddressSpace *as, const MemoryRegion *region, uint64_t offset,
                                    uint8_t *buf, size_t len, bool is_write)
{
    bool take = !bql_locked(as->loop);

    if (take) {
        bql_lock(as->loop);
    }
    MemTxResult res = io_access(region, offset, buf, len, is_write);
    if (take) {
        bql_unlock(as->loop);
    }
    return res;
}

/* ---- copying ---- */

/* The region at addr, where in it that is, and how many of len bytes it holds from there. */
static const MemoryRegion *find_part(AddressSpace *as, uint64_t addr, size_t len, uint64_t *offset,
                                     size_t *part)
{
    const MemoryRegion *region = address_space_lookup(as, addr);

    if (region) {
        *offset = addr - region->base;
        *part = MIN(len, region->size - *offset);
    }
    return region;
}

bool address_space_need(AddressSpace *as, uint64_t addr, uint64_t len, int user, MemMissing *missing)
{
    bool all = true;

    if (G_LIKELY(!present_map_active(as->present))) {
        return true;
    }
    while (len > 0) {
        uint64_t offset, page;
        size_t n;
        const MemoryRegion *region = find_part(as, addr, len, &offset, &n);
        if (!region) {
            break;      /* an error, but not this one */
        }
        if (region->block && !present_map_need(as->present, region->block, offset, n, user, &page)) {
            if (all && missing) {
                *missing = (MemMissing){ region->block, page,
                                         region->base + (page << TARGET_PAGE_BITS) };
            }
            all = false;
        }
        addr += n;
        len -= n;
    }
    return all;
}

void mem_missing_error(const MemMissing *missing, GError **errp)
{
    error_setg(errp, "Memory at 0x%" PRIx64 " has not come yet from where the guest was: it has been "
               "asked for, try again", missing->addr);
}

MemTxResult address_space_read(AddressSpace *as, uint64_t addr, void *buf, size_t len)
{
    uint8_t *to = buf;

    if (!address_space_need(as, addr, len, PRESENT_USER_DEVICE, NULL)) {
        return MEMTX_MISSING;
    }
    while (len > 0) {
        uint64_t offset;
        size_t n;
        const MemoryRegion *region = find_part(as, addr, len, &offset, &n);
        if (!region) {
            memory_log_invalid(NULL, addr, MIN(len, UINT32_MAX), false);
            return MEMTX_ERROR;
        }
        if (region->block) {
            guest_ram_copy_from(to, region->block->host + offset, n);
        } else if (io_access_locked(as, region, offset, to, n, false) != MEMTX_OK) {
            return MEMTX_ERROR;
        }
        addr += n;
        to += n;
        len -= n;
    }
    return MEMTX_OK;
}

static void populate(uint8_t *host, size_t len)
{
#ifdef MADV_POPULATE_WRITE
    uintptr_t page = TARGET_PAGE_SIZE - 1, first = (uintptr_t)host & ~page;

    if (len >= POPULATE_MIN_BYTES) { /* only for speed: kernels before 5.14 say EINVAL */
        madvise((void *)first, ((uintptr_t)host + len - first + page) & ~page, MADV_POPULATE_WRITE);
    }
#endif
}

static void write_ram(AddressSpace *as, const MemoryRegion *region, uint64_t offset,
                      const uint8_t *from, size_t n)
{
    write_guard_before(as->guard, region->block, offset, n);
    populate(region->block->host + offset, n);
    guest_ram_copy_to(region->block->host + offset, from, n);
    dirty_log_mark(as->log, region->block, offset, n);
}

/* What the loader writes while memory is still coming: page by page, here or not. */
static void overwrite_ram(AddressSpace *as, const MemoryRegion *region, uint64_t offset,
                          const uint8_t *from, size_t n)
{
    while (n > 0) {
        size_t part = MIN(n, TARGET_PAGE_SIZE - offset % TARGET_PAGE_SIZE);
        if (!present_map_overwrite(as->present, region->block, offset, from, part)) {
            write_ram(as, region, offset, from, part);
        }
        offset += part;
        from += part;
        n -= part;
    }
}

void address_space_give_page_up(AddressSpace *as, uint64_t addr)
{
    static const uint8_t zeros[TARGET_PAGE_SIZE];
    uint64_t offset;
    size_t n;
    const MemoryRegion *region = present_map_active(as->present)
                                     ? find_part(as, addr, sizeof(zeros), &offset, &n) : NULL;

    if (region && region->block && n == sizeof(zeros)) {
        present_map_overwrite(as->present, region->block, offset, zeros, sizeof(zeros));
    }
}

static MemTxResult write_common(AddressSpace *as, uint64_t addr, const uint8_t *from, size_t len,
                                bool rom_too)
{
    if (!rom_too && !address_space_need(as, addr, len, PRESENT_USER_DEVICE, NULL)) {
        return MEMTX_MISSING;
    }
    while (len > 0) {
        uint64_t offset;
        size_t n;
        const MemoryRegion *region = find_part(as, addr, len, &offset, &n);
        if (!region) {
            memory_log_invalid(NULL, addr, MIN(len, UINT32_MAX), true);
            return MEMTX_ERROR;
        }
        if (!region->block) {
            if (io_access_locked(as, region, offset, (uint8_t *)from, n, true) != MEMTX_OK) {
                return MEMTX_ERROR;
            }
        } else if (rom_too && present_map_active(as->present)) {
            overwrite_ram(as, region, offset, from, n);
        } else if (rom_too || !region->readonly) { /* a store into ROM goes nowhere, quietly */
            write_ram(as, region, offset, from, n);
        }
        addr += n;
        from += n;
        len -= n;
    }
    return MEMTX_OK;
}

MemTxResult address_space_write(AddressSpace *as, uint64_t addr, const void *buf, size_t len)
{
    return write_common(as, addr, buf, len, false);
}

MemTxResult address_space_write_rom(AddressSpace *as, uint64_t addr, const void *buf, size_t len)
{
    return write_common(as, addr, buf, len, true);
}

uint8_t *address_space_map_ram(AddressSpace *as, uint64_t addr, uint64_t *len, bool write)
{
    const MemoryRegion *region = address_space_lookup(as, addr);

    if (!region || !region->block || (write && region->readonly)) {
        return NULL;
    }
    *len = MIN(*len, region->size - (addr - region->base));
    if (!address_space_need(as, addr, *len, PRESENT_USER_DEVICE, NULL)) {
        return NULL;
    }
    if (write) {
        write_guard_before(as->guard, region->block, addr - region->base, *len);
    }
    return region->block->host + (addr - region->base);
}

bool address_space_is_ram(const AddressSpace *as, uint64_t addr, uint64_t len, bool write)
{
    const MemoryRegion *region = address_space_lookup(as, addr);

    return region && region->block && !(write && region->readonly) &&
           len <= region->size - (addr - region->base);
}

void address_space_before_write(AddressSpace *as, uint64_t addr, uint64_t len)
{
    while (write_guard_active(as->guard) && len > 0) {
        uint64_t offset;
        size_t n;
        const MemoryRegion *region = find_part(as, addr, len, &offset, &n);
        if (!region) {
            return;
        }
        if (region->block) {
            write_guard_before(as->guard, region->block, offset, n);
        }
        addr += n;
        len -= n;
    }
}

void address_space_mark_dirty(AddressSpace *as, uint64_t addr, uint64_t len)
{
    while (len > 0) {
        const MemoryRegion *region = address_space_lookup(as, addr);
        if (!region) {
            return;
        }
        uint64_t offset = addr - region->base;
        uint64_t n = MIN(len, region->size - offset);
        if (region->block) {
            dirty_log_mark(as->log, region->block, offset, n);
        }
        addr += n;
        len -= n;
    }
}

/*
 * Ring fields are shared with running harts, so an aligned one is a single
 * access of its size; ordering between fields is the caller's (fences).
 */
MemTxResult address_space_ldx(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value)
{
    const MemoryRegion *region = address_space_lookup(as, addr);

    *value = 0;
    if (!region || !region->block || (addr & (size - 1)) ||
        addr - region->base + size > region->size) {
        return address_space_read(as, addr, value, size);
    }
    if (!address_space_need(as, addr, size, PRESENT_USER_DEVICE, NULL)) {
        return MEMTX_MISSING;
    }
    const void *p = region->block->host + (addr - region->base);
    switch (size) {
    case 1:
        *value = guest_ram_load((const uint8_t *)p);
        return MEMTX_OK;
    case 2:
        *value = guest_ram_load((const uint16_t *)p);
        return MEMTX_OK;
    case 4:
        *value = guest_ram_load((const uint32_t *)p);
        return MEMTX_OK;
    case 8:
        *value = guest_ram_load((const uint64_t *)p);
        return MEMTX_OK;
    default:
        return MEMTX_ERROR;
    }
}

MemTxResult address_space_stx(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value)
{
    const MemoryRegion *region = address_space_lookup(as, addr);

    if (!region || !region->block || region->readonly || (addr & (size - 1)) ||
        addr - region->base + size > region->size) {
        return address_space_write(as, addr, &value, size);
    }
    if (!address_space_need(as, addr, size, PRESENT_USER_DEVICE, NULL)) {
        return MEMTX_MISSING;
    }
    uint64_t offset = addr - region->base;
    void *p = region->block->host + offset;
    write_guard_before(as->guard, region->block, offset, size);
    switch (size) {
    case 1:
        guest_ram_store((uint8_t *)p, value);
        break;
    case 2:
        guest_ram_store((uint16_t *)p, value);
        break;
    case 4:
        guest_ram_store((uint32_t *)p, value);
        break;
    case 8:
        guest_ram_store((uint64_t *)p, value);
        break;
    default:
        return MEMTX_ERROR;
    }
    dirty_log_mark(as->log, region->block, offset, size);
    return MEMTX_OK;
}
