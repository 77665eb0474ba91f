/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the whole incoming stream against a machine of four pages: header,
 * configuration, sections, commands, description. The first byte chooses the
 * dialect and the layout of RAM; the rest is the stream, from memory or (for
 * the layouts that need a file) from one. It may load or be refused; nothing
 * else, and neither needs more memory than the machine has.
 *
 * The seeds in corpus/incoming were written by make-corpus-incoming.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../tiny-machine/tiny-machine.h"
#include "migration/destination/load.h"

enum { SELECT_10_0 = 1, SELECT_MAPPED = 2, SELECT_FIXED = 4, SELECT_TWO_BLOCKS = 8,
       SELECT_NO_FOOTER = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Instead of softmmu/report.c: thousands of refusals are not worth a line each. */
void machine_report(const Machine *machine, const char *fmt, ...)
{
}

static void load(TinyMachine *t, StreamReader *r, MigrationCaps caps, Channel *c)
{
    g_autoptr(GError) err = NULL;
    IncomingLoad l;

    MigrationSettings *settings = tiny_settings(t, caps);
    incoming_load_init(&l, t->machine.migration, settings, c);
    bool ok = incoming_load_stream(&l, r, &err);
    g_assert_true(ok == !err);  /* a refusal says why */
    incoming_load_clear(&l);
    migration_settings_unref(settings);
    stream_reader_free(r);
}

static void load_file(TinyMachine *t, const uint8_t *data, size_t size, MigrationCaps caps)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0) {
        g_error("cannot make a file");
    }
    Channel *c = channel_new_fd(fd, "fuzz", NULL);
    load(t, stream_reader_new(c), caps, c);
    channel_close(c, NULL);
}

/* One machine per choice, kept: what a stream leaves behind is no matter for the next. */
static TinyMachine *machine_for(uint8_t select)
{
    static TinyMachine *machines[32];
    int key = select & (SELECT_10_0 | SELECT_TWO_BLOCKS | SELECT_NO_FOOTER);

    if (!machines[key]) {
        TinyMachine *t = tiny_machine_new("none", select & SELECT_10_0 ? DIALECT_QEMU_10_0
                                                                       : DIALECT_QEMU_7_2,
                                          4, select & SELECT_TWO_BLOCKS ? 2 : 0);
        migration_set_global(t->machine.migration, "send-section-footer",
                             select & SELECT_NO_FOOTER ? "off" : "on", NULL);
        machines[key] = t;
    }
    return machines[key];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    TinyMachine *t = machine_for(data[0]);
    if (data[0] & (SELECT_MAPPED | SELECT_FIXED)) {
        load_file(t, data + 1, size - 1,
                  data[0] & SELECT_MAPPED ? MIGRATION_CAP(MAPPED_RAM) : MIGRATION_CAP(FIXED_RAM));
    } else {
        load(t, stream_reader_new_memory(data + 1, size - 1), 0, NULL);
    }
    return 0;
}
