/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the monitor command yank can cut: connections that may hang, each with
 * a function that ends it at once. Part of the Machine, all zero at first.
 * Owners add and remove their own; any thread.
 */
#ifndef SOFTMMU_YANK_H
#define SOFTMMU_YANK_H

#include <glib.h>
#include <stdbool.h>

#include "qapi/qapi-types.h"

typedef struct YankTable {
    GMutex lock;
    GList *list;    /* protected by lock: YankEntry*, oldest first */
} YankTable;

/**
 * fn(opaque) ends the connection so that whoever waits for it is woken; it is called with the
 * table locked, from any thread: it must not wait, nor come back here. name is that of a chardev,
 * NULL for the migration.
 */
void yank_add(YankTable *t, YankInstanceType type, const char *name, void (*fn)(void *opaque),
              void *opaque);
/** Afterwards fn is not running and will not. Nothing if it is not there. */
void yank_remove(YankTable *t, YankInstanceType type, void *opaque);

#endif
