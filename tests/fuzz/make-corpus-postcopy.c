/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the seeds of fuzz-postcopy into a folder.
 *
 *   make-corpus-postcopy FOLDER
 */
#include <stdio.h>
#include "../tiny-machine/arriving.h"
#include "migration/stream/format.h"

static const char *const blocks[] = { "ram", "rom", NULL };
static const unsigned pages[] = { 6, 2 };

/* Four bytes of lengths, then the connections. */
static void write_seed(const char *folder, const char *name, const GByteArray *first,
                       const GByteArray *second, const GByteArray *third)
{
    g_autofree char *path = g_strdup_printf("%s/%s", folder, name);
    g_autoptr(GByteArray) out = g_byte_array_new();

    put_be(out, 2, first->len);
    put_be(out, 2, second ? second->len : 0);
    g_byte_array_append(out, first->data, first->len);
    if (second) {
        g_byte_array_append(out, second->data, second->len);
    }
    if (third) {
        g_byte_array_append(out, third->data, third->len);
    }
    g_assert_true(g_file_set_contents(path, (char *)out->data, out->len, NULL));
}

static void put_resume(GByteArray *b)
{
    put_command(b, MIG_CMD_RECV_BITMAP, "\3ram", 4);
    put_command(b, MIG_CMD_RECV_BITMAP, "\3rom", 4);
    put_command(b, MIG_CMD_POSTCOPY_RESUME, NULL, 0);
}

int main(int argc, char **argv)
{
    g_autoptr(GByteArray) head = g_byte_array_new(), whole = g_byte_array_new();
    g_autoptr(GByteArray) again = g_byte_array_new(), rest = g_byte_array_new();

    if (argc != 2) {
        fprintf(stderr, "usage: make-corpus-postcopy FOLDER\n");
        return 2;
    }
    put_setup(head, blocks, pages);
    put_page(head, false, "ram", 0, 1);
    put_discard(head, "ram", 0, 0x5000);
    put_discard(head, "rom", 0x1000, 0x1000);
    put_switch(head);
    g_byte_array_append(whole, head->data, head->len);
    put_page(whole, false, "ram", 0x3000, 2);
    put_page(whole, true, "rom", 0x1000, 0);
    put_be(whole, 1, SECTION_EOF);
    write_seed(argv[1], "whole", whole, NULL, NULL);

    put_resume(again);
    put_page(again, false, "rom", 0x1000, 3);
    put_resume(rest);
    put_page(rest, false, "ram", 0, 0);
    put_page(rest, true, "ram", 0x4000, 0);
    put_be(rest, 1, SECTION_EOF);
    write_seed(argv[1], "recovered", head, again, rest);
    write_seed(argv[1], "recovered-once", head, rest, NULL);
    return 0;
}
