/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See file-ring.h. Whatever io_uring does not do, or does in part, is done
 * again by pread and pwrite: so an old kernel, a sandbox and a short write are
 * one case, and the errno is that of a call everybody knows.
 */
#include "util/file-ring.h"

#include <errno.h>
#include <glib.h>
#include <unistd.h>
#include "config-host.h"
#ifdef CONFIG_LIBURING
#include <liburing.h>
#endif

struct FileRing {
    bool parallel;
#ifdef CONFIG_LIBURING
    struct io_uring uring;
#endif
};

/* What is left of an operation of which `done` bytes are done. */
static void finish_op(FileRingOp *op, size_t done)
{
    char *buf = op->buf;

    op->err = 0;
    while (done < op->len) {
        off_t at = (off_t)(op->offset + done);
        ssize_t n = op->write ? pwrite(op->fd, buf + done, op->len - done, at)
                              : pread(op->fd, buf + done, op->len - done, at);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            op->err = n < 0 ? errno : op->write ? ENOSPC : ENODATA;
            return;
        }
        done += n > 0 ? (size_t)n : 0;
    }
}

#ifdef CONFIG_LIBURING
FileRing *file_ring_new(void)
{
    FileRing *ring = g_new0(FileRing, 1);

    ring->parallel = io_uring_queue_init(FILE_RING_DEPTH, &ring->uring, 0) == 0;
    return ring;
}

void file_ring_free(FileRing *ring)
{
    if (ring && ring->parallel) {
        io_uring_queue_exit(&ring->uring);
    }
    g_free(ring);
}

/* Puts them into the ring; how many the kernel has taken. */
static unsigned submit_ops(FileRing *ring, FileRingOp *ops, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        if (ops[i].write) {
            io_uring_prep_write(sqe, ops[i].fd, ops[i].buf, (unsigned)ops[i].len, ops[i].offset);
        } else {
            io_uring_prep_read(sqe, ops[i].fd, ops[i].buf, (unsigned)ops[i].len, ops[i].offset);
        }
        io_uring_sqe_set_data64(sqe, i);
    }
    int taken = io_uring_submit(&ring->uring);
    return taken < 0 ? 0 : (unsigned)taken;
}

/* How far each has come, by its result; what the kernel did not take has not. */
static void reap_ops(FileRing *ring, unsigned taken, size_t *done)
{
    while (taken > 0) {
        struct io_uring_cqe *cqe;
        int rc = io_uring_wait_cqe(&ring->uring, &cqe);
        if (rc == -EINTR) {
            continue;
        }
        g_assert(rc == 0);      /* the kernel owns memory of ours until it has said so */
        done[io_uring_cqe_get_data64(cqe)] = cqe->res > 0 ? (size_t)cqe->res : 0;
        io_uring_cqe_seen(&ring->uring, cqe);
        taken--;
    }
}

static void run_parallel(FileRing *ring, FileRingOp *ops, unsigned n)
{
    size_t done[FILE_RING_DEPTH] = { 0 };
    unsigned taken = submit_ops(ring, ops, n);

    reap_ops(ring, taken, done);
    if (taken < n) {            /* the rest is still in there: never again */
        io_uring_queue_exit(&ring->uring);
        ring->parallel = false;
    }
    for (unsigned i = 0; i < n; i++) {
        finish_op(&ops[i], done[i]);
    }
}
#else
FileRing *file_ring_new(void)
{
    return g_new0(FileRing, 1);
}

void file_ring_free(FileRing *ring)
{
    g_free(ring);
}
#endif

bool file_ring_run(FileRing *ring, FileRingOp *ops, unsigned n)
{
    bool ok = true;

    g_assert(n <= FILE_RING_DEPTH);
#ifdef CONFIG_LIBURING
    if (ring->parallel) {
        run_parallel(ring, ops, n);
    } else
#endif
    {
        for (unsigned i = 0; i < n; i++) {
            finish_op(&ops[i], 0);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        ok = ok && ops[i].err == 0;
    }
    return ok;
}

bool file_ring_is_parallel(const FileRing *ring)
{
    return ring->parallel;
}
