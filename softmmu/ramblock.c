/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: shared mappings of a memfd or a file, kept in announcement
 * order. Called by the boards while the machine is built, read by everyone
 * afterwards; never changes a block once it exists.
 */
#include "softmmu/ramblock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "util/error.h"
#include "util/memory-room.h"
#include "util/size-text.h"

/* Gap and alignment between blocks in the global offset space. */
#define RAM_OFFSET_ALIGN (2ULL << 20)
#define RAM_BLOCK_MAX_BYTES (1ULL << 46)

struct RAMList {
    GPtrArray *blocks;      /* RAMBlock*, largest first, creation order among equals */
    uint64_t next_offset;
};

RAMList *ram_list_new(void)
{
    RAMList *list = g_new0(RAMList, 1);

    list->blocks = g_ptr_array_new();
    return list;
}

/* One bit per page, in whole words. */
static size_t bits_bytes(const RAMBlock *block)
{
    return (ram_block_pages(block) + 63) / 64 * sizeof(uint64_t);
}

static void bits_free(RAMBlock *block, uint64_t *bits)
{
    if (bits) {
        munmap(bits, bits_bytes(block));
    }
}

static void ram_block_free(RAMBlock *block)
{
    if (block->host) {
        munmap(block->host, block->used_length);
    }
    bits_free(block, block->dirty);
    bits_free(block, block->missing);
    bits_free(block, block->asked);
    bits_free(block, block->unasked);
    bits_free(block, block->guarded);
    if (block->fd >= 0) {
        close(block->fd);
    }
    g_free(block);
}

void ram_list_free(RAMList *list)
{
    if (!list) {
        return;
    }
    for (guint i = 0; i < list->blocks->len; i++) {
        ram_block_free(list->blocks->pdata[i]);
    }
    g_ptr_array_free(list->blocks, TRUE);
    g_free(list);
}

/* A directory gets an unnamed file, as QEMU's mem-path does; a file is created if missing. */
static int backing_open(const char *idstr, const char *path, bool *named_file, GError **errp)
{
    struct stat st;
    int fd;

    *named_file = false;
    if (!path) {
        fd = memfd_create(idstr, MFD_CLOEXEC);
        if (fd < 0) {
            error_setg_errno(errp, errno, "cannot create memory for RAM block '%s'", idstr);
        }
        return fd;
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        g_autofree char *name = g_build_filename(path, "ferry_back_mem.XXXXXX", NULL);
        fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0) {
            unlink(name);
        }
    } else {
        *named_file = true;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "can't open backing store %s for guest RAM", path);
    }
    return fd;
}

static uint64_t backing_page_size(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        return fs.f_bsize;
    }
    return sysconf(_SC_PAGESIZE);
}

/* A limit of the process is the usual cause, and its name is not in what errno says. */
static void set_error_with_limit(GError **errp, int err, const char *what, const RAMBlock *block)
{
    const char *remedy = err == EFBIG    ? "; a limit on the size of files counts for guest RAM, "
                                           "too: raise it (ulimit -f)"
                         : err == ENOMEM ? "; raise the limit on memory (ulimit -v) or give the "
                                           "guest less (-m)"
                                         : "";

    g_autofree char *size = size_text(block->used_length);
    error_setg(errp, "cannot %s RAM block '%s' of %s: %s%s", what, block->idstr, size,
               g_strerror(err), remedy);
}

/* Grows the file to the block's length (never shrinks somebody's file) and maps it. */
static bool backing_map(RAMBlock *block, GError **errp)
{
    struct stat st;

    if (fstat(block->fd, &st) < 0 ||
        ((uint64_t)st.st_size < block->used_length &&
         ftruncate(block->fd, block->used_length) < 0)) {
        set_error_with_limit(errp, errno, "set the size of", block);
        return false;
    }
    void *host = !memory_has_room(block->used_length)
                     ? MAP_FAILED : mmap(NULL, block->used_length, PROT_READ | PROT_WRITE, MAP_SHARED,
                                         block->fd, 0);
    if (host == MAP_FAILED) {
        set_error_with_limit(errp, errno, "map", block);
        return false;
    }
    block->host = host;
    madvise(host, block->used_length, MADV_HUGEPAGE); /* a wish: kernels without it say EINVAL */
    return true;
}

/* All clear; costs memory only where bits are set. NULL with errp. */
static uint64_t *bits_new(RAMBlock *block, const char *what, GError **errp)
{
    void *bits = !memory_has_room(bits_bytes(block))
                     ? MAP_FAILED : mmap(NULL, bits_bytes(block), PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bits == MAP_FAILED) {
        set_error_with_limit(errp, errno, what, block);
        return NULL;
    }
    return bits;
}

static bool dirty_alloc(RAMBlock *block, GError **errp)
{
    block->dirty = bits_new(block, "allocate the dirty log of", errp);
    return block->dirty != NULL;
}

static bool add_bits(RAMBlock *block, uint64_t **bits, const char *what, GError **errp)
{
    if (!*bits) {
        __atomic_store_n(bits, bits_new(block, what, errp), __ATOMIC_RELEASE);
    }
    return *bits != NULL;
}

/* The host gives memory a page at a time, which takes longer than to write it. */
static void touch_bits(RAMBlock *block, uint64_t *bits)
{
    size_t step = sysconf(_SC_PAGESIZE) / sizeof(bits[0]);

    for (size_t w = 0; w < bits_bytes(block) / sizeof(bits[0]); w += step) {
        __atomic_store_n(&bits[w], 0, __ATOMIC_RELAXED);
    }
}

bool ram_block_add_present_bits(RAMBlock *block, GError **errp)
{
    static const char what[] = "allocate the present map of";

    if (!add_bits(block, &block->missing, what, errp) ||
        !add_bits(block, &block->asked, what, errp) ||
        !add_bits(block, &block->unasked, what, errp)) {
        return false;
    }
    touch_bits(block, block->missing);
    return true;
}

bool ram_block_add_guard_bits(RAMBlock *block, GError **errp)
{
    return add_bits(block, &block->guarded, "allocate the write guard of", errp);
}

static void clear_bits(RAMBlock *block, uint64_t *bits)
{
    if (bits) {
        madvise(bits, bits_bytes(block), MADV_DONTNEED);    /* private, anonymous: zero from now on */
    }
}

void ram_block_clear_present_bits(RAMBlock *block)
{
    clear_bits(block, block->missing);
    clear_bits(block, block->asked);
    clear_bits(block, block->unasked);
}

void ram_block_clear_guard_bits(RAMBlock *block)
{
    clear_bits(block, block->guarded);
}

static bool block_args_valid(RAMList *list, const char *idstr, uint64_t length, GError **errp)
{
    size_t name_len = strlen(idstr);

    if (name_len == 0 || name_len > RAM_BLOCK_ID_MAX) {
        error_setg(errp, "RAM block name of %zu bytes, expected 1 to %d", name_len,
                   RAM_BLOCK_ID_MAX);
        return false;
    }
    if (ram_list_find(list, idstr, name_len)) {
        error_setg(errp, "RAM block '%s' exists already", idstr);
        return false;
    }
    if (length == 0 || length > RAM_BLOCK_MAX_BYTES) {
        error_setg(errp, "RAM block '%s': %" PRIu64 " MiB are %s, at most %" PRIu64 " are possible",
                   idstr, length >> 20, length ? "too many" : "too few",
                   (uint64_t)RAM_BLOCK_MAX_BYTES >> 20);
        return false;
    }
    return true;
}

static void list_insert_sorted(RAMList *list, RAMBlock *block)
{
    guint i = 0;

    while (i < list->blocks->len &&
           ((RAMBlock *)list->blocks->pdata[i])->used_length >= block->used_length) {
        i++;
    }
    g_ptr_array_insert(list->blocks, i, block);
}

RAMBlock *ram_list_add(RAMList *list, const char *idstr, uint64_t length, const char *path,
                       GError **errp)
{
    if (!block_args_valid(list, idstr, length, errp)) {
        return NULL;
    }
    bool named_file;
    int fd = backing_open(idstr, path, &named_file, errp);
    if (fd < 0) {
        return NULL;
    }
    RAMBlock *block = g_new0(RAMBlock, 1);
    block->named_file = named_file;
    g_strlcpy(block->idstr, idstr, sizeof(block->idstr));
    block->fd = fd;
    block->page_size = backing_page_size(fd);
    block->used_length = (length + block->page_size - 1) / block->page_size * block->page_size;
    block->guest_addr = UINT64_MAX;
    block->ram_offset = list->next_offset;
    if (!backing_map(block, errp) || !dirty_alloc(block, errp)) {
        ram_block_free(block);
        return NULL;
    }
    list->next_offset = (block->ram_offset + block->used_length + RAM_OFFSET_ALIGN - 1) /
                        RAM_OFFSET_ALIGN * RAM_OFFSET_ALIGN;
    list_insert_sorted(list, block);
    return block;
}

bool ram_block_populate(RAMBlock *block, GError **errp)
{
    int ret;

    do {
        ret = fallocate(block->fd, 0, 0, block->used_length);
    } while (ret < 0 && errno == EINTR);
    if (ret == 0) {
        return true;
    }
    if (errno != EOPNOTSUPP) {
        set_error_with_limit(errp, errno, "take at once", block);
        return false;
    }
    for (uint64_t at = 0; at < block->used_length; at += block->page_size) {
        volatile uint8_t *byte = block->host + at; /* nobody runs yet */
        *byte = *byte;
    }
    return true;
}

size_t ram_list_count(const RAMList *list)
{
    return list->blocks->len;
}

RAMBlock *ram_list_get(const RAMList *list, size_t i)
{
    return i < list->blocks->len ? list->blocks->pdata[i] : NULL;
}

RAMBlock *ram_list_find(const RAMList *list, const char *name, size_t name_len)
{
    for (guint i = 0; i < list->blocks->len; i++) {
        RAMBlock *block = list->blocks->pdata[i];
        if (strlen(block->idstr) == name_len && memcmp(block->idstr, name, name_len) == 0) {
            return block;
        }
    }
    return NULL;
}

void ram_list_discard(RAMList *list)
{
    for (guint i = 0; i < list->blocks->len; i++) {
        RAMBlock *block = list->blocks->pdata[i];

        if (!block->named_file &&
            fallocate(block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      block->used_length) < 0) {
            memset(block->host, 0, block->used_length);
        }
    }
}

void ram_block_give_back(RAMBlock *block, uint64_t offset, uint64_t length)
{
    if (!block->named_file && fallocate(block->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        (off_t)offset, (off_t)length) < 0) {
        /* it is only memory that is held longer than needed */
    }
}

uint64_t ram_list_total_bytes(const RAMList *list)
{
    uint64_t total = 0;

    for (guint i = 0; i < list->blocks->len; i++) {
        total += ((RAMBlock *)list->blocks->pdata[i])->used_length;
    }
    return total;
}
