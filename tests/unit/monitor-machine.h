/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine without RAM, CPUs and devices, but with everything that monitors need. For tests and fuzz targets of monitor/. */
#ifndef TESTS_MONITOR_MACHINE_H
#define TESTS_MONITOR_MACHINE_H

#include <glib/gstdio.h>

#include "chardev/char.h"
#include "migration/migration.h"
#include "monitor/monitor.h"
#include "softmmu/config.h"
#include "softmmu/machine.h"
#include "softmmu/runstate.h"

typedef struct Fixture {
    Machine m;
    MachineConfig config;
    char *dir;
} Fixture;

static inline void monitor_machine_setup(Fixture *f, gconstpointer data)
{
    (void)data;
    f->dir = g_dir_make_tmp("ferry-monitor-XXXXXX", NULL);
    f->config.machine_name = "none";
    f->config.name = (char *)"guest,1";
    f->config.objects = g_ptr_array_new();
    Machine *m = &f->m;
    machine_core_init(m, &f->config);
    bql_lock(m->loop);
    m->fds = fdsets_new();
    m->chardevs = chardevs_new(m);
    m->monitors = monitors_new(m);
    m->migration = migration_new(m);
}

static inline void monitor_machine_teardown(Fixture *f, gconstpointer data)
{
    (void)data;
    Machine *m = &f->m;
    migration_free(m->migration);
    monitors_free(m->monitors);
    m->monitors = NULL;
    chardevs_free(m->chardevs);
    fdsets_free(m->fds);
    bql_unlock(m->loop);
    machine_core_clear(m);
    g_ptr_array_free(f->config.objects, TRUE);
    g_rmdir(f->dir);
    g_free(f->dir);
}

#endif
