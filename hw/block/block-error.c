/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done about a disk's errors (include/hw/block-backend.h): the words of the command line and what they mean. */
#include <errno.h>
#include <string.h>
#include "hw/block-backend.h"
#include "util/error.h"

bool block_on_error_parse(const char *text, BlockOnError *value)
{
    static const struct { const char *name; BlockOnError value; } words[] = {
        { "auto", BLOCK_ON_ERROR_AUTO }, { "report", BLOCK_ON_ERROR_REPORT },
        { "ignore", BLOCK_ON_ERROR_IGNORE }, { "enospc", BLOCK_ON_ERROR_ENOSPC },
        { "stop", BLOCK_ON_ERROR_STOP },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(words[i].name, text) == 0) {
            *value = words[i].value;
            return true;
        }
    }
    return false;
}

bool block_drive_on_error(const char *text, bool write, BlockOnError *value, GError **errp)
{
    *value = write ? BLOCK_ON_ERROR_ENOSPC : BLOCK_ON_ERROR_REPORT;
    if (!text) {
        return true;
    }
    /* A read cannot run out of space, so a drive takes no enospc there. */
    if (!block_on_error_parse(text, value) || *value == BLOCK_ON_ERROR_AUTO ||
        (*value == BLOCK_ON_ERROR_ENOSPC && !write)) {
        error_setg(errp, "'%s' invalid %s error action", text, write ? "write" : "read");
        return false;
    }
    return true;
}

BlockErrorAction block_error_action(BlockOnError policy, int err)
{
    switch (policy) {
    case BLOCK_ON_ERROR_IGNORE:
        return BLOCK_ERROR_ACTION_IGNORE;
    case BLOCK_ON_ERROR_STOP:
        return BLOCK_ERROR_ACTION_STOP;
    case BLOCK_ON_ERROR_ENOSPC:
        return err == ENOSPC ? BLOCK_ERROR_ACTION_STOP : BLOCK_ERROR_ACTION_REPORT;
    default:
        return BLOCK_ERROR_ACTION_REPORT;
    }
}

bool block_errors_can_stop(BlockOnError rerror, BlockOnError werror)
{
    return rerror == BLOCK_ON_ERROR_STOP || werror == BLOCK_ON_ERROR_STOP ||
           werror == BLOCK_ON_ERROR_ENOSPC;
}
