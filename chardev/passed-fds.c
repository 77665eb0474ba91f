/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors over unix sockets. Called by char-socket; uses none of them itself. */
#include "chardev/passed-fds.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

void passed_fds_clear(PassedFds *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        close(p->fds[i]);
    }
    p->count = 0;
}

static void keep(PassedFds *p, struct msghdr *msg)
{
    bool first = true;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        if (first) {
            passed_fds_clear(p);
            first = false;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (p->count < PASSED_FDS_MAX) {
                p->fds[p->count++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

ssize_t passed_fds_receive(PassedFds *p, int sock, void *buf, size_t len)
{
    union {
        char space[CMSG_SPACE(sizeof(int) * PASSED_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { buf, len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control.space, .msg_controllen = sizeof(control.space),
    };
    ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

    if (n > 0) {
        keep(p, &msg);
    }
    return n;
}

int passed_fds_take(PassedFds *p)
{
    if (p->count == 0) {
        return -1;
    }
    int fd = p->fds[0];
    p->count--;
    memmove(p->fds, p->fds + 1, p->count * sizeof(int));
    return fd;
}
