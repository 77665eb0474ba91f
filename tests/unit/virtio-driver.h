/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver's view of one queue of one virtio device of a board fixture:
 * registers, descriptors, the two indexes. For tests that play the guest.
 */
#ifndef TESTS_VIRTIO_DRIVER_H
#define TESTS_VIRTIO_DRIVER_H

#include "tests/unit/board-fixture.h"

#define RING_NUM 16
#define RING_BASE 0x80100000ULL     /* descriptors, available, used of the queue under test */
#define DATA_BASE 0x80200000ULL
#define LEGACY_USED(base) (((base) + 16 * RING_NUM + 2 * (3 + RING_NUM) + 4095) & ~4095ULL)

enum { F_NEXT = 1, F_WRITE = 2, F_INDIRECT = 4 };

typedef struct Driver {
    BoardFixture *f;
    AddressSpace *as;
    uint64_t mmio, base;
    uint64_t avail, used;
    unsigned queue;
    uint16_t avail_idx;
} Driver;

void reg_write(const Driver *d, unsigned reg, uint32_t value);
uint32_t reg_read(const Driver *d, unsigned reg);
/** Queue number queue of the first device of this name; nothing is set up yet. */
Driver driver_new(BoardFixture *f, const char *name, unsigned queue);
/** Its rings are to be at base, a multiple of 4096, 16 KiB at most. */
void driver_move(Driver *d, uint64_t base);
/** Takes every legacy feature but the event index, sets the queue up, DRIVER_OK. */
void driver_init(const Driver *d);
void put_desc(const Driver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
              uint16_t next);
/** The chain that begins with descriptor head is the device's now; it hears of it with kick. */
void offer(Driver *d, uint16_t head);
void kick(const Driver *d);
uint16_t used_idx(const Driver *d);
uint32_t used_len(const Driver *d, unsigned i);
/** d is a disk's: it keeps three requests, one that reads, one that writes and a flush, for later. */
void driver_keep_requests(Driver *d);

#endif
