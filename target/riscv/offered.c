/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest was offered: the extensions it found when it booted and will
 * go on using wherever it is moved. The cpu section does not say (most are not
 * in misa), so a Ferry tells a Ferry in the description's "ferry" object, and
 * one whose CPU has less refuses by name instead of letting the guest die of
 * an illegal instruction. A guest that came from QEMU brought no such list:
 * then nothing is told until it boots again. Called by vmstate.c and at reset,
 * vCPUs paused, under the BQL.
 */
#include <json-c/json.h>
#include <string.h>
#include "target/riscv/cpu.h"
#include "target/riscv/offered.h"
#include "target/riscv/wire.h"
#include "util/error.h"

#define MEMBER "extensions"

/*
 * Those whose absence a guest would notice. Hints (zihintpause, zicbop, ...)
 * and names for what every version does (zicntr, svade, ...) are left out.
 */
static const struct {
    const char *name;
    size_t offset;
} noticed[] = {
    {"zba", offsetof(CPUModel, zba)},       {"zbb", offsetof(CPUModel, zbb)},
    {"zbc", offsetof(CPUModel, zbc)},       {"zbs", offsetof(CPUModel, zbs)},
    {"zicbom", offsetof(CPUModel, zicbom)}, {"zicboz", offsetof(CPUModel, zicboz)},
    {"zawrs", offsetof(CPUModel, zawrs)},   {"sstc", offsetof(CPUModel, sstc)},
    {"sv48", offsetof(CPUModel, sv48)},     {"sv57", offsetof(CPUModel, sv57)},
};

static bool model_has(const CPUModel *model, size_t i)
{
    return *(const bool *)((const char *)model + noticed[i].offset);
}

static bool model_offers(const CPUModel *model, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(noticed); i++) {
        if (strcmp(noticed[i].name, name) == 0) {
            return model_has(model, i);
        }
    }
    return false;
}

static void remember(RISCVCPU *cpu, char *names)
{
    g_free(cpu->wire->offered);
    cpu->wire->offered = names;
}

void riscv_offered_reset(RISCVCPU *cpu)
{
    GString *names = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(noticed); i++) {
        if (model_has(cpu->model, i)) {
            g_string_append_printf(names, "%s%s", names->len ? " " : "", noticed[i].name);
        }
    }
    remember(cpu, g_string_free(names, FALSE));
}

void riscv_offered_forget(RISCVCPU *cpu)
{
    remember(cpu, NULL);
}

void riscv_offered_put(void *opaque, struct json_object *obj)
{
    const RISCVCPU *cpu = opaque;

    if (cpu->wire->offered) {
        json_object_object_add(obj, MEMBER, json_object_new_string(cpu->wire->offered));
    }
}

bool riscv_offered_get(void *opaque, struct json_object *obj, GError **errp)
{
    RISCVCPU *cpu = opaque;
    struct json_object *value;

    if (!json_object_object_get_ex(obj, MEMBER, &value)) {
        return true;
    }
    if (!json_object_is_type(value, json_type_string)) {
        error_setg(errp, "'" MEMBER "' is not a string");
        return false;
    }
    g_auto(GStrv) names = g_strsplit(json_object_get_string(value), " ", -1);
    for (char **name = names; *name; name++) {
        if (**name && !model_offers(cpu->model, *name)) {
            error_setg(errp, "the guest was offered the CPU extension '%.32s', which this "
                       "machine's CPU does not have; use the same -M and -cpu on both sides",
                       *name);
            return false;
        }
    }
    remember(cpu, g_strdup(json_object_get_string(value)));
    return true;
}
