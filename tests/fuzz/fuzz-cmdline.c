/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a command line, one argument per line of input. Parsing and
 * checking only: nothing is opened. Chardev and size texts are parsed, too.
 */
#include <string.h>
#include "chardev/char-private.h"
#include "softmmu/cmdline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_texts(const char *text)
{
    static const char *const implied[] = { NULL, "driver" };
    uint64_t value;

    for (size_t i = 0; i < G_N_ELEMENTS(implied); i++) {
        Opts *opts = opts_parse(text, implied[i], NULL);
        opts_free(opts);
    }
    opts_free(chardev_text_to_opts("label", text, NULL));
    parse_size(text, 1 << 20, &value);
    parse_u64(text, &value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autofree char *line = g_strconcat("fuzz\n", text, NULL);
    g_auto(GStrv) argv = g_strsplit(line, "\n", 64);
    CommandLine *cl = cmdline_new();
    g_autoptr(GError) err = NULL;

    if (cmdline_parse(cl, g_strv_length(argv), argv, &err) && !cl->output->len) {
        cmdline_complete(cl, &err);
    }
    cmdline_free(cl);
    parse_texts(text);
    return 0;
}
