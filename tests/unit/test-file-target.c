/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/channel/file-target: in which order a file becomes whole, and what is left when it
 * does not. open, openat, pwrite, fdatasync, fsync, linkat and renameat are this file's: they keep a
 * list of what was done, can fail, and a file system can be one without nameless files.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "channel-fixture.h"
#include "migration/channel/file-target.h"

static char *dir;
static GString *calls;
static bool no_nameless, no_direct;
static const char *fails;       /* the call that fails */
static int fails_with;

static bool note(const char *what)
{
    g_string_append_printf(calls, "%s%s", calls->len ? " " : "", what);
    if (fails && g_str_equal(fails, what)) {
        errno = fails_with;
        return false;
    }
    return true;
}

int open(const char *path, int flags, ...)
{
    if ((flags & O_DIRECT) && no_direct) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

int openat(int at, const char *path, int flags, ...)
{
    if ((flags & O_TMPFILE) == O_TMPFILE && no_nameless) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return syscall(SYS_openat, at, path, flags, 0600);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    return note("pwrite") ? syscall(SYS_pwrite64, fd, buf, len, offset) : -1;
}

int fdatasync(int fd)
{
    return note("fdatasync") ? syscall(SYS_fdatasync, fd) : -1;
}

int fsync(int fd)
{
    return note("fsync") ? syscall(SYS_fsync, fd) : -1;
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    return note("link") ? syscall(SYS_linkat, a, from, b, to, flags) : -1;
}

int renameat(int a, const char *from, int b, const char *to)
{
    return note("rename") ? syscall(SYS_renameat2, a, from, b, to, 0) : -1;
}

static const ChannelFileOptions all = {
    .mark = { 'p', 'a', 'r', 't' }, .marked = true, .beside = true, .sync = true,
};

static char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

static void begin(bool nameless, const char *failing, int with)
{
    calls = calls ? calls : g_string_new(NULL);
    g_string_set_size(calls, 0);
    no_nameless = !nameless;
    fails = failing;
    fails_with = with;
}

static void write_text(FileTarget *t, const char *text)
{
    g_autofree char *copy = g_strdup(text);
    uint64_t at;

    g_assert_cmpint(file_target_write(t, copy, strlen(copy), -1, &at), ==, 0);
}

/* NULL: there is no such file. */
static void assert_holds(const char *path, const char *want)
{
    g_autofree char *text = NULL;

    g_assert_cmpint(g_file_get_contents(path, &text, NULL, NULL), ==, want != NULL);
    g_assert_cmpstr(text, ==, want);
}

/* Names in the folder: as many as are said. */
static void assert_names(unsigned want)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(d)) {
        n++;
    }
    g_dir_close(d);
    g_assert_cmpuint(n, ==, want);
}

/* Over nothing and over an older file, with and without nameless files. */
static void test_order(void)
{
    static const struct { bool nameless, old; const char *calls; } rows[] = {
        { true, false, "fdatasync pwrite fdatasync link fsync" },
        { true, true, "fdatasync pwrite fdatasync link link rename fsync" },
        { false, false, "fdatasync pwrite fdatasync rename fsync" },
        { false, true, "fdatasync pwrite fdatasync rename fsync" },
    };
    g_autofree char *path = path_of("image");

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FileStep step;
        begin(rows[i].nameless, NULL, 0);
        if (rows[i].old) {
            g_assert_true(g_file_set_contents(path, "old", -1, NULL));
        }
        FileTarget *t = file_target_new_beside(path, &all);
        g_assert_nonnull(t);
        write_text(t, "QE");        /* the mark's place may come in pieces */
        write_text(t, "VMand more");
        assert_holds(path, rows[i].old ? "old" : NULL);
        assert_names((rows[i].old ? 1 : 0) + (rows[i].nameless ? 0 : 1));
        g_assert_cmpint(file_target_sync(t), ==, 0);
        g_assert_cmpint(file_target_publish(t, &step), ==, 0);
        g_assert_cmpstr(calls->str, ==, rows[i].calls);
        g_assert_cmpint(file_target_free(t), ==, 0);
        assert_holds(path, "QEVMand more");
        assert_names(1);
        g_unlink(path);
    }
}

/* In place, over an old one: the mark is on the disk before anything else of it is overwritten. */
static void test_in_place(void)
{
    g_autofree char *path = path_of("image");
    FileStep step;

    begin(true, NULL, 0);
    g_assert_true(g_file_set_contents(path, "QEVMold and longer", -1, NULL));
    FileTarget *t = file_target_new(open(path, O_WRONLY), &all);
    write_text(t, "QEVMnew");
    assert_holds(path, "partnew and longer");
    g_assert_cmpstr(calls->str, ==, "fdatasync");
    write_text(t, "er");
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    g_assert_cmpstr(calls->str, ==, "fdatasync pwrite fdatasync");
    g_assert_cmpint(file_target_free(t), ==, 0);
    assert_holds(path, "QEVMnewernd longer");

    ChannelFileOptions quick = all;     /* without the waits */
    quick.sync = false;
    begin(true, NULL, 0);
    t = file_target_new(open(path, O_WRONLY), &quick);
    write_text(t, "QEVMnew");
    g_assert_cmpint(file_target_sync(t), ==, 0);
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    g_assert_cmpstr(calls->str, ==, "pwrite");
    file_target_free(t);
    t = file_target_new(open(path, O_WRONLY | O_APPEND), &all);     /* nothing goes in front */
    write_text(t, "QEVM");
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    file_target_free(t);
    assert_holds(path, "QEVMnewernd longerQEVM");
    g_unlink(path);
}

/* Whatever fails, the old one stays, nothing else is left, and what failed is said. */
static void test_fails(void)
{
    static const struct { const char *call; int with; FileStep step; bool new_one; } rows[] = {
        { "pwrite", ENOSPC, FILE_STEP_WRITE, false },
        { "fdatasync", EIO, FILE_STEP_SYNC, false },
        { "link", EACCES, FILE_STEP_NAME, false },
        { "rename", EROFS, FILE_STEP_NAME, false },
        { "fsync", EIO, FILE_STEP_NAME, true },
    };
    g_autofree char *path = path_of("image");

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        bool nameless = i % 2;
        FileStep step;
        if (!nameless && g_str_equal(rows[i / 2].call, "link")) {
            continue;
        }
        begin(true, NULL, 0);
        g_assert_true(g_file_set_contents(path, "old", -1, NULL));
        begin(nameless, rows[i / 2].call, rows[i / 2].with);
        FileTarget *t = file_target_new_beside(path, &all);
        write_text(t, "QEVMnew");
        g_assert_cmpint(file_target_publish(t, &step), ==, rows[i / 2].with);
        g_assert_cmpint(step, ==, rows[i / 2].step);
        file_target_free(t);
        begin(true, NULL, 0);
        assert_holds(path, rows[i / 2].new_one ? "QEVMnew" : "old");
        assert_names(1);
    }
    g_unlink(path);
}

/* A temporary name that a process left behind is taken; one that is in use is not. */
static void test_litter(void)
{
    g_autofree char *path = path_of("image"), *litter = path_of(".image.part");
    FileStep step;

    begin(false, NULL, 0);
    g_assert_true(g_file_set_contents(litter, "what a killed process has left", -1, NULL));
    FileTarget *t = file_target_new_beside(path, &all);
    g_assert_nonnull(t);
    g_assert_null(file_target_new_beside(path, &all));      /* to be written in place then */
    write_text(t, "QEVMnew");
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    file_target_free(t);
    assert_holds(path, "QEVMnew");
    assert_names(1);

    g_assert_true(g_file_set_contents(litter, "linked, not renamed", -1, NULL));
    begin(true, NULL, 0);
    t = file_target_new_beside(path, &all);
    write_text(t, "QEVMnewer");
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    file_target_free(t);
    assert_holds(path, "QEVMnewer");
    assert_names(1);

    t = file_target_new_beside(path, &all);     /* and one that gives up leaves nothing */
    write_text(t, "QEVM");
    file_target_free(t);
    assert_holds(path, "QEVMnewer");
    assert_names(1);
    g_unlink(path);
}

/* What cannot be replaced without changing more than its content is written where it is. */
static void test_stays_in_place(void)
{
    g_autofree char *path = path_of("image"), *other = path_of("other"), *fifo = path_of("fifo");
    g_autofree char *nowhere = path_of("nowhere");
    g_autofree char *deep = g_build_filename(dir, "no", "image", NULL);
    g_autofree char *name = g_strnfill(255, 'x'), *lengthy = path_of(name);

    begin(true, NULL, 0);
    g_assert_true(g_file_set_contents(path, "old", -1, NULL));
    g_assert_cmpint(link(path, other), ==, 0);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_cmpint(symlink("missing", nowhere), ==, 0);
    g_assert_null(file_target_new_beside(path, &all));      /* it has two names */
    g_assert_null(file_target_new_beside(fifo, &all));
    g_assert_null(file_target_new_beside(dir, &all));
    g_assert_null(file_target_new_beside("/dev/null", &all));
    g_assert_null(file_target_new_beside(nowhere, &all));
    g_assert_null(file_target_new_beside(deep, &all));
    g_assert_null(file_target_new_beside(lengthy, &all));
    g_unlink(path);
    g_unlink(other);
    g_unlink(fifo);
    g_unlink(nowhere);
    assert_names(0);
}

/* A link stays one, and the file keeps its rights. */
static void test_looks(void)
{
    g_autofree char *path = path_of("image"), *alias = path_of("alias");
    struct stat st;
    FileStep step;

    begin(true, NULL, 0);
    g_assert_true(g_file_set_contents(path, "old", -1, NULL));
    g_assert_cmpint(chmod(path, 0640), ==, 0);
    g_assert_cmpint(symlink("image", alias), ==, 0);
    FileTarget *t = file_target_new_beside(alias, &all);
    write_text(t, "QEVM");
    g_assert_cmpint(file_target_publish(t, &step), ==, 0);
    file_target_free(t);
    g_assert_cmpint(lstat(alias, &st), ==, 0);
    g_assert_true(S_ISLNK(st.st_mode));
    assert_holds(path, "QEVM");
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0640);
    g_unlink(path);
    g_unlink(alias);
}

/* What is aligned goes around the page cache, the rest does not, and all of it arrives. */
static void test_direct(void)
{
    static const struct { uint64_t offset; size_t len; } rows[] = {
        { 1 << 20, 1 << 20 }, { 2 << 20, 4096 }, { (2 << 20) + 4096, 100 }, { 65, 4000 },
        { 8192 + 8, 12288 }, { 3 << 20, 4096 * 3 + 1 }, { (3 << 20) + 8192 * 2, 65536 },
    };
    g_autofree char *path = path_of("image"), *back = g_malloc(1 << 20);
    uint8_t *data[G_N_ELEMENTS(rows)];
    FilePiece pieces[G_N_ELEMENTS(rows)];
    uint64_t at;

    begin(true, NULL, 0);
    int fd = open(path, O_RDWR | O_CREAT);
    FileTarget *t = file_target_new(fd, &all);
    no_direct = true;
    g_assert_cmpint(file_target_go_direct(t, -1), ==, EINVAL);
    no_direct = false;
    if (file_target_go_direct(t, -1) != 0) {
        g_test_skip("this file system has no O_DIRECT");
        file_target_free(t);
        g_unlink(path);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(posix_memalign((void **)&data[i], 4096, 1 << 20), ==, 0);
        memset(data[i], 'a' + (int)i, 1 << 20);
        pieces[i] = (FilePiece){ data[i], rows[i].len, rows[i].offset };
    }
    FileRing *ring = file_ring_new();
    g_assert_cmpint(file_target_write_pieces(t, ring, pieces, G_N_ELEMENTS(rows), &at), ==, 0);
    file_ring_free(ring);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(pread(fd, back, rows[i].len, rows[i].offset), ==, rows[i].len);
        g_assert_cmpmem(back, rows[i].len, data[i], rows[i].len);
        free(data[i]);
    }
    g_assert_cmpint(file_target_free(t), ==, 0);
    g_unlink(path);
}

/* Asked for and not to be had: said in words, with the name. */
static void test_no_direct(void)
{
    g_autofree char *path = path_of("image"), *uri = g_strdup_printf("file:%s", path);
    g_autoptr(GError) err = NULL;
    ChannelAddress *a = channel_address_parse(uri, NULL);

    begin(true, NULL, 0);
    a->file = all;
    a->file.direct = no_direct = true;
    g_assert_null(channel_connect(a, -1, &err));
    g_assert_nonnull(strstr(err->message, "image' cannot be opened for direct I/O (direct-io): Invalid"));
    no_direct = false;
    channel_address_free(a);
    assert_names(0);
}

/* The channel: complete makes it whole, close alone does not; errors say where. */
static void test_channel(void)
{
    g_autofree char *path = path_of("image"), *uri = g_strdup_printf("file:%s", path);
    g_autoptr(GError) err = NULL;

    for (int completed = 0; completed < 2; completed++) {
        ChannelAddress *a = channel_address_parse(uri, NULL);
        begin(true, NULL, 0);
        a->file = all;
        Channel *c = channel_connect(a, -1, &err);
        g_assert_no_error(err);
        g_assert_true(channel_write_all(c, "QEVMnew", 7, NULL));
        g_assert_true(channel_settle(c, NULL));
        assert_holds(path, NULL);
        if (completed) {
            g_assert_cmpint(channel_complete(c, -1, NULL), ==, CHANNEL_END_TAKEN);
        }
        g_assert_true(channel_close(c, NULL));
        assert_holds(path, completed ? "QEVMnew" : NULL);
        channel_address_free(a);
    }
    static const struct { const char *call, *words; } rows[] = {
        { "pwrite", "' at 0x1000: Input/output error" },
        { "fdatasync", "Unable to bring 'file:" },
        { "rename", "Unable to put what was written in the place of 'file:" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        ChannelAddress *a = channel_address_parse(uri, NULL);
        begin(true, rows[i].call, EIO);
        a->file = all;
        Channel *c = channel_connect(a, -1, NULL);
        g_assert_true(channel_write_all(c, "QEVMnew", 7, NULL));
        g_assert_true(channel_pwrite_all(c, "page", 4, 0x1000, NULL));
        g_assert_cmpint(channel_complete(c, -1, &err), ==, CHANNEL_END_FAILED);
        g_assert_nonnull(strstr(err->message, rows[i].words));
        g_assert_nonnull(strstr(err->message, path));
        g_assert_true(g_str_has_suffix(err->message, "Input/output error"));
        g_clear_error(&err);
        channel_close(c, NULL);
        channel_address_free(a);
        assert_holds(path, "QEVMnew");
        assert_names(1);
    }
    begin(true, NULL, 0);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/file-target/order", test_order);
    g_test_add_func("/file-target/in-place", test_in_place);
    g_test_add_func("/file-target/fails", test_fails);
    g_test_add_func("/file-target/litter", test_litter);
    g_test_add_func("/file-target/stays-in-place", test_stays_in_place);
    g_test_add_func("/file-target/looks", test_looks);
    g_test_add_func("/file-target/channel", test_channel);
    g_test_add_func("/file-target/direct", test_direct);
    g_test_add_func("/file-target/no-direct", test_no_direct);
    int rc = run_in_folder(&dir);
    if (calls) {
        g_string_free(calls, TRUE);
    }
    return rc;
}
