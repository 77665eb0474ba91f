/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The error domain of include/migration/load-error.h. */
#include "migration/load-error.h"

/* As ferry_error_quark. */
GQuark load_error_quark(void)
{
    return g_quark_from_static_string("ferry-load-error-quark");
}
