/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See settings.h. Taken by migration.c for a source and by destination/incoming.c
 * when the peer has come; never changes an option.
 */
#include "migration/settings/settings.h"
#include "migration/codec/simd.h"
#include "migration/settings/options-table.h"

struct MigrationSettings {
    MigrationOptions *options;      /* of the live parameters, and nothing else */
    MigrationCaps caps;
    MigrationProps props;
    MigrationParameters params;     /* strings are owned */
};

MigrationSettings *migration_settings_take(MigrationOptions *options)
{
    MigrationSettings *s = g_atomic_rc_box_new0(MigrationSettings);

    s->options = migration_options_ref(options);
    s->props = *migration_options_props(options);
    s->caps = migration_options_copy(options, &s->params);
    return s;
}

static void settings_clear(void *opaque)
{
    MigrationSettings *s = opaque;

    migration_params_clear(&s->params);
    migration_options_unref(s->options);
}

MigrationSettings *migration_settings_ref(MigrationSettings *s)
{
    return g_atomic_rc_box_acquire(s);
}

void migration_settings_unref(MigrationSettings *s)
{
    if (s) {
        g_atomic_rc_box_release_full(s, settings_clear);
    }
}

MigrationCaps migration_settings_caps(const MigrationSettings *s)
{
    return s->caps;
}

const MigrationProps *migration_settings_props(const MigrationSettings *s)
{
    return &s->props;
}

MigrationParameters migration_settings_params(const MigrationSettings *s)
{
    MigrationParameters p = s->params;

    migration_options_follow(s->options, &p);
    return p;
}

RamLayout migration_settings_layout(const MigrationSettings *s)
{
    return migration_caps_layout(s->caps);
}

const RamSimd *migration_settings_simd(const MigrationSettings *s)
{
    /* A level that cannot be had was refused when it was set. */
    return ram_simd_find(XSimd_str(migration_settings_params(s).x_simd), NULL);
}
