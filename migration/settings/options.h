/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was asked of migration: capabilities, parameters and the properties
 * of -global migration.X. One table of each drives query and set, HMP, the
 * checks and docs/system/migration-options.md. Pure data: starts nothing.
 */
#ifndef MIGRATION_SETTINGS_OPTIONS_H
#define MIGRATION_SETTINGS_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include "migration/stream.h"
#include "migration/vmstate.h"
#include "qapi/qapi-types.h"

typedef struct MigrationOptions MigrationOptions;

/** A set of capabilities: bit n is MigrationCapability n. */
typedef uint64_t MigrationCaps;
#define MIGRATION_CAP(name) (UINT64_C(1) << MIGRATION_CAPABILITY_##name)
/** Those that both sides must have equal; the configuration names them (migration-stream 1.5). */
#define MIGRATION_CAPS_VALIDATED \
    (MIGRATION_CAP(X_IGNORE_SHARED) | MIGRATION_CAP(MAPPED_RAM) | MIGRATION_CAP(FIXED_RAM))

/** The layout of the ram section that a set of capabilities asks for. */
RamLayout migration_caps_layout(MigrationCaps caps);

/** Properties (migration-stream 1.4). Set while the machine is built, then constant but for an adopted dialect. */
typedef struct MigrationProps {
    bool store_global_state;
    bool only_migratable;
    bool send_configuration;
    bool send_section_footer;
    bool send_switchover_start;
    bool multifd_flush_each_section;    /* each section of RAM ends with a sync point, as in QEMU 7.2 */
    bool decompress_error_check;
    bool xbzrle_bulk_rule;      /* x-xbzrle-bulk-rule: XBZRLE only after the bulk stage; off to measure it */
    bool suppress_vmdesc;       /* -M suppress-vmdesc: no JSON description is written or looked for */
    uint8_t clear_bitmap_shift;
} MigrationProps;

/** Everything at its default; the dialect decides the default of send-switchover-start. */
MigrationOptions *migration_options_new(StreamDialect dialect);
/**
 * A guest of another dialect has come, which is the machine's from now on: what was not set follows it.
 * BQL, as whoever takes settings.
 */
void migration_options_adopt(MigrationOptions *o, StreamDialect dialect);
/** Any thread. Counted, as a migration's settings (settings.h) may outlive the machine's. */
MigrationOptions *migration_options_ref(MigrationOptions *o);
void migration_options_unref(MigrationOptions *o);

/**
 * What is set now, for the monitors: what runs has MigrationSettings instead. Any thread: the
 * capabilities that are on; a copy of all parameters (its strings: main thread only).
 */
MigrationCaps migration_options_caps(MigrationOptions *o);
MigrationParameters migration_options_params(MigrationOptions *o);
const MigrationProps *migration_options_props(const MigrationOptions *o);

/** For settings.c. All at one moment; *p has strings of its own. Then: the live ones of *p as they are now. */
MigrationCaps migration_options_copy(MigrationOptions *o, MigrationParameters *p);
void migration_options_follow(MigrationOptions *o, MigrationParameters *p);

/** True if Ferry has it: listed by the queries, may be switched on or changed. */
bool migration_capability_available(MigrationCapability cap);

/**
 * All or nothing. Switching on what conflicts or is not available is refused
 * with QEMU's text or the named reason; off always succeeds.
 */
bool migration_options_set_capabilities(MigrationOptions *o,
                                        const MigrationCapabilityStatusList *list, GError **errp);
/** The available ones, in QEMU's order; caller frees with qapi_free_. */
MigrationCapabilityStatusList *migration_options_query_capabilities(MigrationOptions *o);

/** All or nothing: the members of p with has_ set (strings: not NULL). */
bool migration_options_set_parameters(MigrationOptions *o, const MigrationParameters *p,
                                      GError **errp);
/** The available ones; caller frees with qapi_free_MigrationParameters. */
MigrationParameters *migration_options_query_parameters(MigrationOptions *o);

/** One parameter from text, as HMP reads it: sizes with suffixes, bandwidths in MiB, on/off. */
bool migration_options_set_parameter_text(MigrationOptions *o, const char *name,
                                          const char *value, GError **errp);
/** -global migration.NAME=VALUE: a property, a parameter, or a capability, with or without "x-". */
bool migration_options_set_global(MigrationOptions *o, const char *name, const char *value,
                                  GError **errp);

/** "info migrate_capabilities", "info migrate_parameters" and the "globals:" of "info migrate". Caller frees. */
char *migration_options_capabilities_text(MigrationOptions *o);
char *migration_options_parameters_text(MigrationOptions *o);
char *migration_options_globals_text(MigrationOptions *o);

/** Names for completion, available ones, NULL-terminated; caller frees with g_free. */
const char **migration_capability_names(void);
const char **migration_parameter_names(void);

/** The tables of docs/system/migration-options.md. Caller frees. */
char *migration_options_markdown(void);

#endif
