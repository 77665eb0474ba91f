/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec: channels: a shell command with one pipe to its standard input and one
 * from its standard output, so that it can carry a return path. Pipes, not a
 * socket pair: commands that open /dev/stdin cannot open sockets. The child
 * is reaped here and nowhere else; how it ended is part of the error. Who
 * wants to know how it ends calls channel_complete, which a shutdown ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

#define EXEC_PIPE_BYTES (1 << 20)
#define EXEC_STATUS_WAIT_MS 500     /* after the pipe broke: the child is about to be gone */
#define EXEC_TERM_WAIT_MS 300       /* between SIGTERM and SIGKILL after a shutdown */
#define EXEC_KILL_WAIT_MS 200       /* after SIGKILL: then somebody else waits for it */
#define EXEC_LOOK_MS 10             /* how often to look where the kernel has no pidfd */

typedef struct ExecChannel {
    Channel base;
    /* set once */
    char *command;
    int pid_fd;         /* readable when the child ended; -1 if the kernel has none */
    int64_t start_us;
    /* protected by lock: a writer and a reader may find the end at the same time */
    GMutex lock;
    GPid pid;           /* 0 once reaped */
    int status;         /* of waitpid, once reaped */
    int64_t end_us;
} ExecChannel;

/* True once the child is reaped. Does not wait. */
static bool exec_ended(ExecChannel *e)
{
    g_mutex_lock(&e->lock);
    if (e->pid) {
        pid_t got = waitpid(e->pid, &e->status, WNOHANG);
        if (got == e->pid || (got < 0 && errno == ECHILD)) {
            g_spawn_close_pid(e->pid);
            e->pid = 0;
            e->end_us = g_get_monotonic_time();
        }
    }
    bool ended = e->pid == 0;
    g_mutex_unlock(&e->lock);
    return ended;
}

/* Waits up to ms; true once the child is reaped. */
static bool exec_reap(ExecChannel *e, int ms)
{
    struct pollfd p = { .fd = e->pid_fd, .events = POLLIN };
    int64_t until = g_get_monotonic_time() + ms * 1000LL;

    while (!exec_ended(e)) {
        int64_t left = until - g_get_monotonic_time();
        if (left <= 0) {
            return false;
        }
        poll(&p, 1, e->pid_fd >= 0 ? (int)(left / 1000) + 1 : EXEC_LOOK_MS);
    }
    return true;
}

/* Puts how the child ended into errp; false if it ended well or still runs. */
static bool exec_status_error(ExecChannel *e, GError **errp)
{
    g_mutex_lock(&e->lock);
    int status = e->pid ? 0 : e->status;
    double seconds = (e->end_us - e->start_us) / 1e6;
    g_mutex_unlock(&e->lock);

    if (status == 0) {
        return false;
    }
    if (WIFSIGNALED(status)) {
        error_setg(errp, "Command '%s' was killed by signal %d (%s) after %.1f s", e->command,
                   WTERMSIG(status), strsignal(WTERMSIG(status)), seconds);
    } else {
        error_setg(errp, "Command '%s' exited with status %d after %.1f s", e->command,
                   WEXITSTATUS(status), seconds);
    }
    return true;
}

static char *exec_describe_end(Channel *c)
{
    ExecChannel *e = (ExecChannel *)c;
    g_autoptr(GError) err = NULL;

    if (!exec_reap(e, EXEC_STATUS_WAIT_MS)) {
        return g_strdup_printf("Command '%s' has closed its end of the pipe and still runs",
                               e->command);
    }
    if (exec_status_error(e, &err)) {
        return g_strdup(err->message);
    }
    g_mutex_lock(&e->lock);
    double seconds = (e->end_us - e->start_us) / 1e6;
    g_mutex_unlock(&e->lock);
    return g_strdup_printf("Command '%s' exited with status 0 after %.1f s", e->command, seconds);
}

static ssize_t exec_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    g_autoptr(GError) err = NULL;
    ssize_t n = channel_fd_writev(c, iov, iovcnt, &err);

    if (n < 0 && !g_atomic_int_get(&c->shut)) {
        g_autofree char *cause = exec_describe_end(c);
        error_setg(errp, "%s before it had read everything: %s", cause, err->message);
    } else if (n < 0) {
        g_propagate_error(errp, g_steal_pointer(&err));
    }
    return n;
}

static ssize_t exec_read(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                         GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    ssize_t n = channel_fd_read(c, buf, len, hook, errp);

    /* The end of a failed command's output is not the end of a stream. */
    if (n == 0 && exec_reap(e, EXEC_STATUS_WAIT_MS) && exec_status_error(e, errp)) {
        return -1;
    }
    return n;
}

/* Drops what the child still says; false once there is nothing more to come. */
static bool exec_drop_output(ExecChannel *e)
{
    char buf[4096];
    ssize_t n = read(e->base.rfd, buf, sizeof(buf));

    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Until the child has ended, whatever it still says meanwhile. */
static ChannelEnd exec_complete(Channel *c, int ms, GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    struct pollfd p[3] = {
        { .fd = c->wake_fd, .events = POLLIN },
        { .fd = e->pid_fd, .events = POLLIN },
        { .fd = c->rfd, .events = POLLIN },
    };

    int64_t until = g_get_monotonic_time() + ms * 1000LL;

    channel_end_writing(c);
    while (!exec_ended(e)) {
        int left = ms < 0 ? -1 : (int)MAX((until - g_get_monotonic_time()) / 1000, 0);
        int n = poll(p, 3, e->pid_fd >= 0 || left == 0 ? left : EXEC_LOOK_MS);
        if (n > 0 && p[0].revents) {
            error_setg(errp, "Waiting for the end of command '%s' was cancelled", e->command);
            return CHANNEL_END_FAILED;
        }
        if (n <= 0 && left == 0) {
            return CHANNEL_END_OPEN;
        }
        if (n > 0 && p[2].revents && !exec_drop_output(e)) {
            p[2].fd = -1;
        }
    }
    return exec_status_error(e, errp) ? CHANNEL_END_FAILED : CHANNEL_END_TAKEN;
}

/* The shell and what it started: they are a process group of their own. */
static void exec_kill(ExecChannel *e, int sig)
{
    g_mutex_lock(&e->lock);
    if (e->pid && kill(-e->pid, sig) < 0) {
        kill(e->pid, sig);
    }
    g_mutex_unlock(&e->lock);
}

/* Waits for a child that nobody has time for. Owns the pid; ends with the child. */
static void *exec_reaper(void *pid)
{
    while (waitpid(GPOINTER_TO_INT(pid), NULL, 0) < 0 && errno == EINTR) {
        /* again */
    }
    return NULL;
}

/* Never waits long: a child that goes on is left to itself, or killed if this was a shutdown. */
static bool exec_close(Channel *c, GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    bool was_shut = g_atomic_int_get(&c->shut);

    close(c->rfd);
    c->rfd = -1;
    channel_end_writing(c);
    if (was_shut) {     /* cancelled: it has no more work */
        exec_kill(e, SIGTERM);
        if (!exec_reap(e, EXEC_TERM_WAIT_MS)) {
            exec_kill(e, SIGKILL);
        }
    }
    bool ended = exec_reap(e, was_shut ? EXEC_KILL_WAIT_MS : EXEC_STATUS_WAIT_MS);
    bool failed = ended && !was_shut && exec_status_error(e, errp);
    if (!ended) {
        bounded_thread_start(exec_reaper, GINT_TO_POINTER(e->pid));
    }
    if (e->pid_fd >= 0) {
        close(e->pid_fd);
    }
    channel_finish(c);
    g_mutex_clear(&e->lock);
    g_free(e->command);
    g_free(e);
    return !failed;
}

static const ChannelOps exec_ops = {
    "exec", exec_writev, channel_fd_pwrite, channel_fd_punch, channel_fd_settle,
    channel_fd_room, exec_read,
    exec_complete, exec_describe_end, channel_fd_shutdown, exec_close,
};

/* In the child between fork and exec: main ignores these two, commands like head count on them. */
static void exec_child_setup(gpointer unused)
{
    sigset_t none;

    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- starting it: the shell may be on a file server ---- */

typedef struct SpawnJob {
    char *command;
    GPid pid;           /* 0: not started, or taken */
    int in, out;        /* our ends of its pipes */
    GError *err;
} SpawnJob;

/* Nobody has taken it: what it was to do is not wanted any more. */
static void spawn_job_free(void *opaque)
{
    SpawnJob *job = opaque;

    if (job->pid) {
        close(job->in);
        close(job->out);
        if (kill(-job->pid, SIGKILL) < 0) {
            kill(job->pid, SIGKILL);
        }
        bounded_thread_start(exec_reaper, GINT_TO_POINTER(job->pid));
    }
    g_clear_error(&job->err);
    g_free(job->command);
    g_free(job);
}

static void spawn_job_run(void *opaque)
{
    SpawnJob *job = opaque;
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", job->command, NULL };
    g_autoptr(GError) err = NULL;

    if (!g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, exec_child_setup,
                                  NULL, &job->pid, &job->in, &job->out, NULL, &err)) {
        error_setg(&job->err, "Failed to run '%s': %s", job->command, err->message);
        job->pid = 0;
        return;
    }
    fcntl(job->in, F_SETFD, FD_CLOEXEC);
    fcntl(job->out, F_SETFD, FD_CLOEXEC);
    fcntl(job->in, F_SETPIPE_SZ, EXEC_PIPE_BYTES);
    fcntl(job->out, F_SETPIPE_SZ, EXEC_PIPE_BYTES);
}

static BoundedCall *exec_start(ChannelAddress *a, bool outgoing, GError **errp)
{
    SpawnJob *job = g_new0(SpawnJob, 1);

    job->command = g_strdup(a->path);
    return bounded_call_start(spawn_job_run, job, spawn_job_free, errp);
}

static bool exec_failed(BoundedCall *opening, GError **errp)
{
    const SpawnJob *job = bounded_call_arg(opening);

    if (job->err) {
        error_setg(errp, "%s", job->err->message);
    }
    return job->err != NULL;
}

static Channel *exec_finish(const ChannelAddress *a, BoundedCall **opening, bool outgoing,
                            int wake_fd, GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);

    if (!bounded_call_done(*opening, wake_fd, -1)) {
        error_setg(errp, "Starting '%s' was cancelled", a->path);
        return NULL;
    }
    SpawnJob *job = bounded_call_arg(*opening);
    if (exec_failed(*opening, errp)) {
        return NULL;
    }
    ExecChannel *e = g_new0(ExecChannel, 1);
    if (!channel_init(&e->base, &exec_ops, name, job->out, job->in, errp)) {
        g_free(e);
        return NULL;
    }
    e->base.return_path = true;
    e->pid = job->pid;
    job->pid = 0;
    e->pid_fd = syscall(SYS_pidfd_open, e->pid, 0);
    e->command = g_strdup(a->path);
    e->start_us = g_get_monotonic_time();
    g_mutex_init(&e->lock);
    return &e->base;
}

const ChannelOpener channel_exec_opener = { exec_start, exec_failed, exec_finish };
