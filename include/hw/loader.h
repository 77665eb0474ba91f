/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images in guest memory: read once at start-up, kept, and written again at
 * every reset, so that system_reset boots the same thing. A machine that
 * waits for an incoming migration keeps them for later resets and does not
 * touch RAM. Used by the boards and by the loader device.
 */
#ifndef HW_LOADER_H
#define HW_LOADER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct Machine;
typedef struct RomList RomList;

/** Registers the reset handler that writes the images. Main thread, while the machine is built. */
RomList *rom_list_new(struct Machine *machine);
/** The reset handler stays registered: free only after the last reset. */
void rom_list_free(RomList *roms);

/**
 * Adds len bytes (copied) at guest-physical addr. False with errp if any of
 * it is outside RAM and ROM, or overlaps an image added before.
 */
bool rom_list_add(RomList *roms, const char *name, uint64_t addr, const void *data, size_t len,
                  GError **errp);

/** Where an image ended up. */
typedef struct LoadedImage {
    uint64_t entry;     /* ELF entry point; raw: the load address */
    uint64_t low, high; /* first byte, and one past the last */
    bool elf;
} LoadedImage;

/** Reads a whole file; refuses files larger than max bytes. Caller owns. */
GBytes *image_read(const char *path, uint64_t max, GError **errp);
/** True if the bytes start like an ELF file. */
bool image_is_elf(GBytes *bytes);
/** Adds the loadable segments of a 64-bit RISC-V ELF at their physical addresses. Any bytes are survived. */
bool rom_list_add_elf(RomList *roms, const char *name, GBytes *bytes, LoadedImage *out,
                      GError **errp);
/** ELF or raw: raw bytes go to addr. force_raw: an ELF is not looked at. */
bool rom_list_add_image(RomList *roms, const char *path, uint64_t addr, bool force_raw,
                        LoadedImage *out, GError **errp);

#endif
