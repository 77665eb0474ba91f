/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/ramblock: announcement order, names, sizes, backing. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "softmmu/ramblock.h"

static RAMBlock *add(RAMList *list, const char *name, uint64_t length)
{
    GError *err = NULL;
    RAMBlock *block = ram_list_add(list, name, length, NULL, &err);

    g_assert_no_error(err);
    return block;
}

static void test_order(void)
{
    RAMList *list = ram_list_new();
    static const char *const want[] = { "big", "flash0", "flash1", "rom" };

    add(list, "flash0", 0x2000);
    add(list, "rom", 0xfff);
    add(list, "flash1", 0x2000);
    add(list, "big", 0x10000);
    g_assert_cmpuint(ram_list_count(list), ==, 4);
    for (size_t i = 0; i < 4; i++) {
        g_assert_cmpstr(ram_list_get(list, i)->idstr, ==, want[i]);
    }
    g_assert_null(ram_list_get(list, 4));
    g_assert_cmpuint(ram_list_total_bytes(list), ==, 0x10000 + 2 * 0x2000 + 0x1000);
    g_assert_true(ram_list_find(list, "romXX", 3) == ram_list_get(list, 3));
    g_assert_null(ram_list_find(list, "ro", 2));
    ram_list_free(list);
}

static void test_offsets_do_not_overlap(void)
{
    RAMList *list = ram_list_new();
    RAMBlock *a = add(list, "a", 0x3001), *b = add(list, "b", 0x1000);

    g_assert_cmpuint(a->used_length, ==, 0x4000);
    g_assert_cmpuint(b->ram_offset, >=, a->ram_offset + a->used_length);
    g_assert_cmpuint(b->ram_offset % TARGET_PAGE_SIZE, ==, 0);
    g_assert_cmpuint(a->guest_addr, ==, UINT64_MAX);
    for (uint64_t i = 0; i < a->used_length; i++) {
        g_assert_cmpuint(a->host[i], ==, 0);
    }
    memset(a->host, 0xff, a->used_length);
    ram_list_free(list);
}

static void expect_error(RAMList *list, const char *name, uint64_t length, const char *path,
                         const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(ram_list_add(list, name, length, path, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, text));
}

static void test_bad(void)
{
    RAMList *list = ram_list_new();
    g_autofree char *longname = g_strnfill(RAM_BLOCK_ID_MAX + 1, 'x');

    add(list, "ram", 0x1000);
    expect_error(list, "ram", 0x1000, NULL, "'ram' exists already");
    expect_error(list, "", 0x1000, NULL, "name of 0 bytes");
    expect_error(list, longname, 0x1000, NULL, "name of 256 bytes");
    expect_error(list, "none", 0, NULL, "'none': 0 MiB are too few");
    expect_error(list, "huge", UINT64_MAX, NULL, "'huge': 17592186044415 MiB are too many");
    expect_error(list, "file", 0x1000, "/nonexistent/x", "/nonexistent/x for guest RAM");
    g_assert_cmpuint(ram_list_count(list), ==, 1);
    ram_list_free(list);
}

static void test_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("ferry-ram-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "ram", NULL);
    RAMList *list = ram_list_new();
    GError *err = NULL;
    struct stat st;
    g_autofree char *content = NULL;

    RAMBlock *block = ram_list_add(list, "file", 0x2000, path, &err);
    g_assert_no_error(err);
    memcpy(block->host + 0x1000, "hello", 5);
    RAMBlock *in_dir = ram_list_add(list, "dir", 0x2000, dir, &err);
    g_assert_no_error(err);
    in_dir->host[0x1fff] = 1;
    ram_list_discard(list); /* the directory's file is ours, the named one somebody's */
    g_assert_cmpint(in_dir->host[0x1fff], ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 0x2000);
    ram_list_free(list);
    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpmem(content + 0x1000, 5, "hello", 5);
    g_unlink(path);
    g_assert_cmpint(g_rmdir(dir), ==, 0); /* the directory form left nothing behind */
}

static void test_discard(void)
{
    RAMList *list = ram_list_new();
    RAMBlock *one = ram_list_add(list, "one", 0x3000, NULL, NULL);
    RAMBlock *two = ram_list_add(list, "two", 0x1000, NULL, NULL);

    one->host[0] = one->host[0x2fff] = two->host[0xfff] = 1;
    ram_list_discard(list);
    g_assert_cmpint(lseek(one->fd, 0, SEEK_DATA), ==, -1); /* costs the host nothing */
    g_assert_cmpint(one->host[0] | one->host[0x2fff] | two->host[0xfff], ==, 0);
    one->host[0x1000] = 7;
    g_assert_cmpint(one->host[0x1000], ==, 7);
    ram_list_free(list);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ramblock/order", test_order);
    g_test_add_func("/ramblock/offsets", test_offsets_do_not_overlap);
    g_test_add_func("/ramblock/bad", test_bad);
    g_test_add_func("/ramblock/file", test_file);
    g_test_add_func("/ramblock/discard", test_discard);
    return g_test_run();
}
