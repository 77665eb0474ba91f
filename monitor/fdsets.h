/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of FdSets for the commands that show and remove; everybody else uses monitor/monitor.h. */
#ifndef MONITOR_FDSETS_H
#define MONITOR_FDSETS_H

#include "monitor/monitor.h"

typedef struct FdSetMember {
    int fd;
    char *opaque;       /* NULL: none */
} FdSetMember;

typedef struct FdSetEntry {
    int64_t id;
    GList *members;     /* FdSetMember* */
} FdSetEntry;

/** All sets by number; borrowed. */
GList *fdsets_list(FdSets *fds);
/** Closes one fd of a set, or all; "File descriptor named 'fdset-id:N' not found". */
bool fdset_remove(FdSets *fds, int64_t id, bool has_fd, int64_t fd, GError **errp);

#endif
