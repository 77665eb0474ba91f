/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What commands write guest memory to: a file, or a FIFO or pipe whose other
 * end may not be there, or not read. Commands run on the main thread, so none
 * of that may hold them up for good.
 */
#ifndef MONITOR_OUTPUT_FILE_H
#define MONITOR_OUTPUT_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/** How long one that takes nothing is waited for. */
#define OUTPUT_PATIENCE_MS 10000

/** Flags for open(2), in addition: a FIFO without a reader is an error then. */
#define OUTPUT_OPEN_FLAGS O_NONBLOCK

/** Makes fd, which somebody else has opened, one that output_write can write to. */
void output_prepare(int fd);
/** Says what is wrong with path; to be called when opening it has failed with os_errno. */
void output_open_error(const char *path, int os_errno, GError **errp);
/**
 * Writes all of it. stop (may be NULL) is looked at meanwhile: not 0 ends it
 * with errp. patience_ms: -1 for ever; else without any progress. Any thread;
 * the message has no prefix.
 */
bool output_write(int fd, const void *buf, size_t len, int patience_ms, const int *stop,
                  GError **errp);

#endif
