/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of accelerators; for the command line and softmmu/cpus.c. */
#include "accel/accel.h"

#include <string.h>

const AccelOps *accel_find(const char *name)
{
    static const AccelOps *const all[] = { &accel_interp_ops, &accel_qtest_ops };

    for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
        if (strcmp(all[i]->name, name) == 0) {
            return all[i];
        }
    }
    return NULL;
}
