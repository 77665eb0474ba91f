/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the stories ask of the machine around them: the dialect it speaks, the
 * descriptors that were handed in, and that its monitors hear of something.
 * Below migration.c and both stories; keeps nothing.
 */
#include <fcntl.h>
#include "migration/migration-private.h"
#include "monitor/monitor.h"
#include "qapi/qapi-events.h"
#include "util/error.h"

/* ---- events ---- */

bool migration_wants_events(Migration *m)
{
    return m->machine->monitors &&
           (migration_options_caps(m->options) & MIGRATION_CAP(EVENTS));
}

void migration_emit_pass(Migration *m, uint64_t pass)
{
    if (migration_wants_events(m)) {
        qapi_event_send_migration_pass(m->machine->monitors, pass);
    }
}

XMigrationReceived *migration_received_info(const IncomingReceived *r)
{
    XMigrationReceived *info = g_new0(XMigrationReceived, 1);

    info->transferred = r->ram.bytes;
    info->normal = r->ram.normal;
    info->duplicate = r->ram.zero;
    info->xbzrle_pages = r->ram.xbzrle;
    info->total_time = r->us / 1000;
    info->mbps = r->us > 0 ? r->ram.bytes * 8.0 / r->us : 0;
    return info;
}

void migration_emit_received(Migration *m, XMigrationReceived *received)
{
    if (migration_wants_events(m)) {
        qapi_event_send_x_migration_received(m->machine->monitors, received);
    }
}

void migration_emit_outlook(Migration *m, XMigrationOutlook *outlook)
{
    if (migration_wants_events(m)) {
        qapi_event_send_x_migration_outlook(m->machine->monitors, outlook);
    }
}

void migration_emit_owner_unknown(Migration *m, const char *error)
{
    if (m->machine->monitors) {
        qapi_event_send_x_migration_owner_unknown(m->machine->monitors, error);
    }
}

/* ---- dialect and descriptors ---- */

StreamDialect migration_dialect(const Migration *m)
{
    return vmstate_dialect(m->machine->vmstate);
}

static int take_fd(void *opaque, const char *name, GError **errp)
{
    Machine *machine = opaque;

    if (!machine->fds) {
        error_setg(errp, "File descriptor named '%s' has not been found", name);
        return -1;
    }
    return fds_take_named(machine->fds, name, errp);
}

/* A descriptor for both ways does as well where there is none for the one. */
static int open_set(void *opaque, const char *path, int access, GError **errp)
{
    Machine *machine = opaque;
    int fd;

    if (!machine->fds) {
        error_setg(errp, "Could not open '%s': there is no such set of descriptors", path);
        return -1;
    }
    fd = fdset_open(machine->fds, path, access, 0, NULL);
    return fd >= 0 ? fd : fdset_open(machine->fds, path, O_RDWR | (access & O_DIRECT), 0, errp);
}

FdResolver migration_fd_resolver(Migration *m)
{
    return (FdResolver){ take_fd, open_set, m->machine };
}
