/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration state machine (migration-stream 5.1). Both stories move
 * through migration_state_move() and through nothing else; it never waits
 * and never touches the machine.
 *
 * Outgoing:
 *
 *   none, completed, failed, cancelled
 *        | start
 *        v      begin           pause                    continue
 *      setup ----------> active -----> pre-switchover ----------> device
 *                          |                                        |
 *                          | switchover (10.0: to device;           |
 *                          |   7.2: stays active)                   |
 *                          +------------ done ------> completed <---+ done
 *
 *   any of those:  fail -> failed     cancel -> cancelling
 *   cancelling:  fail -> cancelled     done -> completed
 *
 * Outgoing, postcopy:
 *
 *   device (7.2: or active)                 connect
 *        | postcopy           recover-setup --------> recover
 *        v                       ^ |   (10.0)          | |  | recover
 *   postcopy-active              | | break             | |  '--> postcopy-active
 *     |        | break    resume | v             break | |
 *     |        '--------------> paused <---------------' |
 *     | done                     '--- resume (7.2) ------'
 *     '----> completed           any of them: fail -> failed
 *
 * Incoming:  none, failed --start--> setup --begin--> active --done--> completed,
 *            active --postcopy--> postcopy-active --done--> completed,
 *            postcopy-active --break--> paused --resume--> recover --recover--> postcopy-active,
 *            recover --break--> paused;  each but none and completed: fail -> failed
 *
 * What holds in each outgoing state:
 *   (1) setup: the guest is as it was; nothing of it was stopped or changed.
 *   (2) active: the dirty log is on. In the 7.2 dialect the guest may already
 *       be stopped (run state finish-migrate) near the end.
 *   (3) pre-switchover: the guest is stopped, no device state was taken yet.
 *   (4) device: the guest is stopped, its device state is taken.
 *   (5) cancelling (never from a postcopy state): the channel is shut down, or its sending half if all was
 *       sent; the migration thread is about to restore the run state that
 *       the guest had, or to read the destination's answer.
 *   (6) completed: the guest is stopped (postmigrate) and belongs to the
 *       destination. It is entered from cancelling if the destination had
 *       agreed before the cancel could reach it: a guest that may already
 *       run there must not run here as well.
 *   (7) cancelled, failed: the run state is what it was before (paused if the
 *       destination may have the guest: source/outgoing.c), the dirty log is
 *       off, every thread of the migration but the one that says so is gone;
 *       a new start is legal.
 *   (8) postcopy-active, -paused, -recover-setup, -recover: the guest is
 *       stopped here (finish-migrate), its device state is complete at the
 *       destination, which runs it. It never runs here again, unless the
 *       destination has refused the device state (then: failed) or has never
 *       said that it has the guest (then: failed by migrate_cancel, and people
 *       decide). What is dirty exists here only; what the guest has done since
 *       exists there only.
 *   (9) postcopy-paused: no connection; nothing but resume, that cancel or the
 *       end of the process leads out of it.
 */
#include "migration/state/state.h"
#include "util/error.h"
#include "util/trace-migration.h"

#define OUT (1u << MIGRATION_OUTGOING)
#define IN (1u << MIGRATION_INCOMING)
#define D7 (1u << DIALECT_QEMU_7_2)
#define D10 (1u << DIALECT_QEMU_10_0)
#define S(name) MIGRATION_STATUS_##name
#define E(name) MIGRATION_EVENT_##name

static const struct {
    unsigned sides, dialects;
    MigrationStatus from;
    MigrationEvent event;
    MigrationStatus to;
} moves[] = {
    { OUT | IN, D7 | D10, S(NONE), E(START), S(SETUP) },
    { OUT, D7 | D10, S(COMPLETED), E(START), S(SETUP) },
    { OUT | IN, D7 | D10, S(FAILED), E(START), S(SETUP) },
    { OUT, D7 | D10, S(CANCELLED), E(START), S(SETUP) },

    { OUT | IN, D7 | D10, S(SETUP), E(BEGIN), S(ACTIVE) },
    { OUT, D7 | D10, S(ACTIVE), E(PAUSE), S(PRE_SWITCHOVER) },
    { OUT, D7 | D10, S(PRE_SWITCHOVER), E(CONTINUE), S(DEVICE) },
    { OUT, D7, S(ACTIVE), E(SWITCHOVER), S(ACTIVE) },
    { OUT, D10, S(ACTIVE), E(SWITCHOVER), S(DEVICE) },
    { OUT, D7, S(ACTIVE), E(DONE), S(COMPLETED) },
    { OUT, D7 | D10, S(DEVICE), E(DONE), S(COMPLETED) },
    { OUT, D7 | D10, S(CANCELLING), E(DONE), S(COMPLETED) },
    { IN, D7 | D10, S(ACTIVE), E(DONE), S(COMPLETED) },

    { OUT, D7, S(ACTIVE), E(POSTCOPY), S(POSTCOPY_ACTIVE) },
    { OUT, D7 | D10, S(DEVICE), E(POSTCOPY), S(POSTCOPY_ACTIVE) },
    { IN, D7 | D10, S(ACTIVE), E(POSTCOPY), S(POSTCOPY_ACTIVE) },
    { OUT | IN, D7 | D10, S(POSTCOPY_ACTIVE), E(DONE), S(COMPLETED) },
    { OUT | IN, D7 | D10, S(POSTCOPY_ACTIVE), E(BREAK), S(POSTCOPY_PAUSED) },
    { OUT, D10, S(POSTCOPY_PAUSED), E(RESUME), S(POSTCOPY_RECOVER_SETUP) },
    { OUT, D10, S(POSTCOPY_RECOVER_SETUP), E(CONNECT), S(POSTCOPY_RECOVER) },
    { OUT, D10, S(POSTCOPY_RECOVER_SETUP), E(BREAK), S(POSTCOPY_PAUSED) },
    { OUT, D7, S(POSTCOPY_PAUSED), E(RESUME), S(POSTCOPY_RECOVER) },
    { OUT, D7, S(POSTCOPY_RECOVER), E(CONNECT), S(POSTCOPY_RECOVER) },
    { IN, D7 | D10, S(POSTCOPY_PAUSED), E(RESUME), S(POSTCOPY_RECOVER) },
    { OUT | IN, D7 | D10, S(POSTCOPY_RECOVER), E(BREAK), S(POSTCOPY_PAUSED) },
    { OUT | IN, D7 | D10, S(POSTCOPY_RECOVER), E(RECOVER), S(POSTCOPY_ACTIVE) },

    { OUT, D7 | D10, S(SETUP), E(CANCEL), S(CANCELLING) },
    { OUT, D7 | D10, S(ACTIVE), E(CANCEL), S(CANCELLING) },
    { OUT, D7 | D10, S(PRE_SWITCHOVER), E(CANCEL), S(CANCELLING) },
    { OUT, D7 | D10, S(DEVICE), E(CANCEL), S(CANCELLING) },

    { OUT | IN, D7 | D10, S(SETUP), E(FAIL), S(FAILED) },
    { OUT | IN, D7 | D10, S(ACTIVE), E(FAIL), S(FAILED) },
    { OUT, D7 | D10, S(PRE_SWITCHOVER), E(FAIL), S(FAILED) },
    { OUT, D7 | D10, S(DEVICE), E(FAIL), S(FAILED) },
    { OUT, D7 | D10, S(CANCELLING), E(FAIL), S(CANCELLED) },
    { OUT | IN, D7 | D10, S(POSTCOPY_ACTIVE), E(FAIL), S(FAILED) },
    { OUT | IN, D7 | D10, S(POSTCOPY_PAUSED), E(FAIL), S(FAILED) },
    { OUT, D10, S(POSTCOPY_RECOVER_SETUP), E(FAIL), S(FAILED) },
    { OUT | IN, D7 | D10, S(POSTCOPY_RECOVER), E(FAIL), S(FAILED) },
};

static const char *const event_names[MIGRATION_EVENT__MAX] = {
    [E(START)] = "start",           [E(BEGIN)] = "begin",   [E(PAUSE)] = "pause",
    [E(CONTINUE)] = "continue",     [E(DONE)] = "done",     [E(CANCEL)] = "cancel",
    [E(SWITCHOVER)] = "switchover", [E(FAIL)] = "fail",     [E(POSTCOPY)] = "postcopy",
    [E(BREAK)] = "break",           [E(RESUME)] = "resume", [E(CONNECT)] = "connect",
    [E(RECOVER)] = "recover",
};

const char *migration_event_name(MigrationEvent event)
{
    return event < MIGRATION_EVENT__MAX ? event_names[event] : "?";
}

bool migration_state_next(MigrationSide side, StreamDialect dialect, MigrationStatus from,
                          MigrationEvent event, MigrationStatus *to, GError **errp)
{
    for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
        if (moves[i].from == from && moves[i].event == event && (moves[i].sides & (1u << side)) &&
            (moves[i].dialects & (1u << dialect))) {
            *to = moves[i].to;
            return true;
        }
    }
    error_setg(errp, "%s migration: event '%s' is not possible in state '%s'",
               side == MIGRATION_OUTGOING ? "outgoing" : "incoming", migration_event_name(event),
               MigrationStatus_str(from));
    return false;
}

void migration_state_init(MigrationState *s, MigrationSide side, StreamDialect dialect,
                          MigrationStateNotify *notify, void *opaque)
{
    *s = (MigrationState){ .side = side, .dialect = dialect, .notify = notify, .opaque = opaque,
                           .status = MIGRATION_STATUS_NONE };
    g_mutex_init(&s->lock);
}

void migration_state_clear(MigrationState *s)
{
    g_mutex_clear(&s->lock);
}

MigrationStatus migration_state_get(const MigrationState *s)
{
    return g_atomic_int_get(&s->status);
}

bool migration_state_move(MigrationState *s, MigrationEvent event, GError **errp)
{
    g_mutex_lock(&s->lock);
    MigrationStatus from = s->status, to;
    bool ok = migration_state_next(s->side, s->dialect, from, event, &to, errp);
    trace_migrate_state_event(s->side == MIGRATION_OUTGOING ? "outgoing" : "incoming",
                              migration_event_name(event), MigrationStatus_str(from));
    if (ok && to != from) {
        trace_migrate_set_state(MigrationStatus_str(to));
        g_atomic_int_set(&s->status, to);
        if (s->notify) {
            s->notify(s->opaque, from, to);
        }
    }
    g_mutex_unlock(&s->lock);
    return ok;
}

bool migration_status_is_running(MigrationStatus status)
{
    switch (status) {
    case MIGRATION_STATUS_SETUP:
    case MIGRATION_STATUS_ACTIVE:
    case MIGRATION_STATUS_PRE_SWITCHOVER:
    case MIGRATION_STATUS_DEVICE:
    case MIGRATION_STATUS_CANCELLING:
        return true;
    default:
        return migration_status_is_postcopy(status);
    }
}

bool migration_status_is_postcopy(MigrationStatus status)
{
    switch (status) {
    case MIGRATION_STATUS_POSTCOPY_ACTIVE:
    case MIGRATION_STATUS_POSTCOPY_PAUSED:
    case MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP:
    case MIGRATION_STATUS_POSTCOPY_RECOVER:
        return true;
    default:
        return false;
    }
}

bool migration_status_has_ram(MigrationStatus status)
{
    switch (status) {
    case MIGRATION_STATUS_ACTIVE:
    case MIGRATION_STATUS_CANCELLING:
    case MIGRATION_STATUS_PRE_SWITCHOVER:
    case MIGRATION_STATUS_DEVICE:
    case MIGRATION_STATUS_COMPLETED:
        return true;
    default:
        return migration_status_is_postcopy(status);
    }
}
