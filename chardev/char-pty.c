/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pseudo-terminal back end. While nobody has the other side open the
 * kernel reports a hang-up, which poll cannot wait for the end of: a slow
 * timer looks. Output into the void is dropped, as a terminal that is off does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "util/error.h"

#define PTY_LOOK_INTERVAL_MS 200

typedef struct Pty {
    FdIo *io;
    int fd;
    char *name;         /* /dev/pts/N */
    GSource *timer;     /* looks for somebody at the other side */
} Pty;

static bool pty_in_use(const Pty *pty)
{
    struct pollfd p = { .fd = pty->fd, .events = POLLIN };

    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static ssize_t pty_read(Chardev *chr, uint8_t *buf, size_t len)
{
    return read(((Pty *)chr->priv)->fd, buf, len);
}

static void pty_eof(Chardev *chr);
static const FdIoOps pty_io_ops = { pty_read, pty_eof };

/* fdio closes its fd, which must live on here: it gets a copy. */
static void pty_connect(Chardev *chr, Pty *pty)
{
    int copy = fcntl(pty->fd, F_DUPFD_CLOEXEC, 3);

    pty->io = fdio_new(chr, copy, copy, &pty_io_ops);
    fcntl(pty->fd, F_SETFL, O_RDWR | O_NONBLOCK);
    chardev_set_connected(chr, true);
    fdio_update_input(pty->io);
}

static gboolean pty_look(gpointer user_data)
{
    Chardev *chr = user_data;
    Pty *pty = chr->priv;

    if (!pty->io && pty_in_use(pty)) {
        pty_connect(chr, pty);
    } else if (pty->io && !pty_in_use(pty)) {
        pty_eof(chr);
    }
    return G_SOURCE_CONTINUE;
}

static void pty_eof(Chardev *chr)
{
    Pty *pty = chr->priv;

    fdio_free(pty->io);
    fcntl(pty->fd, F_SETFL, O_RDWR | O_NONBLOCK); /* fdio restored what it found */
    pty->io = NULL;
    chardev_set_connected(chr, false);
}

static bool pty_setup(Pty *pty, GError **errp)
{
    struct termios tty;
    char name[64];

    pty->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->fd < 0 || grantpt(pty->fd) || unlockpt(pty->fd) ||
        ptsname_r(pty->fd, name, sizeof(name))) {
        error_setg_errno(errp, errno, "Failed to create PTY");
        return false;
    }
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) {
        error_setg_errno(errp, errno, "Failed to open PTY %s", name);
        return false;
    }
    tcgetattr(slave, &tty);
    cfmakeraw(&tty);
    tcsetattr(slave, TCSANOW, &tty);
    close(slave);
    fcntl(pty->fd, F_SETFL, O_RDWR | O_NONBLOCK);
    pty->name = g_strdup(name);
    return true;
}

static bool pty_open(Chardev *chr, Opts *opts, GError **errp)
{
    Pty *pty = g_new0(Pty, 1);

    pty->fd = -1;
    chr->priv = pty;
    if (!pty_setup(pty, errp)) {
        return false;
    }
    pty->timer = g_timeout_source_new(PTY_LOOK_INTERVAL_MS);
    g_source_set_callback(pty->timer, pty_look, chr, NULL);
    g_source_attach(pty->timer, chardev_context(chr));
    if (!chr->hot) { /* else the monitor tells */
        fprintf(stdout, "char device redirected to %s (label %s)\n", pty->name, chr->id);
        fflush(stdout);
    }
    return true;
}

static void pty_close(Chardev *chr)
{
    Pty *pty = chr->priv;

    if (!pty) {
        return;
    }
    if (pty->timer) {
        g_source_destroy(pty->timer);
        g_source_unref(pty->timer);
    }
    fdio_free(pty->io);
    if (pty->fd >= 0) {
        close(pty->fd);
    }
    g_free(pty->name);
    g_free(pty);
}

static size_t pty_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    Pty *pty = chr->priv;

    if (!pty->io && pty_in_use(pty)) {
        pty_connect(chr, pty);
    }
    return fdio_write(pty->io, buf, len);
}

static void pty_update_input(Chardev *chr)
{
    fdio_update_input(((Pty *)chr->priv)->io);
}

static char *pty_filename(const Chardev *chr)
{
    return g_strdup_printf("pty:%s", ((Pty *)chr->priv)->name);
}

static int pty_terminal(const Chardev *chr)
{
    return ((const Pty *)chr->priv)->fd;
}

const ChardevOps chardev_pty_ops = {
    "pty", pty_open, pty_close, pty_write, pty_update_input, pty_filename,
    NULL, chardev_no_fd, pty_terminal, chardev_no_tty, &chardev_one_front,
};
