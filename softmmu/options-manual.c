/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the man page, made from the same table as the parser and -help
 * (options.def). Run by the build; not part of the emulator.
 */
#include <stdbool.h>
#include <stdio.h>
#include "config-host.h"

static void put_char(char c)
{
    if (c == '\\') {
        fputs("\\e", stdout);
    } else if (c == '-') {
        fputs("\\-", stdout);
    } else {
        putchar(c);
    }
}

/* Text for roff: backslashes and dashes are escaped, and a dot or quote where a line begins. */
static void put_text(const char *text)
{
    bool line_begins = true;

    for (; *text; text++) {
        if (*text == '\n') {
            fputs("\n.br\n", stdout);
        } else {
            fputs(line_begins && (*text == '.' || *text == '\'') ? "\\&" : "", stdout);
            put_char(*text);
        }
        line_begins = *text == '\n';
    }
}

static void put_section(const char *title)
{
    printf(".SS ");
    put_text(title);
    putchar('\n');
}

/* The help text that waits until all spellings of its option are out. */
static void flush_help(const char **help)
{
    if (*help) {
        put_text(*help);
        putchar('\n');
        *help = NULL;
    }
}

/* help NULL: another spelling of the option before it. */
static void put_option(const char **pending, const char *name, const char *arg, const char *help)
{
    if (help) {
        flush_help(pending);
        *pending = help;
    }
    printf(help ? ".TP\n" : ".TQ\n");
    printf("\\fB\\-%s\\fR", name);
    if (arg) {
        printf(" \\fI");
        for (const char *p = arg; *p; p++) {
            put_char(*p == '\n' ? ' ' : *p);
        }
        printf("\\fR");
    }
    putchar('\n');
}

static void put_section_heading(const char *title)
{
    printf(".SH %s\n", title);
}

/* One command line, with the words before it. */
static void put_example(const char *words, const char *command)
{
    printf(".PP\n");
    put_text(words);
    printf("\n.PP\n.nf\n.RS\n");
    for (; *command; command++) {
        put_char(*command);
    }
    printf("\n.RE\n.fi\n");
}

static void put_paragraph(const char *text)
{
    printf(".PP\n");
    put_text(text);
    putchar('\n');
}

static void put_term(const char *term, const char *text)
{
    printf(".TP\n\\fB");
    put_text(term);
    printf("\\fR\n");
    put_text(text);
    putchar('\n');
}

static void put_migration(void)
{
    put_section_heading("MIGRATION");
    put_paragraph("The destination is started first, with the options of the source and -incoming "
                  "URI. It needs no kernel, initrd or firmware: they are in the memory that comes. "
                  "Then the source's monitor is told migrate -d URI; info migrate says how far it "
                  "is, whether it will end, and if not, what would help. When it is completed the "
                  "guest runs on the destination, and the source may be ended with quit.");
    put_paragraph("URI is the way the guest takes:");
    put_term("tcp:HOST:PORT", "TCP. On the destination, HOST is an address of its own, or empty or 0 "
             "for all of them.");
    put_term("unix:PATH", "A unix socket.");
    put_term("exec:COMMAND", "The standard input and output of a shell command.");
    put_term("fd:NAME", "A descriptor: a number that was inherited, or a name given with getfd.");
    put_term("file:PATH[,offset=N]", "A file. With the capability mapped-ram each page has a place of "
             "its own, so that the file does not grow while the guest writes. It gets its name when it "
             "is whole and on the disk; one that is not whole is refused.");
    put_paragraph("Set on the source, and on the destination where it says so:");
    put_term("migrate_set_capability xbzrle on", "Pages that were sent before go as differences: for "
             "guests that write faster than the link carries. Its cache has the size "
             "xbzrle-cache-size, which should be what the guest writes to.");
    put_term("migrate_set_parameter max-bandwidth 500M", "Bytes per second; 0 is no limit.");
    put_term("migrate_set_parameter downtime-limit 100", "For how many milliseconds the guest may "
             "stand still at the end.");
    put_term("migrate_set_capability return-path on", "On both sides: the source waits for the "
             "destination's word before it says completed.");
    put_paragraph("Machine versions fix what is sent: virt-7.2 for QEMU 7.2, virt-10.0 for QEMU 10.0; "
                  "every version reads both. QEMU 10.0 is started with -M virt,acpi=off.");
}

static void put_images(void)
{
    put_section_heading("SAVED GUESTS");
    put_paragraph("For file:PATH with the capability mapped-ram on, or fixed-ram for its founding layout:");
    put_term("migrate_set_capability x-ram-checksum on", "Each page is saved with a checksum. Whoever "
             "loads such a file checks it, and so does ferry-inspect verify.");
    put_term("migrate_set_capability x-incremental on", "Saved again into the same file, only what was written "
             "since goes into it; until that is complete the file says what it said. With mapped-ram.");
    put_term("migrate_set_capability x-mapped-ram-lazy on", "On the destination: the guest starts when its "
             "devices are loaded; its memory is read when it is needed, and meanwhile.");
}

static void put_postcopy(void)
{
    put_section_heading("POSTCOPY");
    put_paragraph("For a guest that writes faster than the link carries: it runs at the destination "
                  "before its memory is there, and what it needs is sent first. From the switch on "
                  "there is no way back: what the guest does is only there, the memory that has not "
                  "followed only here, and migrate_cancel and cont are refused.");
    put_term("migrate_set_capability postcopy-ram on", "On both sides, before the start.");
    put_term("migrate_start_postcopy", "On the source, at any time of a migration: switch now. "
             "migrate -p URI does it at once, migrate -p URI N after N passes.");
    put_term("migrate_set_capability postcopy-preempt on", "On both sides: what the guest waits for has "
             "a connection of its own.");
    put_term("migrate_set_parameter max-postcopy-bandwidth 100M", "For what nobody waits for.");
    put_paragraph("When the network fails, or nothing is heard for x-postcopy-silence-limit, both sides "
                  "are postcopy-paused. Once it is back, and as often as it takes, first on the "
                  "destination, then on the source:");
    put_term("migrate_recover tcp:0:4444", "");
    put_term("migrate -d -r tcp:THERE:4444", "Only what has not come is sent again.");
}

static void put_channels(void)
{
    put_section_heading("PARALLEL CHANNELS");
    put_paragraph("Memory over several connections, compressed if that is wanted; the URI is the same. "
                  "tcp and unix.");
    put_term("migrate_set_capability multifd on", "On both sides.");
    put_term("migrate_set_parameter multifd-channels 4", "On both sides, 1 to 255.");
    put_term("migrate_set_parameter multifd-compression zstd", "On both sides: none, zlib or zstd. "
             "multifd-zlib-level and multifd-zstd-level are the source's alone.");
}

static void put_examples(void)
{
    put_section_heading("EXAMPLES");
    put_example("A Linux guest on this terminal; Ctrl-a c is the monitor, Ctrl-a x the end:",
                "ferry-system-riscv64 -M virt -m 512M -smp 2 -nographic -kernel Image -initrd initrd.cpio"
                " -append console=ttyS0");
    put_example("With a disk, and a network card behind whose port 22 is port 2222 of this host:",
                "ferry-system-riscv64 -M virt -m 512M -nographic -kernel Image -append \"console=ttyS0"
                " root=/dev/vda\" -drive file=disk.img,format=raw,if=none,id=d0 -device"
                " virtio-blk-device,drive=d0 -netdev user,id=n0,hostfwd=tcp:127.0.0.1:2222-:22"
                " -device virtio-net-device,netdev=n0");
    put_example("A guest that waits to be moved, with its monitor on a socket:",
                "ferry-system-riscv64 -M virt -m 512M -display none -serial file:here.txt -monitor"
                " unix:here.mon,server=on,wait=off -kernel Image -initrd initrd.cpio -append"
                " console=ttyS0");
    put_example("Where it is moved to; after that, in the first one's monitor: migrate -d "
                "tcp:127.0.0.1:4444",
                "ferry-system-riscv64 -M virt -m 512M -display none -serial file:there.txt -monitor"
                " unix:there.mon,server=on,wait=off -incoming tcp:127.0.0.1:4444");
    put_example("A guest that was saved with migrate \"exec:zstd -1 > guest.zst\":",
                "ferry-system-riscv64 -M virt -m 512M -nographic -incoming \"exec:zstd -dc guest.zst\"");
}

int main(void)
{
    const char *help = NULL;

    printf(".TH FERRY\\-SYSTEM\\-RISCV64 1 \"\" \"Ferry %s\" \"User Commands\"\n", FERRY_VERSION);
    printf(".SH NAME\nferry\\-system\\-riscv64 \\- QEMU\\-compatible RISC\\-V machine that "
           "migrates\n");
    printf(".SH SYNOPSIS\n\\fBferry\\-system\\-riscv64\\fR [\\fIoptions\\fR]\n");
    printf(".SH DESCRIPTION\nRuns a guest on QEMU's board \\fBvirt\\fR (or none) in software and "
           "moves it, running, to another Ferry or to QEMU 7.2 or 10.0. Options, monitors and "
           "messages are QEMU's.\n");
    printf(".SH OPTIONS\nA value is given as \\fIkey=value,...\\fR; a comma within a value is "
           "doubled. Where an option takes keys it also takes a JSON object. "
           "\\fB\\-\\-name\\fR is the same as \\fB\\-name\\fR.\n");
#define SECTION(title) flush_help(&help); put_section(title);
#define OPTION(name, arg, handler, text) put_option(&help, name, arg, text);
#include "softmmu/options.def"
    flush_help(&help);
    put_migration();
    put_postcopy();
    put_channels();
    put_images();
    printf(".SH KEYS\nWith \\fB\\-nographic\\fR or \\fB\\-serial mon:...\\fR: Ctrl\\-a h lists the "
           "keys, Ctrl\\-a c switches between console and monitor, Ctrl\\-a x ends the process.\n");
    printf(".SH ENVIRONMENT\n.TP\n\\fBFERRY_CONFIG\\fR\nPath of the configuration file.\n");
    printf(".SH FILES\n.TP\n/etc/ferry/ferry.conf\nWhat the machine name \\fBvirt\\fR stands for "
           "on this host, for management tools that know no other name:\n"
           ".nf\n[machine]\nvirt=virt\\-7.2\n.fi\n");
    printf(".SH EXIT STATUS\n0 after \\fBquit\\fR, a signal, or a guest that switched itself off; "
           "1 if something was wrong with an option or with the incoming migration; what the "
           "guest asked for if it reported a failure. A second SIGINT, SIGTERM or SIGHUP ends the "
           "process within a second, whatever it waits for: then by that signal.\n");
    put_examples();
    printf(".SH SEE ALSO\n.BR ferry\\-inspect (1),\n.BR qemu\\-system\\-riscv64 (1),\n.BR virsh (1)\n");
    return 0;
}
