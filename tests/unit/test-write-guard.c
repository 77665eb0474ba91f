/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * softmmu/write-guard: every writer of guest memory calls the hook before its first write to a
 * guarded page, once, and readers do not; a snapshot taken of running harts is memory as it was.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "hw/virtio/virtio-blk.h"
#include "softmmu/guest-ram.h"
#include "tests/unit/hart-machine.h"
#include "tests/unit/virtio-driver.h"

/* ---- bits ---- */

static void count_hook(void *opaque, size_t block, uint64_t page)
{
    g_string_append_printf(opaque, "%zu:%u ", block, (unsigned)page);
}

static void test_bits(void)
{
    RAMList *ram = ram_list_new();
    RAMBlock *a = ram_list_add(ram, "a", 200 * TARGET_PAGE_SIZE, NULL, NULL);
    RAMBlock *b = ram_list_add(ram, "b", 3 * TARGET_PAGE_SIZE, NULL, NULL);
    WriteGuard *guard = write_guard_new(ram);
    g_autoptr(GString) seen = g_string_new(NULL);
    g_autoptr(GError) err = NULL;

    g_assert_false(write_guard_active(NULL));
    g_assert_true(write_guard_open(guard, a, 0));
    write_guard_before(guard, a, 0, 1);         /* off: nothing */
    write_guard_end(guard);
    g_assert_true(write_guard_begin(guard, NULL));
    g_assert_false(write_guard_begin(guard, &err));
    g_assert_nonnull(err);
    write_guard_add(guard, 0, 60, 70);
    write_guard_add(guard, 1, 1, 1);
    g_assert_true(write_guard_open(guard, a, 60));
    write_guard_arm(guard, count_hook, seen);
    for (unsigned i = 0; i < 200; i++) {
        g_assert_cmpint(write_guard_open(guard, a, i), ==, i < 60 || i >= 130);
    }
    write_guard_before(guard, a, 0, 60 * TARGET_PAGE_SIZE);
    g_assert_cmpstr(seen->str, ==, "");
    write_guard_before(guard, a, 60 * TARGET_PAGE_SIZE - 1, 2);
    write_guard_before(guard, a, 60 * TARGET_PAGE_SIZE, 2 * TARGET_PAGE_SIZE);
    write_guard_before(guard, b, TARGET_PAGE_SIZE, 0);
    write_guard_before(guard, b, 0, 3 * TARGET_PAGE_SIZE);
    g_assert_cmpstr(seen->str, ==, "0:60 0:61 1:1 ");
    g_assert_false(write_guard_release(guard, 0, 60));
    g_assert_true(write_guard_release(guard, 0, 62));
    write_guard_before(guard, a, 62 * TARGET_PAGE_SIZE, 1);
    write_guard_end(guard);
    write_guard_before(guard, a, 63 * TARGET_PAGE_SIZE, 1);
    g_assert_cmpstr(seen->str, ==, "0:60 0:61 1:1 ");

    g_assert_true(write_guard_begin(guard, NULL));      /* nothing is left of the first use */
    write_guard_arm(guard, count_hook, seen);
    g_assert_true(write_guard_open(guard, a, 63));
    write_guard_free(guard);
    ram_list_free(ram);
}

/* ---- all writers ---- */

typedef struct Watch {
    BoardFixture *f;
    RAMBlock *ram;
    size_t index;
    uint8_t *before;        /* memory when it was armed */
    GString *hooked;        /* pages from DATA_BASE or RING_BASE on: "d0 r1 " */
} Watch;

static void hook(void *opaque, size_t block, uint64_t page)
{
    Watch *w = opaque;
    uint64_t at = page << TARGET_PAGE_BITS, addr = w->ram->guest_addr + at;

    g_assert_cmpuint(block, ==, w->index);
    g_assert_cmpmem(w->ram->host + at, TARGET_PAGE_SIZE, w->before + at, TARGET_PAGE_SIZE);
    g_string_append_printf(w->hooked, "%c%u ", addr >= DATA_BASE ? 'd' : 'r',
                           (unsigned)((addr - (addr >= DATA_BASE ? DATA_BASE : RING_BASE)) >> 12));
}

/* All pages are guarded anew; caches are as after a pause. */
static void arm(Watch *w)
{
    Machine *m = &w->f->machine;

    write_guard_end(m->guard);
    g_free(w->before);
    w->before = g_memdup2(w->ram->host, w->ram->used_length);
    g_string_truncate(w->hooked, 0);
    g_assert_true(write_guard_begin(m->guard, NULL));
    write_guard_add(m->guard, w->index, 0, ram_block_pages(w->ram));
    cpus_flush_tlb_all(m->cpus);
    write_guard_arm(m->guard, hook, w);
}

static void watch_init(Watch *w, BoardFixture *f)
{
    *w = (Watch){ .f = f, .hooked = g_string_new(NULL) };
    w->ram = address_space_lookup(f->machine.as, DATA_BASE)->block;
    while (ram_list_get(f->machine.ram, w->index) != w->ram) {
        w->index++;
    }
    arm(w);
}

static void watch_clear(Watch *w)
{
    write_guard_end(w->f->machine.guard);
    g_free(w->before);
    g_string_free(w->hooked, TRUE);
}

static void expect(Watch *w, const char *pages)
{
    g_assert_cmpstr(w->hooked->str, ==, pages);
    arm(w);
}

static void test_address_space(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    AddressSpace *as = f->machine.as;
    uint64_t value, len = 5000;
    uint8_t buf[8192] = { 1 };
    Watch w;

    watch_init(&w, f);
    address_space_read(as, DATA_BASE, buf, sizeof(buf));
    address_space_ldx(as, DATA_BASE, 8, &value);
    address_space_map_ram(as, DATA_BASE, &len, false);
    expect(&w, "");
    address_space_write(as, DATA_BASE + 0xfff, buf, 2);
    address_space_write(as, DATA_BASE + 0xfff, buf, 2);
    expect(&w, "d0 d1 ");
    address_space_write_rom(as, DATA_BASE + 0x1800, buf, 8192);
    expect(&w, "d1 d2 d3 ");
    address_space_stx(as, DATA_BASE + 8, 4, 5);
    expect(&w, "d0 ");
    address_space_stx(as, DATA_BASE + 0x1ffe, 4, 5);    /* not aligned */
    expect(&w, "d1 d2 ");
    g_assert_nonnull(address_space_map_ram(as, DATA_BASE + 0x1000, &len, true));
    expect(&w, "d1 d2 ");
    watch_clear(&w);
    board_fixture_free(f);
}

static void test_vcpu(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ 0 });
    RISCVCPU *cpu = cpus_get(f->machine.cpus, 0);
    uint64_t value;
    bool fault;
    Watch w;

    watch_init(&w, f);
    g_assert_true(riscv_mem_load(cpu, DATA_BASE, 8, &value));
    g_assert_true(riscv_mem_load(cpu, DATA_BASE + 0xffd, 8, &value));
    expect(&w, "");
    g_assert_true(riscv_mem_load(cpu, DATA_BASE, 8, &value));   /* readable: not yet writable */
    const TLB *tlb = cpu->tlb;
    const TLBEntry *e = &tlb->e[(DATA_BASE >> TARGET_PAGE_BITS) & (TLB_ENTRIES - 1)];
    g_assert_cmphex(e->tag_r, ==, DATA_BASE | tlb->gen_r);
    g_assert_cmphex(e->tag_w, !=, DATA_BASE | tlb->gen_w);
    g_assert_true(riscv_mem_store(cpu, DATA_BASE, 8, 1));
    g_assert_cmphex(e->tag_w, ==, DATA_BASE | tlb->gen_w);
    g_assert_true(riscv_mem_store(cpu, DATA_BASE, 8, 2));
    expect(&w, "d0 ");
    g_assert_true(riscv_mem_store(cpu, DATA_BASE + 0xffd, 8, 0x1234567812345678));
    expect(&w, "d0 d1 ");
    g_assert_nonnull(riscv_mem_rmw(cpu, DATA_BASE + 0x2000, 8, &fault));
    expect(&w, "d2 ");

    /* A and D bits: table 3, 4, 5; a load sets A, then a store D; both only once */
    uint64_t *root = (uint64_t *)(w.ram->host + (DATA_BASE + 0x3000 - w.ram->guest_addr));
    root[0] = (DATA_BASE + 0x4000) >> 12 << 10 | PTE_V;
    root[512] = (DATA_BASE + 0x5000) >> 12 << 10 | PTE_V;
    root[1024 + 1] = DATA_BASE >> 12 << 10 | PTE_V | PTE_R | PTE_W;
    cpu->satp = (uint64_t)SATP_SV39 << 60 | (DATA_BASE + 0x3000) >> 12;
    cpu->priv = PRV_S;
    riscv_pmp_write_addr(cpu, 15, UINT64_MAX);
    riscv_pmp_write_cfg(cpu, 2, 0x1f00000000000000ULL);
    riscv_cpu_mode_changed(cpu);
    arm(&w);
    g_assert_true(riscv_mem_load(cpu, 0x1000, 8, &value));
    expect(&w, "d5 ");
    g_assert_true(riscv_mem_load(cpu, 0x1000, 8, &value));
    expect(&w, "");
    g_assert_true(riscv_mem_store(cpu, 0x1000, 8, 7));
    expect(&w, "d5 d0 ");
    watch_clear(&w);
    board_fixture_free(f);
}

static void test_devices(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    Driver rng = driver_new(f, "virtio-rng", 0), disk = driver_new(f, "virtio-blk", 0);
    VirtIOBlk *blk = (VirtIOBlk *)board_fixture_virtio(f, "virtio-blk");
    struct { uint32_t type, prio; uint64_t sector; } head = { 0, 0, 8 };
    uint32_t pfn = (DATA_BASE + 0x8000) >> 12;
    Watch w;

    driver_move(&disk, RING_BASE + 0x10000);
    g_assert_null(board_fixture_device(f, "virtio-balloon-device"));
    Driver balloon = driver_new(f, "virtio-balloon", 0);

    driver_move(&balloon, RING_BASE + 0x20000);
    board_fixture_run(f, true);
    driver_init(&rng);
    driver_init(&disk);
    driver_init(&balloon);
    put_desc(&rng, 0, DATA_BASE + 0xffc, 16, F_WRITE, 0);
    offer(&rng, 0);
    address_space_write(f->machine.as, DATA_BASE + 0x3000, &head, 16);
    put_desc(&disk, 0, DATA_BASE + 0x3000, 16, F_NEXT, 1);
    put_desc(&disk, 1, DATA_BASE + 0x4800, 4096, F_NEXT | F_WRITE, 2);
    put_desc(&disk, 2, DATA_BASE + 0x7000, 1, F_WRITE, 0);
    offer(&disk, 0);
    address_space_stx(f->machine.as, DATA_BASE + 0x8008, 8, 0x99);
    address_space_write(f->machine.as, DATA_BASE + 0x9000, &pfn, 4);
    put_desc(&balloon, 0, DATA_BASE + 0x9000, 4, 0, 0);
    offer(&balloon, 0);

    watch_init(&w, f);
    kick(&rng);         /* what it fills, then its used ring */
    expect(&w, "d0 d1 r1 ");
    kick(&disk);
    blk_io_drain(blk);
    expect(&w, "d4 d5 d7 r17 ");
    kick(&balloon);     /* the hole is a write, too */
    expect(&w, "d8 r33 ");
    watch_clear(&w);
    board_fixture_free(f);
}

/* A request that was kept while the guest stood still is looked at again. */
static void test_kept_request(void)
{
    BoardFixture *f = board_fixture_new(&(BoardOptions){ .virtio = true });
    VirtIOBlk *blk = (VirtIOBlk *)board_fixture_virtio(f, "virtio-blk");
    Driver d = driver_new(f, "virtio-blk", 0);
    struct { uint32_t type, prio; uint64_t sector; } head = { 0, 0, 8 };
    Watch w;

    driver_init(&d);
    address_space_write(f->machine.as, DATA_BASE, &head, 16);
    put_desc(&d, 0, DATA_BASE, 16, F_NEXT, 1);
    put_desc(&d, 1, DATA_BASE + 0x1000, 4096, F_NEXT | F_WRITE, 2);
    put_desc(&d, 2, DATA_BASE + 16, 1, F_WRITE, 0);
    offer(&d, 0);
    g_queue_push_tail(&blk->kept, virtqueue_pop(&blk->dev.queues[0]));
    watch_init(&w, f);
    board_fixture_run(f, true);
    blk_io_drain(blk);
    expect(&w, "d1 d0 r1 ");
    board_fixture_run(f, false);
    watch_clear(&w);
    board_fixture_free(f);
}

/* ---- a snapshot of running harts ---- */

typedef struct Snapshot {
    HartMachine h;
    uint8_t *pages;         /* what was saved */
    _Atomic unsigned hooked;
} Snapshot;

static void save_hook(void *opaque, size_t block, uint64_t page)
{
    Snapshot *s = opaque;
    uint64_t at = page << TARGET_PAGE_BITS;

    guest_ram_copy_from(s->pages + at, s->h.block->host + at, TARGET_PAGE_SIZE);
    atomic_fetch_add(&s->hooked, 1);
}

/* Two harts store all over 224 pages meanwhile; what was saved is memory as it was at the start. */
static void test_snapshot(void)
{
    Snapshot s = { .pages = g_malloc(RAM_BYTES) };
    Machine *m = &s.h.machine;
    unsigned released = 0;

    hart_machine_init(&s.h, 2);
    hart_machine_load_scribbler(&s.h);
    for (unsigned round = 0; round < 10; round++) {
        cpus_pause_end(m->cpus);
        g_usleep(2000);
        cpus_pause_begin(m->cpus);
        g_autofree uint8_t *was = g_memdup2(s.h.block->host, s.h.block->used_length);
        g_assert_true(write_guard_begin(m->guard, NULL));
        write_guard_add(m->guard, 0, 0, RAM_PAGES);
        cpus_write_barrier(m->cpus);
        write_guard_arm(m->guard, save_hook, &s);
        cpus_pause_end(m->cpus);
        for (uint64_t page = 0; page < RAM_PAGES; page++) {
            uint8_t copy[TARGET_PAGE_SIZE];
            uint64_t at = page << TARGET_PAGE_BITS;

            if (page % 32 == 0) {
                g_usleep(200);
            }
            guest_ram_copy_from(copy, s.h.block->host + at, TARGET_PAGE_SIZE);
            if (write_guard_release(m->guard, 0, page)) {
                memcpy(s.pages + at, copy, TARGET_PAGE_SIZE);
                released++;
            }
        }
        write_guard_end(m->guard);
        cpus_pause_begin(m->cpus);
        g_assert_cmpmem(s.pages, s.h.block->used_length, was, s.h.block->used_length);
    }
    g_assert_cmpuint(atomic_load(&s.hooked) + released, ==, 10 * RAM_PAGES);
    g_test_message("%u by the hook", atomic_load(&s.hooked));
    g_assert_cmpuint(atomic_load(&s.hooked), >, 0);
    hart_machine_clear(&s.h);
    g_free(s.pages);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/write-guard/bits", test_bits);
    g_test_add_func("/write-guard/address-space", test_address_space);
    g_test_add_func("/write-guard/vcpu", test_vcpu);
    g_test_add_func("/write-guard/devices", test_devices);
    g_test_add_func("/write-guard/kept-request", test_kept_request);
    g_test_add_func("/write-guard/snapshot", test_snapshot);
    return g_test_run();
}
