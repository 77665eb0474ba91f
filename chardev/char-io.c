/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A non-blocking pair of fds, which back ends over fds, terminals and sockets
 * share. On the thread of the chardev's context; never blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <unistd.h>
#include "chardev/char-private.h"

struct FdIo {
    Chardev *chr;
    int in, out;
    int in_flags, out_flags;        /* to be restored: they may be shared with our parent */
    const FdIoOps *ops;
    GSource *in_source, *out_source;
    bool eof;
};

static void source_drop(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static int fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

FdIo *fdio_new(Chardev *chr, int in, int out, const FdIoOps *ops)
{
    FdIo *io = g_new0(FdIo, 1);

    *io = (FdIo){ .chr = chr, .in = in, .out = out, .ops = ops };
    io->in_flags = in >= 0 ? fd_nonblock(in) : 0;
    io->out_flags = out >= 0 && out != in ? fd_nonblock(out) : 0;
    return io;
}

void fdio_free(FdIo *io)
{
    if (!io) {
        return;
    }
    source_drop(&io->in_source);
    source_drop(&io->out_source);
    if (io->out >= 0 && io->out != io->in) {
        fcntl(io->out, F_SETFL, io->out_flags);
        close(io->out);
    }
    if (io->in >= 0) {
        fcntl(io->in, F_SETFL, io->in_flags);
        close(io->in);
    }
    g_free(io);
}

static void source_add(FdIo *io, GSource **source, int fd, GIOCondition cond, GUnixFDSourceFunc fn)
{
    *source = g_unix_fd_source_new(fd, cond);
    g_source_set_callback(*source, G_SOURCE_FUNC(fn), io, NULL);
    g_source_attach(*source, chardev_context(io->chr));
}

static gboolean fdio_readable(gint fd, GIOCondition cond, gpointer user_data)
{
    FdIo *io = user_data;
    Chardev *chr = io->chr;
    uint8_t buf[4096];
    size_t room = MIN(chardev_can_read(chr), sizeof(buf));

    if (room == 0) {
        source_drop(&io->in_source);
        return G_SOURCE_REMOVE;
    }
    ssize_t n = io->ops->read(chr, buf, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        source_drop(&io->in_source);
        io->eof = true;
        io->ops->eof(chr); /* may free io */
        return G_SOURCE_REMOVE;
    }
    GSource *source = g_source_ref(io->in_source);
    chardev_input(chr, buf, n); /* may free io, too */
    gboolean alive = !g_source_is_destroyed(source);
    g_source_unref(source);
    return alive;
}

void fdio_update_input(FdIo *io)
{
    if (!io || io->in < 0 || io->eof) {
        return;
    }
    if (chardev_can_read(io->chr) == 0) {
        source_drop(&io->in_source);
    } else if (!io->in_source) {
        source_add(io, &io->in_source, io->in, G_IO_IN | G_IO_HUP | G_IO_ERR, fdio_readable);
    }
}

static gboolean fdio_writable(gint fd, GIOCondition cond, gpointer user_data)
{
    FdIo *io = user_data;

    source_drop(&io->out_source);
    chardev_output_ready(io->chr);
    return G_SOURCE_REMOVE;
}

size_t fdio_write(FdIo *io, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    if (!io || io->out < 0) {
        return len;
    }
    while (done < len) {
        ssize_t n = write(io->out, buf + done, len - done);
        if (n > 0) {
            done += n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!io->out_source) {
                source_add(io, &io->out_source, io->out, G_IO_OUT | G_IO_ERR | G_IO_HUP,
                           fdio_writable);
            }
            return done;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            return len; /* broken or full: the guest must not hang because of its console */
        }
    }
    return done;
}

void fdio_update_context(FdIo *io)
{
    if (io && io->in_source) {
        source_drop(&io->in_source);
        fdio_update_input(io);
    }
    if (io && io->out_source) {
        source_drop(&io->out_source);
        source_add(io, &io->out_source, io->out, G_IO_OUT | G_IO_ERR | G_IO_HUP, fdio_writable);
    }
}

int fdio_in(const FdIo *io)
{
    return io->in;
}
