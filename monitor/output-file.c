/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See output-file.h. Called by the commands that save guest memory; closes nothing. */
#include "monitor/output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "util/error.h"

#define LOOK_MS 100     /* how often to look whether it is to end */
#define WRITE_MAX (1u << 20)

void output_prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);     /* no effect on a file */
    }
}

void output_open_error(const char *path, int os_errno, GError **errp)
{
    if (os_errno == ENXIO) {
        error_setg(errp, "Could not open '%s': it is a FIFO that nobody reads; start its reader first",
                   path);
    } else {
        error_setg_errno(errp, os_errno, "Could not open '%s'", path);
    }
}

/* Until it takes more. */
static bool wait_for_reader(int fd, int patience_ms, const int *stop, GError **errp)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    for (int waited = 0; poll(&p, 1, LOOK_MS) <= 0; waited += LOOK_MS) {
        if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED)) {
            error_setg(errp, "cancelled");
            return false;
        }
        if (patience_ms >= 0 && waited >= patience_ms) {
            error_setg(errp, "its reader has taken nothing for %d s", patience_ms / 1000);
            return false;
        }
    }
    return true;
}

bool output_write(int fd, const void *buf, size_t len, int patience_ms, const int *stop,
                  GError **errp)
{
    const char *p = buf;

    while (len) {
        if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED)) {
            error_setg(errp, "cancelled");
            return false;
        }
        ssize_t n = write(fd, p, MIN(len, WRITE_MAX));
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!wait_for_reader(fd, patience_ms, stop, errp)) {
                return false;
            }
        } else if (n == 0 || errno != EINTR) {
            error_setg(errp, "%s", g_strerror(n < 0 ? errno : ENOSPC));
            return false;
        }
    }
    return true;
}
