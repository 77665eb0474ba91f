/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of -object and object-add (config->objects). Main thread, BQL. */
#ifndef SOFTMMU_OBJECTS_H
#define SOFTMMU_OBJECTS_H

#include <glib.h>
#include <stdbool.h>
#include "util/opts.h"

struct Machine;

/** True if opts (qom-type, id and the type's own) may join objects (Opts*); nothing is opened. */
bool object_check(const GPtrArray *objects, Opts *opts, GError **errp);
/** The object with this id, or NULL. */
Opts *object_find(const GPtrArray *objects, const char *id);
/** What "help" prints: the types. */
void object_types_help(GString *out);

/** Makes an object while the machine is there. Takes opts, whatever happens. */
bool object_add(struct Machine *machine, Opts *opts, GError **errp);
/** Removes one; refused if it is not there, or is guest RAM. */
bool object_del(struct Machine *machine, const char *id, GError **errp);

#endif
