/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the man page, made from the same table as the parser and -help
 * (options.def). Run by the build; not part of the emulator.
 */
#include <stdio.h>
#include "config-host.h"

/* Text for roff: a leading dot or quote and every backslash and dash are escaped. */
static void put_text(const char *text)
{
    if (*text == '.' || *text == '\'') {
        fputs("\\&", stdout);
    }
    for (; *text; text++) {
        if (*text == '\\') {
            fputs("\\e", stdout);
        } else if (*text == '-') {
            fputs("\\-", stdout);
        } else if (*text == '\n') {
            fputs("\n.br\n", stdout);
        } else {
            putchar(*text);
        }
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
            char one[2] = { *p == '\n' ? ' ' : *p, 0 };
            put_text(one);
        }
        printf("\\fR");
    }
    putchar('\n');
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
    printf(".SH SEE ALSO\nqemu\\-system\\-riscv64(1)\n");
    return 0;
}
