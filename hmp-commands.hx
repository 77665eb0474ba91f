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
        .args_type  = "",
        .params     = "",
        .help       = "resume emulation",
        .cmd        = hmp_cont,
    },
SDOC
Lets the guest run.
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
    },
SDOC
Closes a file descriptor kept with `getfd`.
EDOC
