/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near misses, for messages. */
#include "util/near-name.h"

#include <glib.h>
#include <string.h>

#define NAME_MAX_CHARS 64

static char plain(char c)
{
    return c == '_' ? '-' : g_ascii_tolower(c);
}

/* Optimal string alignment distance; three rows of the table are enough. */
static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NAME_MAX_CHARS + 1];
    size_t la = strlen(a), lb = strlen(b);

    for (size_t j = 0; j <= lb; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned change = above[j - 1] + (plain(a[i - 1]) != plain(b[j - 1]));

            now[j] = MIN(MIN(above[j], now[j - 1]) + 1, change);
            if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) &&
                plain(a[i - 2]) == plain(b[j - 1])) {
                now[j] = MIN(now[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[la % 3][lb];
}

const char *near_name(const char *const *names, const char *typed)
{
    size_t len = strlen(typed);
    unsigned best = len / 3 + 1;
    const char *found = NULL;

    for (; len <= NAME_MAX_CHARS && *names; names++) {
        unsigned d = strlen(*names) <= NAME_MAX_CHARS ? distance(*names, typed) : best;

        if (d < best) {
            best = d;
            found = *names;
        }
    }
    return found;
}

/* The one that goes on where typed ends ("virtio-blk" of "virtio-blk-device"), if there is no other. */
static const char *longer_name(const char *const *names, const char *typed)
{
    size_t len = strlen(typed);
    const char *found = NULL;

    for (; len && *names; names++) {
        if (g_str_has_prefix(*names, typed) && (*names)[len] == '-') {
            if (found) {
                return NULL;
            }
            found = *names;
        }
    }
    return found;
}

char *near_hint(const char *const *name, size_t stride, size_t count, const char *typed)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (size_t i = 0; i < count; i++) {
        const char *one = *(const char *const *)((const char *)name + i * stride);
        if (one) {
            g_ptr_array_add(names, (gpointer)one);
        }
    }
    g_ptr_array_add(names, NULL);
    const char *const *list = (const char *const *)names->pdata;
    const char *near = longer_name(list, typed);

    near = near ? near : near_name(list, typed);
    return near ? g_strdup_printf(": did you mean '%s'?", near) : g_strdup("");
}
