/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See output.h. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "output.h"

bool output_fail(Output *o, const char *what)
{
    if (!*o->error) {
        *o->error = g_strdup_printf("Could not %s '%s': %s", what, o->path, g_strerror(errno));
    }
    return false;
}

bool output_open(Output *o)
{
    o->fd = open(o->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    return o->fd >= 0 || output_fail(o, "create");
}

bool output_at(Output *o, const void *data, size_t len, uint64_t at)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(o->fd, p, len, at);
        if (n < 0 && errno != EINTR) {
            return output_fail(o, "write");
        }
        n = MAX(n, 0);
        p += n;
        at += n;
        len -= n;
    }
    return true;
}

bool output_close(Output *o, bool ok)
{
    if (close(o->fd) < 0) {
        ok = output_fail(o, "close");
    }
    return ok;
}

/* Pages that are not zero go to their place; the others stay holes. */
bool output_block(Output *o, const RamBlock *b, uint64_t at)
{
    if (ftruncate(o->fd, at + b->length) < 0) {
        return output_fail(o, "extend");
    }
    for (uint64_t i = 0; i < b->length / PAGE; i++) {
        uint64_t n = 0;
        while (n < 256 && i + n < b->length / PAGE &&
               (b->written[(i + n) / 64] >> ((i + n) % 64) & 1)) {
            n++;
        }
        if (n > 0) {
            if (!output_at(o, b->data + i * PAGE, n * PAGE, at + i * PAGE)) {
                return false;
            }
            i += n - 1;
        }
    }
    return true;
}
