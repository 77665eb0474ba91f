/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP commands of qapi/migration.json (migration-stream 9.1, 9.6).
 * Main thread, BQL. Each is a few lines over migration.c and options.c.
 */
#include <math.h>
#include <string.h>
#include "migration/commands/address.h"
#include "migration/commands/file-progress.h"
#include "migration/commands/stats.h"
#include "migration/migration-private.h"
#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

/* ---- starting and ending ---- */

bool qmp_migrate(struct Machine *machine, const char *uri, MigrationChannelList *channels,
                 bool has_blk, bool blk, bool has_inc, bool inc, bool has_detach, bool detach,
                 bool has_resume, bool resume, GError **errp)
{
    ChannelAddress *addr;

    if ((has_blk && blk) || (has_inc && inc)) {
        error_setg(errp, "Migration of disks (blk, inc) is not available: QEMU removed it in 9.1 "
                   "and Ferry never had it");
        return false;
    }
    addr = migration_address_from_qapi(uri, channels, errp);
    if (addr && has_resume && resume) {
        return migration_resume_address(machine->migration, addr, errp);
    }
    return addr && migration_start_address(machine->migration, addr, errp);
}

bool qmp_migrate_cancel(struct Machine *machine, GError **errp)
{
    return migration_cancel(machine->migration, errp);
}

bool qmp_migrate_continue(struct Machine *machine, MigrationStatus state, GError **errp)
{
    Migration *m = machine->migration;

    if (!m->outgoing) {
        MigrationStatus now = migration_state_get(&m->out_state);
        error_setg(errp, "Migration not in expected state: %s", MigrationStatus_str(now));
        return false;
    }
    return outgoing_continue(m->outgoing, state, errp);
}

bool qmp_migrate_incoming(struct Machine *machine, const char *uri, MigrationChannelList *channels,
                          bool has_exit_on_error, bool exit_on_error, GError **errp)
{
    ChannelAddress *addr = migration_address_from_qapi(uri, channels, errp);

    return addr && migration_incoming_address(machine->migration, addr,
                                              !has_exit_on_error || exit_on_error, errp);
}

/* ---- postcopy ---- */

bool qmp_migrate_start_postcopy(struct Machine *machine, GError **errp)
{
    Migration *m = machine->migration;

    return migration_start_postcopy(m, migration_options_caps(m->options), errp);
}

bool qmp_migrate_recover(struct Machine *machine, const char *uri, GError **errp)
{
    return migration_recover(machine->migration, uri, errp);
}

bool qmp_migrate_pause(struct Machine *machine, GError **errp)
{
    return migration_pause(machine->migration, errp);
}

/* ---- options ---- */

/* A destination that listens has no peer yet: what is set now is what counts when it comes. */
static bool is_in_progress(Migration *m)
{
    MigrationStatus in = migration_state_get(&m->in_state);

    return migration_is_active(m) ||
           (in != MIGRATION_STATUS_SETUP && migration_status_is_running(in));
}

static bool capability_asked(const MigrationCapabilityStatusList *list, MigrationCapability cap)
{
    bool on = false;

    for (; list; list = list->next) {
        on = list->value->capability == cap ? list->value->state : on;
    }
    return on;
}

bool qmp_migrate_set_capabilities(struct Machine *machine,
                                  MigrationCapabilityStatusList *capabilities, GError **errp)
{
    Migration *m = machine->migration;

    if (is_in_progress(m)) {
        error_setg(errp, "There's a migration process in progress");
        return false;
    }
    if (m->incoming && capability_asked(capabilities, MIGRATION_CAPABILITY_POSTCOPY_PREEMPT)) {
        error_setg(errp, "Postcopy preempt must be set before incoming starts");
        return false;
    }
    return migration_options_set_capabilities(m->options, capabilities, errp);
}

MigrationCapabilityStatusList *qmp_query_migrate_capabilities(struct Machine *machine,
                                                              GError **errp)
{
    return migration_options_query_capabilities(machine->migration->options);
}

/* The running migration learns what acts at once; a cache that cannot be had leaves all as it was. */
bool migration_parameters_changed(Migration *m, const MigrationParameters *before, GError **errp)
{
    MigrationParameters now = migration_options_params(m->options);
    MigrationParameters back = { .has_xbzrle_cache_size = true,
                                 .xbzrle_cache_size = before->xbzrle_cache_size };

    if (!m->outgoing) {
        return true;
    }
    if (now.xbzrle_cache_size != before->xbzrle_cache_size &&
        !outgoing_set_cache_size(m->outgoing, now.xbzrle_cache_size, errp)) {
        migration_options_set_parameters(m->options, &back, NULL);
        return false;
    }
    outgoing_kick(m->outgoing);
    return true;
}

bool qmp_migrate_set_parameters(struct Machine *machine, MigrationParameters *arg, GError **errp)
{
    Migration *m = machine->migration;
    MigrationParameters before = migration_options_params(m->options);

    return migration_options_set_parameters(m->options, arg, errp) &&
           migration_parameters_changed(m, &before, errp);
}

MigrationParameters *qmp_query_migrate_parameters(struct Machine *machine, GError **errp)
{
    return migration_options_query_parameters(machine->migration->options);
}

/* ---- the names they had until QEMU 5.2 ---- */

bool qmp_migrate_set_cache_size(struct Machine *machine, uint64_t value, GError **errp)
{
    MigrationParameters p = { .has_xbzrle_cache_size = true, .xbzrle_cache_size = value };
    return qmp_migrate_set_parameters(machine, &p, errp);
}

uint64_t qmp_query_migrate_cache_size(struct Machine *machine, GError **errp)
{
    return migration_options_params(machine->migration->options).xbzrle_cache_size;
}

bool qmp_migrate_set_speed(struct Machine *machine, uint64_t value, GError **errp)
{
    MigrationParameters p = { .has_max_bandwidth = true, .max_bandwidth = value };
    return qmp_migrate_set_parameters(machine, &p, errp);
}

bool qmp_migrate_set_downtime(struct Machine *machine, double value, GError **errp)
{
    if (!(value >= 0 && value <= 2000)) {
        error_setg(errp, "Parameter 'downtime_limit' expects an integer in the range of 0 to "
                   "2000 seconds");
        return false;
    }
    MigrationParameters p = { .has_downtime_limit = true, .downtime_limit = lrint(value * 1000) };
    return qmp_migrate_set_parameters(machine, &p, errp);
}

/* ---- queries ---- */

static MigrationInfo *incoming_info(Migration *m)
{
    MigrationInfo *info = g_new0(MigrationInfo, 1);
    IncomingReceived received;

    if (!m->incoming) {
        return info;
    }
    info->has_status = true;
    info->status = migration_state_get(&m->in_state);
    info->error_desc = incoming_error(m->incoming);
    if (incoming_received(m->incoming, &received)) {
        info->x_received = migration_received_info(&received);
        info->x_file = file_progress_restored(&received);
    }
    info->x_postcopy_waits = incoming_waits_info(m->incoming);
    incoming_fill_blocktime(m->incoming, info);
    g_autoptr(GPtrArray) addresses = incoming_addresses(m->incoming);
    info->socket_address = migration_addresses_to_qapi(addresses);
    return info;
}

MigrationInfo *qmp_query_migrate(struct Machine *machine, GError **errp)
{
    Migration *m = machine->migration;
    OutgoingView v;

    if (!m->outgoing) {
        return incoming_info(m);
    }
    outgoing_view(m->outgoing, &v);
    MigrationInfo *info = migration_info_new(&v);
    outgoing_view_clear(&v);
    return info;
}

static void add_thread(MigrationThreadInfoList ***tail, const char *name, int tid)
{
    if (tid) {
        MigrationThreadInfoList *l = g_new0(MigrationThreadInfoList, 1);
        l->value = g_new0(MigrationThreadInfo, 1);
        l->value->name = g_strdup(name);
        l->value->thread_id = tid;
        **tail = l;
        *tail = &l->next;
    }
}

MigrationThreadInfoList *qmp_query_migrationthreads(struct Machine *machine, GError **errp)
{
    Migration *m = machine->migration;
    MigrationThreadInfoList *head = NULL, **tail = &head;

    add_thread(&tail, "live_migration", m->outgoing ? outgoing_thread_id(m->outgoing) : 0);
    add_thread(&tail, "incoming", m->incoming ? incoming_thread_id(m->incoming) : 0);
    return head;
}
