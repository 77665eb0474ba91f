/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tools/inspect/paging: page tables in a block of RAM, right ones, huge ones, cyclic ones. */
#include <string.h>
#include "paging.h"
#include "ram.h"

enum { RAM = 0x80000000, SIZE = 8 << 20, SV39 = 8, SV48 = 9, SV57 = 10 };

static Model *machine(void)
{
    Model *m = model_new(true);
    m->machine = g_strdup("virt");
    g_assert_nonnull(ram_add_block(m, "riscv_virt_board.ram", SIZE));
    return m;
}

/* Entry i of the table at page: to phys, with these bits. */
static void put_pte(Model *m, unsigned page, unsigned i, uint64_t phys, uint64_t bits)
{
    RamBlock *b = g_ptr_array_index(m->blocks, 0);
    uint64_t pte = GUINT64_TO_LE(phys / PAGE << 10 | bits);
    memcpy(b->data + page * PAGE + 8 * i, &pte, 8);
}

static uint64_t satp(uint64_t mode, unsigned page)
{
    return mode << 60 | (RAM / PAGE + page);
}

static void expect(GArray *a, guint i, uint64_t virt, uint64_t phys, uint64_t length)
{
    g_assert_cmpuint(a->len, >, i);
    const Mapping *k = &g_array_index(a, Mapping, i);
    g_assert_cmphex(k->virt, ==, virt);
    g_assert_cmphex(k->phys, ==, phys);
    g_assert_cmphex(k->length, ==, length);
}

static uint64_t table(unsigned page)
{
    return RAM + (uint64_t)page * PAGE;
}

static void test_sv39(void)
{
    Model *m = machine();
    put_pte(m, 1, 0, table(2), 1);
    put_pte(m, 2, 0, table(3), 1);
    put_pte(m, 3, 16, RAM + 0x5000, 0xd7);              /* two neighbours are one mapping */
    put_pte(m, 3, 17, RAM + 0x6000, 0xd7);
    put_pte(m, 3, 18, RAM + 0x6000, 0xd7);              /* the same page again is another */
    put_pte(m, 3, 19, RAM + 0x7000, 0xd6);              /* not valid */
    put_pte(m, 3, 20, 0x10000000, 0xd7);                /* a device */
    put_pte(m, 1, 510, table(4), 1);
    put_pte(m, 4, 2, RAM + 0x200000, 0xef);             /* 2 MiB, in the upper half */
    g_autoptr(GArray) a = paging_mappings(m, satp(SV39, 1));
    expect(a, 0, 0x10000, RAM + 0x5000, 2 * PAGE);
    expect(a, 1, 0x12000, RAM + 0x6000, PAGE);
    expect(a, 2, 0xffffffff80400000, RAM + 0x200000, 0x200000);
    g_assert_cmpuint(a->len, ==, 3);
    model_free(m);
}

/* A leaf of 1 GiB over 8 MiB of RAM; one that begins before the RAM does not exist. */
static void test_larger_than_ram(void)
{
    Model *m = machine();
    put_pte(m, 1, 256, RAM, 0xef);
    put_pte(m, 1, 257, 0x40000000, 0xef);
    g_autoptr(GArray) a = paging_mappings(m, satp(SV39, 1));
    expect(a, 0, 0xffffffc000000000, RAM, SIZE);
    g_assert_cmpuint(a->len, ==, 1);
    model_free(m);
}

static void test_deeper(void)
{
    Model *m = machine();
    put_pte(m, 1, 511, table(2), 1);                    /* Sv57 needs five tables, Sv48 four */
    put_pte(m, 2, 511, table(3), 1);
    put_pte(m, 3, 510, table(4), 1);
    put_pte(m, 4, 1, table(5), 1);
    put_pte(m, 5, 9, RAM + 0x9000, 0xcf);
    g_autoptr(GArray) five = paging_mappings(m, satp(SV57, 1));
    expect(five, 0, 0xffffffff80209000, RAM + 0x9000, PAGE);
    g_autoptr(GArray) four = paging_mappings(m, satp(SV48, 2));
    expect(four, 0, 0xffffffff80209000, RAM + 0x9000, PAGE);
    g_autoptr(GArray) bare = paging_mappings(m, satp(0, 1));
    g_assert_cmpuint(bare->len, ==, 0);
    g_autoptr(GArray) strange = paging_mappings(m, satp(11, 1));
    g_assert_cmpuint(strange->len, ==, 0);
    g_autoptr(GArray) nowhere = paging_mappings(m, (uint64_t)SV39 << 60 | 5);
    g_assert_cmpuint(nowhere->len, ==, 0);
    model_free(m);
}

/* Each of 512 entries leads to the table itself: 512^4 leaves, if one lets it. */
static void test_circles(void)
{
    Model *m = machine();
    for (unsigned i = 0; i < 512; i++) {
        put_pte(m, 1, i, table(1), 1);
    }
    gint64 began = g_get_monotonic_time();
    g_autoptr(GArray) a = paging_mappings(m, satp(SV57, 1));
    g_assert_cmpuint(a->len, ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 20 * G_USEC_PER_SEC);
    model_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/paging/sv39", test_sv39);
    g_test_add_func("/paging/larger-than-ram", test_larger_than_ram);
    g_test_add_func("/paging/deeper", test_deeper);
    g_test_add_func("/paging/circles", test_circles);
    return g_test_run();
}
