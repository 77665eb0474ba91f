/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/file-ring: all of it is done, in whatever way; what is not has its own errno. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include "util/file-ring.h"

static void test_there_and_back(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("ferry-ring-XXXXXX", &path, NULL);
    FileRing *ring = file_ring_new();
    FileRingOp ops[FILE_RING_DEPTH];
    g_autofree uint8_t *out = g_malloc(FILE_RING_DEPTH << 16), *in = g_malloc0(FILE_RING_DEPTH << 16);

    g_test_message("%s", file_ring_is_parallel(ring) ? "io_uring" : "one after the other");
    for (unsigned turn = 0; turn < 50; turn++) {
        unsigned n = 1 + turn % FILE_RING_DEPTH;
        for (unsigned i = 0; i < FILE_RING_DEPTH << 16; i++) {
            out[i] = (uint8_t)g_test_rand_int();
        }
        for (unsigned i = 0; i < n; i++) {      /* in no order, with room between them */
            unsigned k = (i * 5 + turn) % FILE_RING_DEPTH;
            ops[i] = (FileRingOp){ .fd = fd, .write = true, .buf = out + ((size_t)k << 16),
                                   .len = 60000 + i, .offset = (uint64_t)k << 16 };
        }
        g_assert_true(file_ring_run(ring, ops, n));
        for (unsigned i = 0; i < n; i++) {
            ops[i].write = false;
            ops[i].buf = in + ops[i].offset;
        }
        g_assert_true(file_ring_run(ring, ops, n));
        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpmem(ops[i].buf, ops[i].len, out + ops[i].offset, ops[i].len);
        }
    }
    file_ring_free(ring);
    close(fd);
    g_unlink(path);
}

static void test_errors(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("ferry-ring-XXXXXX", &path, NULL), reader = open(path, O_RDONLY);
    FileRing *ring = file_ring_new();
    char buf[3][100];

    memset(buf, 'x', sizeof(buf));
    FileRingOp ops[] = {
        { .fd = fd, .write = true, .buf = buf[0], .len = 50 },
        { .fd = reader, .write = true, .buf = buf[1], .len = 50, .offset = 100 },
    };
    g_assert_false(file_ring_run(ring, ops, G_N_ELEMENTS(ops)));
    g_assert_cmpint(ops[0].err, ==, 0);
    g_assert_cmpint(ops[1].err, ==, EBADF);
    FileRingOp reads[] = {
        { .fd = fd, .buf = buf[0], .len = 50 },
        { .fd = fd, .buf = buf[1], .len = 51 },         /* one byte more than there is */
        { .fd = fd, .buf = buf[2], .len = 1, .offset = 1000 },
    };
    g_assert_false(file_ring_run(ring, reads, G_N_ELEMENTS(reads)));
    g_assert_cmpint(reads[0].err, ==, 0);
    g_assert_cmpint(reads[1].err, ==, ENODATA);
    g_assert_cmpint(reads[2].err, ==, ENODATA);
    file_ring_free(ring);
    file_ring_free(NULL);
    close(fd);
    close(reader);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/file-ring/there-and-back", test_there_and_back);
    g_test_add_func("/file-ring/errors", test_errors);
    return g_test_run();
}
