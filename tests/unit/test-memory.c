/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/memory: lookup, overlap, copies over borders, MMIO splitting, dirty marks. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include "softmmu/memory.h"
#include "util/log.h"

typedef struct Fixture {
    MainLoop *loop;
    RAMList *ram;
    DirtyLog *log;
    PresentMap *present;
    WriteGuard *guard;
    AddressSpace *as;
    RAMBlock *block, *rom;
    GString *accesses;
    bool locked;
} Fixture;

static MemTxResult io_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    Fixture *f = opaque;

    f->locked = bql_locked(f->loop);
    g_string_append_printf(f->accesses, "r%u@%x ", size, (unsigned)offset);
    *value = 0x8877665544332211ULL;
    return offset == 0x80 ? MEMTX_ERROR : MEMTX_OK;
}

static MemTxResult io_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    Fixture *f = opaque;

    g_string_append_printf(f->accesses, "w%u@%x=%llx ", size, (unsigned)offset,
                           (unsigned long long)value);
    return MEMTX_OK;
}

static const MemoryRegionOps io_ops = { io_read, io_write };

static void fixture_init(Fixture *f)
{
    *f = (Fixture){ .loop = main_loop_new(), .ram = ram_list_new(),
                    .accesses = g_string_new(NULL) };
    f->log = dirty_log_new(f->ram, NULL, NULL);
    f->present = present_map_new(f->ram);
    f->guard = write_guard_new(f->ram);
    f->as = address_space_new(f->loop, f->log, f->present, f->guard);
    f->block = ram_list_add(f->ram, "ram", 0x4000, NULL, NULL);
    f->rom = ram_list_add(f->ram, "rom", 0x1000, NULL, NULL);
    f->rom->readonly = true;
    g_assert_true(address_space_add_ram(f->as, "ram", 0x80000000, f->block, NULL));
    g_assert_true(address_space_add_ram(f->as, "rom", 0x80004000, f->rom, NULL));
    g_assert_true(address_space_add_io(f->as, "io", 0x1000, 0x100, &io_ops, f, NULL));
}

static void fixture_clear(Fixture *f)
{
    address_space_free(f->as);
    dirty_log_free(f->log);
    write_guard_free(f->guard);
    present_map_free(f->present);
    ram_list_free(f->ram);
    main_loop_free(f->loop);
    g_string_free(f->accesses, TRUE);
}

static void test_lookup(void)
{
    Fixture f;

    fixture_init(&f);
    g_assert_null(address_space_lookup(f.as, 0xfff));
    g_assert_cmpstr(address_space_lookup(f.as, 0x1000)->name, ==, "io");
    g_assert_cmpstr(address_space_lookup(f.as, 0x10ff)->name, ==, "io");
    g_assert_null(address_space_lookup(f.as, 0x1100));
    g_assert_cmpstr(address_space_lookup(f.as, 0x80003fff)->name, ==, "ram");
    g_assert_cmpstr(address_space_lookup(f.as, 0x80004000)->name, ==, "rom");
    g_assert_null(address_space_lookup(f.as, UINT64_MAX));
    g_assert_cmpstr(address_space_get(f.as, 0)->name, ==, "io");
    g_assert_null(address_space_get(f.as, 3));
    g_assert_cmpuint(f.block->guest_addr, ==, 0x80000000);
    fixture_clear(&f);
}

static void expect_refused(AddressSpace *as, uint64_t base, uint64_t size, const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(address_space_add_io(as, "new", base, size, &io_ops, NULL, &err));
    g_assert_nonnull(strstr(err->message, text));
}

static void test_overlap(void)
{
    Fixture f;

    fixture_init(&f);
    expect_refused(f.as, 0x10ff, 1, "'new' (0x10ff-0x10ff) overlaps 'io' (0x1000-0x10ff)");
    expect_refused(f.as, 0, UINT64_MAX, "overlaps");
    expect_refused(f.as, 0x2000, 0, "impossible");
    expect_refused(f.as, 2, UINT64_MAX, "impossible");
    g_assert_true(address_space_add_io(f.as, "last", UINT64_MAX, 1, &io_ops, &f, NULL));
    g_assert_cmpstr(address_space_lookup(f.as, UINT64_MAX)->name, ==, "last");
    fixture_clear(&f);
}

static void test_mmio(void)
{
    Fixture f;
    uint8_t buf[16];

    fixture_init(&f);
    g_assert_cmpint(address_space_read(f.as, 0x1001, buf, 15), ==, MEMTX_OK);
    g_assert_cmpstr(f.accesses->str, ==, "r1@1 r2@2 r4@4 r8@8 ");
    g_assert_true(f.locked);            /* taken for the device ... */
    g_assert_false(bql_locked(f.loop)); /* ... and given back */
    g_assert_cmpint(buf[0], ==, 0x11);
    g_assert_cmpint(buf[14], ==, 0x88);
    g_string_truncate(f.accesses, 0);
    bql_lock(f.loop);
    g_assert_cmpint(address_space_write(f.as, 0x1004, "\x01\x02\x03\x04\x05\x06", 6), ==, MEMTX_OK);
    bql_unlock(f.loop);
    g_assert_cmpstr(f.accesses->str, ==, "w4@4=4030201 w2@8=605 ");
    g_assert_cmpint(address_space_read(f.as, 0x1080, buf, 4), ==, MEMTX_ERROR);
    fixture_clear(&f);
}

static void test_copies(void)
{
    Fixture f;
    uint8_t buf[8] = { 0 };
    uint64_t bitmap[2][1] = { 0 };
    uint64_t *bitmaps[] = { bitmap[0], bitmap[1] };
    uint64_t value, len = 100;

    fixture_init(&f);
    dirty_log_start(f.log);
    g_assert_cmpint(address_space_write(f.as, 0x80000ffe, "abcd", 4), ==, MEMTX_OK);
    g_assert_cmpmem(f.block->host + 0xffe, 4, "abcd", 4);
    /* over the border into ROM: the part in ROM is dropped ... */
    g_assert_cmpint(address_space_write(f.as, 0x80003ffe, "wxyz", 4), ==, MEMTX_OK);
    g_assert_cmpint(f.rom->host[0], ==, 0);
    dirty_log_sync(f.log, bitmaps);
    g_assert_cmpuint(bitmap[0][0], ==, 0xb);
    g_assert_cmpuint(bitmap[1][0], ==, 0);
    /* ... but not for the loader */
    g_assert_cmpint(address_space_write_rom(f.as, 0x80003ffe, "wxyz", 4), ==, MEMTX_OK);
    g_assert_cmpint(address_space_read(f.as, 0x80003ffe, buf, 4), ==, MEMTX_OK);
    g_assert_cmpmem(buf, 4, "wxyz", 4);
    /* unmapped: what came before is done */
    g_assert_cmpint(address_space_write_rom(f.as, 0x80004ffe, "1234", 4), ==, MEMTX_ERROR);
    g_assert_cmpmem(f.rom->host + 0xffe, 2, "12", 2);
    g_assert_cmpint(address_space_read(f.as, 0x5000, buf, 1), ==, MEMTX_ERROR);

    g_assert_true(address_space_map_ram(f.as, 0x80003ff0, &len, true) == f.block->host + 0x3ff0);
    g_assert_cmpuint(len, ==, 16);
    g_assert_null(address_space_map_ram(f.as, 0x1000, &len, false));
    memset(bitmap, 0, sizeof(bitmap));
    dirty_log_sync(f.log, bitmaps);
    memset(bitmap, 0, sizeof(bitmap));
    address_space_mark_dirty(f.as, 0x80003fff, 2);
    dirty_log_sync(f.log, bitmaps);
    g_assert_cmpuint(bitmap[0][0], ==, 8);
    g_assert_cmpuint(bitmap[1][0], ==, 1);

    for (unsigned size = 2; size <= 8; size *= 2) {
        for (uint64_t addr = 0x80000ff8; addr < 0x80001004; addr++) {
            uint64_t want = 0x1122334455667788ULL & (size == 8 ? ~0ULL : (1ULL << size * 8) - 1);
            g_assert_cmpint(address_space_stx(f.as, addr, size, want), ==, MEMTX_OK);
            g_assert_cmpint(address_space_ldx(f.as, addr, size, &value), ==, MEMTX_OK);
            g_assert_cmphex(value, ==, want);
        }
    }
    g_assert_cmpint(address_space_stx(f.as, 0x80004000, 4, 0), ==, MEMTX_OK);
    g_assert_cmpmem(f.rom->host, 2, "yz", 2);
    g_assert_cmpint(address_space_ldx(f.as, 0x80004ffe, 4, &value), ==, MEMTX_ERROR);
    dirty_log_stop(f.log);
    fixture_clear(&f);
}

/* ---- memory that has not come ---- */

static void on_wanted(void *opaque, size_t block, uint64_t page, int user)
{
    g_string_append_printf(((Fixture *)opaque)->accesses, "%zu:%u by %d ", block, (unsigned)page, user);
}

static void test_missing(void)
{
    static const PresentOps ops = { .wanted = on_wanted };
    Fixture f;
    MemMissing missing;
    uint64_t value, len = 8;
    uint8_t buf[16];
    g_autoptr(GError) err = NULL;

    fixture_init(&f);
    memset(f.block->host, 0x77, f.block->used_length);
    g_assert_true(present_map_begin(f.present, NULL, NULL));
    present_map_set_missing(f.present, 0, 1, 1);
    present_map_set_missing(f.present, 0, 3, 1);
    present_map_set_missing(f.present, 1, 0, 1);
    g_assert_true(present_map_arm(f.present, &ops, &f, NULL));

    /* what is here, and what is no memory, is as ever */
    g_assert_cmpint(address_space_read(f.as, 0x80000ff0, buf, 16), ==, MEMTX_OK);
    g_assert_cmpint(address_space_write(f.as, 0x80002000, buf, 16), ==, MEMTX_OK);
    g_assert_true(address_space_need(f.as, 0x1000, 8, 0, NULL));
    g_assert_true(address_space_need(f.as, 0x5000, 8, 0, NULL));
    g_assert_cmpstr(f.accesses->str, ==, "");

    /* all or nothing; asked for once; who asks is told */
    g_assert_cmpint(address_space_write(f.as, 0x80000ffc, "abcdefgh", 8), ==, MEMTX_MISSING);
    g_assert_cmpint(f.block->host[0xffc], ==, 0x77);
    g_assert_cmpint(address_space_read(f.as, 0x80000ffc, buf, 8), ==, MEMTX_MISSING);
    g_assert_cmpint(address_space_ldx(f.as, 0x80001000, 8, &value), ==, MEMTX_MISSING);
    g_assert_cmpint(address_space_stx(f.as, 0x80001000, 8, 1), ==, MEMTX_MISSING);
    g_assert_null(address_space_map_ram(f.as, 0x80000ffc, &len, true));
    g_assert_true(address_space_is_ram(f.as, 0x80000ffc, 8, true));
    g_assert_cmpstr(f.accesses->str, ==, "0:1 by -1 ");
    g_assert_false(address_space_need(f.as, 0x80002ffc, 0x1100, PRESENT_USER_MONITOR, &missing));
    g_assert_cmpstr(f.accesses->str, ==, "0:1 by -1 0:3 by -2 1:0 by -2 ");
    g_assert_true(missing.block == f.block);
    g_assert_cmpuint(missing.page, ==, 3);
    g_assert_cmphex(missing.addr, ==, 0x80003000);
    mem_missing_error(&missing, &err);
    g_assert_nonnull(strstr(err->message, "0x80003000"));

    /* the loader does not wait */
    g_assert_cmpint(address_space_write_rom(f.as, 0x80000ffe, "wxyz", 4), ==, MEMTX_OK);
    g_assert_cmpmem(f.block->host + 0xffe, 4, "wx\x77\x77", 4);
    memset(buf, 0x22, sizeof(buf));
    g_assert_true(present_map_place(f.present, 0, 1, NULL));
    g_assert_cmpmem(f.block->host + 0xffe, 5, "wxyz\0", 5);
    g_assert_cmpint(address_space_ldx(f.as, 0x80001000, 8, &value), ==, MEMTX_OK);
    g_assert_cmphex(value, ==, 0x7a79);
    fixture_clear(&f);
}

/* -d guest_errors: where nothing is, and where a device refuses. */
static void test_log(void)
{
    Fixture f;
    g_autofree char *path = NULL, *text = NULL;
    uint8_t buf[4] = { 0 };
    int fd = g_file_open_tmp("ferry-test-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    fixture_init(&f);
    g_assert_true(log_open(path, false, NULL));
    g_assert_true(log_set_items("guest_errors", NULL, NULL));
    bql_lock(f.loop);
    g_assert_cmpint(address_space_write(f.as, 0x500, buf, 4), !=, MEMTX_OK);
    g_assert_cmpint(address_space_read(f.as, 0x600, buf, 2), !=, MEMTX_OK);
    g_assert_cmpint(address_space_read(f.as, 0x1080, buf, 4), !=, MEMTX_OK);
    bql_unlock(f.loop);
    g_assert_true(log_set_items("none", NULL, NULL));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==,
                    "Invalid write at addr 0x500, size 4, region '(null)', reason: rejected\n"
                    "Invalid read at addr 0x600, size 2, region '(null)', reason: rejected\n"
                    "Invalid read at addr 0x80, size 4, region 'io', reason: rejected\n");
    g_unlink(path);
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory/lookup", test_lookup);
    g_test_add_func("/memory/overlap", test_overlap);
    g_test_add_func("/memory/mmio", test_mmio);
    g_test_add_func("/memory/copies", test_copies);
    g_test_add_func("/memory/missing", test_missing);
    g_test_add_func("/memory/log", test_log);
    return g_test_run();
}
