/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/mapped: both layouts byte for byte where the specification says
 * so (6.2, 6.3, 6.6), bounded files, holes, pages that became zero, and
 * files that lie.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "migration/mapped/mapped-file.h"
#include "migration/ram/load.h"
#include "ram-fixture.h"

#define MIB (1ULL << 20)

static const BlockSpec one_mib[] = { { "ram", 256 } };
static const BlockSpec three[] = { { "pc.ram", 700 }, { "flash", 65 }, { "odd", 1 } };

static Channel *channel_on(int fd)
{
    Channel *c = channel_new_fd(dup(fd), "file:test", NULL);

    g_assert_nonnull(c);
    return c;
}

typedef struct File {
    char *path;
    int fd;
} File;

static void file_init(File *f)
{
    f->fd = g_file_open_tmp("ferry-mapped-XXXXXX", &f->path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
}

static void file_clear(File *f)
{
    unlink(f->path);
    close(f->fd);
    g_free(f->path);
}

static uint64_t file_blocks_bytes(File *f)
{
    struct stat st;

    g_assert_cmpint(fstat(f->fd, &st), ==, 0);
    return (uint64_t)st.st_blocks * 512;
}

static uint64_t file_bytes(File *f)
{
    struct stat st;

    g_assert_cmpint(fstat(f->fd, &st), ==, 0);
    return (uint64_t)st.st_size;
}

/* ---- saving ---- */

typedef struct Save {
    Side *side;
    Channel *channel;
    StreamWriter *w;
    RamSaver *saver;
    bool fixed;
} Save;

static void save_init(Save *s, Side *side, File *f, bool fixed, uint64_t offset)
{
    RamSaveOptions opt = {
        .detect_zero = true, .bulk_rule = true,
        .layout = fixed ? RAM_LAYOUT_FIXED : RAM_LAYOUT_MAPPED,
    };

    s->side = side;
    s->fixed = fixed;
    s->channel = channel_on(f->fd);
    s->w = stream_writer_new(s->channel);
    s->saver = ram_saver_new(side->ram, side->log, &opt, NULL);
    g_assert_true(stream_writer_seek(s->w, offset, NULL));
}

static void save_pass(Save *s)
{
    do {
        g_assert_true(ram_save_iterate(s->saver, s->w, never_exhausted, NULL, NULL));
    } while (!saver_done(s->saver));
}

static void save_end(Save *s)
{
    g_assert_true(ram_save_complete(s->saver, s->w, NULL));
    g_assert_true(stream_flush(s->w, NULL));
    ram_saver_free(s->saver);
    stream_writer_free(s->w);
    channel_close(s->channel, NULL);
}

static void save_all(Side *side, File *f, bool fixed, uint64_t offset)
{
    Save s;

    save_init(&s, side, f, fixed, offset);
    g_assert_true(ram_save_setup(s.saver, s.w, NULL));
    save_pass(&s);
    save_end(&s);
}

/* ---- loading ---- */

static bool load_all(Side *side, File *f, bool fixed, uint64_t offset, GError **errp)
{
    RamLoadOptions opt = { .layout = fixed ? RAM_LAYOUT_FIXED : RAM_LAYOUT_MAPPED };
    RamLoader *l = ram_loader_new(side->ram, side->log, &opt);
    Channel *c = channel_on(f->fd);
    StreamReader *r;
    bool ok = lseek(f->fd, 0, SEEK_SET) == 0;

    r = stream_reader_new(c);
    ok = ok && stream_reader_seek(r, offset, errp);

    for (int payload = 0; payload < 3 && ok; payload++) {   /* START, PART, END */
        ok = ram_load_payload(l, r, 4, errp);
    }
    stream_reader_free(r);
    channel_close(c, NULL);
    ram_loader_free(l);
    return ok;
}

static void load_and_compare(Side *from, File *f, bool fixed, uint64_t offset)
{
    Side *to = side_new(three, G_N_ELEMENTS(three));
    g_autoptr(GError) err = NULL;

    side_set(to, "pc.ram", 0, 0xee, 700 * PAGE);    /* a machine that was used before */
    if (!load_all(to, f, fixed, offset, &err)) {
        g_error("load: %s", err->message);
    }
    side_assert_equal(from, to);
    side_free(to);
}

/* ---- a sink that is not guest memory; the file without its stream ---- */

typedef struct Collector {
    uint8_t page[2][4096];      /* two pages are neighbours, the third is not */
    GString *log;
} Collector;

static uint8_t *collect_place(void *opaque, size_t block, uint64_t page)
{
    return ((Collector *)opaque)->page[page % 2];
}

static bool collect_placed(void *opaque, size_t block, uint64_t page, GError **errp)
{
    Collector *c = opaque;

    g_string_append_printf(c->log, "%zu:%d=%02x ", block, (int)page, c->page[page % 2][0]);
    return true;
}

static bool collect_fill(void *opaque, size_t block, uint64_t page, uint64_t count, uint8_t value,
                         GError **errp)
{
    Collector *c = opaque;

    g_string_append_printf(c->log, "%zu:%d+%d~%02x ", block, (int)page, (int)count, value);
    return true;
}

/* One page after the other, each with its content, whatever places them; guest memory stays. */
static void test_sink(void)
{
    static const RamPageSink sink = { collect_place, collect_placed, collect_fill };
    RamLoadOptions opt = { .layout = RAM_LAYOUT_MAPPED };
    Side *from = side_new(one_mib, 1), *to = side_new(one_mib, 1);
    Collector c = { .log = g_string_new(NULL) };
    File f;

    for (int page = 3; page < 8; page++) {
        side_set(from, "ram", page * PAGE, 0x10 + page, PAGE);
    }
    file_init(&f);
    save_all(from, &f, false, 0);
    Channel *channel = channel_on(f.fd);
    StreamReader *r = stream_reader_new(channel);
    RamLoader *l = ram_loader_new(to->ram, to->log, &opt);
    g_assert_cmpint(lseek(f.fd, 0, SEEK_SET), ==, 0);
    ram_loader_set_sink(l, &sink, &c);
    g_assert_true(ram_load_payload(l, r, 4, NULL));
    g_assert_cmpstr(c.log->str, ==, "0:0+3~00 0:3=13 0:4=14 0:5=15 0:6=16 0:7=17 0:8+248~00 ");
    for (int page = 0; page < 256; page++) {
        g_assert_cmpuint(side_block(to, "ram")->host[page * PAGE], ==, 0);
    }
    ram_loader_free(l);
    stream_reader_free(r);
    channel_close(channel, NULL);
    g_string_free(c.log, TRUE);
    file_clear(&f);
    side_free(from);
    side_free(to);
}

/* It has a descriptor of its own: pages can be read when stream and channel are gone. */
static void test_file_outlives_channel(void)
{
    Side *side = side_new(one_mib, 1);
    g_autofree uint8_t *page = g_malloc0(PAGE);
    char name[256];
    MappedRun run;
    File f;

    side_set(side, "ram", 9 * PAGE, 0x77, PAGE);
    file_init(&f);
    save_all(side, &f, false, 0);
    Channel *channel = channel_on(f.fd);
    StreamReader *r = stream_reader_new(channel);
    g_assert_cmpint(lseek(f.fd, 0, SEEK_SET), ==, 0);
    MappedFile *file = mapped_file_open(side->ram, channel, RAM_LAYOUT_MAPPED, NULL);
    stream_get_be64(r);                                         /* MEM_SIZE */
    stream_get_cstr(r, name);
    stream_get_be64(r);                                         /* used_length */
    g_assert_true(mapped_file_open_block(file, r, 0, NULL));
    stream_reader_free(r);
    channel_close(channel, NULL);

    g_assert_true(mapped_file_run(file, 0, 0, &run) && !run.present);
    g_assert_true(mapped_file_run(file, 0, run.count, &run) && run.present);
    g_assert_cmpuint(run.first, ==, 9);
    g_assert_cmpuint(run.count, ==, 1);
    g_assert_false(mapped_file_run(file, 0, 256, &run));
    g_assert_true(mapped_file_read(file, 0, 9, 1, page, NULL));
    g_assert_cmphex(page[0], ==, 0x77);
    g_assert_null(mapped_file_open(side->ram, NULL, RAM_LAYOUT_MAPPED, NULL));
    mapped_file_close(file);
    file_clear(&f);
    side_free(side);
}

static void assert_file_at(File *f, uint64_t offset, const void *want, size_t len)
{
    g_autofree uint8_t *got = g_malloc0(len);

    g_assert_cmpint(pread(f->fd, got, len, (off_t)offset), ==, len);
    g_assert_cmpmem(got, len, want, len);
}

/* The example of 6.2: header at 0x4a, bitmap at 0x66, pages at 1 MiB, next at 2 MiB. */
static void test_mapped_bytes(void)
{
    Side *side = side_new(one_mib, 1);
    uint8_t bitmap[32] = { 0x61 };
    File f;

    file_init(&f);
    side_set(side, "ram", 0, 0x11, PAGE);
    side_set(side, "ram", 5 * PAGE, 0x22, 2 * PAGE);
    save_all(side, &f, false, 0x4a - 8 - 4 - 8);
    assert_file_at(&f, 0x4a - 20, "\0\0\0\0\0\x10\0\x04" "\x03ram" "\0\0\0\0\0\x10\0\0", 20);
    assert_file_at(&f, 0x4a, "\0\0\0\1" "\0\0\0\0\0\0\x10\0" "\0\0\0\0\0\0\0\x66"
                   "\0\0\0\0\0\x10\0\0", 28);
    assert_file_at(&f, 0x66, bitmap, sizeof(bitmap));
    assert_file_at(&f, MIB, side_block(side, "ram")->host, MIB);
    assert_file_at(&f, 2 * MIB, "\0\0\0\0\0\0\0\x10" "\0\0\0\0\0\0\0\x10" "\0\0\0\0\0\0\0\x10", 24);
    g_assert_cmpuint(file_bytes(&f), ==, 2 * MIB + 24);
    file_clear(&f);
    side_free(side);
}

/* The founding layout: u32 bitmap size, u64 pages offset, bitmap; one EOS, at the end of START. */
static void test_fixed_bytes(void)
{
    Side *side = side_new(one_mib, 1);
    uint8_t bitmap[32] = { 0x61 };
    File f;

    file_init(&f);
    side_set(side, "ram", 0, 0x11, PAGE);
    side_set(side, "ram", 5 * PAGE, 0x22, 2 * PAGE);
    save_all(side, &f, true, 100);
    assert_file_at(&f, 100, "\0\0\0\0\0\x10\0\x04" "\x03ram" "\0\0\0\0\0\x10\0\0", 20);
    assert_file_at(&f, 120, "\0\0\0\x20" "\0\0\0\0\0\x10\0\0", 12);
    assert_file_at(&f, 132, bitmap, sizeof(bitmap));
    assert_file_at(&f, MIB, side_block(side, "ram")->host, MIB);
    assert_file_at(&f, 2 * MIB, "\0\0\0\0\0\0\0\x10", 8);
    g_assert_cmpuint(file_bytes(&f), ==, 2 * MIB + 8);
    file_clear(&f);
    side_free(side);
}

/* Round trip, with writes in between, an offset, pages that become zero. */
static void round_trip(bool fixed, uint64_t offset)
{
    Side *side = side_new(three, G_N_ELEMENTS(three));
    Save s;
    File f;

    file_init(&f);
    side_set(side, "pc.ram", 3 * PAGE, 0x33, 300 * PAGE);
    side_set(side, "odd", 0, 0x44, 1);
    save_init(&s, side, &f, fixed, offset);
    g_assert_true(ram_save_setup(s.saver, s.w, NULL));
    save_pass(&s);
    side_set(side, "pc.ram", 10 * PAGE, 0, 5 * PAGE);       /* was written, is zero now */
    side_set(side, "pc.ram", 699 * PAGE, 0x55, PAGE);
    side_set(side, "flash", 64 * PAGE + 5, 0x66, 1);
    if (!fixed) {
        /* One PART more would be one EOS more for the reader of this test. */
        save_end(&s);
    } else {
        ram_save_sync(s.saver);
        save_pass(&s);
        side_set(side, "pc.ram", 20 * PAGE, 0x77, 1);
        save_end(&s);
    }
    load_and_compare(side, &f, fixed, offset);
    file_clear(&f);
    side_free(side);
}

static void test_round_trips(void)
{
    round_trip(false, 0);
    round_trip(false, 12345);
    round_trip(false, 3 * MIB - 1);
    round_trip(true, 0);
    round_trip(true, 12345);
}

/* However often the guest rewrites its memory, the file does not grow. */
static void test_bounded(void)
{
    Side *side = side_new(three, G_N_ELEMENTS(three));
    Save s;
    File f;

    file_init(&f);
    save_init(&s, side, &f, true, 0);
    g_assert_true(ram_save_setup(s.saver, s.w, NULL));
    for (int pass = 1; pass <= 20; pass++) {
        side_set(side, "pc.ram", 0, (uint8_t)pass, 700 * PAGE);
        ram_save_sync(s.saver);
        save_pass(&s);
    }
    save_end(&s);
    g_assert_cmpuint(file_bytes(&f), <=, 766 * PAGE + 4 * MIB);
    g_assert_cmpuint(file_blocks_bytes(&f), <=, 702 * PAGE + 64 * 1024);
    load_and_compare(side, &f, true, 0);
    file_clear(&f);
    side_free(side);
}

static void test_zero_pages_are_holes(void)
{
    Side *side = side_new(three, G_N_ELEMENTS(three));
    File f;

    file_init(&f);
    side_set(side, "flash", 0, 1, 1);
    save_all(side, &f, false, 0);
    g_assert_cmpuint(file_bytes(&f), >, 3 * MIB);
    g_assert_cmpuint(file_blocks_bytes(&f), <=, 64 * 1024);
    load_and_compare(side, &f, false, 0);
    file_clear(&f);
    side_free(side);
}

static void assert_setup_fails(Channel *c, const char *want)
{
    RamSaveOptions opt = { .layout = RAM_LAYOUT_MAPPED };
    Side *side = side_new(one_mib, 1);
    RamSaver *saver = ram_saver_new(side->ram, side->log, &opt, NULL);
    StreamWriter *w = c ? stream_writer_new(c) : stream_writer_new_memory();
    g_autoptr(GError) err = NULL;

    g_assert_false(ram_save_setup(saver, w, &err));
    g_assert_nonnull(strstr(err->message, want));
    g_assert_false(dirty_log_enabled(side->log));
    ram_saver_free(saver);
    stream_writer_free(w);
    side_free(side);
}

static void test_not_seekable(void)
{
    const char *want = "Migration requires seekable transport (e.g. file)";
    int fds[2];
    Channel *c;
    File f;

    assert_setup_fails(NULL, want);
    g_assert_cmpint(pipe(fds), ==, 0);
    c = channel_on(fds[1]);
    assert_setup_fails(c, want);
    channel_close(c, NULL);
    close(fds[0]);
    close(fds[1]);

    file_init(&f);      /* positions mean nothing to a file opened for appending */
    int fd = open(f.path, O_RDWR | O_APPEND);
    c = channel_on(fd);
    assert_setup_fails(c, want);
    channel_close(c, NULL);
    close(fd);
    file_clear(&f);
}

/* A write that fails is an error with place and cause. */
static void test_write_fails(void)
{
    RamSaveOptions opt = { .layout = RAM_LAYOUT_MAPPED };
    Side *side = side_new(one_mib, 1);
    RamSaver *saver = ram_saver_new(side->ram, side->log, &opt, NULL);
    g_autoptr(GError) err = NULL;
    File f;

    file_init(&f);
    Channel *c = channel_on(f.fd);
    StreamWriter *w = stream_writer_new(c);
    g_assert_true(ram_save_setup(saver, w, NULL));
    int fd = open(f.path, O_RDONLY);
    g_assert_cmpint(dup2(fd, channel_fd(c)), ==, channel_fd(c));
    /* Pages are written behind our back: the bitmap at the end is what hears of it. */
    g_assert_false(ram_save_iterate(saver, w, never_exhausted, NULL, &err) &&
                   channel_settle(c, &err));
    g_assert_false(ram_save_complete(saver, w, NULL));
    g_assert_nonnull(strstr(err->message, " at 0x100000: Bad file descriptor"));
    close(fd);
    ram_saver_free(saver);
    stream_writer_free(w);
    g_assert_false(channel_close(c, NULL));
    file_clear(&f);
    side_free(side);
}

/* ---- files that lie ---- */

typedef struct Lie {
    uint64_t at;
    const char *bytes;
    size_t len;
    const char *error;
    uint64_t truncate;  /* 0: not */
} Lie;

static void test_lies(void)
{
    static const Lie mapped[] = {
        { 20, "\0\0\0\3", 4, "Migration mapped-ram capability version not supported "
          "(expected <= 2, got 3)", 0 },
        /* Then the bitmap, all ones, is where the second places are. */
        { 20, "\0\0\0\2", 4, "the second page region has bad alignment", 0 },
        { 24, "\0\0\0\0\0\0\x20\0", 8, "page size 8192", 0 },
        { 24, "\0\0\0\0\0\0\0\0", 8, "page size 0", 0 },
        { 32, "\0\0\0\0\0\x40\0\0", 8, "bitmap: 0x20 bytes at 0x400000 do not lie in the file", 0 },
        { 32, "\xff\xff\xff\xff\xff\xff\xff\xf8", 8, "bitmap", 0 },
        { 40, "\0\0\0\0\0\x10\0\1", 8, "bad alignment", 0 },
        { 40, "\0\0\0\0\0\x20\0\0", 8, "page region: 0x100000 bytes at 0x200000", 0 },
        { 40, "\xff\xff\xff\xff\xff\xff\xf0\0", 8, "page region", 0 },
        { 0, "\0", 1, "page region", 1 * MIB + 4096 },
        { 0, "\0", 1, "Unexpected end of migration stream", 30 },
        { 0, "\0", 1, "Unexpected end of migration stream", 2 * MIB },
        { 12, "\0\0\0\0\0\x20\0\0", 8, "Size mismatch: ram", 0 },
    };
    static const Lie fixed[] = {
        { 20, "\0\0\0\x28", 4, "bitmap of 40 bytes in the fixed-ram header, expected 32", 0 },
        { 20, "\xff\xff\xff\xff", 4, "bitmap of 4294967295 bytes", 0 },
        { 24, "\0\0\0\0\0\x10\0\1", 8, "bad alignment", 0 },
        { 24, "\0\0\0\0\0\x20\0\0", 8, "page region", 0 },
    };

    for (int layout = 0; layout < 2; layout++) {
        const Lie *lies = layout ? fixed : mapped;
        size_t n = layout ? G_N_ELEMENTS(fixed) : G_N_ELEMENTS(mapped);

        for (size_t i = 0; i < n; i++) {
            Side *side = side_new(one_mib, 1);
            g_autoptr(GError) err = NULL;
            File f;

            file_init(&f);
            side_set(side, "ram", 0, 0x11, 256 * PAGE);
            save_all(side, &f, layout == 1, 0);
            g_assert_cmpint(pwrite(f.fd, lies[i].bytes, lies[i].len, (off_t)lies[i].at), ==,
                            lies[i].len);
            g_assert_true(!lies[i].truncate || ftruncate(f.fd, (off_t)lies[i].truncate) == 0);
            g_assert_false(load_all(side, &f, layout == 1, 0, &err));
            g_test_message("%s: %s", layout ? "fixed-ram" : "mapped-ram", err->message);
            g_assert_nonnull(strstr(err->message, lies[i].error));
            file_clear(&f);
            side_free(side);
        }
    }
}

/* Bits beyond the last page: there is no such memory. */
static void test_stray_bits(void)
{
    static const BlockSpec odd[] = { { "odd", 65 } };
    Side *side = side_new(odd, 1);
    g_autoptr(GError) err = NULL;
    File f;

    file_init(&f);
    save_all(side, &f, false, 0);
    g_assert_cmpint(pwrite(f.fd, "\xff", 1, 8 + 4 + 8 + 28 + 8), ==, 1);
    g_assert_false(load_all(side, &f, false, 0, &err));
    g_assert_nonnull(strstr(err->message, "bits beyond the 65 pages"));
    file_clear(&f);
    side_free(side);
}

static void expect_changed(MappedFile *file, const char *want)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(mapped_file_unchanged(file, &err));
    g_assert_nonnull(strstr(err->message, want));
}

/* Whoever reads for long asks whether it is still the same file. */
static void test_file_changes(void)
{
    static const struct timespec then[2] = { { 1000000, 7 }, { 1000000, 7 } };
    Side *side = side_new(one_mib, 1);
    File f;

    file_init(&f);
    save_all(side, &f, false, 0);
    Channel *channel = channel_on(f.fd);
    MappedFile *file = mapped_file_open(side->ram, channel, RAM_LAYOUT_MAPPED, NULL);
    channel_close(channel, NULL);
    g_assert_true(mapped_file_unchanged(file, NULL));
    g_assert_cmpint(futimens(f.fd, then), ==, 0);
    expect_changed(file, "was written to while its guest was being restored");
    mapped_file_accept(file);
    g_assert_true(mapped_file_unchanged(file, NULL));
    g_assert_cmpint(ftruncate(f.fd, 4096), ==, 0);
    expect_changed(file, "has shrunk from");
    mapped_file_close(file);
    file_clear(&f);
    side_free(side);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mapped/mapped-bytes", test_mapped_bytes);
    g_test_add_func("/mapped/fixed-bytes", test_fixed_bytes);
    g_test_add_func("/mapped/round-trips", test_round_trips);
    g_test_add_func("/mapped/bounded", test_bounded);
    g_test_add_func("/mapped/holes", test_zero_pages_are_holes);
    g_test_add_func("/mapped/not-seekable", test_not_seekable);
    g_test_add_func("/mapped/write-fails", test_write_fails);
    g_test_add_func("/mapped/lies", test_lies);
    g_test_add_func("/mapped/stray-bits", test_stray_bits);
    g_test_add_func("/mapped/sink", test_sink);
    g_test_add_func("/mapped/file-outlives-channel", test_file_outlives_channel);
    g_test_add_func("/mapped/file-changes", test_file_changes);
    return g_test_run();
}
