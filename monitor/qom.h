/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object tree as monitors see it: a view that is made for one path when
 * somebody asks, from the board, the CPUs, the chardevs and the command line.
 */
#ifndef MONITOR_QOM_H
#define MONITOR_QOM_H

#include <glib.h>
#include <stdbool.h>

struct Machine;
struct json_object;

typedef struct QomProperty {
    char *name;
    char *type;                 /* "child<T>": an object below */
    struct json_object *value;  /* NULL: not readable */
} QomProperty;

typedef struct QomNode {
    char *type;
    GPtrArray *props;           /* QomProperty* */
    const struct BoardDevice *device;   /* it shows this one, or NULL */
} QomNode;

/** The object at an absolute path; NULL with error class DeviceNotFound. */
QomNode *qom_resolve(struct Machine *machine, const char *path, GError **errp);
void qom_node_free(QomNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QomNode, qom_node_free)
/** Property or NULL. */
const QomProperty *qom_property(const QomNode *node, const char *name);
/** T of a property with type "child<T>", new string; NULL if it is none. */
char *qom_child_type(const QomProperty *p);

/** One row of the type list. */
typedef struct QomType {
    const char *name, *parent;
    bool abstract;
} QomType;

/** All types of this program: new array of new QomType. */
GPtrArray *qom_types(void);

#endif
