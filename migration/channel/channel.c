/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The base of all channels: dispatch to the leaf, whole reads and writes, and
 * the interruptible descriptor I/O that the leaves share. Called by the
 * streams; opens nothing itself.
 *
 * Shutdown has to end a read or write that blocks in another thread, on
 * descriptors that know no shutdown(2) (pipes, files). So descriptors are
 * non-blocking, every wait is a poll() on the descriptor and on an eventfd,
 * and channel_shutdown makes that eventfd readable for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "softmmu/guest-ram.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define PEER_RESET_MS 200
#define QUEUE_BYTES (32 << 10)              /* not sent yet, where more would be waited for */
/* How much may have come and not been read; a longer way has a window of the kernel's own choice. */
#define WINDOW_BYTES_PER_US 1250            /* 10 Gbit/s */
#define WINDOW_MIN_BYTES (128 << 10)
#define WINDOW_MAX_RTT_US 200
#define PEEK_REST_US (2 * G_USEC_PER_SEC)   /* for the rest of a few bytes that come together */

#ifndef IOV_MAX
#define IOV_MAX 1024
#endif

static bool fd_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

static bool fd_is_regular(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static bool fd_is_socket(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

bool channel_init(Channel *c, const ChannelOps *ops, const char *name, int rfd, int wfd,
                  GError **errp)
{
    int fd = rfd >= 0 ? rfd : wfd;

    c->seekable = fd_is_regular(fd);
    c->is_socket = rfd == wfd && fd_is_socket(fd);
    c->return_path = c->is_socket;
    if (!c->seekable &&
        ((rfd >= 0 && !fd_set_nonblocking(rfd)) || (wfd >= 0 && !fd_set_nonblocking(wfd)))) {
        error_setg_errno(errp, errno, "Unable to set up '%s'", name);
        return false;
    }
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0) {
        error_setg_errno(errp, errno, "Unable to create an event descriptor for '%s'", name);
        return false;
    }
    c->ops = ops;
    c->name = g_strdup(name);
    c->rfd = rfd;
    c->wfd = wfd;
    return true;
}

void channel_finish(Channel *c)
{
    if (c->rfd >= 0) {
        close(c->rfd);
    }
    if (c->wfd >= 0 && c->wfd != c->rfd) {
        close(c->wfd);
    }
    if (c->wake_fd >= 0) {
        close(c->wake_fd);
    }
    if (c->direct_fd > 0) {
        close(c->direct_fd);
    }
    g_free(c->name);
}

bool channel_wait_for(int fd, short events, int wake_fd, int ms, bool *ready, GError **errp)
{
    struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = wake_fd, .events = POLLIN } };

    for (;;) {
        int n = poll(p, 2, ms);
        if (n < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "Unable to wait for I/O");
            return false;
        }
        *ready = n > 0;
        if (n == 0) {
            return true;
        }
        if (n > 0 && p[1].revents) {
            error_setg(errp, "Operation was cancelled");
            return false;
        }
        if (n > 0) {
            return true; /* hang-ups and errors too: the next system call names them */
        }
    }
}

bool channel_wait(int fd, short events, int wake_fd, GError **errp)
{
    bool ready;

    return channel_wait_for(fd, events, wake_fd, -1, &ready, errp);
}

/* ---- is the peer still there? ---- */

#define BACKLOG_MIN 4096        /* less is a word of ours, which a kernel takes when nobody reads it */
#define LOOKS 8                 /* in the time of our patience */

static int64_t atomic_get(const int64_t *us)
{
    return __atomic_load_n(us, __ATOMIC_RELAXED);
}

static void atomic_set(int64_t *us, int64_t now)
{
    __atomic_store_n(us, now, __ATOMIC_RELAXED);
}

/* What was written is still on its way, and less than when somebody last looked. */
static bool backlog_shrinks(Channel *c)
{
    int now = 0;

    if (ioctl(c->wfd, SIOCOUTQ, &now) < 0) {
        return false;
    }
    int before = __atomic_exchange_n(&c->backlog, now, __ATOMIC_RELAXED);
    return before > BACKLOG_MIN && now < before;
}

/* ready: the peer has said something, or made room. */
static bool is_out_of_patience(Channel *c, bool ready)
{
    int64_t patience = g_atomic_int_get(&c->patience_ms) * INT64_C(1000);
    int64_t now = g_get_monotonic_time(), looked = atomic_get(&c->looked_us);

    if (!patience) {
        return false;
    }
    atomic_set(&c->looked_us, now);
    if (ready || backlog_shrinks(c) || now - looked > patience / 2) {   /* else it was we who slept */
        atomic_set(&c->sign_us, now);
        return false;
    }
    return now - atomic_get(&c->sign_us) > patience;
}

void channel_set_patience(Channel *c, unsigned ms)
{
    if (c->is_socket && (unsigned)g_atomic_int_get(&c->patience_ms) != ms) {
        int64_t now = g_get_monotonic_time();

        atomic_set(&c->sign_us, now);
        atomic_set(&c->looked_us, now);
        g_atomic_int_set(&c->patience_ms, (int)MIN(ms, (unsigned)G_MAXINT));
    }
}

void channel_keep_queue_short(Channel *c)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);
    int bytes = QUEUE_BYTES;

    if (!c->is_socket || getsockopt(c->rfd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0) {
        return;
    }
    setsockopt(c->rfd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
    if (info.tcpi_min_rtt > 0 && info.tcpi_min_rtt <= WINDOW_MAX_RTT_US) {
        bytes = MAX((int)info.tcpi_min_rtt * WINDOW_BYTES_PER_US, WINDOW_MIN_BYTES);
        setsockopt(c->rfd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes, sizeof(bytes));
    }
}

int64_t channel_heard_us(const Channel *c)
{
    return atomic_get(&c->heard_us);
}

static void note_heard(Channel *c)
{
    int64_t now = g_get_monotonic_time();

    atomic_set(&c->heard_us, now);
    atomic_set(&c->sign_us, now);
}

/* -1: for ever. */
static int ms_to_next_look(const Channel *c)
{
    int silence = g_atomic_int_get(&c->silence_ms), patience = g_atomic_int_get(&c->patience_ms);
    int ms = silence ? MAX(silence / 4, 1) : -1;

    return !patience ? ms : ms < 0 ? MAX(patience / LOOKS, 1) : MIN(ms, MAX(patience / LOOKS, 1));
}

/*
 * Looks now and then whether the peer is still there. True also if it is and
 * nothing has changed. A reader needs it, too: what it has sent before keeps
 * the kernel from probing.
 */
bool channel_wait_alive(Channel *c, int fd, short events, GError **errp)
{
    int silence = g_atomic_int_get(&c->silence_ms);
    bool ready;

    if (!channel_wait_for(fd, events, c->wake_fd, ms_to_next_look(c), &ready, errp)) {
        return false;
    }
    if (!ready && silence && c->is_silent(fd, silence)) {
        error_setg(errp, "nothing was heard from '%s' for %.0f s: the link or the host there is down",
                   c->name, silence / 1000.0);
        return false;
    }
    if (is_out_of_patience(c, ready)) {
        error_setg(errp, "'%s' has given no sign of life for %.1f s", c->name,
                   g_atomic_int_get(&c->patience_ms) / 1000.0);
        return false;
    }
    return true;
}

bool channel_check_open(Channel *c, const char *verb, GError **errp)
{
    if (g_atomic_int_get(&c->shut)) {
        error_setg(errp, "Unable to %s '%s': Channel was shut down", verb, c->name);
        return false;
    }
    return true;
}

/* Messages name the kind of thing, as QEMU's do. */
static const char *channel_noun(const Channel *c)
{
    return c->is_socket ? "socket" : c->seekable ? "file" : "pipe";
}

/* channel_wait with the reader's hook around it. */
static bool wait_to_read(Channel *c, const ChannelWaitHook *hook, GError **errp)
{
    if (hook) {
        hook->fn(hook->opaque, true);
    }
    bool ok = channel_wait_alive(c, c->rfd, POLLIN, errp);
    if (hook) {
        hook->fn(hook->opaque, false);
    }
    return ok;
}

ssize_t channel_fd_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = MIN(iovcnt, IOV_MAX) };

    if (c->wfd < 0) {
        error_setg(errp, "Unable to write to '%s': It is open for reading only", c->name);
        return -1;
    }
    for (;;) {
        if (!channel_check_open(c, "write to", errp)) {
            return -1;
        }
        guest_ram_shared_begin(); /* the pages are sent from where they are */
        ssize_t n = c->is_socket ? sendmsg(c->wfd, &msg, MSG_NOSIGNAL)
                                 : writev(c->wfd, iov, MIN(iovcnt, IOV_MAX));
        guest_ram_shared_end();
        if (n > 0) {
            return n;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            int cause = errno;
            if (channel_check_open(c, "write to", errp)) {
                error_setg_errno(errp, cause, "Unable to write to %s", channel_noun(c));
            }
            return -1;
        }
        if (!channel_wait_alive(c, c->wfd, POLLOUT, errp)) {
            error_prepend(errp, "Unable to write to %s: ", channel_noun(c));
            return -1;
        }
    }
}

size_t channel_write_now(Channel *c, const void *buf, size_t len)
{
    if (!c->is_socket || g_atomic_int_get(&c->shut)) {
        return 0;
    }
    ssize_t n = send(c->wfd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

ssize_t channel_fd_read(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                        GError **errp)
{
    if (c->rfd < 0) {
        error_setg(errp, "Unable to read from '%s': It is open for writing only", c->name);
        return -1;
    }
    for (;;) {
        if (!channel_check_open(c, "read from", errp)) {
            return -1;
        }
        ssize_t n = read(c->rfd, buf, len);
        if (n > 0) {
            note_heard(c);
        }
        if (n > 0 || (n == 0 && !g_atomic_int_get(&c->shut))) {
            return n;
        }
        if (n == 0 || errno == EINTR) {
            continue;       /* our own shutdown looks like the peer's end: named above */
        }
        if (errno != EAGAIN) {
            error_setg_errno(errp, errno, "Unable to read from %s", channel_noun(c));
            return -1;
        }
        if (!wait_to_read(c, hook, errp)) {
            error_prepend(errp, "Unable to read from %s: ", channel_noun(c));
            return -1;
        }
    }
}

/* poll() says "readable" as long as less than len is there: then we only look now and then. */
bool channel_peek(Channel *c, void *buf, size_t len)
{
    int64_t until = g_get_monotonic_time() + PEEK_REST_US;
    ssize_t n;

    while (c->is_socket && channel_wait_alive(c, c->rfd, POLLIN, NULL) && !g_atomic_int_get(&c->shut)) {
        n = recv(c->rfd, buf, len, MSG_PEEK | MSG_DONTWAIT);
        if (n == (ssize_t)len) {
            return true;
        }
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        if (n > 0) {
            if (g_get_monotonic_time() > until) {
                return false;
            }
            g_usleep(1000);
        } else {
            until = g_get_monotonic_time() + PEEK_REST_US;
        }
    }
    return false;
}

ssize_t channel_fd_pwrite(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp)
{
    error_setg(errp, "Migration requires seekable transport (e.g. file): '%s' is not", c->name);
    return -1;
}

bool channel_fd_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp)
{
    return true;        /* nothing is there */
}

bool channel_fd_settle(Channel *c, GError **errp)
{
    return true;        /* what is written has been handed to the kernel */
}

bool channel_fd_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp)
{
    return true;        /* whoever takes it will tell */
}

ChannelEnd channel_fd_complete(Channel *c, int ms, GError **errp)
{
    return CHANNEL_END_TAKEN;
}

char *channel_fd_describe_end(Channel *c)
{
    return NULL;
}

bool channel_cut_writing(Channel *c)
{
    return c->is_socket && shutdown(c->wfd, SHUT_WR) == 0;
}

void channel_end_writing(Channel *c)
{
    if (c->is_socket) {
        shutdown(c->wfd, SHUT_WR);
    } else if (!c->seekable && c->wfd >= 0 && c->wfd != c->rfd) {
        close(c->wfd);
        c->wfd = -1;
    }
}

void channel_fd_shutdown(Channel *c)
{
    uint64_t one = 1;

    g_atomic_int_set(&c->shut, 1);
    if (c->is_socket) {
        shutdown(c->rfd, SHUT_RDWR); /* so that the peer learns of it as well */
    }
    if (write(c->wake_fd, &one, sizeof(one)) < 0) {
        /* the counter is full: it is readable already */
    }
}

bool channel_fd_close(Channel *c, GError **errp)
{
    channel_finish(c);
    g_free(c);
    return true;
}

bool channel_is_seekable(const Channel *c)
{
    return c->seekable;
}

bool channel_has_return_path(const Channel *c)
{
    return c->return_path;
}

bool channel_peer_gone(const Channel *c)
{
    char byte;

    return c->is_socket && recv(c->rfd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

bool channel_peer_ended(const Channel *c)
{
    struct pollfd p = { .fd = c->rfd, .events = POLLRDHUP };

    return c->is_socket && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

void channel_end_reading(Channel *c)
{
    if (c->is_socket) {
        shutdown(c->rfd, SHUT_RD);
    } else {
        channel_shutdown(c);
    }
}

/* A unix socket's peer that is gone fails the sending itself, and one that has read all may go. */
bool channel_peer_listens(const Channel *c)
{
    struct pollfd p = { .fd = c->rfd };
    int domain = AF_UNIX;
    socklen_t len = sizeof(domain);

    if (!c->is_socket || getsockopt(c->rfd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
        domain == AF_UNIX) {
        return true;
    }
    return poll(&p, 1, PEER_RESET_MS) <= 0;     /* only an error or a reset ends it early */
}

int channel_fd(const Channel *c)
{
    return !c->seekable ? -1 : c->wfd >= 0 ? c->wfd : c->rfd;
}

int channel_direct_fd(const Channel *c)
{
    return c->direct_fd > 0 ? c->direct_fd : -1;
}

const char *channel_name(const Channel *c)
{
    return c->name;
}

ssize_t channel_writev(Channel *c, const struct iovec *iov, int iovcnt, GError **errp)
{
    return c->ops->writev(c, iov, iovcnt, errp);
}

bool channel_pwrite_all(Channel *c, const void *buf, size_t len, uint64_t offset, GError **errp)
{
    while (len > 0) {
        ssize_t n = c->ops->pwrite(c, buf, len, offset, errp);
        if (n < 0) {
            return false;
        }
        buf = (const char *)buf + n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool channel_punch(Channel *c, uint64_t offset, uint64_t len, bool at_end, GError **errp)
{
    return c->ops->punch(c, offset, len, at_end, errp);
}

bool channel_settle(Channel *c, GError **errp)
{
    return c->ops->settle(c, errp);
}

bool channel_check_room(Channel *c, uint64_t end, uint64_t bytes, GError **errp)
{
    return c->ops->room(c, end, bytes, errp);
}

bool channel_write_all(Channel *c, const void *buf, size_t len, GError **errp)
{
    while (len > 0) {
        struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
        ssize_t n = c->ops->writev(c, &iov, 1, errp);
        if (n < 0) {
            return false;
        }
        buf = (const char *)buf + n;
        len -= n;
    }
    return true;
}

ssize_t channel_read(Channel *c, void *buf, size_t len, GError **errp)
{
    return c->ops->read(c, buf, len, NULL, errp);
}

ssize_t channel_read_hooked(Channel *c, void *buf, size_t len, const ChannelWaitHook *hook,
                            GError **errp)
{
    return c->ops->read(c, buf, len, hook, errp);
}

bool channel_read_all(Channel *c, void *buf, size_t len, GError **errp)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = c->ops->read(c, (char *)buf + done, len - done, NULL, errp);
        if (n < 0) {
            return false;
        }
        if (n == 0) {
            g_autofree char *why = c->ops->describe_end(c);
            error_setg(errp, "Unable to read from '%s': Unexpected end after %zu of %zu bytes%s%s",
                       c->name, done, len, why ? ": " : "", why ? why : "");
            return false;
        }
        done += n;
    }
    return true;
}

ChannelEnd channel_complete(Channel *c, int ms, GError **errp)
{
    return c->ops->complete(c, ms, errp);
}

char *channel_describe_end(Channel *c)
{
    return c->ops->describe_end(c);
}

const char *channel_type(const Channel *c)
{
    return c->ops->kind;
}

void channel_shutdown(Channel *c)
{
    trace_migration_channel_shutdown(c->name);
    c->ops->shutdown(c);
}

bool channel_close(Channel *c, GError **errp)
{
    if (!c) {
        return true;
    }
    trace_qemu_file_fclose(c->name);
    return c->ops->close(c, errp);
}
