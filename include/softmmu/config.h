/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line, parsed and checked for form; softmmu/vl.c fills it, the board and devices read it. */
#ifndef SOFTMMU_CONFIG_H
#define SOFTMMU_CONFIG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "migration/vmstate.h"
#include "util/opts.h"

typedef struct MachineConfig {
    const char *program;        /* argv[0] without its directory: starts every message */
    bool msg_timestamp;         /* -msg timestamp=on */
    bool msg_guest_name;        /* -msg guest-name=on */
    /* -M: wire name "none" or "virt" and which version (dialect) it stands for */
    const char *machine_name;
    StreamDialect dialect;
    const char *machine_version; /* "none", "virt-7.2", "virt-10.0": softmmu/machine-types.h */
    bool machine_alias;         /* -M virt: the version may still follow a guest that comes in */
    Opts *machine_opts;         /* what is left of -M NAME,... */
    bool aclint;                /* -M virt,aclint=on: described as ACLINT, with an SSWI */
    const char *accel;          /* "tcg" or "qtest"; NULL, in tests, is tcg */
    char *cpu_model;            /* -cpu text or NULL */
    unsigned smp;
    uint64_t ram_bytes;         /* -m; default 128 MiB for virt, 0 for none */
    char *ram_id;               /* memory-backend= object id, or NULL: board default */
    bool mem_prealloc;          /* -mem-prealloc: all of it is taken at the start */
    bool numa;                  /* the device tree names the one node */
    char *mem_path;             /* file to map RAM from, or NULL: memfd */
    char *name;                 /* -name guest=; NULL if none */
    bool uuid_set;
    uint8_t uuid[16];
    char *bios, *kernel, *initrd, *append, *dtb;
    GPtrArray *devices;         /* Opts*, implied key "driver", in order */
    GPtrArray *drives;          /* Opts* of -drive */
    GPtrArray *blockdevs;       /* Opts* of -blockdev (flattened JSON) */
    GPtrArray *netdevs;         /* Opts*, implied key "type" */
    GPtrArray *objects;         /* Opts*, implied key "qom-type" */
    GPtrArray *globals;         /* Opts*: keys driver, property, value */
    GPtrArray *serials;         /* char*: -serial texts */
    GPtrArray *data_dirs;       /* char*: -L, in order; where firmware is looked for first */
    Opts *rtc;                  /* -rtc or NULL */
    bool start_paused;          /* -S */
    bool only_migratable;       /* -only-migratable */
    bool no_reboot, no_shutdown;
    char *incoming;             /* -incoming text or NULL */
    bool spawn_denied;          /* -sandbox spawn=deny: a new process would be our end */
} MachineConfig;

#endif
