/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that were handed in: by name (getfd) and in numbered sets
 * (add-fd, -add-fd) that open() reaches as /dev/fdset/N. Called by monitor
 * commands, vl and everything that opens a path a user gave. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "monitor/fdsets.h"
#include "monitor/monitor.h"
#include "util/error.h"
#include "util/opts.h"

struct FdSets {
    GHashTable *named;      /* char* -> GINT_TO_POINTER(fd) */
    GList *sets;            /* FdSetEntry*, by number */
};

/* ---- named ---- */

static void close_named(gpointer value)
{
    close(GPOINTER_TO_INT(value));
}

FdSets *fdsets_new(void)
{
    FdSets *fds = g_new0(FdSets, 1);
    fds->named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_named);
    return fds;
}

static void member_free(FdSetMember *m)
{
    close(m->fd);
    g_free(m->opaque);
    g_free(m);
}

static void set_free(FdSetEntry *set)
{
    g_list_free_full(set->members, (GDestroyNotify)member_free);
    g_free(set);
}

void fdsets_free(FdSets *fds)
{
    if (fds) {
        g_hash_table_destroy(fds->named);
        g_list_free_full(fds->sets, (GDestroyNotify)set_free);
        g_free(fds);
    }
}

bool fds_put_named(FdSets *fds, const char *name, int fd, GError **errp)
{
    if (g_ascii_isdigit(*name)) {
        close(fd);
        error_setg(errp, "Parameter 'fdname' expects a name not starting with a digit");
        return false;
    }
    g_hash_table_replace(fds->named, g_strdup(name), GINT_TO_POINTER(fd));
    return true;
}

int fds_take_named(FdSets *fds, const char *name, GError **errp)
{
    gpointer key, value;
    if (!g_hash_table_steal_extended(fds->named, name, &key, &value)) {
        error_setg(errp, "File descriptor named '%s' has not been found", name);
        return -1;
    }
    g_free(key);
    return GPOINTER_TO_INT(value);
}

/* ---- sets ---- */

GList *fdsets_list(FdSets *fds)
{
    return fds->sets;
}

static FdSetEntry *set_find(FdSets *fds, int64_t id)
{
    for (GList *l = fds->sets; l; l = l->next) {
        FdSetEntry *set = l->data;
        if (set->id == id) {
            return set;
        }
    }
    return NULL;
}

static gint set_compare(gconstpointer a, gconstpointer b)
{
    int64_t x = ((const FdSetEntry *)a)->id, y = ((const FdSetEntry *)b)->id;
    return (x > y) - (x < y);
}

static int64_t free_set_id(FdSets *fds)
{
    int64_t id = 0;
    while (set_find(fds, id)) {
        id++;
    }
    return id;
}

static FdSetMember *member_add(FdSets *fds, int64_t id, int fd, const char *opaque,
                               int64_t *set_out)
{
    if (id < 0) {
        id = free_set_id(fds);
    }
    FdSetEntry *set = set_find(fds, id);
    if (!set) {
        set = g_new0(FdSetEntry, 1);
        set->id = id;
        fds->sets = g_list_insert_sorted(fds->sets, set, set_compare);
    }
    FdSetMember *m = g_new0(FdSetMember, 1);
    m->fd = fd;
    m->opaque = g_strdup(opaque);
    set->members = g_list_append(set->members, m);
    if (set_out) {
        *set_out = id;
    }
    return m;
}

bool fdset_add(FdSets *fds, int64_t id, int fd, const char *opaque, int64_t *set_out,
               GError **errp)
{
    (void)errp;     /* room for a limit; adding cannot fail today */
    member_add(fds, id, fd, opaque, set_out);
    return true;
}

bool fdset_add_passed(FdSets *fds, int64_t id, int fd, const char *opaque, int64_t *set_out,
                      GError **errp)
{
    (void)errp;
    member_add(fds, id, fd, opaque, set_out)->passed = true;
    return true;
}

static void member_remove(FdSetEntry *set, GList *link)
{
    member_free(link->data);
    set->members = g_list_delete_link(set->members, link);
}

static void drop_if_empty(FdSets *fds, FdSetEntry *set)
{
    if (!set->members) {
        fds->sets = g_list_remove(fds->sets, set);
        set_free(set);
    }
}

void fdsets_drop_passed(FdSets *fds)
{
    for (GList *s = fds->sets, *next_set; s; s = next_set) {
        FdSetEntry *set = s->data;
        next_set = s->next;
        for (GList *l = set->members, *next; l; l = next) {
            next = l->next;
            if (((FdSetMember *)l->data)->passed) {
                member_remove(set, l);
            }
        }
        drop_if_empty(fds, set);
    }
}

bool fdset_remove(FdSets *fds, int64_t id, bool has_fd, int64_t fd, GError **errp)
{
    FdSetEntry *set = set_find(fds, id);
    bool found = set && !has_fd;
    GList *next;
    for (GList *l = set ? set->members : NULL; l; l = next) {
        next = l->next;
        if (!has_fd || ((FdSetMember *)l->data)->fd == fd) {
            member_remove(set, l);
            found = true;
        }
    }
    if (set) {
        drop_if_empty(fds, set);
    }
    if (!found) {
        g_autofree char *what = has_fd
            ? g_strdup_printf("fdset-id:%" PRId64 ", fd:%" PRId64, id, fd)
            : g_strdup_printf("fdset-id:%" PRId64, id);
        error_setg(errp, "File descriptor named '%s' not found", what);
    }
    return found;
}

/* The first member with this access mode; O_DIRECT as asked for, or whatever it is. -1: none. */
static int set_find_member(const FdSetEntry *set, int flags, bool direct_matters)
{
    int mask = O_ACCMODE | (direct_matters ? O_DIRECT : 0);

    for (GList *l = set->members; l; l = l->next) {
        int fd = ((FdSetMember *)l->data)->fd, mode = fcntl(fd, F_GETFL);
        if (mode >= 0 && (mode & mask) == (flags & mask)) {
            return fd;
        }
    }
    return -1;
}

/* The member that is asked for, as a new fd. Who can do with any writes to one without O_DIRECT if there is one. */
static int set_dup(FdSetEntry *set, int flags)
{
    int fd = set_find_member(set, flags, true);

    if (fd < 0 && !(flags & O_DIRECT)) {
        fd = set_find_member(set, flags, false);
    }
    if (fd < 0) {
        errno = EACCES;
        return -1;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int fdset_open(FdSets *fds, const char *path, int flags, mode_t mode, GError **errp)
{
    int fd;
    const char *number = path;
    if (g_str_has_prefix(path, "/dev/fdset/")) {
        uint64_t id;
        number += strlen("/dev/fdset/");
        FdSetEntry *set = parse_u64(number, &id) && id <= INT64_MAX ? set_find(fds, (int64_t)id)
                                                                    : NULL;
        errno = ENOENT;
        fd = set ? set_dup(set, flags) : -1;
    } else {
        fd = open(path, flags | O_CLOEXEC, mode);
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "Could not open '%s'", path);
    }
    return fd;
}
