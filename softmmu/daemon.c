/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going to the background, and the file that says who is there. Called by vl. */
#include "softmmu/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "util/error.h"

/* The started process: its exit status is the daemon's first word. */
static void G_GNUC_NORETURN wait_for_daemon(int fd)
{
    char status = 1;
    ssize_t n;

    do {
        n = read(fd, &status, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 ? status : 1);
}

bool daemon_start(int *ready_fd, GError **errp)
{
    int fds[2];

    if (!g_unix_open_pipe(fds, FD_CLOEXEC, errp)) {
        return false;
    }
    pid_t pid = fork();
    if (pid < 0) {
        error_setg_errno(errp, errno, "could not fork");
        return false;
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_daemon(fds[0]);
    }
    close(fds[0]);
    setsid();
    pid = fork(); /* no session leader: no terminal can become ours again */
    if (pid < 0) {
        error_setg_errno(errp, errno, "could not fork");
        return false;
    }
    if (pid > 0) {
        _exit(0);
    }
    umask(027);
    *ready_fd = fds[1];
    return true;
}

bool daemon_ready(int ready_fd, GError **errp)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || chdir("/") < 0) {
        error_setg_errno(errp, errno, "not able to daemonize");
        return false;
    }
    for (int fd = 0; fd <= 2; fd++) {
        dup2(null, fd);
    }
    if (null > 2) {
        close(null);
    }
    char status = 0;
    ssize_t ignored = write(ready_fd, &status, 1);
    (void)ignored;
    close(ready_fd);
    return true;
}

char *pidfile_create(const char *path, GError **errp)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot create PID file: Could not create '%s'", path);
        return NULL;
    }
    /* The fd stays open: the lock lives as long as the process. */
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        error_setg_errno(errp, errno, "cannot create PID file: Could not lock '%s'", path);
        close(fd);
        return NULL;
    }
    if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0) {
        error_setg_errno(errp, errno, "cannot create PID file: Could not write '%s'", path);
        close(fd);
        return NULL;
    }
    return g_canonicalize_filename(path, NULL);
}

void pidfile_remove(char *path)
{
    if (path) {
        unlink(path);
        g_free(path);
    }
}
