/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inside of FdSets for the commands that show and remove; everybody else uses monitor/monitor.h. */
#ifndef MONITOR_FDSETS_H
#define MONITOR_FDSETS_H

#include "monitor/monitor.h"

typedef struct FdSetMember {
    int fd;
    char *opaque;       /* NULL: none */
    bool passed;        /* came over a monitor, not with the command line */
} FdSetMember;

typedef struct FdSetEntry {
    int64_t id;
    GList *members;     /* FdSetMember* */
} FdSetEntry;

/** fdset_add for what a monitor's client passed. */
bool fdset_add_passed(FdSets *fds, int64_t set, int fd, const char *opaque, int64_t *set_out,
                      GError **errp);
/** Closes what fdset_add_passed added: nobody is left who could ask for it or take it away. */
void fdsets_drop_passed(FdSets *fds);
/** All sets by number; borrowed. */
GList *fdsets_list(FdSets *fds);
/** Closes one fd of a set, or all; "File descriptor named 'fdset-id:N' not found". */
bool fdset_remove(FdSets *fds, int64_t id, bool has_fd, int64_t fd, GError **errp);

#endif
