/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands behind objects that come and go later: object-add, object-del. Main thread, BQL. */
#include <string.h>
#include "hw/core/board.h"
#include "hw/rng-backend.h"
#include "softmmu/ramblock.h"

static bool is_memory(Opts *object)
{
    return g_str_has_prefix(opts_get(object, "qom-type"), "memory-backend-");
}

/* As much as the host grants and a file that can be had: tried, and given back. */
static bool memory_possible(Opts *object, GError **errp)
{
    RAMList *list = ram_list_new();
    uint64_t size = 0;
    bool ok = opts_get_size(object, "size", &size, errp) &&
              ram_list_add(list, opts_get(object, "id"), size, opts_get(object, "mem-path"), errp);

    ram_list_free(list);
    return ok;
}

bool board_object_add(Board *board, Opts *object, GError **errp)
{
    return is_memory(object) ? memory_possible(object, errp)
                             : rng_backends_add(board->rngs, object, errp);
}

bool board_object_del(Board *board, Opts *object, GError **errp)
{
    const char *id = opts_get(object, "id"), *ram = board->machine->config->ram_id;

    if (is_memory(object) && g_strcmp0(id, ram) == 0) {
        error_setg(errp, "object '%s' is in use, can not be deleted", id);
        return false;
    }
    rng_backends_remove(board->rngs, id);
    return true;
}
