/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of machine types and the host's setting of the alias "virt"; touches no machine. */
#include "softmmu/machine-types.h"

#include <string.h>
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "util/error.h"

#define DEFAULT_CONFIG_PATH "/etc/ferry/ferry.conf"

static const MachineType types[] = {
    { "virt-10.0", "virt", "RISC-V VirtIO board, migrates with QEMU 10.0", DIALECT_QEMU_10_0, 8,
      128ULL << 20, "riscv_virt_board.ram", "rv64" },
    { "virt-7.2", "virt", "RISC-V VirtIO board, migrates with QEMU 7.2", DIALECT_QEMU_7_2, 8,
      128ULL << 20, "riscv_virt_board.ram", "rv64" },
    { "none", "none", "empty machine", DIALECT_QEMU_10_0, 1, 0, "ram", NULL },
    { NULL },
};

const MachineType *machine_types(void)
{
    return types;
}

const MachineType *machine_type_find(const char *name)
{
    for (const MachineType *t = types; t->name; t++) {
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

const char *machine_config_path(void)
{
    const char *path = g_getenv("FERRY_CONFIG");

    return path && *path ? path : DEFAULT_CONFIG_PATH;
}

const MachineType *machine_type_alias(GError **errp)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) err = NULL;
    const char *path = machine_config_path();
    bool named = strcmp(path, DEFAULT_CONFIG_PATH) != 0;

    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &err)) {
        if (!named && g_error_matches(err, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            return &types[0];
        }
        error_setg(errp, "configuration file '%s': %s", path, err->message);
        return NULL;
    }
    g_autofree char *value = g_key_file_get_string(file, "machine", "virt", NULL);
    if (!value) {
        return &types[0];
    }
    const MachineType *type = machine_type_find(g_strstrip(value));
    if (!type || strcmp(type->wire_name, "virt") != 0) {
        error_setg(errp, "configuration file '%s': [machine] virt=%s: expected virt-10.0 or virt-7.2",
                   path, value);
        return NULL;
    }
    return type;
}

void machine_type_adopt(struct Machine *machine)
{
    MachineConfig *config = machine->config;
    int received = vmstate_received_dialect(machine->vmstate);

    if (!config || !config->machine_alias || received < 0) {
        return;
    }
    for (const MachineType *t = types; t->name; t++) {
        if (strcmp(t->wire_name, config->machine_name) == 0 && (int)t->dialect == received) {
            config->machine_version = t->name;
            config->dialect = t->dialect;
            vmstate_set_dialect(machine->vmstate, t->dialect);
            return;
        }
    }
}
