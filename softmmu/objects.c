/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The types of objects that -object and object-add make, and what each takes.
 * Here they are descriptions (Opts); what opens something for them is in
 * hw/core/objects.c. Called by the option's handler and the monitors.
 */
#include "softmmu/objects.h"

#include <string.h>
#include "hw/boards.h"
#include "softmmu/cmdline.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"
#include "util/near-name.h"

static const char *const secret_keys[] = { "qom-type", "id", "data", "file", "format", "keyid",
                                           "iv", NULL };
static const char *const rng_random_keys[] = { "qom-type", "id", "filename", NULL };
static const char *const plain_keys[] = { "qom-type", "id", NULL };

static const struct ObjectKind {
    const char *name;
    const char *const *keys;
    const char *required; /* or NULL */
} kinds[] = {
    { "memory-backend-file", memory_file_keys, "size" },
    { "memory-backend-memfd", memory_memfd_keys, "size" },
    { "memory-backend-ram", memory_ram_keys, "size" },
    { "rng-builtin", plain_keys, NULL },
    { "rng-random", rng_random_keys, NULL },
    { "secret", secret_keys, NULL },
};

static const struct ObjectKind *kind_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* Nothing here uses a secret; its data is not read, so that it may come from anywhere. */
static bool secret_check(Opts *opts, GError **errp)
{
    static const char *const formats[] = { "raw", "base64", NULL };
    bool data = opts_get(opts, "data"), file = opts_get(opts, "file");

    if (data == file) {
        error_setg(errp, data ? "'file' and 'data' are mutually exclusive"
                              : "Either 'file' or 'data' must be provided");
        return false;
    }
    return opts_value_in(opts, "format", formats, errp);
}

Opts *object_find(const GPtrArray *objects, const char *id)
{
    for (guint i = 0; i < objects->len; i++) {
        if (g_strcmp0(opts_get(objects->pdata[i], "id"), id) == 0) {
            return objects->pdata[i];
        }
    }
    return NULL;
}

bool object_check(const GPtrArray *objects, Opts *opts, GError **errp)
{
    const char *type_name = opts_get(opts, "qom-type"), *id = opts_get(opts, "id");
    const struct ObjectKind *type = type_name ? kind_find(type_name) : NULL;

    if (!type_name) {
        error_setg(errp, "Parameter 'qom-type' is missing");
        return false;
    }
    if (!type) {
        g_autofree char *hint = near_hint(&kinds[0].name, sizeof(kinds[0]), G_N_ELEMENTS(kinds),
                                          type_name);
        error_setg(errp, "Parameter 'qom-type' does not accept value '%s'%s", type_name, hint);
        return false;
    }
    if (!id) {
        error_setg(errp, "Parameter 'id' is missing");
        return false;
    }
    if (!id_wellformed(id)) {
        error_setg(errp, "Parameter 'id' expects an identifier");
        return false;
    }
    if (object_find(objects, id)) {
        error_setg(errp, "attempt to add duplicate property '%s' to object (type 'container')", id);
        return false;
    }
    if (type->required && !opts_get(opts, type->required)) {
        error_setg(errp, "Parameter '%s' is missing", type->required);
        return false;
    }
    if (!strcmp(type_name, "secret") && !secret_check(opts, errp)) {
        return false;
    }
    return (!g_str_has_prefix(type_name, "memory-backend-") || memory_backend_check(opts, errp)) &&
           opts_only_keys(opts, type->keys, errp);
}

void object_types_help(GString *out)
{
    g_string_append(out, "List of user creatable objects:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_string_append_printf(out, "  %s\n", kinds[i].name);
    }
}

bool object_add(Machine *machine, Opts *opts, GError **errp)
{
    GPtrArray *objects = machine->config->objects;

    if (!object_check(objects, opts, errp) || !board_object_add(machine->board, opts, errp)) {
        opts_free(opts);
        return false;
    }
    g_ptr_array_add(objects, opts);
    return true;
}

bool object_del(Machine *machine, const char *id, GError **errp)
{
    GPtrArray *objects = machine->config->objects;
    Opts *object = object_find(objects, id);

    if (!object) {
        error_setg(errp, "object '%s' not found", id);
        return false;
    }
    if (!board_object_del(machine->board, object, errp)) {
        return false;
    }
    g_ptr_array_remove(objects, object);
    return true;
}
