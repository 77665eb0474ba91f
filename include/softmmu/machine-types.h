/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine types of -machine: names, versions, limits, and what the alias
 * "virt" stands for on this host. For vl, query-machines and -machine help.
 */
#ifndef SOFTMMU_MACHINE_TYPES_H
#define SOFTMMU_MACHINE_TYPES_H

#include <glib.h>
#include <stdbool.h>
#include "migration/vmstate.h"

typedef struct MachineType {
    const char *name;           /* "virt-10.0" */
    const char *wire_name;      /* in the stream: "virt" */
    const char *desc;
    StreamDialect dialect;
    unsigned max_cpus;
    uint64_t default_ram_bytes;
    const char *default_ram_id; /* NULL: no RAM by default */
    const char *default_cpu;    /* NULL: no CPU unless -cpu is given */
} MachineType;

/** All of them, newest virt first; ends with name NULL. */
const MachineType *machine_types(void);
/** By its own name, or NULL; does not know the alias. */
const MachineType *machine_type_find(const char *name);
/** The configuration file: $FERRY_CONFIG, else /etc/ferry/ferry.conf. */
const char *machine_config_path(void);
/**
 * What "virt" stands for: [machine] virt=NAME of the configuration file, else
 * the newest. Reads the file each time; a file that is named by FERRY_CONFIG
 * must exist. Error: file, key and value.
 */
const MachineType *machine_type_alias(GError **errp);

struct Machine;
/**
 * A guest has come in: a machine that was asked for as just "virt" becomes
 * the version the guest came with, so that it can go back to where it came
 * from. One that was asked for by version stays (it may be a bridge). BQL.
 */
void machine_type_adopt(struct Machine *machine);

#endif
