/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See migration/baseline.h. The dirty log is fetched into `fresh`, and from there into what the
 * migration has still to send and into what was written since the file was: so neither takes anything
 * away from the other.
 */
#include "migration/ram/baseline.h"

#include <string.h>
#include <sys/stat.h>
#include "migration/channel.h"
#include "util/error.h"
#include "util/file-look.h"

#define LOOK_MS 1000    /* for a file that was just written or read */

struct RamBaseline {
    MappedBase *base;
    RamDirty *since, *fresh;
    struct stat file;       /* as it was left */
};

static bool look_at(const char *path, struct stat *st, GError **errp)
{
    FileLook file;
    int err = file_look(path, &file, -1, LOOK_MS);

    if (err) {
        error_setg_errno(errp, err, "cannot look at '%s'", path);
    } else {
        *st = file.st;
    }
    return !err;
}

RamBaseline *ram_baseline_new(RAMList *ram, DirtyLog *log, MappedBase *base, const char *path, GError **errp)
{
    RamBaseline *b = g_new0(RamBaseline, 1);

    b->base = base;
    b->since = ram_dirty_new(ram, log, errp);
    b->fresh = b->since ? ram_dirty_new(ram, log, errp) : NULL;
    if (!b->fresh || !look_at(path, &b->file, errp)) {
        ram_baseline_free(b);
        return NULL;
    }
    ram_dirty_start_clean(b->since);
    return b;
}

void ram_baseline_free(RamBaseline *b)
{
    if (b) {
        mapped_base_free(b->base);
        ram_dirty_free(b->since);
        ram_dirty_free(b->fresh);
        g_free(b);
    }
}

MappedBase *ram_baseline_base(RamBaseline *b)
{
    return b->base;
}

void ram_baseline_start(RamBaseline *b, RamDirty *dirty)
{
    ram_dirty_start_clean(dirty);
    ram_dirty_add(dirty, b->since);
}

uint64_t ram_baseline_sync(RamBaseline *b, RamDirty *dirty)
{
    ram_dirty_forget(b->fresh);
    ram_dirty_sync(b->fresh);
    ram_dirty_add(b->since, b->fresh);
    return ram_dirty_add(dirty, b->fresh);
}

/* ---- the file ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && same_time(&a->st_mtim, &b->st_mtim) &&
           same_time(&a->st_ctim, &b->st_ctim);
}

static bool has_sums(const RamBaseline *b)
{
    for (size_t i = 0; i < b->base->count; i++) {
        if (!b->base->blocks[i].sums) {
            return false;
        }
    }
    return true;
}

bool ram_baseline_fits(const RamBaseline *b, const char *path, bool sums, int wake_fd, char **why)
{
    FileLook file;

    *why = NULL;
    if (file_look(path, &file, wake_fd, -1) != 0 || !same_file(&file.st, &b->file)) {
        *why = g_strdup("this guest was last saved to, or restored from, another file");
    } else if (!unchanged(&file.st, &b->file)) {
        *why = g_strdup("the file was changed since");
    } else if (sums && !has_sums(b)) {
        *why = g_strdup("it has no checksums yet (x-ram-checksum)");
    }
    return !*why;
}

bool ram_baseline_begin(RamBaseline *b, Channel *channel, uint64_t *stream_offset, uint64_t *stream_end,
                        GError **errp)
{
    struct stat st;
    MappedHead head;

    if (fstat(channel_fd(channel), &st) < 0 || !same_file(&st, &b->file) || !unchanged(&st, &b->file)) {
        error_setg(errp, "'%s' was changed while it was opened to be saved into again: try again",
                   channel_name(channel));
        return false;
    }
    mapped_base_plan(b->base, (uint64_t)st.st_size, &head, stream_offset);
    *stream_end = *stream_offset + b->base->room_bytes;
    return channel_set_head(channel, &head, sizeof(head), errp) &&
           channel_check_room(channel, b->base->room_offset + 2 * b->base->room_bytes, 0, errp) &&
           channel_punch(channel, *stream_offset, b->base->room_bytes, false, errp);
}

static bool says_the_same(const RamBaseline *b, const FileLook *file)
{
    MappedHead head;

    if (!same_file(&file->st, &b->file) || file->head_bytes < sizeof(head)) {
        return false;
    }
    memcpy(&head, file->head, sizeof(head));
    if (b->base->saves == 1) {
        return GUINT32_FROM_BE(head.magic) == STREAM_MAGIC;
    }
    return mapped_head_check(&head, NULL) && head.saves == b->base->saves;
}

void ram_baseline_failed(RamBaseline *b, const char *path)
{
    FileLook file;

    if (file_look(path, &file, -1, LOOK_MS) == 0 && says_the_same(b, &file)) {
        b->file = file.st;
    }
}
