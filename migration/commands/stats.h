/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbers of a migration as clients see them: query-migrate
 * (migration-stream 5.7), "info migrate" (9.5) and the progress line of a
 * foreground migrate. Pure functions of a view; main thread.
 */
#ifndef MIGRATION_COMMANDS_STATS_H
#define MIGRATION_COMMANDS_STATS_H

#include "migration/migration-private.h"
#include "migration/policy/policy.h"

/** Caller frees with qapi_free_MigrationInfo. */
MigrationInfo *migration_info_new(const OutgoingView *v);
/**
 * "info migrate" without its "globals:", QEMU's lines in QEMU's words; the outlook follows the status.
 * v: what info was made from; NULL: of a destination, or of nothing. skipped: the 7.2 line. Caller frees.
 */
char *migration_info_text(const MigrationInfo *info, const OutgoingView *v, bool skipped_line);
/** "12 ms", below that "0.4 ms": a standstill is seldom longer. Caller frees. */
char *migration_ms_text(int64_t us);
/**
 * What "info migrate" has more than QEMU's while a migration is active: why it
 * goes on, and whether it will end. Empty otherwise. Caller frees.
 */
char *migration_outlook_text(const OutgoingView *v);
/**
 * "pass 3: 411.0 MiB left, 31.9 MiB/s, dirtied 40.1: will not finish [^C cancels]": fits a line of
 * 80. Only rates that have been measured are in it. Caller frees.
 */
char *migration_progress_text(const OutgoingView *v, PolicyVerdict verdict);

/** How it went with pages that were waited for, with a histogram, as lines; caller frees. */
char *migration_waits_text(const XPostcopyWaits *w);

#endif
