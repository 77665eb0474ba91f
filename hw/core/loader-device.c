/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -device loader: puts a file or a number into memory, or sets where a hart starts. Made by device_create; no state, no section. */
#include <inttypes.h>
#include <string.h>
#include "hw/core/device.h"

#define CPU_NUM_NONE UINT32_MAX

typedef struct LoaderArgs {
    const char *file;
    uint64_t addr, data, data_len, cpu_num;
    bool data_be, force_raw, has_addr, has_data, has_data_len;
} LoaderArgs;

static bool loader_parse(Opts *opts, LoaderArgs *a, GError **errp)
{
    a->file = opts_get(opts, "file");
    a->has_addr = opts_get(opts, "addr") != NULL;
    a->has_data = opts_get(opts, "data") != NULL;
    a->has_data_len = opts_get(opts, "data-len") != NULL;
    return opts_get_u64(opts, "addr", &a->addr, errp) &&
           opts_get_u64(opts, "data", &a->data, errp) &&
           opts_get_u64(opts, "data-len", &a->data_len, errp) &&
           opts_get_u64(opts, "cpu-num", &a->cpu_num, errp) &&
           opts_get_bool(opts, "data-be", &a->data_be, errp) &&
           opts_get_bool(opts, "force-raw", &a->force_raw, errp);
}

static bool loader_check(const Board *board, const LoaderArgs *a, GError **errp)
{
    unsigned harts = board->machine->cpus ? cpus_count(board->machine->cpus) : 0;

    if (a->has_data || a->has_data_len || a->data_be) {
        if (a->file) {
            error_setg(errp, "Specifying a file is not supported when loading memory values");
        } else if (!a->has_data || !a->has_data_len) {
            error_setg(errp, "Both data and data-len must be specified");
        } else if (a->data_len == 0 || a->data_len > 8) {
            error_setg(errp, "data-len cannot be greater then 8 bytes or zero");
        } else if (a->force_raw) {
            error_setg(errp, "Specifying force-raw is not supported when loading memory values");
        }
    } else if (!a->file && !a->has_addr) {
        error_setg(errp, "please include valid arguments");
    } else if (!a->file && a->cpu_num == CPU_NUM_NONE) {
        error_setg(errp, "cpu_num must be specified when setting a program counter");
    }
    if (a->cpu_num != CPU_NUM_NONE && a->cpu_num >= harts) {
        error_setg(errp, "Specified boot CPU#%" PRIu64 " is nonexistent", a->cpu_num);
    }
    return !*errp;
}

static bool loader_data(Board *board, const LoaderArgs *a, GError **errp)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < a->data_len; i++) {
        unsigned shift = 8 * (a->data_be ? a->data_len - 1 - i : i);

        bytes[i] = a->data >> shift;
    }
    return rom_list_add(board->roms, "loader data", a->addr, bytes, a->data_len, errp);
}

static bool loader_file(Board *board, const LoaderArgs *a, GError **errp)
{
    LoadedImage image;
    GError *err = NULL;

    if (!rom_list_add_image(board->roms, a->file, a->addr, a->force_raw, &image, &err)) {
        error_setg(errp, "Cannot load specified image %s: %s", a->file, err->message);
        g_error_free(err);
        return false;
    }
    /* An ELF starts its hart by itself; raw bytes only if a hart was named. */
    if (board->machine->cpus && (image.elf || a->cpu_num != CPU_NUM_NONE)) {
        cpu_set_resetvec(board->machine->cpus, a->cpu_num == CPU_NUM_NONE ? 0 : a->cpu_num,
                         image.entry);
    }
    return true;
}

bool loader_device_create(Board *board, Opts *opts, GError **errp)
{
    LoaderArgs a = { .cpu_num = CPU_NUM_NONE };
    GError *err = NULL;

    if (!loader_parse(opts, &a, &err) || !loader_check(board, &a, &err)) {
        g_propagate_error(errp, err);
        return false;
    }
    if (a.has_data) {
        return loader_data(board, &a, errp);
    }
    if (a.file) {
        return loader_file(board, &a, errp);
    }
    cpu_set_resetvec(board->machine->cpus, a.cpu_num, a.addr);
    return true;
}
