/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec: channels: a shell command with one pipe to its standard input and one
 * from its standard output, so that it can carry a return path. Pipes, not a
 * socket pair: commands that open /dev/stdin cannot open sockets. The child
 * is reaped here and nowhere else; how it ended is part of the error.
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
#define EXEC_KILL_WAIT_MS 1000      /* between SIGTERM and SIGKILL after a shutdown */

typedef struct ExecChannel {
    Channel base;
    GPid pid;           /* 0 once reaped */
    int pid_fd;         /* readable when the child ended; -1 if the kernel has none */
    int status;         /* of waitpid, once reaped */
    char *command;
} ExecChannel;

/* Waits up to ms (-1: until the end or a shutdown); true once the child is reaped. */
static bool exec_reap(ExecChannel *e, int ms)
{
    struct pollfd p[2] = {
        { .fd = e->pid_fd, .events = POLLIN },
        { .fd = ms < 0 ? e->base.wake_fd : -1, .events = POLLIN },
    };

    for (int waited = 0; e->pid; waited += 10) {
        pid_t got = waitpid(e->pid, &e->status, WNOHANG);
        if (got == e->pid || (got < 0 && errno == ECHILD)) {
            g_spawn_close_pid(e->pid);
            e->pid = 0;
            return true;
        }
        if (ms >= 0 && waited > ms) {
            return false;
        }
        poll(p, 2, ms < 0 && e->pid_fd >= 0 ? -1 : 10);
        if (p[1].revents) {
            return false;
        }
    }
    return true;
}

/* Puts how the child ended into errp; false if it ended well or still runs. */
static bool exec_status_error(ExecChannel *e, GError **errp)
{
    if (e->pid || e->status == 0) {
        return false;
    }
    if (WIFSIGNALED(e->status)) {
        error_setg(errp, "Command '%s' was killed by signal %d (%s)", e->command,
                   WTERMSIG(e->status), strsignal(WTERMSIG(e->status)));
    } else {
        error_setg(errp, "Command '%s' exited with status %d", e->command,
                   WEXITSTATUS(e->status));
    }
    return true;
}

static ssize_t exec_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    GError *err = NULL, *cause = NULL;
    ssize_t n = channel_fd_writev(c, iov, iovcnt, &err);

    if (n < 0 && !g_atomic_int_get(&c->shut) && exec_reap(e, EXEC_STATUS_WAIT_MS) &&
        exec_status_error(e, &cause)) {
        g_prefix_error(&cause, "%s: ", err->message);
        g_error_free(err);
        err = cause;
    }
    if (n < 0) {
        g_propagate_error(errp, err);
    }
    return n;
}

static ssize_t exec_read(Channel *c, void *buf, size_t len, GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    ssize_t n = channel_fd_read(c, buf, len, errp);

    /* The end of a failed command's output is not the end of a stream. */
    if (n == 0 && exec_reap(e, EXEC_STATUS_WAIT_MS) && exec_status_error(e, errp)) {
        return -1;
    }
    return n;
}

/* Reads and drops what the child still says, so that it cannot block in a write for ever. */
static void exec_drain(ExecChannel *e)
{
    char buf[4096];

    while (e->base.rfd >= 0 && channel_fd_read(&e->base, buf, sizeof(buf), NULL) > 0) {
        /* dropped */
    }
}

/* The shell and what it started: they are a process group of their own. */
static void exec_kill(ExecChannel *e, int sig)
{
    if (kill(-e->pid, sig) < 0) {
        kill(e->pid, sig);
    }
}

static bool exec_close(Channel *c, GError **errp)
{
    ExecChannel *e = (ExecChannel *)c;
    bool was_shut = g_atomic_int_get(&c->shut);

    close(c->wfd);      /* the child sees the end of its input */
    c->wfd = -1;
    if (!was_shut) {
        exec_drain(e);
        exec_reap(e, -1);
    }
    if (e->pid) {       /* cancelled: it has no more work */
        exec_kill(e, SIGTERM);
        if (!exec_reap(e, EXEC_KILL_WAIT_MS)) {
            exec_kill(e, SIGKILL);
            exec_reap(e, EXEC_KILL_WAIT_MS);
        }
        e->status = 0;
    }
    bool failed = exec_status_error(e, errp);
    if (e->pid_fd >= 0) {
        close(e->pid_fd);
    }
    channel_finish(c);
    g_free(e->command);
    g_free(e);
    return !failed;
}

static const ChannelOps exec_ops = {
    "exec", exec_writev, exec_read, channel_fd_shutdown, exec_close,
};

/* In the child between fork and exec: main ignores SIGPIPE, commands like head count on it. */
static void exec_child_setup(gpointer unused)
{
    sigset_t none;

    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

Channel *channel_exec_open(const ChannelAddress *a, GError **errp)
{
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", a->path, NULL };
    g_autofree char *name = channel_address_to_string(a);
    g_autoptr(GError) err = NULL;
    int in = -1, out = -1;
    GPid pid;

    if (!g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, exec_child_setup,
                                  NULL, &pid, &in, &out, NULL, &err)) {
        error_setg(errp, "Failed to run '%s': %s", a->path, err->message);
        return NULL;
    }
    fcntl(in, F_SETFD, FD_CLOEXEC);
    fcntl(out, F_SETFD, FD_CLOEXEC);
    fcntl(in, F_SETPIPE_SZ, EXEC_PIPE_BYTES);
    fcntl(out, F_SETPIPE_SZ, EXEC_PIPE_BYTES);
    ExecChannel *e = g_new0(ExecChannel, 1);
    if (!channel_init(&e->base, &exec_ops, name, out, in, errp)) {
        close(in);
        close(out);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        g_free(e);
        return NULL;
    }
    e->base.return_path = true;
    e->pid = pid;
    e->pid_fd = syscall(SYS_pidfd_open, pid, 0);
    e->command = g_strdup(a->path);
    return &e->base;
}
