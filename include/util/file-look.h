/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef UTIL_FILE_LOOK_H
#define UTIL_FILE_LOOK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define FILE_LOOK_BYTES 64

/** What stands at a path, and its first bytes. */
typedef struct FileLook {
    struct stat st;
    uint8_t head[FILE_LOOK_BYTES];
    size_t head_bytes;          /* 0: it is no regular file, or is empty */
} FileLook;

/**
 * Looks, on a thread of its own, as a file server may not answer: waits until wake_fd (may be -1) is
 * readable, ms at most (-1: for ever). 0, or an errno; ETIMEDOUT where it was not waited for. Any thread
 * but the main one.
 */
int file_look(const char *path, FileLook *out, int wake_fd, int ms);

#endif
