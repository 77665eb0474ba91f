/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See file-look.h. Used by migration/, for files that a guest was saved to. */
#include "util/file-look.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "util/bounded.h"

typedef struct LookJob {
    char *path;
    FileLook look;
    int err;
} LookJob;

static void look_job_free(void *opaque)
{
    LookJob *job = opaque;

    g_free(job->path);
    g_free(job);
}

static void look_job_run(void *opaque)
{
    LookJob *job = opaque;
    int fd = open(job->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &job->look.st) < 0) {
        job->err = errno;
    } else if (S_ISREG(job->look.st.st_mode)) {
        ssize_t n = pread(fd, job->look.head, sizeof(job->look.head), 0);
        job->err = n < 0 ? errno : 0;
        job->look.head_bytes = n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
}

int file_look(const char *path, FileLook *out, int wake_fd, int ms)
{
    LookJob *job = g_new0(LookJob, 1);
    int err = ETIMEDOUT;

    job->path = g_strdup(path);
    BoundedCall *call = bounded_call_start(look_job_run, job, look_job_free, NULL);
    if (call && bounded_call_done(call, wake_fd, ms)) {
        err = job->err;
        *out = job->look;
    }
    bounded_call_free(call);
    return err;
}
