/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio devices and fw_cfg while guest memory is still coming: work whose ring, descriptors or
 * buffers are not all here is put off, touches nothing that is missing, and is done when the pages
 * have come, in whatever order; a reset drops it, a stop keeps it.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "chardev/char.h"
#include "hw/misc/fw_cfg.h"
#include "hw/net-backend.h"
#include "hw/virtio/virtio-blk.h"
#include "hw/virtio/virtio-net.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/unit/virtio-driver.h"

#define GONE 0xee       /* what is in a page that has not come */

/* Memory that comes late. */
typedef struct Late {
    Machine *machine;
    RAMBlock *ram;
    size_t index;           /* of ram */
    uint8_t *content;       /* of all of it, as it will come */
    GArray *wanted;         /* uint64_t pages, asked for and not placed yet */
    unsigned asked;
    GRand *rand;
} Late;

static void on_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    Late *late = opaque;

    g_assert_cmpuint(block, ==, late->index);
    g_assert_cmpint(user, ==, PRESENT_USER_DEVICE);
    g_array_append_val(late->wanted, page);
    late->asked++;
}

static const PresentOps ops = { .wanted = on_wanted };

/* From now on no page of RAM is here. */
static void late_begin(Late *late, BoardFixture *f)
{
    *late = (Late){ .machine = &f->machine, .wanted = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
                    .rand = g_rand_new_with_seed(g_test_rand_int()) };
    late->ram = address_space_lookup(f->machine.as, DATA_BASE)->block;
    while (ram_list_get(f->machine.ram, late->index) != late->ram) {
        late->index++;
    }
    late->content = g_memdup2(late->ram->host, late->ram->used_length);
    memset(late->ram->host, GONE, late->ram->used_length);
    g_assert_true(present_map_begin(f->machine.present, NULL, NULL));
    present_map_set_missing(f->machine.present, late->index, 0, ram_block_pages(late->ram));
    g_assert_true(present_map_arm(f->machine.present, &ops, late, NULL));
}

static void late_end(Late *late)
{
    present_map_end(late->machine->present);
    g_array_unref(late->wanted);
    g_rand_free(late->rand);
    g_free(late->content);
}

/* What was handed to the main thread is done. */
static void settle(Late *late)
{
    while (g_main_context_iteration(main_loop_context(late->machine->loop), FALSE)) {
    }
}

static void place(Late *late, uint64_t page)
{
    present_map_place(late->machine->present, late->index, page,
                      late->content + page * TARGET_PAGE_SIZE);
}

/* Gives one page that was asked for. False: nobody waits for any. */
static bool give_one(Late *late)
{
    if (late->wanted->len == 0) {
        return false;
    }
    guint i = g_rand_int_range(late->rand, 0, late->wanted->len);
    uint64_t page = g_array_index(late->wanted, uint64_t, i);
    g_array_remove_index_fast(late->wanted, i);
    for (uint64_t at = 0; at < TARGET_PAGE_SIZE; at++) {
        g_assert_cmphex(late->ram->host[page * TARGET_PAGE_SIZE + at], ==, GONE);
    }
    place(late, page);
    settle(late);
    return true;
}

static unsigned give_all(Late *late)
{
    unsigned n = 0;

    while (give_one(late)) {
        n++;
    }
    return n;
}

static void wait_for(Late *late, bool (*done)(void *opaque), void *opaque)
{
    gint64 until = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    while (!done(opaque)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        give_one(late);
        settle(late);
        g_usleep(100);
    }
}

static const uint8_t *host(const Late *late, uint64_t addr)
{
    return late->ram->host + (addr - late->ram->guest_addr);
}

/* The used index as it is in memory: nobody is asked for the page. */
static uint16_t used_now(const Driver *d, const Late *late)
{
    const uint8_t *at = host(late, d->used + 2);

    return at[0] | at[1] << 8;
}

/* ---- disk ---- */

static void write_file(const BoardFixture *f, uint64_t offset, const void *data, size_t len)
{
    int fd = open(f->disk, O_WRONLY);

    g_assert_cmpint(pwrite(fd, data, len, offset), ==, len);
    close(fd);
}

/* Reads into buffers all over the place, by way of an indirect table. Returns how many bytes. */
static uint32_t offer_scattered_read(Driver *d, uint64_t at, uint16_t desc)
{
    struct { uint32_t type, prio; uint64_t sector; } head = { 0, 0, 8 };
    struct { uint64_t addr; uint32_t len; uint16_t flags, next; } table[4] = {
        { at + 0xff8, 16, F_NEXT, 1 },                      /* crosses a page */
        { at + 0x3ff0, 4096 + 1024, F_NEXT | F_WRITE, 2 },  /* in three pages */
        { at + 0x8000, 1024, F_NEXT | F_WRITE, 3 },
        { at + 0xa000, 1, F_WRITE, 0 },
    };

    address_space_write(d->as, at + 0xff8, &head, 16);
    address_space_write(d->as, at + 0xcff0, table, sizeof(table));  /* the table, too, is in two */
    put_desc(d, desc, at + 0xcff0, sizeof(table), F_INDIRECT, 0);
    offer(d, desc);
    return 4096 + 1024 + 1024;
}

static void check_scattered(const Late *late, uint64_t at, const uint8_t *data)
{
    g_assert_cmpmem(host(late, at + 0x3ff0), 4096 + 1024, data, 4096 + 1024);
    g_assert_cmpmem(host(late, at + 0x8000), 1024, data + 4096 + 1024, 1024);
    g_assert_cmpint(*host(late, at + 0xa000), ==, 0);
}

typedef struct UsedWait {
    const Driver *d;
    const Late *late;
    uint16_t n;
} UsedWait;

static bool is_used(void *opaque)
{
    const UsedWait *w = opaque;

    return w->late->machine && used_now(w->d, w->late) == w->n;
}

static void test_disk(void)
{
    for (int round = 0; round < 20; round++) {
        BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
        Driver d = driver_new(f, "virtio-blk", 0);
        uint8_t data[6144];
        Late late;

        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = i * 11 + i / 256;
        }
        write_file(f, 8 * 512, data, sizeof(data));
        board_fixture_run(f, true);
        driver_init(&d);
        offer_scattered_read(&d, DATA_BASE, 0);
        offer_scattered_read(&d, DATA_BASE + 0x10000, 1);
        late_begin(&late, f);
        kick(&d);
        kick(&d);       /* the guest may do so as often as it likes */
        unsigned ring = late.asked;
        g_assert_cmpuint(ring, >=, 2);      /* descriptors with available, used */
        g_assert_cmpuint(reg_read(&d, 0x60), ==, 0);
        wait_for(&late, is_used, &(UsedWait){ &d, &late, 2 });
        check_scattered(&late, DATA_BASE, data);
        check_scattered(&late, DATA_BASE + 0x10000, data);
        g_assert_cmpuint(reg_read(&d, 0x60), ==, 1);
        g_assert_cmpuint(late.asked, ==, ring + 2 * 9);
        late_end(&late);
        board_fixture_free(f);
    }
}

/* One page at a time, and the request is not begun before the last. */
static void test_disk_waits_for_all(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIOBlk *blk = (VirtIOBlk *)board_fixture_virtio(f, "virtio-blk");
    Driver d = driver_new(f, "virtio-blk", 0);
    Late late;

    board_fixture_run(f, true);
    driver_init(&d);
    offer_scattered_read(&d, DATA_BASE, 0);
    late_begin(&late, f);
    kick(&d);
    while (blk->dev.queues[0].last_avail_idx == 0) {
        g_assert_cmpuint(blk->in_flight, ==, 0);
        g_assert_true(give_one(&late));
    }
    g_assert_cmpuint(late.wanted->len, ==, 0);
    g_assert_cmpuint(late.asked, ==, 2 + 9);
    wait_for(&late, is_used, &(UsedWait){ &d, &late, 1 });
    late_end(&late);
    board_fixture_free(f);
}

static void test_reset_drops(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIODevice *dev = board_fixture_virtio(f, "virtio-blk");
    Driver d = driver_new(f, "virtio-blk", 0);
    Late late;

    board_fixture_run(f, true);
    driver_init(&d);
    offer_scattered_read(&d, DATA_BASE, 0);
    late_begin(&late, f);
    kick(&d);
    g_assert_true(dev->queues[0].put_off.pending);
    reg_write(&d, 0x70, 0);
    g_assert_false(dev->queues[0].put_off.pending);
    give_all(&late);
    g_assert_cmpuint(used_now(&d, &late), ==, 0);
    g_assert_cmpuint(dev->queues[0].last_avail_idx, ==, 0);
    g_assert_false(dev->broken);

    /* between the page's coming and the main loop's turn */
    reg_write(&d, 0x30, 0);
    reg_write(&d, 0x38, RING_NUM);
    reg_write(&d, 0x40, d.base >> 12);
    reg_write(&d, 0x70, 7);
    kick(&d);
    g_assert_cmpuint(late.wanted->len, >, 0);
    while (late.wanted->len) {
        place(&late, g_array_index(late.wanted, uint64_t, 0));
        g_array_remove_index(late.wanted, 0);
    }
    reg_write(&d, 0x70, 0);
    settle(&late);
    g_assert_cmpuint(used_now(&d, &late), ==, 0);
    late_end(&late);
    board_fixture_free(f);
}

static void test_stop_keeps(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIODevice *dev = board_fixture_virtio(f, "virtio-blk");
    Driver d = driver_new(f, "virtio-blk", 0);
    Late late;

    board_fixture_run(f, true);
    driver_init(&d);
    offer_scattered_read(&d, DATA_BASE, 0);
    late_begin(&late, f);
    kick(&d);
    board_fixture_run(f, false);
    give_all(&late);
    g_assert_cmpuint(dev->queues[0].last_avail_idx, ==, 0);
    board_fixture_run(f, true);
    wait_for(&late, is_used, &(UsedWait){ &d, &late, 1 });
    late_end(&late);
    board_fixture_free(f);
}

/* Requests that came with the guest: neither their buffers nor the ring are here when they are loaded. */
static void test_kept_requests(void)
{
    BoardFixture *a = board_fixture_new(&(BoardOptions){ .virtio = true });
    BoardFixture *b = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIOBlk *from = (VirtIOBlk *)board_fixture_virtio(a, "virtio-blk");
    VirtIOBlk *to = (VirtIOBlk *)board_fixture_virtio(b, "virtio-blk");
    VirtQueue *vq = &to->dev.queues[0];
    Driver d = driver_new(a, "virtio-blk", 0), e = driver_new(b, "virtio-blk", 0);
    g_autoptr(GError) err = NULL;
    uint8_t data[6144];
    Late late;

    memset(data, 0x5a, sizeof(data));
    write_file(b, 8 * 512, data, sizeof(data));
    board_fixture_run(a, true);
    driver_init(&d);
    d.avail_idx = 0;
    for (unsigned i = 0; i < 3; i++) {  /* one done, two kept */
        offer_scattered_read(&d, DATA_BASE + 0x10000 * i, i);
        if (i == 0) {
            kick(&d);
            blk_io_drain(from);
        } else {
            g_queue_push_tail(&from->kept, virtqueue_pop(&from->dev.queues[0]));
        }
    }
    board_fixture_run(a, false);
    GByteArray *bytes = board_fixture_save(a, NULL);
    RAMBlock *ram = address_space_lookup(a->machine.as, DATA_BASE)->block;
    memcpy(address_space_lookup(b->machine.as, DATA_BASE)->block->host, ram->host, ram->used_length);

    late_begin(&late, b);
    board_fixture_load(b, bytes, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(late.asked, ==, 0);
    g_assert_true(vq->used_unknown);
    board_fixture_run(b, true);
    g_assert_cmpuint(late.asked, >=, 2);
    g_assert_cmpuint(to->in_flight, ==, 0);

    /* stopped and on again while they wait */
    board_fixture_run(b, false);
    g_assert_cmpuint(g_queue_get_length(&to->kept), ==, 2);
    GByteArray *again = board_fixture_save(b, NULL);
    g_assert_cmpmem(again->data, again->len, bytes->data, bytes->len);
    board_fixture_run(b, true);
    wait_for(&late, is_used, &(UsedWait){ &e, &late, 3 });
    g_assert_false(vq->used_unknown);
    g_assert_cmpuint(vq->inuse, ==, 0);
    check_scattered(&late, DATA_BASE + 0x10000, data);
    check_scattered(&late, DATA_BASE + 0x20000, data);
    late_end(&late);
    g_byte_array_unref(bytes);
    g_byte_array_unref(again);
    board_fixture_free(a);
    board_fixture_free(b);
}

/* ---- other devices ---- */

static void test_rng(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-rng", 0);
    Late late;

    board_fixture_run(f, true);
    driver_init(&d);
    put_desc(&d, 0, DATA_BASE, 16, F_WRITE, 0);
    put_desc(&d, 1, DATA_BASE + 0x5000, 16, F_WRITE, 0);
    offer(&d, 0);
    offer(&d, 1);
    late_begin(&late, f);
    kick(&d);
    g_assert_cmpuint(give_all(&late), >=, 4);
    g_assert_cmpuint(used_now(&d, &late), ==, 2);
    late_end(&late);
    board_fixture_free(f);
}

/* What the guest gives back need not come; what it has kept comes as it was. */
static void test_balloon(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    uint32_t pfns[] = { 0x80300, 0x80302, 0x2000, 0xffffffff };
    uint64_t value;
    Late late;

    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    Driver d = driver_new(f, "virtio-balloon", 0);
    board_fixture_run(f, true);
    driver_init(&d);
    for (uint64_t page = 0x80300000; page < 0x80303000; page += 4096) {
        address_space_stx(d.as, page + 8, 8, 0x1234);
    }
    address_space_write(d.as, DATA_BASE, pfns, sizeof(pfns));
    put_desc(&d, 0, DATA_BASE, sizeof(pfns), 0, 0);
    offer(&d, 0);
    late_begin(&late, f);
    uint64_t missing = present_map_missing(f->machine.present);
    kick(&d);
    unsigned came = give_all(&late);
    g_assert_cmpuint(present_map_missing(f->machine.present), ==, missing - came - 2);
    g_assert_cmpint(address_space_ldx(d.as, 0x80300008, 8, &value), ==, MEMTX_OK);
    g_assert_cmphex(value, ==, 0);
    for (uint64_t page = 0; page < 3; page++) {     /* also when the source sends them all the same */
        place(&late, (0x80300000 - 0x80000000) / 4096 + page);
    }
    for (uint64_t page = 0; page < 3; page++) {
        address_space_ldx(d.as, 0x80300008 + page * 4096, 8, &value);
        g_assert_cmphex(value, ==, page == 1 ? 0x1234 : 0);
    }
    late_end(&late);
    board_fixture_free(f);
}

static bool catch_can_receive(void *opaque)
{
    return true;
}

static void catch_receive(void *opaque, const uint8_t *packet, size_t len)
{
    g_byte_array_append(opaque, packet, len);
}

static const NetFrontend catcher = { .can_receive = catch_can_receive, .receive = catch_receive };

static NetBackend *other_port(BoardFixture *f, GByteArray *caught)
{
    g_autoptr(GError) err = NULL;
    Opts *opts = opts_parse("hubport,id=n1,hubid=0", "type", &err);

    g_assert_true(netdev_add(board_nets(f->board), opts, &err));
    opts_free(opts);
    NetBackend *port = net_backend_find(board_nets(f->board), "n1");
    g_assert_true(net_backend_attach(port, &catcher, caught, &err));
    return port;
}

static void test_net_send(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-net", NET_QUEUE_TX);
    GByteArray *caught = g_byte_array_new();
    char packet[12 + 60] = { 0 };
    Late late;

    other_port(f, caught);
    board_fixture_run(f, true);
    driver_init(&d);
    g_snprintf(packet + 12, 60, "some packet");
    address_space_write(d.as, DATA_BASE + 0xffc, packet, sizeof(packet));
    put_desc(&d, 0, DATA_BASE + 0xffc, sizeof(packet), 0, 0);
    offer(&d, 0);
    late_begin(&late, f);
    kick(&d);
    while (give_one(&late)) {
        g_assert_cmpuint(caught->len, ==, late.wanted->len || !used_now(&d, &late) ? 0 : 60);
    }
    g_assert_cmpmem(caught->data, caught->len, packet + 12, 60);
    g_assert_cmpuint(used_now(&d, &late), ==, 1);
    late_end(&late);
    board_fixture_free(f);
    g_byte_array_unref(caught);
}

/* A packet whose buffers are not here is held, what comes behind it waits; none is lost. */
static void test_net_receive(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver d = driver_new(f, "virtio-net", NET_QUEUE_RX);
    GByteArray *caught = g_byte_array_new();
    VirtIONet *net = (VirtIONet *)board_fixture_virtio(f, "virtio-net");
    NetBackend *port = other_port(f, caught);
    uint8_t packet[60] = { 0 };
    Late late;

    board_fixture_run(f, true);
    driver_init(&d);
    for (unsigned i = 0; i < 4; i++) {  /* each packet takes two */
        put_desc(&d, i, DATA_BASE + 0x2000 * i, 40, F_WRITE, 0);
        offer(&d, i);
    }
    memset(packet, 0xff, 6);
    late_begin(&late, f);
    place(&late, (d.base - late.ram->guest_addr) >> TARGET_PAGE_BITS);
    place(&late, (d.used - late.ram->guest_addr) >> TARGET_PAGE_BITS);
    packet[20] = 1;
    net_backend_send(port, packet, sizeof(packet));
    g_assert_nonnull(net->held);
    packet[20] = 2;
    net_backend_send(port, packet, sizeof(packet));
    give_all(&late);
    g_assert_null(net->held);
    packet[20] = 3;
    net_backend_send(port, packet, sizeof(packet));
    give_all(&late);
    g_assert_cmpuint(used_now(&d, &late), >=, 2);
    g_assert_cmpint(host(&late, DATA_BASE + 12 + 20)[0], ==, 1);
    late_end(&late);
    board_fixture_free(f);
    g_byte_array_unref(caught);
}

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

/* A half-written buffer that came with the guest goes on when it is here. */
static void test_half_written_console(void)
{
    BoardFixture *a = board_fixture_new(&(BoardOptions){ .virtio = true });
    BoardFixture *b = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIOPort *here = first_port(a), *there = first_port(b);
    unsigned queue = here->id ? 2 * here->id + 3 : 1;
    Driver d = driver_new(a, "virtio-console", queue), e = driver_new(b, "virtio-console", queue);
    g_autoptr(GError) err = NULL;
    Late late;

    driver_init(&d);
    put_desc(&d, 5, DATA_BASE + 16, 100, F_NEXT, 6);
    put_desc(&d, 6, DATA_BASE + 0x2000, 3000, 0, 0);
    offer(&d, 5);
    here->elem = virtqueue_pop(virtio_port_tx(here));
    here->done = 150;
    GByteArray *bytes = board_fixture_save(a, NULL);
    RAMBlock *ram = address_space_lookup(a->machine.as, DATA_BASE)->block;
    memcpy(address_space_lookup(b->machine.as, DATA_BASE)->block->host, ram->host, ram->used_length);
    late_begin(&late, b);
    board_fixture_load(b, bytes, &err);
    g_assert_no_error(err);
    board_fixture_run(b, true);
    g_assert_nonnull(there->elem);
    give_all(&late);
    g_assert_null(there->elem);
    g_assert_cmpuint(used_now(&e, &late), ==, 1);
    late_end(&late);
    g_byte_array_unref(bytes);
    board_fixture_free(a);
    board_fixture_free(b);
}

/* ---- fw_cfg ---- */

#define FW_CFG_DMA 0x10100010ULL

static void test_fw_cfg(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    struct __attribute__((packed)) { uint32_t control, length; uint64_t address; } desc = {
        GUINT32_TO_BE(0x0a), GUINT32_TO_BE(0x1800), GUINT64_TO_BE(DATA_BASE + 0x3ffe),
    };
    const uint8_t *control;
    Late late;

    address_space_write(f->machine.as, DATA_BASE + 0xff8, &desc, sizeof(desc));     /* in two pages */
    late_begin(&late, f);
    address_space_stx(f->machine.as, FW_CFG_DMA, 8, GUINT64_SWAP_LE_BE(DATA_BASE + 0xff8));
    control = host(&late, DATA_BASE + 0xff8);
    g_assert_cmpuint(late.asked, ==, 2);
    give_all(&late);
    g_assert_cmpuint(late.asked, ==, 2 + 3);
    g_assert_cmpmem(control, 4, "\0\0\0\0", 4);
    g_assert_cmpmem(host(&late, DATA_BASE + 0x3ffe), 5, "QEMU\0", 5);
    g_assert_cmpint(*host(&late, DATA_BASE + 0x3ffe + 0x17ff), ==, 0);

    /* a reset gives it up */
    late_end(&late);
    address_space_write(f->machine.as, DATA_BASE + 0xff8, &desc, sizeof(desc));
    late_begin(&late, f);
    address_space_stx(f->machine.as, FW_CFG_DMA, 8, GUINT64_SWAP_LE_BE(DATA_BASE + 0xff8));
    machine_reset_devices(f->machine.runstate);
    give_all(&late);
    g_assert_cmpuint(late.asked, ==, 2);
    g_assert_cmpmem(host(&late, DATA_BASE + 0xff8), 4, "\0\0\0\x0a", 4);
    late_end(&late);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtio-missing/disk", test_disk);
    g_test_add_func("/virtio-missing/disk-waits-for-all", test_disk_waits_for_all);
    g_test_add_func("/virtio-missing/reset-drops", test_reset_drops);
    g_test_add_func("/virtio-missing/stop-keeps", test_stop_keeps);
    g_test_add_func("/virtio-missing/kept-requests", test_kept_requests);
    g_test_add_func("/virtio-missing/rng", test_rng);
    g_test_add_func("/virtio-missing/balloon", test_balloon);
    g_test_add_func("/virtio-missing/net-send", test_net_send);
    g_test_add_func("/virtio-missing/net-receive", test_net_receive);
    g_test_add_func("/virtio-missing/half-written-console", test_half_written_console);
    g_test_add_func("/virtio-missing/fw-cfg", test_fw_cfg);
    return g_test_run();
}
