/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all threads of one written file share: its first error, and its end. See file-writer-private.h. */
#include "migration/channel/file-writer-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include "util/error.h"

void file_writer_unref(FileWriter *w)
{
    if (!g_atomic_int_dec_and_test(&w->refs)) {
        return;
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(w->blocks[i].data);
    }
    g_queue_clear_full(&w->runs, g_free);
    g_mutex_clear(&w->lock);
    g_cond_clear(&w->changed);
    g_free(w->name);
    g_free(w);
}

void file_writer_note_error(FileWriter *w, int err, FileStep step, uint64_t at)
{
    if (err && !w->os_errno) {
        w->os_errno = err;
        w->failed_step = step;
        w->failed_at = at;
    }
}

static void set_error(const FileWriter *w, GError **errp)
{
    switch (w->failed_step) {
    case FILE_STEP_WRITE:
        error_setg_errno(errp, w->os_errno, "Unable to write to '%s' at 0x%" PRIx64, w->name,
                         w->failed_at);
        break;
    case FILE_STEP_SYNC:
        error_setg_errno(errp, w->os_errno, "Unable to bring '%s' to the disk", w->name);
        break;
    case FILE_STEP_NAME:
        error_setg_errno(errp, w->os_errno, "Unable to put what was written in the place of '%s'",
                         w->name);
        break;
    case FILE_STEP_CLOSE:
        error_setg_errno(errp, w->os_errno, "Unable to close '%s'", w->name);
        break;
    }
}

bool file_writer_check(const FileWriter *w, GError **errp)
{
    if (w->cancelled) {
        error_setg(errp, "Unable to write to '%s': Operation was cancelled", w->name);
    } else if (w->os_errno) {
        set_error(w, errp);
    }
    return !w->cancelled && !w->os_errno;
}
