/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest can write into rings and registers, and what a stream may and
 * may not say about a ring: it travels, and is the guest's own problem.
 */
#include <string.h>
#include <unistd.h>
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/unit/virtio-driver.h"

/* ---- broken rings ---- */

static void test_broken_until_reset(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    VirtIODevice *dev = board_fixture_virtio(f, "virtio-rng");

    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE | F_NEXT, 0); /* points at itself */
    offer(&d, 0);
    kick(&d);
    g_assert_true(dev->broken);
    g_assert_cmphex(reg_read(&d, 0x70), ==, 7);     /* a legacy driver knows no DEVICE_NEEDS_RESET */
    g_assert_cmpuint(used_idx(&d), ==, 0);
    reg_write(&d, 0x70, 0);
    g_assert_false(dev->broken);
    d.avail_idx = 0;
    driver_init(&d);
    put_desc(&d, 0, 0x2000000, 16, F_WRITE, 0); /* a device register is no buffer */
    offer(&d, 0);
    kick(&d);
    g_assert_true(dev->broken);
    reg_write(&d, 0x70, 0);
    d.avail_idx = 0;
    driver_init(&d);
    put_desc(&d, 0, 0x20000000, 16, F_WRITE, 0); /* nor is the flash */
    offer(&d, 0);
    kick(&d);
    g_assert_true(dev->broken);
    board_fixture_free(f);
}

/* Saved, loaded and saved again, a stopped machine is what it was. */
static void check_travels(BoardFixture *f)
{
    g_autoptr(GError) err = NULL;
    GByteArray *before = board_fixture_save(f, NULL), *after;

    board_fixture_load(f, before, &err);
    g_assert_no_error(err);
    after = board_fixture_save(f, NULL);
    g_assert_cmpmem(after->data, after->len, before->data, before->len);
    g_byte_array_unref(before);
    g_byte_array_unref(after);
}

static uint64_t garbage_addr(GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 24)) {
    case 0:
        return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    case 1:
        return 0x10008000 + g_rand_int_range(rand, 0, 0x200);
    case 2:
        return 0x84000000 - g_rand_int_range(rand, 0, 64); /* the end of RAM */
    default:
        return 0x80000000 + g_rand_int_range(rand, 0, 0x3f00000);
    }
}

static uint32_t garbage_len(GRand *rand)
{
    static const uint32_t odd[] = { 0, 1, 0xffffffff, 0x80000000, 15, 16, 17, 4096, 65536 };

    return g_rand_int_range(rand, 0, 3) ? (uint32_t)g_rand_int_range(rand, 1, 2000)
                                        : odd[g_rand_int_range(rand, 0, G_N_ELEMENTS(odd))];
}

static void garbage_ring(Driver *d, GRand *rand)
{
    for (unsigned i = 0; i < RING_NUM; i++) {
        unsigned mood = g_rand_int_range(rand, 0, 8);
        uint16_t flags = mood == 0 ? g_rand_int(rand) : mood == 1 ? F_INDIRECT
                         : (g_rand_boolean(rand) ? F_NEXT : 0) | (i > RING_NUM / 2 ? F_WRITE : 0);

        put_desc(d, i, flags & F_INDIRECT ? d->base : garbage_addr(rand), garbage_len(rand), flags,
                 g_rand_int_range(rand, 0, 20) ? i + 1 : g_rand_int(rand));
    }
    for (unsigned i = g_rand_int_range(rand, 1, RING_NUM); i > 0; i--) {
        offer(d, g_rand_int_range(rand, 0, 20) ? g_rand_int(rand) % RING_NUM : g_rand_int(rand));
    }
    if (g_rand_int_range(rand, 0, 20) == 0) {
        address_space_stx(d->as, d->avail + 2, 2, g_rand_int(rand) & 0xffff);
    }
}

static void test_garbage(void)
{
    static const struct { const char *name; unsigned queues; } devices[] = {
        { "virtio-blk", 1 }, { "virtio-net", 3 }, { "virtio-rng", 1 }, { "virtio-console", 6 },
    };
    uint32_t seed = g_test_rand_int();
    GRand *rand = g_rand_new_with_seed(seed);
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });

    g_test_message("seed %u", seed);
    for (unsigned round = 0; round < 1500; round++) {
        unsigned i = g_rand_int_range(rand, 0, G_N_ELEMENTS(devices));
        Driver d = driver_new(f, devices[i].name, g_rand_int_range(rand, 0, devices[i].queues));

        board_fixture_run(f, true);
        reg_write(&d, 0x70, 0);
        driver_init(&d);
        for (unsigned k = 0; k < 3; k++) {
            garbage_ring(&d, rand);
            kick(&d);
        }
        board_fixture_run(f, false);
        check_travels(f);
    }
    g_rand_free(rand);
    board_fixture_free(f);
}

/* Where a guest can write; not the test device, which would end the machine. */
static const struct { uint64_t base, bytes; } mmio_areas[] = {
    { 0x10001000, 0x8000 },     /* virtio-mmio */
    { 0x10000000, 8 },          /* UART */
    { 0x101000, 0x24 },         /* RTC */
    { 0x2000000, 0x10000 },     /* CLINT */
    { 0xc000000, 0x4000 }, { 0xc200000, 0x2000 }, /* PLIC */
    { 0x10100000, 0x18 },       /* fw_cfg */
    { 0x30000000, 0x1000 }, { 0x20000000, 0x1000 }, /* PCI configuration, flash */
};

static void garbage_registers(AddressSpace *as, GRand *rand)
{
    for (unsigned n = 0; n < 200; n++) {
        unsigned i = g_rand_int_range(rand, 0, G_N_ELEMENTS(mmio_areas));
        unsigned size = 1u << g_rand_int_range(rand, 0, 4);
        uint64_t at = g_rand_int_range(rand, 0, mmio_areas[i].bytes), value = g_rand_int(rand);

        if (i == 0 && g_rand_int_range(rand, 0, 8)) {
            /* A register of a slot, the small values drivers use, RAM for a ring. */
            at = g_rand_int_range(rand, 0, 8) * 0x1000 + g_rand_int_range(rand, 0, 0x44) * 4;
            size = 4;
            value = g_rand_int_range(rand, 0, 16);
            if (g_rand_boolean(rand)) {
                value = g_rand_boolean(rand) ? value + 0x80100 : 1ULL << (2 * value);
            }
        }
        address_space_stx(as, mmio_areas[i].base + at / size * size, size, value);
    }
}

/* Whatever a guest writes into registers, it can be moved, and is the same there. */
static void check_garbage_registers(bool modern)
{
    uint32_t seed = g_test_rand_int();
    GRand *rand = g_rand_new_with_seed(seed);
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = modern });

    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    g_test_message("seed %u", seed);
    for (unsigned round = 0; round < 200; round++) {
        board_fixture_run(f, true);
        garbage_registers(f->machine.as, rand);
        board_fixture_run(f, false);
        check_travels(f);
    }
    g_rand_free(rand);
    board_fixture_free(f);
}

static void test_garbage_registers(void)
{
    check_garbage_registers(false);
    check_garbage_registers(true);
}

/* A ring of 8 in which the guest says it offered 1000: accepted, and broken at the first look. */
static void test_index_out_of_range(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    VirtIODevice *dev = board_fixture_virtio(f, "virtio-rng");

    board_fixture_run(f, true);
    driver_init(&d);
    address_space_stx(d.as, d.avail + 2, 2, 1000);
    board_fixture_run(f, false);
    check_travels(f);
    g_assert_false(dev->broken);
    board_fixture_run(f, true);
    g_assert_true(dev->broken);
    board_fixture_run(f, false);
    check_travels(f);
    g_assert_true(dev->broken);
    reg_write(&d, 0x70, 0);
    g_assert_false(dev->broken);
    board_fixture_free(f);
}

/* What the guest writes over used->idx the device never reads; neither may a destination. */
static void test_used_index_scribbled(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);

    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    board_fixture_run(f, false);
    address_space_stx(d.as, d.used + 2, 2, 0x4321);
    check_travels(f);
    board_fixture_run(f, true);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 2);
    board_fixture_free(f);
}

/* ---- streams that lie ---- */

/* Loads a's section of the rng with len bytes at offset of its data replaced. */
static char *load_changed(GByteArray *bytes, BoardFixture *f, size_t offset, uint64_t value,
                          unsigned len)
{
    static const char name[] = "virtio-mmio@0000000010006000/virtio-rng";
    g_autoptr(GError) err = NULL;
    GByteArray *copy = g_byte_array_sized_new(bytes->len);
    uint8_t *at;

    g_byte_array_append(copy, bytes->data, bytes->len);
    at = memmem(copy->data, copy->len, name, strlen(name));
    g_assert_nonnull(at);
    at += strlen(name) + 8 + offset;
    for (unsigned i = 0; i < len; i++) {
        at[i] = value >> (8 * (len - 1 - i));
    }
    board_fixture_load(f, copy, &err);
    g_byte_array_unref(copy);
    return err ? g_strdup(err->message) : NULL;
}

/* ---- console ---- */

static VirtIOPort *first_port(BoardFixture *f)
{
    VirtIOSerial *s = (VirtIOSerial *)board_fixture_virtio(f, "virtio-console");

    for (unsigned i = 0; i < SERIAL_PORTS_MAX; i++) {
        if (s->ports[i]) {
            return s->ports[i];
        }
    }
    g_assert_not_reached();
}

/* A buffer of which the other end has taken a part goes along: which, where it lies, how far it is. */
static void test_half_written_console(void)
{
    const uint64_t done[] = { 0, 99, 100, 150, 3099 };

    for (size_t i = 0; i < G_N_ELEMENTS(done); i++) {
        BoardFixture *a = board_fixture_new(&(BoardOptions){ .virtio = true });
        BoardFixture *b = board_fixture_new(&(BoardOptions){ .virtio = true });
        VirtIOPort *here = first_port(a), *there = first_port(b);
        Driver d = driver_new(a, "virtio-console", here->id ? 2 * here->id + 3 : 1);
        g_autofree uint8_t *rings = g_malloc(0x10000);
        g_autoptr(GError) err = NULL;

        driver_init(&d);
        put_desc(&d, 5, DATA_BASE + 16, 100, F_NEXT, 6);
        put_desc(&d, 6, DATA_BASE + 0x2000, 3000, 0, 0);
        offer(&d, 5);
        here->elem = virtqueue_pop(virtio_port_tx(here));
        here->done = done[i];
        g_assert_nonnull(here->elem);
        address_space_read(a->machine.as, d.base, rings, 0x10000);
        address_space_write(b->machine.as, d.base, rings, 0x10000);
        GByteArray *bytes = board_fixture_save(a, NULL);
        board_fixture_load(b, bytes, &err);
        g_assert_no_error(err);
        g_assert_nonnull(there->elem);
        g_assert_cmpuint(there->done, ==, done[i]);
        g_assert_cmpuint(there->elem->index, ==, 5);
        g_assert_cmpuint(there->elem->out_num, ==, 2);
        for (unsigned part = 0; part < 2; part++) {
            g_assert_cmphex(there->elem->out_addr[part], ==, here->elem->out_addr[part]);
            g_assert_cmpuint(there->elem->out_sg[part].iov_len, ==, part ? 3000 : 100);
        }
        g_byte_array_unref(bytes);
        board_fixture_free(a);
        board_fixture_free(b);
    }
}

/* The board has eight slots, the fixture fills four of them. */
static void test_no_slot_left(void)
{
    static const char *const devices[] = { "virtio-serial-device", "virtio-rng-device" };
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });

    for (int i = 0; i < 4; i++) {
        g_assert_null(board_fixture_device(f, devices[i % 2]));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autofree char *text = board_fixture_device(f, devices[i]);

        g_assert_nonnull(text);
    }
    board_fixture_free(f);
}

static void expect_refused(GByteArray *bytes, BoardFixture *f, size_t offset, uint64_t value,
                           unsigned len, const char *part)
{
    g_autofree char *text = load_changed(bytes, f, offset, value, len);

    g_assert_nonnull(text);
    g_assert_nonnull(strstr(text, part));
}

static void test_bad_streams(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    GByteArray *bytes;

    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    board_fixture_run(f, false);
    bytes = board_fixture_save(f, NULL);
    g_assert_null(load_changed(bytes, f, 24, 1, 4)); /* as it was: one queue */
    expect_refused(bytes, f, 24, 1025, 4, "Invalid number of virtqueues: 0x401");
    expect_refused(bytes, f, 28, 4096, 4, "VQ 0 size 0x1000");
    /* What the guest of a QEMU can have brought about is its own problem. */
    g_assert_null(load_changed(bytes, f, 28, 17, 4));
    g_assert_null(load_changed(bytes, f, 36, 0, 8));
    g_assert_null(load_changed(bytes, f, 36, 0x70000000, 8));
    g_assert_null(load_changed(bytes, f, 44, 9999, 2));
    expect_refused(bytes, f, 20, 100000, 4, "config space of 100000 bytes");
    expect_refused(bytes, f, 8, 77, 4, "page shift 77");
    g_byte_array_unref(bytes);
    board_fixture_free(f);
}

static void test_kept_requests_travel(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-blk", 0);
    VirtIOBlk *blk = (VirtIOBlk *)board_fixture_virtio(f, "virtio-blk");

    driver_init(&d);
    driver_keep_requests(&d);
    check_travels(f);
    g_assert_cmpuint(g_queue_get_length(&blk->kept), ==, 3);
    g_assert_cmpuint(blk->dev.queues[0].inuse, ==, 3);
    board_fixture_run(f, true);
    blk_io_drain(blk);
    g_assert_cmpuint(used_idx(&d), ==, 3);
    board_fixture_run(f, false);
    board_fixture_free(f);
}

/* A stream with driven queues, damaged: refused or loaded, and then used, but never more. */
static void test_damaged(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-blk", 0), rng = driver_new(f, "virtio-rng", 0);
    uint32_t seed = g_test_rand_int();
    GRand *rand = g_rand_new_with_seed(seed);
    GByteArray *bytes;
    const uint8_t *start;
    unsigned loaded = 0;

    g_test_message("seed %u", seed);
    driver_init(&d);
    driver_init(&rng);
    driver_keep_requests(&d);
    bytes = board_fixture_save(f, NULL);
    start = memmem(bytes->data, bytes->len, "/virtio-blk", 11);
    g_assert_nonnull(start);
    for (unsigned round = 0; round < 300; round++) {
        GByteArray *copy = g_byte_array_sized_new(bytes->len);
        size_t section = start - bytes->data + 11;

        g_byte_array_append(copy, bytes->data, bytes->len);
        for (unsigned n = g_rand_int_range(rand, 1, 4); n > 0; n--) {
            /* The registers and the head of an element more often than the many zeros. */
            size_t at = g_rand_boolean(rand) ? (size_t)g_rand_int_range(rand, 0, 300)
                                             : (size_t)g_rand_int_range(rand, 0, 3 * 49168);

            copy->data[section + at] = g_rand_int(rand);
        }
        loaded += board_fixture_load(f, copy, NULL);
        board_fixture_run(f, true);
        board_fixture_run(f, false);
        g_byte_array_unref(copy);
    }
    g_test_message("%u of 300 were loaded", loaded);
    g_byte_array_unref(bytes);
    g_rand_free(rand);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-broken/no-slot-left", test_no_slot_left);
    g_test_add_func("/virtio-broken/half-written-console", test_half_written_console);
    g_test_add_func("/virtio-broken/broken-until-reset", test_broken_until_reset);
    g_test_add_func("/virtio-broken/garbage", test_garbage);
    g_test_add_func("/virtio-broken/garbage-registers", test_garbage_registers);
    g_test_add_func("/virtio-broken/index-out-of-range", test_index_out_of_range);
    g_test_add_func("/virtio-broken/used-index-scribbled", test_used_index_scribbled);
    g_test_add_func("/virtio-broken/kept-requests-travel", test_kept_requests_travel);
    g_test_add_func("/virtio-broken/damaged", test_damaged);
    g_test_add_func("/virtio-broken/bad-streams", test_bad_streams);
    return g_test_run();
}
