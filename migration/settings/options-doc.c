/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option tables as Markdown, for docs/system/migration-options.md. Called
 * by the unit test of the options only, which compares the file with it.
 */
#include <inttypes.h>
#include "migration/settings/options.h"
#include "migration/settings/options-table.h"

static void capabilities(GString *md)
{
    g_string_append(md, "| Capability | Set on | Available |\n|---|---|---|\n");
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        const MigrationCapabilityInfo *info = &migration_capability_table[cap];
        g_string_append_printf(md, "| `%s` | %s | %s%s |\n", MigrationCapability_str(cap),
                               info->side ? info->side : "(no row in options-table.c)",
                               info->missing ? "no: " : "yes",
                               info->missing ? info->missing : "");
    }
}

static void rules(GString *md)
{
    MigrationCapabilityRule rule;

    g_string_append(md, "\n| Capability | Rule | Why |\n|---|---|---|\n");
    for (size_t i = 0; i < migration_capability_rule(i, &rule); i++) {
        g_string_append_printf(md, "| `%s` | %s `%s` | %s |\n", MigrationCapability_str(rule.cap),
                               rule.needs ? "needs" : "excludes",
                               MigrationCapability_str(rule.other), rule.why);
    }
}

static char *range_text(const MigrationParameterInfo *info)
{
    if (info->doc_range) {
        return g_strdup(info->doc_range);
    }
    switch (info->type) {
    case PARAM_BOOL:
        return g_strdup("on, off");
    case PARAM_STR:
        return g_strdup("text");
    case PARAM_ENUM: {
        GString *all = g_string_new(NULL);
        for (uint64_t v = 0; v <= info->max; v++) {
            g_string_append_printf(all, "%s%s", v ? ", " : "", info->str(v));
        }
        return g_string_free(all, FALSE);
    }
    default:
        return info->max == UINT64_MAX
                   ? g_strdup_printf("from %" PRIu64, info->min)
                   : g_strdup_printf("%" PRIu64 "..%" PRIu64, info->min, info->max);
    }
}

static char *default_text(const MigrationParameterInfo *info)
{
    switch (info->type) {
    case PARAM_BOOL:
        return g_strdup(info->def ? "on" : "off");
    case PARAM_STR:
        return g_strdup("empty");
    case PARAM_ENUM:
        return g_strdup(info->str(info->def));
    default:
        return g_strdup_printf("%" PRIu64, info->def);
    }
}

static void parameters(GString *md)
{
    g_string_append(md, "\n| Parameter | Unit | Default | Values | Acts | Available |\n"
                        "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        const char *unit = info->doc_unit ? info->doc_unit : info->unit ? info->unit + 1 : "";
        g_autofree char *range = range_text(info);
        g_autofree char *def = default_text(info);

        const char *why = info->missing ? info->missing : info->missing_value;
        const char *has = info->missing ? "no: " : why ? "yes, but for the last: " : "yes";

        g_string_append_printf(md, "| `%s` | %s | %s | %s | %s | %s%s |\n", info->name, unit, def,
                               range, info->live ? "at once" : "from the next migration on", has,
                               why ? why : "");
    }
}

char *migration_options_markdown(void)
{
    GString *md = g_string_new(NULL);

    capabilities(md);
    rules(md);
    parameters(md);
    return g_string_free(md, FALSE);
}
