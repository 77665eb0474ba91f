/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file: and fd: channels: descriptors that exist or that open() gives.
 * Called by open.c. Layouts inside the file are migration/mapped's business.
 * An open may take for ever (a FIFO, a network file system), so it is a
 * bounded call, and never waits for the other side of a FIFO itself; so may a
 * write to a file, which is file-writer's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

#define FIFO_RETRY_MS 50
#define CLOSE_WAIT_MS 5000      /* of what nobody has completed */

/* ---- a file that is there ---- */

/* The file's, made when it is first written to; NULL with errp. It has the descriptor from then on. */
static FileWriter *writer_of(Channel *c, GError **errp)
{
    if (!c->writer && c->target) {
        FileWriter *w = file_writer_new(c->target, c->name, errp);
        c->target = w ? NULL : c->target;
        g_atomic_pointer_set(&c->writer, w);
    }
    if (c->wfd < 0) {
        error_setg(errp, "Unable to write to '%s': It is open for reading only", c->name);
    } else if (c->writer && g_atomic_int_get(&c->shut)) {
        error_setg(errp, "Unable to write to '%s': Channel was shut down", c->name);
        return NULL;
    }
    return c->writer;
}

static ssize_t file_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    if (!c->seekable) {
        return channel_fd_writev(c, iov, iovcnt, errp);
    }
    FileWriter *w = writer_of(c, errp);
    return w ? file_writer_writev(w, iov, iovcnt, -1, errp) : -1;
}

static ssize_t file_pwrite(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    FileWriter *w = writer_of(c, errp);

    return w ? file_writer_writev(w, &iov, 1, (int64_t)offset, errp) : -1;
}

static bool file_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp)
{
    FileWriter *w = writer_of(c, errp);

    return w && file_writer_punch(w, offset, len, at_end, errp);
}

bool channel_set_writers(Channel *c, unsigned n, GError **errp)
{
    FileWriter *w;

    g_assert(c->seekable);
    w = writer_of(c, errp);
    return w && file_writer_start_runs(w, n, errp);
}

bool channel_pwrite_run(Channel *c, const ChannelRun *run, GError **errp)
{
    FileWriter *w = writer_of(c, errp);

    return w && file_writer_run(w, run, errp);
}

static bool file_settle(Channel *c, GError **errp)
{
    return !c->writer || file_writer_settle(c->writer, errp);
}

static bool file_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp)
{
    FileWriter *w = c->seekable ? writer_of(c, errp) : NULL;

    return !c->seekable || (w && file_writer_room(w, end, bytes, errp));
}

static ChannelEnd file_complete(Channel *c, int ms, GError **errp)
{
    return c->writer ? file_writer_close(c->writer, true, ms, errp) : CHANNEL_END_TAKEN;
}

static void file_shutdown(Channel *c)
{
    channel_fd_shutdown(c);
    FileWriter *w = g_atomic_pointer_get(&c->writer);
    if (w) {
        file_writer_cancel(w);
    }
}

/*
 * Who wanted to know whether all is in the file has completed the channel,
 * and is not here before it is closed; others do not wait long.
 */
static bool file_close(Channel *c, GError **errp)
{
    bool ok = true;

    if (c->writer || c->target) {
        c->rfd = c->rfd == c->wfd ? -1 : c->rfd;
        c->wfd = -1;
    }
    if (c->target) {
        file_target_free(c->target);    /* nothing was written */
    }
    if (c->writer) {
        ok = g_atomic_int_get(&c->shut) || file_writer_closing(c->writer) ||
             file_writer_close(c->writer, false, CLOSE_WAIT_MS, errp) == CHANNEL_END_TAKEN;
        file_writer_free(c->writer);
    }
    return channel_fd_close(c, NULL) && ok;
}

static const ChannelOps file_ops = {
    "file", file_writev, file_pwrite, file_punch, file_settle, file_room, channel_fd_read,
    file_complete, channel_fd_describe_end, file_shutdown, file_close,
};
static const ChannelOps fd_ops = {
    "fd", file_writev, file_pwrite, file_punch, file_settle, file_room, channel_fd_read,
    file_complete, channel_fd_describe_end, file_shutdown, file_close,
};

bool channel_set_head(Channel *c, const void *head, size_t len, GError **errp)
{
    if (!c->target || c->writer) {
        error_setg(errp, "'%s' is no file that can be saved into again", c->name);
        return false;
    }
    file_target_set_head(c->target, head, len);
    return true;
}

/* ---- direct I/O ---- */

/* Takes direct_fd; -1: the file is opened again. */
static bool go_direct(Channel *c, int direct_fd, GError **errp)
{
    int err;

    if (!c->seekable) {
        return true;    /* what wants positions will say so */
    }
    if (c->target) {
        err = file_target_go_direct(c->target, direct_fd);
    } else {
        c->direct_fd = direct_fd >= 0 ? direct_fd : file_open_direct(c->rfd, O_RDONLY);
        err = c->direct_fd < 0 ? errno : 0;
        posix_fadvise(c->rfd, 0, 0, POSIX_FADV_RANDOM); /* nothing is read ahead into the cache */
    }
    if (err) {
        error_setg_errno(errp, err, "'%s' cannot be opened for direct I/O (direct-io)", c->name);
    }
    return !err;
}

/* ---- opening one ---- */

typedef struct OpenJob {
    char *path;
    uint64_t offset;
    bool outgoing;
    ChannelFileOptions options;
    int fd;             /* may be given; -1: to be opened, or failed; the target's if there is one */
    int direct_fd;      /* may be given; -1 */
    FileTarget *target; /* outgoing, a file that stands beside its place */
    bool truncating;    /* what failed was not the open but the truncation */
    bool opened;        /* here: else it is somebody else's, too */
    bool in_use;        /* what failed was the lock */
    bool no_reader;     /* what failed was a FIFO's open for want of one */
    int err;
} OpenJob;

static void open_job_free(void *opaque)
{
    OpenJob *job = opaque;

    if (job->target) {
        file_target_free(job->target);
    } else if (job->fd >= 0) {
        close(job->fd);
    }
    if (job->direct_fd >= 0) {
        close(job->direct_fd);
    }
    g_free(job->path);
    g_free(job);
}

/*
 * What is before the offset belongs to somebody else and stays. A file that ends there already
 * is left alone: ext4 takes any truncation to nothing, of a new file as well, as a reason to
 * write the whole file out when it is closed, and the migration is not over before that.
 */
static void open_job_truncate(OpenJob *job)
{
    struct stat st;

    job->truncating = true;
    if (fstat(job->fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size != job->offset &&
        ftruncate(job->fd, job->offset) < 0) {
        job->err = errno;
    }
}

/*
 * Nobody reads an image while it is saved into again. Only who does that, or writes one that is not
 * complete, has it for himself; where there are no locks nobody has.
 */
static void open_job_lock(OpenJob *job)
{
    if (job->opened && flock(job->fd, (job->outgoing ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        job->in_use = true;
        job->err = errno;
    }
}

static void open_job_run(void *opaque)
{
    OpenJob *job = opaque;
    bool again = job->outgoing && job->options.again;
    int flags = O_CLOEXEC | O_NONBLOCK |
                (again ? O_RDWR : job->outgoing ? O_CREAT | O_WRONLY : O_RDONLY);
    struct stat st;

    if (job->fd < 0 && job->outgoing && job->options.beside && job->offset == 0) {
        job->target = file_target_new_beside(job->path, &job->options);
        job->fd = job->target ? file_target_fd(job->target) : -1;
    }
    if (job->target) {
        return;
    }
    job->opened = job->fd < 0;
    if (job->opened) {
        job->fd = open(job->path, flags, 0600);
    }
    if (job->fd < 0) {
        job->err = errno;
        job->no_reader = job->err == ENXIO && stat(job->path, &st) == 0 && S_ISFIFO(st.st_mode);
    } else if (again || !job->outgoing) {
        open_job_lock(job);
    } else {
        open_job_truncate(job);
    }
}

static BoundedCall *file_start(ChannelAddress *a, bool outgoing, GError **errp)
{
    OpenJob *job = g_new0(OpenJob, 1);

    job->path = g_strdup(a->path);
    job->offset = a->offset;
    job->outgoing = outgoing;
    job->options = a->file;
    job->fd = a->fd;
    job->direct_fd = a->direct_fd;
    a->fd = a->direct_fd = -1;
    return bounded_call_start(open_job_run, job, open_job_free, errp);
}

static void job_error(const OpenJob *job, GError **errp)
{
    if (job->truncating) {
        error_setg_errno(errp, job->err, "failed to truncate migration file '%s' to offset 0x%"
                         G_GINT64_MODIFIER "x", job->path, job->offset);
    } else if (job->in_use) {
        error_setg(errp, "'%s' is in use: another process %s it", job->path,
                   job->outgoing ? "reads or saves into" : "saves into");
    } else if (job->outgoing) {
        error_setg_errno(errp, job->err, "Could not create '%s'", job->path);
    } else {
        error_setg_errno(errp, job->err, "Could not open '%s'", job->path);
    }
}

static bool file_failed(BoundedCall *opening, GError **errp)
{
    const OpenJob *job = bounded_call_arg(opening);

    if (job->err) {
        job_error(job, errp);
    }
    return job->err != 0;
}

static bool is_fifo(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* A FIFO without a reader cannot be opened for writing without waiting: it is tried again and again. */
static bool wait_for_reader(const OpenJob *job, int wake_fd, GError **errp)
{
    struct pollfd p = { .fd = wake_fd, .events = POLLIN };

    if (poll(&p, 1, FIFO_RETRY_MS) > 0) {
        error_setg(errp, "Waiting for a reader of '%s' was cancelled", job->path);
        return false;
    }
    return true;
}

/* One open, to its end or until wake_fd. The job, or NULL with errp. */
static OpenJob *wait_for_open(const ChannelAddress *a, BoundedCall *opening, int wake_fd,
                              GError **errp)
{
    if (!bounded_call_done(opening, wake_fd, -1)) {
        error_setg(errp, "Opening '%s' was cancelled", a->path);
        return NULL;
    }
    return bounded_call_arg(opening);
}

/* The same until the FIFO, if it is one, has a reader. */
static OpenJob *wait_for_open_fifo(const ChannelAddress *a, BoundedCall **opening, int wake_fd,
                                   GError **errp)
{
    OpenJob *job = wait_for_open(a, *opening, wake_fd, errp);

    while (job && job->no_reader) {
        ChannelAddress same = *a;   /* its fd was taken: this time there is none */
        if (!wait_for_reader(job, wake_fd, errp)) {
            return NULL;
        }
        bounded_call_free(*opening);
        *opening = file_start(&same, true, errp);
        job = *opening ? wait_for_open(a, *opening, wake_fd, errp) : NULL;
    }
    return job;
}

/* Takes the job's file, on success only. */
static Channel *channel_of_file(const ChannelAddress *a, OpenJob *job, GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);

    if (a->offset > 0 && lseek(job->fd, a->offset, SEEK_SET) < 0) {
        error_setg_errno(errp, errno, "Unable to seek to 0x%" G_GINT64_MODIFIER "x in '%s'",
                         a->offset, a->path);
        return NULL;
    }
    Channel *c = g_new0(Channel, 1);
    if (!channel_init(c, &file_ops, name, job->outgoing ? -1 : job->fd,
                      job->outgoing ? job->fd : -1, errp)) {
        g_free(c);
        return NULL;
    }
    c->target = g_steal_pointer(&job->target);
    if (job->outgoing && c->seekable && !c->target) {
        c->target = file_target_new(job->fd, &a->file);
    }
    job->fd = -1;
    if (a->file.direct) {
        int direct_fd = job->direct_fd;
        job->direct_fd = -1;
        if (!go_direct(c, direct_fd, errp)) {
            channel_close(c, NULL);
            return NULL;
        }
    }
    return c;
}

static Channel *file_finish(const ChannelAddress *a, BoundedCall **opening, bool outgoing,
                            int wake_fd, GError **errp)
{
    OpenJob *job = wait_for_open_fifo(a, opening, wake_fd, errp);

    if (!job) {
        return NULL;
    }
    if (job->err) {
        job_error(job, errp);
        return NULL;
    }
    Channel *c = channel_of_file(a, job, errp);
    /* Before the first writer of a FIFO has come, reading it says that it has ended. */
    if (c && !outgoing && is_fifo(c->rfd) && !channel_wait(c->rfd, POLLIN, wake_fd, errp)) {
        error_prepend(errp, "Waiting for a writer of '%s': ", a->path);
        channel_close(c, NULL);
        return NULL;
    }
    return c;
}

const ChannelOpener channel_file_opener = { file_start, file_failed, file_finish };

Channel *channel_new_fd(int fd, const char *name, GError **errp)
{
    static const ChannelFileOptions plain;

    return channel_new_fd_file(fd, name, &plain, errp);
}

Channel *channel_new_fd_file(int fd, const char *name, const ChannelFileOptions *options,
                             GError **errp)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) {
        error_setg_errno(errp, errno, "File descriptor %d of '%s' is not usable", fd, name);
        return NULL;
    }
    int mode = flags & O_ACCMODE;
    Channel *c = g_new0(Channel, 1);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!channel_init(c, &fd_ops, name, mode == O_WRONLY ? -1 : fd, mode == O_RDONLY ? -1 : fd,
                      errp)) {
        close(fd);
        g_free(c);
        return NULL;
    }
    if (c->seekable && c->wfd >= 0) {
        c->target = file_target_new(c->wfd, options);
    }
    if (options->direct && !go_direct(c, -1, errp)) {
        channel_close(c, NULL);
        return NULL;
    }
    return c;
}
