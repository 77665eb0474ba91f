/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several reads or writes of files at a time, by position: through io_uring
 * where the build has liburing and the kernel lets us, else one after the
 * other. For one thread at a time.
 */
#ifndef UTIL_FILE_RING_H
#define UTIL_FILE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_RING_DEPTH 8

typedef struct FileRing FileRing;

typedef struct FileRingOp {
    int fd;
    bool write;
    void *buf;
    size_t len;
    uint64_t offset;
    int err;            /* what came of it: 0 or an errno; ENODATA: the file ends */
} FileRingOp;

/** Never NULL. Caller frees. */
FileRing *file_ring_new(void);
/** NULL is fine. */
void file_ring_free(FileRing *ring);
/**
 * Does n operations, FILE_RING_DEPTH at most, in any order, and waits for all of them. Each is done whole, or
 * has an err. True if none has. Nothing but the kernel ends the wait.
 */
bool file_ring_run(FileRing *ring, FileRingOp *ops, unsigned n);
/** Does io_uring do it? For tests and messages. */
bool file_ring_is_parallel(const FileRing *ring);

#endif
