/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums in mapped-ram and fixed-ram files (migration-stream 6.8): byte for byte where the
 * document says so, right after pages were rewritten and became zero, and whatever is damaged is
 * found and named: bits, pages that changed places, older ones, those of another image, a file that
 * ends. Thousands of damages with -m slow, some hundred without.
 */
#include <fcntl.h>
#include <unistd.h>
#include "migration/channel.h"
#include "migration/mapped/mapped-layout.h"
#include "migration/mapped/mapped-sums.h"
#include "ram-fixture.h"
#include "util/checksum.h"

#define MIB (1ULL << 20)

static const BlockSpec blocks[] = { { "pc.ram", 150 }, { "flash", 65 } };

typedef struct File {
    char *path;
    int fd;
} File;

static void file_init(File *f)
{
    f->fd = g_file_open_tmp("ferry-sums-XXXXXX", &f->path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
}

static void file_clear(File *f)
{
    unlink(f->path);
    close(f->fd);
    g_free(f->path);
}

static bool skipped(void)
{
    if (!checksum_available()) {
        g_test_skip("built without libxxhash");
    }
    return !checksum_available();
}

/* ---- saving and loading ---- */

typedef struct Save {
    Channel *channel;
    StreamWriter *w;
    RamSaver *saver;
} Save;

static void save_begin(Save *s, Side *side, File *f, RamLayout layout, bool sums)
{
    RamSaveOptions opt = { .detect_zero = true, .bulk_rule = true, .layout = layout, .checksum = sums };

    s->channel = channel_new_fd(dup(f->fd), "file:test", NULL);
    s->w = stream_writer_new(s->channel);
    s->saver = ram_saver_new(side->ram, side->log, &opt, NULL);
    g_assert_true(ram_save_setup(s->saver, s->w, NULL));
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

static void save(Side *side, File *f, RamLayout layout, bool sums)
{
    Save s;

    save_begin(&s, side, f, layout, sums);
    save_pass(&s);
    save_end(&s);
}

static bool load(Side *side, File *f, RamLayout layout, bool sums, GError **errp)
{
    RamLoadOptions opt = { .layout = layout, .checksum = sums };
    RamLoader *l = ram_loader_new(side->ram, side->log, &opt);
    Channel *c = channel_new_fd(dup(f->fd), "file:test", NULL);
    bool ok = lseek(f->fd, 0, SEEK_SET) == 0;
    StreamReader *r = stream_reader_new(c);

    for (int payload = 0; payload < 3 && ok; payload++) {   /* START, PART, END */
        ok = ram_load_payload(l, r, 4, errp);
    }
    stream_reader_free(r);
    channel_close(c, NULL);
    ram_loader_free(l);
    return ok;
}

/* ---- what is in the file ---- */

/* Where the regions of the block are; the first one's header is behind total, name and length. */
static MappedRegion region_of(Side *side, RamLayout layout, size_t block)
{
    MappedRegion region = { .end_offset = 8 };

    for (size_t i = 0; i <= block; i++) {
        const RAMBlock *b = ram_list_get(side->ram, i);
        mapped_region_place(&region, layout, region.end_offset + 1 + strlen(b->idstr) + 8, b, true);
    }
    return region;
}

static void read_at(File *f, void *buf, size_t len, uint64_t at)
{
    g_assert_cmpint(pread(f->fd, buf, len, (off_t)at), ==, len);
}

static void write_at(File *f, const void *buf, size_t len, uint64_t at)
{
    g_assert_cmpint(pwrite(f->fd, buf, len, (off_t)at), ==, len);
}

/* [6.8]; the sums are computed here once more, by the library alone. */
static void test_bytes(gconstpointer opaque)
{
    RamLayout layout = GPOINTER_TO_INT(opaque);
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));
    File f;

    if (skipped()) {
        return;
    }
    file_init(&f);
    side_set(side, "pc.ram", 3 * PAGE, 0x33, 2 * PAGE);
    save(side, &f, layout, true);
    MappedRegion region = region_of(side, layout, 0);
    uint64_t at = (region.bitmap_offset + region.bitmap_bytes + 7) / 8 * 8;
    uint8_t head[32], bitmap[24];
    uint64_t sums[150], length = GUINT64_TO_BE(150 * PAGE);
    read_at(&f, head, sizeof(head), at);
    read_at(&f, sums, sizeof(sums), at + 32);
    read_at(&f, bitmap, sizeof(bitmap), region.bitmap_offset);
    g_assert_cmpmem(head, 24, "FerrySum" "\0\0\0\1" "\0\0\0\0" "\0\0\0\0\0\0\0\x96", 24);
    for (int page = 0; page < 150; page++) {
        const uint8_t *host = side_block(side, "pc.ram")->host + page * PAGE;
        g_assert_cmphex(GUINT64_FROM_LE(sums[page]), ==,
                        page == 3 || page == 4 ? checksum_of(host, PAGE) : 0);
    }
    Checksum *c = checksum_new();
    checksum_add(c, "pc.ram", 6);
    checksum_add(c, &length, 8);
    checksum_add(c, bitmap, sizeof(bitmap));
    checksum_add(c, sums, sizeof(sums));
    uint64_t all = GUINT64_TO_BE(checksum_get(c));
    g_assert_cmpmem(head + 24, 8, &all, 8);
    checksum_free(c);
    file_clear(&f);
    side_free(side);
}

/* A test vector of XXH3 with 64 bits and no seed. */
static void test_algorithm(void)
{
    if (skipped()) {
        return;
    }
    g_assert_cmphex(checksum_of("", 0), ==, 0x2d06800538d394c2);
    Checksum *c = checksum_new();
    g_autofree uint8_t *page = g_malloc0(PAGE);
    for (int i = 0; i < 4; i++) {
        checksum_add(c, page + i * 1024, 1024);
    }
    g_assert_cmphex(checksum_get(c), ==, checksum_of(page, PAGE));
    checksum_free(c);
}

/* Pages written again, and pages that became zero, between the passes. */
static void test_rewritten(gconstpointer opaque)
{
    RamLayout layout = GPOINTER_TO_INT(opaque);
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks)), *to;
    g_autoptr(GError) err = NULL;
    Save s;
    File f;

    if (skipped()) {
        return;
    }
    file_init(&f);
    side_set(side, "pc.ram", 0, 0x11, 100 * PAGE);
    save_begin(&s, side, &f, layout, true);
    save_pass(&s);
    side_set(side, "pc.ram", 10 * PAGE, 0, 5 * PAGE);
    side_set(side, "pc.ram", 50 * PAGE + 7, 0x22, 1);
    side_set(side, "flash", 64 * PAGE, 0x33, PAGE);
    save_end(&s);
    to = side_new(blocks, G_N_ELEMENTS(blocks));
    if (!load(to, &f, layout, true, &err)) {
        g_error("load: %s", err->message);
    }
    side_assert_equal(side, to);
    side_free(to);
    file_clear(&f);
    side_free(side);
}

/* Without: loads, unless checksums are asked for. */
static void test_without(void)
{
    Side *side = side_new(blocks, G_N_ELEMENTS(blocks));
    g_autoptr(GError) err = NULL;
    File f;

    file_init(&f);
    save(side, &f, RAM_LAYOUT_MAPPED, false);
    g_assert_true(load(side, &f, RAM_LAYOUT_MAPPED, false, NULL));
    g_assert_false(load(side, &f, RAM_LAYOUT_MAPPED, true, &err));
    g_assert_nonnull(strstr(err->message, "without checksums"));
    file_clear(&f);
    side_free(side);
}

/* ---- damages ---- */

typedef struct Damage {
    GRand *rand;
    RamLayout layout;
    Side *side, *into;
    File good, old, other;      /* the image; the guest a while before; another one of it */
    /* what was done */
    const char *kind;
    size_t block;
    uint64_t page;              /* UINT64_MAX: none in particular */
} Damage;

static void fill(Side *side, GRand *rand, bool all)
{
    for (size_t i = 0; i < ram_list_count(side->ram); i++) {
        RAMBlock *b = ram_list_get(side->ram, i);
        for (uint64_t page = 0; page < ram_block_pages(b); page++) {
            uint32_t word = g_rand_int(rand);
            /* one in four is zero; in the next image one in four has changed by a little */
            if (all ? word % 4 : word % 4 == 0) {
                side_write(side, b->idstr, page * PAGE + word % 1000 * 4, &word, sizeof(word));
            }
        }
    }
}

static void pick(Damage *d, MappedRegion *region)
{
    d->block = g_rand_int_range(d->rand, 0, ram_list_count(d->side->ram));
    *region = region_of(d->side, d->layout, d->block);
}

static bool is_present(File *f, const MappedRegion *region, uint64_t page)
{
    uint8_t byte;

    read_at(f, &byte, 1, region->bitmap_offset + page / 8);
    return byte >> (page % 8) & 1;
}

static uint64_t pick_page(Damage *d, const MappedRegion *region)
{
    uint64_t pages = ram_block_pages(ram_list_get(d->side->ram, d->block)), page;

    do {
        page = g_rand_int_range(d->rand, 0, pages);
    } while (!is_present(&d->good, region, page));
    return page;
}

static void flip(File *f, GRand *rand, uint64_t from, uint64_t bytes)
{
    uint64_t at = from + g_rand_int(rand) % bytes;
    uint8_t byte;

    read_at(f, &byte, 1, at);
    byte ^= 1 << g_rand_int_range(rand, 0, 8);
    write_at(f, &byte, 1, at);
}

/* Each makes one damage in the file, or returns false if this time there is none to be made. */
static bool flip_in_page(Damage *d, File *f)
{
    MappedRegion region;

    pick(d, &region);
    d->page = pick_page(d, &region);
    flip(f, d->rand, region.pages_offset + d->page * PAGE, PAGE);
    return true;
}

/* Of a block's name, length, header, bitmap or table. */
static bool flip_before_pages(Damage *d, File *f)
{
    MappedRegion region;

    pick(d, &region);
    uint64_t start = d->block ? region_of(d->side, d->layout, d->block - 1).end_offset : 0;
    uint64_t end = mapped_sums_offset(region.bitmap_offset + region.bitmap_bytes), pad;

    end += mapped_sums_bytes(ram_block_pages(ram_list_get(d->side->ram, d->block)));
    pad = region.bitmap_offset + region.bitmap_bytes;
    do {
        uint64_t at = start + g_rand_int(d->rand) % (end - start);
        if (at < pad || at >= mapped_sums_offset(pad)) {    /* not the up to 7 bytes between them */
            flip(f, d->rand, at, 1);
            return true;
        }
    } while (true);
}

static bool swap_pages(Damage *d, File *f)
{
    MappedRegion region;
    uint8_t a[PAGE], b[PAGE];

    pick(d, &region);
    d->page = pick_page(d, &region);
    uint64_t second = pick_page(d, &region);
    read_at(f, a, PAGE, region.pages_offset + d->page * PAGE);
    read_at(f, b, PAGE, region.pages_offset + second * PAGE);
    write_at(f, b, PAGE, region.pages_offset + d->page * PAGE);
    write_at(f, a, PAGE, region.pages_offset + second * PAGE);
    d->page = MIN(d->page, second);
    return memcmp(a, b, PAGE);
}

static bool take_page(Damage *d, File *f, File *from)
{
    MappedRegion region;
    uint8_t is[PAGE], other[PAGE];

    pick(d, &region);
    d->page = pick_page(d, &region);
    read_at(f, is, PAGE, region.pages_offset + d->page * PAGE);
    if (pread(from->fd, other, PAGE, region.pages_offset + d->page * PAGE) != (ssize_t)PAGE) {
        return false;
    }
    write_at(f, other, PAGE, region.pages_offset + d->page * PAGE);
    return memcmp(is, other, PAGE);
}

static bool stale_page(Damage *d, File *f)
{
    return take_page(d, f, &d->old);
}

static bool other_page(Damage *d, File *f)
{
    return take_page(d, f, &d->other);
}

/* Somewhere before the last block's end. */
static bool truncated(Damage *d, File *f)
{
    MappedRegion region = region_of(d->side, d->layout, ram_list_count(d->side->ram) - 1);

    g_assert_cmpint(ftruncate(f->fd, g_rand_int(d->rand) % region.end_offset), ==, 0);
    d->block = SIZE_MAX;
    return true;
}

static void copy_file(File *to, File *from)
{
    off_t size = lseek(from->fd, 0, SEEK_END), at = 0, end;

    g_assert_cmpint(ftruncate(to->fd, 0), ==, 0);
    g_assert_cmpint(ftruncate(to->fd, size), ==, 0);
    while (at < size && (at = lseek(from->fd, at, SEEK_DATA)) >= 0) {
        end = lseek(from->fd, at, SEEK_HOLE);
        g_autofree uint8_t *buf = g_malloc(end - at);
        read_at(from, buf, end - at, at);
        write_at(to, buf, end - at, at);
        at = end;
    }
}

static void expect_found(Damage *d, File *f)
{
    g_autoptr(GError) err = NULL;

    if (load(d->into, f, d->layout, true, &err)) {
        g_error("%s in block %zu, page %" G_GUINT64_FORMAT " was not found", d->kind, d->block, d->page);
    }
    if (d->page == UINT64_MAX) {
        return;
    }
    g_autofree char *block = g_strdup_printf("\"%s\"", ram_list_get(d->side->ram, d->block)->idstr);
    g_autofree char *address = g_strdup_printf("0x%" G_GINT64_MODIFIER "x ", d->page * PAGE);
    if (!strstr(err->message, block) || !strstr(err->message, address)) {
        g_error("%s: neither %s nor %s is named: %s", d->kind, block, address, err->message);
    }
}

static const struct {
    const char *name;
    bool (*make)(Damage *d, File *f);
} damages[] = {
    { "a bit of a page", flip_in_page },     { "a bit before the pages", flip_before_pages },
    { "two pages changed places", swap_pages }, { "an older page", stale_page },
    { "a page of another image", other_page },  { "the file's end", truncated },
};

static void damage_init(Damage *d, RamLayout layout)
{
    *d = (Damage){ .rand = g_rand_new_with_seed(g_test_rand_int()), .layout = layout,
                   .side = side_new(blocks, G_N_ELEMENTS(blocks)),
                   .into = side_new(blocks, G_N_ELEMENTS(blocks)) };
    file_init(&d->good);
    file_init(&d->old);
    file_init(&d->other);
    fill(d->side, d->rand, true);
    save(d->side, &d->old, layout, true);
    fill(d->side, d->rand, false);
    save(d->side, &d->good, layout, true);
    fill(d->side, d->rand, false);
    save(d->side, &d->other, layout, true);
}

static void damage_clear(Damage *d)
{
    file_clear(&d->good);
    file_clear(&d->old);
    file_clear(&d->other);
    side_free(d->side);
    side_free(d->into);
    g_rand_free(d->rand);
}

static void test_damages(gconstpointer opaque)
{
    int made[G_N_ELEMENTS(damages)] = { 0 }, wanted = g_test_slow() ? 5000 : 200, n = 0;
    Damage d;
    File f;

    if (skipped()) {
        return;
    }
    damage_init(&d, GPOINTER_TO_INT(opaque));
    file_init(&f);
    g_assert_true(load(d.into, &d.good, d.layout, true, NULL));
    while (n < wanted) {
        unsigned kind = g_rand_int_range(d.rand, 0, G_N_ELEMENTS(damages));
        copy_file(&f, &d.good);
        d.kind = damages[kind].name;
        d.page = UINT64_MAX;
        if (damages[kind].make(&d, &f)) {
            expect_found(&d, &f);
            made[kind]++;
            n++;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_test_message("%s: %d", damages[i].name, made[i]);
        g_assert_cmpint(made[i], >, 0);
    }
    file_clear(&f);
    damage_clear(&d);
}

int main(int argc, char **argv)
{
    gpointer mapped = GINT_TO_POINTER(RAM_LAYOUT_MAPPED), fixed = GINT_TO_POINTER(RAM_LAYOUT_FIXED);

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mapped-sums/algorithm", test_algorithm);
    g_test_add_data_func("/mapped-sums/bytes", mapped, test_bytes);
    g_test_add_data_func("/mapped-sums/bytes/fixed", fixed, test_bytes);
    g_test_add_data_func("/mapped-sums/rewritten", mapped, test_rewritten);
    g_test_add_data_func("/mapped-sums/rewritten/fixed", fixed, test_rewritten);
    g_test_add_func("/mapped-sums/without", test_without);
    g_test_add_data_func("/mapped-sums/damages", mapped, test_damages);
    g_test_add_data_func("/mapped-sums/damages/fixed", fixed, test_damages);
    return g_test_run();
}
