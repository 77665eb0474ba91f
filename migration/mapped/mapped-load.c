/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mapped file's pages, all at once, through the same sink as a stream's,
 * by the thread that loads or by several.
 * Called by ram/load; knows neither where pages belong nor how the file is
 * laid out.
 */
#include "migration/mapped/mapped-load.h"

#define AT_ONCE_PAGES 4096  /* between two words about what came: more than a direct read wants at a time */

/* As many pages of the run as the sink places one behind the other: they are read in one go. */
static uint64_t place_neighbours(const RamPageSink *sink, void *opaque, size_t block,
                                 const MappedRun *run, uint64_t most, uint8_t **at)
{
    uint64_t n = 1;

    *at = sink->place(opaque, block, run->first);
    while (n < MIN(run->count, most) &&
           sink->place(opaque, block, run->first + n) == *at + n * TARGET_PAGE_SIZE) {
        n++;
    }
    return n;
}

static bool load_present(const MappedFile *file, size_t block, MappedRun run,
                         const RamPageSink *sink, void *opaque, MappedCameFn *came, void *came_opaque,
                         GError **errp)
{
    while (run.count > 0) {
        uint8_t *at;
        uint64_t n = place_neighbours(sink, opaque, block, &run, AT_ONCE_PAGES, &at);

        if (!mapped_file_read(file, block, run.first, n, at, errp)) {
            return false;
        }
        for (uint64_t i = 0; i < n; i++) {
            if (!sink->placed(opaque, block, run.first + i, errp)) {
                return false;
            }
        }
        came(came_opaque, n);
        run.first += n;
        run.count -= n;
    }
    return true;
}

bool mapped_load_block(const MappedFile *file, size_t block, const RamPageSink *sink, void *opaque,
                       MappedCameFn *came, void *came_opaque, GError **errp)
{
    MappedRun run;

    for (uint64_t from = 0; mapped_file_run(file, block, from, &run); from += run.count) {
        if (!(run.present ? load_present(file, block, run, sink, opaque, came, came_opaque, errp)
                          : sink->fill(opaque, block, run.first, run.count, 0, errp))) {
            return false;
        }
    }
    return true;
}

static bool hand_out(MappedReaders *readers, size_t block, MappedRun run, const RamPageSink *sink,
                     void *opaque, GError **errp)
{
    while (run.count > 0) {
        uint8_t *at;
        uint64_t n = place_neighbours(sink, opaque, block, &run, mapped_readers_at_once(readers), &at);

        if (!mapped_readers_add(readers, block, run.first, n, at, errp)) {
            return false;
        }
        run.first += n;
        run.count -= n;
    }
    return true;
}

bool mapped_load_block_by(MappedReaders *readers, const MappedFile *file, size_t block,
                          const RamPageSink *sink, void *opaque, GError **errp)
{
    MappedRun run;

    for (uint64_t from = 0; mapped_file_run(file, block, from, &run); from += run.count) {
        if (!(run.present ? hand_out(readers, block, run, sink, opaque, errp)
                          : sink->fill(opaque, block, run.first, run.count, 0, errp))) {
            return false;
        }
    }
    return mapped_readers_settle(readers, errp);
}

bool mapped_load_absent(const MappedFile *file, size_t block, const RamPageSink *sink, void *opaque,
                        GError **errp)
{
    MappedRun run;

    for (uint64_t from = 0; mapped_file_run(file, block, from, &run); from += run.count) {
        if (!run.present && !sink->fill(opaque, block, run.first, run.count, 0, errp)) {
            return false;
        }
    }
    return true;
}
