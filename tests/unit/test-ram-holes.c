/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram/holes: untouched pages read as zeros without being allocated; touched ones are read where they are. */
#include <sys/stat.h>
#include "migration/ram/holes.h"
#include "migration/codec/zero-page.h"

static uint64_t allocated(const RAMBlock *b)
{
    struct stat st;

    g_assert_cmpint(fstat(b->fd, &st), ==, 0);
    return st.st_blocks * 512;
}

static void test_holes(void)
{
    RAMList *ram = ram_list_new();
    RAMBlock *b = ram_list_add(ram, "ram", 64 << 20, NULL, NULL);
    RamHoles *h = ram_holes_new(ram);
    uint64_t seen = 0, before;

    b->host[5 * TARGET_PAGE_SIZE] = 1;
    b->host[16000 * TARGET_PAGE_SIZE + 4095] = 2;
    before = allocated(b);
    for (uint64_t page = 0; page < ram_block_pages(b); page++) {
        const uint8_t *p = ram_holes_page(h, 0, page);
        g_assert_true(p == zero_page || p == b->host + page * TARGET_PAGE_SIZE);
        for (int i = 0; i < 4096; i += page == 5 || page == 16000 ? 1 : 512) {
            seen += p[i];
        }
    }
    g_assert_cmpuint(seen, ==, 3);
    g_assert_cmpuint(allocated(b), ==, before);

    /* Learned in this pass, so still a hole; after the next fetch it is not. */
    g_assert_true(ram_holes_page(h, 0, 9000) == zero_page);
    b->host[9000 * TARGET_PAGE_SIZE] = 7;
    g_assert_true(ram_holes_page(h, 0, 9000) == zero_page);
    ram_holes_forget(h);
    g_assert_true(ram_holes_page(h, 0, 9000) == b->host + 9000 * TARGET_PAGE_SIZE);
    g_assert_true(ram_holes_page(h, 0, 20) != b->host + 20 * TARGET_PAGE_SIZE || before > 8192);
    ram_holes_free(h);
    ram_list_free(ram);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-holes/holes", test_holes);
    return g_test_run();
}
