/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of words that Tab may put in: what they have in common and how they are shown. For hmp-edit.c. */
#include <string.h>
#include <wctype.h>

#include "monitor/hmp-internal.h"

static bool is_printable(const char *text)
{
    bool ok = g_utf8_validate(text, -1, NULL);
    for (const char *p = text; ok && *p; p = g_utf8_next_char(p)) {
        ok = iswprint((wint_t)g_utf8_get_char(p));
    }
    return ok;
}

static gint compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void candidates_tidy(GPtrArray *list)
{
    for (guint i = list->len; i-- > 0;) {
        if (!is_printable(g_ptr_array_index(list, i))) {
            g_ptr_array_remove_index(list, i);
        }
    }
    g_ptr_array_sort(list, compare_text);
}

size_t candidates_common(GPtrArray *list)
{
    const char *first = g_ptr_array_index(list, 0);
    size_t len = strlen(first);
    for (guint i = 1; i < list->len; i++) {
        const char *other = g_ptr_array_index(list, i);
        size_t n = 0;
        while (n < len && other[n] == first[n]) {
            n++;
        }
        len = n;
    }
    while (len && ((unsigned char)first[len] & 0xc0) == 0x80) {
        len--;
    }
    return len;
}

char *candidates_in_columns(GPtrArray *list, unsigned columns)
{
    GString *out = g_string_new(NULL);
    size_t width = 0;
    for (guint i = 0; i < list->len; i++) {
        width = MAX(width, (size_t)g_utf8_strlen(g_ptr_array_index(list, i), -1) + 2);
    }
    size_t per_row = MAX((columns > 1024 ? 80 : columns) / width, 1);
    size_t rows = (list->len + per_row - 1) / per_row;
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = row; i < list->len; i += rows) {
            const char *text = g_ptr_array_index(list, i);
            size_t gap = i + rows < list->len ? width - (size_t)g_utf8_strlen(text, -1) : 0;
            g_string_append_printf(out, "%s%*s", text, (int)gap, "");
        }
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}
