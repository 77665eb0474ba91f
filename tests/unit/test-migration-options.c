/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/settings/options: the tables, QEMU's texts, nothing changed on error, the documentation. */
#include <stdio.h>
#include <string.h>
#include "config-host.h"
#include "migration/settings/options-table.h"
#include "migration/settings/options.h"
#include "qapi/qapi-visit.h"
#include "util/error.h"

static bool set_caps(MigrationOptions *o, const char *text, GError **errp)
{
    MigrationCapabilityStatusList *list = NULL;
    g_auto(GStrv) words = g_strsplit(text, " ", 0);

    for (char **w = words; *w; w++) {
        MigrationCapabilityStatusList *node = g_new0(MigrationCapabilityStatusList, 1);
        node->value = g_new0(MigrationCapabilityStatus, 1);
        node->value->state = (*w)[0] == '+';
        int cap = MigrationCapability_parse(*w + 1, NULL);
        g_assert_cmpint(cap, >=, 0);
        node->value->capability = cap;
        node->next = list;
        list = node;
    }
    bool ok = migration_options_set_capabilities(o, list, errp);
    qapi_free_MigrationCapabilityStatusList(list);
    return ok;
}

static void caps_fail(MigrationOptions *o, const char *text, const char *message)
{
    g_autoptr(GError) err = NULL;
    MigrationCaps before = migration_options_caps(o);

    g_assert_false(set_caps(o, text, &err));
    g_assert_cmpstr(err->message, ==, message);
    g_assert_cmphex(migration_options_caps(o), ==, before);
}

#define MIB ": MiB per second are expected, or a number with its suffix, such as 800k or 2G"

static void param_fail(MigrationOptions *o, const char *name, const char *value,
                       const char *message)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *before = migration_options_parameters_text(o);

    g_assert_false(migration_options_set_parameter_text(o, name, value, &err));
    g_assert_cmpstr(err->message, ==, message);
    g_autofree char *after = migration_options_parameters_text(o);
    g_assert_cmpstr(before, ==, after);
}

static void test_capabilities(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_7_2);

    g_assert_true(set_caps(o, "+xbzrle +events", NULL));
    g_assert_cmphex(migration_options_caps(o), ==, MIGRATION_CAP(XBZRLE) | MIGRATION_CAP(EVENTS));
    caps_fail(o, "+auto-converge +mapped-ram", "Mapped-ram migration is incompatible with xbzrle");
    caps_fail(o, "+fixed-ram -xbzrle +mapped-ram",
              "Fixed-ram migration is incompatible with mapped-ram");
    caps_fail(o, "+postcopy-preempt", "Postcopy preempt requires postcopy-ram");
    caps_fail(o, "+background-snapshot", "Background-snapshot is not compatible with xbzrle");
    caps_fail(o, "+postcopy-ram +mapped-ram -xbzrle",
              "Mapped-ram migration is incompatible with postcopy");
    caps_fail(o, "+postcopy-ram +multifd", "Postcopy is not yet compatible with multifd");
    /* One call may switch one off and the other on, in any order. */
    g_assert_true(set_caps(o, "+mapped-ram -xbzrle", NULL));
    migration_options_unref(o);
}

/* Whatever a client knows from QEMU can be set to off; every name that is not listed is refused when on. */
static void test_off_always(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_10_0);
    MigrationCapabilityStatusList *list = migration_options_query_capabilities(o);
    unsigned listed = 0;

    for (MigrationCapabilityStatusList *l = list; l; l = l->next) {
        listed |= 1u << l->value->capability;
        g_assert_false(l->value->state);
    }
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *off = g_strconcat("-", MigrationCapability_str(cap), NULL);
        g_autofree char *on = g_strconcat("+", MigrationCapability_str(cap), NULL);
        g_assert_true(set_caps(o, off, NULL));
        const char *needed = cap == MIGRATION_CAPABILITY_SWITCHOVER_ACK     ? "return-path"
                             : cap == MIGRATION_CAPABILITY_ZERO_COPY_SEND   ? "multifd"
                             : cap == MIGRATION_CAPABILITY_POSTCOPY_PREEMPT ? "postcopy-ram"
                             : cap == MIGRATION_CAPABILITY_X_INCREMENTAL    ? "mapped-ram" : NULL;
        g_autofree char *need = g_strconcat("+", needed, NULL);
        g_autofree char *need_not = g_strconcat("-", needed, NULL);
        if (needed) {
            g_assert_false(set_caps(o, on, NULL));
            g_assert_true(set_caps(o, need, NULL));
        }
        bool ok = set_caps(o, on, &err);
        g_assert_cmpint(ok, ==, (listed >> cap) & 1);
        g_assert_true(set_caps(o, off, NULL));
        if (needed) {
            g_assert_true(set_caps(o, need_not, NULL));
        }
    }
    /* What libvirt would use if it were listed. */
    g_assert_cmphex(listed & (MIGRATION_CAP(COMPRESS) | MIGRATION_CAP(RDMA_PIN_ALL) |
                              MIGRATION_CAP(DIRTY_BITMAPS)), ==, 0);
    qapi_free_MigrationCapabilityStatusList(list);
    migration_options_unref(o);
}

/* Each is accepted by QEMU; here they would do nothing, so they are not there. */
static void test_no_effect(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_10_0);
    g_autofree char *text = migration_options_capabilities_text(o);

    g_assert_null(strstr(text, "zero-blocks"));
    caps_fail(o, "+zero-blocks", "Capability 'zero-blocks' is not available: it is about disks in "
              "the stream, which QEMU removed in 9.1 and Ferry never had");
    caps_fail(o, "+late-block-activate", "Capability 'late-block-activate' is not available: disks "
              "are not locked, so there is nothing to activate late");
    migration_options_unref(o);
}

/* A cache larger than the host is refused when it is asked for, with the limit. */
static void test_absurd_cache(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_10_0);
    MigrationParameters p = { .has_xbzrle_cache_size = true, .xbzrle_cache_size = 1ULL << 62 };
    g_autoptr(GError) err = NULL;

    g_assert_false(migration_options_set_parameters(o, &p, &err));
    g_assert_true(g_str_has_prefix(err->message, "Parameter 'xbzrle_cache_size' expects at most "));
    g_assert_nonnull(strstr(err->message, ": 4398046511104 MiB were asked for"));
    g_assert_cmpuint(migration_options_params(o).xbzrle_cache_size, ==, 64 << 20);
    g_assert_false(migration_options_set_global(o, "xbzrle-cache-size", "1E", NULL));
    migration_options_unref(o);
}

static void test_parameter_texts(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_7_2);

    param_fail(o, "downtime-limit", "3000000",
               "Parameter 'downtime_limit' expects an integer in the range of 0 to (2000 * 1000) ms");
    param_fail(o, "cpu-throttle-initial", "0",
               "Parameter 'cpu_throttle_initial' expects an integer in the range of 1 to 99");
    param_fail(o, "max-cpu-throttle", "10",
               "Parameter 'max_cpu_throttle' expects an integer in the range of "
               "cpu_throttle_initial to 99");
    param_fail(o, "xbzrle-cache-size", "1000",
               "Parameter 'xbzrle_cache_size' expects a size no less than the target page size "
               "and no more than 2^63");
    param_fail(o, "xbzrle-cache-size", "-1",
               "Value '-1' is out of range for parameter 'xbzrle-cache-size'");
    param_fail(o, "xbzrle-cache-size", "9223372036854775808", "Invalid size 9223372036854775808");
    param_fail(o, "downtime-limit", "99999999999999999999",
               "Value '99999999999999999999' is out of range for parameter 'downtime-limit'");
    param_fail(o, "cpu-throttle-initial", "-1",
               "Parameter 'cpu-throttle-initial' expects uint8_t");
    param_fail(o, "cpu-throttle-initial", "99999999999999999999",
               "Parameter 'cpu-throttle-initial' expects uint64");
    param_fail(o, "compress-level", "10",
               "Parameter 'compress_level' expects a value between 0 and 9");
    param_fail(o, "multifd-channels", "300", "Parameter 'multifd-channels' expects uint8_t");
    param_fail(o, "multifd-channels", "0",
               "Parameter 'multifd_channels' expects a value between 1 and 255");
    param_fail(o, "multifd-zlib-level", "10",
               "Parameter 'multifd_zlib_level' expects a value between 0 and 9");
    param_fail(o, "multifd-zstd-level", "21",
               "Parameter 'multifd_zstd_level' expects a value between 0 and 20");
#ifndef CONFIG_ZSTD
    param_fail(o, "multifd-compression", "zstd", "Parameter 'multifd-compression' cannot be 'zstd': "
               "Ferry was built without libzstd");
#endif
    param_fail(o, "tls-creds", "tls0",
               "Parameter 'tls-creds' cannot be changed: TLS is not implemented yet");
    param_fail(o, "max-bandwidth", "-1", "Invalid size -1" MIB);
    param_fail(o, "max-bandwidth", "9999999999999999", "Invalid size 9999999999999999" MIB);
    param_fail(o, "cpu-throttle-tailslow", "maybe",
               "Parameter 'cpu-throttle-tailslow' expects 'on' or 'off'");
    param_fail(o, "bogus", "1", "invalid parameter value: bogus");
    param_fail(o, "zero-page-detection", "some", "invalid parameter value: some: expected none, legacy or multifd");
    param_fail(o, "downtime-limit", "x",
               "Parameter 'downtime-limit' expects an integer in the range of 0 to (2000 * 1000) ms, "
               "not 'x'");
    param_fail(o, "x-verdict-timeout", "1s",
               "Parameter 'x-verdict-timeout' expects a value between 0 and 3600000 ms, not '1s'");
    param_fail(o, "xbzrle-cache-size", "x",
               "Parameter 'xbzrle-cache-size' expects a non-negative number below 2^64\n"
               "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
               "and exabytes, respectively.");

    g_assert_true(migration_options_set_parameter_text(o, "max-bandwidth", "1", NULL));
    g_assert_cmpuint(migration_options_params(o).max_bandwidth, ==, 1 << 20);
    g_assert_true(migration_options_set_parameter_text(o, "max-bandwidth", "64k", NULL));
    g_assert_cmpuint(migration_options_params(o).max_bandwidth, ==, 64 << 10);
    g_assert_true(migration_options_set_parameter_text(o, "xbzrle-cache-size", "5000", NULL));
    g_assert_cmpuint(migration_options_params(o).xbzrle_cache_size, ==, 5000);
    g_assert_true(migration_options_set_parameter_text(o, "tls-creds", "", NULL));
    g_assert_true(migration_options_set_parameter_text(o, "multifd-channels", "2", NULL));
    migration_options_unref(o);
}

static void test_parameters_atomic(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_7_2);
    g_autoptr(GError) err = NULL;
    /* Together they are right although neither order of one by one is... */
    MigrationParameters p = { .has_cpu_throttle_initial = true, .cpu_throttle_initial = 60,
                              .has_max_cpu_throttle = true, .max_cpu_throttle = 70,
                              .tls_creds = (char *)"", .tls_hostname = (char *)"" };
    g_assert_true(migration_options_set_parameters(o, &p, &err));
    g_assert_no_error(err);
    /* ... and one wrong member leaves the good ones unset. */
    MigrationParameters q = { .has_max_bandwidth = true, .max_bandwidth = 1,
                              .has_downtime_limit = true, .downtime_limit = 2000001 };
    g_assert_false(migration_options_set_parameters(o, &q, &err));
    g_assert_cmpuint(migration_options_params(o).max_bandwidth, ==, 128 << 20);
    g_assert_cmpuint(migration_options_params(o).cpu_throttle_initial, ==, 60);
    migration_options_unref(o);
}

/* The table agrees with the schema's types: every member once, with the width that the schema says. */
static void test_table_matches_schema(void)
{
    static const int kinds[] = {
        [PARAM_BOOL] = QAPI_KIND_BOOL,   [PARAM_U8] = QAPI_KIND_UINT8,
        [PARAM_U32] = QAPI_KIND_UINT32,  [PARAM_U64] = QAPI_KIND_UINT64,
        [PARAM_SIZE] = QAPI_KIND_SIZE,   [PARAM_ENUM] = QAPI_KIND_ENUM,
        [PARAM_STR] = QAPI_KIND_STR,
    };
    const QapiType *type = &qapi_type_MigrationParameters;

    g_assert_cmpuint(type->n_members, ==, migration_parameter_count);
    for (size_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];
        size_t j = 0;
        while (j < migration_parameter_count && strcmp(migration_parameter_table[j].name, m->name)) {
            j++;
        }
        g_assert_cmpuint(j, <, migration_parameter_count);
        const MigrationParameterInfo *info = &migration_parameter_table[j];
        g_assert_cmpuint(info->offset, ==, m->offset);
        if (info->type != PARAM_STR) {
            g_assert_cmpuint(info->has_offset, ==, m->has_offset);
        }
        int want = kinds[info->type];
        g_assert_true((int)m->type->kind == want ||
                      (info->type == PARAM_U64 && m->type->kind == QAPI_KIND_SIZE));
    }
}

static void test_query_lists_what_can_be_set(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_7_2);
    g_autoptr(GError) err = NULL;
    MigrationParameters *p = migration_options_query_parameters(o);

    g_assert_true(p->has_max_bandwidth && p->has_downtime_limit && p->has_xbzrle_cache_size);
    g_assert_true(p->has_multifd_channels);
    g_assert_false(p->has_compress_level || p->tls_creds);
    /* libvirt gives back all it was told. */
    g_assert_true(migration_options_set_parameters(o, p, &err));
    g_assert_no_error(err);
    qapi_free_MigrationParameters(p);
    migration_options_unref(o);
}

static void test_globals(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_10_0);
    g_autoptr(GError) err = NULL;

    g_assert_true(migration_options_props(o)->send_switchover_start);
    g_assert_true(migration_options_set_global(o, "send-switchover-start", "off", NULL));
    g_assert_false(migration_options_props(o)->send_switchover_start);
    g_assert_true(migration_options_set_global(o, "x-xbzrle", "on", NULL));
    g_assert_cmphex(migration_options_caps(o), ==, MIGRATION_CAP(XBZRLE));
    g_assert_true(migration_options_set_global(o, "x-downtime-limit", "30", NULL));
    g_assert_cmpuint(migration_options_params(o).downtime_limit, ==, 30);
    g_assert_false(migration_options_set_global(o, "bogus", "1", &err));
    g_assert_cmpstr(err->message, ==, "can't apply global migration.bogus=1: "
                    "Property 'migration.bogus' not found");
    migration_options_unref(o);
}

/* What follows from the dialect follows another one, but for what was set. */
static void test_adopt(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_10_0);
    const MigrationProps *p = migration_options_props(o);

    g_assert_true(p->send_switchover_start && !p->multifd_flush_each_section);
    migration_options_adopt(o, DIALECT_QEMU_7_2);
    g_assert_true(!p->send_switchover_start && p->multifd_flush_each_section);
    g_assert_true(migration_options_set_global(o, "send-switchover-start", "off", NULL));
    g_assert_true(migration_options_set_global(o, "multifd-flush-after-each-section", "off", NULL));
    migration_options_adopt(o, DIALECT_QEMU_10_0);
    g_assert_true(!p->send_switchover_start && !p->multifd_flush_each_section);
    migration_options_adopt(o, DIALECT_QEMU_7_2);
    g_assert_false(p->multifd_flush_each_section);
    migration_options_unref(o);
}

static void test_hmp_text(void)
{
    MigrationOptions *o = migration_options_new(DIALECT_QEMU_7_2);
    g_autofree char *params = migration_options_parameters_text(o);
    g_autofree char *globals = migration_options_globals_text(o);

    g_assert_cmpstr(params, ==,
                    "announce-initial: 50 ms\nannounce-max: 550 ms\n"
                    "announce-rounds: 5\nannounce-step: 100 ms\n"
                    "throttle-trigger-threshold: 50\ncpu-throttle-initial: 20\n"
                    "cpu-throttle-increment: 10\ncpu-throttle-tailslow: off\n"
                    "max-cpu-throttle: 99\nmax-bandwidth: 134217728 bytes/second\n"
                    "avail-switchover-bandwidth: 0 bytes/second\ndowntime-limit: 300 ms\n"
                    "multifd-channels: 2\nmultifd-compression: none\n"
                    "multifd-zlib-level: 1\nmultifd-zstd-level: 1\n"
                    "zero-page-detection: legacy\nxbzrle-cache-size: 67108864 bytes\n"
                    "max-postcopy-bandwidth: 0\n"
                    "x-postcopy-precopy-count: 4294967295\n"
                    "x-postcopy-prefault-forward: 0 pages\n"
                    "x-postcopy-prefault-backward: 0 pages\n"
                    "x-postcopy-background: follow-fault\n"
                    "x-postcopy-engine: software\n"
                    "x-postcopy-silence-limit: 10000 ms\n"
                    "x-simd: auto\n"
                    "mode: normal\ndirect-io: off\nx-verdict-timeout: 30000 ms\n"
                    "x-file-sync: on\nx-file-in-place: off\n");
    g_assert_cmpstr(globals, ==,
                    "globals:\nstore-global-state: on\nonly-migratable: off\n"
                    "send-configuration: on\nsend-section-footer: on\n"
                    "decompress-error-check: on\nclear-bitmap-shift: 18\n");
    migration_options_unref(o);
}

/* Whoever adds a name to the schema is told what else it needs. */
static void test_every_capability_has_a_row(void)
{
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if (!migration_capability_table[cap].side) {
            g_test_message("capability '%s' has no row in options-table.c",
                           MigrationCapability_str(cap));
            g_test_fail();
        }
    }
}

static void test_documentation(void)
{
    const char *root = g_getenv("FERRY_SOURCE_ROOT");
#ifndef CONFIG_ZSTD
    if (g_getenv("CI")) {       /* there everything has to be there */
        g_test_message("this build is without libzstd (package libzstd-dev)");
        g_test_fail();
    } else {
        g_test_skip("the document is of a build with libzstd");
    }
    return;
#endif
    g_autofree char *want = migration_options_markdown();
    g_autofree char *path = NULL, *text = NULL;

    if (!root) {
        g_test_skip("FERRY_SOURCE_ROOT is not set");
        return;
    }
    path = g_build_filename(root, "docs", "system", "migration-options.md", NULL);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(want, "\n", 0);
    for (char **l = lines; *l; l++) {
        if (!strstr(text, *l)) {
            g_test_message("missing in migration-options.md: %s", *l);
            g_test_fail();
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--markdown")) {
        g_autofree char *md = migration_options_markdown();
        fputs(md, stdout);
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration-options/capabilities", test_capabilities);
    g_test_add_func("/migration-options/off-always", test_off_always);
    g_test_add_func("/migration-options/no-effect", test_no_effect);
    g_test_add_func("/migration-options/absurd-cache", test_absurd_cache);
    g_test_add_func("/migration-options/parameter-texts", test_parameter_texts);
    g_test_add_func("/migration-options/parameters-atomic", test_parameters_atomic);
    g_test_add_func("/migration-options/table-matches-schema", test_table_matches_schema);
    g_test_add_func("/migration-options/query", test_query_lists_what_can_be_set);
    g_test_add_func("/migration-options/globals", test_globals);
    g_test_add_func("/migration-options/adopt", test_adopt);
    g_test_add_func("/migration-options/hmp-text", test_hmp_text);
    g_test_add_func("/migration-options/capability-rows", test_every_capability_has_a_row);
    g_test_add_func("/migration-options/documentation", test_documentation);
    return g_test_run();
}
