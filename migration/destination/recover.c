/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What monitors do with an incoming postcopy: pause it, let it listen again. Main thread, BQL. */
#include "migration/migration-private.h"
#include "util/error.h"

void incoming_pause(Incoming *in)
{
    incoming_yank(in);
}

bool incoming_recover(Incoming *in, const char *uri, GError **errp)
{
    error_setg(errp, "Cannot listen on '%s': an incoming migration is not paused", uri);
    return false;
}
