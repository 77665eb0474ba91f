/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target without libFuzzer: over every file of the corpus folder
 * and over seeded random mutations of them, so that each build, also gcc's,
 * proves that old findings stay fixed.
 *
 *   replay-NAME CORPUS[:CORPUS...] [MUTATIONS [SEED]]
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mutate(GRand *rand, GByteArray *a)
{
    for (int n = g_rand_int_range(rand, 1, 6); n > 0 && a->len > 0; n--) {
        guint at = g_rand_int_range(rand, 0, a->len);
        switch (g_rand_int_range(rand, 0, 5)) {
        case 0:
            a->data[at] ^= 1U << g_rand_int_range(rand, 0, 8);
            break;
        case 1:
            a->data[at] = (guint8)g_rand_int(rand);
            break;
        case 2:
            g_byte_array_set_size(a, at);
            break;
        case 3: {
            guint len = 1 + g_rand_int(rand) % 16;
            g_byte_array_remove_range(a, at, MIN(a->len - at, len));
            break;
        }
        default: {
            guint len = 1 + g_rand_int(rand) % 64;
            len = MIN(a->len - at, len);
            g_autofree guint8 *copy = g_memdup2(a->data + at, len);
            g_byte_array_append(a, copy, len);
        }
        }
    }
}

/* Runs the target over each file of a folder and keeps it in files; false when the folder cannot be read. */
static bool run_folder(const char *folder, GPtrArray *files)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &err);
    const char *name;

    if (!dir) {
        fprintf(stderr, "%s\n", err->message);
        return false;
    }
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        char *data;
        gsize len;
        if (g_file_get_contents(path, &data, &len, NULL)) {
            g_ptr_array_add(files, g_bytes_new_take(data, len));
            LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    long mutations = argc > 2 ? strtol(argv[2], NULL, 0) : 3000;
    guint32 seed = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
    g_auto(GStrv) folders = g_strsplit(argc > 1 ? argv[1] : "", ":", -1);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    if (!folders[0]) {
        fprintf(stderr, "usage: replay CORPUS[:CORPUS...] [MUTATIONS [SEED]]\n");
        return 2;
    }
    for (char **folder = folders; *folder; folder++) {
        if (!run_folder(*folder, files)) {
            return 2;
        }
    }
    for (long i = 0; i < mutations && files->len; i++) {
        gsize len;
        const guint8 *data =
            g_bytes_get_data(g_ptr_array_index(files, i % files->len), &len);
        GByteArray *a = g_byte_array_append(g_byte_array_new(), data, len);
        mutate(rand, a);
        LLVMFuzzerTestOneInput(a->data ? a->data : (const guint8 *)"", a->len);
        g_byte_array_unref(a);
    }
    printf("%u seeds, %ld mutations (seed %u)\n", files->len, mutations, seed);
    return files->len ? 0 : 1;
}
