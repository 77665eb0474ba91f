/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Machine: the one context object that is handed in everywhere. Built by
 * softmmu/vl.c from the command line, owned by main(). Members are set once
 * while it is built, in this order, and freed in reverse.
 */
#ifndef SOFTMMU_MACHINE_H
#define SOFTMMU_MACHINE_H

#include "softmmu/clock.h"
#include "softmmu/cpus.h"
#include "softmmu/dirty-log.h"
#include "softmmu/faults.h"
#include "softmmu/guest-job.h"
#include "softmmu/main-loop.h"
#include "softmmu/memory.h"
#include "softmmu/present-map.h"
#include "softmmu/ramblock.h"
#include "softmmu/write-guard.h"
#include "softmmu/yank.h"
#include "migration/vmstate.h"

struct RunStateCtl;
struct MachineConfig;   /* softmmu/config.h: the parsed command line */
struct Chardevs;        /* chardev/char.h */
struct Monitors;        /* monitor/monitor.h */
struct Migration;       /* migration/migration.h */
struct Board;           /* hw/boards.h */
struct Opts;            /* util/opts.h */
struct FdSets;          /* monitor/monitor.h: add-fd, getfd */

typedef struct Machine {
    struct MachineConfig *config;
    MainLoop *loop;
    VirtualClock *clock;
    RAMList *ram;
    PresentMap *present;            /* which pages of it are here */
    WriteGuard *guard;              /* which may not be written unseen */
    DirtyLog *dirty;
    AddressSpace *as;
    VMStateRegistry *vmstate;       /* dialect lives here */
    struct RunStateCtl *runstate;
    GuestJob job;                   /* who stops the guest for long: one at a time */
    YankTable yank;                 /* connections that can be cut */
    Faults faults;                  /* what a test makes go wrong */
    CPUList *cpus;                  /* NULL: machine none without -cpu */
    struct Board *board;            /* has its devices once the machine is built */
    struct FdSets *fds;
    struct Chardevs *chardevs;
    struct Monitors *monitors;      /* also the sink of all QMP events */
    struct Migration *migration;
    /*
     * -preconfig: what x-exit-preconfig does, building and starting the
     * machine. NULL: that is done. Written on the main thread, read on any.
     */
    bool (*exit_preconfig)(struct Machine *machine, GError **errp);
    /* What set-numa-node does until then; opts as of -numa. NULL without -preconfig. Main thread. */
    bool (*set_numa_node)(struct Machine *machine, struct Opts *opts, GError **errp);
} Machine;

/**
 * Main loop, clock, RAM list, present map, write guard, dirty log, address space, vmstate registry and
 * run state of a zeroed Machine. config may be NULL, in tests. Main thread,
 * BQL not held.
 */
void machine_core_init(Machine *machine, struct MachineConfig *config);
/** The reverse; everything else is gone already. Main thread, BQL not held. */
void machine_core_clear(Machine *machine);

/** False: with -preconfig, before x-exit-preconfig; there are no devices, vCPUs and RAM yet. Any thread. */
bool machine_is_built(const Machine *machine);

/**
 * One line on stderr: "[TIMESTAMP ][GUEST ]PROGRAM: MESSAGE", as -msg asks.
 * For what has no caller to return to: signals, a failed incoming migration,
 * device warnings. Any thread.
 */
void machine_report(const Machine *machine, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#endif
