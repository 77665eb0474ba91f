/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disk images: options of -drive and -blockdev and their errors; reads and writes of any alignment, also with O_DIRECT. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hw/block-backend.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"

#define IMAGE_BYTES (256 * 1024 + 512)

typedef struct Fix {
    Machine machine;
    MachineConfig config;
    char *path;
    uint8_t model[IMAGE_BYTES];
} Fix;

static Fix *fix_new(void)
{
    Fix *f = g_new0(Fix, 1);
    /* not /tmp: it may be a file system without O_DIRECT */
    g_autofree char *here = g_get_current_dir();
    g_autofree char *template = g_build_filename(here, "block-XXXXXX", NULL);
    int fd = g_mkstemp(template);

    g_assert_cmpint(fd, >=, 0);
    for (size_t i = 0; i < IMAGE_BYTES; i++) {
        f->model[i] = i * 31 + i / 512;
    }
    g_assert_cmpint(write(fd, f->model, IMAGE_BYTES), ==, IMAGE_BYTES);
    close(fd);
    f->path = g_steal_pointer(&template);
    f->machine.config = &f->config;
    f->config.drives = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    f->config.blockdevs = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
    return f;
}

static void fix_free(Fix *f)
{
    unlink(f->path);
    g_ptr_array_unref(f->config.drives);
    g_ptr_array_unref(f->config.blockdevs);
    g_free(f->path);
    g_free(f);
}

/* @ in text stands for the image. */
static BlockBackends *open_blocks(Fix *f, bool drive, const char *const *texts, GError **errp)
{
    GPtrArray *list = drive ? f->config.drives : f->config.blockdevs;

    g_ptr_array_set_size(list, 0);
    for (; *texts; texts++) {
        g_auto(GStrv) parts = g_strsplit(*texts, "@", -1);
        g_autofree char *text = g_strjoinv(f->path, parts);
        Opts *opts = opts_parse(text, NULL, errp);

        g_assert_nonnull(opts);
        g_ptr_array_add(list, opts);
    }
    return block_backends_new(&f->machine, errp);
}

#define TEXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void random_io(Fix *f, BlockNode *node)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    g_autofree uint8_t *buf = g_malloc(IMAGE_BYTES + 64);

    for (unsigned round = 0; round < 400; round++) {
        uint64_t offset = g_rand_int_range(rand, 0, IMAGE_BYTES / 512) * 512;
        size_t want = (size_t)g_rand_int_range(rand, 1, 200) * 512;
        size_t len = MIN(want, IMAGE_BYTES - offset);
        size_t cut = g_rand_int_range(rand, 0, len + 1);
        struct iovec iov[2] = { { buf + 3, cut }, { buf + 3 + cut, len - cut } };

        if (g_rand_boolean(rand)) {
            for (size_t i = 0; i < len; i++) {
                buf[3 + i] = f->model[offset + i] = g_rand_int(rand);
            }
            g_assert_cmpint(block_node_pwritev(node, iov, 2, offset), ==, 0);
        } else {
            memset(buf, 0, len + 3);
            g_assert_cmpint(block_node_preadv(node, iov, 2, offset), ==, 0);
            g_assert_cmpmem(buf + 3, len, f->model + offset, len);
        }
    }
    g_assert_cmpint(block_node_flush(node), ==, 0);
    g_rand_free(rand);
}

static void check_file(Fix *f)
{
    g_autofree char *data = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(f->path, &data, &len, NULL));
    g_assert_cmpmem(data, len, f->model, IMAGE_BYTES);
}

static void check_io(const char *options)
{
    Fix *f = fix_new();
    g_autofree char *text = g_strconcat("if=none,id=d0,format=raw,file=@", options, NULL);
    GError *err = NULL;
    BlockBackends *blocks = open_blocks(f, true, TEXTS(text), &err);
    struct iovec iov = { f->model, 512 };
    BlockNode *node;

    if (!blocks && strstr(err->message, "Invalid argument")) {
        g_test_skip("no O_DIRECT here");
        g_error_free(err);
        fix_free(f);
        return;
    }
    g_assert_no_error(err);
    node = block_backends_find(blocks, "d0");
    random_io(f, node);
    g_assert_cmpint(block_node_write_zeroes(node, 1024, 4096, true), ==, 0);
    memset(f->model + 1024, 0, 4096);
    g_assert_cmpint(block_node_write_zeroes(node, IMAGE_BYTES - 512, 512, false), ==, 0);
    memset(f->model + IMAGE_BYTES - 512, 0, 512);
    check_file(f);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, IMAGE_BYTES), ==, -EIO);
    g_assert_cmpint(block_node_pwritev(node, &iov, 1, IMAGE_BYTES - 256), ==, -EIO);
    g_assert_cmpint(block_node_pwritev(node, &iov, 1, UINT64_MAX - 100), ==, -EIO);
    g_assert_cmpint(block_node_discard(node, UINT64_MAX, UINT64_MAX), ==, -EIO);
    check_file(f);
    block_backends_free(blocks);
    fix_free(f);
}

static void test_buffered(void)
{
    check_io("");
}

static void test_direct(void)
{
    check_io(",cache=none");
}

static void test_chain(void)
{
    Fix *f = fix_new();
    GError *err = NULL;
    BlockBackends *blocks = open_blocks(f, false, TEXTS(
        "{\"driver\":\"file\",\"filename\":\"@\",\"node-name\":\"libvirt-1-storage\","
        "\"auto-read-only\":true,\"discard\":\"unmap\",\"cache\":{\"direct\":false,\"no-flush\":false}}",
        "{\"node-name\":\"libvirt-1-format\",\"read-only\":false,\"driver\":\"raw\","
        "\"file\":\"libvirt-1-storage\",\"offset\":1024,\"size\":2048}"), &err);
    uint8_t buf[512];
    struct iovec iov = { buf, sizeof(buf) };
    BlockNodeInfo info;
    BlockNode *node;

    g_assert_no_error(err);
    node = block_backends_find(blocks, "libvirt-1-format");
    block_node_info(node, &info);
    g_assert_cmpuint(info.size_bytes, ==, 2048);
    g_assert_cmpstr(info.filename, ==, f->path);
    g_assert_false(info.ro);
    g_assert_nonnull(info.child);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, 512), ==, 0);
    g_assert_cmpmem(buf, 512, f->model + 1536, 512);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, 2048), ==, -EIO);
    block_backends_free(blocks);
    fix_free(f);
}

static void test_read_only(void)
{
    Fix *f = fix_new();
    GError *err = NULL;
    BlockBackends *blocks = open_blocks(f, true, TEXTS("if=none,id=r,file=@,readonly=on"), &err);
    uint8_t buf[512] = { 0 };
    struct iovec iov = { buf, sizeof(buf) };
    BlockNode *node = block_backends_find(blocks, "r");

    g_assert_no_error(err);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, 0), ==, 0);
    g_assert_cmpint(block_node_pwritev(node, &iov, 1, 0), ==, -EACCES);
    g_assert_cmpint(block_node_write_zeroes(node, 0, 512, true), ==, -EACCES);
    g_assert_cmpint(block_node_discard(node, 0, 512), ==, -EACCES);
    check_file(f);
    block_backends_free(blocks);
    fix_free(f);
}

static void test_errors(void)
{
    static const struct { bool drive; const char *text, *message; } cases[] = {
        { true, "file=/nonex,if=none,id=a,format=raw", "Could not open '/nonex': No such file or "
                                                       "directory" },
        { true, "file=@,if=none,id=a,format=raw,foo=x", "Block format 'raw' does not support the "
                                                        "option 'foo'" },
        { true, "file=@,if=none,cache=some", "invalid cache option" },
        { true, "if=none,id=a", "drive is empty" },
        { true, "file=@,if=none,werror=bogus", "'bogus' invalid write error action" },
        { true, "file=@,if=none,werror=auto", "'auto' invalid write error action" },
        { true, "file=@,if=none,rerror=bogus", "'bogus' invalid read error action" },
        { true, "file=@,if=none,rerror=enospc", "'enospc' invalid read error action" },
        { true, "file=@,if=none,readonly=maybe", "Parameter 'readonly' expects 'on' or 'off'" },
        { true, "file=/dev,if=none,readonly=on", "Could not get size of '/dev'" },
        { false, "driver=file,node-name=x", "Parameter 'filename' is missing" },
        { true, "file=@,if=sd", "machine type does not support if=sd,bus=0,unit=0" },
        { true, "file=@,if=bogus", "unsupported bus type 'bogus'" },
        { false, "driver=null-co,node-name=n,bogus=1", "does not support the option 'bogus'" },
        { false, "driver=null-co,node-name=n,read-zeroes=x", "'read-zeroes' expects 'on' or 'off'" },
        { false, "driver=null-co,node-name=n,latency-ns=-1", "latency-ns" },
        { false, "driver=foo,node-name=x", "Parameter 'driver' does not accept value 'foo'" },
        { false, "driver=raw,node-name=y,file=zz", "Cannot find device='zz' nor node-name='zz'" },
        { false, "driver=file,filename=@", "'node-name' must be specified for the root node" },
    };
    Fix *f = fix_new();

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *err = NULL;

        g_ptr_array_set_size(f->config.drives, 0);
        g_ptr_array_set_size(f->config.blockdevs, 0);
        g_assert_null(open_blocks(f, cases[i].drive, TEXTS(cases[i].text), &err));
        g_assert_nonnull(err);
        if (!strstr(err->message, cases[i].message)) {
            g_test_message("%s: %s", cases[i].text, err->message);
            g_test_fail();
        }
        g_error_free(err);
    }
    fix_free(f);
}

static void test_null(void)
{
    Fix *f = fix_new();
    g_autoptr(GError) err = NULL;
    BlockBackends *blocks = open_blocks(f, false, TEXTS(
        "driver=null-co,node-name=n", "driver=null-co,node-name=z,size=65536,read-zeroes=on"), &err);
    uint8_t buf[4096];
    struct iovec iov = { buf, sizeof(buf) };
    BlockNode *node;
    BlockNodeInfo info;

    g_assert_no_error(err);
    node = block_backends_find(blocks, "n");
    block_node_info(node, &info);
    g_assert_cmpuint(info.size_bytes, ==, 1 << 30);
    g_assert_cmpstr(info.driver, ==, "null-co");
    g_assert_cmpstr(info.filename, ==, "null-co://");
    memset(buf, 7, sizeof(buf));
    g_assert_cmpint(block_node_pwritev(node, &iov, 1, 4096), ==, 0);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, 4096), ==, 0);
    g_assert_cmpuint(buf[4095], ==, 7);         /* left as it was */
    g_assert_cmpint(block_node_flush(node), ==, 0);
    g_assert_cmpint(block_node_write_zeroes(node, 0, 1 << 20, true), ==, 0);
    g_assert_cmpint(block_node_preadv(node, &iov, 1, (1 << 30) - 512), ==, -EIO);
    node = block_backends_find(blocks, "z");
    g_assert_cmpint(block_node_preadv(node, &iov, 1, 65536 - 4096), ==, 0);
    g_assert_cmpuint(buf[0], ==, 0);
    g_assert_cmpuint(buf[4095], ==, 0);
    block_backends_free(blocks);
    fix_free(f);
}

static uint64_t node_bytes(const BlockNode *node)
{
    BlockNodeInfo info;

    block_node_info(node, &info);
    return info.size_bytes;
}

static void count_call(void *opaque)
{
    (*(unsigned *)opaque)++;
}

static const char *path_of_disk(void *opaque)
{
    return "/machine/peripheral/vd";
}

static void test_resize(void)
{
    static const BlockDeviceOps device = { count_call, count_call, path_of_disk };
    Fix *f = fix_new();
    g_autoptr(GError) err = NULL;
    BlockBackends *blocks = open_blocks(f, true, TEXTS("if=none,id=d,file=@,format=raw",
                                                       "if=none,id=r,file=@,readonly=on"), &err);
    BlockNode *node = block_backends_find(blocks, "d");
    unsigned calls = 0;
    struct stat st;

    g_assert_no_error(err);
    g_assert_true(block_node_attach(node, "virtio-blk-device", &device, &calls, NULL));
    g_assert_true(block_node_resize(node, 2 * IMAGE_BYTES, &err));
    g_assert_cmpuint(node_bytes(node), ==, 2 * IMAGE_BYTES);
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 2 * IMAGE_BYTES);
    g_assert_cmpuint(calls, ==, 2);             /* waited for, told */
    g_assert_false(block_node_resize(block_backends_find(blocks, "r"), 512, &err));
    g_assert_nonnull(strstr(err->message, "read-only"));
    block_backends_free(blocks);
    fix_free(f);
}

static void test_drive_names(void)
{
    Fix *f = fix_new();
    g_autoptr(GError) err = NULL;
    BlockBackends *blocks = open_blocks(f, true, TEXTS(
        "if=none,file=@,format=raw", "if=virtio,file=@,format=raw", "if=virtio,file=@,index=5",
        "if=none,driver=null-co,size=1M", "if=virtio,file=null-co://,format=raw"), &err);
    BlockNodeInfo info;

    g_assert_no_error(err);
    block_node_info(block_backends_find(blocks, "none0"), &info);
    g_assert_false(info.wants_device);
    block_node_info(block_backends_find(blocks, "virtio0"), &info);
    g_assert_true(info.wants_device);
    block_node_info(block_backends_find(blocks, "virtio5"), &info);
    g_assert_true(info.wants_device);
    block_node_info(block_backends_find(blocks, "none1"), &info);
    g_assert_cmpstr(info.driver, ==, "null-co");
    g_assert_cmpuint(info.size_bytes, ==, 1 << 20);
    block_node_info(block_backends_find(blocks, "virtio6"), &info);
    g_assert_cmpstr(info.driver, ==, "raw");
    block_backends_free(blocks);
    fix_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/buffered", test_buffered);
    g_test_add_func("/block/direct", test_direct);
    g_test_add_func("/block/chain", test_chain);
    g_test_add_func("/block/read-only", test_read_only);
    g_test_add_func("/block/errors", test_errors);
    g_test_add_func("/block/null", test_null);
    g_test_add_func("/block/resize", test_resize);
    g_test_add_func("/block/drive-names", test_drive_names);
    return g_test_run();
}
