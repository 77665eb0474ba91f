/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio devices through their registers and rings, as a driver sees them:
 * disk requests, random bytes, packets through a hub, control queue, balloon.
 * Rings full of garbage and streams that lie are in test-virtio-broken.c.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include "hw/balloon.h"
#include "hw/net-backend.h"
#include "hw/rng-backend.h"
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-net.h"
#include "tests/unit/virtio-driver.h"

/* ---- disk ---- */

/* One request, through to completion; returns the status byte. */
static uint8_t disk_request(Driver *d, uint32_t type, uint64_t sector, void *data, uint32_t len,
                            bool to_disk)
{
    struct { uint32_t type, prio; uint64_t sector; } head = { type, 0, sector };
    uint8_t status = 0xee;
    uint16_t before = used_idx(d);

    address_space_write(d->as, DATA_BASE, &head, 16);
    address_space_write(d->as, DATA_BASE + 16, &status, 1);
    if (to_disk) {
        address_space_write(d->as, DATA_BASE + 0x1003, data, len);
    }
    put_desc(d, 0, DATA_BASE, 16, F_NEXT, len ? 1 : 2);
    put_desc(d, 1, DATA_BASE + 0x1003, len, F_NEXT | (to_disk ? 0 : F_WRITE), 2);
    put_desc(d, 2, DATA_BASE + 16, 1, F_WRITE, 0);
    offer(d, 0);
    kick(d);
    blk_io_drain((VirtIOBlk *)board_fixture_virtio(d->f, "virtio-blk"));
    g_assert_cmpuint((uint16_t)(used_idx(d) - before), ==, 1);
    address_space_read(d->as, DATA_BASE + 16, &status, 1);
    if (!to_disk && len) {
        address_space_read(d->as, DATA_BASE + 0x1003, data, len);
    }
    return status;
}

static void check_disk_file(BoardFixture *f, uint64_t offset, const void *data, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);
    int fd = open(f->disk, O_RDONLY);

    g_assert_cmpint(pread(fd, buf, len, offset), ==, len);
    g_assert_cmpmem(buf, len, data, len);
    close(fd);
}

static void test_disk(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-blk", 0);
    struct { uint64_t sector; uint32_t sectors, flags; } zero = { 8, 2, 1 }, far = { 2047, 2, 0 };
    uint8_t out[2048], in[2048], id[20];
    BlockNodeInfo info;

    for (unsigned i = 0; i < sizeof(out); i++) {
        out[i] = i * 7 + i / 256;
    }
    board_fixture_run(f, true);
    driver_init(&d);
    g_assert_cmpuint(disk_request(&d, 1, 7, out, sizeof(out), true), ==, 0);
    check_disk_file(f, 7 * 512, out, sizeof(out));
    g_assert_cmpuint(disk_request(&d, 0, 7, in, sizeof(in), false), ==, 0);
    g_assert_cmpmem(in, sizeof(in), out, sizeof(out));
    g_assert_cmpuint(used_len(&d, 1), ==, sizeof(in) + 1);
    g_assert_cmpuint(reg_read(&d, 0x60), ==, 1);    /* interrupt status */
    reg_write(&d, 0x64, 1);
    g_assert_cmpuint(reg_read(&d, 0x60), ==, 0);
    g_assert_cmpuint(disk_request(&d, 4, 0, NULL, 0, false), ==, 0);          /* flush */
    g_assert_cmpuint(disk_request(&d, 8, 0, id, sizeof(id), false), ==, 0);   /* id */
    g_assert_cmpuint(disk_request(&d, 13, 0, &zero, sizeof(zero), true), ==, 0);
    memset(out + 512, 0, 1024);
    check_disk_file(f, 7 * 512, out, sizeof(out));
    block_node_info(block_backends_find(board_blocks(f->board), "d0"), &info);
    g_assert_cmpuint(info.stats->rd_operations, ==, 1);
    g_assert_cmpuint(info.stats->rd_bytes, ==, sizeof(in));
    g_assert_cmpuint(info.stats->wr_operations, ==, 2);
    g_assert_cmpuint(info.stats->wr_bytes, ==, sizeof(out) + 1024);
    g_assert_cmpuint(info.stats->flush_operations, ==, 1);
    g_assert_cmpuint(disk_request(&d, 0, 2047, in, 1024, false), ==, 1);      /* past the end */
    g_assert_cmpuint(disk_request(&d, 1, UINT64_MAX, out, 512, true), ==, 1);
    g_assert_cmpuint(disk_request(&d, 0, 0, in, 100, false), ==, 1);          /* no whole sector */
    g_assert_cmpuint(disk_request(&d, 99, 0, in, 512, false), ==, 2);         /* unsupported */
    g_assert_cmpuint(disk_request(&d, 13, 0, &far, sizeof(far), true), ==, 1);
    g_assert_cmpuint(used_len(&d, 9), ==, 1);       /* nothing but the status was written */
    board_fixture_free(f);
}

/* Monitors see a disk that is well from the start on, and again when an error is behind it. */
static void test_io_status(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    BlockNode *node = block_backends_find(board_blocks(f->board), "d0");
    BlockNodeInfo info;

    block_node_info(node, &info);
    g_assert_cmpint(info.io_status, ==, BLOCK_IO_STATUS_OK);
    block_node_set_io_status(node, BLOCK_IO_STATUS_NOSPACE);
    board_fixture_run(f, true);
    block_node_info(node, &info);
    g_assert_cmpint(info.io_status, ==, BLOCK_IO_STATUS_OK);
    board_fixture_free(f);
}

/* ---- rng, control queue ---- */

/* What a device writes into memory is in the dirty log: the guest may be on its way. */
static void test_disk_dirties(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    RAMList *ram = f->machine.ram;
    Driver d = driver_new(f, "virtio-blk", 0);
    g_autofree uint64_t **bits = g_new0(uint64_t *, ram_list_count(ram));
    static const uint64_t expected[] = { DATA_BASE, DATA_BASE + 0x1003, DATA_BASE + 0x2002 };
    struct { uint32_t type, prio; uint64_t sector; } head = { 0, 0, 0 };

    for (size_t i = 0; i < ram_list_count(ram); i++) {
        bits[i] = g_new0(uint64_t, (ram_block_pages(ram_list_get(ram, i)) + 63) / 64);
    }
    board_fixture_run(f, true);
    driver_init(&d);
    address_space_write(d.as, DATA_BASE, &head, 16);
    put_desc(&d, 0, DATA_BASE, 16, F_NEXT, 1);
    put_desc(&d, 1, DATA_BASE + 0x1003, 4096, F_NEXT | F_WRITE, 2);
    put_desc(&d, 2, DATA_BASE + 16, 1, F_WRITE, 0);
    offer(&d, 0);
    dirty_log_start(f->machine.dirty);  /* what the driver wrote is forgotten */
    kick(&d);
    blk_io_drain((VirtIOBlk *)board_fixture_virtio(f, "virtio-blk"));
    g_assert_cmpuint(dirty_log_sync(f->machine.dirty, bits), ==, 4);
    for (size_t i = 0; i < ram_list_count(ram); i++) {
        uint64_t base = ram_list_get(ram, i)->guest_addr;

        for (size_t at = 0; base == 0x80000000 && at < G_N_ELEMENTS(expected); at++) {
            uint64_t page = (expected[at] - base) >> TARGET_PAGE_BITS;

            g_assert_true(bits[i][page / 64] >> (page % 64) & 1);
        }
        g_free(bits[i]);
    }
    dirty_log_stop(f->machine.dirty);
    board_fixture_free(f);
}

static void test_rng(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    uint64_t a, b;

    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    g_assert_cmpuint(used_len(&d, 0), ==, 16);
    address_space_ldx(d.as, DATA_BASE, 8, &a);
    address_space_ldx(d.as, DATA_BASE + 8, 8, &b);
    g_assert_cmphex(a, !=, b);
    /* Stopped: the buffer waits, and is served at the start. */
    board_fixture_run(f, false);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    board_fixture_run(f, true);
    g_assert_cmpuint(used_idx(&d), ==, 2);
    board_fixture_free(f);
}

/* Turns of the main loop until the device has used so many buffers. */
static void await_used(const Driver *d, unsigned want)
{
    gint64 until = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    while (used_idx(d) != want) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_main_context_iteration(main_loop_context(d->f->machine.loop), FALSE);
    }
}

/* A source that has nothing: the buffer waits, and the guest hears nothing until bytes come. */
static void test_rng_dry(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    g_autofree char *dir = g_dir_make_tmp("ferry-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "fifo", NULL);
    g_autofree char *text = g_strdup_printf("rng-random,id=r0,filename=%s", path);
    g_autoptr(GError) err = NULL;
    uint64_t value;

    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);    /* a writer: it is empty, not at its end */
    g_assert_cmpint(fd, >=, 0);
    Opts *object = opts_parse(text, "qom-type", &err);
    g_assert_no_error(err);
    g_assert_true(rng_backends_add(f->board->rngs, object, &err));
    g_assert_null(board_fixture_device(f, "virtio-rng-device,rng=r0"));
    Driver d = driver_new(f, "virtio-rng", 0);
    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 8, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 0);
    g_assert_cmphex(reg_read(&d, 0x60), ==, 0);
    g_assert_cmpint(write(fd, "entropy", 8), ==, 8);
    await_used(&d, 1);
    g_assert_cmpuint(used_len(&d, 0), ==, 8);
    g_assert_cmphex(reg_read(&d, 0x60), ==, 1);
    address_space_ldx(d.as, DATA_BASE, 8, &value);
    g_assert_cmpmem(&value, 8, "entropy", 8);
    opts_free(object);
    board_fixture_free(f);
    close(fd);
    g_unlink(path);
    g_rmdir(dir);
}

static void test_net_control(void)
{
    static const uint8_t macs[] = {
        1, 0,                                       /* MAC table set */
        1, 0, 0, 0, 0x52, 0x54, 0, 1, 2, 3,         /* one unicast */
        1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1,         /* one multicast */
    };
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-net", NET_QUEUE_CTRL);
    VirtIONet *net = (VirtIONet *)board_fixture_virtio(f, "virtio-net");
    uint8_t packet[64] = { 0x52, 0x54, 0, 1, 2, 3 }, ack = 0xee;

    board_fixture_run(f, true);
    driver_init(&d);
    for (unsigned i = 0; i < sizeof(net->mac); i++) {
        uint64_t byte;

        address_space_ldx(d.as, d.mmio + 0x100 + i, 1, &byte);
        g_assert_cmphex(byte, ==, net->mac[i]);
    }
    address_space_write(d.as, DATA_BASE, macs, sizeof(macs));
    address_space_write(d.as, DATA_BASE + 256, &ack, 1);
    put_desc(&d, 0, DATA_BASE, sizeof(macs), F_NEXT, 1);
    put_desc(&d, 1, DATA_BASE + 256, 1, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    address_space_read(d.as, DATA_BASE + 256, &ack, 1);
    g_assert_cmpuint(ack, ==, 0);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    g_assert_cmpuint(used_len(&d, 0), ==, 1);
    g_assert_cmpuint(net->mac_in_use, ==, 2);
    g_assert_cmpuint(net->mac_first_multi, ==, 1);
    net->promisc = 0;
    g_assert_true(virtio_net_filter(net, packet, sizeof(packet)));
    packet[5] = 9;
    g_assert_false(virtio_net_filter(net, packet, sizeof(packet)));
    memcpy(packet, "\x33\x33\0\0\0\1", 6);
    g_assert_true(virtio_net_filter(net, packet, sizeof(packet)));
    packet[5] = 2;
    g_assert_false(virtio_net_filter(net, packet, sizeof(packet)));
    memset(packet, 0xff, 6);
    g_assert_true(virtio_net_filter(net, packet, sizeof(packet)));
    board_fixture_free(f);
}

/* The other end of the hub. */
static bool catch_can_receive(void *opaque)
{
    return true;
}

static void catch_receive(void *opaque, const uint8_t *packet, size_t len)
{
    g_byte_array_append(opaque, packet, len);
}

static const NetFrontend catcher = { .can_receive = catch_can_receive, .receive = catch_receive };

static NetBackend *other_port(BoardFixture *f)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = opts_parse("hubport,id=n1,hubid=0", "type", &err);

    g_assert_no_error(err);
    g_assert_true(netdev_add(board_nets(f->board), opts, &err));
    opts_free(opts);
    return net_backend_find(board_nets(f->board), "n1");
}

/* What the guest sends gets there as it is, and while the link is down it does not. */
static void test_net_link(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-net", NET_QUEUE_TX);
    GByteArray *caught = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    g_assert_true(net_backend_attach(other_port(f), &catcher, caught, &err));
    board_fixture_run(f, true);
    driver_init(&d);
    for (unsigned i = 0; i < 3; i++) {
        char packet[12 + 60] = { 0 };

        g_snprintf(packet + 12, 60, "packet %u", i);
        address_space_write(d.as, DATA_BASE, packet, sizeof(packet));
        put_desc(&d, 0, DATA_BASE, sizeof(packet), 0, 0);
        g_assert_true(net_set_link(board_nets(f->board), "net0", i != 1, &err));
        offer(&d, 0);
        kick(&d);
        g_assert_cmpuint(used_idx(&d), ==, i + 1);
        g_assert_cmpuint(caught->len, ==, i == 1 ? 0 : 60);
        if (i != 1) {
            g_assert_cmpmem(caught->data, caught->len, packet + 12, 60);
        }
        g_byte_array_set_size(caught, 0);
    }
    board_fixture_free(f);
    g_byte_array_unref(caught);
}

static void test_balloon(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    uint32_t pfns[] = { 0x80300, 0x80302, 0x2000, 0x20000, 0xffffffff };
    uint64_t value, actual;
    Driver d;

    g_assert_false(board_balloon_get(f->board, &actual, NULL));
    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    d = driver_new(f, "virtio-balloon", 0);
    board_fixture_run(f, true);
    driver_init(&d);
    g_assert_true(board_balloon_set(f->board, 60ULL << 20, NULL));
    g_assert_cmphex(reg_read(&d, 0x60) & 2, ==, 2); /* the guest is told that it is to look */
    address_space_ldx(d.as, d.mmio + 0x100, 4, &value);
    g_assert_cmpuint(value, ==, (4 << 20) / 4096);
    for (uint64_t page = 0x80300000; page < 0x80303000; page += 4096) {
        address_space_stx(d.as, page + 8, 8, 0x1234);
    }
    address_space_write(d.as, DATA_BASE, pfns, sizeof(pfns));
    put_desc(&d, 0, DATA_BASE, sizeof(pfns), 0, 0);
    offer(&d, 0);
    reg_write(&d, 0x64, 3);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    g_assert_cmpuint(reg_read(&d, 0x60), ==, 1);    /* and the guest is told */
    address_space_ldx(d.as, 0x80300008, 8, &value);
    g_assert_cmphex(value, ==, 0);
    address_space_ldx(d.as, 0x80301008, 8, &value);
    g_assert_cmphex(value, ==, 0x1234);
    address_space_stx(d.as, d.mmio + 0x104, 4, 2);
    g_assert_true(board_balloon_get(f->board, &actual, NULL));
    g_assert_cmpuint(actual, ==, (64 << 20) - 8192);
    board_fixture_free(f);
}

/* The property guest-stats, value of one figure; -1: the guest has not said. */
static int64_t guest_stat(VirtIODevice *dev, const char *name)
{
    const BoardProperty *p = dev->listed->properties;

    g_assert_cmpstr(p->name, ==, "guest-stats");
    json_object *all = p->get(dev->listed->opaque), *stats, *value;

    g_assert_true(json_object_object_get_ex(all, "stats", &stats));
    g_assert_true(json_object_object_get_ex(stats, name, &value));
    int64_t number = json_object_get_uint64(value);
    json_object_put(all);
    return number;
}

static void test_balloon_stats(void)
{
    const struct __attribute__((packed)) { uint16_t tag; uint64_t value; } stats[] = {
        { 0, 11 }, { 4, 1 << 20 }, { 5, 64 << 20 }, { 999, 7 }, { 3, 33 },
    };
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d;

    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    d = driver_new(f, "virtio-balloon", 2);
    board_fixture_run(f, true);
    driver_init(&d);
    VirtIODevice *dev = board_fixture_virtio(f, "virtio-balloon");

    g_assert_cmpint(guest_stat(dev, "stat-swap-in"), ==, -1);
    address_space_write(d.as, DATA_BASE, stats, sizeof(stats));
    put_desc(&d, 0, DATA_BASE, sizeof(stats), 0, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 0);      /* kept until somebody wants new ones */
    g_assert_cmpint(guest_stat(dev, "stat-swap-in"), ==, 11);
    g_assert_cmpint(guest_stat(dev, "stat-minor-faults"), ==, 33);
    g_assert_cmpint(guest_stat(dev, "stat-free-memory"), ==, 1 << 20);
    g_assert_cmpint(guest_stat(dev, "stat-total-memory"), ==, 64 << 20);
    g_assert_cmpint(guest_stat(dev, "stat-major-faults"), ==, -1);
    board_fixture_free(f);
}

/* ---- registers ---- */

static void test_empty_slot(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    Driver d = { .f = f, .as = f->machine.as, .mmio = 0x10001000 };

    g_assert_cmphex(reg_read(&d, 0), ==, 0x74726976);
    g_assert_cmpuint(reg_read(&d, 4), ==, 1);
    g_assert_cmpuint(reg_read(&d, 8), ==, 0);
    g_assert_cmphex(reg_read(&d, 12), ==, 0x554d4551);
    reg_write(&d, 0x70, 7);
    g_assert_cmpuint(reg_read(&d, 0x70), ==, 0);
    board_fixture_free(f);
}

/* Bits read from QEMU 7.2's registers; a guest of one must find the same in the other. */
static void check_features(bool modern)
{
    static const struct { const char *name; uint32_t legacy, modern; } devices[] = {
        { "virtio-blk", 0x31006ed4, 0x30006e54 }, { "virtio-net", 0x39bf8064, 0x30bf8024 },
        { "virtio-rng", 0x39000000, 0x30000000 }, { "virtio-console", 0x39000006, 0x30000006 },
        { "virtio-balloon", 0x39000012, 0x30000012 },
    };
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = modern });

    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        Driver d = driver_new(f, devices[i].name, 0);

        reg_write(&d, 0x14, 0);
        g_assert_cmphex(reg_read(&d, 0x10), ==, modern ? devices[i].modern : devices[i].legacy);
        reg_write(&d, 0x14, 1);
        g_assert_cmphex(reg_read(&d, 0x10), ==, modern ? 1 : 0);
        g_assert_cmpuint(reg_read(&d, 0x04), ==, modern ? 2 : 1);
    }
    board_fixture_free(f);
}

static void test_features(void)
{
    check_features(false);
    check_features(true);
}

/* ---- a modern driver: three places of its own, its own size ---- */

static void modern_address(const Driver *d, unsigned reg, uint64_t addr)
{
    reg_write(d, reg, (uint32_t)addr);
    reg_write(d, reg + 4, addr >> 32);
}

static void modern_init_with(Driver *d, uint32_t without)
{
    reg_write(d, 0x70, 3);
    for (unsigned half = 0; half < 2; half++) {
        reg_write(d, 0x14, half);
        reg_write(d, 0x24, half);
        reg_write(d, 0x20, reg_read(d, 0x10) & ~(half ? 0 : without));
    }
    reg_write(d, 0x70, 0xb);
    g_assert_cmphex(reg_read(d, 0x70), ==, 0xb);
    reg_write(d, 0x30, d->queue);
    reg_write(d, 0x38, RING_NUM);
    modern_address(d, 0x80, d->base);
    modern_address(d, 0x90, d->avail);
    modern_address(d, 0xa0, d->used);
    reg_write(d, 0x44, 1);
    g_assert_cmpuint(reg_read(d, 0x44), ==, 1);
    reg_write(d, 0x70, 0xf);
}

static void modern_init(Driver *d)
{
    static const uint8_t zeros[0x3000];

    d->avail = d->base + 0x1000;
    d->used = d->base + 0x2000;
    address_space_write(d->as, d->base, zeros, sizeof(zeros));
    modern_init_with(d, FEATURE(29));   /* no event index */
}

/* The ring goes round where the driver said it ends, and a mistake asks for a reset. */
static void test_modern(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = true });
    Driver d = driver_new(f, "virtio-rng", 0);

    board_fixture_run(f, true);
    modern_init(&d);
    for (unsigned i = 1; i <= 2 * RING_NUM + 1; i++) {
        put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
        offer(&d, 0);
        kick(&d);
        g_assert_cmpuint(used_idx(&d), ==, i);
        g_assert_cmpuint(used_len(&d, (i - 1) % RING_NUM), ==, 16);
    }
    g_assert_cmphex(reg_read(&d, 0x60), ==, 1);     /* buffers were used */
    reg_write(&d, 0x64, 1);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE | F_NEXT, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmphex(reg_read(&d, 0x70), ==, 0x4f);  /* DEVICE_NEEDS_RESET */
    g_assert_cmphex(reg_read(&d, 0x60) & 2, ==, 2); /* the configuration changed */
    board_fixture_free(f);
}

/* The event index would be behind the end of memory: the buffer is used, and then it is an error. */
static void test_modern_no_event(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = true });
    Driver d = driver_new(f, "virtio-rng", 0);

    d.avail = 0x84000000 - (4 + 2 * RING_NUM);
    d.used = d.base + 0x2000;
    board_fixture_run(f, true);
    modern_init_with(&d, 0);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
    offer(&d, 0);
    kick(&d);
    g_assert_cmpuint(used_idx(&d), ==, 1);
    g_assert_cmphex(reg_read(&d, 0x70), ==, 0x4f);  /* DEVICE_NEEDS_RESET */
    g_assert_cmphex(reg_read(&d, 0x60), ==, 3);
    board_fixture_free(f);
}

/* Rings beyond 4 GiB: what the driver wrote in halves is what the queue has. */
static void test_modern_high(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true, .modern = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    const VirtQueue *vq = &board_fixture_virtio(f, "virtio-rng")->queues[0];

    reg_write(&d, 0x30, 0);
    reg_write(&d, 0x38, RING_NUM);
    modern_address(&d, 0x80, 0x1111111122220000);
    modern_address(&d, 0x90, 0x3333333344440000);
    modern_address(&d, 0xa0, 0x5555555566660000);
    reg_write(&d, 0x44, 1);
    g_assert_cmphex(vq->desc, ==, 0x1111111122220000);
    g_assert_cmphex(vq->avail, ==, 0x3333333344440000);
    g_assert_cmphex(vq->used, ==, 0x5555555566660000);
    board_fixture_free(f);
}

/* A queue's size is a power of two up to 1024; others are not taken. */
static void test_queue_sizes(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    const VirtQueue *vq = &board_fixture_virtio(f, "virtio-rng")->queues[0];
    uint32_t taken = 0;

    for (uint32_t size = 0; size <= 2049; size++) {
        reg_write(&d, 0x38, 512);
        reg_write(&d, 0x38, size);
        g_assert_cmpuint(vq->num, ==, size && size <= 1024 && !(size & (size - 1)) ? size : 512);
        taken += vq->num == size;
    }
    g_assert_cmpuint(taken, ==, 11);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio/disk", test_disk);
    g_test_add_func("/virtio/disk-dirties", test_disk_dirties);
    g_test_add_func("/virtio/io-status", test_io_status);
    g_test_add_func("/virtio/rng", test_rng);
    g_test_add_func("/virtio/rng-dry", test_rng_dry);
    g_test_add_func("/virtio/net-control", test_net_control);
    g_test_add_func("/virtio/net-link", test_net_link);
    g_test_add_func("/virtio/balloon", test_balloon);
    g_test_add_func("/virtio/balloon-stats", test_balloon_stats);
    g_test_add_func("/virtio/empty-slot", test_empty_slot);
    g_test_add_func("/virtio/features", test_features);
    g_test_add_func("/virtio/modern", test_modern);
    g_test_add_func("/virtio/modern-no-event", test_modern_no_event);
    g_test_add_func("/virtio/modern-high", test_modern_high);
    g_test_add_func("/virtio/queue-sizes", test_queue_sizes);
    return g_test_run();
}
