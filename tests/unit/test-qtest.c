/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/qtest: QEMU's answers, refusals that say why, dirty marks; no CPU is needed. */
#include <string.h>
#include "softmmu/qtest.h"
#include "softmmu/runstate.h"

typedef struct Fixture {
    Machine machine;
    Qtest *qtest;
    RAMBlock *ram;
} Fixture;

static void fixture_init(Fixture *f)
{
    memset(f, 0, sizeof(*f));
    Machine *m = &f->machine;
    machine_core_init(m, NULL);
    bql_lock(m->loop);
    f->ram = ram_list_add(m->ram, "ram", 1 << 20, NULL, NULL);
    g_assert_true(address_space_add_ram(m->as, "ram", 0x80000000, f->ram, NULL));
    f->qtest = qtest_new(m, NULL, NULL, NULL);
}

static void fixture_clear(Fixture *f)
{
    Machine *m = &f->machine;

    qtest_free(f->qtest);
    bql_unlock(m->loop);
    machine_core_clear(m);
}

static void expect(Fixture *f, const char *line, const char *want)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    g_autofree char *full = g_strconcat(want, "\n", NULL);

    qtest_command(f->qtest, line, answer);
    g_assert_cmpstr(answer->str, ==, full);
}

static void test_memory(void)
{
    Fixture f;

    fixture_init(&f);
    expect(&f, "writeq 0x80000000 0x1122334455667788", "OK");
    expect(&f, "readq 0x80000000", "OK 0x1122334455667788");
    expect(&f, "readl 0x80000004", "OK 0x0000000011223344");
    expect(&f, "readw 0x80000000", "OK 0x0000000000007788");
    expect(&f, "readb 0x80000007", "OK 0x0000000000000011");
    expect(&f, "writeb 0x80000001 0xff", "OK");
    expect(&f, "writew 0x80000002 1", "OK");
    expect(&f, "writel 0x80000004 2", "OK");
    expect(&f, "read 0x80000000 8", "OK 0x88ff010002000000");
    expect(&f, "write 0x80000010 4 0xdeadbeef", "OK");
    expect(&f, "read 0x80000010 4", "OK 0xdeadbeef");
    expect(&f, "write 0x80000010 4 0x01", "OK"); /* the rest is zero */
    expect(&f, "read 0x80000010 4", "OK 0x01000000");
    expect(&f, "b64write 0x80000020 5 aGVsbG8=", "OK");
    expect(&f, "b64read 0x80000020 5", "OK aGVsbG8=");
    expect(&f, "memset 0x80000ffe 4 0xaa", "OK");
    expect(&f, "read 0x80000ffd 6", "OK 0x00aaaaaaaa00");
    expect(&f, "memset 0x80000000 0x100000 0", "OK");
    expect(&f, "readq 0x800ffff8", "OK 0x0000000000000000");
    expect(&f, "memset 0x80000000 0 1", "OK");
    expect(&f, "endianness", "OK little");
    fixture_clear(&f);
}

static void test_dirty(void)
{
    Fixture f;
    uint64_t bitmap[4] = { 0 };
    uint64_t *bitmaps[] = { bitmap };

    fixture_init(&f);
    dirty_log_start(f.machine.dirty);
    expect(&f, "writeb 0x80003000 1", "OK");
    expect(&f, "memset 0x80005fff 2 1", "OK");
    expect(&f, "read 0x80008000 16", "OK 0x00000000000000000000000000000000");
    dirty_log_sync(f.machine.dirty, bitmaps);
    g_assert_cmphex(bitmap[0], ==, 0x68);
    dirty_log_stop(f.machine.dirty);
    fixture_clear(&f);
}

static void test_clock(void)
{
    Fixture f;

    fixture_init(&f);
    expect(&f, "clock_step 1000", "OK 1000");
    expect(&f, "clock_step", "OK 1000"); /* no timer */
    expect(&f, "clock_set 5000", "OK 5000");
    expect(&f, "clock_set 100", "OK 5000"); /* never back */
    expect(&f, "clock_step 9223372036854775807", "FAIL time out of range");
    expect(&f, "clock_set x", "FAIL expected a number, got 'x'");
    virtual_clock_start(f.machine.clock);
    expect(&f, "clock_step 1", "FAIL the clock runs by itself while the machine runs");
    virtual_clock_stop(f.machine.clock);
    fixture_clear(&f);
}

static void test_refused(void)
{
    static const struct { const char *line, *answer; } cases[] = {
        { "", "FAIL Unknown command ''" },
        { "foo", "FAIL Unknown command 'foo'" },
        { "readx 1", "FAIL Unknown command 'readx'" },
        { "readb", "FAIL expected a number, got ''" },
        { "readb -1", "FAIL expected a number, got '-1'" },
        { "readb 0x10", "FAIL no memory or device takes 0x1 bytes at 0x10" },
        { "readq 0x800ffffc", "FAIL no memory or device takes 0x8 bytes at 0x800ffffc" },
        { "writeb 0x80000000", "FAIL expected a number, got ''" },
        { "read 0x80000000", "FAIL expected a number, got ''" },
        { "read 0x80000000 0", "FAIL size 0 is not between 1 and 16777216" },
        { "read 0x80000000 0xffffffffffffffff",
          "FAIL size 18446744073709551615 is not between 1 and 16777216" },
        { "read 0x80000000 0x200000", "FAIL no memory or device takes 0x200000 bytes at 0x80000000" },
        { "write 0x80000000 4 11", "FAIL expected hexadecimal data that begins with 0x" },
        { "write 0x80000000 4 0x1g", "FAIL expected hexadecimal data that begins with 0x" },
        { "write 0x80000000 4 0x123", "FAIL expected hexadecimal data that begins with 0x" },
        { "write 0x80000000 4", "FAIL expected hexadecimal data that begins with 0x" },
        { "b64write 0x80000000 4 aGVsbG8=", "FAIL base64 data of 5 bytes, expected 4" },
        { "b64write 0x80000000 4", "FAIL base64 data of 0 bytes, expected 4" },
        { "memset 0x800ff000 0x2000 0",
          "FAIL no memory or device takes 0x1000 bytes at 0x80100000" },
        { "irq_intercept_in ioapic", "FAIL irq_intercept_in is not supported by this machine" },
        { "inb 0x70", "FAIL inb is not supported by this machine" },
    };
    Fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect(&f, cases[i].line, cases[i].answer);
    }
    fixture_clear(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qtest/memory", test_memory);
    g_test_add_func("/qtest/dirty", test_dirty);
    g_test_add_func("/qtest/clock", test_clock);
    g_test_add_func("/qtest/refused", test_refused);
    return g_test_run();
}
