/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the seeds of fuzz-incoming into a folder: our own streams of a
 * machine of four pages, with its selector byte in front.
 *
 *   make-corpus-incoming FOLDER
 */
#include <stdio.h>
#include <string.h>
#include "../tiny-machine/tiny-machine.h"

typedef struct Seed {
    const char *name;
    StreamDialect dialect;
    uint64_t rom_pages;
    const char *globals;    /* of both sides, blank-separated, "x=on" */
    uint8_t select;
} Seed;

static const Seed seeds[] = {
    { "plain-7.2", DIALECT_QEMU_7_2, 0, "", 0 },
    { "plain-10.0", DIALECT_QEMU_10_0, 0, "", 1 },
    { "two-blocks", DIALECT_QEMU_10_0, 2, "", 9 },
    { "uuid", DIALECT_QEMU_7_2, 2, "validate-uuid=on", 8 },
    { "xbzrle", DIALECT_QEMU_7_2, 0, "xbzrle=on x-xbzrle-bulk-rule=off", 0 },
    { "no-footer", DIALECT_QEMU_7_2, 0, "send-section-footer=off", 16 },
    { "no-globalstate", DIALECT_QEMU_10_0, 0, "store-global-state=off", 1 },
    { "mapped", DIALECT_QEMU_10_0, 0, "mapped-ram=on", 3 },
    { "fixed", DIALECT_QEMU_7_2, 0, "fixed-ram=on", 4 },
};

/* The layouts put pages at 1 MiB; no loader insists, so a seed may have them at 4 KiB. */
static void draw_together(GByteArray *a)
{
    static const uint8_t far[8] = { 0, 0, 0, 0, 0, 0x10, 0, 0 };
    static const uint8_t near[8] = { 0, 0, 0, 0, 0, 0, 0x10, 0 };
    uint8_t *at = NULL;     /* the last one: pages_offset comes after all other numbers */

    for (uint8_t *p = a->data; (p = memmem(p, a->data + 4096 - p, far, sizeof(far))); p++) {
        at = p;
    }
    if (at) {
        memcpy(at, near, sizeof(near));
        g_byte_array_remove_range(a, 0x1000, 0x100000 - 0x1000);
    }
}

static void write_seed(const Seed *s, const char *folder)
{
    TinyMachine *t = tiny_machine_new("none", s->dialect, 4, s->rom_pages);
    Migration *m = t->machine.migration;
    g_autofree char *path = g_strdup_printf("%s/%s", folder, s->name);
    g_autofree char *uri = g_strdup_printf("file:%s", path);
    g_auto(GStrv) globals = g_strsplit(s->globals, " ", -1);
    char *data;
    gsize len;

    for (char **g = globals; *g && **g; g++) {
        g_auto(GStrv) kv = g_strsplit(*g, "=", 2);
        g_assert_true(migration_set_global(m, kv[0], kv[1], NULL));
    }
    t->config.uuid_set = true;
    memset(t->config.uuid, 0x5a, sizeof(t->config.uuid));
    tiny_write(t, "ram", 4096 + 17, "a page that is not zero", 23);
    tiny_lock(t);
    migration_start(m, uri, NULL);
    tiny_unlock(t);
    while (migration_status_is_running(migration_state_get(&m->out_state))) {
        g_usleep(1000);
    }
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    GByteArray *a = g_byte_array_new_take((guint8 *)data, len);
    if (a->len > 0x100000) {
        draw_together(a);
    }
    g_byte_array_prepend(a, &s->select, 1);
    g_assert_true(g_file_set_contents(path, (char *)a->data, a->len, NULL));
    g_byte_array_unref(a);
    tiny_machine_free(t);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make-corpus-incoming FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(seeds); i++) {
        write_seed(&seeds[i], argv[1]);
    }
    return 0;
}
