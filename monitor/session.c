/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every kind of session needs of its own connection. Called by qmp.c, hmp.c and commands;
 * knows no kind. */
#include "monitor/internal.h"

#include "util/error.h"

#define PENDING_MAX_BYTES (1u << 20)

bool session_is_open(const Session *s)
{
    return __atomic_load_n(&s->is_open, __ATOMIC_ACQUIRE);
}

bool session_is_backed_up(Session *s)
{
    return chardev_pending(s->chr) > PENDING_MAX_BYTES;
}

int monitors_take_fd(Monitors *monitors, GError **errp)
{
    int fd = monitors->current ? monitors->current->ops->take_fd(monitors->current) : -1;
    if (fd < 0) {
        error_setg(errp, "No file descriptor supplied via SCM_RIGHTS");
    }
    return fd;
}
