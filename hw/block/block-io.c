/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing disk images (include/hw/block-backend.h), synchronous,
 * on the device's worker thread. With O_DIRECT what the guest did not align
 * goes through a bounce buffer of bounded size.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "hw/block/block-node.h"
#include "softmmu/guest-ram.h"

#define DIRECT_ALIGN 4096
#define BOUNCE_BYTES (1024 * 1024)

/* The file below, and offset in it. */
static BlockNode *node_bottom(BlockNode *node, uint64_t *offset)
{
    while (node->child) {
        *offset += node->offset;
        node = node->child;
    }
    return node;
}

static int check_range(const BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return offset > node->size_bytes || bytes > node->size_bytes - offset ? -EIO : 0;
}

static uint64_t iov_total(const struct iovec *iov, unsigned count)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < count; i++) {
        total += iov[i].iov_len;
    }
    return total;
}

/* ---- plain ---- */

static int buffer_io(int fd, uint8_t *buf, size_t len, uint64_t offset, bool write)
{
    while (len) {
        guest_ram_shared_begin();
        ssize_t n = write ? pwrite(fd, buf, len, offset) : pread(fd, buf, len, offset);
        guest_ram_shared_end();

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        if (n == 0) {
            if (write) {
                return -EIO;
            }
            memset(buf, 0, len); /* the file became shorter: a hole */
            return 0;
        }
        buf += n;
        len -= n;
        offset += n;
    }
    return 0;
}

static int plain_io(int fd, const struct iovec *iov, unsigned count, uint64_t offset, bool write)
{
    while (count) {
        unsigned batch = MIN(count, IOV_MAX);
        uint64_t want = iov_total(iov, batch);
        guest_ram_shared_begin();
        ssize_t n = write ? pwritev(fd, iov, batch, offset) : preadv(fd, iov, batch, offset);
        guest_ram_shared_end();

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if ((uint64_t)n != want) {
            /* Rare: finish piece by piece. */
            for (unsigned i = 0; i < batch; i++) {
                int ret = buffer_io(fd, iov[i].iov_base, iov[i].iov_len, offset, write);

                if (ret) {
                    return ret;
                }
                offset += iov[i].iov_len;
            }
        } else {
            offset += want;
        }
        iov += batch;
        count -= batch;
    }
    return 0;
}

/* ---- O_DIRECT ---- */

static bool direct_aligned(const struct iovec *iov, unsigned count, uint64_t offset)
{
    if (offset % DIRECT_ALIGN) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if ((uintptr_t)iov[i].iov_base % DIRECT_ALIGN || iov[i].iov_len % DIRECT_ALIGN) {
            return false;
        }
    }
    return true;
}

/* Copies part of a scatter list to or from a flat buffer; *i and *pos are the place in the list. */
static void bounce_copy(const struct iovec *iov, unsigned *i, size_t *pos, uint8_t *buf, size_t len,
                        bool to_buf)
{
    while (len) {
        size_t part = MIN(len, iov[*i].iov_len - *pos);
        uint8_t *guest = (uint8_t *)iov[*i].iov_base + *pos;

        if (to_buf) {
            guest_ram_copy_from(buf, guest, part);
        } else {
            guest_ram_copy_to(guest, buf, part);
        }
        buf += part;
        len -= part;
        *pos += part;
        if (*pos == iov[*i].iov_len) {
            (*i)++;
            *pos = 0;
        }
    }
}

static uint64_t round_up(uint64_t v)
{
    return (v + DIRECT_ALIGN - 1) & ~(uint64_t)(DIRECT_ALIGN - 1);
}

/* One chunk, through whole aligned blocks; a partly written block is read first. */
static int bounce_chunk(BlockNode *file, uint8_t *bounce, uint64_t offset, size_t len, bool write,
                        const struct iovec *iov, unsigned *i, size_t *pos)
{
    uint64_t start = offset & ~(uint64_t)(DIRECT_ALIGN - 1);
    size_t whole = round_up(offset + len) - start;
    bool partial = start != offset || whole != len;
    int ret = 0;

    if (!write || partial) {
        ret = buffer_io(file->fd, bounce, whole, start, false);
        if (ret) {
            return ret;
        }
    }
    bounce_copy(iov, i, pos, bounce + (offset - start), len, write);
    if (write) {
        ret = buffer_io(file->fd, bounce, whole, start, true);
        /* The last block of an image that is no multiple of it must not grow the file. */
        if (ret == 0 && start + whole > file->size_bytes &&
            ftruncate(file->fd, file->size_bytes) < 0) {
            ret = -errno;
        }
    }
    return ret;
}

static int bounce_io(BlockNode *file, const struct iovec *iov, unsigned count, uint64_t offset,
                     bool write)
{
    uint64_t left = iov_total(iov, count);
    void *bounce = NULL;
    unsigned i = 0;
    size_t pos = 0;
    int ret = 0;

    if (posix_memalign(&bounce, DIRECT_ALIGN, BOUNCE_BYTES + 2 * DIRECT_ALIGN)) {
        return -ENOMEM;
    }
    while (left && ret == 0) {
        size_t part = MIN(left, BOUNCE_BYTES);

        ret = bounce_chunk(file, bounce, offset, part, write, iov, &i, &pos);
        offset += part;
        left -= part;
    }
    free(bounce);
    return ret;
}

static int file_io(BlockNode *file, const struct iovec *iov, unsigned count, uint64_t offset,
                   bool write)
{
    if (file->direct && !direct_aligned(iov, count, offset)) {
        return bounce_io(file, iov, count, offset, write);
    }
    return plain_io(file->fd, iov, count, offset, write);
}

static int file_flush(BlockNode *file)
{
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

static int file_write_zeroes(BlockNode *file, uint64_t offset, uint64_t bytes, bool unmap)
{
    int mode = FALLOC_FL_KEEP_SIZE | (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);

    return fallocate(file->fd, mode, offset, bytes) == 0 ? 0 : -EOPNOTSUPP;
}

/* A hint: file systems without holes lose nothing. */
static int file_discard(BlockNode *file, uint64_t offset, uint64_t bytes)
{
    if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, bytes) < 0 &&
        errno != EOPNOTSUPP && errno != ENOSYS) {
        return -errno;
    }
    return 0;
}

static int file_resize(BlockNode *file, uint64_t bytes)
{
    return ftruncate(file->fd, bytes) == 0 ? 0 : -errno;
}

const BlockDriverOps block_file_ops = {
    .io = file_io,
    .flush = file_flush,
    .write_zeroes = file_write_zeroes,
    .discard = file_discard,
    .resize = file_resize,
};

/* ---- any driver ---- */

void block_node_wait(BlockNode *node, int64_t since_us, unsigned times)
{
    uint64_t ignored = 0, latency_ns = node_bottom(node, &ignored)->latency_ns;
    int64_t due_us = since_us + latency_ns / 1000 * times; /* below 2^55 * 2 */
    struct timespec due = {
        .tv_sec = due_us / G_USEC_PER_SEC,
        .tv_nsec = due_us % G_USEC_PER_SEC * 1000,
    };

    while (latency_ns && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
        continue;
    }
}

static int node_io(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset,
                   bool write)
{
    int ret = check_range(node, offset, iov_total(iov, count));
    BlockNode *bottom = node_bottom(node, &offset);

    return ret ? ret : bottom->ops->io(bottom, iov, count, offset, write);
}

int block_node_preadv(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset)
{
    return node_io(node, iov, count, offset, false);
}

int block_node_pwritev(BlockNode *node, const struct iovec *iov, unsigned count, uint64_t offset)
{
    return node->ro ? -EACCES : node_io(node, iov, count, offset, true);
}

int block_node_flush(BlockNode *node)
{
    uint64_t ignored = 0;
    BlockNode *bottom = node_bottom(node, &ignored);

    return node->no_flush || node->ro ? 0 : bottom->ops->flush(bottom);
}

static int write_zero_chunks(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    size_t chunk = MIN(bytes, BOUNCE_BYTES);
    void *zeroes = NULL;
    int ret = 0;

    if (posix_memalign(&zeroes, DIRECT_ALIGN, round_up(chunk))) {
        return -ENOMEM;
    }
    memset(zeroes, 0, chunk);
    while (bytes && ret == 0) {
        struct iovec iov = { zeroes, MIN(bytes, chunk) };

        ret = block_node_pwritev(node, &iov, 1, offset);
        offset += iov.iov_len;
        bytes -= iov.iov_len;
    }
    free(zeroes);
    return ret;
}

int block_node_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, bool unmap)
{
    int ret = node->ro ? -EACCES : check_range(node, offset, bytes);
    uint64_t at = offset;
    BlockNode *bottom = node_bottom(node, &at);

    if (ret || bytes == 0) {
        return ret;
    }
    ret = bottom->ops->write_zeroes(bottom, at, bytes, unmap && node->discard);
    return ret == -EOPNOTSUPP ? write_zero_chunks(node, offset, bytes) : ret;
}

int block_node_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    int ret = node->ro ? -EACCES : check_range(node, offset, bytes);
    BlockNode *bottom = node_bottom(node, &offset);

    if (ret || bytes == 0 || !node->discard) {
        return ret;
    }
    return bottom->ops->discard(bottom, offset, bytes);
}
