/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands that take and show file descriptors: getfd, closefd, add-fd, remove-fd, query-fdsets. */
#include <unistd.h>

#include "monitor/fdsets.h"
#include "monitor/internal.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

bool qmp_getfd(struct Machine *machine, const char *fdname, GError **errp)
{
    int fd = monitors_take_fd(machine->monitors, errp);
    return fd >= 0 && fds_put_named(machine->fds, fdname, fd, errp);
}

bool qmp_closefd(struct Machine *machine, const char *fdname, GError **errp)
{
    int fd = fds_take_named(machine->fds, fdname, NULL);
    if (fd < 0) {
        error_setg(errp, "File descriptor named '%s' not found", fdname);
        return false;
    }
    close(fd);
    return true;
}

AddfdInfo *qmp_add_fd(struct Machine *machine, bool has_fdset_id, int64_t fdset_id,
                      const char *opaque, GError **errp)
{
    int fd = monitors_take_fd(machine->monitors, errp);
    if (fd < 0) {
        return NULL;
    }
    if (has_fdset_id && fdset_id < 0) {
        close(fd);
        error_setg(errp, "Parameter 'fdset-id' expects a non-negative value");
        return NULL;
    }
    AddfdInfo *info = g_new0(AddfdInfo, 1);
    info->fd = fd;
    if (!fdset_add_passed(machine->fds, has_fdset_id ? fdset_id : -1, fd, opaque,
                          &info->fdset_id, errp)) {
        qapi_free_AddfdInfo(info);
        return NULL;
    }
    return info;
}

bool qmp_remove_fd(struct Machine *machine, int64_t fdset_id, bool has_fd, int64_t fd,
                   GError **errp)
{
    return fdset_remove(machine->fds, fdset_id, has_fd, fd, errp);
}

static FdsetFdInfoList *set_members(const FdSetEntry *set)
{
    FdsetFdInfoList *list = NULL, **tail = &list;
    for (GList *l = set->members; l; l = l->next) {
        const FdSetMember *m = l->data;
        *tail = g_new0(FdsetFdInfoList, 1);
        (*tail)->value = g_new0(FdsetFdInfo, 1);
        (*tail)->value->fd = m->fd;
        (*tail)->value->opaque = g_strdup(m->opaque);
        tail = &(*tail)->next;
    }
    return list;
}

FdsetInfoList *qmp_query_fdsets(struct Machine *machine, GError **errp)
{
    FdsetInfoList *list = NULL, **tail = &list;
    (void)errp;
    for (GList *l = fdsets_list(machine->fds); l; l = l->next) {
        const FdSetEntry *set = l->data;
        *tail = g_new0(FdsetInfoList, 1);
        (*tail)->value = g_new0(FdsetInfo, 1);
        (*tail)->value->fdset_id = set->id;
        (*tail)->value->fds = set_members(set);
        tail = &(*tail)->next;
    }
    return list;
}
