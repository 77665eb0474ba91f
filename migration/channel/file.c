/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file: and fd: channels: descriptors that exist or that open() gives.
 * Called by open.c. Layouts inside the file are migration/mapped's business.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "migration/channel/channel-private.h"
#include "util/error.h"

static const ChannelOps file_ops = {
    "file", channel_fd_writev, channel_fd_read,
    channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown, channel_fd_close,
};
static const ChannelOps fd_ops = {
    "fd", channel_fd_writev, channel_fd_read,
    channel_fd_complete, channel_fd_describe_end, channel_fd_shutdown, channel_fd_close,
};

static int file_open_outgoing(const ChannelAddress *a, GError **errp)
{
    struct stat st;
    int fd = open(a->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0) {
        error_setg_errno(errp, errno, "Could not create '%s'", a->path);
        return -1;
    }
    /*
     * What is before the offset belongs to somebody else and stays. A file that ends there already
     * is left alone: ext4 takes any truncation to nothing, of a new file as well, as a reason to
     * write the whole file out when it is closed, and the migration is not over before that.
     */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size != a->offset &&
        ftruncate(fd, a->offset) < 0) {
        error_setg_errno(errp, errno, "failed to truncate migration file '%s' to offset 0x%"
                         G_GINT64_MODIFIER "x", a->path, a->offset);
        close(fd);
        return -1;
    }
    return fd;
}

Channel *channel_file_open(const ChannelAddress *a, bool outgoing, GError **errp)
{
    g_autofree char *name = channel_address_to_string(a);
    int fd = outgoing ? file_open_outgoing(a, errp) : open(a->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        if (!outgoing) {
            error_setg_errno(errp, errno, "Could not open '%s'", a->path);
        }
        return NULL;
    }
    if (a->offset > 0 && lseek(fd, a->offset, SEEK_SET) < 0) {
        error_setg_errno(errp, errno, "Unable to seek to 0x%" G_GINT64_MODIFIER "x in '%s'",
                         a->offset, a->path);
        close(fd);
        return NULL;
    }
    Channel *c = g_new0(Channel, 1);
    if (!channel_init(c, &file_ops, name, outgoing ? -1 : fd, outgoing ? fd : -1, errp)) {
        close(fd);
        g_free(c);
        return NULL;
    }
    return c;
}

Channel *channel_new_fd(int fd, const char *name, GError **errp)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) {
        error_setg_errno(errp, errno, "File descriptor %d of '%s' is not usable", fd, name);
        return NULL;
    }
    int mode = flags & O_ACCMODE;
    Channel *c = g_new0(Channel, 1);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!channel_init(c, &fd_ops, name, mode == O_WRONLY ? -1 : fd, mode == O_RDONLY ? -1 : fd,
                      errp)) {
        close(fd);
        g_free(c);
        return NULL;
    }
    return c;
}
