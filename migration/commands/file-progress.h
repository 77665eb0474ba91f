/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a save to a file, or a restore from one, is. Pure functions; any thread. */
#ifndef MIGRATION_COMMANDS_FILE_PROGRESS_H
#define MIGRATION_COMMANDS_FILE_PROGRESS_H

#include "migration/migration-private.h"

/** For query-migrate; NULL if it goes to no file, or has not begun. Caller frees with qapi_free_XFileProgress. */
XFileProgress *file_progress_saved(const OutgoingView *v);
/** The same, of a destination. */
XFileProgress *file_progress_restored(const IncomingReceived *r);
/** For people, in one line without its end: percent, rate and the time that is left. Caller frees. */
char *file_progress_text(const XFileProgress *p);

#endif
