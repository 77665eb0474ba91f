/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command extract: one block as a raw file, one page as a hex dump. (The ELF core: elf.c.) */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "output.h"
#include "paging.h"

bool extract_ram(const Model *m, const char *block, const char *path, char **error)
{
    const RamBlock *b = model_find_block(m, block, strlen(block));
    Output o = { .path = path, .error = error };

    if (!b) {
        GString *names = g_string_new(NULL);
        for (guint i = 0; i < m->blocks->len; i++) {
            const RamBlock *k = g_ptr_array_index(m->blocks, i);
            g_string_append_printf(names, "%s%s", i ? ", " : "", k->name);
        }
        *error = g_strdup_printf("There is no RAM block '%s', only: %s", block, names->str);
        g_string_free(names, TRUE);
        return false;
    }
    return output_open(&o) && output_close(&o, output_block(&o, b, 0));
}

/* ---- one page ---- */

static const RamBlock *parse_address(const Model *m, const char *text, uint64_t *offset,
                                     char **error)
{
    const char *plus = strrchr(text, '+'), *number = plus ? plus + 1 : text;
    char *end;
    errno = 0;
    uint64_t v = strtoull(number, &end, 0);

    if (errno || end == number || *end || *number == '-') {
        *error = g_strdup_printf("'%s' is not an address (0x80001000 or BLOCK+0x1000)", text);
        return NULL;
    }
    *offset = v;
    const RamBlock *b = plus ? model_find_block(m, text, plus - text)
                             : paging_find_ram(m, v, offset);
    if (!b || *offset >= b->length) {
        *error = g_strdup_printf("There is no RAM at '%s'", text);
        return NULL;
    }
    return b;
}

char *extract_page(const Model *m, const char *addr, char **error)
{
    uint64_t offset;
    const RamBlock *b = parse_address(m, addr, &offset, error);

    if (!b) {
        return NULL;
    }
    uint64_t page = offset / PAGE;
    const uint8_t *p = b->data + page * PAGE;
    bool seen = b->seen[page / 64] >> (page % 64) & 1;
    GString *out = g_string_new(NULL);
    g_string_printf(out, "block '%s' page %" PRIu64 " (0x%" PRIx64 ")%s\n", b->name, page,
                    page * PAGE, seen ? "" : ", not sent");
    for (unsigned i = 0; i < PAGE; i += 16) {
        if (i > 0 && i + 16 < PAGE && memcmp(p + i, p + i - 16, 16) == 0) {
            if (i < 32 || memcmp(p + i - 16, p + i - 32, 16) != 0) {
                g_string_append(out, "*\n");
            }
            continue;
        }
        g_string_append_printf(out, "%08" PRIx64 " ", page * PAGE + i);
        for (unsigned k = 0; k < 16; k++) {
            g_string_append_printf(out, k == 8 ? "  %02x" : " %02x", p[i + k]);
        }
        g_string_append(out, "  |");
        for (unsigned k = 0; k < 16; k++) {
            uint8_t c = p[i + k];
            g_string_append_c(out, c >= 0x20 && c < 0x7f ? c : '.');
        }
        g_string_append(out, "|\n");
    }
    return g_string_free(out, FALSE);
}
