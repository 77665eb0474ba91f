/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/virtio-driver.h"
#include "hw/virtio/virtio-blk.h"

void reg_write(const Driver *d, unsigned reg, uint32_t value)
{
    address_space_stx(d->as, d->mmio + reg, 4, value);
}

uint32_t reg_read(const Driver *d, unsigned reg)
{
    uint64_t value;

    address_space_ldx(d->as, d->mmio + reg, 4, &value);
    return value;
}

Driver driver_new(BoardFixture *f, const char *name, unsigned queue)
{
    VirtIODevice *dev = board_fixture_virtio(f, name);
    Driver d = { .f = f, .as = f->machine.as, .mmio = virtio_slot(dev)->base, .queue = queue };

    driver_move(&d, RING_BASE + queue * 0x10000);
    return d;
}

void driver_move(Driver *d, uint64_t base)
{
    d->base = base;
    d->avail = base + 16 * RING_NUM;
    d->used = LEGACY_USED(base);
}

void driver_init(const Driver *d)
{
    static const uint8_t zeros[8192];

    address_space_write(d->as, d->base, zeros, sizeof(zeros));
    reg_write(d, 0x70, 3);
    reg_write(d, 0x14, 0);
    reg_write(d, 0x24, 0);
    reg_write(d, 0x20, reg_read(d, 0x10) & ~(FEATURE(29) | FEATURE(24))); /* no event index */
    reg_write(d, 0x28, 4096);
    reg_write(d, 0x30, d->queue);
    g_assert_cmpuint(reg_read(d, 0x34), ==, 1024);
    reg_write(d, 0x38, RING_NUM);
    reg_write(d, 0x3c, 4096);
    reg_write(d, 0x40, d->base >> 12);
    g_assert_cmpuint(reg_read(d, 0x40), ==, d->base >> 12);
    reg_write(d, 0x70, 7);
}

void put_desc(const Driver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } desc = { addr, len, flags, next };

    address_space_write(d->as, d->base + 16 * i, &desc, 16);
}

void offer(Driver *d, uint16_t head)
{
    address_space_stx(d->as, d->avail + 4 + 2 * (d->avail_idx % RING_NUM), 2, head);
    d->avail_idx++;
    address_space_stx(d->as, d->avail + 2, 2, d->avail_idx);
}

void kick(const Driver *d)
{
    reg_write(d, 0x50, d->queue);
}

uint16_t used_idx(const Driver *d)
{
    uint64_t value;

    address_space_ldx(d->as, d->used + 2, 2, &value);
    return value;
}

uint32_t used_len(const Driver *d, unsigned i)
{
    uint64_t value;

    address_space_ldx(d->as, d->used + 4 + 8 * i + 4, 4, &value);
    return value;
}

void driver_keep_requests(Driver *d)
{
    VirtIOBlk *blk = (VirtIOBlk *)board_fixture_virtio(d->f, "virtio-blk");
    static const uint32_t types[] = { 0, 1, 4 };

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        struct { uint32_t type, prio; uint64_t sector; } head = { types[i], 0, 8 * i };
        uint64_t at = DATA_BASE + 0x10000 * i;

        address_space_write(d->as, at, &head, 16);
        put_desc(d, 3 * i, at, 16, F_NEXT, 3 * i + 1);
        put_desc(d, 3 * i + 1, at + 0x1000, 4096, F_NEXT | (types[i] == 0 ? F_WRITE : 0), 3 * i + 2);
        put_desc(d, 3 * i + 2, at + 16, 1, F_WRITE, 0);
        offer(d, 3 * i);
        g_queue_push_tail(&blk->kept, virtqueue_pop(&blk->dev.queues[0]));
    }
}
