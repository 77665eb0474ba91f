/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line between cmdline.c, which parses it, and vl.c, which acts on it. */
#ifndef SOFTMMU_CMDLINE_H
#define SOFTMMU_CMDLINE_H

#include <stdio.h>
#include "softmmu/config.h"

/* Something that is created later; origin is "-option argument" for its error message. */
typedef struct CmdItem {
    char *origin;
    Opts *opts;     /* or NULL */
    char *text;     /* or NULL */
    bool control, pretty;
} CmdItem;

typedef struct CommandLine {
    MachineConfig config;
    Opts *machine;              /* all -machine properties, merged */
    GPtrArray *accels;          /* CmdItem: opts of -accel, in order */
    uint64_t mem_bytes;         /* 0: not given */
    uint64_t smp_cpus, smp_maxcpus, smp_sockets, smp_cores, smp_threads; /* 0: not given */
    GPtrArray *numa;            /* CmdItem: opts of -numa */
    uint64_t numa_bytes;        /* what the one node has of the RAM */
    GPtrArray *chardevs;        /* CmdItem: opts */
    GPtrArray *monitors;        /* CmdItem: opts of -mon, or text of -monitor, -qmp */
    GPtrArray *add_fds;         /* CmdItem: opts */
    bool monitor_given;         /* -monitor, -qmp, -mon: no default monitor */
    bool serial_given;
    bool nographic, nodefaults, daemonize, mem_lock, preconfig;
    char *pidfile;
    char *log_file;
    char *qtest, *qtest_log;
    FILE *dump_vmstate;         /* -dump-vmstate: write to it, and that is all; else NULL */
    Opts *sandbox;              /* -sandbox on,... or NULL */
    GString *output;            /* -help and the like: print it and exit 0 */
    GString *warnings;          /* lines for stderr, without program name */
} CommandLine;

CommandLine *cmdline_new(void);
void cmdline_free(CommandLine *cl);
/**
 * Parses and checks everything that needs no machine. False with errp; true
 * with cl->output non-empty if the process should only print that.
 */
bool cmdline_parse(CommandLine *cl, int argc, char **argv, GError **errp);
/** After cmdline_parse: machine type, RAM size, harts; fills what config still lacks. */
bool cmdline_complete(CommandLine *cl, GError **errp);

/** Writes what -dump-vmstate asks for. */
bool dump_vmstate(const CommandLine *cl, GError **errp);

/** Part of cmdline_complete: config.accel, and in warnings what was passed over. */
bool cmdline_choose_accel(CommandLine *cl, GError **errp);

/** Part of cmdline_complete: config.ram_bytes, ram_id, numa. config.smp is known. */
bool cmdline_complete_memory(CommandLine *cl, uint64_t default_bytes, GError **errp);

/** One more -numa, whose type is one of the known; after cmdline_complete, before the board is made. */
bool cmdline_add_numa(CommandLine *cl, Opts *opts, GError **errp);
/** The node, if there is one, has all of the RAM; with -preconfig cmdline_complete leaves that to the caller. */
bool cmdline_check_numa(const CommandLine *cl, GError **errp);

/* ---- for the files of option handlers ---- */

/** What each -object memory-backend-* takes, and whether the values make sense here. */
extern const char *const memory_ram_keys[], *const memory_memfd_keys[], *const memory_file_keys[];
bool memory_backend_check(Opts *opts, GError **errp);

typedef bool OptionHandler(CommandLine *cl, const char *name, const char *arg, GError **errp);
OptionHandler handle_help, handle_version, handle_machine, handle_cpu, handle_accel, handle_smp,
    handle_m, handle_mem_path, handle_mem_prealloc, handle_numa, handle_accept, handle_accept_arg, handle_global, handle_boot,
    handle_audio, handle_audiodev, handle_name, handle_uuid, handle_device, handle_object, handle_blockdev,
    handle_drive, handle_display, handle_nographic, handle_vga, handle_netdev, handle_nic,
    handle_chardev, handle_bios, handle_kernel, handle_append, handle_initrd, handle_dtb,
    handle_add_fd, handle_serial, handle_parallel, handle_monitor, handle_qmp, handle_qmp_pretty,
    handle_mon, handle_pidfile, handle_S, handle_overcommit, handle_d, handle_D, handle_L,
    handle_no_reboot, handle_no_shutdown, handle_only_migratable, handle_preconfig, handle_dump_vmstate, handle_action, handle_rtc,
    handle_incoming, handle_nodefaults, handle_daemonize, handle_sandbox, handle_msg, handle_trace,
    handle_qtest, handle_qtest_log, handle_readconfig;

CmdItem *cmd_item_new(const char *name, const char *arg);
/** True if only keys of the NULL-terminated list are there: "Invalid parameter 'x'". */
bool opts_only_keys(const Opts *opts, const char *const *keys, GError **errp);
/** True if the value of key is absent or in the list: "Parameter 'k' does not accept value 'v'". */
bool opts_value_in(Opts *opts, const char *key, const char *const *values, GError **errp);
/** "help" or "?" as a parameter, or as the value of key. */
bool opts_ask_help(Opts *opts, const char *key);
void append_option_help(GString *out, const char *program);

#endif
