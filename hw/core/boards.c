/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which boards there are, and how one is built and taken down: back ends,
 * the board's own devices, -device. The machine "none" is here. Called by vl.
 */
#include <string.h>
#include "hw/block-backend.h"
#include "hw/core/board.h"
#include "hw/core/device.h"
#include "hw/net-backend.h"
#include "hw/riscv/virt.h"
#include "hw/rng-backend.h"

/* ---- machine "none" ---- */

static bool none_init_ram(Machine *machine, GError **errp)
{
    RAMBlock *block;

    if (machine->config->ram_bytes == 0) {
        return true;
    }
    block = board_add_main_ram(machine, "ram", errp);
    return block && address_space_add_ram(machine->as, "ram", 0, block, errp);
}

static bool none_init(Board *board, GError **errp)
{
    MachineConfig *config = board->machine->config;

    if (config->kernel) {
        error_setg(errp, "The -kernel parameter is not supported (use the generic 'loader' device "
                   "instead).");
        return false;
    }
    return true;
}

/* ---- the table ---- */

typedef struct BoardKind {
    const char *name;
    bool (*init_ram)(Machine *machine, GError **errp);
    bool (*init)(Board *board, GError **errp);
} BoardKind;

static const BoardKind kinds[] = {
    { "none", none_init_ram, none_init },
    { "virt", virt_init_ram, virt_init },
};

/* The command line took no other name; an alias means the virt board. */
static const BoardKind *board_kind(const Machine *machine)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(machine->config->machine_name, kinds[i].name) == 0) {
            return &kinds[i];
        }
    }
    return &kinds[G_N_ELEMENTS(kinds) - 1];
}

bool board_init_ram(Machine *machine, GError **errp)
{
    return board_kind(machine)->init_ram(machine, errp);
}

/* ---- building ---- */

static bool create_user_devices(Board *board, GError **errp)
{
    GPtrArray *devices = board->machine->config->devices;

    for (guint i = 0; devices && i < devices->len; i++) {
        if (!device_create(board, g_ptr_array_index(devices, i), errp)) {
            return false;
        }
    }
    return true;
}

/* -drive if=virtio: a disk on the next free virtio-mmio slot, after those of -device. */
static bool create_drive_devices(Board *board, GError **errp)
{
    const BlockNode *node;

    for (size_t i = 0; (node = block_backends_node(board->blocks, i)) != NULL; i++) {
        BlockNodeInfo info;
        Opts *opts;
        bool ok;

        block_node_info(node, &info);
        if (!info.wants_device) {
            continue;
        }
        opts = opts_new();
        opts_set(opts, "driver", "virtio-blk-device");
        opts_set(opts, "drive", info.drive_id);
        ok = device_create(board, opts, errp);
        opts_free(opts);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool backends_init(Board *board, GError **errp)
{
    board->blocks = block_backends_new(board->machine, errp);
    if (!board->blocks) {
        return false;
    }
    board->nets = net_backends_new(board->machine, errp);
    if (!board->nets) {
        return false;
    }
    board->rngs = rng_backends_new(board->machine, errp);
    return board->rngs != NULL;
}

Board *board_new(Machine *machine, GError **errp)
{
    Board *board = board_alloc(machine);

    board->roms = rom_list_new(machine);
    if (!backends_init(board, errp)) {
        board_free(board);
        return NULL;
    }
    return board;
}

bool board_build(Board *board, GError **errp)
{
    return board_kind(board->machine)->init(board, errp) && create_user_devices(board, errp) &&
           create_drive_devices(board, errp);
}

GBytes *board_fdt(const Board *board)
{
    return board ? board->fdt : NULL;
}

void board_free(Board *board)
{
    if (!board) {
        return;
    }
    board_run_cleanups(board);
    block_backends_free(board->blocks);
    net_backends_free(board->nets);
    rng_backends_free(board->rngs);
    rom_list_free(board->roms);
    g_clear_pointer(&board->fdt, g_bytes_unref);
    g_ptr_array_unref(board->cleanups);
    g_ptr_array_unref(board->devices);
    g_ptr_array_unref(board->serial_buses);
    g_free(board);
}
