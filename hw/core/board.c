/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The inside of a Board, for boards and devices: main RAM and its memory
 * backend, -global, the listing of devices, what runs at the end. Which
 * boards there are, and how one is built, is in boards.c above.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "hw/block-backend.h"
#include "hw/core/board.h"
#include "hw/net-backend.h"
#include "hw/pci/gpex.h"

typedef struct BoardCleanup {
    void (*free_fn)(void *opaque);
    void *opaque;
} BoardCleanup;

void board_on_free(Board *board, void (*free_fn)(void *opaque), void *opaque)
{
    BoardCleanup *c = g_new(BoardCleanup, 1);

    *c = (BoardCleanup){ free_fn, opaque };
    g_ptr_array_add(board->cleanups, c);
}

static void board_device_free(void *opaque)
{
    BoardDevice *dev = opaque;

    g_free((char *)dev->driver);
    g_free((char *)dev->id);
    g_free((char *)dev->qom_path);
    g_free((char *)dev->bus);
    g_strfreev((char **)dev->props);
    g_free(dev);
}

/* Takes qom_path and props over. */
static BoardDevice *list_device(Board *board, const char *driver, const char *bus,
                                uint64_t mmio_base, char *qom_path, char **props)
{
    BoardDevice *dev = g_new0(BoardDevice, 1);

    dev->driver = g_strdup(driver);
    dev->bus = g_strdup(bus);
    dev->mmio_base = mmio_base;
    dev->qom_path = qom_path;
    dev->props = props ? props : g_new0(char *, 1);
    g_ptr_array_add(board->devices, dev);
    return dev;
}

BoardDevice *board_add_device(Board *board, const char *driver, const char *id, const char *bus,
                              uint64_t mmio_base, char **props)
{
    char *path = id && *id ? g_strconcat("/machine/peripheral/", id, NULL)
                           : g_strdup_printf("/machine/peripheral-anon/device[%u]",
                                             board->anon_count++);
    BoardDevice *dev = list_device(board, driver, bus, mmio_base, path, props);

    dev->id = g_strdup(id);
    return dev;
}

const BoardDevice *board_add_own_device(Board *board, const char *driver, uint64_t mmio_base)
{
    char *path = g_strdup_printf("/machine/unattached/device[%u]", board->own_count++);

    return list_device(board, driver, "main-system-bus", mmio_base, path, NULL);
}

const BoardDevice *board_device_find(const Board *board, const char *id)
{
    for (guint i = 0; board && i < board->devices->len; i++) {
        const BoardDevice *dev = g_ptr_array_index(board->devices, i);

        if (g_strcmp0(dev->id, id) == 0) {
            return dev;
        }
    }
    return NULL;
}

void board_forget_device(Board *board, const char *id)
{
    g_ptr_array_remove(board->devices, (BoardDevice *)board_device_find(board, id));
}

Board *board_alloc(Machine *machine)
{
    Board *board = g_new0(Board, 1);

    board->machine = machine;
    board->devices = g_ptr_array_new_with_free_func(board_device_free);
    board->cleanups = g_ptr_array_new_with_free_func(g_free);
    board->serial_buses = g_ptr_array_new();
    return board;
}

void board_run_cleanups(Board *board)
{
    for (guint i = board->cleanups->len; i > 0; i--) {
        BoardCleanup *c = g_ptr_array_index(board->cleanups, i - 1);

        c->free_fn(c->opaque);
    }
    g_ptr_array_set_size(board->cleanups, 0);
}

size_t board_device_count(const Board *board)
{
    return board->devices->len;
}

const BoardDevice *board_device(const Board *board, size_t i)
{
    return i < board->devices->len ? g_ptr_array_index(board->devices, i) : NULL;
}

BlockBackends *board_blocks(const Board *board)
{
    return board->blocks;
}

const GPEX *board_pci(const Board *board)
{
    return board->pci;
}

NetBackends *board_nets(const Board *board)
{
    return board->nets;
}

const char *board_global(Board *board, const char *driver, const char *property)
{
    GPtrArray *globals = board->machine->config->globals;
    const char *found = NULL;

    for (guint i = 0; globals && i < globals->len; i++) {
        Opts *g = g_ptr_array_index(globals, i);
        const char *d = opts_get(g, "driver"), *p = opts_get(g, "property");
        bool ours = d && (strcmp(d, driver) == 0 ||
                          (strcmp(d, "virtio-device") == 0 && g_str_has_prefix(driver, "virtio-")));

        if (ours && p && strcmp(p, property) == 0) {
            found = opts_get(g, "value");
        }
    }
    return found;
}

/* ---- main RAM ---- */

static Opts *find_object(const MachineConfig *config, const char *id)
{
    for (guint i = 0; config->objects && i < config->objects->len; i++) {
        Opts *o = g_ptr_array_index(config->objects, i);
        const char *oid = opts_get(o, "id"), *type = opts_get(o, "qom-type");

        if (oid && type && strcmp(oid, id) == 0 && g_str_has_prefix(type, "memory-backend-")) {
            return o;
        }
    }
    return NULL;
}

/* share=off on a file means: start with its content, never change it. */
static bool ram_copy_from_file(RAMBlock *block, const char *path, GError **errp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t done = 0;

    if (fd < 0) {
        error_setg_errno(errp, errno, "can't open backing store %s for guest RAM", path);
        return false;
    }
    while (done < block->used_length) {
        ssize_t n = read(fd, block->host + done, block->used_length - done);

        if (n <= 0) {
            break;
        }
        done += n;
    }
    close(fd);
    return true;
}

static RAMBlock *add_backend_ram(Machine *machine, Opts *object, GError **errp)
{
    MachineConfig *config = machine->config;
    const char *type = opts_get(object, "qom-type"), *id = opts_get(object, "id");
    const char *path = opts_get(object, "mem-path");
    uint64_t size = 0;
    bool share = false;
    RAMBlock *block;

    if (!opts_get_size(object, "size", &size, errp) ||
        !opts_get_bool(object, "share", &share, errp)) {
        return NULL;
    }
    if (size != config->ram_bytes) {
        error_setg(errp, "Machine memory size does not match the size of the memory backend: -m gives "
                   "%" PRIu64 " MiB, size= %" PRIu64 " MiB", config->ram_bytes >> 20, size >> 20);
        return NULL;
    }
    if (strcmp(type, "memory-backend-file") != 0) {
        return ram_list_add(machine->ram, id, size, NULL, errp);
    }
    if (!path) {
        error_setg(errp, "mem-path property not set");
        return NULL;
    }
    block = ram_list_add(machine->ram, id, size, share ? path : NULL, errp);
    if (block) {
        block->shared = share && block->named_file;
    }
    if (block && !share && access(path, F_OK) == 0 && !ram_copy_from_file(block, path, errp)) {
        return NULL;
    }
    return block;
}

RAMBlock *board_add_main_ram(Machine *machine, const char *default_id, GError **errp)
{
    MachineConfig *config = machine->config;
    bool populate = config->mem_prealloc;
    RAMBlock *block;

    if (config->ram_id) {
        Opts *object = find_object(config, config->ram_id);

        if (!object) {
            error_setg(errp, "Memory backend '%s' not found", config->ram_id);
            return NULL;
        }
        opts_get_bool(object, "prealloc", &populate, NULL); /* checked when it was read */
        block = add_backend_ram(machine, object, errp);
    } else {
        block = ram_list_add(machine->ram, default_id, config->ram_bytes, config->mem_path, errp);
    }
    return block && (!populate || ram_block_populate(block, errp)) ? block : NULL;
}
