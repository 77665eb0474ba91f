/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration as the machine sees it: one object per process that owns the
 * options (capabilities and parameters), at most one outgoing and one
 * incoming migration, and answers the monitors. The two stories are in
 * migration/source/outgoing.c and migration/destination/incoming.c.
 */
#ifndef MIGRATION_MIGRATION_H
#define MIGRATION_MIGRATION_H

#include <glib.h>
#include <stdbool.h>

struct Machine;
typedef struct Migration Migration;

/** Registers the sections "timer" and "globalstate". After runstate and vmstate exist. */
Migration *migration_new(struct Machine *machine);
/** Cancels and joins whatever runs. BQL held (dropped while joining). */
void migration_free(Migration *m);

/** -global migration.NAME=VALUE: properties (migration-stream 1.4), capabilities "x-<cap>", parameters. */
bool migration_set_global(Migration *m, const char *name, const char *value, GError **errp);

/**
 * -incoming URI|defer: remembers defer, or starts listening. The machine must
 * be in inmigrate. autostart: no -S given. On a failed load: message on
 * stderr through vl, main_loop_quit(1) unless exit-on-error is false.
 */
bool migration_incoming_start(Migration *m, const char *uri, bool autostart, GError **errp);

/**
 * cont (true) and stop (false) while the machine waits for its migration
 * decide what happens when it has come. True if it is waiting. Main thread, BQL.
 */
bool migration_incoming_set_autostart(Migration *m, bool autostart);

/** True while an outgoing migration is in a running state (monitor checks, quit). */
bool migration_is_active(const Migration *m);
/** True while a cancelled one is winding up: another may begin in a moment. */
bool migration_is_cancelling(const Migration *m);
/**
 * Where the guest has moved to, if it has and was not started here since (it may have been reset):
 * running it here too makes two of it. NULL if not, or if it went into a file. Main thread, BQL;
 * caller frees.
 */
char *migration_moved_to(const Migration *m);
/** True if the destination has said that it has the guest: there was a return path. As above. */
bool migration_was_confirmed(const Migration *m);
/** True if the guest has moved and its memory is not here any more (release-ram). Main thread, BQL. */
bool migration_memory_given_back(const Migration *m);
/**
 * Why a guest that is in postcopy must not go on here: it runs, or may run, at the destination. NULL
 * if it is not in postcopy; caller frees. Main thread, BQL.
 */
char *migration_running_there(const Migration *m);
/**
 * False with errp from the switch to postcopy on, at the source: a command that is for the guest has to
 * be given where that runs. Main thread, BQL.
 */
bool migration_guest_is_here(const Migration *m, GError **errp);
/** True if migration_yank has something to end: an outgoing or incoming migration under way. Main thread. */
bool migration_may_yank(const Migration *m);
/**
 * yank: ends all connections of the migration under way, as if the network
 * had: it fails as it would then. Does not wait. Main thread; the BQL is not needed.
 */
void migration_yank(Migration *m);
/**
 * Stops it for process exit: like migrate_cancel, waits. BQL held, dropped
 * while waiting. False: a thread did not come back within a second (a file
 * server that does not answer) and is left behind; m and the machine may not
 * be freed then, nor the BQL be let go.
 */
bool migration_shutdown(Migration *m);

#endif
