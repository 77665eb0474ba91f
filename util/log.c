/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of -d, -D and -trace (util/log.h): its lines. Never fails: who logs has no use for an error. */
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "util/error.h"

#define LINE_BYTES 1024

unsigned log_items;
static int log_fd = STDERR_FILENO;  /* atomic; a file once opened keeps its number (dup3) */
static int timestamps;              /* atomic */

void log_vprintf(const char *prefix, const char *fmt, va_list ap)
{
    char line[LINE_BYTES];
    g_autofree char *longer = NULL;
    const char *text = line;
    va_list again;
    int head = g_snprintf(line, sizeof(line), "%s", prefix), len;

    va_copy(again, ap);
    len = vsnprintf(line + head, sizeof(line) - head, fmt, ap);
    if (len >= (int)sizeof(line) - head) {
        g_autofree char *rest = g_strdup_vprintf(fmt, again);
        text = longer = g_strconcat(prefix, rest, NULL);
    }
    va_end(again);
    ssize_t ignored = write(__atomic_load_n(&log_fd, __ATOMIC_RELAXED), text, strlen(text));
    (void)ignored; /* a full disk ends nothing */
}

void log_printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_vprintf("", fmt, ap);
    va_end(ap);
}

/* ---- where ---- */

bool log_open(const char *path, bool append, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(path, "%d", 2);
    g_autofree char *name = parts[0] && parts[1]
        ? g_strdup_printf("%s%d%s", parts[0], (int)getpid(), parts[1]) : g_strdup(path);
    int old = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0644);

    if (fd < 0) {
        error_setg_errno(errp, errno, "Error opening logfile %s", name);
        return false;
    }
    if (old == STDERR_FILENO) {
        __atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
    } else {
        dup3(fd, old, O_CLOEXEC); /* under the feet of whoever writes just now */
        close(fd);
    }
    return true;
}

void log_set_timestamps(bool on)
{
    __atomic_store_n(&timestamps, on, __ATOMIC_RELAXED);
}

bool log_timestamps(void)
{
    return __atomic_load_n(&timestamps, __ATOMIC_RELAXED);
}
