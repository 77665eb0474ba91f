/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/settings/settings.c: what a migration goes by, and what of it follows the options. */
#include <string.h>
#include "migration/settings/options-table.h"
#include "migration/settings/settings.h"

/* A value that is not the default, within bounds. */
static uint64_t another(const MigrationParameterInfo *info)
{
    return info->def > info->min ? info->def - 1 : info->def + 1;
}

static MigrationSettings *take(MigrationOptions **o)
{
    *o = migration_options_new(DIALECT_QEMU_10_0);
    return migration_settings_take(*o);
}

/* Each parameter that can be set: what a running migration sees of it is what the table says. */
static void test_live(void)
{
    unsigned live = 0, constant = 0;

    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        MigrationOptions *o;
        MigrationSettings *s = take(&o);
        MigrationParameters p = { 0 }, seen = migration_settings_params(s);
        uint64_t before = migration_param_get(&seen, info);

        if (!info->missing && info->type != PARAM_STR) {
            migration_param_set(&p, info, another(info));
            g_assert_true(migration_options_set_parameters(o, &p, NULL));
            seen = migration_settings_params(s);
            g_assert_cmpuint(migration_param_get(&seen, info), ==,
                             info->live ? another(info) : before);
            live += info->live;
            constant += !info->live;
        }
        g_assert_false(info->live && info->type == PARAM_STR);
        migration_settings_unref(s);
        migration_options_unref(o);
    }
    g_assert_cmpuint(live, >=, 10);
    g_assert_cmpuint(constant, >=, 1);
}

static void test_constant(void)
{
    MigrationOptions *o;
    MigrationSettings *s = take(&o);
    MigrationCapabilityStatus status = { .capability = MIGRATION_CAPABILITY_XBZRLE, .state = true };
    MigrationCapabilityStatusList list = { .value = &status };

    g_assert_true(migration_options_set_capabilities(o, &list, NULL));
    g_assert_true(migration_options_set_global(o, "send-configuration", "off", NULL));
    g_assert_cmpuint(migration_settings_caps(s), ==, 0);
    g_assert_true(migration_settings_props(s)->send_configuration);
    MigrationSettings *next = migration_settings_take(o);
    g_assert_cmpuint(migration_settings_caps(next), ==, MIGRATION_CAP(XBZRLE));
    g_assert_false(migration_settings_props(next)->send_configuration);
    migration_settings_unref(next);
    migration_settings_unref(s);
    migration_options_unref(o);
}

/* Whoever counts it has it whole, also when the options are gone. */
static void test_counted(void)
{
    MigrationOptions *o;
    MigrationSettings *s = take(&o);

    migration_options_unref(o);
    MigrationSettings *again = migration_settings_ref(s);
    migration_settings_unref(s);
    MigrationParameters p = migration_settings_params(again);
    g_assert_cmpuint(p.downtime_limit, ==, 300);
    g_assert_cmpstr(p.tls_hostname, ==, "");
    migration_settings_unref(again);
    migration_settings_unref(NULL);
}

/* A text is the settings' own: what was copied from may change or go. */
static void test_strings(void)
{
    const MigrationParameterInfo *info = migration_param_find("tls-hostname");
    MigrationParameters from = { 0 }, to = { 0 };

    migration_param_set_str(&from, info, "one");
    migration_params_copy(&to, &from);
    migration_param_set_str(&from, info, "two");
    g_assert_cmpstr(migration_param_str(&to, info), ==, "one");
    migration_params_clear(&from);
    g_assert_cmpstr(migration_param_str(&to, info), ==, "one");
    g_assert_false(migration_param_present(&from, info));
    migration_params_clear(&to);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/settings/live", test_live);
    g_test_add_func("/settings/constant", test_constant);
    g_test_add_func("/settings/counted", test_counted);
    g_test_add_func("/settings/strings", test_strings);
    return g_test_run();
}
