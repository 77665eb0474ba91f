/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is being written, until it is whole (migration-stream 6.7): its first bytes are
 * withheld and a mark stands in their place; where a path was given it has no name, or a
 * temporary one. What was written counts when it is completed. One thread at a time, but for pieces;
 * every call may wait for the file system.
 */
#ifndef MIGRATION_CHANNEL_FILE_TARGET_H
#define MIGRATION_CHANNEL_FILE_TARGET_H

#include "migration/channel.h"
#include "util/file-ring.h"

typedef struct FileTarget FileTarget;

/** What was tried when it failed. */
typedef enum FileStep {
    FILE_STEP_WRITE,
    FILE_STEP_SYNC,
    FILE_STEP_NAME,
    FILE_STEP_CLOSE,
} FileStep;

/** An open file, written where it is. Takes fd. */
FileTarget *file_target_new(int fd, const ChannelFileOptions *options);
/**
 * A new file in the folder of path, which takes path's place when it is completed. NULL where that
 * cannot be: path is no regular file, or the folder or the old file's owner does not allow it; then
 * it is to be opened in place.
 */
FileTarget *file_target_new_beside(const char *path, const ChannelFileOptions *options);
/** The descriptor; the target's. */
int file_target_fd(const FileTarget *t);

/** A new descriptor with O_DIRECT for what fd is of; -1 with errno. access: O_RDONLY or O_WRONLY. */
int file_open_direct(int fd, int access);

/** One piece of what is written by position. */
typedef struct FilePiece {
    uint8_t *data;          /* 4096-aligned memory */
    size_t len;
    uint64_t offset;
} FilePiece;

/**
 * From now on pieces go around the page cache, through direct_fd, the same file opened with
 * O_DIRECT, which is taken; -1: it is opened here. 0 or an errno.
 */
int file_target_go_direct(FileTarget *t, int direct_fd);
/**
 * Writes n pieces, FILE_RING_DEPTH at most, which do not overlap; with direct I/O at the same time,
 * through ring, which is the calling thread's. Several threads at once, each with other pieces.
 * 0 or an errno, then *failed_at says where.
 */
int file_target_write_pieces(FileTarget *t, FileRing *ring, const FilePiece *pieces, unsigned n,
                             uint64_t *failed_at);
/** Is it worth having several? */
bool file_target_is_direct(const FileTarget *t);
/**
 * Writes all of buf at offset or (-1) where the file stands; may change buf. 0 or an errno, then
 * *failed_at says where.
 */
int file_target_write(FileTarget *t, void *buf, size_t len, int64_t offset, uint64_t *failed_at);
/** What lies there is to take no room any more; at_end: when it is published. Where that cannot be it stays. */
void file_target_punch(FileTarget *t, uint64_t offset, uint64_t len, bool at_end);
/** What is put at its beginning when it is published; len at most CHANNEL_FILE_HEAD_BYTES. */
void file_target_set_head(FileTarget *t, const void *head, size_t len);
/**
 * A regular file becomes at least end bytes long, of holes: 0, or an errno if it must not or cannot.
 * *free_bytes: how much its file system has left; all ones: not known.
 */
int file_target_room(FileTarget *t, uint64_t end, uint64_t *free_bytes);
/** All was written: waits until the disk has it, unless that was not asked for. 0 or an errno. */
int file_target_sync(FileTarget *t);
/** And makes it valid, under its own name. 0 or an errno, then *step says of what. */
int file_target_publish(FileTarget *t, FileStep *step);
/** Closes the file: 0 or an errno. One that was not published is removed if it is nobody else's. */
int file_target_free(FileTarget *t);

#endif
