/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Back ends over plain fds: file, pipe, fd, stdio. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "chardev/char-private.h"
#include "monitor/monitor.h"
#include "util/error.h"

static ssize_t plain_read_fd(Chardev *chr, uint8_t *buf, size_t len)
{
    return read(fdio_in(chr->priv), buf, len);
}

static void plain_eof(Chardev *chr)
{
}

static const FdIoOps plain_io_ops = { plain_read_fd, plain_eof };

static void plain_close(Chardev *chr)
{
    fdio_free(chr->priv);
}

static size_t plain_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return fdio_write(chr->priv, buf, len);
}

static void plain_update_context(Chardev *chr)
{
    fdio_update_context(chr->priv);
}

static void plain_update_input(Chardev *chr)
{
    fdio_update_input(chr->priv);
}

static void plain_start(Chardev *chr, int in, int out)
{
    chr->priv = fdio_new(chr, in, out, &plain_io_ops);
    chardev_set_connected(chr, true);
}

static int open_path(Chardev *chr, const char *path, int flags, GError **errp)
{
    if (g_str_has_prefix(path, "/dev/fdset/")) {
        return fdset_open(chr->owner->machine->fds, path, flags, 0666, errp);
    }
    /* While the machine runs nobody waits for the other end of a FIFO. */
    int fd = open(path, flags | O_CLOEXEC | (chr->hot ? O_NONBLOCK : 0), 0666);
    if (fd < 0 && errno == ENXIO) {
        error_setg(errp, "Could not open '%s': it is a FIFO that nobody reads; start its reader first",
                   path);
    } else if (fd < 0) {
        error_setg_errno(errp, errno, "Could not open '%s'", path);
    }
    return fd;
}

static bool file_open(Chardev *chr, Opts *opts, GError **errp)
{
    const char *path = opts_get(opts, "path");
    const char *input = opts_get(opts, "input-path");
    bool append = false;
    int in = -1;

    if (!opts_get_bool(opts, "append", &append, errp)) {
        return false;
    }
    if (!path) {
        error_setg(errp, "chardev: file: no filename given");
        return false;
    }
    if (input && (in = open_path(chr, input, O_RDONLY, errp)) < 0) {
        return false;
    }
    /* An fd set's fd is what it is: a pipe to a log daemon, or a file of somebody else's. */
    int truncate = append || g_str_has_prefix(path, "/dev/fdset/") ? 0 : O_TRUNC;
    int out = open_path(chr, path, O_WRONLY | O_CREAT | truncate | (append ? O_APPEND : 0), errp);
    if (out < 0) {
        if (in >= 0) {
            close(in);
        }
        return false;
    }
    plain_start(chr, in, out);
    return true;
}

const ChardevOps chardev_file_ops = {
    "file", file_open, plain_close, plain_write, plain_update_input, chardev_plain_filename,
    plain_update_context, chardev_no_fd, chardev_no_terminal, chardev_no_tty,
    &chardev_one_front,
};

/* PATH.in and PATH.out if both are there, else PATH both ways. */
static bool pipe_open(Chardev *chr, Opts *opts, GError **errp)
{
    const char *path = opts_get(opts, "path");

    if (!path) {
        error_setg(errp, "chardev: pipe: no device path given");
        return false;
    }
    g_autofree char *in_path = g_strdup_printf("%s.in", path);
    g_autofree char *out_path = g_strdup_printf("%s.out", path);
    int in = open(in_path, O_RDWR | O_CLOEXEC);
    int out = open(out_path, O_RDWR | O_CLOEXEC);
    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_path(chr, path, O_RDWR, errp);
        if (in < 0) {
            return false;
        }
    }
    plain_start(chr, in, out);
    return true;
}

const ChardevOps chardev_pipe_ops = {
    "pipe", pipe_open, plain_close, plain_write, plain_update_input, chardev_plain_filename,
    plain_update_context, chardev_no_fd, chardev_no_terminal, chardev_no_tty,
    &chardev_one_front,
};

static bool fd_open(Chardev *chr, Opts *opts, GError **errp)
{
    uint64_t fd = UINT64_MAX;

    if (!opts_get_u64(opts, "fd", &fd, errp)) {
        return false;
    }
    int flags = fd <= INT_MAX ? fcntl(fd, F_GETFL) : -1;
    if (flags < 0) {
        error_setg(errp, "chardev: fd: '%s' is not an open file descriptor",
                   opts_get(opts, "fd") ?: "");
        return false;
    }
    int mode = flags & O_ACCMODE;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    plain_start(chr, mode == O_WRONLY ? -1 : (int)fd, mode == O_RDONLY ? -1 : (int)fd);
    return true;
}

const ChardevOps chardev_fd_ops = {
    "fd", fd_open, plain_close, plain_write, plain_update_input, chardev_plain_filename,
    plain_update_context, chardev_no_fd, chardev_no_terminal, chardev_no_tty,
    &chardev_one_front,
};

/* ---- stdio ---- */

typedef struct Stdio {
    FdIo *io;
    bool is_tty;
    struct termios saved;
    bool may_signal;        /* signal= */
    bool signals;           /* now */
} Stdio;

static ssize_t stdio_read(Chardev *chr, uint8_t *buf, size_t len)
{
    return read(fdio_in(((Stdio *)chr->priv)->io), buf, len);
}

static const FdIoOps stdio_io_ops = { stdio_read, plain_eof };

static void tty_raw(const struct termios *saved, bool signals)
{
    struct termios tty = *saved;

    tty.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    tty.c_oflag |= OPOST;
    tty.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals) {
        tty.c_lflag &= ~ISIG;
    }
    tty.c_cflag = (tty.c_cflag & ~(CSIZE | PARENB)) | CS8;
    tty.c_cc[VMIN] = 1;
    tty.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &tty);
}

static bool stdio_open(Chardev *chr, Opts *opts, GError **errp)
{
    bool signals = true;

    if (!opts_get_bool(opts, "signal", &signals, errp)) {
        return false;
    }
    if (chr->owner->stdio_used) {
        error_setg(errp, "cannot use stdio by multiple character devices");
        return false;
    }
    Stdio *s = g_new0(Stdio, 1);
    chr->priv = s;
    chr->owner->stdio_used = true;
    s->is_tty = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &s->saved) == 0;
    if (s->is_tty) {
        tty_raw(&s->saved, signals);
    }
    s->may_signal = s->signals = signals;
    /* Copies, so that closing the chardev leaves 0 and 1 valid for whoever writes there last. */
    s->io = fdio_new(chr, fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3),
                     fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), &stdio_io_ops);
    chardev_set_connected(chr, true);
    return true;
}

static void stdio_close(Chardev *chr)
{
    Stdio *s = chr->priv;

    if (s) {
        if (s->is_tty) {
            tcsetattr(STDIN_FILENO, TCSANOW, &s->saved);
        }
        fdio_free(s->io);
        chr->owner->stdio_used = false;
        g_free(s);
    }
}

static size_t stdio_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return fdio_write(((Stdio *)chr->priv)->io, buf, len);
}

static void stdio_update_input(Chardev *chr)
{
    fdio_update_input(((Stdio *)chr->priv)->io);
}

static void stdio_update_context(Chardev *chr)
{
    fdio_update_context(((Stdio *)chr->priv)->io);
}

static int stdio_terminal(const Chardev *chr)
{
    return STDOUT_FILENO;
}

static bool stdio_is_tty(const Chardev *chr)
{
    return isatty(STDIN_FILENO);
}

const ChardevOps chardev_stdio_ops = {
    "stdio", stdio_open, stdio_close, stdio_write, stdio_update_input, chardev_plain_filename,
    stdio_update_context, chardev_no_fd, stdio_terminal, stdio_is_tty, &chardev_one_front,
};

static Stdio *terminal_of(Chardev *chr)
{
    Stdio *s = chr->ops == &chardev_stdio_ops ? chr->priv : NULL;

    return s && s->is_tty ? s : NULL;
}

void chardev_set_signals(Chardev *chr, bool on)
{
    Stdio *s = terminal_of(chr);

    if (s && s->signals != (on && s->may_signal)) {
        s->signals = on && s->may_signal;
        tty_raw(&s->saved, s->signals);
    }
}

void chardev_continued(Chardev *chr)
{
    Stdio *s = terminal_of(chr);

    /* Continued in the background: the terminal is somebody else's until the next SIGCONT. */
    if (s && tcgetpgrp(STDIN_FILENO) == getpgrp()) {
        tty_raw(&s->saved, s->signals);
    }
}
