/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages on stderr in QEMU's form. Called where an error has nobody to
 * return to, and by vl for the error that ends the process; never decides
 * what happens next.
 */
#include <stdio.h>
#include <unistd.h>
#include "softmmu/config.h"
#include "softmmu/machine.h"

void machine_report(const Machine *machine, const char *fmt, ...)
{
    const MachineConfig *config = machine->config;
    GString *line = g_string_new(NULL);
    va_list ap;

    if (config && config->msg_timestamp) {
        gint64 us = g_get_real_time();
        g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
        g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");
        g_string_append_printf(line, "%s.%06dZ ", text, (int)(us % G_USEC_PER_SEC));
    }
    if (config && config->msg_guest_name && config->name) {
        g_string_append_printf(line, "%s ", config->name);
    }
    g_string_append_printf(line, "%s: ", config && config->program ? config->program : "ferry");
    va_start(ap, fmt);
    g_string_append_vprintf(line, fmt, ap);
    va_end(ap);
    g_string_append_c(line, '\n');
    /* One write: lines of several threads do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line->str, line->len);
    (void)ignored;
    g_string_free(line, TRUE);
}
