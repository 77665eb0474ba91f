/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is being written, until it is whole. Used by file.c, which opens it, and by
 * file-writer.c, whose thread writes it.
 *
 *   in place    mark......            the first bytes withheld; whoever reads it sees the mark
 *   beside      (no name)  mark....   as well, in the same folder, without a name
 *
 *   completed:  fdatasync; the first bytes; fdatasync; the name; fsync of the folder
 *
 * A file without a name is gone with its last descriptor, however the process ends. It takes a
 * name that is free with one link. A name that is in use can only be taken by a rename, so the
 * file gets a temporary one just before. File systems without nameless files have the temporary
 * name from the beginning: the lock that the writer holds tells a next one whether it is litter.
 */
#include "migration/channel/file-target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "util/file-ring.h"

#define WRITEBACK_BYTES (16u << 20)     /* so often the kernel is told to begin with the disk */
#define NAME_TRIES 3
#define DIRECT_ALIGN 4096u
#define SELF_FD "/proc/self/fd/%d"

typedef struct Hole {
    uint64_t offset, len;
} Hole;

struct FileTarget {
    /* set once */
    int fd;
    int direct_fd;          /* the same, O_DIRECT; -1: not wanted */
    ChannelFileOptions options;
    int folder;             /* beside: its descriptor; -1: in place */
    char *name, *temporary; /* beside: in that folder */
    /* as it goes */
    bool has_temporary;     /* it is in use, and ours */
    bool published;
    bool over_old;          /* in place of content that could be taken for this file's */
    uint8_t held[CHANNEL_FILE_MARK_BYTES];
    unsigned held_bytes;
    off_t start;            /* where they belong */
    uint8_t head[CHANNEL_FILE_HEAD_BYTES];
    size_t head_bytes;      /* 0: none */
    GArray *holes;          /* of Hole, when it is published; NULL: none */
    uint64_t unsynced;      /* bytes since the kernel was last told; atomic */
};

/* ---- opening ---- */

FileTarget *file_target_new(int fd, const ChannelFileOptions *options)
{
    FileTarget *t = g_new0(FileTarget, 1);
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    t->fd = fd;
    t->direct_fd = -1;
    t->folder = -1;
    t->options = *options;
    /* What is appended to cannot be mended at its beginning. */
    t->start = flags >= 0 && !(flags & O_APPEND) ? lseek(fd, 0, SEEK_CUR) : -1;
    t->options.marked = options->marked && t->start >= 0;
    t->over_old = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > t->start;
    return t;
}

int file_target_fd(const FileTarget *t)
{
    return t->fd;
}

/* A file that is there has to be one that its user may write. */
static bool may_replace(const char *path, struct stat *st, bool *exists)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);

    *exists = fd >= 0;
    if (fd < 0) {
        struct stat link;
        return errno == ENOENT && lstat(path, &link) < 0;   /* a link to nowhere is not free */
    }
    bool ok = fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_nlink == 1;
    close(fd);
    return ok;
}

static bool take_looks(int fd, const struct stat *old)
{
    struct stat now;

    return fstat(fd, &now) == 0 &&
           ((now.st_uid == old->st_uid && now.st_gid == old->st_gid) ||
            fchown(fd, old->st_uid, old->st_gid) == 0) &&
           fchmod(fd, old->st_mode & 07777) == 0;
}

/* Is the name `temporary` still that of fd? */
static bool is_named(int folder, const char *temporary, int fd)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && fstatat(folder, temporary, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* One that a process left behind is used again; one that is locked is in use. -1: cannot be had. */
static int open_temporary(int folder, const char *temporary)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
            if (fd >= 0) {
                close(fd);
            }
            return -1;
        }
        if (is_named(folder, temporary, fd) && ftruncate(fd, 0) == 0) {
            return fd;
        }
        close(fd);      /* it was published between the open and the lock */
    }
    return -1;
}

/* Without a name if that can get one later, which needs /proc. */
static int open_nameless(int folder)
{
    char self[sizeof(SELF_FD) + 3 * sizeof(int)];
    struct stat st;
    int fd = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    g_snprintf(self, sizeof(self), SELF_FD, fd);
    if (fd >= 0 && stat(self, &st) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool open_beside(FileTarget *t)
{
    t->fd = open_nameless(t->folder);
    if (t->fd < 0) {
        t->fd = open_temporary(t->folder, t->temporary);
        t->has_temporary = t->fd >= 0;
    }
    return t->fd >= 0;
}

FileTarget *file_target_new_beside(const char *path, const ChannelFileOptions *options)
{
    struct stat old;
    bool exists;

    if (!may_replace(path, &old, &exists)) {
        return NULL;
    }
    char *real = exists ? realpath(path, NULL) : strdup(path);  /* a link stays a link */
    FileTarget *t = g_new0(FileTarget, 1);
    g_autofree char *folder = real ? g_path_get_dirname(real) : g_strdup("");
    t->options = *options;
    t->fd = t->direct_fd = -1;
    t->name = real ? g_path_get_basename(real) : g_strdup("");
    t->temporary = g_strdup_printf(".%s.part", t->name);
    t->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(real);
    if (t->folder < 0 || strlen(t->temporary) > NAME_MAX || !open_beside(t) ||
        (exists && !take_looks(t->fd, &old))) {
        file_target_free(t);
        return NULL;
    }
    return t;
}

/* ---- writing ---- */

/* The first bytes are kept, and the mark goes in their place. */
static void hold_back(FileTarget *t, uint8_t *buf, size_t len)
{
    size_t n = MIN(len, sizeof(t->held) - t->held_bytes);

    memcpy(t->held + t->held_bytes, buf, n);
    memcpy(buf, t->options.mark + t->held_bytes, n);
    t->held_bytes += n;
}

static int write_all(int fd, const uint8_t *buf, size_t len, int64_t offset, uint64_t *failed_at)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = offset < 0 ? write(fd, buf + done, len - done)
                               : pwrite(fd, buf + done, len - done, offset + (int64_t)done);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            int err = n ? errno : ENOSPC;
            *failed_at = offset < 0 ? (uint64_t)lseek(fd, 0, SEEK_CUR) : (uint64_t)offset + done;
            return err;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* The disk begins early, so that the end, when the guest stands still, is not long in coming. */
static void begin_writeback(FileTarget *t, size_t len)
{
    uint64_t unsynced = __atomic_add_fetch(&t->unsynced, len, __ATOMIC_RELAXED);

    if (t->options.sync && unsynced >= WRITEBACK_BYTES) {
        __atomic_store_n(&t->unsynced, 0, __ATOMIC_RELAXED);    /* of two threads, one too many is no harm */
        sync_file_range(t->fd, 0, 0, SYNC_FILE_RANGE_WRITE);    /* a hint: its errors come again */
    }
}

int file_target_write(FileTarget *t, void *buf, size_t len, int64_t offset, uint64_t *failed_at)
{
    bool head = t->options.marked && t->held_bytes < sizeof(t->held) && offset < 0;

    if (head) {
        hold_back(t, buf, len);
    }
    int err = write_all(t->fd, buf, len, offset, failed_at);
    if (!err && head && t->over_old && t->options.sync) {
        err = fdatasync(t->fd) < 0 ? errno : 0;     /* before more of the old is overwritten */
        *failed_at = (uint64_t)t->start;
    }
    begin_writeback(t, len);
    return err;
}

int file_open_direct(int fd, int access)
{
    char self[sizeof(SELF_FD) + 3 * sizeof(int)];

    g_snprintf(self, sizeof(self), SELF_FD, fd);
    return open(self, access | O_DIRECT | O_CLOEXEC);
}

int file_target_go_direct(FileTarget *t, int direct_fd)
{
    t->direct_fd = direct_fd >= 0 ? direct_fd : file_open_direct(t->fd, O_WRONLY);
    return t->direct_fd < 0 ? errno : 0;
}

bool file_target_is_direct(const FileTarget *t)
{
    return t->direct_fd >= 0;
}

/* Whole blocks of the file go around the page cache, what is before and behind them does not. */
static FileRingOp direct_part(const FileTarget *t, const FilePiece *p)
{
    uint64_t first = (p->offset + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
    uint64_t end = (p->offset + p->len) / DIRECT_ALIGN * DIRECT_ALIGN;
    /* Memory is as aligned as the file's offset only where nothing is cut off in front. */
    bool fits = first == p->offset && end > first;

    return (FileRingOp){ .fd = t->direct_fd, .write = true, .buf = p->data,
                         .len = fits ? end - first : 0, .offset = p->offset };
}

/* What of the piece is behind the first `done` bytes. */
static int write_rest(FileTarget *t, const FilePiece *p, size_t done, uint64_t *failed_at)
{
    return write_all(t->fd, p->data + done, p->len - done, (int64_t)(p->offset + done), failed_at);
}

/* Some devices want more than 4096: then it goes through the cache after all. */
static int write_direct(FileTarget *t, FileRing *ring, const FilePiece *pieces, unsigned n,
                        uint64_t *failed_at)
{
    FileRingOp ops[FILE_RING_DEPTH];
    int err = 0;

    for (unsigned i = 0; i < n; i++) {
        ops[i] = direct_part(t, &pieces[i]);
    }
    file_ring_run(ring, ops, n);
    for (unsigned i = 0; i < n && !err; i++) {
        if (ops[i].err == 0 || ops[i].err == EINVAL) {
            err = write_rest(t, &pieces[i], ops[i].err ? 0 : ops[i].len, failed_at);
        } else {
            err = ops[i].err;
            *failed_at = pieces[i].offset;
        }
    }
    return err;
}

int file_target_write_pieces(FileTarget *t, FileRing *ring, const FilePiece *pieces, unsigned n,
                             uint64_t *failed_at)
{
    int err = 0;

    if (t->direct_fd >= 0) {
        return write_direct(t, ring, pieces, n, failed_at);
    }
    for (unsigned i = 0; i < n && !err; i++) {
        err = write_rest(t, &pieces[i], 0, failed_at);
        begin_writeback(t, pieces[i].len);
    }
    return err;
}

void file_target_set_head(FileTarget *t, const void *head, size_t len)
{
    g_assert(len <= sizeof(t->head));
    memcpy(t->head, head, len);
    t->head_bytes = len;
}

void file_target_punch(FileTarget *t, uint64_t offset, uint64_t len, bool at_end)
{
    if (at_end) {
        t->holes = t->holes ? t->holes : g_array_new(FALSE, FALSE, sizeof(Hole));
        g_array_append_val(t->holes, ((Hole){ offset, len }));
        return;
    }
    while (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) < 0 &&
           errno == EINTR) {
        /* again */
    }
}

int file_target_room(FileTarget *t, uint64_t end, uint64_t *free_bytes)
{
    struct statvfs fs;
    struct stat st;

    *free_bytes = UINT64_MAX;
    if (fstat(t->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return 0;       /* the writing will tell */
    }
    if (end > INT64_MAX || ((uint64_t)st.st_size < end && ftruncate(t->fd, (off_t)end) < 0)) {
        return end > INT64_MAX ? EFBIG : errno;
    }
    if (fstatvfs(t->fd, &fs) == 0) {
        *free_bytes = (uint64_t)fs.f_bfree * fs.f_frsize;
    }
    return 0;
}

/* ---- the end ---- */

int file_target_sync(FileTarget *t)
{
    return t->options.sync && fdatasync(t->fd) < 0 ? errno : 0;
}

/* To a name that is free. */
static int link_to(const FileTarget *t, const char *name)
{
    char self[sizeof(SELF_FD) + 3 * sizeof(int)];

    g_snprintf(self, sizeof(self), SELF_FD, t->fd);
    return linkat(AT_FDCWD, self, t->folder, name, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
}

/* The temporary name, which nobody has for longer than a rename takes: else it is litter. */
static int link_temporary(FileTarget *t)
{
    int err = link_to(t, t->temporary);

    if (err == EEXIST) {
        unlinkat(t->folder, t->temporary, 0);
        err = link_to(t, t->temporary);
    }
    t->has_temporary = !err;
    return err;
}

static int take_name(FileTarget *t)
{
    int err = t->has_temporary ? EEXIST : link_to(t, t->name);

    for (int i = 0; err == EEXIST && i < NAME_TRIES; i++) {
        err = t->has_temporary ? 0 : link_temporary(t);
        if (!err && renameat(t->folder, t->temporary, t->folder, t->name) < 0) {
            err = errno == ENOENT ? EEXIST : errno;     /* another save took the name for litter */
        }
        t->has_temporary = err && err != EEXIST;
    }
    return err;
}

/* What goes over from an older content to this one, in one write. */
static int put_head(FileTarget *t, FileStep *step)
{
    uint64_t at;

    *step = FILE_STEP_WRITE;
    int err = write_all(t->fd, t->head, t->head_bytes, 0, &at);
    if (!err) {
        *step = FILE_STEP_SYNC;
        err = file_target_sync(t);
    }
    for (guint i = 0; !err && t->holes && i < t->holes->len; i++) {
        const Hole *hole = &g_array_index(t->holes, Hole, i);
        file_target_punch(t, hole->offset, hole->len, false);
    }
    return err;
}

int file_target_publish(FileTarget *t, FileStep *step)
{
    uint64_t at;
    int err = 0;

    *step = FILE_STEP_WRITE;
    if (t->held_bytes) {
        err = write_all(t->fd, t->held, t->held_bytes, t->start, &at);
    }
    if (!err && t->held_bytes) {
        *step = FILE_STEP_SYNC;
        err = file_target_sync(t);
    }
    if (!err && t->head_bytes) {
        err = put_head(t, step);
    }
    if (!err && t->folder >= 0) {
        *step = FILE_STEP_NAME;
        err = take_name(t);
        if (!err && t->options.sync && fsync(t->folder) < 0) {
            err = errno;
        }
    }
    t->published = !err;
    return err;
}

int file_target_free(FileTarget *t)
{
    if (t->has_temporary && !t->published) {
        unlinkat(t->folder, t->temporary, 0);
    }
    int err = t->fd >= 0 && close(t->fd) < 0 ? errno : 0;
    if (t->direct_fd >= 0 && close(t->direct_fd) < 0 && !err) {
        err = errno;
    }
    if (t->folder >= 0) {
        close(t->folder);
    }
    if (t->holes) {
        g_array_unref(t->holes);
    }
    g_free(t->name);
    g_free(t->temporary);
    g_free(t);
    return err;
}
