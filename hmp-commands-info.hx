HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
HXCOMM What "info" can show; the form is that of hmp-commands.hx.

    {
        .name       = "version",
        .args_type  = "",
        .params     = "",
        .help       = "show the version of QEMU",
        .cmd        = hmp_info_version,
        .preconfig  = true,
    },
SDOC
Shows the QEMU version whose interface is followed and this program's own.
EDOC

    {
        .name       = "status",
        .args_type  = "",
        .params     = "",
        .help       = "show the current VM status (running|paused)",
        .cmd        = hmp_info_status,
        .preconfig  = true,
    },
SDOC
Shows whether the guest runs, and if not why.
EDOC

    {
        .name       = "name",
        .args_type  = "",
        .params     = "",
        .help       = "show the current VM name",
        .cmd        = hmp_info_name,
        .preconfig  = true,
    },
SDOC
Shows the name given with `-name`.
EDOC

    {
        .name       = "uuid",
        .args_type  = "",
        .params     = "",
        .help       = "show the current VM UUID",
        .cmd        = hmp_info_uuid,
        .preconfig  = true,
    },
SDOC
Shows the UUID given with `-uuid`.
EDOC

    {
        .name       = "cpus",
        .args_type  = "",
        .params     = "",
        .help       = "show infos for each CPU",
        .cmd        = hmp_info_cpus,
    },
SDOC
Shows the CPUs, the thread of each, and which one is the current (`cpu`).
EDOC

    {
        .name       = "registers",
        .args_type  = "cpustate_all:-a,vcpu:i?",
        .params     = "[-a|vcpu]",
        .help       = "show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; show the current CPU's registers if no argument is specified)",
        .cmd        = hmp_info_registers,
    },
SDOC
Shows the registers of the current CPU, of the one that is named, or of all.
EDOC

    {
        .name       = "mtree",
        .args_type  = "flatview:-f",
        .params     = "[-f]",
        .help       = "show memory tree (-f: dump flat view for address spaces)",
        .cmd        = hmp_info_mtree,
    },
SDOC
Shows what is at which physical address.
EDOC

    {
        .name       = "ramblock",
        .args_type  = "",
        .params     = "",
        .help       = "Display system ramblock information",
        .cmd        = hmp_info_ramblock,
    },
SDOC
Shows the RAM blocks: the memory that a migration carries.
EDOC

    {
        .name       = "memory_size_summary",
        .args_type  = "",
        .params     = "",
        .help       = "show the amount of initially allocated and present hotpluggable (if enabled) memory in bytes.",
        .cmd        = hmp_info_memory_size_summary,
    },
SDOC
Shows how much RAM the guest has.
EDOC

    {
        .name       = "chardev",
        .args_type  = "",
        .params     = "",
        .help       = "show the character devices",
        .cmd        = hmp_info_chardev,
        .preconfig  = true,
    },
SDOC
Shows the character devices.
EDOC

    {
        .name       = "history",
        .args_type  = "",
        .params     = "",
        .help       = "show the command line history",
        .cmd        = hmp_info_history,
        .preconfig  = true,
    },
SDOC
Shows the lines entered in this session.
EDOC

    {
        .name       = "kvm",
        .args_type  = "",
        .params     = "",
        .help       = "show KVM information",
        .cmd        = hmp_info_kvm,
    },
SDOC
Shows whether KVM is used: it is not, CPUs are software here.
EDOC

    {
        .name       = "migrate",
        .args_type  = "all:-a",
        .params     = "[-a]",
        .help       = "show migration status (-a: and the steps of the switchover, page codec, globals)",
        .cmd        = hmp_info_migrate,
    },
SDOC
Shows where the current or last migration stands, whether it will end, and its
statistics; with `-a` also when each step of the switchover was reached, in ms (on
the source since the guest was told to stop, on the destination since the first
device), with which of the CPU's instructions pages are looked at (`x-simd`), and
the switches for all migrations ("globals").
EDOC

    {
        .name       = "migrate_capabilities",
        .args_type  = "",
        .params     = "",
        .help       = "show current migration capabilities",
        .cmd        = hmp_info_migrate_capabilities,
    },
SDOC
Lists the capabilities and whether they are on.
EDOC

    {
        .name       = "migrate_parameters",
        .args_type  = "",
        .params     = "",
        .help       = "show current migration parameters",
        .cmd        = hmp_info_migrate_parameters,
    },
SDOC
Lists the parameters and their values.
EDOC

    {
        .name       = "migrate_cache_size",
        .args_type  = "",
        .params     = "",
        .help       = "show current migration xbzrle cache size",
        .cmd        = hmp_info_migrate_cache_size,
    },
SDOC
Shows `xbzrle-cache-size`: the name this had until QEMU 5.2.
EDOC

    {
        .name       = "block",
        .args_type  = "nodes:-n,verbose:-v,device:B?",
        .params     = "[-n] [-v] [device]",
        .help       = "show info of one block device or all block devices (-n: show named nodes; -v: show details)",
        .cmd        = hmp_info_block,
    },
SDOC
Shows the disks, or with `-n` all block nodes.
EDOC

    {
        .name       = "blockstats",
        .args_type  = "",
        .params     = "",
        .help       = "show block device statistics",
        .cmd        = hmp_info_blockstats,
    },
SDOC
Shows what was done with the disks.
EDOC

    {
        .name       = "block-jobs",
        .args_type  = "",
        .params     = "",
        .help       = "show progress of ongoing block device operations",
        .cmd        = hmp_info_block_jobs,
    },
SDOC
Shows the background jobs of disks: there are none.
EDOC

    {
        .name       = "pci",
        .args_type  = "",
        .params     = "",
        .help       = "show PCI info",
        .cmd        = hmp_info_pci,
    },
SDOC
Shows the PCI bus: the board's host bridge and nothing else.
EDOC

    {
        .name       = "network",
        .args_type  = "",
        .params     = "",
        .help       = "show the network state",
        .cmd        = hmp_info_network,
    },
SDOC
Shows the network cards and back ends.
EDOC

    {
        .name       = "qtree",
        .args_type  = "",
        .params     = "",
        .help       = "show device tree",
        .cmd        = hmp_info_qtree,
    },
SDOC
Shows the devices, the bus each sits on, and their properties.
EDOC

    {
        .name       = "qom-tree",
        .args_type  = "path:s?",
        .params     = "[path]",
        .help       = "show QOM composition tree",
        .cmd        = hmp_info_qom_tree,
        .preconfig  = true,
    },
SDOC
Shows the tree of objects below a path, `/machine` if none is given.
EDOC

    {
        .name       = "memdev",
        .args_type  = "",
        .params     = "",
        .help       = "show memory backends",
        .cmd        = hmp_info_memdev,
        .preconfig  = true,
    },
SDOC
Shows the memory objects.
EDOC

    {
        .name       = "numa",
        .args_type  = "",
        .params     = "",
        .help       = "show NUMA information",
        .cmd        = hmp_info_numa,
    },
SDOC
Shows the nodes of memory and CPUs, if `-numa` has made one.
EDOC

    {
        .name       = "mice",
        .args_type  = "",
        .params     = "",
        .help       = "show which guest mouse is receiving events",
        .cmd        = hmp_info_mice,
    },
SDOC
Shows the mice: there are none.
EDOC

    {
        .name       = "memory-devices",
        .args_type  = "",
        .params     = "",
        .help       = "show memory devices",
        .cmd        = hmp_info_memory_devices,
    },
SDOC
Shows memory that was plugged: there is none.
EDOC

    {
        .name       = "hotpluggable-cpus",
        .args_type  = "",
        .params     = "",
        .help       = "show information about hotpluggable CPUs",
        .cmd        = hmp_info_hotpluggable_cpus,
        .preconfig  = true,
    },
SDOC
The board has no places for CPUs that come and go: always an error.
EDOC

    {
        .name       = "iothreads",
        .args_type  = "",
        .params     = "",
        .help       = "show iothreads",
        .cmd        = hmp_info_iothreads,
        .preconfig  = true,
    },
SDOC
Shows the iothreads: there are none.
EDOC

    {
        .name       = "dump",
        .args_type  = "",
        .params     = "",
        .help       = "Display the latest dump status",
        .cmd        = hmp_info_dump,
    },
SDOC
Shows how far the last `dump-guest-memory` is.
EDOC

    {
        .name       = "balloon",
        .args_type  = "",
        .params     = "",
        .help       = "show balloon information",
        .cmd        = hmp_info_balloon,
    },
SDOC
Shows the balloon: there is none, always an error.
EDOC

    {
        .name       = "tpm",
        .args_type  = "",
        .params     = "",
        .help       = "show the TPM device",
        .cmd        = hmp_info_tpm,
    },
SDOC
Shows the TPM device: there is none.
EDOC

    {
        .name       = "stats",
        .args_type  = "target:s,names:s?,provider:s?",
        .params     = "target [names] [provider]",
        .help       = "show statistics for the given target (vm or vcpu); optionally filter by"
                      "name (comma-separated list, or * for all) and provider",
        .cmd        = hmp_info_stats,
    },
SDOC
Shows statistics of the accelerator. None keeps any here.
EDOC

    {
        .name       = "trace-events",
        .args_type  = "name:s?,vcpu:i?",
        .params     = "[name] [vcpu]",
        .help       = "show available trace-events & their state "
                      "(name: event name pattern; vcpu: vCPU to query, default is any)",
        .cmd        = hmp_info_trace_events,
        .complete   = hmp_trace_event_complete,
    },
SDOC
Lists the trace events and whether they are on; NAME may hold `*`.
EDOC
