/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/mapped/working-set: its text there and back, what is refused, and texts with anything changed. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/mapped/working-set.h"
#include "ram-fixture.h"

static const BlockSpec blocks[] = { { "pc.ram", 700 }, { "odd one", 65 } };
static const char text[] = "ferry working set 1\n0x3000 5 pc.ram\n0x0 65 odd one\n0x2bb000 1 pc.ram\n";

static void expect(const WorkingSet *s, size_t i, size_t block, uint64_t first, uint64_t count)
{
    WorkingRun r = working_set_get(s, i);

    g_assert_cmpuint(r.block, ==, block);
    g_assert_cmpuint(r.first, ==, first);
    g_assert_cmpuint(r.count, ==, count);
}

static void test_text(void)
{
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));
    GError *err = NULL;
    WorkingSet *s = working_set_parse(side->ram, text, strlen(text), &err);

    g_assert_no_error(err);
    g_assert_cmpuint(working_set_runs(s), ==, 3);
    g_assert_cmpuint(working_set_pages(s), ==, 71);
    expect(s, 0, 0, 3, 5);
    expect(s, 1, 1, 0, 65);
    expect(s, 2, 0, 699, 1);
    g_autofree char *back = working_set_text(s, side->ram);
    g_assert_cmpstr(back, ==, text);
    working_set_free(s);
    side_free(side);
}

/* Neighbours become one run; what is in it already is not added as new. */
static void test_add(void)
{
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));
    WorkingSet *s = working_set_new();

    working_set_add(s, 0, 10, 2);
    working_set_add(s, 0, 12, 3);
    working_set_add(s, 1, 15, 1);
    working_set_add_new(s, side->ram, 0, 8, 10);
    working_set_add_new(s, side->ram, 1, 15, 1);
    working_set_add_new(s, side->ram, 0, 0, 1);
    g_assert_cmpuint(working_set_runs(s), ==, 5);
    expect(s, 0, 0, 10, 5);
    expect(s, 1, 1, 15, 1);
    expect(s, 2, 0, 8, 2);
    expect(s, 3, 0, 15, 3);
    expect(s, 4, 0, 0, 1);
    g_assert_cmpuint(working_set_pages(s), ==, 12);
    working_set_free(s);
    side_free(side);
}

static void test_refused(void)
{
    static const char *const bad[] = {
        "", "ferry working set 2\n", "ferry working set 1", "ferry working set 1\n0x1000 1 other\n",
        "ferry working set 1\n0x1001 1 pc.ram\n", "ferry working set 1\n0x1000 0 pc.ram\n",
        "ferry working set 1\n0x2bb000 2 pc.ram\n", "ferry working set 1\n4096 1 pc.ram\n",
        "ferry working set 1\n0x1000 18446744073709551615 pc.ram\n",
        "ferry working set 1\n0x1000 18446744073709551616 pc.ram\n",
        "ferry working set 1\n0xfffffffffffff000 1 pc.ram\n", "ferry working set 1\n0x1000 pc.ram\n",
        "ferry working set 1\n\n0x1000 1 pc.ram\n",
    };
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *err = NULL;
        if (working_set_parse(side->ram, bad[i], strlen(bad[i]), &err)) {
            g_error("accepted: %s", bad[i]);
        }
        g_assert_nonnull(err);
        g_error_free(err);
    }
    side_free(side);
}

/* Whatever is in the text: runs that lie in memory, or an error. */
static void test_anything(void)
{
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));

    for (int turn = 0; turn < 20000; turn++) {
        g_autofree char *some = g_strdup(text);
        GError *err = NULL;
        for (int n = g_test_rand_int_range(1, 6); n > 0; n--) {
            some[g_test_rand_int_range(0, strlen(text))] = g_test_rand_int_range(0, 256);
        }
        WorkingSet *s = working_set_parse(side->ram, some, strlen(text), &err);
        g_assert_true(!s == !!err);
        for (size_t i = 0; s && i < working_set_runs(s); i++) {
            WorkingRun r = working_set_get(s, i);
            uint64_t pages = ram_block_pages(ram_list_get(side->ram, r.block));
            g_assert_true(r.first < pages && r.count > 0 && r.count <= pages - r.first);
        }
        working_set_free(s);
        g_clear_error(&err);
    }
    side_free(side);
}

static void test_file(void)
{
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));
    g_autofree char *dir = g_dir_make_tmp("ferry-set-XXXXXX", NULL);
    g_autofree char *image = g_build_filename(dir, "image", NULL);
    g_autofree char *file = g_strconcat(image, ".working-set", NULL);
    GError *err = NULL;

    g_assert_null(working_set_load(side->ram, image, &err));
    g_assert_nonnull(err);
    g_clear_error(&err);
    WorkingSet *s = working_set_parse(side->ram, text, strlen(text), NULL);
    g_assert_true(working_set_save(s, side->ram, image, &err));
    working_set_free(s);
    s = working_set_load(side->ram, image, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(working_set_runs(s), ==, 3);
    working_set_free(s);
    g_assert_cmpint(unlink(file), ==, 0);
    g_assert_cmpint(mkdir(file, 0700), ==, 0);
    g_assert_null(working_set_load(side->ram, image, NULL));
    rmdir(file);
    rmdir(dir);
    side_free(side);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/working-set/text", test_text);
    g_test_add_func("/working-set/add", test_add);
    g_test_add_func("/working-set/refused", test_refused);
    g_test_add_func("/working-set/anything", test_anything);
    g_test_add_func("/working-set/file", test_file);
    return g_test_run();
}
