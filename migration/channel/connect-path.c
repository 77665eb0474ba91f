/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connecting to a path: each attempt is a call that may be let go
 * (util/bounded.h); and what is said when nobody could be reached. Called by
 * socket.c only, on the migration's thread.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

#define UNIX_RETRY_MS 20        /* a full accept queue */
#define UNIX_RETRY_MAX 1500

int channel_connect_failed(const char *peer, bool is_unix, int err, const GError *cancelled,
                           GError **errp)
{
    bool nobody = err == ECONNREFUSED || (is_unix && err == ENOENT);

    if (err < 0) {
        error_setg(errp, "Failed to connect to '%s': %s", peer, cancelled->message);
    } else {
        error_setg(errp, "Failed to connect to '%s': %s%s%s", peer, g_strerror(err),
                   nobody ? ": nobody listens there; is the destination started, with -incoming and "
                            "this " : "", !nobody ? "" : is_unix ? "path?" : "port?");
    }
    return -1;
}

/* One attempt at a path, which may be on a file server that does not answer. */
typedef struct PathJob {
    struct sockaddr_un sun;
    int fd;             /* -1: somebody else's now */
    int err;
} PathJob;

static void path_job_free(void *opaque)
{
    PathJob *job = opaque;

    if (job->fd >= 0) {
        close(job->fd);
    }
    g_free(job);
}

static void path_job_run(void *opaque)
{
    PathJob *job = opaque;

    job->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = job->fd >= 0 &&
              connect(job->fd, (const struct sockaddr *)&job->sun, sizeof(job->sun)) == 0;
    job->err = ok ? 0 : errno;
}

static bool is_readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms) > 0;
}

/* *fd and 0, an errno, or -1 with errp when cancelled. ms: at most so long, -1 for ever. */
static int connect_path_once(const struct sockaddr_un *sun, int ms, int cancel_fd, int *fd,
                             GError **errp)
{
    PathJob *job = g_new0(PathJob, 1);
    int err = -1;

    job->sun = *sun;
    job->fd = -1;
    BoundedCall *call = bounded_call_start(path_job_run, job, path_job_free, errp);
    if (call && bounded_call_done(call, cancel_fd, ms)) {
        err = job->err;
        *fd = err ? -1 : job->fd;
        job->fd = err ? job->fd : -1;
    } else if (call && !is_readable(cancel_fd, 0)) {
        err = ETIMEDOUT;
    } else if (call) {
        error_setg(errp, "Operation was cancelled");
    }
    bounded_call_free(call);
    return err;
}

/* A server whose queue is full may only be slow. */
int channel_connect_path(const ChannelAddress *a, const struct sockaddr_un *sun, int cancel_fd,
                         GError **errp)
{
    g_autoptr(GError) cancelled = NULL;
    int ms = a->connect_ms ? (int)a->connect_ms : -1, fd = -1, err = EAGAIN;

    for (int tries = 0; err == EAGAIN && tries < UNIX_RETRY_MAX; tries++) {
        if (tries && is_readable(cancel_fd, UNIX_RETRY_MS)) {
            error_setg(&cancelled, "Operation was cancelled");
            err = -1;
        } else {
            err = connect_path_once(sun, ms, cancel_fd, &fd, &cancelled);
        }
    }
    return err ? channel_connect_failed(a->path, true, err, cancelled, errp) : fd;
}
