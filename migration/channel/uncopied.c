/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending memory from where it is, without a copy in the kernel (MSG_ZEROCOPY). Called by
 * multifd/send on a channel's own thread. The kernel numbers what it was given so and tells, in the
 * socket's error queue, up to which number it has let go of the memory; the numbers are counted here.
 */
#include <errno.h>
#include <limits.h>
#include <time.h>               /* for the next, which does not */
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "migration/channel/channel-private.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"

#define TURN_US 1000        /* an error is in the queue, and it is not about us */

bool channel_begin_uncopied(Channel *c, GError **errp)
{
    int on = 1;

    if (!c->is_socket || setsockopt(c->wfd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) < 0) {
        error_setg(errp, "Zero copy send feature not detected in host kernel for '%s': use tcp:, or set "
                   "zero-copy-send to off", c->name);
        return false;
    }
    return true;
}

/* One notification. */
static void note_done(Channel *c, const struct sock_extended_err *e)
{
    if (e->ee_errno == 0 && e->ee_origin == SO_EE_ORIGIN_ZEROCOPY) {
        c->uncopied_done += e->ee_data - e->ee_info + 1;
        c->uncopied_really |= !(e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
    }
}

static bool is_error(const struct cmsghdr *cmsg)
{
    return (cmsg->cmsg_level == SOL_IP && cmsg->cmsg_type == IP_RECVERR) ||
           (cmsg->cmsg_level == SOL_IPV6 && cmsg->cmsg_type == IPV6_RECVERR);
}

/* What the kernel has told meanwhile. Does not wait. */
static void reap(Channel *c)
{
    union {
        struct cmsghdr align;
        char room[256];
    } control;

    for (;;) {
        struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };

        if (recvmsg(c->wfd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        for (struct cmsghdr *m = CMSG_FIRSTHDR(&msg); m; m = CMSG_NXTHDR(&msg, m)) {
            struct sock_extended_err e;
            if (is_error(m)) {
                memcpy(&e, CMSG_DATA(m), sizeof(e));
                note_done(c, &e);
            }
        }
    }
}

/* Until the kernel has let go of some memory, or has an error for the next call. */
static bool wait_for_some(Channel *c, GError **errp)
{
    uint32_t before = c->uncopied_done;
    socklen_t len = sizeof(int);
    int cause = 0;

    if (!channel_check_open(c, "write to", errp) || !channel_wait_alive(c, c->wfd, 0, errp)) {
        return false;
    }
    reap(c);
    if (c->uncopied_done != before) {
        return true;
    }
    if (getsockopt(c->wfd, SOL_SOCKET, SO_ERROR, &cause, &len) == 0 && cause) {
        error_setg_errno(errp, cause, "Unable to write to socket");
        return false;
    }
    g_usleep(TURN_US);
    return true;
}

/*
 * The kernel may not lock more memory, or has too much to tell. 1: it will, later; 0: what is to be sent
 * is to be copied, for others have all of it; -1 with errp: it will never be enough.
 */
static int out_of_room(Channel *c, size_t len, GError **errp)
{
    struct rlimit limit;

    if (c->uncopied_sent != c->uncopied_done) {
        return wait_for_some(c, errp) ? 1 : -1;
    }
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < len) {
        error_setg(errp, "Unable to send memory without a copy: the kernel may lock %" G_GUINT64_FORMAT
                   " KiB for this process, a packet has %zu KiB; raise the limit (ulimit -l), or set "
                   "zero-copy-send to off", (guint64)limit.rlim_cur >> 10, len >> 10);
        return -1;
    }
    return 0;
}

/* Some bytes of it (>0); -1 with errp. */
static ssize_t write_some(Channel *c, struct msghdr *msg, size_t len, GError **errp)
{
    int flags = MSG_NOSIGNAL | MSG_ZEROCOPY;

    for (;;) {
        if (!channel_check_open(c, "write to", errp)) {
            return -1;
        }
        guest_ram_shared_begin();
        ssize_t n = sendmsg(c->wfd, msg, flags);
        int cause = errno;
        guest_ram_shared_end();
        if (n > 0) {
            c->uncopied_sent += flags & MSG_ZEROCOPY ? 1 : 0;
            return n;
        }
        if (n < 0 && cause == ENOBUFS && flags & MSG_ZEROCOPY) {
            int later = out_of_room(c, len, errp);
            if (later < 0) {
                return -1;
            }
            flags = later ? flags : MSG_NOSIGNAL;
        } else if (n < 0 && cause == EAGAIN) {
            reap(c);        /* or the wait is none */
            if (!channel_wait_alive(c, c->wfd, POLLOUT, errp)) {
                error_prepend(errp, "Unable to write to socket: ");
                return -1;
            }
        } else if (n == 0 || cause != EINTR) {
            error_setg_errno(errp, n ? cause : EIO, "Unable to write to socket");
            return -1;
        }
    }
}

bool channel_write_uncopied(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    g_autofree struct iovec *left = g_memdup2(iov, (size_t)iovcnt * sizeof(*iov));
    struct iovec *at = left;
    size_t len = 0;

    for (int i = 0; i < iovcnt; i++) {
        len += iov[i].iov_len;
    }
    while (iovcnt > 0) {
        struct msghdr msg = { .msg_iov = at, .msg_iovlen = (size_t)MIN(iovcnt, IOV_MAX) };
        ssize_t n = write_some(c, &msg, len, errp);

        if (n < 0) {
            return false;
        }
        len -= (size_t)n;
        for (; iovcnt > 0 && (size_t)n >= at->iov_len; at++, iovcnt--) {
            n -= (ssize_t)at->iov_len;
        }
        if (n > 0) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= (size_t)n;
        }
    }
    reap(c);
    return true;
}

bool channel_settle_uncopied(Channel *c, bool *copied, GError **errp)
{
    bool any = c->uncopied_sent != c->uncopied_then;

    while (c->uncopied_sent != c->uncopied_done) {
        if (!wait_for_some(c, errp)) {
            return false;
        }
    }
    *copied = any && !c->uncopied_really;
    c->uncopied_then = c->uncopied_sent;
    c->uncopied_really = false;
    return true;
}
