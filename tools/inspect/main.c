/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry-inspect: reads migration streams and files, independently of Ferry's
 * own reader. Command line only; the work is in stream.c and the commands.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "config-host.h"
#include "raw.h"
#include "source.h"
#include "stream.h"

enum { EXIT_OK = 0, EXIT_FOUND = 1, EXIT_USAGE = 2 };

typedef struct Options {
    gboolean json, elf, version, quiet, help, checksum;
    gint64 offset;
    char *ram, *page, *output, *to;
    char **args;
} Options;

typedef struct Command {
    const char *name;
    unsigned files;
    bool json, ram;             /* may it have these options? */
    const char *synopsis;       /* its lines of the manual page's synopsis */
    const char *help;
    int (*run)(const Options *o, char **files);
} Command;

static const Command commands[];
static const size_t command_count;

static const char options_text[] =
    "options: --offset N: the stream begins there in the file (as in file:...,offset=N)\n"
    "         --quiet: no progress on long inputs\n";

static void print_usage(void)
{
    const char *prefix = "usage: ";

    for (size_t i = 0; i < command_count; i++) {
        g_auto(GStrv) lines = g_strsplit(commands[i].synopsis, "\n", -1);
        for (char **line = lines; *line; line++) {
            printf("%s%s\n", prefix, *line);
            prefix = "       ";
        }
    }
    printf("       ferry-inspect --help | --version\n"
                 "       ferry-inspect COMMAND --help\n%s\n"
                 "Reads migration streams of QEMU 7.2, QEMU 10.0 and Ferry, mapped-ram and fixed-ram\n"
                 "files, and libvirt save images; \"-\" is standard input. Exit status: 0 all is well,\n"
                 "1 a problem or a difference was found, 2 it could not be tried.\n", options_text);
}

static int print_help(const Command *c)
{
    const char *prefix = "usage: ";
    g_auto(GStrv) lines = c ? g_strsplit(c->synopsis, "\n", -1) : NULL;

    if (!c) {
        print_usage();
        return EXIT_OK;
    }
    for (char **line = lines; *line; line++) {
        printf("%s%s\n", prefix, *line);
        prefix = "       ";
    }
    printf("\n%s\n%s", c->help, options_text);
    return EXIT_OK;
}

/* One line that says what is wrong, one where to look; command: NULL if none is known. */
static int usage(const char *command, const char *why)
{
    fprintf(stderr, "ferry-inspect: %s\nTry 'ferry-inspect %s%s--help'.\n", why,
            command ? command : "", command ? " " : "");
    return EXIT_USAGE;
}

/* NULL after a message when it cannot be opened. */
static Source *open_input(const Options *o, const char *path)
{
    char *error = NULL;
    Source *s = source_open(path, &error);

    if (!s) {
        fprintf(stderr, "ferry-inspect: %s\n", error);
        g_free(error);
    } else if (!o->quiet) {
        source_set_progress(s, path);
    }
    return s;
}

static bool go_to_offset(const Options *o, Model *m, Source *s)
{
    return (o->offset >= 0 && source_skip(s, o->offset)) ||
           model_problem(m, source_offset(s), "the file ends before offset %" PRId64, o->offset);
}

/* Reads one input; NULL after a message when it cannot be opened. */
static Model *load(const Options *o, const char *path, bool keep_ram)
{
    Source *s = open_input(o, path);

    if (!s) {
        return NULL;
    }
    Model *m = model_new(keep_ram);
    if (go_to_offset(o, m, s)) {
        stream_read(m, s);
    }
    source_free(s);
    return m;
}

/* The same for who needs a guest's memory. */
static Model *load_stream(const Options *o, const char *path)
{
    Model *m = load(o, path, true);

    if (m && m->channel) {
        model_problem(m, 0, "a channel of multifd: it carries pages only, the stream they belong to is "
                      "the main channel");
    }
    return m;
}

static int report_problem(const Model *m, const char *path)
{
    g_autofree char *problem = problem_text(m);

    if (!problem) {
        return EXIT_OK;
    }
    fflush(stdout);
    fprintf(stderr, "ferry-inspect: %s: %s\n", path, problem);
    return EXIT_FOUND;
}

static int run_show(const Options *o, char **files)
{
    const char *path = files[0];
    Model *m = load(o, path, false);

    if (!m) {
        return EXIT_USAGE;
    }
    g_autofree char *text = o->json ? show_json(m, path) : show_text(m, path);
    fputs(text, stdout);
    int rc = report_problem(m, path);
    model_free(m);
    return rc;
}

static int run_verify(const Options *o, char **files)
{
    const char *path = files[0];
    Model *m = load(o, path, true);

    if (!m) {
        return EXIT_USAGE;
    }
    g_autofree char *text = o->json ? verify_json(m, path) : verify_text(m, path);
    int rc = m->problem.text ? EXIT_FOUND : EXIT_OK;
    fputs(text, stdout);
    model_free(m);
    return rc;
}

/* For diff --ram: a stream, or a file that is as long as the block and nothing but its contents. */
static Model *load_ram(const Options *o, const char *path, const char *other)
{
    char *error = NULL;

    if (!o->ram || o->offset || !raw_is_bare(path)) {
        return load_stream(o, path);
    }
    if (raw_is_bare(other)) {
        fprintf(stderr, "ferry-inspect: neither '%s' nor '%s' is a migration stream\n", path, other);
        return NULL;
    }
    Model *m = raw_read(path, o->ram, &error);
    if (!m) {
        fprintf(stderr, "ferry-inspect: %s\n", error);
        g_free(error);
    }
    return m;
}

static int run_diff(const Options *o, char **files)
{
    const char *a_path = files[0], *b_path = files[1];
    Model *a = load_ram(o, a_path, b_path);
    Model *b = a ? load_ram(o, b_path, a_path) : NULL;
    unsigned count = 0;

    if (o->ram && a && b && (!raw_keep_block(a, o->ram) || !raw_keep_block(b, o->ram))) {
        fprintf(stderr, "ferry-inspect: not both files have a RAM block '%s'\n", o->ram);
        model_free(a);
        model_free(b);
        return EXIT_USAGE;
    }
    int rc = EXIT_USAGE;

    if (a && b && !a->problem.text && !b->problem.text) {
        g_autofree char *text = o->json ? diff_json(a, b, &count) : diff_text(a, b, &count);
        fputs(text, stdout);
        rc = count ? EXIT_FOUND : EXIT_OK;
    } else if (a && b) {    /* what cannot be read to its end cannot be compared */
        report_problem(a, a_path);
        report_problem(b, b_path);
        if (!o->ram && (raw_is_bare(a_path) || raw_is_bare(b_path))) {
            fputs("ferry-inspect: with --ram BLOCK one of them may be the bare contents of that block\n",
                  stderr);
        }
    }
    model_free(a);
    model_free(b);
    return rc;
}

static bool do_extract(const Options *o, const Model *m, char **error)
{
    if (o->page) {
        g_autofree char *text = extract_page(m, o->page, error);
        fputs(text ? text : "", stdout);
        return text != NULL;
    }
    return o->elf ? extract_elf(m, o->output, error)
                  : extract_ram(m, o->ram, o->output, error);
}

static int run_extract(const Options *o, char **files)
{
    const char *path = files[0];
    g_autofree char *error = NULL;

    if (!!o->ram + !!o->elf + !!o->page != 1) {
        return usage("extract", "extract needs one of --ram, --elf and --page");
    }
    if (!o->page && !o->output) {
        return usage("extract", "extract needs -o FILE");
    }
    Model *m = load_stream(o, path);
    if (!m) {
        return EXIT_USAGE;
    }
    int rc = report_problem(m, path);
    if (rc == EXIT_OK && !do_extract(o, m, &error)) {
        fprintf(stderr, "ferry-inspect: %s\n", error);
        rc = EXIT_USAGE;
    }
    model_free(m);
    return rc;
}

static bool find_layout(const char *name, FileLayout *layout)
{
    static const char *const names[] = {
        [LAYOUT_STREAM] = "stream", [LAYOUT_MAPPED_RAM] = "mapped-ram", [LAYOUT_FIXED_RAM] = "fixed-ram",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (name && g_str_equal(name, names[i])) {
            *layout = i;
            return true;
        }
    }
    return false;
}

static int run_convert(const Options *o, char **files)
{
    ConvertOptions how = { .out = files[1], .checksum = o->checksum, .quiet = o->quiet };
    g_autofree char *error = NULL;

    if (!find_layout(o->to, &how.to)) {
        return usage("convert", "convert needs --to stream, mapped-ram or fixed-ram");
    }
    Source *s = open_input(o, files[0]);
    if (!s) {
        return EXIT_USAGE;
    }
    Model *m = model_new(false);
    bool ok = go_to_offset(o, m, s) && convert_file(m, s, &how, &error);
    source_free(s);
    int rc = ok ? EXIT_OK : EXIT_USAGE;
    if (!ok && error) {
        fprintf(stderr, "ferry-inspect: %s: %s\n", files[0], error);
    } else if (!ok) {
        rc = report_problem(m, files[0]);
    }
    model_free(m);
    return rc;
}

/* ---- the commands ---- */

static const Command commands[] = {
    {
        "show", 1, true, false,
        "ferry-inspect show [--json] FILE|-",
        "Every section with its offset, length, version and content: RAM records by block and\n"
        "kind, device fields by name.\n"
        "  --json: the same for programs; ferry-inspect(1) has the keys\n"
        "example: ferry-inspect show guest.mig | less\n",
        run_show,
    },
    {
        "verify", 1, true, false,
        "ferry-inspect verify [--json] FILE|-",
        "One line: is the stream whole and right? Structure, lengths, footers, deltas applied to\n"
        "the pages they belong to, every page sent, every field known. The first problem is named\n"
        "with its offset, section, block and page.\n"
        "  --json: the same for programs\n"
        "example: ssh host cat guest.mig | ferry-inspect verify -\n",
        run_verify,
    },
    {
        "diff", 2, true, true,
        "ferry-inspect diff [--json] A B\n"
        "ferry-inspect diff [--json] A B --ram BLOCK",
        "The pages and fields in which a destination would differ after A or B.\n"
        "  --ram BLOCK: only this block; A or B may be its bare contents (extract --ram, pmemsave)\n"
        "  --json: the same for programs\n"
        "example: ferry-inspect diff guest.mig dump.raw --ram riscv_virt_board.ram\n",
        run_diff,
    },
    {
        "extract", 1, false, true,
        "ferry-inspect extract FILE|- --ram BLOCK -o RAW\n"
        "ferry-inspect extract FILE|- --elf -o CORE\n"
        "ferry-inspect extract FILE|- --page ADDRESS|BLOCK+OFFSET",
        "Takes memory out of a stream.\n"
        "  --ram BLOCK: a block as it lies in memory; pages of zeros become holes\n"
        "  --elf: an ELF core for gdb-multiarch, with the registers of every hart\n"
        "  --page: a dump of one page, by guest-physical address or place in a block\n"
        "  -o FILE, --output FILE: where to write to\n"
        "example: ferry-inspect extract guest.mig --elf -o core && gdb-multiarch vmlinux core\n",
        run_extract,
    },
    {
        "convert", 2, false, false,
        "ferry-inspect convert IN OUT --to stream|mapped-ram|fixed-ram [--checksum]",
        "The same guest in a file of another layout. Devices and what is behind them stay as they are.\n"
        "OUT gets its name when it is whole.\n"
        "  --to LAYOUT: stream (records, as over a network), mapped-ram or fixed-ram (each page in its\n"
        "               place)\n"
        "  --checksum: with a checksum of each page; not for stream\n"
        "example: ferry-inspect convert guest.mig guest.mapped --to mapped-ram\n",
        run_convert,
    },
};
static const size_t command_count = G_N_ELEMENTS(commands);

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < command_count; i++) {
        if (g_str_equal(commands[i].name, name)) {
            return &commands[i];
        }
    }
    return NULL;
}

/* "show, verify, extract, diff": caller frees. */
static char *command_names(void)
{
    GString *out = g_string_new(NULL);

    for (size_t i = 0; i < command_count; i++) {
        g_string_append_printf(out, "%s%s", i ? ", " : "", commands[i].name);
    }
    return g_string_free(out, FALSE);
}

static int run(const Options *o)
{
    const Command *c = o->args ? find_command(o->args[0]) : NULL;

    if (o->version) {
        printf("ferry-inspect %s\n", FERRY_VERSION);
        return EXIT_OK;
    }
    if (o->help && (c || !o->args)) {
        return print_help(c);
    }
    if (!o->args) {
        g_autofree char *names = command_names();
        g_autofree char *why = g_strdup_printf("what shall be done? %s", names);
        return usage(NULL, why);
    }
    if (!c) {
        g_autofree char *names = command_names();
        g_autofree char *why = g_strdup_printf("there is no command '%s', but %s", o->args[0], names);
        return usage(NULL, why);
    }
    if (c->run != run_extract && (o->elf || o->page || o->output || (o->ram && !c->ram))) {
        return usage(c->name, "--elf, --page and -o belong to extract, --ram to extract and diff");
    }
    if (c->run != run_convert && (o->to || o->checksum)) {
        return usage("convert", "--to and --checksum belong to convert");
    }
    if (o->json && !c->json) {
        return usage(c->name, "--json belongs to show, verify and diff");
    }
    if (g_strv_length(o->args) - 1 != c->files) {
        g_autofree char *why = g_strdup_printf("%s wants %s", c->name,
                                               c->files == 1 ? "one file" : "two files");
        return usage(c->name, why);
    }
    return c->run(o, o->args + 1);
}

int main(int argc, char **argv)
{
    Options o = { 0 };
    const GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &o.json, NULL, NULL },
        { "elf", 0, 0, G_OPTION_ARG_NONE, &o.elf, NULL, NULL },
        { "ram", 0, 0, G_OPTION_ARG_STRING, &o.ram, NULL, NULL },
        { "page", 0, 0, G_OPTION_ARG_STRING, &o.page, NULL, NULL },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &o.output, NULL, NULL },
        { "to", 0, 0, G_OPTION_ARG_STRING, &o.to, NULL, NULL },
        { "checksum", 0, 0, G_OPTION_ARG_NONE, &o.checksum, NULL, NULL },
        { "offset", 0, 0, G_OPTION_ARG_INT64, &o.offset, NULL, NULL },
        { "quiet", 'q', 0, G_OPTION_ARG_NONE, &o.quiet, NULL, NULL },
        { "help", 'h', 0, G_OPTION_ARG_NONE, &o.help, NULL, NULL },
        { "version", 0, 0, G_OPTION_ARG_NONE, &o.version, NULL, NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o.args, NULL, NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        return usage(NULL, err->message);
    }
    int rc = run(&o);
    g_strfreev(o.args);
    g_free(o.ram);
    g_free(o.page);
    g_free(o.output);
    g_free(o.to);
    return rc;
}
