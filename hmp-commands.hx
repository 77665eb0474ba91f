HXCOMM SPDX-License-Identifier: GPL-2.0-or-later
HXCOMM Commands of the human monitor. Each entry becomes a row of the dispatch
HXCOMM table (scripts/hxtool.py), a line of "help" and a section of the manual;
HXCOMM the text between SDOC and EDOC after an entry is its manual.
HXCOMM Types of arguments are explained in monitor/hmp-internal.h.

    {
        .name       = "help|?",
        .args_type  = "name:S?",
        .params     = "[cmd]",
        .help       = "show the help",
        .cmd        = hmp_help,
        .preconfig  = true,
    },
SDOC
Shows all commands, or the one that is named. `help info` lists what `info` can show.
EDOC

    {
        .name       = "info",
        .args_type  = "item:s?",
        .params     = "[subcommand]",
        .help       = "show various information about the system state",
        .cmd        = hmp_info,
        .sub        = hmp_info_table,
        .preconfig  = true,
    },
SDOC
Shows something about the machine; alone, lists what it can show.
EDOC

    {
        .name       = "quit|q",
        .args_type  = "",
        .params     = "",
        .help       = "quit the emulator",
        .cmd        = hmp_quit,
        .preconfig  = true,
    },
SDOC
Ends the process. The guest is not asked.
EDOC

    {
        .name       = "stop|s",
        .args_type  = "",
        .params     = "",
        .help       = "stop emulation",
        .cmd        = hmp_stop,
    },
SDOC
Stops the guest; its clock stands still.
EDOC

    {
        .name       = "cont|c",
        .args_type  = "force:-f",
        .params     = "[-f]",
        .help       = "resume emulation\n\t\t\t -f also where the guest has moved away",
        .cmd        = hmp_cont,
    },
SDOC
Lets the guest run. A guest that has moved to another machine is let run here only with `-f`: then
there are two of it. One that was saved to a file needs no `-f`.
EDOC

    {
        .name       = "system_reset",
        .args_type  = "",
        .params     = "",
        .help       = "reset the system",
        .cmd        = hmp_system_reset,
    },
SDOC
Resets the machine.
EDOC

    {
        .name       = "system_powerdown",
        .args_type  = "",
        .params     = "",
        .help       = "send system power down event",
        .cmd        = hmp_system_powerdown,
    },
SDOC
Asks the guest to switch itself off.
EDOC

    {
        .name       = "system_wakeup",
        .args_type  = "",
        .params     = "",
        .help       = "wakeup guest from suspend",
        .cmd        = hmp_system_wakeup,
    },
SDOC
Wakes a guest that sleeps. Boards here cannot sleep: always an error.
EDOC

    {
        .name       = "nmi",
        .args_type  = "",
        .params     = "",
        .help       = "inject an NMI",
        .cmd        = hmp_nmi,
    },
SDOC
Sends a non-maskable interrupt. No machine here has one: always an error.
EDOC

    {
        .name       = "cpu",
        .args_type  = "index:i",
        .params     = "index",
        .help       = "set the default CPU",
        .cmd        = hmp_cpu,
    },
SDOC
Chooses the CPU that `x`, `memsave` and `info registers` look at.
EDOC

    {
        .name       = "x",
        .args_type  = "fmt:/,addr:l",
        .params     = "/fmt addr",
        .help       = "virtual memory dump starting at 'addr'",
        .cmd        = hmp_x,
    },
SDOC
Dumps memory at a virtual address, as the current CPU translates it now. *fmt*
is a count, a letter for the form (`x` hexadecimal, `d` signed, `u` unsigned,
`o` octal, `c` character, `i` instruction) and one for the size (`b`, `h`,
`w`, `g`: 1, 2, 4, 8 bytes), for example `x /8xg 0x80000000`.
EDOC

    {
        .name       = "xp",
        .args_type  = "fmt:/,addr:l",
        .params     = "/fmt addr",
        .help       = "physical memory dump starting at 'addr'",
        .cmd        = hmp_xp,
    },
SDOC
As `x`, at a physical address.
EDOC

    {
        .name       = "print|p",
        .args_type  = "fmt:/,val:l",
        .params     = "/fmt expr",
        .help       = "print expression value",
        .cmd        = hmp_print,
    },
SDOC
Prints the value of an expression of numbers, `+ - * / % & | ^ ~` and
parentheses.
EDOC

    {
        .name       = "memsave",
        .args_type  = "val:l,size:i,filename:s",
        .params     = "addr size file",
        .help       = "save to disk virtual memory dump starting at 'addr' of size 'size'",
        .cmd        = hmp_memsave,
        .complete   = hmp_complete_memsave,
    },
SDOC
Writes a piece of memory at a virtual address to a file.
EDOC

    {
        .name       = "pmemsave",
        .args_type  = "val:l,size:i,filename:s",
        .params     = "addr size file",
        .help       = "save to disk physical memory dump starting at 'addr' of size 'size'",
        .cmd        = hmp_pmemsave,
        .complete   = hmp_complete_memsave,
    },
SDOC
Writes a piece of memory at a physical address to a file.
EDOC

    {
        .name       = "getfd",
        .args_type  = "fdname:s",
        .params     = "getfd name",
        .help       = "receive a file descriptor via SCM rights and assign it a name",
        .cmd        = hmp_getfd,
        .preconfig  = true,
    },
SDOC
Keeps the file descriptor that was sent with this command under a name, for
`migrate fd:NAME`. Only on a UNIX socket.
EDOC

    {
        .name       = "closefd",
        .args_type  = "fdname:s",
        .params     = "closefd name",
        .help       = "close a file descriptor previously passed via SCM rights",
        .cmd        = hmp_closefd,
        .preconfig  = true,
    },
SDOC
Closes a file descriptor kept with `getfd`.
EDOC

    {
        .name       = "migrate",
        .args_type  = "detach:-d,blk:-b,inc:-i,resume:-r,xbzrle:-x,postcopy:-p,alone:-n,follow:-m,uri:s,precopy_count:i?,prefault_forward:i?,prefault_backward:i?",
        .params     = "[-d] [-b] [-i] [-r] [-x] [-p [-n] [-m]] uri [precopy_count [prefault_forward [prefault_backward]]]",
        .help       = "migrate to URI (using -d to not wait for completion)\n\t\t\t -b and -i are refused: disks are not copied, both sides have to reach the same image\n\t\t\t -r to resume a paused migration\n\t\t\t -x to send differences of pages (capability xbzrle)\n\t\t\t -p to switch to postcopy after precopy_count passes (default 0)\n\t\t\t -n with -p: send only pages that are asked for\n\t\t\t -m with -p: the other pages follow the one asked for last\n\t\t\t uri is tcp:HOST:PORT, unix:PATH, fd:NAME, exec:COMMAND or file:PATH[,offset=N]",
        .cmd        = hmp_migrate,
        .complete   = hmp_complete_uri,
    },
SDOC
Migrates the machine to *uri*: `tcp:HOST:PORT`, `unix:PATH`, `fd:NAME`, `exec:COMMAND` or
`file:PATH[,offset=N]`. Without `-d` the monitor shows a progress line until the migration has
ended; Ctrl-C or Esc cancels it then, Ctrl-Z is ignored, and what else is typed is read afterwards. If the numbers say
that it will not end, a line says so, with what would help. `-x` switches the capability `xbzrle` on first. `-r` continues
a paused postcopy migration over *uri*. `-b` and `-i` are refused: disks are not copied.

`-p` switches to postcopy by itself after *precopy_count* passes over memory (0, the default: before the
first page). With each page that the guest waits for come *prefault_forward* pages behind it and
*prefault_backward* before it. The others follow in a line, with `-m` from the page asked for last, with
`-n` not at all: the migration then ends when every page was asked for, or when
`migrate_set_parameter x-postcopy-background linear` says so. The flags set the capability
`postcopy-ram` and the parameters `x-postcopy-...`, which stay.
EDOC

    {
        .name       = "migrate_cancel",
        .args_type  = "",
        .params     = "",
        .help       = "cancel the current VM migration",
        .cmd        = hmp_migrate_cancel,
    },
SDOC
Cancels the outgoing migration. The guest goes on here; another migration may be started. In postcopy
it is refused: the guest runs at the destination already; unless the connection broke before the
destination had said so: then the migration is given up, the guest stays paused, `cont` takes it back.
EDOC

    {
        .name       = "migrate_continue",
        .args_type  = "state:s",
        .params     = "state",
        .help       = "Continue migration from the given paused state",
        .cmd        = hmp_migrate_continue,
        .complete   = hmp_complete_migrate_state,
    },
SDOC
Lets a migration go on that waits in *state*: `pre-switchover`, with the capability
`pause-before-switchover`.
EDOC

    {
        .name       = "migrate_incoming",
        .args_type  = "uri:s",
        .params     = "uri",
        .help       = "Continue an incoming migration from an -incoming defer",
        .cmd        = hmp_migrate_incoming,
        .complete   = hmp_complete_uri,
    },
SDOC
Begins to listen on *uri*, in a process started with `-incoming defer`.
EDOC

    {
        .name       = "migrate_recover",
        .args_type  = "uri:s",
        .params     = "uri",
        .help       = "Continue a paused incoming postcopy migration",
        .cmd        = hmp_migrate_recover,
        .complete   = hmp_complete_uri,
    },
SDOC
Gives a paused incoming postcopy migration a new address to listen on; `migrate -r` at the source
connects to it.
EDOC

    {
        .name       = "migrate_pause",
        .args_type  = "",
        .params     = "",
        .help       = "Pause an ongoing migration (postcopy-only)",
        .cmd        = hmp_migrate_pause,
    },
SDOC
Ends the connections of a postcopy migration, as an outage would: both sides are then
`postcopy-paused`, until `migrate_recover` there and `migrate -r` here.
EDOC

    {
        .name       = "migrate_start_postcopy",
        .args_type  = "",
        .params     = "",
        .help       = "Followup to a migration command to switch the migration to postcopy mode. The postcopy-ram capability must be set on both source and destination before the original migration command.",
        .cmd        = hmp_migrate_start_postcopy,
    },
SDOC
Switches a running migration to postcopy: the guest is stopped here and runs at the destination at
once; its memory follows, what it needs first. Needs the capability `postcopy-ram` on both sides.
EDOC

    {
        .name       = "migrate_set_capability",
        .args_type  = "capability:s,state:b",
        .params     = "capability state",
        .help       = "Enable/Disable the usage of a capability for migration",
        .cmd        = hmp_migrate_set_capability,
        .complete   = hmp_complete_migrate_capability,
    },
SDOC
Switches a capability `on` or `off`. `info migrate_capabilities` lists them. Not while a migration
runs.
EDOC

    {
        .name       = "migrate_set_parameter",
        .args_type  = "parameter:s,value:s",
        .params     = "parameter value",
        .help       = "Set the parameter for migration",
        .cmd        = hmp_migrate_set_parameter,
        .complete   = hmp_complete_migrate_parameter,
    },
SDOC
Sets a parameter. `info migrate_parameters` lists them. Bandwidths without suffix are in MiB per
second, all other sizes in bytes; the suffixes k, M, G and T are understood. Bandwidth, downtime
limit, throttling and cache size act at once on a running migration.
EDOC

    {
        .name       = "migrate_set_cachesize|migrate_set_cache_size",
        .args_type  = "value:s",
        .params     = "value",
        .help       = "set the size of the XBZRLE page cache (old name of the parameter xbzrle-cache-size)",
        .cmd        = hmp_migrate_set_cache_size,
    },
SDOC
Sets `xbzrle-cache-size`, in bytes or with a suffix (`256m`): the names this had in 2012 and in
QEMU 1.2 to 5.2.
EDOC

    {
        .name       = "migrate_set_speed",
        .args_type  = "value:s",
        .params     = "value",
        .help       = "set maximum speed (in bytes) for migrations. Defaults to MB if no size suffix is specified, ie. B/K/M/G/T (old name of the parameter max-bandwidth)",
        .cmd        = hmp_migrate_set_speed,
    },
SDOC
Sets `max-bandwidth`: the name this had until QEMU 5.2.
EDOC

    {
        .name       = "migrate_set_downtime",
        .args_type  = "value:s",
        .params     = "value",
        .help       = "set maximum tolerated downtime (in seconds) for migrations (old name of the parameter downtime-limit)",
        .cmd        = hmp_migrate_set_downtime,
    },
SDOC
Sets `downtime-limit` in seconds, with a fraction: the name this had until QEMU 5.2.
EDOC

    {
        .name       = "set_link",
        .args_type  = "name:s,up:b",
        .params     = "name on|off",
        .help       = "change the link status of a network adapter",
        .cmd        = hmp_set_link,
        .complete   = hmp_set_link_complete,
    },
SDOC
Connects or disconnects a network card or a network back end.
EDOC

    {
        .name       = "exit_preconfig",
        .args_type  = "",
        .params     = "",
        .help       = "exit the preconfig state",
        .cmd        = hmp_exit_preconfig,
        .preconfig  = true,
    },
SDOC
Ends what `-preconfig` began: the machine is built and started.
EDOC

    {
        .name       = "netdev_add",
        .args_type  = "netdev:S?",
        .params     = "[type=]type,id=str[,prop=value][,...]",
        .help       = "add host network device",
        .cmd        = hmp_netdev_add,
        .preconfig  = true,
    },
SDOC
Makes a network back end, as `-netdev` does; `netdev_add help` lists the types. Network cards cannot
come later, but a hub's port can.
EDOC

    {
        .name       = "netdev_del",
        .args_type  = "id:s",
        .params     = "id",
        .help       = "remove host network device",
        .cmd        = hmp_netdev_del,
        .complete   = hmp_netdev_complete,
        .preconfig  = true,
    },
SDOC
Removes a network back end. A card that uses it stays, its link down.
EDOC

    {
        .name       = "object_add",
        .args_type  = "object:S",
        .params     = "[qom-type=]type,id=str[,prop=value][,...]",
        .help       = "create QOM object",
        .cmd        = hmp_object_add,
        .preconfig  = true,
    },
SDOC
Makes an object, as `-object` does; `object_add help` lists the types. Memory that is added is not
taken: guest RAM is made at the start.
EDOC

    {
        .name       = "object_del",
        .args_type  = "id:s",
        .params     = "id",
        .help       = "destroy QOM object",
        .cmd        = hmp_object_del,
        .preconfig  = true,
    },
SDOC
Removes an object. Guest RAM stays; a device that uses a source of random bytes keeps it.
EDOC

    {
        .name       = "device_add",
        .args_type  = "device:S?",
        .params     = "driver[,prop=value][,...]",
        .help       = "add device, like -device on the command line",
        .cmd        = hmp_device_add,
    },
SDOC
Adds a device to the running machine: a port of virtio-serial. The other buses here cannot take one.
`device_add help` lists the drivers.
EDOC

    {
        .name       = "announce_self",
        .args_type  = "interfaces:s?,id:s?",
        .params     = "[interfaces] [id]",
        .help       = "Trigger GARP/RARP announcements",
        .cmd        = hmp_announce_self,
    },
SDOC
Tells the network where the guest is: RARP frames from all network cards, or from those whose ids are
given with commas between them (`""` means all), as often as the migration parameters `announce-rounds`,
`announce-initial`, `announce-step` and `announce-max` say. An announcement under the same id (none is
one too) that goes on is given up for it.
EDOC

    {
        .name       = "device_del",
        .args_type  = "id:s",
        .params     = "device",
        .help       = "remove device",
        .cmd        = hmp_device_del,
        .complete   = hmp_device_complete,
    },
SDOC
Removes a port of virtio-serial. Other devices cannot be removed.
EDOC

    {
        .name       = "dump-guest-memory",
        .args_type  = "paging:-p,detach:-d,filename:F,begin:l?,length:l?",
        .params     = "[-p] [-d] filename [begin length]",
        .help       = "dump guest memory into file 'filename'.\n"
                      "\t\t\t-p: do paging to get guest's memory mapping.\n"
                      "\t\t\t-d: return immediately (do not wait for completion).\n"
                      "\t\t\tbegin: the starting physical address.\n"
                      "\t\t\tlength: the memory size, in bytes.",
        .cmd        = hmp_dump_guest_memory,
    },
SDOC
Writes guest memory and the CPUs' registers to an ELF core file that gdb
reads. The guest stands still meanwhile. `-d` does it in the background, see
`info dump`; `-p` is not supported.
EDOC

    {
        .name       = "dumpdtb",
        .args_type  = "filename:F",
        .params     = "filename",
        .help       = "dump the FDT in dtb format to 'filename'",
        .cmd        = hmp_dumpdtb,
    },
SDOC
Writes the device tree, as the guest finds it when it starts, to a file; `dtc`
makes text of it.
EDOC

    {
        .name       = "qom-list",
        .args_type  = "path:s?",
        .params     = "path",
        .help       = "list QOM properties",
        .cmd        = hmp_qom_list,
        .complete   = hmp_qom_complete,
        .preconfig  = true,
    },
SDOC
Lists the properties and children of an object, for example
`qom-list /machine/peripheral`.
EDOC

    {
        .name       = "qom-get",
        .args_type  = "path:s,property:s",
        .params     = "path property",
        .help       = "print QOM property",
        .cmd        = hmp_qom_get,
        .complete   = hmp_qom_complete,
        .preconfig  = true,
    },
SDOC
Prints a property of an object as JSON.
EDOC

    {
        .name       = "ringbuf_write",
        .args_type  = "device:s,data:S",
        .params     = "device data",
        .help       = "Write to a ring buffer character device",
        .cmd        = hmp_ringbuf_write,
        .complete   = hmp_complete_chardev,
    },
SDOC
Writes text to a character device of type ringbuf, as if the guest had written it.
EDOC

    {
        .name       = "ringbuf_read",
        .args_type  = "device:s,size:i",
        .params     = "device size",
        .help       = "Read from a ring buffer character device",
        .cmd        = hmp_ringbuf_read,
        .complete   = hmp_complete_chardev,
    },
SDOC
Takes up to *size* bytes out of a character device of type ringbuf and prints them.
EDOC

    {
        .name       = "chardev-add",
        .args_type  = "args:S",
        .params     = "args",
        .help       = "add chardev",
        .cmd        = hmp_chardev_add,
    },
SDOC
Adds a character device; *args* are those of `-chardev`. A server needs `wait=off`.
EDOC

    {
        .name       = "chardev-change",
        .args_type  = "id:s,args:s",
        .params     = "id args",
        .help       = "change chardev",
        .cmd        = hmp_chardev_change,
        .complete   = hmp_complete_chardev,
    },
SDOC
Puts another back end in the place of one, for a serial port or when nobody uses it; `args` are those
of `chardev-add` without an id.
EDOC

    {
        .name       = "chardev-remove",
        .args_type  = "id:s",
        .params     = "id",
        .help       = "remove chardev",
        .cmd        = hmp_chardev_remove,
        .complete   = hmp_complete_chardev,
    },
SDOC
Removes a character device that nobody uses.
EDOC

    {
        .name       = "chardev-send-break",
        .args_type  = "id:s",
        .params     = "id",
        .help       = "send a break on chardev",
        .cmd        = hmp_chardev_send_break,
        .complete   = hmp_complete_chardev,
    },
SDOC
Sends a break to the serial port in front of a character device.
EDOC

    {
        .name       = "trace-event",
        .args_type  = "name:s,option:b,vcpu:i?",
        .params     = "name on|off [vcpu]",
        .help       = "changes status of a specific trace event "
                      "(vcpu: vCPU to set, default is all)",
        .cmd        = hmp_trace_event,
        .complete   = hmp_trace_event_complete,
    },
SDOC
Switches a trace event, or with `*` in the name all that match, on or off. `info trace-events`
lists them. No event has a state for each vCPU.
EDOC

    {
        .name       = "log",
        .args_type  = "items:s",
        .params     = "item1[,...]",
        .help       = "activate logging of the specified items",
        .cmd        = hmp_log,
    },
SDOC
Logs these items and no others from now on; `log help` lists them, `log none` ends it.
`log trace:PATTERN` switches trace events on.
EDOC

    {
        .name       = "logfile",
        .args_type  = "filename:F",
        .params     = "filename",
        .help       = "output logs to 'filename'",
        .cmd        = hmp_logfile,
    },
SDOC
What is logged goes to the end of this file from now on.
EDOC
