/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See load-file.h. */
#include "migration/ram/load-file.h"

#include "migration/mapped/mapped-readers.h"
#include "util/error.h"

struct RamLoadFile {
    RAMList *ram;
    RamLoadOptions opt;
    MappedFile *file;           /* from the first block on */
    MappedReaders *readers;     /* of it; NULL: this thread reads */
};

RamLoadFile *ram_load_file_new(RAMList *ram, const RamLoadOptions *opt)
{
    RamLoadFile *f = g_new0(RamLoadFile, 1);

    f->ram = ram;
    f->opt = *opt;
    return f;
}

void ram_load_file_free(RamLoadFile *f)
{
    if (f) {
        mapped_readers_free(f->readers);
        mapped_file_close(f->file);
        g_free(f);
    }
}

static bool open_file(RamLoadFile *f, StreamReader *r, const RamLoadFileUser *user, GError **errp)
{
    if (!f->file) {
        f->file = mapped_file_open(f->ram, stream_reader_channel(r), f->opt.layout, errp);
    }
    if (f->file && !f->readers && f->opt.file_readers && !user->late) {
        f->readers = mapped_readers_new(f->file, f->opt.file_readers, user->sink, user->sink_opaque,
                                        user->came, user->came_opaque, errp);
        return f->readers != NULL;
    }
    return f->file != NULL;
}

static bool check_sums(const RamLoadFile *f, size_t index, GError **errp)
{
    if (f->opt.checksum && !mapped_file_has_sums(f->file, index)) {
        error_setg(errp, "RAM block \"%s\" was saved without checksums: save it with x-ram-checksum, or set "
                   "x-ram-checksum to off here", ram_list_get(f->ram, index)->idstr);
        return false;
    }
    return true;
}

static uint64_t count_absent(const RamLoadFile *f, size_t index)
{
    uint64_t absent = 0;
    MappedRun run;

    for (uint64_t from = 0; mapped_file_run(f->file, index, from, &run); from += run.count) {
        absent += run.present ? 0 : run.count;
    }
    return absent;
}

bool ram_load_file_block(RamLoadFile *f, StreamReader *r, size_t index, const RamLoadFileUser *user,
                         uint64_t *absent, GError **errp)
{
    if (!open_file(f, r, user, errp) || !mapped_file_open_block(f->file, r, index, errp) ||
        !check_sums(f, index, errp)) {
        return false;
    }
    *absent = count_absent(f, index);
    return true;
}

bool ram_load_file_pages(RamLoadFile *f, size_t index, const RamLoadFileUser *user, GError **errp)
{
    if (user->late) {
        return mapped_load_absent(f->file, index, user->sink, user->sink_opaque, errp);
    }
    if (f->readers) {
        return mapped_load_block_by(f->readers, f->file, index, user->sink, user->sink_opaque, errp);
    }
    return mapped_load_block(f->file, index, user->sink, user->sink_opaque, user->came, user->came_opaque, errp);
}

MappedFile *ram_load_file_mapped(const RamLoadFile *f)
{
    return f->file;
}
