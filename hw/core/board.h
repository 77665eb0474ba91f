/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of a Board, shared by the boards and the creators of -device devices. Main thread, BQL. */
#ifndef HW_CORE_BOARD_H
#define HW_CORE_BOARD_H

#include "hw/boards.h"
#include "hw/irq.h"
#include "hw/loader.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"
#include "util/opts.h"

struct BlockBackends;
struct NetBackends;
struct RngBackends;
struct VirtIOSlot;
struct VirtIOSerial;
struct VirtIOBalloon;

struct Board {
    Machine *machine;
    RomList *roms;
    GBytes *fdt;                    /* the device tree as the guest gets it; NULL: none */
    GPtrArray *devices;             /* BoardDevice*, board's own first */
    unsigned anon_count, own_count; /* devices without an id, the user's and the board's, so far */
    GPtrArray *cleanups;            /* BoardCleanup*, run last to first */
    struct BlockBackends *blocks;   /* hw/block-backend.h */
    struct NetBackends *nets;       /* hw/net-backend.h */
    struct RngBackends *rngs;
    struct VirtIOSlot **slots;      /* virt only: the virtio-mmio transports */
    unsigned slot_count;
    struct VirtIOBalloon *balloon;  /* NULL: none */
    struct GPEX *pci;               /* NULL: none */
    GPtrArray *serial_buses;        /* VirtIOSerial*, in creation order */
};

/** The reverse of board_add_device. */
void board_forget_device(Board *board, const char *id);
/** An empty board; board_new and board_build fill it. */
Board *board_alloc(Machine *machine);
/** Runs what board_on_free was given, the last first; once. */
void board_run_cleanups(Board *board);
/** Remembers that free_fn(opaque) must run when the board goes away. */
void board_on_free(Board *board, void (*free_fn)(void *opaque), void *opaque);

/**
 * Adds a device that the user made to the listing, with its path in the object tree. id may be
 * NULL. Returns it; props are "key = value", NULL-terminated, taken over.
 */
BoardDevice *board_add_device(Board *board, const char *driver, const char *id, const char *bus,
                              uint64_t mmio_base, char **props);

/** Adds one of the board's own devices to the listing and returns it; it stays as long as the board. */
const BoardDevice *board_add_own_device(Board *board, const char *driver, uint64_t mmio_base);

/** Value that -global gives for driver.property (the last wins), or NULL. */
const char *board_global(Board *board, const char *driver, const char *property);

/** The block that is the machine's RAM, under the memory backend's name if there is one. */
RAMBlock *board_add_main_ram(Machine *machine, const char *default_id, GError **errp);

#endif
