/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes in words, for messages and verdicts. */
#include "util/size-text.h"

#include <glib.h>

char *size_text(double bytes)
{
    if (bytes >= 1 << 20) {
        return g_strdup_printf("%.1f MiB", bytes / (1 << 20));
    }
    return bytes >= 1024 ? g_strdup_printf("%.1f KiB", bytes / 1024)
                         : g_strdup_printf("%.0f bytes", bytes);
}
