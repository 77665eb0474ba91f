/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "-cpu rv64,property=value,...": which properties exist, which of them we
 * have, and the ISA strings that tell the guest. Called once by cpus_new.
 */
#include "target/riscv/model.h"
#include "softmmu/cpus.h"
#include "target/riscv/bits.h"
#include "util/error.h"
#include "util/opts.h"

enum { DEFAULT_OFF = 0, DEFAULT_ON = 1, DEFAULT_ON_10 = 2 };    /* ON_10: only 10.0 has it */

typedef struct CPUProperty {
    const char *name;
    int offset;             /* bool in CPUModel; -1: we do not have the feature */
    int def;
    bool always;            /* cannot be switched off */
} CPUProperty;

#define HAVE(name, member, def) {name, offsetof(CPUModel, member), def, false}
#define LACK(name) {name, -1, DEFAULT_OFF, false}
#define FIXED(name) {name, -1, DEFAULT_ON, true}

/* QEMU 7.2's and 10.0's boolean properties of rv64. */
static const CPUProperty properties[] = {
    HAVE("sstc", sstc, DEFAULT_ON),
    HAVE("pmp", pmp, DEFAULT_ON),
    HAVE("mmu", mmu, DEFAULT_ON),
    HAVE("zba", zba, DEFAULT_ON),
    HAVE("zbb", zbb, DEFAULT_ON),
    HAVE("zbc", zbc, DEFAULT_ON),
    HAVE("zbs", zbs, DEFAULT_ON),
    HAVE("zicbom", zicbom, DEFAULT_ON_10),
    HAVE("zicbop", zicbop, DEFAULT_ON_10),
    HAVE("zicboz", zicboz, DEFAULT_ON_10),
    HAVE("zawrs", zawrs, DEFAULT_ON_10),
    HAVE("zihintntl", zihintntl, DEFAULT_ON_10),
    HAVE("svadu", svadu, DEFAULT_ON_10),
    HAVE("svade", svade, DEFAULT_OFF),
    HAVE("svvptc", svvptc, DEFAULT_ON_10),
    HAVE("sv48", sv48, DEFAULT_ON),
    HAVE("sv57", sv57, DEFAULT_ON),
    FIXED("i"),
    FIXED("m"),
    FIXED("a"),
    FIXED("f"),
    FIXED("d"),
    FIXED("c"),
    FIXED("g"),
    FIXED("s"),
    FIXED("u"),
    FIXED("Zifencei"),
    FIXED("Zicsr"),
    FIXED("zifencei"),
    FIXED("zicsr"),
    FIXED("Counters"),
    FIXED("zicntr"),
    FIXED("zihpm"),
    FIXED("zihintpause"),
    FIXED("sv39"),
    LACK("h"),
    LACK("v"),
    LACK("e"),
    LACK("debug"),
    LACK("zfa"),
    LACK("zfh"),
    LACK("zfhmin"),
    LACK("zfbfmin"),
    LACK("Zfh"),
    LACK("Zfhmin"),
    LACK("zfinx"),
    LACK("zdinx"),
    LACK("zhinx"),
    LACK("zhinxmin"),
    LACK("zve32f"),
    LACK("Zve32f"),
    LACK("Zve64f"),
    LACK("zve64f"),
    LACK("zve64d"),
    LACK("zvfh"),
    LACK("svinval"),
    LACK("svnapot"),
    LACK("svpbmt"),
    LACK("sscofpmf"),
    LACK("smstateen"),
    LACK("ssnpm"),
    LACK("smnpm"),
    LACK("smmpm"),
    LACK("smaia"),
    LACK("ssaia"),
    LACK("smepmp"),
    LACK("epmp"),
    LACK("x-epmp"),
    LACK("x-aia"),
    LACK("x-j"),
    LACK("zbkb"),
    LACK("zbkc"),
    LACK("zbkx"),
    LACK("zk"),
    LACK("zkn"),
    LACK("zknd"),
    LACK("zkne"),
    LACK("zknh"),
    LACK("zkr"),
    LACK("zks"),
    LACK("zksed"),
    LACK("zksh"),
    LACK("zkt"),
    LACK("zicond"),
    LACK("zacas"),
    LACK("zabha"),
    LACK("zama16b"),
    LACK("zcb"),
    LACK("zcmp"),
    LACK("zcmt"),
    LACK("zimop"),
    LACK("zcmop"),
    LACK("zmmul"),
    LACK("x-zmmul"),
    LACK("zicfilp"),
    LACK("zicfiss"),
};

static const CPUProperty *find_property(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++) {
        if (g_str_equal(properties[i].name, name)) {
            return &properties[i];
        }
    }
    return NULL;
}

static bool *member(CPUModel *m, const CPUProperty *p)
{
    return (bool *)((char *)m + p->offset);
}

static void set_defaults(CPUModel *m)
{
    bool ten = m->dialect == DIALECT_QEMU_10_0;

    for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++) {
        const CPUProperty *p = &properties[i];

        if (p->offset >= 0) {
            *member(m, p) = p->def == DEFAULT_ON || (p->def == DEFAULT_ON_10 && ten);
        }
    }
    m->pmu_mask = 0x7fff8;      /* 16 counters, as pmu-num=16 in 7.2 */
    m->resetvec = 0x1000;
}

static bool parse_onoff(const char *key, const char *value, bool *out, GError **errp)
{
    if (g_str_equal(value, "on") || g_str_equal(value, "true") || g_str_equal(value, "yes") ||
        g_str_equal(value, "y")) {
        *out = true;
    } else if (g_str_equal(value, "off") || g_str_equal(value, "false") ||
               g_str_equal(value, "no") || g_str_equal(value, "n")) {
        *out = false;
    } else {
        error_setg(errp, "Invalid parameter type for '%s', expected: boolean", key);
        return false;
    }
    return true;
}

/* Numbers. *known false: not one of these. */
static bool set_number(CPUModel *m, const char *key, const char *value, bool *known, GError **errp)
{
    uint64_t n = 0;
    char *end;
    bool is_num = g_str_equal(key, "pmu-num") || g_str_equal(key, "pmu-mask");

    *known = is_num || g_str_equal(key, "resetvec") || g_str_equal(key, "cbom_blocksize") ||
             g_str_equal(key, "cboz_blocksize") || g_str_equal(key, "cbop_blocksize");
    if (!*known) {
        return true;
    }
    n = g_ascii_strtoull(value, &end, 0);
    if (!g_ascii_isdigit(*value) || *end) {
        error_setg(errp, "Parameter '%s' expects a number", key);
        return false;
    }
    if (g_str_equal(key, "resetvec")) {
        m->resetvec = n;
    } else if (is_num) {
        uint64_t mask = g_str_equal(key, "pmu-mask") ? n : n > 29 ? UINT64_MAX : (1ULL << n) - 1;

        mask = g_str_equal(key, "pmu-mask") ? mask : mask << 3;
        if (mask & ~0xfffffff8ULL) {
            error_setg(errp, "Property 'rv64-riscv-cpu.%s' doesn't take value '%s'", key, value);
            return false;
        }
        m->pmu_mask = (uint32_t)mask;
    } else if (n != 64) {
        error_setg(errp, "rv64: %s=%s is not supported, only 64", key, value);
        return false;
    }
    return true;
}

static bool set_property(CPUModel *m, const char *key, const char *value, GError **errp)
{
    const CPUProperty *p;
    bool on, known;

    if (!set_number(m, key, value, &known, errp)) {
        return false;
    }
    if (known) {
        return true;
    }
    p = find_property(key);
    if (!p) {
        error_setg(errp, "Property 'rv64-riscv-cpu.%s' not found", key);
        return false;
    }
    if (!parse_onoff(key, value, &on, errp)) {
        return false;
    }
    if (p->always && !on) {
        error_setg(errp, "rv64: %s=off is not supported", key);
        return false;
    }
    if (p->offset < 0) {
        if (on && !p->always) {
            error_setg(errp, "rv64: %s=on is not supported", key);
            return false;
        }
        return true;
    }
    *member(m, p) = on;
    return true;
}

/* "key=value", "key", "+key", "-key": QEMU's forms. */
static bool set_from_text(CPUModel *m, const char *item, GError **errp)
{
    g_autofree char *key = NULL;
    const char *eq = strchr(item, '=');

    if (*item == '+' || *item == '-') {
        return set_property(m, item + 1, *item == '+' ? "on" : "off", errp);
    }
    if (!eq) {
        return set_property(m, item, "on", errp);
    }
    key = g_strndup(item, eq - item);
    return set_property(m, key, eq + 1, errp);
}

/* What the guest reads in the FDT, in the manual's order. */
static void build_isa(CPUModel *m)
{
    const struct {
        const char *name;
        bool on;
    } exts[] = {
        {"zicbom", m->zicbom},   {"zicbop", m->zicbop}, {"zicboz", m->zicboz},
        {"zicntr", m->dialect == DIALECT_QEMU_10_0},    {"zicsr", true},
        {"zifencei", true},      {"zihintntl", m->zihintntl},
        {"zihintpause", true},   {"zihpm", m->dialect == DIALECT_QEMU_10_0},
        {"zawrs", m->zawrs},     {"zba", m->zba},       {"zbb", m->zbb},
        {"zbc", m->zbc},         {"zbs", m->zbs},       {"sstc", m->sstc},
        {"svade", m->svade},     {"svadu", m->svadu},   {"svvptc", m->svvptc},
    };
    g_autoptr(GString) isa = g_string_new("rv64imafdc");
    GPtrArray *list = g_ptr_array_new();

    for (const char *c = "imafdc"; *c; c++) {
        g_ptr_array_add(list, g_strdup_printf("%c", *c));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(exts); i++) {
        if (exts[i].on) {
            g_string_append_printf(isa, "_%s", exts[i].name);
            g_ptr_array_add(list, g_strdup(exts[i].name));
        }
    }
    g_ptr_array_add(list, NULL);
    m->isa = g_strdup(isa->str);
    m->isa_extensions = (char **)g_ptr_array_free(list, FALSE);
}

CPUModel *cpu_model_parse(const char *text, StreamDialect dialect, GError **errp)
{
    g_auto(GStrv) items = g_strsplit(text && *text ? text : "rv64", ",", -1);
    CPUModel *m = g_new0(CPUModel, 1);

    m->dialect = dialect;
    set_defaults(m);
    if (!g_str_equal(items[0], "rv64") && !g_str_equal(items[0], "max")) {
        error_setg(errp, "unable to find CPU model '%s'", items[0]);
        goto fail;
    }
    for (char **item = items + 1; *item; item++) {
        if (!set_from_text(m, *item, errp)) {
            goto fail;
        }
    }
    m->sv48 = m->sv48 || m->sv57;
    m->misa_ext = MISA_LETTER('I') | MISA_LETTER('M') | MISA_LETTER('A') | MISA_LETTER('F') |
                  MISA_LETTER('D') | MISA_LETTER('C') | MISA_LETTER('S') | MISA_LETTER('U');
    /* 7.2's tree says sv48 although sv57 works (machine-virt 3.2) */
    m->mmu_type = !m->mmu ? NULL
                  : m->sv57 && dialect == DIALECT_QEMU_10_0 ? "riscv,sv57"
                  : m->sv48 ? "riscv,sv48" : "riscv,sv39";
    build_isa(m);
    return m;
fail:
    cpu_model_free(m);
    return NULL;
}

void cpu_model_free(CPUModel *model)
{
    if (model) {
        g_free(model->isa);
        g_strfreev(model->isa_extensions);
        g_free(model);
    }
}
