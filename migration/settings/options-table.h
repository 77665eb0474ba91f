/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of the option tables, and how they are read; private to migration/settings and its test. */
#ifndef MIGRATION_SETTINGS_OPTIONS_TABLE_H
#define MIGRATION_SETTINGS_OPTIONS_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "qapi/qapi-types.h"

typedef struct MigrationCapabilityInfo {
    const char *side;       /* where it is to be set: "source", "destination", "both", "each" */
    const char *missing;    /* why Ferry does not have it; NULL if it has */
} MigrationCapabilityInfo;

extern const MigrationCapabilityInfo migration_capability_table[MIGRATION_CAPABILITY__MAX];

/** cap needs, or excludes, other. */
typedef struct MigrationCapabilityRule {
    MigrationCapability cap, other;
    bool needs;
    const char *text;       /* QEMU's error; may have one %s for other's name */
    const char *why;
} MigrationCapabilityRule;

/** Rule i into *out, if there is one; returns their number. */
size_t migration_capability_rule(size_t i, MigrationCapabilityRule *out);

typedef struct MigrationParameterInfo {
    const char *name;
    enum { PARAM_BOOL, PARAM_U8, PARAM_U32, PARAM_U64, PARAM_SIZE, PARAM_ENUM, PARAM_STR } type;
    size_t offset, has_offset;      /* in MigrationParameters */
    uint64_t def, min, max;
    const char *expects;            /* "Parameter 'x' expects ..." when out of range */
    const char *unit;               /* in info migrate_parameters */
    const char *doc_unit, *doc_range;
    uint64_t hmp_unit;              /* of a number without suffix in HMP; 0: plain */
    const char *(*str)(int value);
    int (*parse)(const char *text, GError **errp);
    const char *missing;            /* why Ferry does not have it; NULL if it has */
    const char *missing_value;      /* an enum's last value, which Ferry does not have: why; else NULL */
    bool live;                      /* a running migration follows it; else it has what stood at its start.
                                       Not for a PARAM_STR */
} MigrationParameterInfo;

extern const MigrationParameterInfo migration_parameter_table[];
extern const size_t migration_parameter_count;

/* ---- params.c: one parameter of *p, by its row ---- */

/** NULL if there is none of that name. */
const MigrationParameterInfo *migration_param_find(const char *name);
/** Whether p sets it at all. */
bool migration_param_present(const MigrationParameters *p, const MigrationParameterInfo *info);
/** Any type but PARAM_STR, for which get returns 0 and set does nothing. */
uint64_t migration_param_get(const MigrationParameters *p, const MigrationParameterInfo *info);
void migration_param_set(MigrationParameters *p, const MigrationParameterInfo *info,
                         uint64_t value);
/** PARAM_STR; the copy is p's. */
const char *migration_param_str(const MigrationParameters *p, const MigrationParameterInfo *info);
void migration_param_set_str(MigrationParameters *p, const MigrationParameterInfo *info,
                             const char *value);
/** All of them, with strings of its own, over what *to holds; and their end. */
void migration_params_copy(MigrationParameters *to, const MigrationParameters *from);
void migration_params_clear(MigrationParameters *p);

#endif
