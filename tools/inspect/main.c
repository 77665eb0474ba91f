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

static const char usage_text[] =
    "usage: ferry-inspect show [--json] FILE|-\n"
    "       ferry-inspect verify [--json] FILE|-\n"
    "       ferry-inspect diff [--json] A B\n"
    "       ferry-inspect diff [--json] A B --ram BLOCK\n"
    "       ferry-inspect extract FILE|- --ram BLOCK -o RAW\n"
    "       ferry-inspect extract FILE|- --elf -o CORE\n"
    "       ferry-inspect extract FILE|- --page ADDRESS|BLOCK+OFFSET\n"
    "       ferry-inspect --help | --version\n"
    "options: --offset N: the stream begins there in the file (as in file:...,offset=N)\n"
    "         --quiet: no progress on long inputs\n"
    "         --ram with diff: only this block; A or B may be its bare contents\n"
    "\n"
    "Reads migration streams of QEMU 7.2, QEMU 10.0 and Ferry, mapped-ram and fixed-ram\n"
    "files, and libvirt save images; \"-\" is standard input. Exit status: 0 all is well,\n"
    "1 a problem or a difference was found, 2 it could not be tried.\n";

typedef struct Options {
    gboolean json, elf, version, quiet;
    gint64 offset;
    char *ram, *page, *output;
    char **args;
} Options;

static int usage(const char *why)
{
    fprintf(stderr, "ferry-inspect: %s\n%s", why, usage_text);
    return EXIT_USAGE;
}

/* Reads one input; NULL after a message when it cannot be opened. */
static Model *load(const Options *o, const char *path, bool keep_ram)
{
    char *error = NULL;
    Source *s = source_open(path, &error);

    if (!s) {
        fprintf(stderr, "ferry-inspect: %s\n", error);
        g_free(error);
        return NULL;
    }
    if (!o->quiet) {
        source_set_progress(s, path);
    }
    Model *m = model_new(keep_ram);
    if (o->offset < 0 || !source_skip(s, o->offset)) {
        model_problem(m, source_offset(s), "the file ends before offset %" PRId64, o->offset);
    } else {
        stream_read(m, s);
    }
    source_free(s);
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

static int run_show(const Options *o, const char *path)
{
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

static int run_verify(const Options *o, const char *path)
{
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
        return load(o, path, true);
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

static int run_diff(const Options *o, const char *a_path, const char *b_path)
{
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

static int run_extract(const Options *o, const char *path)
{
    g_autofree char *error = NULL;

    if (!!o->ram + !!o->elf + !!o->page != 1) {
        return usage("extract needs one of --ram, --elf and --page");
    }
    if (!o->page && !o->output) {
        return usage("extract needs -o FILE");
    }
    Model *m = load(o, path, true);
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

static int run(const Options *o)
{
    const char *command = o->args ? o->args[0] : NULL;
    unsigned n = o->args ? g_strv_length(o->args) - 1 : 0;

    if (o->version) {
        printf("ferry-inspect %s\n", FERRY_VERSION);
        return EXIT_OK;
    }
    if (!command) {
        return usage("what shall be done?");
    }
    bool is_extract = g_str_equal(command, "extract");
    bool is_diff = g_str_equal(command, "diff");
    if (!is_extract && (o->elf || o->page || o->output || (o->ram && !is_diff))) {
        return usage("--elf, --page and -o belong to extract, --ram to extract and diff");
    }
    if (is_extract && o->json) {
        return usage("--json belongs to show, verify and diff");
    }
    if (g_str_equal(command, "show") && n == 1) {
        return run_show(o, o->args[1]);
    }
    if (g_str_equal(command, "verify") && n == 1) {
        return run_verify(o, o->args[1]);
    }
    if (is_diff && n == 2) {
        return run_diff(o, o->args[1], o->args[2]);
    }
    if (is_extract && n == 1) {
        return run_extract(o, o->args[1]);
    }
    return usage("unknown command or wrong number of files");
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
        { "offset", 0, 0, G_OPTION_ARG_INT64, &o.offset, NULL, NULL },
        { "quiet", 'q', 0, G_OPTION_ARG_NONE, &o.quiet, NULL, NULL },
        { "version", 0, 0, G_OPTION_ARG_NONE, &o.version, NULL, NULL },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o.args, NULL, NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    if (argc == 2 && (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h"))) {
        fputs(usage_text, stdout);
        return EXIT_OK;
    }
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        return usage(err->message);
    }
    int rc = run(&o);
    g_strfreev(o.args);
    g_free(o.ram);
    g_free(o.page);
    g_free(o.output);
    return rc;
}
