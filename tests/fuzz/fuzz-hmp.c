/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: bytes into the line editor, its lines and its completion into
 * the human monitor of a machine without a guest. Commands that would leave
 * the process (files, programs, connections) are parsed but not run.
 */
#include <string.h>

#include "../unit/monitor-machine.h"
#include "monitor/hmp-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_write(void *opaque, const char *text, size_t len)
{
    (void)opaque;
    (void)text;
    (void)len;
}

static void on_line(void *opaque, const char *line)
{
    static const char *const outside[] = {
        "migrate", "memsave", "pmemsave", "dump-guest-memory", "quit", "q", "stop", "s", "cont",
        "c", "system_reset", "savevm", "loadvm",
    };
    Fixture *f = opaque;
    const char *name = line + strspn(line, " \t");
    size_t len = strcspn(name, " \t/");
    for (size_t i = 0; i < G_N_ELEMENTS(outside); i++) {
        if (g_str_has_prefix(name, "migrate") ||
            (len == strlen(outside[i]) && !strncmp(name, outside[i], len))) {
            const HMPCommand *c = hmp_find(hmp_commands, name, len);
            HMPFormat fmt = { 'x', 4 };
            hmp_args_free(c ? hmp_args_parse(c, name + len, &fmt, NULL) : NULL);
            return;
        }
    }
    g_free(hmp_run_captured(f->m.monitors, line, -1, NULL));
}

static GPtrArray *on_complete(void *opaque, const char *text, size_t *word_start)
{
    return hmp_complete_line(&((Fixture *)opaque)->m, text, word_start);
}

/* The first byte of the input: 0 is a terminal of unknown width. */
static unsigned columns;

static unsigned on_columns(void *opaque)
{
    (void)opaque;
    return columns;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const LineEditorOps ops = { on_write, on_line, on_complete, on_columns };
    static Fixture f;
    if (!f.m.monitors) {    /* one machine for all inputs: it must survive them all */
        monitor_machine_setup(&f, NULL);
    }
    columns = size ? data[0] : 0;
    LineEditor *e = line_editor_new(&ops, &f, "(qemu) ");
    line_editor_start(e);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == 0xff) {
            columns = (columns * 5 + 1) % 200;  /* a byte that no key sends: resized */
        }
        line_editor_byte(e, data[i]);
    }
    line_editor_byte(e, '\r');
    line_editor_free(e);
    return 0;
}
