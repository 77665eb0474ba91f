/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mapped-ram and fixed-ram, opened for reading. The file is not trusted: every
 * length and position is checked against the block and the file before it is
 * used, and the only memory taken is the blocks' bitmaps.
 */
#include "migration/mapped/mapped-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/mapped/mapped-layout.h"
#include "migration/mapped/mapped-sums.h"
#include "migration/stream/format.h"
#include "util/checksum.h"
#include "util/error.h"
#include "util/file-ring.h"

#define CHECKED_PAGES 32    /* at once */
#define DIRECT_PAGES (FILE_RING_DEPTH * (MAPPED_RAM_READ_CHUNK / TARGET_PAGE_SIZE))

typedef struct OpenBlock {
    MappedRegion region;
    uint64_t *bitmap;       /* host words; NULL: not open */
    uint64_t *second;       /* the same: pages in their second place; NULL: there are none */
    MappedSums *sums;       /* NULL: the file has none, or they cannot be computed here */
} OpenBlock;

struct MappedFile {
    /* set once */
    RAMList *ram;
    RamLayout layout;
    int fd;                 /* our own */
    int direct_fd;          /* so is this; -1: not direct */
    char *name;
    GMutex ring_lock;
    FileRing *ring;         /* direct; whoever has the lock uses it, others do without */
    uint64_t bytes;
    struct timespec written;    /* when it was, at the latest, as it was opened or accepted */
    size_t count;
    OpenBlock *blocks;
};

static bool file_size(MappedFile *f, GError **errp)
{
    struct stat st;

    if (fstat(f->fd, &st) < 0) {
        error_setg_errno(errp, errno, "cannot get the size of '%s'", f->name);
        return false;
    }
    /* A block device says 0: there the short read is the check. */
    f->bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : INT64_MAX;
    f->written = st.st_mtim;
    return true;
}

bool mapped_file_unchanged(const MappedFile *f, GError **errp)
{
    struct stat st;

    if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return true;    /* reading will tell */
    }
    if ((uint64_t)st.st_size < f->bytes) {
        error_setg(errp, "'%s' has shrunk from %" PRIu64 " to %" PRIu64 " bytes", f->name, f->bytes,
                   (uint64_t)st.st_size);
        return false;
    }
    if (st.st_mtim.tv_sec != f->written.tv_sec || st.st_mtim.tv_nsec != f->written.tv_nsec) {
        error_setg(errp, "'%s' was written to while its guest was being restored", f->name);
        return false;
    }
    return true;
}

void mapped_file_accept(MappedFile *f)
{
    struct stat st;

    if (fstat(f->fd, &st) == 0) {
        f->written = st.st_mtim;
    }
}

static bool read_at(const MappedFile *f, void *buf, uint64_t len, uint64_t offset, GError **errp)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = pread(f->fd, p, MIN(len, MAPPED_RAM_READ_CHUNK),
                          (off_t)offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            error_setg_errno(errp, errno, "cannot read '%s' at 0x%" PRIx64,
                             f->name, offset);
            return false;
        }
        if (n == 0) {
            error_setg(errp, "'%s' ends at 0x%" PRIx64 ", %" PRIu64 " more bytes expected",
                       f->name, offset, len);
            return false;
        }
        p += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return true;
}

/*
 * The same into memory that is zero, where much of it may be a hole: that is not touched. The
 * descriptor shares its position with the stream's, which stays where it is.
 */
static bool read_sparse(const MappedFile *f, void *buf, uint64_t len, uint64_t offset, GError **errp)
{
    off_t was = lseek(f->fd, 0, SEEK_CUR), end = (off_t)(offset + len), at = (off_t)offset;
    bool ok = true;

    while (ok && at < end) {
        off_t data = lseek(f->fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            break;
        }
        data = data < 0 ? at : MIN(data, end);  /* not every file system tells */
        off_t hole = lseek(f->fd, data, SEEK_HOLE);
        at = hole <= data || hole > end ? end : hole;
        ok = read_at(f, (uint8_t *)buf + (data - (off_t)offset), (uint64_t)(at - data), (uint64_t)data,
                     errp);
    }
    lseek(f->fd, was, SEEK_SET);
    return ok;
}

/* The table of checksums, if the writer has left one in the room before the pages. bitmap: as in the file. */
static bool read_sums(const MappedFile *f, const RAMBlock *block, OpenBlock *b, const void *bitmap,
                      GError **errp)
{
    const MappedRegion *region = &b->region;
    uint64_t at = mapped_sums_offset(region->bitmap_offset + region->bitmap_bytes);
    uint64_t bytes = mapped_sums_bytes(ram_block_pages(block));
    MappedSumsHeader header;

    uint64_t end = region->second_offset ? region->second_bitmap_offset : region->pages_offset;
    if (at > end || end - at < bytes) {
        return true;
    }
    if (!read_at(f, &header, sizeof(header), at, errp)) {
        return false;
    }
    if (!mapped_sums_is_there(&header) || !checksum_available()) {
        return true;
    }
    b->sums = mapped_sums_new(block, errp);
    return b->sums && read_sparse(f, mapped_sums_room(b->sums), bytes, at, errp) &&
           mapped_sums_check(b->sums, bitmap, region->bitmap_bytes, errp);
}

/* As it is in the file. */
static uint64_t *read_words(const MappedFile *f, const MappedRegion *region, uint64_t at, GError **errp)
{
    g_autofree uint64_t *bitmap = g_try_new(uint64_t, region->bitmap_bytes / 8);

    if (!bitmap) {
        error_setg(errp, "not enough memory for a bitmap of %" PRIu64 " KiB",
                   region->bitmap_bytes >> 10);
        return NULL;
    }
    return read_at(f, bitmap, region->bitmap_bytes, at, errp) ? g_steal_pointer(&bitmap) : NULL;
}

static bool check_bitmap(const RAMBlock *block, uint64_t *bitmap, uint64_t words, uint64_t at, GError **errp)
{
    uint64_t pages = ram_block_pages(block);

    for (uint64_t i = 0; i < words; i++) {
        bitmap[i] = GUINT64_FROM_LE(bitmap[i]);
    }
    if (pages % 64 && bitmap[words - 1] >> (pages % 64)) {
        error_setg(errp, "the bitmap at 0x%" PRIx64 " has bits beyond the %" PRIu64
                   " pages of the block", at, pages);
        return false;
    }
    return true;
}

/* Which pages are in their second place: they have to be in the file. */
static uint64_t *read_second(const MappedFile *f, const RAMBlock *block, const MappedRegion *region,
                             const uint64_t *bitmap, GError **errp)
{
    uint64_t words = region->bitmap_bytes / 8;
    g_autofree uint64_t *second = read_words(f, region, region->second_bitmap_offset, errp);

    if (!second || !check_bitmap(block, second, words, region->second_bitmap_offset, errp)) {
        return NULL;
    }
    for (uint64_t i = 0; i < words; i++) {
        if (second[i] & ~bitmap[i]) {
            error_setg(errp, "the second bitmap at 0x%" PRIx64 " has pages that are not in the file",
                       region->second_bitmap_offset);
            return NULL;
        }
    }
    return g_steal_pointer(&second);
}

static uint64_t *read_bitmap(const MappedFile *f, const RAMBlock *block, OpenBlock *b, GError **errp)
{
    const MappedRegion *region = &b->region;
    g_autofree uint64_t *bitmap = read_words(f, region, region->bitmap_offset, errp);

    if (!bitmap || !read_sums(f, block, b, bitmap, errp) ||
        !check_bitmap(block, bitmap, region->bitmap_bytes / 8, region->bitmap_offset, errp) ||
        (region->second_offset && !(b->second = read_second(f, block, region, bitmap, errp)))) {
        return NULL;
    }
    return g_steal_pointer(&bitmap);
}

/* First page >= from whose bit is not `set`, or pages. */
static uint64_t run_end(const uint64_t *bitmap, uint64_t from, uint64_t pages, bool set)
{
    for (uint64_t w = from / 64; w * 64 < pages; w++) {
        uint64_t other = set ? ~bitmap[w] : bitmap[w];

        if (w == from / 64) {
            other &= ~0ULL << (from % 64);
        }
        if (other) {
            return MIN(w * 64 + (uint64_t)__builtin_ctzll(other), pages);
        }
    }
    return pages;
}

/* The same file without the page cache. */
static bool go_direct(MappedFile *f, int direct_fd, GError **errp)
{
    if (direct_fd < 0) {
        return true;
    }
    f->direct_fd = fcntl(direct_fd, F_DUPFD_CLOEXEC, 0);
    if (f->direct_fd < 0) {
        error_setg_errno(errp, errno, "cannot keep '%s' open", f->name);
        return false;
    }
    f->ring = file_ring_new();
    return true;
}

MappedFile *mapped_file_open(RAMList *ram, Channel *channel, RamLayout layout, GError **errp)
{
    MappedFile *f;
    int fd;

    if (!channel || !channel_is_seekable(channel)) {
        error_setg(errp, "Migration requires seekable transport (e.g. file)");
        return NULL;
    }
    fd = fcntl(channel_fd(channel), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot keep '%s' open", channel_name(channel));
        return NULL;
    }
    f = g_new0(MappedFile, 1);
    f->ram = ram;
    f->layout = layout;
    f->fd = fd;
    f->direct_fd = -1;
    g_mutex_init(&f->ring_lock);
    f->name = g_strdup(channel_name(channel));
    f->count = ram_list_count(ram);
    f->blocks = g_new0(OpenBlock, f->count + 1);
    if (!file_size(f, errp) || !go_direct(f, channel_direct_fd(channel), errp)) {
        mapped_file_close(f);
        return NULL;
    }
    return f;
}

void mapped_file_close(MappedFile *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->count; i++) {
        g_free(f->blocks[i].bitmap);
        g_free(f->blocks[i].second);
        mapped_sums_free(f->blocks[i].sums);
    }
    g_free(f->blocks);
    g_free(f->name);
    close(f->fd);
    if (f->direct_fd >= 0) {
        close(f->direct_fd);
    }
    file_ring_free(f->ring);
    g_mutex_clear(&f->ring_lock);
    g_free(f);
}

bool mapped_file_open_block(MappedFile *f, StreamReader *r, size_t index, GError **errp)
{
    const RAMBlock *block = ram_list_get(f->ram, index);
    OpenBlock *b = &f->blocks[index];
    uint64_t at;

    g_clear_pointer(&b->bitmap, g_free);
    g_clear_pointer(&b->second, g_free);
    g_clear_pointer(&b->sums, mapped_sums_free);
    if (stream_reader_tell(r, &at, errp) &&
        mapped_header_get(r, f->layout, at, f->bytes, block, &b->region, errp)) {
        b->bitmap = read_bitmap(f, block, b, errp);
    }
    if (!b->bitmap || !stream_reader_seek(r, b->region.end_offset, errp)) {
        error_prepend(errp, "%s: RAM block \"%s\": ", mapped_layout_name(f->layout), block->idstr);
        return false;
    }
    return true;
}

bool mapped_file_run(const MappedFile *f, size_t block, uint64_t from, MappedRun *run)
{
    uint64_t pages = ram_block_pages(ram_list_get(f->ram, block));
    const uint64_t *bitmap = f->blocks[block].bitmap;

    if (from >= pages || !bitmap) {
        return false;
    }
    run->first = from;
    run->present = bitmap[from / 64] >> (from % 64) & 1;
    run->count = run_end(bitmap, from, pages, run->present) - from;
    return true;
}

/* At most FILE_RING_DEPTH chunks; who has no ring takes the file's, if it comes first. */
static bool read_chunks(MappedFile *f, FileRing *ring, FileRingOp *ops, unsigned n)
{
    bool ok = true;

    if (ring) {
        return file_ring_run(ring, ops, n);
    }
    if (g_mutex_trylock(&f->ring_lock)) {
        ok = file_ring_run(f->ring, ops, n);
        g_mutex_unlock(&f->ring_lock);
        return ok;
    }
    for (unsigned i = 0; ok && i < n; i++) {
        ok = pread(ops[i].fd, ops[i].buf, ops[i].len, (off_t)ops[i].offset) == (ssize_t)ops[i].len;
    }
    return ok;
}

/* False if that does not go, for whatever reason: the plain way says which, or does without. */
static bool read_direct(MappedFile *f, FileRing *ring, uint8_t *buf, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        FileRingOp ops[FILE_RING_DEPTH];
        unsigned n = 0;

        for (; n < FILE_RING_DEPTH && len > 0; n++) {
            size_t chunk = MIN(len, MAPPED_RAM_READ_CHUNK);
            ops[n] = (FileRingOp){ .fd = f->direct_fd, .buf = buf, .len = chunk, .offset = offset };
            buf += chunk;
            offset += chunk;
            len -= chunk;
        }
        if (!read_chunks(f, ring, ops, n)) {
            return false;
        }
    }
    return true;
}

static bool read_around_cache(const MappedFile *f, FileRing *ring, uint8_t *buf, uint64_t len,
                              uint64_t offset)
{
    return f->direct_fd >= 0 && read_direct((MappedFile *)f, ring, buf, len, offset);
}

/* Where the page is, and how many of the *n from there on lie behind it. */
static uint64_t place_of(const OpenBlock *b, uint64_t first, uint64_t *n)
{
    bool second = b->second && b->second[first / 64] >> (first % 64) & 1;

    if (b->second) {
        *n = run_end(b->second, first, first + *n, second) - first;
    }
    return (second ? b->region.second_offset : b->region.pages_offset) + (first << TARGET_PAGE_BITS);
}

/* What fits a cache is checked right after it was read; direct reads want to be long. */
static bool read_pages(const MappedFile *f, FileRing *ring, const OpenBlock *b, uint64_t first,
                       uint64_t count, uint8_t *buf, GError **errp)
{
    uint64_t at_once = !b->sums ? count : f->direct_fd >= 0 ? DIRECT_PAGES : CHECKED_PAGES;

    while (count > 0) {
        uint64_t n = MIN(count, at_once), at = place_of(b, first, &n);

        if ((!read_around_cache(f, ring, buf, n << TARGET_PAGE_BITS, at) &&
             !read_at(f, buf, n << TARGET_PAGE_BITS, at, errp)) ||
            (b->sums && !mapped_sums_check_pages(b->sums, first, n, buf, errp))) {
            return false;
        }
        first += n;
        count -= n;
        buf += n << TARGET_PAGE_BITS;
    }
    return true;
}

bool mapped_file_read_by(const MappedFile *f, FileRing *ring, size_t block, uint64_t first,
                         uint64_t count, void *buf, GError **errp)
{
    if (!read_pages(f, ring, &f->blocks[block], first, count, buf, errp)) {
        error_prepend(errp, "%s: RAM block \"%s\": ", mapped_layout_name(f->layout),
                      ram_list_get(f->ram, block)->idstr);
        return false;
    }
    return true;
}

bool mapped_file_read(const MappedFile *f, size_t block, uint64_t first, uint64_t count, void *buf,
                      GError **errp)
{
    return mapped_file_read_by(f, NULL, block, first, count, buf, errp);
}

bool mapped_file_is_direct(const MappedFile *f)
{
    return f->direct_fd >= 0;
}

/* Its head, if it was saved into again; else as after a full save. */
static bool read_head(const MappedFile *f, MappedBase *base, GError **errp)
{
    MappedHead head;

    base->saves = 1;
    if (!read_at(f, &head, sizeof(head), 0, errp)) {
        return false;
    }
    if (GUINT32_FROM_BE(head.magic) != STREAM_MAGIC_HEAD) {
        return true;
    }
    if (!mapped_head_check(&head, errp)) {
        return false;
    }
    base->saves = head.saves;
    base->stream_offset = head.stream_offset;
    base->room_offset = head.room_offset;
    base->room_bytes = head.room_bytes;
    return true;
}

MappedBase *mapped_file_base(const MappedFile *f, GError **errp)
{
    MappedBase *base = mapped_base_new(f->ram, errp);
    bool ok = base && read_head(f, base, errp);

    for (size_t i = 0; ok && i < f->count; i++) {
        const OpenBlock *from = &f->blocks[i];
        MappedBaseBlock *to = &base->blocks[i];

        if (!from->bitmap) {
            error_setg(errp, "RAM block \"%s\" is not in the file", ram_list_get(f->ram, i)->idstr);
            ok = false;
            break;
        }
        memcpy(to->present, from->bitmap, from->region.bitmap_bytes);
        if (from->second) {
            memcpy(to->second, from->second, from->region.bitmap_bytes);
        }
        to->pages_offset = from->region.pages_offset;
        to->second_offset = from->region.second_offset;
        to->sums = from->sums ? mapped_sums_copy(from->sums, errp) : NULL;
        ok = to->sums || !from->sums;
    }
    if (!ok) {
        mapped_base_free(g_steal_pointer(&base));
    }
    return base;
}

bool mapped_file_has_sums(const MappedFile *f, size_t block)
{
    return f->blocks[block].sums;
}
