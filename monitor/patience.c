/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which commands wait for what: see the header. Called by qmp.c and hmp.c. */
#include "monitor/patience.h"

#include <glib.h>
#include <string.h>

#include "migration/migration.h"
#include "softmmu/machine.h"

#define PATIENCE_US (2 * G_USEC_PER_SEC)

static bool is_migrate(const char *line)
{
    line += strspn(line, " \t");
    size_t len = strcspn(line, " \t");
    return len == strlen("migrate") && !strncmp(line, "migrate", len);
}

bool monitor_has_to_wait(const struct Machine *machine, const char *line, int64_t *until_us)
{
    if (!is_migrate(line) || !machine->migration || !migration_is_cancelling(machine->migration)) {
        return false;
    }
    int64_t now = g_get_monotonic_time();
    *until_us = *until_us ? *until_us : now + PATIENCE_US;
    return now < *until_us;
}
