/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yank and query-yank, and the table behind them. Both commands may be run
 * out of band, on the monitor's I/O thread: they take no lock but the
 * table's, and what they call only shuts descriptors.
 */
#include "softmmu/yank.h"

#include <string.h>

#include "qapi/qapi-commands.h"
#include "softmmu/machine.h"
#include "util/error.h"

typedef struct YankEntry {
    YankInstanceType type;
    char *name;
    void (*fn)(void *opaque);
    void *opaque;
} YankEntry;

void yank_add(YankTable *t, YankInstanceType type, const char *name, void (*fn)(void *opaque),
              void *opaque)
{
    YankEntry *e = g_new0(YankEntry, 1);

    *e = (YankEntry) { type, g_strdup(name), fn, opaque };
    g_mutex_lock(&t->lock);
    t->list = g_list_append(t->list, e);
    g_mutex_unlock(&t->lock);
}

void yank_remove(YankTable *t, YankInstanceType type, void *opaque)
{
    g_mutex_lock(&t->lock);
    for (GList *l = t->list; l; l = l->next) {
        YankEntry *e = l->data;
        if (e->type == type && e->opaque == opaque) {
            t->list = g_list_delete_link(t->list, l);
            g_free(e->name);
            g_free(e);
            break;
        }
    }
    g_mutex_unlock(&t->lock);
}

/* ---- the commands ---- */

static bool is_wanted(const YankEntry *e, const YankInstance *y)
{
    const char *name = y->type == YANK_INSTANCE_TYPE_CHARDEV ? y->u.chardev.id
                       : y->type == YANK_INSTANCE_TYPE_BLOCK_NODE ? y->u.block_node.node_name
                       : NULL;
    return e->type == y->type && g_strcmp0(e->name, name) == 0;
}

/* Lock held. */
static YankEntry *find(YankTable *t, const YankInstance *y)
{
    for (GList *l = t->list; l; l = l->next) {
        if (is_wanted(l->data, y)) {
            return l->data;
        }
    }
    return NULL;
}

/* All of them or none. */
bool qmp_yank(struct Machine *machine, YankInstanceList *instances, GError **errp)
{
    YankTable *t = &machine->yank;
    bool ok = true;

    g_mutex_lock(&t->lock);
    for (YankInstanceList *l = instances; ok && l; l = l->next) {
        ok = find(t, l->value) != NULL;
    }
    for (YankInstanceList *l = instances; ok && l; l = l->next) {
        YankEntry *e = find(t, l->value);
        e->fn(e->opaque);
    }
    g_mutex_unlock(&t->lock);
    if (!ok) {
        error_set_class(errp, FERRY_ERROR_DEVICE_NOT_FOUND, "Instance not found");
    }
    return ok;
}

static YankInstance *describe(const YankEntry *e)
{
    YankInstance *y = g_new0(YankInstance, 1);

    y->type = e->type;
    if (e->type == YANK_INSTANCE_TYPE_CHARDEV) {
        y->u.chardev.id = g_strdup(e->name);
    } else if (e->type == YANK_INSTANCE_TYPE_BLOCK_NODE) {
        y->u.block_node.node_name = g_strdup(e->name);
    }
    return y;
}

YankInstanceList *qmp_query_yank(struct Machine *machine, GError **errp)
{
    YankInstanceList *list = NULL, **tail = &list;
    YankTable *t = &machine->yank;

    g_mutex_lock(&t->lock);
    for (GList *l = t->list; l; l = l->next) {
        *tail = g_new0(YankInstanceList, 1);
        (*tail)->value = describe(l->data);
        tail = &(*tail)->next;
    }
    g_mutex_unlock(&t->lock);
    return list;
}
