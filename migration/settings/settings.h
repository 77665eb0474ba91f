/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one migration goes by: the options as they stood when it began, of which the live
 * parameters (the table in options-table.c says which) follow what is set while it runs. Whatever
 * runs reads these and not the options; counted, so each of its threads and parts may keep them.
 */
#ifndef MIGRATION_SETTINGS_SETTINGS_H
#define MIGRATION_SETTINGS_SETTINGS_H

#include "migration/settings/options.h"

typedef struct MigrationSettings MigrationSettings;

/** As the options stand now. Caller unrefs. Any thread. */
MigrationSettings *migration_settings_take(MigrationOptions *options);
MigrationSettings *migration_settings_ref(MigrationSettings *s);
/** NULL is fine. */
void migration_settings_unref(MigrationSettings *s);

/** Any thread, all of them; constant but for the live parameters. */
MigrationCaps migration_settings_caps(const MigrationSettings *s);
const MigrationProps *migration_settings_props(const MigrationSettings *s);
/** The strings in it are the settings'. */
MigrationParameters migration_settings_params(const MigrationSettings *s);
/** How RAM is laid out. */
RamLayout migration_settings_layout(const MigrationSettings *s);
/** How pages are looked at: what x-simd chose. */
const struct RamSimd *migration_settings_simd(const MigrationSettings *s);

#endif
