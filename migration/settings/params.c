/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One parameter of a MigrationParameters, by its row of the table. Called by
 * options.c and settings.c; knows no owner and takes no lock.
 */
#include <string.h>
#include "migration/settings/options-table.h"

#define MEMBER(p, offset, type) (*(type *)((char *)(p) + (offset)))
#define CMEMBER(p, offset, type) (*(const type *)((const char *)(p) + (offset)))

uint64_t migration_param_get(const MigrationParameters *p, const MigrationParameterInfo *info)
{
    switch (info->type) {
    case PARAM_BOOL:
        return CMEMBER(p, info->offset, bool);
    case PARAM_U8:
        return CMEMBER(p, info->offset, uint8_t);
    case PARAM_U32:
        return CMEMBER(p, info->offset, uint32_t);
    case PARAM_U64:
    case PARAM_SIZE:
        return CMEMBER(p, info->offset, uint64_t);
    case PARAM_ENUM:
        return CMEMBER(p, info->offset, int);
    case PARAM_STR:
        break;
    }
    return 0;
}

void migration_param_set(MigrationParameters *p, const MigrationParameterInfo *info, uint64_t value)
{
    switch (info->type) {
    case PARAM_BOOL:
        MEMBER(p, info->offset, bool) = value;
        break;
    case PARAM_U8:
        MEMBER(p, info->offset, uint8_t) = value;
        break;
    case PARAM_U32:
        MEMBER(p, info->offset, uint32_t) = value;
        break;
    case PARAM_U64:
    case PARAM_SIZE:
        MEMBER(p, info->offset, uint64_t) = value;
        break;
    case PARAM_ENUM:
        MEMBER(p, info->offset, int) = value;
        break;
    case PARAM_STR:
        return;
    }
    MEMBER(p, info->has_offset, bool) = true;
}

const char *migration_param_str(const MigrationParameters *p, const MigrationParameterInfo *info)
{
    return CMEMBER(p, info->offset, char *);
}

bool migration_param_present(const MigrationParameters *p, const MigrationParameterInfo *info)
{
    return info->type == PARAM_STR ? migration_param_str(p, info) != NULL
                                   : CMEMBER(p, info->has_offset, bool);
}

const MigrationParameterInfo *migration_param_find(const char *name)
{
    for (size_t i = 0; i < migration_parameter_count; i++) {
        if (!strcmp(migration_parameter_table[i].name, name)) {
            return &migration_parameter_table[i];
        }
    }
    return NULL;
}

void migration_param_set_str(MigrationParameters *p, const MigrationParameterInfo *info,
                             const char *value)
{
    g_free(MEMBER(p, info->offset, char *));
    MEMBER(p, info->offset, char *) = g_strdup(value);
}

void migration_params_copy(MigrationParameters *to, const MigrationParameters *from)
{
    *to = *from;
    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        if (info->type == PARAM_STR) {
            MEMBER(to, info->offset, char *) = g_strdup(migration_param_str(from, info));
        }
    }
}

void migration_params_clear(MigrationParameters *p)
{
    for (size_t i = 0; i < migration_parameter_count; i++) {
        if (migration_parameter_table[i].type == PARAM_STR) {
            g_clear_pointer(&MEMBER(p, migration_parameter_table[i].offset, char *), g_free);
        }
    }
}
