/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine without vCPUs and devices: RAM, dirty log, clock, run state,
 * migration, and a log of the events it emits. For tests and fuzz targets of
 * whole migrations inside one process. Nobody runs its main loop; callers
 * take the BQL with tiny_lock where an interface asks for it.
 */
#ifndef TESTS_TINY_MACHINE_H
#define TESTS_TINY_MACHINE_H

#include "migration/migration-private.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"

typedef struct TinyMachine {
    Machine machine;
    MachineConfig config;
    GMutex lock;
    GString *events;    /* protected by lock: "STOP MIGRATION:setup PASS:1 ..." */
} TinyMachine;

/** name is the machine's wire name; pages of the blocks "ram" and (if not 0) "rom". */
TinyMachine *tiny_machine_new(const char *name, StreamDialect dialect, uint64_t ram_pages,
                              uint64_t rom_pages);
void tiny_machine_free(TinyMachine *t);
void tiny_lock(TinyMachine *t);
void tiny_unlock(TinyMachine *t);
/** Writes as a device would: content, then the dirty mark. */
void tiny_write(TinyMachine *t, const char *block, uint64_t offset, const void *buf, size_t len);
/** What a migration with these capabilities, and no other, goes by. Caller unrefs. */
MigrationSettings *tiny_settings(TinyMachine *t, MigrationCaps caps);
/** All events so far; caller frees. */
char *tiny_events(TinyMachine *t);

#endif
