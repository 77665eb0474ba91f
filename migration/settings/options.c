/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of migration: everything that follows from the tables of
 * options-table.c. Called by the monitor commands (main thread) and read by
 * the migration threads; never starts or changes a migration.
 */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "migration/codec/simd.h"
#include "migration/settings/options.h"
#include "migration/settings/options-table.h"
#include "util/checksum.h"
#include "util/error.h"
#include "util/opts.h"

struct MigrationOptions {
    /* set while the machine is built */
    StreamDialect dialect;
    MigrationProps props;
    uint32_t props_given;       /* bit i: prop_table[i] was set */
    GMutex lock;
    /* protected by lock */
    MigrationCaps caps;
    MigrationParameters params; /* all has_ set; strings are owned */
};

/* ---- capabilities ---- */

/* Why it cannot be switched on; NULL if it can. A name that the schema has and the table has not cannot. */
static const char *capability_missing(MigrationCapability cap)
{
    const MigrationCapabilityInfo *info = &migration_capability_table[cap];

    if (cap == MIGRATION_CAPABILITY_X_RAM_CHECKSUM && !checksum_available()) {
        return "this program was built without libxxhash";
    }
    return info->side ? info->missing : "options-table.c has no row for it";
}

bool migration_capability_available(MigrationCapability cap)
{
    return cap < MIGRATION_CAPABILITY__MAX && !capability_missing(cap);
}

RamLayout migration_caps_layout(MigrationCaps caps)
{
    return caps & MIGRATION_CAP(MAPPED_RAM) ? RAM_LAYOUT_MAPPED
           : caps & MIGRATION_CAP(FIXED_RAM) ? RAM_LAYOUT_FIXED : RAM_LAYOUT_STREAM;
}

static bool check_rules(MigrationCaps caps, GError **errp)
{
    MigrationCapabilityRule rule;

    for (size_t i = 0; i < migration_capability_rule(i, &rule); i++) {
        bool other = caps & (UINT64_C(1) << rule.other);
        if ((caps & (UINT64_C(1) << rule.cap)) && other != rule.needs) {
            g_autofree char *text = NULL;
            char **parts = g_strsplit(rule.text, "%s", 2);
            text = g_strjoinv(MigrationCapability_str(rule.other), parts);
            g_strfreev(parts);
            error_setg(errp, "%s", text);
            return false;
        }
    }
    return true;
}

/* What is compressed is not the guest's memory any more. */
static bool check_zero_copy(MigrationCaps caps, const MigrationParameters *p, GError **errp)
{
    if (caps & MIGRATION_CAP(ZERO_COPY_SEND) &&
        p->multifd_compression != MULTI_FD_COMPRESSION_NONE) {
        error_setg(errp, "Zero copy only available for non-compressed non-TLS multifd migration");
        return false;
    }
    return true;
}

static bool check_available(MigrationCaps caps, GError **errp)
{
    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if ((caps & (UINT64_C(1) << cap)) && !migration_capability_available(cap)) {
            error_setg(errp, "Capability '%s' is not available: %s", MigrationCapability_str(cap),
                       capability_missing(cap));
            return false;
        }
    }
    return true;
}

bool migration_options_set_capabilities(MigrationOptions *o,
                                        const MigrationCapabilityStatusList *list, GError **errp)
{
    g_mutex_lock(&o->lock);
    MigrationCaps caps = o->caps;
    for (const MigrationCapabilityStatusList *l = list; l; l = l->next) {
        MigrationCaps bit = UINT64_C(1) << l->value->capability;
        caps = l->value->state ? caps | bit : caps & ~bit;
    }
    bool ok = check_rules(caps, errp) && check_available(caps, errp) &&
              check_zero_copy(caps, &o->params, errp);
    if (ok) {
        o->caps = caps;
    }
    g_mutex_unlock(&o->lock);
    return ok;
}

MigrationCaps migration_options_caps(MigrationOptions *o)
{
    g_mutex_lock(&o->lock);
    MigrationCaps caps = o->caps;
    g_mutex_unlock(&o->lock);
    return caps;
}

MigrationCapabilityStatusList *migration_options_query_capabilities(MigrationOptions *o)
{
    MigrationCaps caps = migration_options_caps(o);
    MigrationCapabilityStatusList *head = NULL, **tail = &head;

    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if (migration_capability_available(cap)) {
            *tail = g_new0(MigrationCapabilityStatusList, 1);
            (*tail)->value = g_new0(MigrationCapabilityStatus, 1);
            (*tail)->value->capability = cap;
            (*tail)->value->state = caps & (UINT64_C(1) << cap);
            tail = &(*tail)->next;
        }
    }
    return head;
}

/* ---- parameters ---- */

/* QEMU's range errors spell names with underscores. */
static void param_expects(const MigrationParameterInfo *info, GError **errp)
{
    g_autofree char *name = g_strdelimit(g_strdup(info->name), "-", '_');
    error_setg(errp, "Parameter '%s' expects %s", name, info->expects);
}

/* A parameter of something Ferry does not have may only be set to what it is. */
static bool param_check(const MigrationParameters *p, const MigrationParameterInfo *info,
                        GError **errp)
{
    bool changed;

    if (info->type == PARAM_STR) {
        changed = *migration_param_str(p, info) != 0;
    } else {
        uint64_t value = migration_param_get(p, info);
        if (value < info->min || value > info->max) {
            param_expects(info, errp);
            return false;
        }
        changed = value != info->def;
        if (info->missing_value && value == info->max) {
            error_setg(errp, "Parameter '%s' cannot be '%s': %s", info->name,
                       info->str(info->max), info->missing_value);
            return false;
        }
    }
    if (changed && info->missing) {
        error_setg(errp, "Parameter '%s' cannot be changed: %s", info->name, info->missing);
        return false;
    }
    return true;
}

/* The most memory that this process can have. */
static uint64_t memory_limit(void)
{
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct rlimit space;

    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        bytes = MIN(bytes, (uint64_t)space.rlim_cur);
    }
    return bytes;
}

/* A cache that cannot be had would be found out by a migration that has begun. */
static bool check_cache_size(uint64_t bytes, GError **errp)
{
    uint64_t limit = memory_limit();

    if (bytes <= limit) {
        return true;
    }
    error_setg(errp, "Parameter 'xbzrle_cache_size' expects at most %" PRIu64 " MiB, the memory of "
               "this host: %" PRIu64 " MiB were asked for", limit >> 20, bytes >> 20);
    return false;
}

/* What p changes, applied to cur; then the whole is checked. */
static bool params_merge(MigrationParameters *cur, const MigrationParameters *p, GError **errp)
{
    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        if (migration_param_present(p, info)) {
            if (!param_check(p, info, errp)) {
                return false;
            }
            if (info->type == PARAM_STR) {
                migration_param_set_str(cur, info, migration_param_str(p, info));
            } else {
                migration_param_set(cur, info, migration_param_get(p, info));
            }
        }
    }
    if (cur->max_cpu_throttle < cur->cpu_throttle_initial) {
        param_expects(migration_param_find("max-cpu-throttle"), errp);
        return false;
    }
    return (!p->has_xbzrle_cache_size || check_cache_size(p->xbzrle_cache_size, errp)) &&
           (!p->has_x_simd || ram_simd_find(XSimd_str(p->x_simd), errp));
}

bool migration_options_set_parameters(MigrationOptions *o, const MigrationParameters *p,
                                      GError **errp)
{
    MigrationParameters next;

    g_mutex_lock(&o->lock);
    migration_params_copy(&next, &o->params);
    bool ok = params_merge(&next, p, errp) && check_zero_copy(o->caps, &next, errp);
    if (ok) {
        migration_params_clear(&o->params);
        o->params = next;
    } else {
        migration_params_clear(&next);
    }
    g_mutex_unlock(&o->lock);
    return ok;
}

MigrationParameters migration_options_params(MigrationOptions *o)
{
    g_mutex_lock(&o->lock);
    MigrationParameters p = o->params;
    g_mutex_unlock(&o->lock);
    return p;
}

MigrationParameters *migration_options_query_parameters(MigrationOptions *o)
{
    MigrationParameters now = migration_options_params(o);
    MigrationParameters *out = g_new0(MigrationParameters, 1);

    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        if (!info->missing && info->type == PARAM_STR) {
            migration_param_set_str(out, info, migration_param_str(&now, info));
        } else if (!info->missing) {
            migration_param_set(out, info, migration_param_get(&now, info));
        }
    }
    return out;
}

/* ---- texts ---- */

static bool is_integer(const char *text)
{
    const char *digits = text + (*text == '-');

    return *digits && digits[strspn(digits, "0123456789")] == '\0';
}

/* A text that is no number below 2^64: too large, negative or none at all. */
static void not_a_number(const MigrationParameterInfo *info, const char *text, GError **errp)
{
    const char *type = info->type == PARAM_U8 ? "uint8_t" : "uint32_t";

    if (!is_integer(text) && info->type != PARAM_SIZE && info->expects) {
        error_setg(errp, "Parameter '%s' expects %s%s, not '%s'", info->name, info->expects,
                   info->unit && !strstr(info->expects, info->unit) ? info->unit : "", text);
    } else if (!is_integer(text)) {
        error_setg(errp, "Parameter '%s' expects a non-negative number below 2^64\n"
                   "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                   "and exabytes, respectively.", info->name);
    } else if (info->type == PARAM_U8 || info->type == PARAM_U32) {
        error_setg(errp, "Parameter '%s' expects %s", info->name, *text == '-' ? type : "uint64");
    } else {
        error_setg(errp, "Value '%s' is out of range for parameter '%s'", text, info->name);
    }
}

static bool number_from_text(const MigrationParameterInfo *info, const char *text, uint64_t *out,
                             GError **errp)
{
    if (info->hmp_unit) {
        if (!parse_size(text, info->hmp_unit, out)) {
            error_setg(errp, "Invalid size %s: MiB per second are expected, or a number with its suffix, "
                       "such as 800k or 2G", text);
            return false;
        }
        return true;
    }
    if (!parse_size(text, 1, out)) {
        not_a_number(info, text, errp);
        return false;
    }
    if (info->type == PARAM_SIZE && *out > INT64_MAX) {
        error_setg(errp, "Invalid size %s", text);
        return false;
    }
    uint64_t max = info->type == PARAM_U8 ? UINT8_MAX
                   : info->type == PARAM_U32 ? UINT32_MAX : UINT64_MAX;
    if (*out > max) {
        error_setg(errp, "Parameter '%s' expects %s", info->name,
                   info->type == PARAM_U8 ? "uint8_t" : "uint32_t");
        return false;
    }
    return true;
}

static bool param_from_text(MigrationParameters *p, const MigrationParameterInfo *info,
                            const char *text, GError **errp)
{
    uint64_t value = 0;
    bool on;
    int choice;

    switch (info->type) {
    case PARAM_STR:
        migration_param_set_str(p, info, text);
        return true;
    case PARAM_BOOL:
        if (!parse_bool(text, &on)) {
            error_setg(errp, "Parameter '%s' expects 'on' or 'off'", info->name);
            return false;
        }
        value = on;
        break;
    case PARAM_ENUM:
        choice = info->parse(text, errp);
        if (choice < 0) {
            return false;
        }
        value = choice;
        break;
    default:
        if (!number_from_text(info, text, &value, errp)) {
            return false;
        }
    }
    migration_param_set(p, info, value);
    return true;
}

bool migration_options_set_parameter_text(MigrationOptions *o, const char *name,
                                          const char *value, GError **errp)
{
    const MigrationParameterInfo *info = migration_param_find(name);
    MigrationParameters p = { 0 };

    if (!info) {
        error_setg(errp, "invalid parameter value: %s", name);
        return false;
    }
    bool ok = param_from_text(&p, info, value, errp) &&
              migration_options_set_parameters(o, &p, errp);
    migration_params_clear(&p);
    return ok;
}

static const struct {
    const char *name;
    size_t offset;
} prop_table[] = {
    { "store-global-state", offsetof(MigrationProps, store_global_state) },
    { "only-migratable", offsetof(MigrationProps, only_migratable) },
    { "send-configuration", offsetof(MigrationProps, send_configuration) },
    { "send-section-footer", offsetof(MigrationProps, send_section_footer) },
    { "send-switchover-start", offsetof(MigrationProps, send_switchover_start) },
    { "multifd-flush-after-each-section", offsetof(MigrationProps, multifd_flush_each_section) },
    { "decompress-error-check", offsetof(MigrationProps, decompress_error_check) },
    { "x-xbzrle-bulk-rule", offsetof(MigrationProps, xbzrle_bulk_rule) },
    { "suppress-vmdesc", offsetof(MigrationProps, suppress_vmdesc) },
};

G_STATIC_ASSERT(G_N_ELEMENTS(prop_table) <= 32);

/* Unless it was set. */
static void default_prop(MigrationOptions *o, const char *name, bool value)
{
    for (size_t i = 0; i < G_N_ELEMENTS(prop_table); i++) {
        if (!strcmp(prop_table[i].name, name) && !(o->props_given >> i & 1)) {
            *(bool *)((char *)&o->props + prop_table[i].offset) = value;
        }
    }
}

void migration_options_adopt(MigrationOptions *o, StreamDialect dialect)
{
    o->dialect = dialect;
    default_prop(o, "send-switchover-start", dialect == DIALECT_QEMU_10_0);
    default_prop(o, "multifd-flush-after-each-section", dialect == DIALECT_QEMU_7_2);
}

static bool set_prop(MigrationOptions *o, const char *name, const char *value, bool *found,
                     GError **errp)
{
    *found = true;
    for (size_t i = 0; i < G_N_ELEMENTS(prop_table); i++) {
        if (!strcmp(prop_table[i].name, name)) {
            bool *prop = (bool *)((char *)&o->props + prop_table[i].offset);
            if (!parse_bool(value, prop)) {
                error_setg(errp, "Parameter '%s' expects 'on' or 'off'", name);
                return false;
            }
            o->props_given |= UINT32_C(1) << i;
            return true;
        }
    }
    if (!strcmp(name, "x-clear-bitmap-shift")) {
        uint64_t shift;
        if (!parse_u64(value, &shift) || shift > UINT8_MAX) {
            error_setg(errp, "Parameter '%s' expects uint8_t", name);
            return false;
        }
        o->props.clear_bitmap_shift = CLAMP(shift, 6, 31);
        return true;
    }
    *found = false;
    return false;
}

bool migration_options_set_global(MigrationOptions *o, const char *name, const char *value,
                                  GError **errp)
{
    const char *plain = g_str_has_prefix(name, "x-") ? name + 2 : name;
    const char *param = migration_param_find(name) ? name : migration_param_find(plain) ? plain : NULL;
    bool found, on;
    bool ok = set_prop(o, name, value, &found, errp);

    if (found) {
        return ok;
    }
    if (param) {
        return migration_options_set_parameter_text(o, param, value, errp);
    }
    int cap = MigrationCapability_parse(name, NULL);
    cap = cap >= 0 ? cap : MigrationCapability_parse(plain, NULL);
    if (cap < 0) {
        error_setg(errp, "can't apply global migration.%s=%s: Property 'migration.%s' not found",
                   name, value, name);
        return false;
    }
    if (!parse_bool(value, &on)) {
        error_setg(errp, "Parameter '%s' expects 'on' or 'off'", name);
        return false;
    }
    MigrationCapabilityStatus status = { .capability = cap, .state = on };
    MigrationCapabilityStatusList list = { .value = &status };
    return migration_options_set_capabilities(o, &list, errp);
}

static const char *on_off(bool on)
{
    return on ? "on" : "off";
}

char *migration_options_capabilities_text(MigrationOptions *o)
{
    GString *text = g_string_new(NULL);
    MigrationCaps caps = migration_options_caps(o);

    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if (migration_capability_available(cap)) {
            g_string_append_printf(text, "%s: %s\n", MigrationCapability_str(cap),
                                   on_off(caps & (UINT64_C(1) << cap)));
        }
    }
    return g_string_free(text, FALSE);
}

char *migration_options_parameters_text(MigrationOptions *o)
{
    MigrationParameters now = migration_options_params(o);
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        uint64_t value = migration_param_get(&now, info);
        if (info->missing) {
            continue;
        }
        g_string_append_printf(text, "%s: ", info->name);
        if (info->type == PARAM_STR) {
            g_string_append_printf(text, "'%s'", migration_param_str(&now, info));
        } else if (info->type == PARAM_BOOL || info->type == PARAM_ENUM) {
            g_string_append(text, info->type == PARAM_BOOL ? on_off(value) : info->str(value));
        } else {
            g_string_append_printf(text, "%" PRIu64 "%s", value, info->unit ? info->unit : "");
        }
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

char *migration_options_globals_text(MigrationOptions *o)
{
    const MigrationProps *p = &o->props;

    bool d10 = o->dialect == DIALECT_QEMU_10_0;

    return g_strdup_printf("globals:\nstore-global-state: %s\nonly-migratable: %s\n"
                           "send-configuration: %s\nsend-section-footer: %s\n"
                           "%s: %s\nclear-bitmap-shift: %u\n",
                           on_off(p->store_global_state), on_off(p->only_migratable),
                           on_off(p->send_configuration), on_off(p->send_section_footer),
                           d10 ? "send-switchover-start" : "decompress-error-check",
                           on_off(d10 ? p->send_switchover_start : p->decompress_error_check),
                           p->clear_bitmap_shift);
}

const char **migration_capability_names(void)
{
    const char **names = g_new0(const char *, MIGRATION_CAPABILITY__MAX + 1);
    size_t n = 0;

    for (int cap = 0; cap < MIGRATION_CAPABILITY__MAX; cap++) {
        if (migration_capability_available(cap)) {
            names[n++] = MigrationCapability_str(cap);
        }
    }
    return names;
}

const char **migration_parameter_names(void)
{
    const char **names = g_new0(const char *, migration_parameter_count + 1);
    size_t n = 0;

    for (size_t i = 0; i < migration_parameter_count; i++) {
        if (!migration_parameter_table[i].missing) {
            names[n++] = migration_parameter_table[i].name;
        }
    }
    return names;
}

const MigrationProps *migration_options_props(const MigrationOptions *o)
{
    return &o->props;
}

MigrationCaps migration_options_copy(MigrationOptions *o, MigrationParameters *p)
{
    g_mutex_lock(&o->lock);
    MigrationCaps caps = o->caps;
    migration_params_copy(p, &o->params);
    g_mutex_unlock(&o->lock);
    return caps;
}

void migration_options_follow(MigrationOptions *o, MigrationParameters *p)
{
    g_mutex_lock(&o->lock);
    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        if (info->live) {
            migration_param_set(p, info, migration_param_get(&o->params, info));
        }
    }
    g_mutex_unlock(&o->lock);
}

MigrationOptions *migration_options_new(StreamDialect dialect)
{
    MigrationOptions *o = g_atomic_rc_box_new0(MigrationOptions);

    g_mutex_init(&o->lock);
    o->props = (MigrationProps){
        .store_global_state = true, .send_configuration = true, .send_section_footer = true,
        .decompress_error_check = true, .xbzrle_bulk_rule = true,
        .clear_bitmap_shift = 18,
    };
    migration_options_adopt(o, dialect);
    for (size_t i = 0; i < migration_parameter_count; i++) {
        const MigrationParameterInfo *info = &migration_parameter_table[i];
        if (info->type == PARAM_STR) {
            migration_param_set_str(&o->params, info, "");
        } else {
            migration_param_set(&o->params, info, info->def);
        }
    }
    if (dialect == DIALECT_QEMU_7_2) {
        o->params.zero_page_detection = ZERO_PAGE_DETECTION_LEGACY;
    }
    return o;
}

static void options_clear(void *opaque)
{
    MigrationOptions *o = opaque;

    migration_params_clear(&o->params);
    g_mutex_clear(&o->lock);
}

MigrationOptions *migration_options_ref(MigrationOptions *o)
{
    return g_atomic_rc_box_acquire(o);
}

void migration_options_unref(MigrationOptions *o)
{
    if (o) {
        g_atomic_rc_box_release_full(o, options_clear);
    }
}
