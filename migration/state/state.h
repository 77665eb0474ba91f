/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a migration stands: one table of legal moves, one function that
 * moves. Used by migration/source/outgoing.c, incoming.c and their monitor
 * commands; knows nothing of the machine or the stream.
 */
#ifndef MIGRATION_STATE_STATE_H
#define MIGRATION_STATE_STATE_H

#include <glib.h>
#include <stdbool.h>
#include "migration/vmstate.h"
#include "qapi/qapi-types.h"

typedef enum MigrationSide { MIGRATION_OUTGOING, MIGRATION_INCOMING, MIGRATION_SIDE__MAX } MigrationSide;

/** What happens to a migration. */
typedef enum MigrationEvent {
    MIGRATION_EVENT_START,      /* migrate was accepted; an incoming one begins to listen */
    MIGRATION_EVENT_BEGIN,      /* outgoing: setup is sent; incoming: the peer is there */
    MIGRATION_EVENT_PAUSE,      /* the guest is stopped and pause-before-switchover is on */
    MIGRATION_EVENT_CONTINUE,   /* migrate-continue */
    MIGRATION_EVENT_SWITCHOVER, /* the guest is stopped, the rest and device state follow */
    MIGRATION_EVENT_POSTCOPY,   /* from now on the guest may run at the destination, and nowhere else */
    MIGRATION_EVENT_BREAK,      /* postcopy: the connection is gone, or migrate-pause */
    MIGRATION_EVENT_RESUME,     /* outgoing: migrate with resume; incoming: a source has come back */
    MIGRATION_EVENT_CONNECT,    /* outgoing: it is connected again */
    MIGRATION_EVENT_RECOVER,    /* both sides know what is missing: memory goes on coming */
    MIGRATION_EVENT_DONE,       /* the other side has the guest */
    MIGRATION_EVENT_CANCEL,     /* migrate_cancel */
    MIGRATION_EVENT_FAIL,       /* an error ended it, or the cancel did; everything is let go of */
    MIGRATION_EVENT__MAX,
} MigrationEvent;

/** Called for every move, under the lock that orders moves: must not call back into it. Any thread. */
typedef void MigrationStateNotify(void *opaque, MigrationStatus from, MigrationStatus to);

typedef struct MigrationState {
    /* set once */
    MigrationSide side;
    StreamDialect dialect;
    MigrationStateNotify *notify;
    void *opaque;
    /* protected by lock; read alone without it */
    GMutex lock;
    int status;
} MigrationState;

/** Name of an event for messages. */
const char *migration_event_name(MigrationEvent event);

/**
 * The table alone: where event leads from status. False with an error that
 * names both if there is no such move. Any thread.
 */
bool migration_state_next(MigrationSide side, StreamDialect dialect, MigrationStatus from,
                          MigrationEvent event, MigrationStatus *to, GError **errp);

/** Starts in status none. notify may be NULL. */
void migration_state_init(MigrationState *s, MigrationSide side, StreamDialect dialect,
                          MigrationStateNotify *notify, void *opaque);
void migration_state_clear(MigrationState *s);
/** Any thread, without lock. */
MigrationStatus migration_state_get(const MigrationState *s);
/** Moves and notifies, or returns false with the table's error and changes nothing. Any thread. */
bool migration_state_move(MigrationState *s, MigrationEvent event, GError **errp);

/** True in setup, active, pre-switchover, device, cancelling and the states of postcopy. */
bool migration_status_is_running(MigrationStatus status);
/** True in postcopy-active, postcopy-paused, postcopy-recover-setup and postcopy-recover. */
bool migration_status_is_postcopy(MigrationStatus status);
/** True if statistics of RAM are part of query-migrate (migration-stream 5.7). */
bool migration_status_has_ram(MigrationStatus status);

#endif
